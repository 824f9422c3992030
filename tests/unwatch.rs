//! `unwatch`: a source's stacks go, or stay; others' never.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::wait_for;

#[test]
fn unwatch_removes_the_stacks_of_that_source_alone_and_forgets_it() {
    let Some(scene) = Scene::new() else { return };
    let (one, two) = (scene.stack("one", &scene.on()), scene.stack("two", &scene.off()));
    scene.watch().success();
    let (other, kept) = (Repo::new(), scene.ops.unique("kept"));
    other.stack(&kept, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    let before = scene.lab.specs(&kept);
    scene.run(&["unwatch", &(scene.repo.url() + "/")]).success().stdout_has("no longer watched");
    assert_eq!((scene.lab.services(&one).len(), scene.lab.services(&two).len()), (0, 0));
    assert_eq!((scene.row(&one), scene.row(&two)), (None, None));
    assert_eq!(scene.lab.specs(&kept), before);
    scene.ops.run(["debug-cache"]).success().stdout_lacks(&scene.repo.url()).stdout_has(&other.url());
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn unwatch_leaves_running_what_it_is_told_to_and_a_watch_adopts_it() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("stay", &scene.on());
    scene.watch().success();
    let live = || (scene.lab.specs(&stack), scene.lab.tasks(&stack));
    let before = live();
    scene.run(&["unwatch", "--keep-stacks", &scene.repo.url()]).success().stdout_has("run on");
    assert_eq!(scene.docker.calls(), [""; 0]);
    assert_eq!((live(), scene.row(&stack)), (before.clone(), None));
    scene.ops.run(["reconcile"]).failure(1).error_has("No repositories found in cache");
    scene.watch().success();
    assert_eq!((scene.deploys(), live()), (vec![], before));
}

#[test]
fn a_source_that_is_not_watched_is_an_error_that_names_those_that_are() {
    let Some(scene) = Scene::new() else { return };
    scene.stack("web", &scene.off());
    scene.watch().success();
    let outcome = scene.run(&["unwatch", "https://example.org/no/such"]);
    outcome.failure(1).stderr_has("`https://example.org/no/such` is not being watched");
    outcome.stderr_has("hint:").stderr_has(&scene.repo.url());
    assert_eq!(scene.docker.calls(), [""; 0]);
}

#[test]
fn unwatch_that_is_cut_off_says_what_to_do_and_goes_on_when_it_is_run_again() {
    let Some(scene) = Scene::new() else { return };
    let (one, two) = (scene.stack("one", &scene.off()), scene.stack("two", &scene.off()));
    scene.repo.write("stacks.yaml", format!("- name: {one}\n- name: {two}\n  depends_on: [{one}]\n"));
    scene.watch().success();
    let Scene { lab, ops, repo, docker } = scene;
    let scene = Scene { lab, ops, repo, docker: docker.waits(&format!("stack rm {two}")) };
    let unwatch = scene.ops.spawn(["unwatch", &scene.repo.url()]);
    scene.docker.wait_for_call("stack rm");
    unwatch.signal(Signal::INT);
    scene.docker.release();
    let outcome = unwatch.wait();
    outcome.failure(130).error_has("not all is removed: ended by SIGINT");
    outcome.stderr_has("hint: run it again to remove the rest").stderr_lacks("next run goes on");
    assert_eq!(scene.lab.services(&one).len(), 1);
    scene.reconcile().success().stdout_has("1 deployed, 1 unchanged");
    scene.run(&["unwatch", &scene.repo.url()]).success();
    assert_eq!((scene.lab.services(&one).len(), scene.lab.services(&two).len()), (0, 0));
}

#[test]
fn unwatch_goes_on_with_the_other_stacks_and_remembers_the_one_it_could_not_remove() {
    let Some(scene) = Scene::new() else { return };
    let (stuck, fine) = (scene.stack("a-stuck", &scene.off()), scene.stack("fine", &scene.off()));
    scene.watch().success();
    let Scene { lab, ops, repo, docker } = scene;
    let docker = docker.fails(&format!("stack rm {stuck}"), 1, "network is in use");
    let scene = Scene { lab, ops: ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "1"), repo, docker };
    let outcome = scene.run(&["unwatch", &scene.repo.url()]);
    outcome.failure(1).stdout_has("network is in use");
    assert_eq!(scene.row(&fine), None);
    assert!(scene.row(&stuck).is_some());
    scene.ops.run(["debug-cache"]).success().stdout_has(&scene.repo.url());
}

#[test]
fn what_is_gone_already_is_not_told_to_be_on_its_way() {
    let Some(mut scene) = Scene::new() else { return };
    let (quick, slow) = (scene.stack("quick", &scene.off()), scene.stack("slow", &scene.off()));
    scene.watch().success();
    scene.docker = scene.docker.waits(&format!("stack rm {slow}"));
    let run = scene.ops.spawn(["unwatch", &scene.repo.url()]);
    wait_for("the quick one to go", 60, || scene.row(&quick).is_none());
    let work = || {
        let status = scene.ops.run(["status", "--json"]).failure(3).json();
        let work = status["under_way"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        work.map(|work| [&work["state"], &work["what"], &work["repository"]].map(text)).collect::<Vec<_>>()
    };
    wait_for("the quick one to be told no more", 10, || work().len() == 1);
    assert_eq!(work(), [["removing".to_owned(), slow, scene.repo.url()]]);
    scene.docker.release();
    run.wait().success();
}
