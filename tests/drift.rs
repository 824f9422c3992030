//! Drift: what a hand changed is found by an idle run, and put back, reported or left as `drift` says.

use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

fn with_policy(scene: &Scene, policy: &str, app: &App) -> (String, String) {
    let stack = scene.stack("drift", app);
    set_policy(scene, &stack, policy);
    scene.watch().success();
    let service = format!("{stack}_app");
    (stack, service)
}

fn set_policy(scene: &Scene, stack: &str, policy: &str) {
    scene.repo.write("stacks.yaml", format!("- name: {stack}\n  drift: {policy}\n"));
}

/// The drift that `status` and a dry run tell of, before a reconcile puts it back.
fn is_found_and_put_back(scene: &Scene, stack: &str, what: &str) {
    scene.ops.run(["status"]).failure(3).stdout_has(what);
    let drift = scene.status(stack)["drift"].to_string();
    assert!(drift.contains(what), "{drift}");
    scene.run(&["reconcile", "--dry-run"]).success().stdout_has(what).stdout_has("1 to deploy");
    assert_eq!(scene.deploys(), [""; 0]);
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(scene.deploys(), [stack]);
    assert_eq!(scene.status(stack)["drift"].to_string(), "[]");
    scene.reconcile().success().stdout_has("1 unchanged");
    let asked_of_tasks = usize::from(!scene.lab.tasks(stack).is_empty());
    assert_eq!(scene.docker.calls().len(), 2 + asked_of_tasks);
}

#[test]
fn a_service_that_was_removed_comes_back() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("drift");
    scene.repo.stack(&stack, &compose([("app", &scene.off()), ("db", &scene.off())]));
    scene.watch().success();
    scene.lab.docker(&["service", "rm", &format!("{stack}_db")]);
    is_found_and_put_back(&scene, &stack, "removed by hand");
    assert_eq!(scene.lab.services(&stack), [format!("{stack}_app"), format!("{stack}_db")]);
    scene.lab.docker(&["stack", "rm", &stack]);
    is_found_and_put_back(&scene, &stack, "removed by hand");
    assert_eq!(scene.lab.services(&stack).len(), 2);
}

#[test]
fn a_service_that_was_added_goes() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "correct", &scene.off());
    add_by_hand(&scene, &stack, "extra");
    is_found_and_put_back(&scene, &stack, "added by hand");
    assert_eq!(scene.lab.services(&stack), [service]);
}

fn add_by_hand(scene: &Scene, stack: &str, name: &str) {
    let (name, label) = (format!("{stack}_{name}"), format!("com.docker.stack.namespace={stack}"));
    let image = scene.lab.image("app:1");
    let create = ["service", "create", "--quiet", "--detach", "--replicas", "0", "--name", &name];
    scene.lab.docker(&[&create[..], &["--label", &label, &image]].concat());
}

#[test]
fn what_was_scaled_or_edited_becomes_what_it_was() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "correct", &scene.off().with("environment: {A: '1'}"));
    let template = |field: &str| scene.lab.spec(&service, &format!("json .Spec.{field}"));
    let all = || ["TaskTemplate.ContainerSpec", "Mode", "UpdateConfig", "Labels"].map(template);
    let before = all();
    for (edit, what) in [
        (&["--env-add", "B=secret"][..], "`environment` edited (`B`)"),
        (&["--label-add", "dockerops.repository=mine"], "`service labels` edited (`dockerops.repository`)"),
        (&["--container-label-add", "a=b"], "`labels` edited (`a`)"),
        (&["--update-parallelism", "3"], "`update_config` edited (`parallelism`)"),
        (&["--args", "sleep 3"], "`command` edited"),
    ] {
        scene.lab.edit(&service, edit);
        is_found_and_put_back(&scene, &stack, what);
        assert_eq!(all(), before, "{what}");
    }
}

#[test]
fn a_service_that_was_scaled_is_scaled_back() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "correct", &scene.on());
    scene.lab.docker(&["service", "scale", "--detach", &format!("{service}=0")]);
    is_found_and_put_back(&scene, &stack, "scaled from 1 to 0");
    assert_eq!(scene.lab.tasks(&stack).len(), 1);
}

#[test]
fn an_image_that_was_edited_is_put_back_also_with_a_commit() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "correct", &scene.off());
    let image = |version: &str| scene.lab.image(version);
    let runs = || scene.lab.spec(&service, ".Spec.TaskTemplate.ContainerSpec.Image");
    scene.lab.edit(&service, &["--image", &image("app:2")]);
    is_found_and_put_back(&scene, &stack, &format!("image `{}` became `{}`", image("app:1"), image("app:2")));
    assert!(runs().starts_with(&image("app:1")), "{}", runs());
    scene.lab.edit(&service, &["--image", &image("app:2")]);
    scene.change(&stack, &scene.off().with("environment: {A: '2'}"));
    set_policy(&scene, &stack, "correct");
    scene.push().success().stdout_has("1 deployed");
    assert!(runs().starts_with(&image("app:1")), "{}", runs());
}

