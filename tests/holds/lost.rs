//! Stacks on hold whose database was lost: what the Swarm remembers counts, and nothing of what waits is forgotten.

use std::fs;

use super::{deployed, web};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::scene::{Scene, compose};

#[test]
fn what_a_hand_edited_is_drift_still_once_the_database_is_lost() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = deployed(&scene);
    scene.run(&["hold", &stack, "--for", "ever"]).success();
    scene.lab.edit(&service, &["--replicas", "2"]);
    std::fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().stdout_has("1 on hold").stdout_has("scaled from 0 to 2");
    assert_eq!(scene.status(&stack)["status"], "deployed");
    assert!(!scene.status(&stack)["drift"].as_array().unwrap().is_empty(), "{}", scene.status(&stack));
    scene.run(&["release", &stack]).success();
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(scene.lab.spec(&service, ".Spec.Mode.Replicated.Replicas"), "0");
}

#[test]
fn what_a_hand_removed_meanwhile_comes_back_after_the_release() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("web");
    scene.repo.stack(&stack, &compose([("app", &web(&scene, 1)), ("db", &web(&scene, 1))]));
    scene.watch().success();
    scene.run(&["hold", &stack, "--for", "ever"]).success();
    scene.lab.docker(&["service", "rm", &format!("{stack}_db")]);
    fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().stdout_has("1 on hold");
    let drift = scene.status(&stack)["drift"].to_string();
    assert!(drift.contains("removed by hand"), "{drift}");
    scene.run(&["release", &stack]).success();
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(scene.lab.services(&stack).len(), 2);
}

#[test]
fn a_source_whose_holds_cannot_be_asked_for_is_not_remembered_without_them() {
    let Some(lab) = lab() else { return };
    let broken = tempfile::tempdir().unwrap();
    let flag = broken.path().join("broken");
    let rule = format!("if [ -e {} ]; then echo 'the swarm has no leader' >&2; exit 1; fi", flag.display());
    let scene = Scene::before(lab, FakeDocker::new().does("label=dockerops.hold", &rule));
    let (stack, _) = deployed(&scene);
    let other = scene.stack("other", &web(&scene, 1));
    scene.push().success();
    scene.run(&["hold", &scene.repo.url(), "--for", "ever", "--reason", "freeze"]).success();
    // One changes, and the other one is dropped.
    scene.change(&stack, &web(&scene, 2)).repo.write("stacks.yaml", format!("- name: {stack}\n"));
    scene.repo.commit("second");
    fs::remove_file(scene.ops.database()).unwrap();
    fs::write(&flag, "").unwrap();
    scene.watch().failure(1).error_has("has no leader");
    fs::remove_file(&flag).unwrap();
    scene.reconcile().failure(1);
    scene.watch().success().stdout_has("freeze").stdout_has("2 on hold");
    scene.reconcile().success();
    assert_eq!((scene.deploys(), scene.lab.services(&other).len()), (vec![], 1));
}
