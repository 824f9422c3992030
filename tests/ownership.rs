//! Ownership: labels say whose a stack is; the database may be lost, names are not taken from others.

use std::fs;

use rustix::process::Signal;

use crate::support::dockerops::DockerOps;
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};

pub fn lose_database(scene: &Scene) {
    fs::remove_dir_all(scene.ops.database().parent().unwrap()).unwrap();
}

#[test]
fn a_stack_of_another_watched_source_is_refused_and_untouched() {
    let Some(scene) = Scene::new() else { return };
    let (stack, other) = (scene.stack("web", &scene.off()), Repo::new());
    scene.watch().success();
    let before = scene.lab.specs(&stack);
    let free = scene.ops.unique("free");
    other.stack(&stack, &compose([("app", &scene.off().with("environment: {A: '2'}"))]));
    other.stack(&free, &compose([("app", &scene.off())]));
    other.commit("first");
    let refused = scene.run(&["watch", &other.url()]);
    refused
        .failure(3)
        .stdout_has("1 deployed, 1 failed")
        .stdout_has(&format!("the stack `{stack}` belongs to"));
    refused.stdout_has(scene.repo.path().to_str().unwrap());
    assert_eq!(scene.deploys(), [&*free]);
    scene.reconcile().failure(3).stdout_has("2 unchanged, 1 failed");
    scene.run(&["unwatch", &other.url()]).success().stdout_has("left alone");
    assert_eq!(scene.lab.services(&free), [""; 0]);
    assert_eq!(scene.lab.specs(&stack), before);
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn a_name_is_free_again_when_its_owner_is_unwatched() {
    let Some(scene) = Scene::new() else { return };
    let (stack, other) = (scene.stack("web", &scene.off()), Repo::new());
    scene.watch().success();
    other.stack(&stack, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).failure(3);
    scene.run(&["unwatch", &scene.repo.url()]).success();
    scene.reconcile().success().stdout_has("1 deployed");
    let owner = scene.lab.label(&format!("{stack}_app"), "dockerops.repository");
    assert!(owner.contains(other.path().to_str().unwrap()), "{owner}");
}

#[test]
fn a_stack_deployed_by_hand_is_adopted_in_place_and_it_is_said() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("hand", &scene.on());
    let file = scene.repo.path().join(&stack).join("docker-compose.yml");
    scene.lab.docker(&[
        "stack",
        "deploy",
        "--with-registry-auth",
        "--compose-file",
        file.to_str().unwrap(),
        &stack,
    ]);
    crate::support::wait_for("its task", 30, || !scene.lab.tasks(&stack).is_empty());
    let tasks = scene.lab.tasks(&stack);
    let outcome = scene.watch();
    outcome
        .success()
        .stderr_has(&format!("`{stack}` is to be deployed: adopted: it was deployed by hand before"));
    assert_eq!(scene.lab.tasks(&stack), tasks);
    assert_eq!(scene.lab.label(&format!("{stack}_app"), "dockerops.commit"), scene.repo.head());
}

#[test]
fn a_stack_deployed_by_hand_is_not_taken_over_where_services_of_it_would_go() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("hand", &scene.off());
    let file = scene.repo.path().join("his.yml");
    fs::write(&file, compose([("app", &scene.off()), ("his", &scene.off())])).unwrap();
    scene.lab.docker(&["stack", "deploy", "--compose-file", file.to_str().unwrap(), &stack]);
    fs::remove_file(&file).unwrap();
    let before = scene.lab.specs(&stack);
    scene.watch().failure(3).stdout_has(&format!("docker would remove: `{stack}_his`"));
    scene.run(&["reconcile", "--force"]).failure(3);
    assert_eq!((scene.lab.specs(&stack), scene.deploys()), (before, vec![]));
    scene.run(&["unwatch", &scene.repo.url()]).success().stdout_has("left alone");
    assert_eq!(scene.lab.services(&stack).len(), 2);
    scene.lab.docker(&["service", "rm", &format!("{stack}_his")]);
    scene.watch().success().stdout_has("1 deployed");
}

#[test]
fn a_lost_database_is_rebuilt_from_labels_without_a_deploy_or_a_restart() {
    let Some(scene) = Scene::new() else { return };
    let (one, two) = (scene.stack("one", &scene.on()), scene.stack("two", &scene.off()));
    let volumes = "volumes: ['/tmp:/host/:ro', 'data:/data', '/alone', {type: tmpfs, target: /scratch}, \
        {type: volume, source: named, target: /named}, {type: bind, source: /tmp/, target: /bound}]";
    let named = format!("volumes: {{data: {{}}, named: {{name: {}}}}}\n", scene.ops.unique("named"));
    scene.repo.stack(&two, &(compose([("app", &scene.off().with(volumes))]) + &named));
    scene.watch().success();
    let live = || [&one, &two].map(|stack| (scene.lab.tasks(stack), scene.lab.specs(stack)));
    let (before, row) = (live(), scene.row(&one));
    lose_database(&scene);
    scene.watch().success().stdout_has("adopted");
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!(live(), before);
    assert_eq!(scene.row(&one), row);
    scene.reconcile().success().stdout_has("2 unchanged");
    assert_eq!(scene.docker.calls().len(), 3);
    scene.lab.edit(&format!("{two}_app"), &["--env-add", "B=1"]);
    scene.reconcile().success().stdout_has("1 deployed, 1 unchanged");
}

