//! Images that no stack uses any more go, from the manager and from all nodes; whatever else uses one keeps it.

use std::fs;
use std::sync::OnceLock;

use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, docker_binaries, lab};
use crate::support::scene::{App, Scene};
use crate::support::{command, stdout_of, unique, wait_for};

/// A new image of the lab's registry: its name there, its repository, its digest.
fn fresh(lab: &Lab, base: &str) -> (String, String, String) {
    let short = format!("{}:1", unique(base));
    let digest = lab.publish(&short, &[]);
    let image = lab.image(&short);
    (short, image.strip_suffix(":1").unwrap().to_owned(), digest)
}

/// Digests of `repository` on a node, the newest first.
fn here(lab: &Lab, repository: &str) -> Vec<String> {
    let text = lab.docker(&["image", "ls", "--digests", "--format", "{{.Digest}}", repository]);
    text.lines().map(str::to_owned).collect()
}

fn here2(lab: &Lab, repository: &str) -> usize {
    lab.docker2(&["image", "ls", "--quiet", "--digests", repository]).lines().count()
}

fn count(scene: &Scene, image: &str) -> Option<i64> {
    let query = "SELECT reference_count FROM images WHERE name = ?1";
    scene.ops.db().query_row(query, [image], |row| row.get(0)).ok()
}

/// Runs it until nothing holds the image any more: a container that is stopping does.
fn reconcile_until(scene: &Scene, what: &str, holds: impl Fn() -> bool) {
    wait_for(what, 30, || {
        scene.reconcile().success();
        holds()
    });
}

fn on_the_manager(image: &str) -> App {
    App::new(image).deploy("placement: {constraints: [node.role==manager]}")
}

#[test]
fn an_image_goes_when_no_stack_uses_it_nor_would_go_back_to_it() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let [one, two, three] = ["one", "two", "three"].map(|base| fresh(lab, base).1);
    let image = |repository: &str| format!("{repository}:1");
    // Without a task: Swarm keeps the containers of ended ones for a while, and they their images.
    let app = |repository: &str| App::new(&image(repository)).replicas(0);
    let stack = scene.stack("next", &app(&one));
    scene.watch().success();
    assert_eq!(here(lab, &one).len(), 1);
    scene.change(&stack, &app(&two)).push().success();
    assert_eq!((here(lab, &one).len(), count(&scene, &image(&one))), (1, Some(0)), "rollback would need it");
    scene.reconcile().success();
    assert_eq!(scene.docker.calls().len(), 2, "which is known without another call");
    scene.change(&stack, &app(&three)).push().success().stdout_has("no stack uses the image any more");
    assert_eq!(here(lab, &one), [""; 0]);
    assert_eq!((count(&scene, &image(&one)), count(&scene, &image(&two))), (None, Some(0)));
    scene.run(&["unwatch", &scene.repo.url()]).success();
    assert_eq!((here(lab, &two).len(), here(lab, &three).len()), (0, 0));
    assert_eq!(count(&scene, &image(&three)), None);
    assert!(scene.docker.calls().iter().all(|call| !call.contains("force")));
}

#[test]
fn the_untagged_remains_of_a_moved_tag_go() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let (short, repository, _) = fresh(lab, "moving");
    let scene = Scene { ops: scene.ops.beside_the_registry(lab).always(), ..scene };
    let stack = scene.stack("moving", &App::new(&format!("{repository}:1")).replicas(0));
    scene.watch().success();
    let second = lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("1 deployed");
    let third = lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("1 deployed");
    let mut wanted = vec![second, third.clone()];
    let mut found = here(lab, &repository);
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted, "what runs, and what rollback would need");
    assert!(lab.runs(&format!("{stack}_app")).ends_with(&third));
    scene.run(&["unwatch", &scene.repo.url()]).success();
    assert_eq!(here(lab, &repository), [""; 0]);
}

#[test]
fn what_somebody_pulled_stays_when_its_tag_moves_also_in_a_repository_that_is_tracked() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let (short, repository, _) = fresh(lab, "shared");
    let (second, app) =
        (short.replace(":1", ":2"), |tag: &str| App::new(&format!("{repository}:{tag}")).replicas(0));
    let scene = Scene { ops: scene.ops.beside_the_registry(lab).always(), ..scene };
    let stack = scene.stack("shared", &app("1"));
    scene.watch().success();
    let his = lab.publish(&second, &[]);
    lab.docker(&["pull", "--quiet", &format!("{repository}:2")]);
    scene.change(&stack, &app("2")).push().success();
    for _ in 0..3 {
        lab.publish(&second, &[]);
        scene.reconcile().success().stdout_has("1 deployed");
    }
    assert!(here(lab, &repository).contains(&his), "{his} of {:?}", here(lab, &repository));
}

