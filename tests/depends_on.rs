//! `depends_on`: a stack is deployed after those it depends on have converged, and not if they failed.

use serde_json::Value;

use crate::support::scene::{App, Scene};
use crate::support::wait_for;

fn list(scene: &Scene, entries: &[(&str, &[&str])]) {
    let entry = |(name, needs): &(&str, &[&str])| match needs {
        [] => format!("- name: {name}\n"),
        needs => format!("- name: {name}\n  depends_on: [{}]\n", needs.join(", ")),
    };
    scene.repo.write("stacks.yaml", entries.iter().map(entry).collect::<String>());
}

fn once(scene: &Scene, script: &str) -> App {
    scene.on().deploy("restart_policy: {condition: none}").shell(script)
}

#[test]
fn a_stack_is_deployed_after_those_it_depends_on_have_converged() {
    let Some(scene) = Scene::new() else { return };
    let (web, database) = (scene.stack("web", &scene.off()), scene.stack("db", &once(&scene, "sleep 3")));
    let other = scene.stack("other", &scene.off());
    list(&scene, &[(&web, &[&database]), (&database, &[]), (&other, &[])]);
    scene.watch().success().stdout_has("3 deployed");
    scene.deployed([&database, &other, &web]);
    assert_eq!(scene.deploys().last(), Some(&web));
    let task = scene.lab.docker(&["stack", "ps", "--quiet", "--no-trunc", &database]);
    let completed =
        scene.lab.docker(&["inspect", "--format", "{{.Status.State}} {{.Status.Timestamp}}", &task]);
    let begun = scene.lab.spec(&format!("{web}_app"), ".CreatedAt");
    assert!(completed.starts_with("complete "));
    assert!(begun.as_str() > &completed["complete ".len()..], "{begun} {completed}");
}

#[test]
fn who_waits_for_another_stack_is_shown_though_it_never_ran() {
    let Some(scene) = Scene::new() else { return };
    let (web, database) = (scene.stack("web", &scene.off()), scene.stack("db", &scene.off()));
    list(&scene, &[(&database, &[])]);
    scene.watch().success();
    scene.change(&database, &once(&scene, "sleep 9"));
    list(&scene, &[(&web, &[&database]), (&database, &[])]);
    scene.repo.commit("next");
    let running = scene.ops.spawn(["reconcile"]);
    let shown = || {
        let status = scene.ops.run(["status", "--json"]);
        let status: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
        let all = status["under_way"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|work| work["what"] == *web)
    };
    wait_for("it to be shown", 30, || shown().is_some());
    let work = shown().unwrap();
    assert_eq!(
        (&work["state"], &work["why"]),
        (&"waiting".into(), &format!("it waits for `{database}`").into())
    );
    running.wait().success().stdout_has("2 deployed");
    assert_eq!(shown(), None);
}

#[test]
fn a_change_of_both_is_deployed_in_their_order() {
    let Some(scene) = Scene::new() else { return };
    let stacks = ["a", "b", "c"].map(|name| scene.stack(name, &scene.off()));
    let [a, b, c] = stacks.each_ref().map(String::as_str);
    list(&scene, &[(a, &[b]), (b, &[c]), (c, &[])]);
    scene.watch().success();
    for stack in &stacks {
        scene.change(stack, &scene.off().with("environment: {A: '2'}"));
    }
    list(&scene, &[(a, &[b]), (b, &[c]), (c, &[])]);
    scene.push().success();
    assert_eq!(scene.deploys(), [c, b, a]);
    scene.change(a, &scene.off());
    list(&scene, &[(a, &[b]), (b, &[c]), (c, &[])]);
    scene.push().success().stdout_has("1 deployed, 2 unchanged");
    assert_eq!(scene.deploys(), [a]);
}

#[test]
fn what_depends_on_a_failed_stack_waits_and_the_others_do_not() {
    let Some(scene) = Scene::new() else { return };
    let stacks = ["web", "db", "top", "other"].map(|name| scene.stack(name, &scene.off()));
    let [web, database, top, other] = stacks.each_ref().map(String::as_str);
    scene.change(database, &once(&scene, "exit 7"));
    list(&scene, &[(top, &[web]), (web, &[database]), (database, &[]), (other, &[])]);
    let outcome = scene.watch();
    outcome.failure(3).stdout_has("non-zero exit (7)").stdout_has("1 deployed, 3 failed");
    outcome.stdout_has(&format!("not deployed: it depends on `{database}`, which failed"));
    scene.deployed([database, other]);
    for stack in [web, top] {
        assert_eq!(scene.lab.services(stack), [""; 0]);
        assert_eq!(scene.row(stack).unwrap(), (String::new(), "error".into()));
    }
    scene.change(database, &once(&scene, "true"));
    list(&scene, &[(top, &[web]), (web, &[database]), (database, &[]), (other, &[])]);
    scene.push().success().stdout_has("3 deployed, 1 unchanged");
    assert_eq!(scene.deploys(), [database, web, top]);
}

#[test]
fn what_depends_on_a_rolled_back_stack_is_held_with_it() {
    let Some(scene) = Scene::new() else { return };
    let good = scene.on().update("monitor: 1s, failure_action: rollback");
    let (database, web) = (scene.stack("db", &good), scene.stack("web", &scene.off()));
    list(&scene, &[(&web, &[&database]), (&database, &[])]);
    scene.watch().success();
    scene.change(&database, &good.clone().shell("exit 8"));
    scene.change(&web, &scene.off().with("environment: {A: '2'}"));
    list(&scene, &[(&web, &[&database]), (&database, &[])]);
    scene.push().failure(3).stdout_has("2 failed");
    scene.reconcile().failure(3).stdout_has("2 failed");
    assert_eq!(scene.deploys(), [""; 0]);
    scene.change(&database, &good);
    list(&scene, &[(&web, &[&database]), (&database, &[])]);
    scene.push().success().stdout_has("2 deployed");
    assert!(scene.lab.spec(&format!("{web}_app"), "json .Spec.TaskTemplate").contains("A=2"));
}