#[test]
fn what_changed_while_the_database_was_lost_is_deployed_in_place() {
    let Some(scene) = Scene::new() else { return };
    let stacks = ["same", "changed", "gone"].map(|name| scene.stack(name, &scene.off()));
    let [same, changed, gone] = stacks.each_ref().map(String::as_str);
    scene.watch().success();
    let created = scene.lab.spec(&format!("{changed}_app"), ".CreatedAt");
    lose_database(&scene);
    scene.change(changed, &scene.off().with("environment: {A: '2'}"));
    scene.repo.write("stacks.yaml", format!("- name: {same}\n- name: {changed}\n"));
    scene.watch().success().stdout_has("2 deployed, 1 removed");
    assert_eq!(scene.deploys(), [changed]);
    assert_eq!(scene.lab.spec(&format!("{changed}_app"), ".CreatedAt"), created);
    assert!(scene.lab.spec(&format!("{changed}_app"), "json .Spec.TaskTemplate").contains("A=2"));
    assert_eq!(scene.lab.services(gone), [""; 0]);
}

#[test]
fn a_stack_edited_by_hand_while_the_database_was_lost_is_what_the_source_says() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("edited", &scene.off());
    scene.watch().success();
    let service = format!("{stack}_app");
    lose_database(&scene);
    scene.lab.edit(&service, &["--image", &scene.lab.image("app:2")]);
    scene.watch().success();
    let runs = scene.lab.spec(&service, ".Spec.TaskTemplate.ContainerSpec.Image");
    assert!(runs.starts_with(&scene.lab.image("app:1")), "{runs}");
    let foreign = ["--mount-add", "type=bind,source=/tmp,target=/foreign"];
    for edit in [["--replicas", "1"], ["--env-add", "FOREIGN=1"], ["--env-rm", "OWN"], foreign] {
        scene
            .change(&stack, &scene.off().with("environment: {OWN: 'a b', N: 1, T: 'true'}"))
            .repo
            .commit("own");
        scene.run(&["reconcile"]);
        lose_database(&scene);
        scene.lab.edit(&service, &edit);
        scene.watch().success().stdout_has("drifted while nobody looked");
        assert!(scene.lab.spec(&service, "json .Spec.Mode").contains("\"Replicas\":0"));
        let environment = scene.lab.spec(&service, "json .Spec.TaskTemplate.ContainerSpec.Env");
        assert_eq!(environment, r#"["N=1","OWN=a b","T=true"]"#, "{edit:?}");
        assert_eq!(
            scene.lab.spec(&service, "json .Spec.TaskTemplate.ContainerSpec.Mounts"),
            "null",
            "{edit:?}"
        );
    }
    lose_database(&scene);
    scene
        .watch()
        .success()
        .stdout_has("adopted: images, replicas, environment and mounts are as the source says");
}

#[test]
fn a_name_stays_its_owner_s_while_it_is_disabled() {
    let Some(scene) = Scene::new() else { return };
    let (stack, other) = (scene.stack("web", &scene.off()), Repo::new());
    scene.watch().success();
    other.stack(&stack, &compose([("app", &scene.off().with("environment: {A: '2'}"))])).commit("first");
    scene.run(&["watch", &other.url()]).failure(3).stdout_has("belongs to");
    scene.repo.write("stacks.yaml", format!("- {{name: {stack}, enabled: false}}\n"));
    scene.push().failure(3).stdout_has("removed").stdout_has("belongs to");
    assert_eq!(scene.lab.services(&stack), [""; 0]);
    scene.repo.write("stacks.yaml", format!("- name: {stack}\n"));
    scene.push().failure(3).stdout_has("1 deployed, 1 failed");
    let owner = scene.lab.label(&format!("{stack}_app"), "dockerops.repository");
    assert!(owner.contains(scene.repo.path().to_str().unwrap()), "{owner}");
}

