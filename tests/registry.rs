//! Images under `always` and `ifnotpresent`: what is asked of a registry, what is pulled, and which services roll.

use std::time::{Duration, Instant};

use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab, on_every_docker};
use crate::support::registry::Registry;
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{command, stdout_of, unique, wait_for};

/// A scene under `always`, beside a registry that writes down what it is asked.
fn scene(lab: &'static Lab) -> (Scene, Registry) {
    let scene = Scene::before(lab, FakeDocker::new());
    let ops = scene.ops.beside_the_registry(lab).always();
    (Scene { ops, ..scene }, Registry::start(lab, &[]))
}

/// A new image of the lab's registry, as `registry` calls it: name without the registry, name, digest.
fn fresh(lab: &Lab, registry: &Registry, base: &str) -> (String, String, String) {
    let short = format!("{}:1", unique(base));
    let digest = lab.publish(&short, &[]);
    let image = format!("{}/{short}", registry.name(lab));
    (short, image, digest)
}

fn head(short: &str) -> String {
    format!("HEAD /v2/{}/manifests/1", short.strip_suffix(":1").unwrap())
}

#[test]
fn a_moved_tag_rolls_the_services_that_use_it_and_only_those() {
    let Some(lab) = lab() else { return };
    on_every_docker(|binary| {
        let scene = Scene::before(lab, FakeDocker::before(binary));
        let scene = Scene { ops: scene.ops.beside_the_registry(lab).always(), ..scene };
        let registry = Registry::start(lab, &[]);
        let (moving, image, first) = fresh(lab, &registry, "moving");
        let (calm, other, still) = fresh(lab, &registry, "calm");
        let stack = scene.ops.unique("roll");
        let pinned = App::new(&format!("{}@{still}", other.strip_suffix(":1").unwrap()));
        // The older CLI's `stack deploy` knows no jobs.
        let version = stdout_of(command(binary).arg("--version"));
        let shot = if version.contains(" 20.") {
            "restart_policy: {condition: none}"
        } else {
            "mode: replicated-job"
        };
        let job = App::new(&other).update("").deploy(shot).shell("true");
        let (one, two) = (App::new(&image), App::new(&image).replicas(0));
        let apps =
            [("one", &one), ("two", &two), ("calm", &App::new(&other)), ("pinned", &pinned), ("job", &job)];
        scene.repo.stack(&stack, &compose(apps));
        scene.watch().success().stdout_has("1 deployed");
        let mut wanted = vec!["GET /v2/".to_owned(), head(&calm), head(&moving)];
        wanted.sort_unstable();
        assert_eq!(registry.asked(), wanted, "a request a tag");
        let accept =
            registry.log().iter().find(|entry| entry["method"] == "HEAD").unwrap()["accept"].to_string();
        for kind in
            ["oci.image.index.v1", "oci.image.manifest.v1", "manifest.list.v2", "distribution.manifest.v2"]
        {
            assert!(accept.contains(kind), "{accept}");
        }

        // Idle: the same requests, and no more docker than it takes to know the registry's kind.
        registry.forget();
        scene.reconcile().success().stdout_has("1 unchanged");
        assert_eq!(registry.asked(), wanted);
        assert_eq!(scene.docker.calls().len(), 4, "{:?}", scene.docker.calls());

        let second = lab.publish(&moving, &[]);
        let name = |service: &str| format!("{stack}_{service}");
        let others =
            ["calm", "pinned", "job"].map(|service| lab.docker(&["service", "inspect", &name(service)]));
        let tasks = |service: &str| lab.docker(&["service", "ps", "--quiet", &name(service)]);
        let (before, job) = (tasks("calm"), tasks("job"));
        registry.forget();
        scene.run(&["reconcile", "--dry-run"]).success().stdout_has("roll: ").stdout_has("1 to deploy");
        assert_eq!(scene.docker.calls_with("update"), [""; 0]);
        let outcome = scene.reconcile();
        outcome.success().stdout_has("1 deployed").stdout_has(&second[..19]).stdout_has(&name("two"));
        for service in ["one", "two"] {
            assert_eq!(lab.runs(&name(service)), format!("{image}@{second}"));
        }
        assert_eq!(scene.deploys(), [""; 0], "a job beside it does not run again");
        let now =
            ["calm", "pinned", "job"].map(|service| lab.docker(&["service", "inspect", &name(service)]));
        assert_eq!(now, others);
        assert_eq!((tasks("calm"), tasks("job")), (before, job));
        assert_eq!(scene.docker.calls_with("pull"), [format!("pull {image}")]);
        assert!(!outcome.stdout.contains(&first[..19]));
        registry.forget();
        scene.reconcile().success().stdout_has("1 unchanged");
        assert_eq!(registry.asked(), wanted);
    });
}

