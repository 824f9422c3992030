//! `status <stack>`: one stack in full; `status --watch`: drawn again in its place.

use std::collections::BTreeSet;
use std::fs::File;

use serde_json::Value;

use crate::support::dockerops::DockerOps;
use crate::support::scene::{Scene, compose};
use crate::support::wait_for;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A stack whose second version has a service that dies a while after it converged.
fn with_history(scene: &Scene) -> String {
    let stack = scene.ops.unique("web");
    let ill = scene.on().shell("sleep 20; echo out of order; exit 7").replicas(1);
    scene.repo.stack(&stack, &compose([("app", &scene.on().replicas(2))]));
    scene.watch().success();
    scene.repo.stack(&stack, &compose([("app", &scene.on().replicas(2)), ("ill", &ill)]));
    scene.push().success();
    stack
}

#[test]
fn one_stack_is_told_with_its_tasks_and_the_newest_of_its_history() {
    let Some(scene) = Scene::new() else { return };
    let other = scene.stack("other", &scene.off());
    let stack = with_history(&scene);
    wait_for("a restart", 90, || {
        scene.ops.run(["status", &stack, "--json"]).json()["services"][1]["restarts"].as_u64() > Some(0)
    });
    // Whoever deploys meanwhile keeps no reader waiting.
    let lock = File::open(scene.ops.database().with_file_name("dockerops.db.lock")).unwrap();
    lock.lock().unwrap();
    let told = scene.run(&["status", &stack, "--json"]).failure(3).json();
    let calls = scene.docker.calls();
    let kinds = ["service ls", "service inspect", "service ps", "node ls"];
    assert!(
        kinds.iter().all(|kind| calls.iter().filter(|call| call.starts_with(kind)).count() == 1),
        "{calls:?}"
    );
    assert_eq!(calls.len(), 4, "{calls:?}");

    let known = scene.status(&stack);
    let all: BTreeSet<_> = keys(&known).into_iter().chain(["history", "images"]).collect();
    assert_eq!(keys(&told), all);
    let ([app, ill], nodes) = ([0, 1].map(|at| &told["services"][at]), ["node1", "node2"]);
    assert_eq!((&app["running"], &app["wanted"], &ill["wanted"]), (&2.into(), &2.into(), &1.into()));
    let tasks = app["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    for task in tasks {
        assert_eq!(keys(task), ["desired", "error", "id", "node", "since", "state"].into());
        assert_eq!((&task["state"], &task["error"]), (&"running".into(), &Value::Null));
        assert!(nodes.contains(&task["node"].as_str().unwrap()), "{task}");
        assert!(task["since"].as_str().unwrap().ends_with('Z'), "{task}");
    }
    let died = ill["tasks"].as_array().unwrap().iter().find(|task| task["state"] == "failed").unwrap();
    assert_eq!((&died["error"], &died["desired"]), (&"task: non-zero exit (7)".into(), &"shutdown".into()));
    let digest = told["images"][0]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && told["images"].as_array().unwrap().len() == 1, "{told}");
    let history = told["history"].as_array().unwrap();
    let reasons: Vec<_> = history.iter().map(|version| version["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["changed", "new"]);
    let fields = ["commit", "hash", "how", "id", "reason", "seconds", "services", "time", "times"];
    assert_eq!(keys(&history[0]), fields.into());

    let text = scene.run(&["status", &stack]);
    text.failure(3).stdout_lacks(&other).stdout_has(&format!("{stack}_app  2/2    0         "));
    text.stdout_has(&format!("@{}\n", &digest[7..15])).stdout_has(&format!("{stack}_app.2  node"));
    text.stdout_has("  failed  ")
        .stdout_has("  task: non-zero exit (7)\n")
        .stdout_has("\n1  20")
        .stdout_has("  new\n");
    // Others are well, and it is not.
    scene.run(&["status", &other]).success().stdout_lacks("non-zero");
    assert!(scene.docker.calls().len() == 3, "without a task no node is asked for");
    lock.unlock().unwrap();
}

#[test]
fn a_name_that_is_none_is_an_error_with_the_nearest() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    let slip = format!("{stack}x");
    let said = scene.run(&["status", &slip, "--json"]);
    said.failure(1).error_has(&format!("there is no stack `{slip}`"));
    said.stderr_has(&format!("did you mean `{stack}`?"));
    assert_eq!((said.stdout.as_str(), scene.docker.calls().len()), ("", 0));
    scene.run(&["status", &stack, "--rendered"]).success().stdout_has(&format!("\n# {stack}\n"));
    let rendered = scene.run(&["status", &stack, "--json", "--rendered"]).success().json();
    assert!(rendered["rendered"].as_str().unwrap().contains("services:"), "{rendered}");
}

#[test]
fn what_is_watched_is_drawn_again_in_its_place_until_ctrl_c() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    let interrupt = ["timeout", "--foreground", "--preserve-status", "-s", "INT", "7"];
    let scene = Scene { ops: scene.ops.through(interrupt).on_a_terminal(), ..scene };
    for arguments in [&["status", "--watch"][..], &["status", &stack, "--watch"]] {
        let drawn = scene.run(arguments);
        let pictures: Vec<_> = drawn.failure(130).stdout.split("\u{1b}[H").skip(1).collect();
        assert!((2..6).contains(&pictures.len()), "{drawn}");
        for picture in pictures {
            assert!(picture.contains("every 2 s until Ctrl-C") && picture.contains(&stack), "{drawn}");
            assert!(picture.contains("deployed") && picture.contains("\u{1b}[J"), "{drawn}");
        }
    }
    // What goes away meanwhile is told, and asked again.
    let gone = "mv \"$DOCKEROPS_DB_PATH\" \"$DOCKEROPS_DB_PATH.away\"; sleep 3; mv \"$DOCKEROPS_DB_PATH.away\" \"$DOCKEROPS_DB_PATH\"";
    let script = format!("(sleep 2; {gone}) & exec timeout --foreground --preserve-status -s INT 9 \"$@\"");
    let ops = scene.ops.through(["bash", "-c", &script, "bash"]).on_a_terminal();
    let drawn = ops.run(["status", "--watch"]);
    let last = drawn.failure(130).stdout.rsplit("\u{1b}[H").next().unwrap();
    drawn.stdout_has("error: No repositories found in cache");
    assert!(last.contains(&stack), "{drawn}");
}

#[test]
fn without_a_terminal_or_as_json_nothing_is_drawn() {
    let ops = DockerOps::without_docker();
    ops.run(["status", "--watch"])
        .failure(1)
        .error_has("draws on a terminal")
        .stderr_has("`dockerops status`");
    ops.run(["status", "--json", "--watch"]).failure(2).stderr_has("cannot be used with");
    ops.on_a_terminal().run(["status", "--watch"]).failure(1).stdout_has("No repositories found in cache");
}