#[test]
fn an_image_that_a_container_uses_keeps_its_row_and_goes_when_it_is_free() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let (_, repository, _) = fresh(lab, "used");
    let (image, mine, his) = (format!("{repository}:1"), format!("{}:1", unique("mine")), unique("his"));
    let stack = scene.stack("used", &on_the_manager(&image));
    let other = scene.stack("other", &scene.off());
    scene.watch().success();
    // Ended, by hand, and under two names: docker alone would take one of them away.
    lab.docker(&["run", "--name", &his, &image, "/bin/true"]);
    lab.docker(&["tag", &image, &mine]);
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {other}\n"));
    scene.push().success().stdout_has("1 removed");
    wait_for("its task to end", 20, || {
        lab.docker(&["ps", "--all", "--quiet", "--filter", &format!("ancestor={image}")]).lines().count() == 1
    });
    scene.reconcile().success();
    assert_eq!((here(lab, &repository).len(), count(&scene, &image)), (1, Some(0)));
    assert_eq!(scene.docker.calls_with("image rm"), [""; 0]);
    // Other tests' containers come and go; where none does, one call tells that nothing can have changed.
    wait_for("an idle run of three calls", 60, || {
        scene.reconcile().success();
        scene.docker.calls().len() == 3
    });
    assert!(scene.docker.calls()[2].starts_with("container ls "));
    lab.docker(&["rm", &his]);
    scene.reconcile().success().stdout_has("no stack uses the image any more");
    assert_eq!((here(lab, &repository).len(), count(&scene, &image)), (0, None));
    assert!(!lab.docker(&["image", "ls", "--quiet", &mine]).is_empty(), "a name he gave it stays");
    lab.docker(&["image", "rm", &mine]);
}

#[test]
fn an_image_that_was_here_before_or_was_never_tracked_stays() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let [before, never] = ["before", "never"].map(|base| fresh(lab, base).1);
    for repository in [&before, &never] {
        lab.docker(&["pull", "--quiet", &format!("{repository}:1")]);
    }
    let stack = scene.stack("before", &on_the_manager(&format!("{before}:1")));
    let other = scene.stack("other", &scene.off());
    scene.watch().success();
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {other}\n"));
    scene.push().success().stdout_has("1 removed");
    scene.reconcile().success();
    assert_eq!(scene.docker.calls_with("image rm"), [""; 0]);
    assert_eq!((here(lab, &before).len(), here(lab, &never).len()), (1, 1));
    scene.run(&["unwatch", &scene.repo.url()]).success();
    for repository in [&before, &never] {
        wait_for("it to be free", 20, || {
            lab.try_docker(&["image", "rm", &format!("{repository}:1")]).is_ok()
        });
    }
}

#[test]
fn an_image_that_was_here_before_stays_though_docker_did_not_say_so_at_first() {
    let Some(lab) = lab() else { return };
    let docker = FakeDocker::new().does("image ls", "test -e $folder/well || { echo away >&2; exit 1; }");
    let scene = Scene::before(lab, docker);
    let (_, before, _) = fresh(lab, "unasked");
    lab.docker(&["pull", "--quiet", &format!("{before}:1")]);
    let stack = scene.stack("unasked", &on_the_manager(&format!("{before}:1")));
    scene.watch().failure(3);
    fs::write(scene.docker.folder().parent().unwrap().join("well"), "").unwrap();
    scene.change(&stack, &scene.off());
    scene.push().success().stdout_has("1 deployed");
    scene.reconcile().success();
    assert_eq!(scene.docker.calls_with("image rm"), [""; 0]);
    assert_eq!(here(lab, &before).len(), 1);
}