#[test]
fn two_repositories_that_share_an_image_roll_on_one_answer() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let (short, image, _) = fresh(lab, &registry, "shared");
    let one = scene.stack("one", &App::new(&image));
    scene.watch().success();
    let (repo, two) = (Repo::new(), scene.ops.unique("two"));
    repo.stack(&two, &compose([("app", &App::new(&image).replicas(0))])).commit("first");
    scene.run(&["watch", &repo.url()]).success();
    let digest = lab.publish(&short, &[]);
    registry.forget();
    scene.reconcile().success().stdout_has("2 deployed");
    assert_eq!(registry.asked(), ["GET /v2/".to_owned(), head(&short)]);
    for stack in [one, two] {
        assert_eq!(lab.runs(&format!("{stack}_app")), format!("{image}@{digest}"));
    }
    assert_eq!(scene.docker.calls_with("pull").len(), 1);
}

#[test]
fn ifnotpresent_asks_no_registry_and_force_does_not_pull() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let scene = Scene { ops: scene.ops.env("DOCKEROPS_IMAGE_PULL_POLICY", "ifnotpresent"), ..scene };
    let (short, image, digest) = fresh(lab, &registry, "present");
    let stack = scene.stack("lazy", &App::new(&image));
    scene.watch().success();
    assert_eq!(scene.docker.calls_with("pull"), [format!("pull {image}")], "what is absent");
    lab.publish(&short, &[]);
    registry.forget();
    let tasks = lab.tasks(&stack);
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!((registry.log().len(), scene.docker.calls().len()), (0, 3));
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    assert_eq!(scene.docker.calls_with("pull"), [""; 0]);
    assert_eq!((registry.log().len(), lab.tasks(&stack)), (0, tasks));
    assert_eq!(lab.runs(&format!("{stack}_app")), format!("{image}@{digest}"));
}

#[test]
fn whatever_a_registry_answers_is_a_warning_and_what_is_here_is_used() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let scene = Scene { ops: scene.ops.env("DOCKEROPS_REGISTRY_TIMEOUT", "1"), ..scene };
    let (short, image, _) = fresh(lab, &registry, "faulty");
    let (_, other, _) = fresh(lab, &registry, "faultless");
    let stack = scene.ops.unique("faults");
    scene.repo.stack(&stack, &compose([("app", &App::new(&image)), ("off", &App::new(&other).replicas(0))]));
    scene.watch().success();
    lab.publish(&short, &[]);
    let before = lab.specs(&stack);
    for (fault, words, requests) in [
        ("401", "answers 401 Unauthorized: UNAUTHORIZED: authentication required", 2),
        ("403", "answers 403 Forbidden: DENIED: not for you", 2),
        ("404", "answers 404 Not Found: MANIFEST_UNKNOWN: manifest unknown", 2),
        ("429", "answers 429 Too Many Requests; try again in 77 s", 1),
        ("500", "answers 500 Internal Server Error: UNKNOWN: the disk is on fire", 2),
        ("html", "names no digest but `text/html`", 1),
        ("digest", "names the digest `sha256:nonsense`, which is none", 1),
        ("none", "names no digest", 1),
        ("hang", "cannot be asked: timeout", 1),
    ] {
        registry.fault(fault);
        registry.forget();
        let outcome = scene.reconcile();
        outcome.success().stdout_has(words).stdout_has("1 unchanged").stdout_has("what is here is used");
        // Two tags, one warning: it is the same trouble.
        assert_eq!(outcome.stdout.matches(words).count(), 1, "{outcome}");
        assert_eq!(registry.asked().len(), 1 + 2 * requests, "{fault}: {:?}", registry.asked());
        assert_eq!((scene.deploys(), lab.specs(&stack)), (Vec::new(), before.clone()), "{fault}");
    }
    drop(registry);
    scene.reconcile().success().stdout_has("cannot be asked").stdout_has("1 unchanged");
    assert_eq!(lab.specs(&stack), before);
}

#[test]
fn a_tag_that_is_not_answered_does_not_restart_its_service_when_another_moves() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let silent = Registry::start(lab, &[]);
    let (moving, image, _) = fresh(lab, &registry, "moving");
    let (_, deaf, _) = fresh(lab, &silent, "deaf");
    let stack = scene.ops.unique("half");
    let (one, two) = (App::new(&image).replicas(0), App::new(&deaf));
    scene.repo.stack(&stack, &compose([("one", &one), ("two", &two)]));
    scene.watch().success();
    let digest = lab.publish(&moving, &[]);
    let tasks = lab.tasks(&stack);
    silent.fault("500");
    scene.reconcile().success().stdout_has("the disk is on fire").stdout_has("1 deployed");
    assert_eq!(lab.runs(&format!("{stack}_one")), format!("{image}@{digest}"));
    // Nor when the stack itself changes, or is forced.
    scene.repo.stack(&stack, &compose([("one", &one.with("environment: {A: '2'}")), ("two", &two)]));
    scene.push().success().stdout_has("1 deployed");
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    assert_eq!(lab.tasks(&stack), tasks);
    assert!(lab.runs(&format!("{stack}_two")).contains('@'));
}