#[test]
fn two_that_deploy_one_stack_say_so_and_undo_nothing_of_each_other() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("two", &scene.off());
    scene.watch().success();
    let service = format!("{stack}_app");
    let (other, theirs) = (Repo::new(), DockerOps::new(scene.lab).with_fake(&scene.docker));
    other.stack(&stack, &compose([("app", &scene.off().with("environment: {A: '2'}"))])).commit("first");
    let before = scene.lab.specs(&stack);
    let refused = theirs.run(["watch", &other.url()]);
    refused.failure(3).stdout_has(&format!("another DockerOps deploys the stack `{stack}`"));
    refused.stdout_has(scene.repo.path().to_str().unwrap()).stdout_has("reconcile --force");
    assert_eq!(scene.lab.specs(&stack), before);
    scene.reconcile().success().stdout_has("1 unchanged");

    theirs.run(["reconcile", "--force"]).success().stdout_has("1 deployed");
    let owner = scene.lab.label(&service, "dockerops.repository");
    assert!(owner.contains(other.path().to_str().unwrap()), "{owner}");
    let before = scene.lab.specs(&stack);
    // It is said before a run finds it out, and after that.
    for _ in 0..2 {
        let status = scene.ops.run(["status"]);
        status.failure(3).stdout_has("another DockerOps deploys").stdout_has(other.path().to_str().unwrap());
        status.stdout_lacks("by hand").stdout_lacks("updating").stdout_lacks("deployed, ");
        let refused = scene.reconcile();
        refused.failure(3).stdout_has("another DockerOps deploys").stdout_has(other.path().to_str().unwrap());
        theirs.run(["reconcile"]).success().stdout_has("1 unchanged");
    }
    assert_eq!(scene.lab.specs(&stack), before);
    let scene = Scene { ops: scene.ops.env("DOCKEROPS_SYNC_INTERVAL", "5"), ..scene };
    let mut daemon = scene.ops.spawn(["run"]);
    daemon.wait_for("\ncycle ", 4, 90);
    daemon.signal(Signal::TERM);
    let log = daemon.wait().stdout;
    assert_eq!(log.matches("another DockerOps deploys").count(), 1, "{log}");
    scene.run(&["unwatch", "--keep-stacks", &scene.repo.url()]).success();
    theirs.run(["reconcile"]).success().stdout_has("1 unchanged");
}

#[test]
fn a_fork_of_the_same_content_is_another_owner_all_the_same() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("forked", &scene.off());
    scene.watch().success();
    let fork = tempfile::tempdir().unwrap();
    let place = fork.path().join("fork").display().to_string();
    scene.repo.git(["clone", "--quiet", ".", &place]);
    let theirs = DockerOps::new(scene.lab).with_fake(&scene.docker);
    theirs.run(["watch", &place]).failure(3).stdout_has("another DockerOps deploys");
    theirs.run(["reconcile", "--force"]).success().stdout_has("1 deployed");
    let before = scene.lab.specs(&stack);
    for _ in 0..2 {
        scene.reconcile().failure(3).stdout_has("another DockerOps deploys").stdout_has(&place);
        theirs.run(["reconcile"]).success().stdout_has("1 unchanged");
    }
    assert_eq!(scene.lab.specs(&stack), before);
}

#[test]
fn nobody_takes_a_name_by_listing_it_as_disabled() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(20);
    let image = scene.lab.image("app:1");
    for first in ["deployed", "tried"] {
        let stack = scene.stack("pay", &scene.off());
        if first == "deployed" {
            scene.watch().success();
            scene.lab.docker(&["service", "rm", &format!("{stack}_app")]);
        }
        scene.change(&stack, &App::new(&format!("{image}-not")));
        scene.push().failure(3).stdout_has("cannot be pulled");
        let other = Repo::new();
        other.write("stacks.yaml", format!("- {{name: {stack}, enabled: false}}\n")).commit("first");
        scene.run(&["watch", &other.url()]).success();
        scene.change(&stack, &scene.off());
        scene.push().success().stdout_has(&format!("deployed  {stack} "));
        scene.run(&["unwatch", &other.url()]).success();
    }
}

#[test]
fn a_second_spelling_of_a_source_is_the_same_owner() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("spelled", &scene.off());
    scene.watch().success();
    for spelling in [scene.repo.url() + "/", scene.repo.path().display().to_string()] {
        scene.run(&["watch", &spelling]).failure(1).stderr_has("Repository is already being watched");
    }
    lose_database(&scene);
    scene.run(&["watch", &(scene.repo.url() + "/")]).success().stdout_has("adopted");
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!(scene.lab.services(&stack).len(), 1);
}

#[test]
fn a_name_refused_to_one_source_fails_nothing_of_its_owner() {
    let Some(scene) = Scene::new() else { return };
    let (web, api) = (scene.stack("web", &scene.off()), scene.ops.unique("api"));
    scene.watch().success();
    let other = Repo::new();
    other.stack(&web, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).failure(3);
    scene.change(&api, &scene.off()).change(&web, &scene.off().with("environment: {A: '2'}"));
    scene.repo.write("stacks.yaml", format!("- name: {web}\n- name: {api}\n  depends_on: [{web}]\n"));
    scene.push().failure(3).stdout_has("2 deployed, 1 failed");
    assert_eq!(scene.deploys(), [web, api]);
}
