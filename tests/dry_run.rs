//! `reconcile --dry-run`: says what would change, and touches nothing.

use std::fs;

use crate::support::scene::{Scene, compose};

#[test]
fn a_dry_run_says_what_would_change_and_touches_nothing() {
    let Some(scene) = Scene::new() else { return };
    let stacks = ["same", "changed", "drifted", "gone", "off"].map(|name| scene.stack(name, &scene.off()));
    let [same, changed, drifted, gone, off] = stacks.each_ref().map(String::as_str);
    scene.watch().success();
    let new = scene.ops.unique("new");
    scene.lab.edit(&format!("{drifted}_app"), &["--env-add", "B=1"]);
    scene.change(changed, &scene.off().with("environment: {A: '2'}"));
    scene.repo.write(&format!("{new}/docker-compose.yml"), compose([("app", &scene.off())]));
    let names = [same, changed, drifted, &new].map(|name| format!("- name: {name}\n")).concat();
    scene.repo.write("stacks.yaml", names + &format!("- name: {off}\n  enabled: false\n"));
    scene.repo.commit("next");

    let touched = || {
        let live = stacks.iter().flat_map(|stack| scene.lab.specs(stack)).collect::<Vec<_>>();
        (live, fs::read(scene.ops.database()).unwrap())
    };
    let before = touched();
    let outcome = scene.run(&["reconcile", "--dry-run"]);
    outcome.success().stdout_has("dry run, nothing was changed: 3 to deploy, 2 to remove, 1 unchanged");
    for (stack, what) in [
        (changed, "deploy: changed"),
        (drifted, "deploy: drifted"),
        (&*new, "deploy: new"),
        (gone, "remove: it is no longer listed"),
        (off, "remove: `enabled: false`"),
    ] {
        outcome.stdout_has(&format!("{stack}  {what}"));
    }
    assert_eq!(touched(), before);
    assert_eq!(scene.lab.services(&new), [""; 0]);
    let calls = scene.docker.calls();
    assert!(calls.len() <= 3 && calls.iter().all(|call| call.starts_with("service ")), "{calls:?}");
    scene.reconcile().success().stdout_has("3 deployed, 2 removed, 1 unchanged");
    scene.run(&["reconcile", "--dry-run"]).success().stdout_has("unchanged").stdout_lacks("would");
}

#[test]
fn a_forced_dry_run_would_deploy_all_and_deploys_none() {
    let Some(scene) = Scene::new() else { return };
    scene.stack("web", &scene.off());
    scene.watch().success();
    scene.run(&["reconcile", "--dry-run", "--force"]).success().stdout_has("1 to deploy");
    assert_eq!(scene.deploys(), [""; 0]);
}