#[test]
fn an_image_that_only_a_node_has_is_deployed_and_one_that_is_nowhere_fails() {
    let Some(lab) = lab() else { return };
    for policy in ["ifnotpresent", "always"] {
        let (scene, registry) = scene(lab);
        let scene = Scene { ops: scene.ops.env("DOCKEROPS_IMAGE_PULL_POLICY", policy), ..scene }.timeout(30);
        let here = format!("{}/{}:1", registry.name(lab), unique("here"));
        lab.docker(&["tag", &lab.image("app:1"), &here]);
        let manager = "placement: {constraints: [node.role==manager]}";
        let good = scene.stack("here", &App::new(&here).deploy(manager));
        let bad = scene.stack("nowhere", &App::new(&format!("{here}-not")).deploy(manager));
        let outcome = scene.watch();
        outcome.failure(3).stdout_has(&format!("deployed  {good} ")).stdout_has("1 deployed, 1 failed");
        outcome.stdout_has(&format!("failed    {bad}  not deployed: `{here}-not` cannot be pulled"));
        lab.docker(&["stack", "rm", &good, &bad]);
        wait_for("the image to be free", 20, || lab.try_docker(&["image", "rm", &here]).is_ok());
    }
}

#[test]
fn a_new_image_that_swarm_goes_back_from_is_held_until_the_tag_moves_again() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let (short, image, first) = fresh(lab, &registry, "careful");
    let stack = scene.stack("careful", &App::new(&image).update("monitor: 1s, failure_action: rollback"));
    scene.watch().success();
    let service = format!("{stack}_app");
    let count = "SELECT reference_count FROM images WHERE name = ?1";
    lab.publish(&short, &[r#"CMD ["/bin/false"]"#]);
    scene.reconcile().failure(3).stdout_has("rolled it back");
    assert_eq!(lab.runs(&service), format!("{image}@{first}"));
    let counted: i64 = scene.ops.db().query_row(count, [&image], |row| row.get(0)).unwrap();
    assert_eq!(counted, 1, "what a rollback returned to is counted");
    scene.reconcile().failure(3).stdout_has("held until");
    assert_eq!(scene.docker.calls_with("service update"), [""; 0]);
    let held =
        || scene.ops.db().query_row("SELECT count(*) FROM failed_rolls", [], |row| row.get::<_, i64>(0));
    assert_eq!(held().unwrap(), 1);
    // Who moves the tag back to what Swarm went back to needs no force.
    let counts = || {
        lab.docker(&["service", "ls", "--filter", &format!("name={service}"), "--format", "{{.Replicas}}"])
    };
    wait_for("what Swarm went back to", 30, || counts() == "1/1");
    let tasks = || lab.docker(&["service", "ps", "--quiet", &service]);
    let (tag, before) = (format!("{image}@{first}"), tasks());
    lab.move_tag(&short, &first);
    scene.reconcile().success().stdout_has("by now all runs as the source says");
    assert_eq!((lab.runs(&service), tasks()), (tag, before));
    assert_eq!(held().unwrap(), 0);
    lab.publish(&short, &[r#"CMD ["/bin/false"]"#]);
    scene.reconcile().failure(3).stdout_has("rolled it back");
    let third = lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(lab.runs(&service), format!("{image}@{third}"));
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(held().unwrap(), 0, "one that the tag goes back to later is tried again");
}

#[test]
fn what_swarm_goes_back_from_for_want_of_an_image_is_deployed_when_that_can_be_had() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let app = |image: &str| {
        let app = App::new(image).update("monitor: 1s, failure_action: rollback");
        app.deploy("placement: {constraints: [node.role==manager]}")
    };
    let ((_, first, _), (_, second, _)) = (fresh(lab, &registry, "before"), fresh(lab, &registry, "after"));
    let stack = scene.stack("wanting", &app(&first));
    scene.watch().success();
    registry.fault("500");
    let said = scene.change(&stack, &app(&second)).push();
    said.failure(3).stdout_has("rolled it back").stdout_has("No such image").stdout_lacks("held");
    let said = scene.reconcile();
    said.failure(3).stdout_has("not deployed: Swarm went back from its last update").stdout_has(&second);
    assert_eq!(scene.deploys(), [""; 0]);
    registry.fault("");
    scene.reconcile().success().stdout_has("1 deployed");
    assert!(lab.runs(&format!("{stack}_app")).starts_with(&second));
}

#[test]
fn a_new_image_that_cannot_be_pulled_is_not_rolled_out() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let (short, image, first) = fresh(lab, &registry, "unpulled");
    let stack = scene.stack("unpulled", &App::new(&image).replicas(0));
    scene.watch().success();
    lab.publish(&short, &[]);
    let scene = Scene { docker: scene.docker.fails("pull ", 1, "no space left on device"), ..scene };
    scene.reconcile().success().stdout_has("no space left on device").stdout_has("1 unchanged");
    assert_eq!(lab.runs(&format!("{stack}_app")), format!("{image}@{first}"));
}

#[test]
fn a_service_with_secrets_gets_the_command_of_its_new_image() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let short = format!("{}:1", unique("command"));
    lab.publish(&short, &[r#"CMD ["/bin/sleep","100001"]"#]);
    let image = format!("{}/{short}", registry.name(lab));
    let stack = scene.stack("command", &App::new(&image).replicas(0));
    let secret = unique("secret");
    lab.docker(&["secret", "create", &secret, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    scene.repo.write(&format!("{stack}/secrets.yaml"), format!("- {{secret: {secret}, env: A}}\n"));
    scene.watch().success();
    lab.publish(&short, &[r#"CMD ["/bin/sleep","it's $A 2"]"#]);
    scene.reconcile().success().stdout_has("1 deployed");
    let arguments = lab.spec(&format!("{stack}_app"), "json .Spec.TaskTemplate.ContainerSpec.Args");
    assert_eq!(arguments, r#"["/bin/sleep","it's $A 2"]"#);
    scene.reconcile().success().stdout_has("1 unchanged");
    scene.run(&["unwatch", &scene.repo.url()]).success();
    lab.docker(&["secret", "rm", &secret]);
}

#[test]
fn drift_that_is_only_reported_stays_so_beside_a_new_image() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let (short, image, _) = fresh(lab, &registry, "drifted");
    let stack = scene.stack("drifted", &App::new(&image).replicas(0));
    scene.repo.write("stacks.yaml", format!("- {{name: {stack}, drift: report}}\n"));
    scene.watch().success();
    lab.edit(&format!("{stack}_app"), &["--env-add", "B=1"]);
    let digest = lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("`environment` edited").stdout_has("1 deployed");
    assert_eq!(lab.runs(&format!("{stack}_app")), format!("{image}@{digest}"));
    scene.reconcile().success().stdout_has("`environment` edited").stdout_has("1 drifted");
}

#[test]
fn a_pull_that_takes_long_holds_up_only_the_stack_that_needs_it() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let (_, slow, _) = fresh(lab, &registry, "slow");
    let (_, quick, _) = fresh(lab, &registry, "quick");
    let Scene { ops, docker, repo, .. } = scene;
    let scene = Scene {
        lab,
        ops: ops.on_a_terminal().beside_the_registry(lab),
        repo,
        docker: docker.waits(&format!("pull {slow}")),
    };
    let waits = scene.stack("waits", &App::new(&slow).replicas(0));
    let goes = scene.stack("goes", &App::new(&quick).replicas(0));
    scene.repo.commit("first");
    let running = scene.ops.spawn(["watch", &scene.repo.url()]);
    scene.docker.wait_for_call(&format!("file - {goes}"));
    assert_eq!(scene.docker.calls_with(&format!("file - {waits}")), [""; 0]);
    scene.docker.release();
    let outcome = running.wait();
    outcome.success().stdout_has("2 deployed").stdout_has(&format!("{quick}  is being pulled: "));
    let calls = scene.docker.calls();
    let at = |part: &str| calls.iter().position(|call| call.contains(part)).unwrap();
    assert!(at(&format!("pull {slow}")) < at(&format!("file - {goes}")), "pulls begin first: {calls:?}");
}

#[test]
fn a_pull_is_given_up_when_the_run_is_asked_to_end() {
    let Some(lab) = lab() else { return };
    let (scene, registry) = scene(lab);
    let (_, slow, _) = fresh(lab, &registry, "endless");
    let Scene { ops, docker, repo, .. } = scene;
    let scene = Scene { lab, ops, repo, docker: docker.hangs(&format!("pull {slow}")) };
    scene.stack("waits", &App::new(&slow).replicas(0));
    scene.repo.commit("first");
    let running = scene.ops.spawn(["watch", &scene.repo.url()]);
    scene.docker.wait_for_call("pull");
    let begun = Instant::now();
    running.signal(rustix::process::Signal::INT);
    running.wait().failure(130);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