#[test]
fn an_image_is_put_back_without_a_look_at_the_tags_of_other_services() {
    let Some(scene) = Scene::new() else { return };
    let (stack, short) = (scene.ops.unique("drift"), format!("{}:1", unique("moving")));
    scene.lab.publish(&short, &[]);
    let moving = App::new(&scene.lab.image(&short));
    scene.repo.stack(&stack, &compose([("app", &scene.off()), ("moving", &moving)]));
    scene.watch().success();
    let tasks = scene.lab.tasks(&stack);
    scene.lab.publish(&short, &[]);
    let service = format!("{stack}_app");
    scene.lab.edit(&service, &["--image", &scene.lab.image("app:2")]);
    scene.reconcile().success().stdout_has("1 deployed");
    let runs = scene.lab.spec(&service, ".Spec.TaskTemplate.ContainerSpec.Image");
    assert!(runs.starts_with(&scene.lab.image("app:1")), "{runs}");
    scene.lab.edit(&service, &["--image", &scene.lab.image("app:2")]);
    scene.run(&["reconcile", "--force"]).success();
    assert_eq!(scene.lab.tasks(&stack), tasks, "no registry is asked what a tag names");
}

#[test]
fn drift_is_only_reported_where_the_manifest_says_so() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "report", &scene.off());
    scene.lab.edit(&service, &["--env-add", "B=1"]);
    let edited = scene.lab.specs(&stack);
    for _ in 0..2 {
        scene.reconcile().success().stdout_has("`environment` edited").stdout_has("1 drifted");
        assert_eq!(scene.docker.calls().len(), 2);
    }
    scene.ops.run(["status"]).success().stdout_has("`environment` edited");
    scene.repo.write("README.md", "words");
    scene.push().success().stdout_has("`environment` edited").stdout_has("1 drifted");
    assert_eq!(scene.lab.specs(&stack), edited);
}

#[test]
fn drift_is_left_where_the_manifest_says_so_and_put_back_once_it_says_otherwise() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "ignore", &scene.off());
    scene.lab.edit(&service, &["--env-add", "B=1"]);
    let edited = scene.lab.specs(&stack);
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(scene.lab.specs(&stack), edited);
    set_policy(&scene, &stack, "report");
    scene.push().success().stdout_has("1 drifted");
    assert_eq!(scene.lab.specs(&stack), edited);
    set_policy(&scene, &stack, "correct");
    scene.push().success().stdout_has("1 deployed");
    assert!(!scene.lab.spec(&service, "json .Spec.TaskTemplate").contains("B=1"));
    set_policy(&scene, &stack, "ignore");
    scene.push().success().stdout_has("1 unchanged");
    scene.lab.edit(&service, &["--env-add", "B=1"]);
    scene.reconcile().success().stdout_has("1 unchanged");
}

/// Waits until Swarm has done what an edit made it do; until then less runs than Git says.
fn has_rolled(scene: &Scene, service: &str) {
    // It is null for a moment.
    let state = "with .UpdateStatus}}{{.State}}{{end";
    wait_for("the roll", 60, || scene.lab.spec(service, state) == "completed");
}

#[test]
fn what_swarm_changes_by_itself_is_no_drift() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = with_policy(&scene, "correct", &scene.on());
    let version = || scene.lab.spec(&service, ".Version.Index");
    let before = version();
    scene.lab.edit(&service, &["--force"]);
    has_rolled(&scene, &service);
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_ne!(version(), before);
    let resolved = scene.lab.spec(&service, ".Spec.TaskTemplate.ContainerSpec.Image");
    assert!(resolved.contains("@sha256:"), "{resolved}");
    scene.lab.edit(&service, &["--no-resolve-image", "--image", &scene.lab.image("app:1")]);
    has_rolled(&scene, &service);
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(scene.status(&stack)["drift"].to_string(), "[]");
}

#[test]
fn the_drift_of_one_stack_is_not_put_upon_another() {
    let Some(scene) = Scene::new() else { return };
    let (one, two) = (scene.stack("one", &scene.off()), scene.stack("two", &scene.off()));
    scene.watch().success();
    let untouched = scene.lab.specs(&two);
    scene.lab.edit(&format!("{one}_app"), &["--env-add", "B=1"]);
    scene.reconcile().success().stdout_has("1 deployed, 1 unchanged");
    assert_eq!(scene.deploys(), [one]);
    assert_eq!(scene.lab.specs(&two), untouched);
    let stranger = unique("stranger");
    scene.lab.docker(&[
        "service",
        "create",
        "--quiet",
        "--detach",
        "--replicas",
        "0",
        "--name",
        &stranger,
        "x",
    ]);
    scene.reconcile().success().stdout_has("2 unchanged");
    scene.lab.docker(&["service", "rm", &stranger]);
}
