//! What a run asks of docker while deploys go on: side by side, once, and nothing that did not move.

use std::collections::BTreeMap;

use crate::support::git_server::GitServer;
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::wait_for;

#[test]
fn stacks_are_given_to_docker_side_by_side() {
    let Some(mut scene) = Scene::new() else { return };
    // Each call begins once all have been made, and is refused where it is left alone.
    let all = "touch \"$folder/in-$$\"; for _ in {1..30}; do in=($folder/in-*); \
               (( ${#in[@]} < 6 )) || exec REAL \"$@\"; sleep 0.1; done; echo 'given alone' >&2; exit 1";
    let real = crate::support::programs("docker").remove(0);
    scene.docker = scene.docker.does("stack deploy", &all.replace("REAL", real.to_str().unwrap()));
    for number in 0..6 {
        scene.stack(&format!("side{number}"), &scene.off());
    }
    scene.watch().success().stdout_has("6 deployed");
}

#[test]
fn what_converges_first_costs_no_look_at_all_the_swarm() {
    let Some(scene) = Scene::new() else { return };
    let app = |seconds: u8| scene.on().update(&format!("monitor: {seconds}s"));
    let stacks = [1, 4, 8].map(|seconds| (seconds, scene.stack(&format!("after{seconds}"), &app(seconds))));
    scene.watch().success().stdout_has("3 deployed");
    for (seconds, stack) in &stacks {
        scene.change(stack, &app(*seconds).with("environment: {A: '2'}"));
    }
    scene.push().success().stdout_has("3 deployed");
    // When it begins, before it deploys, and when all came to rest.
    assert!(scene.docker.calls_with("service ls").len() <= 3, "{:#?}", scene.docker.calls());
    assert_eq!(scene.docker.calls_with("config ls").len(), 1, "{:#?}", scene.docker.calls());
}

#[test]
fn a_task_that_has_not_moved_is_inspected_once() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("moves", &scene.on().update("monitor: 2s"));
    scene.watch().success();
    for revision in 2..4 {
        let app = scene.on().update("monitor: 2s").with(format!("environment: {{A: '{revision}'}}"));
        scene.change(&stack, &app).push().success();
    }
    let ended = scene.lab.docker(&[
        "stack",
        "ps",
        "--quiet",
        "--no-trunc",
        "--filter",
        "desired-state=shutdown",
        &stack,
    ]);
    let ended: Vec<_> = ended.lines().collect();
    // The last run ended one of them; the other was over before.
    assert_eq!(ended.len(), 2);
    let mut inspected: BTreeMap<&str, usize> = BTreeMap::new();
    let calls = scene.docker.calls_with("inspect --type task");
    for call in &calls {
        for id in &ended {
            *inspected.entry(id).or_default() += usize::from(call.contains(id));
        }
    }
    assert!(calls.len() > 1, "{calls:#?}");
    assert_eq!(inspected.values().min(), Some(&1), "{calls:#?}");
}

#[test]
fn a_network_that_an_earlier_stack_makes_is_there_for_those_that_join_it() {
    let Some(scene) = Scene::new() else { return };
    let scene = Scene { docker: scene.docker.does("stack deploy", "sleep 0.$((RANDOM % 8))"), ..scene };
    let maker = scene.ops.unique("maker");
    let own = compose([("app", &scene.off().with("networks: [nn]"))]) + "networks: {nn: }\n";
    scene.repo.stack(&maker, &own);
    for number in 0..5 {
        let joins = compose([("app", &scene.off().with("networks: [nn]"))])
            + &format!("networks: {{nn: {{external: true, name: {maker}_nn}}}}\n");
        scene.repo.stack(&scene.ops.unique(&format!("joins{number}")), &joins);
    }
    scene.watch().success().stdout_has("6 deployed");
}

#[test]
fn what_a_hand_made_while_the_source_was_fetched_is_seen_before_docker_prunes() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("slow", &scene.off());
    scene.repo.commit("first");
    let folder = tempfile::tempdir().unwrap();
    scene.repo.publish(folder.path(), "r");
    let server = GitServer::start(folder.path(), &["--delay", "3"]);
    let run = scene.ops.spawn(["watch", &server.url("r")]);
    wait_for("the fetch", 20, || run.stderr().contains("fetching"));
    let file = folder.path().join("by-hand.yml");
    std::fs::write(&file, compose([("app", &scene.off()), ("db", &scene.off())])).unwrap();
    scene.lab.docker(&["stack", "deploy", "--compose-file", file.to_str().unwrap(), &stack]);
    run.wait().failure(3);
    assert_eq!(scene.lab.services(&stack).len(), 2);
}

#[test]
fn an_idle_run_asks_docker_three_times_also_where_servers_answer_one_after_the_other() {
    let Some(scene) = Scene::new() else { return };
    scene.stack("near", &scene.on());
    scene.watch().success();
    let folder = tempfile::tempdir().unwrap();
    let delays = ["3", "6"].map(|delay| {
        let repo = Repo::new();
        repo.stack(&scene.ops.unique(&format!("far{delay}")), &compose([("app", &scene.on())]))
            .commit("first");
        repo.publish(folder.path(), delay);
        let server = GitServer::start(folder.path(), &["--delay", delay]);
        scene.run(&["watch", &server.url(delay)]).success();
        server
    });
    scene.reconcile().success().stdout_has("3 unchanged");
    assert_eq!(scene.docker.calls().len(), 3, "{:#?}", scene.docker.calls());
    drop(delays);
}