/// An image with this machine's docker CLI, which stands for `docker:cli`.
fn docker_cli(lab: &Lab) -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let program = docker_binaries().remove(0);
        let script = format!(
            "mkdir -p root/usr/bin; cp {0} root/usr/bin/docker
             for library in $(ldd {0} 2>/dev/null | grep -o '/[^ ]*'); do
                 mkdir -p root$(dirname $library); cp $library root$library
             done",
            program.display()
        );
        stdout_of(command("bash").current_dir(folder.path()).args(["-ec", &script]));
        let base = format!("FROM {}\nENV PATH=/usr/bin:/bin\nCOPY root /\n", lab.image("base"));
        fs::write(folder.path().join("Dockerfile"), base).unwrap();
        let image = lab.image(&format!("{}:1", unique("docker-cli")));
        let mut build = command("docker");
        build.env("DOCKER_HOST", lab.docker_host()).env("DOCKER_BUILDKIT", "0").env("HOME", folder.path());
        stdout_of(build.args(["build", "--quiet", "--tag", &image]).arg(folder.path()));
        lab.docker(&["push", "--quiet", &image]);
        image
    })
}

/// A stack that had run on the worker and left the repository, so that its image is to go.
fn left_behind(scene: &Scene) -> String {
    let lab = scene.lab;
    let (_, repository, _) = fresh(lab, "worker");
    let app = App::new(&format!("{repository}:1")).deploy("mode: global");
    let stack = scene.stack("worker", &app);
    let other = scene.stack("other", &scene.off());
    scene.watch().success();
    assert_eq!((here(lab, &repository).len(), here2(lab, &repository)), (1, 1));
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {other}\n")).commit("without");
    repository
}

#[test]
fn unused_images_go_from_every_node_where_that_is_wanted() {
    let Some(lab) = lab() else { return };
    for binary in docker_binaries() {
        let scene = Scene::before(lab, FakeDocker::before(&binary));
        let ops = scene.ops.env("DOCKEROPS_PRUNE_NODES", "1").env("DOCKEROPS_PRUNE_IMAGE", docker_cli(lab));
        let scene = Scene { ops, ..scene };
        let repository = left_behind(&scene);
        let (image, his) = (format!("{repository}:1"), unique("his"));
        let pulled = lab.docker2(&["image", "ls", "--quiet", "--digests", &repository]);
        lab.docker2(&["run", "--name", &his, &pulled, "/bin/true"]);
        let outcome = scene.reconcile();
        outcome.success().stdout_has("1 removed");
        wait_for("the node's report", 60, || {
            let outcome = scene.reconcile();
            outcome.success();
            outcome
                .stdout
                .contains("note      node2  images that nothing uses stay on this node: a container there")
        });
        assert_eq!((here(lab, &repository).len(), here2(lab, &repository)), (0, 1));
        assert_eq!(count(&scene, &image), Some(0), "it is tried again");
        lab.docker2(&["rm", &his]);
        reconcile_until(&scene, "the worker to be rid of it", || here2(lab, &repository) == 0);
        assert_eq!(count(&scene, &image), None);
        let calls = scene.docker.calls_with("service create");
        assert!(calls.len() == 1 && !calls[0].contains("force"), "{calls:?}");
        assert_eq!(scene.docker.calls_with("service rm").len(), 1);
        scene.reconcile().success();
        assert_eq!(scene.docker.calls().len(), 2, "nothing is left to do");
    }
}

#[test]
fn a_job_that_does_not_end_is_reported_and_taken_away_also_when_the_run_is_interrupted() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new());
    // It has a shell and no docker.
    let ops = scene.ops.env("DOCKEROPS_PRUNE_NODES", "1").env("DOCKEROPS_PRUNE_IMAGE", lab.image("app:1"));
    let scene = Scene { ops, ..scene };
    let repository = left_behind(&scene);
    let scene = scene.timeout(5);
    scene.reconcile().success();
    wait_for("the nodes' reports", 60, || {
        let outcome = scene.reconcile();
        outcome.success();
        outcome.stdout.contains("note      node1  images")
            && outcome.stdout.contains("note      node2  images")
    });
    assert_eq!(scene.docker.calls_with("service rm").len(), 1);
    assert_eq!(here2(lab, &repository), 1);

    let ops = scene.ops.env("DOCKEROPS_PRUNE_IMAGE", lab.image("nowhere:1"));
    let scene = Scene { ops, docker: scene.docker.does("service ps", "sleep 1"), ..scene };
    scene.docker.forget();
    let running = scene.ops.spawn(["reconcile"]);
    scene.docker.wait_for_call("service ps");
    running.signal(rustix::process::Signal::INT);
    running.wait().failure(130);
    assert_eq!(scene.docker.calls_with("service rm").len(), 1);
    let label = format!("label=dockerops.prune={}", scene.ops.database().display());
    assert_eq!(lab.docker(&["service", "ls", "--quiet", "--filter", &label]), "");
}
