//! What comes is told as it comes, for as long as somebody listens and something is there.

use rustix::process::Signal;

use crate::support::scene::{App, Scene, compose};
use crate::support::{command, stdout_of, wait_for};

#[test]
fn following_tells_what_comes_and_new_tasks_and_ends_with_ctrl_c_or_the_stack() {
    let Some(scene) = Scene::new() else { return };
    let beats = |word: &str| format!("i=0; while true; do i=$$((i+1)); echo {word} $$i; sleep 0.5; done");
    let stack = scene.stack("beat", &scene.on().shell(&beats("one")).with("stop_grace_period: 0s"));
    scene.watch().success();
    let mut first = scene.ops.spawn(["logs", &*stack, "app", "--tail", "1", "--follow"]);
    first.wait_for(&format!("{stack}_app.1@node"), 4, 30);
    let before = first.stdout();
    let numbers: Vec<u32> =
        before.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "none is missing or there twice: {before}"
    );
    // What is deployed anew is followed, under its name.
    scene.change(&stack, &scene.on().shell(&beats("two")).with("stop_grace_period: 0s"));
    scene.push().success();
    first.wait_for(" | two 3\n", 1, 40);
    assert!(
        first.stdout().lines().all(|line| line.starts_with(&format!("{stack}_app.1@node"))),
        "{}",
        first.stdout()
    );
    // Nothing else has its id among its arguments.
    let id = scene.lab.docker(&["service", "inspect", "--format", "{{.ID}}", &format!("{stack}_app")]);
    let children = || stdout_of(command("ps").args(["-eo", "args"])).matches(&id).count();
    assert_eq!(children(), 1, "docker follows");
    first.signal(Signal::INT);
    let ended = first.wait();
    ended.failure(130).stderr_lacks("error").stderr_lacks("hint");
    wait_for("docker's end", 10, || children() == 0);

    let mut second = scene.ops.spawn(["logs", &*stack, "--follow", "--json"]);
    second.wait_for("\"message\":\"two ", 3, 30);
    scene.run(&["unwatch", &scene.repo.url()]).success();
    let ended = second.wait();
    ended.success().stderr_has(&format!("the stack `{stack}` was removed"));
}

#[test]
fn who_reads_no_more_ends_it() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("piped", &scene.on().shell("while true; do echo on and on; sleep 0.1; done"));
    scene.watch().success();
    let ops =
        scene.ops.through(["bash", "-c", "\"$@\" | head -n 2; echo ${PIPESTATUS[0]}", "bash"]).limit(40);
    let said = ops.run(["logs", &stack, "--follow"]);
    assert_eq!(said.success().stdout.lines().count(), 3, "{said}");
    said.stdout_has("\n0\n");
}

#[test]
fn a_service_is_followed_through_its_removal_and_what_is_added_is_too() {
    let Some(scene) = Scene::new() else { return };
    let (app, more): (App, App) =
        (scene.on().shell("echo first; exec sleep 900"), scene.on().shell("echo added; exec sleep 900"));
    let stack = scene.ops.unique("grows");
    scene.repo.stack(&stack, &compose([("app", &app)]));
    scene.watch().success();
    let mut run = scene.ops.spawn(["logs", &*stack, "--follow"]);
    run.wait_for(" | first\n", 1, 30);
    scene.repo.stack(&stack, &compose([("app", &app), ("more", &more)]));
    scene.push().success();
    run.wait_for(&format!("{stack}_more.1@node"), 1, 40);
    assert_eq!(run.stdout().matches(" | first\n").count(), 1, "{}", run.stdout());
    let mut one = scene.ops.spawn(["logs", &*stack, "more", "--follow"]);
    one.wait_for(" | added\n", 1, 30);
    scene.repo.stack(&stack, &compose([("app", &app)]));
    scene.push().success();
    one.wait().success().stderr_has(&format!("the service `{stack}_more` was removed"));
    assert!(run.is_running(), "the stack is there");
}
