//! Rollbacks: an earlier version runs again, by the images it ran by, and stays until there is another than the one fled.

mod api;
mod bindings;
mod images;

use std::fs;

use serde_json::{Value, json};

use crate::support::dockerops::Outcome;
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::scene::{App, Scene};
use crate::support::wait_for;

fn web(scene: &Scene, value: &str) -> App {
    scene.off().with(format!("environment: {{A: '{value}'}}"))
}

/// What the service was given as `A`.
fn value(scene: &Scene, stack: &str) -> String {
    let environment = ".Spec.TaskTemplate.ContainerSpec.Env";
    scene.lab.spec(&format!("{stack}_app"), environment).trim_matches(['[', ']']).to_owned()
}

/// A stack `web` that ran as `1`, and runs as `2`.
fn two_versions(scene: &Scene) -> String {
    let stack = scene.stack("web", &web(scene, "1"));
    scene.watch().success();
    scene.change(&stack, &web(scene, "2")).push().success();
    stack
}

trait Rolls {
    fn set(&self, stack: &str, value: &str) -> &Self;
    fn back(&self, stack: &str, more: &[&str]) -> Outcome;
    fn ran(&self, stack: &str) -> Vec<Value>;
}

impl Rolls for Scene {
    fn set(&self, stack: &str, value: &str) -> &Self {
        self.change(stack, &web(self, value))
    }

    #[track_caller]
    fn back(&self, stack: &str, more: &[&str]) -> Outcome {
        self.run(&[&["rollback", stack], more].concat())
    }

    #[track_caller]
    fn ran(&self, stack: &str) -> Vec<Value> {
        let told = self.ops.run(["history", stack, "--json"]);
        told.success().json()["versions"].as_array().unwrap().clone()
    }
}

#[test]
fn a_bad_push_goes_back_and_stays_away_until_there_is_a_fix() {
    let Some(scene) = Scene::new() else { return };
    let other = scene.stack("other", &web(&scene, "1"));
    let stack = scene.stack("web", &web(&scene, "1"));
    scene.watch().success();
    let good = scene.repo.head();
    scene.set(&stack, "2").push().success();
    let said = scene.back(&stack, &["--reason", "it loses orders"]);
    said.success().stdout_has(&format!(
        "deployed  {stack}  rolled back to {}: it loses orders; converged",
        &good[..12]
    ));
    said.stdout_has("1 deployed").stdout_has("until its source has another version");
    assert_eq!((value(&scene, &stack), scene.deploys()), ("A=1".to_owned(), vec![stack.clone()]));
    assert_eq!(scene.lab.label(&format!("{stack}_app"), "dockerops.commit"), good);
    let versions = scene.ran(&stack);
    assert_eq!((&versions[0]["how"], &versions[0]["commit"]), (&json!("rollback"), &json!(good)));
    let hold = &scene.status(&stack)["hold"];
    assert_eq!((&hold["kind"], &hold["reason"]), (&json!("rollback"), &json!("it loses orders")));
    assert_eq!((&hold["to"], hold["behind"].as_i64()), (&json!(good), Some(1)), "{hold}");
    // It stays, whatever syncs come, and whatever is pushed elsewhere.
    for _ in 0..10 {
        scene.reconcile().success().stdout_has("1 on hold");
        assert_eq!(scene.deploys(), Vec::<String>::new());
    }
    scene.set(&other, "2").push().success().stdout_has("1 deployed").stdout_has("1 on hold");
    scene.run(&["reconcile", "--force"]).success();
    assert_eq!((value(&scene, &stack), value(&scene, &other)), ("A=1".to_owned(), "A=2".to_owned()));
    // Another release of DockerOps, or another environment of it, makes no other version of what was fled.
    let scene = Scene { ops: scene.ops.env("UNUSED", "1"), ..scene };
    scene.set(&other, "3").push().success().stdout_has("1 on hold");
    // A fix goes out.
    let said = scene.set(&stack, "3").push();
    said.success().stdout_has(&format!("released  {stack}")).stdout_has("1 deployed");
    assert_eq!(value(&scene, &stack), "A=3");
    assert!(scene.status(&stack)["hold"].is_null());
    scene.reconcile().success().stdout_has("unchanged");
}

#[test]
fn what_failed_goes_back_to_what_ran_before_and_that_runs() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(20);
    let stack = scene.stack("web", &scene.on().with("environment: {A: '1'}"));
    scene.watch().success();
    let bad = scene.on().shell("exit 7").with("environment: {A: '2'}");
    scene.change(&stack, &bad.update("failure_action: pause")).push().failure(3);
    scene.back(&stack, &[]).success().stdout_has("1 deployed");
    assert_eq!(value(&scene, &stack), "A=1");
    let status = scene.status(&stack);
    assert_eq!((&status["status"], &status["health"]), (&json!("deployed"), &json!("healthy")), "{status}");
    scene.reconcile().success().stdout_has("1 on hold");
    // What cannot run is not said to run.
    let said = scene.back(&stack, &[]);
    said.failure(1).error_has("no version of");
}

#[test]
fn a_pinned_one_stays_until_it_is_released_and_a_second_one_goes_further_back() {
    let Some(scene) = Scene::new() else { return };
    let stack = two_versions(&scene);
    scene.set(&stack, "3").push().success();
    scene.back(&stack, &[]).success();
    assert_eq!(value(&scene, &stack), "A=2");
    let said = scene.back(&stack, &["--pin"]);
    said.success().stdout_has("; it was rolled back to");
    assert_eq!(value(&scene, &stack), "A=1", "not to what was fled");
    scene.set(&stack, "4").push().success().stdout_has("pinned until it is released");
    assert_eq!(value(&scene, &stack), "A=1");
    // A lost database forgets nothing of it.
    fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().success().stdout_has("the Swarm remembers it");
    assert_eq!((value(&scene, &stack), scene.deploys()), ("A=1".to_owned(), vec![]));
    scene.reconcile().success().stdout_has("1 on hold");
    assert_eq!(value(&scene, &stack), "A=1");
    scene.run(&["release", &stack]).success();
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(value(&scene, &stack), "A=4");
}

#[test]
fn going_back_again_counts_no_commit_twice() {
    let Some(scene) = Scene::new() else { return };
    let stack = two_versions(&scene);
    let first = scene.ran(&stack)[1]["commit"].as_str().unwrap().to_owned();
    scene.set(&stack, "3").push().success();
    let behind = |times: usize| {
        for _ in 0..times {
            scene.back(&stack, &["--to", &first]).success();
            scene.reconcile().success();
        }
        scene.status(&stack)["hold"]["behind"].clone()
    };
    assert_eq!(behind(1), behind(3));
}

#[test]
fn one_that_is_cut_off_is_gone_on_with_and_one_in_motion_is_overtaken() {
    let Some(scene) = Scene::new() else { return };
    let stack = two_versions(&scene);
    let docker = FakeDocker::new().fails("stack deploy", 1, "no luck");
    let scene = Scene { ops: scene.ops.with_fake(&docker), docker, ..scene };
    scene.back(&stack, &[]).failure(3).stdout_has("no luck");
    assert_eq!(
        (value(&scene, &stack), scene.status(&stack)["status"].clone()),
        ("A=2".to_owned(), json!("error"))
    );
    let docker = FakeDocker::new();
    let scene = Scene { ops: scene.ops.with_fake(&docker), docker, ..scene };
    scene.reconcile().success().stdout_has("rolled back to");
    assert_eq!(value(&scene, &stack), "A=1");
    scene.reconcile().success().stdout_has("1 on hold");
    // A fix struggles, and is fled while it does.
    let fix =
        scene.on().shell("exit 7").with("environment: {A: '5'}").deploy("restart_policy: {delay: 300s}");
    scene.change(&stack, &fix).repo.commit("fix");
    scene.docker.forget();
    let run = scene.ops.spawn(["reconcile"]);
    wait_for("the fix is given", 60, || value(&scene, &stack) == "A=5");
    scene.ops.run(["rollback", &stack]).success();
    assert_eq!(value(&scene, &stack), "A=1");
    run.wait();
    scene.reconcile().success().stdout_has("1 on hold");
    assert_eq!(value(&scene, &stack), "A=1");
}

#[test]
fn a_commit_that_was_forced_away_is_had_from_what_is_kept() {
    let Some(scene) = Scene::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let stack = scene.stack("web", &web(&scene, "1"));
    scene.repo.commit("first");
    scene.repo.publish(folder.path(), "r");
    let server = GitServer::start(folder.path(), &[]);
    let url = server.url("r");
    scene.run(&["watch", &url]).success();
    scene.set(&stack, "2").repo.commit("second");
    scene.repo.publish(folder.path(), "r");
    scene.reconcile().success().stdout_has("1 deployed");
    // Nobody has the first one any more, and the server is away.
    drop(server);
    scene.back(&stack, &[]).success();
    assert_eq!(value(&scene, &stack), "A=1");
}

#[test]
fn mistakes_say_what_there_is() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &web(&scene, "1"));
    scene.back(&stack, &[]).failure(1).error_has("No repositories found in cache");
    scene.watch().success();
    let before = scene.lab.specs(&stack);
    scene.back(&stack, &[]).failure(1).error_has("no version of").error_has("but the one that runs");
    scene.back("nobody", &[]).failure(1).error_has("there is no stack `nobody`").error_has(&stack);
    let head = scene.repo.head();
    let said = scene.back(&stack, &["--to", "ffffff"]);
    said.failure(1).error_has("at no commit `ffffff`").error_has(&head[..12]);
    scene.back(&stack, &["--to", &head[..3]]).failure(1).error_has("so few digits");
    assert!(scene.lab.specs(&stack) == before && scene.status(&stack)["hold"].is_null());
    let said = scene.back(&stack, &["--to", &head[..8]]);
    said.failure(1).error_has("already").stderr_has(&format!("dockerops hold {stack}"));
}

#[test]
fn what_failed_is_told_from_what_ran_by_what_docker_has_and_a_revert_ends_it() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(20);
    let app = |value: &str| {
        let app = scene.on().with(format!("environment: {{A: '{value}', DB_PASSWORD: '${{WORD}}'}}"));
        app.shell("test $$DB_PASSWORD = good && exec sleep 100000").update("failure_action: pause")
    };
    let stack = scene.stack("web", &app("1"));
    let word = |word: &str| {
        scene.repo.write(&format!("{stack}/.env"), format!("WORD={word}\n"));
    };
    word("good");
    scene.watch().success();
    scene.change(&stack, &app("2"));
    scene.push().success();
    let good = scene.repo.head();
    // What people are shown of it is as before.
    word("bad");
    scene.push().failure(3);
    scene.back(&stack, &[]).success().stdout_has(&good[..12]);
    assert!(value(&scene, &stack).contains("A=2 DB_PASSWORD=good"), "{}", value(&scene, &stack));
    // What ran before is not fled: saying just that again ends it, and it is no other version.
    word("good");
    scene.push().success().stdout_has("released");
    assert!(scene.status(&stack)["hold"].is_null());
    let commits: Vec<_> = scene.ran(&stack).iter().map(|version| version["hash"].clone()).collect();
    assert_eq!(commits.len(), 2, "{commits:?}");
    scene.back(&stack, &[]).success();
    assert!(value(&scene, &stack).contains("A=1"), "not to what runs by other words");
}

#[test]
fn one_that_was_cut_off_is_meant_again_and_is_done_though_its_source_lists_the_stack_no_more() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &web(&scene, "1"));
    let other = scene.stack("other", &web(&scene, "1"));
    scene.watch().success();
    for value in ["2", "3"] {
        scene.set(&stack, value).push().success();
    }
    // Killed once it was noted.
    let docker = FakeDocker::new().does("stack deploy", "kill -9 $PPID; sleep 1; exit 1");
    let ops = scene.ops.with_fake(&docker);
    ops.run(["rollback", &stack]);
    let real = FakeDocker::new();
    let scene = Scene { ops: ops.with_fake(&real), docker: real, ..scene };
    assert_eq!(value(&scene, &stack), "A=3");
    scene.ops.run(["status"]).stdout_has("that version does not run so far");
    scene.repo.write("stacks.yaml", format!("- name: {other}\n")).commit("unlisted");
    scene.reconcile().success();
    assert_eq!(value(&scene, &stack), "A=2");
    scene.reconcile().success().stdout_has("would be removed");
    assert_eq!(value(&scene, &stack), "A=2");
    scene.repo.write("stacks.yaml", format!("- name: {other}\n- name: {stack}\n")).commit("listed");
    scene.reconcile().success().stdout_has("1 on hold");
    // A second one, killed as well, means the same when it is said again.
    scene.run(&["release", &stack]).success();
    scene.reconcile().success();
    let ops = scene.ops.with_fake(&docker);
    ops.run(["rollback", &stack]);
    let real = FakeDocker::new();
    let scene = Scene { ops: ops.with_fake(&real), docker: real, ..scene };
    scene.back(&stack, &[]).success();
    assert_eq!(value(&scene, &stack), "A=2");
}

#[test]
fn one_that_was_cut_off_goes_on_though_the_newest_commit_cannot_be_read() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &web(&scene, "1"));
    let other = scene.stack("other", &web(&scene, "1"));
    scene.watch().success();
    for value in ["2", "3"] {
        scene.set(&stack, value).push().success();
    }
    let before = scene.lab.specs(&other);
    let docker = FakeDocker::new().does("stack deploy", "kill -9 $PPID; sleep 1; exit 1");
    let ops = scene.ops.with_fake(&docker);
    ops.run(["rollback", &stack]);
    let real = FakeDocker::new();
    let scene = Scene { ops: ops.with_fake(&real), docker: real, ..scene };
    scene.repo.write("stacks.yaml", "- [\n").commit("broken");
    let said = scene.reconcile();
    said.failure(3).stdout_has("stacks.yaml").stdout_has("rolled back to").stdout_has("1 deployed, 1 failed");
    assert_eq!(value(&scene, &stack), "A=2");
    scene.reconcile().failure(3).stdout_has("stacks.yaml");
    assert!(value(&scene, &stack) == "A=2" && scene.lab.specs(&other) == before);
    scene.repo.write("stacks.yaml", format!("- name: {other}\n- name: {stack}\n")).commit("mended");
    scene.reconcile().success().stdout_has("1 on hold");
}

#[test]
fn the_hold_of_another_person_counts_again_once_a_rollback_ends_by_itself() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &web(&scene, "1"));
    scene.watch().success();
    let good = scene.repo.head();
    scene.set(&stack, "2").push().success();
    scene.run(&["hold", &stack, "--for", "ever", "--reason", "the audit"]).success();
    scene.back(&stack, &[]).success().stdout_has("the audit");
    assert_eq!(value(&scene, &stack), "A=1");
    scene.set(&stack, "3").push().success().stdout_has("as before: held by").stdout_has("the audit");
    assert_eq!(value(&scene, &stack), "A=1");
    let hold = scene.status(&stack)["hold"].clone();
    assert!(hold["kind"] == "hand" && hold["reason"] == "the audit", "{hold}");
    // Who ends both is told of both.
    scene.back(&stack, &["--to", &good]).failure(1).error_has("already");
    scene.run(&["release", &stack]).success();
    scene.reconcile().success();
    assert_eq!(value(&scene, &stack), "A=3");
    scene.run(&["hold", &stack, "--reason", "the audit"]).success();
    scene.back(&stack, &[]).success();
    scene.run(&["release", &stack]).success().stdout_has("the audit").stdout_has("ends as well");
    assert!(scene.status(&stack)["hold"].is_null(), "{}", scene.status(&stack));
}

#[test]
fn another_rollback_does_not_lift_a_pin() {
    let Some(scene) = Scene::new() else { return };
    let stack = two_versions(&scene);
    scene.back(&stack, &["--pin"]).success();
    scene.set(&stack, "3").push().success().stdout_has("1 on hold");
    let at = scene.status(&stack)["commit"].as_str().unwrap().to_owned();
    scene.back(&stack, &["--to", &at, "--reason", "me too"]).success().stderr_has("stays pinned");
    scene.set(&stack, "4").push().success().stdout_has("1 on hold");
    assert_eq!(value(&scene, &stack), "A=1");
}

#[test]
fn a_run_for_another_stack_ends_no_rollback() {
    let Some(scene) = Scene::new() else { return };
    let stack = two_versions(&scene);
    let other = scene.stack("other", &web(&scene, "1"));
    scene.push().success();
    scene.back(&stack, &[]).success();
    scene.set(&stack, "3").repo.commit("a fix");
    scene.run(&["reconcile", &other]).success().stdout_lacks("released");
    assert_eq!(scene.status(&stack)["hold"]["kind"], "rollback");
    // Taken back, it is what was fled.
    scene.set(&stack, "2").push().success().stdout_has("1 on hold");
    assert_eq!(value(&scene, &stack), "A=1");
}

#[test]
fn who_was_overtaken_by_a_release_is_told_so() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.on().update("monitor: 4s").with("environment: {A: '1'}"));
    scene.watch().success();
    scene.change(&stack, &scene.on().update("monitor: 4s").with("environment: {A: '2'}")).push().success();
    scene.docker.forget();
    let run = scene.ops.spawn(["rollback", &stack]);
    wait_for("it is given", 60, || value(&scene, &stack) == "A=1");
    scene.ops.run(["release", &stack]).success();
    // Who looks after it meanwhile deals with what is released.
    scene.reconcile().success();
    run.wait().failure(1).error_has("somebody released it");
    assert_eq!(value(&scene, &stack), "A=2");
    assert!(scene.status(&stack)["hold"].is_null());
    scene.ops.run(["release", &stack]).failure(1).error_has("is not held").stderr_lacks("ends that");
}
