//! What a run tells programs and cron: one JSON object, or nothing while all is well.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};

const WRONG: &str = "services: {app: {image: app, colour: red}}";

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What it says of a stack; the object is all that is on stdout, and has the exit code.
#[track_caller]
fn of<'a>(told: &'a Value, outcome: &Outcome, stack: &str) -> &'a Value {
    assert_eq!(told["exit_code"], outcome.code, "{outcome}");
    let stacks = told["stacks"].as_array().unwrap();
    stacks.iter().find(|one| one["name"] == stack).unwrap_or_else(|| panic!("no `{stack}`: {outcome}"))
}

#[test]
fn a_run_is_one_object_that_tells_what_happened_to_each_stack() {
    let Some(scene) = Scene::new() else { return };
    let [well, bad, gone] = ["well", "bad", "gone"].map(|base| scene.stack(base, &scene.off()));
    scene.repo.write(&format!("{bad}/docker-compose.yml"), WRONG);
    let first = scene.repo.commit("first");
    let preview = scene.run(&["watch", &scene.repo.url(), "--dry-run", "--json", "--exit-code"]);
    let told = preview.failure(5).json();
    assert_eq!(
        (&told["dry_run"], &of(&told, &preview, &well)["outcome"]),
        (&true.into(), &"to_deploy".into())
    );
    assert_eq!(of(&told, &preview, &well)["reason"], "deploy: new");
    assert_eq!((&told["tally"]["deployed"], &told["tally"]["failed"]), (&3.into(), &0.into()));

    let watch = scene.run(&["watch", &scene.repo.url(), "--json"]);
    let told = watch.failure(3).json();
    assert_eq!(keys(&told), ["dry_run", "exit_code", "failed_sources", "stacks", "tally"].into());
    let counts =
        ["built", "degraded", "deployed", "drifted", "failed", "on_hold", "pulled", "removed", "unchanged"];
    assert_eq!(keys(&told["tally"]), counts.into());
    assert_eq!((&told["tally"]["deployed"], &told["tally"]["failed"]), (&2.into(), &1.into()));
    let deployed = of(&told, &watch, &well);
    let seconds = deployed["seconds"].as_u64().unwrap();
    let wanted = json!({
        "name": well, "repository": scene.repo.url(), "outcome": "deployed", "degraded": false, "commit": first,
        "reason": "new", "error": null, "seconds": seconds,
    });
    assert_eq!(*deployed, wanted);
    let failed = of(&told, &watch, &bad);
    assert_eq!(
        (&failed["outcome"], &failed["reason"], &failed["seconds"]),
        (&"failed".into(), &Value::Null, &Value::Null)
    );
    assert!(failed["error"].as_str().unwrap().contains("colour"), "{failed}");
    watch.stderr_has("fetching").stderr_has(&format!("deployed  {well}  new"));

    scene
        .repo
        .write("stacks.yaml", format!("- name: {well}\n- name: {bad}\n"))
        .stack(&bad, &compose([("app", &scene.off())]));
    scene.repo.write("stacks.yaml", format!("- name: {well}\n- name: {bad}\n"));
    scene.repo.commit("second");
    scene.run(&["hold", &well, "--reason", "moving house"]).success();
    let run = scene.run(&["reconcile", "--json"]);
    let told = run.success().json();
    let ends = [(&well, "unchanged"), (&bad, "deployed"), (&gone, "removed")];
    for (stack, end) in ends {
        assert_eq!(of(&told, &run, stack)["outcome"], *end, "{run}");
    }
    assert_eq!(told["stacks"].as_array().unwrap().len(), 3);

    scene.change(&well, &scene.off().with("environment: {A: '1'}")).repo.commit("third");
    let run = scene.run(&["reconcile", "--json", &well]);
    let told = run.success().json();
    assert_eq!(told["stacks"].as_array().unwrap().len(), 1, "only what it was for: {run}");
    let held = of(&told, &run, &well);
    assert_eq!(held["outcome"], "on_hold");
    assert!(held["reason"].as_str().unwrap().contains("moving house"), "{held}");
}

#[test]
fn a_source_that_failed_as_a_whole_is_told_with_its_error() {
    let Some(scene) = Scene::new() else { return };
    let (stack, other) = (scene.stack("web", &scene.off()), Repo::new());
    scene.watch().success();
    other.stack(&scene.ops.unique("other"), &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    other.write("stacks.yaml", "- name: [\n").commit("broken");
    let run = scene.run(&["reconcile", "--json"]);
    let told = run.failure(3).json();
    let failed = told["failed_sources"].as_array().unwrap();
    assert_eq!((failed.len(), &failed[0]["repository"]), (1, &Value::from(other.url())));
    assert_eq!(keys(&failed[0]), ["error", "hint", "repository"].into());
    assert!(failed[0]["error"].as_str().unwrap().contains("stacks.yaml"), "{told}");
    assert_eq!(
        (&of(&told, &run, &stack)["outcome"], &told["tally"]["failed"]),
        (&"unchanged".into(), &1.into())
    );
    // What ends the run as a whole is an error, and no object.
    let nothing = scene.run(&["reconcile", "--json", "none-such"]);
    assert_eq!(nothing.failure(1).stdout, "");
}

#[test]
fn a_quiet_run_says_nothing_while_all_is_well() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("quiet", &scene.off());
    let (url, well) = (scene.repo.url(), scene.off().with("environment: {A: '2'}"));
    scene.repo.commit("first");
    let silent = |arguments: &[&str]| {
        let said = scene.run(arguments);
        assert_eq!((said.success().stdout.as_str(), said.stderr.as_str()), ("", ""), "{said}");
    };
    silent(&["watch", &url, "--quiet"]);
    silent(&["reconcile", "-q"]);
    scene.change(&stack, &well).repo.commit("second");
    silent(&["reconcile", "--dry-run", "--quiet"]);
    silent(&["reconcile", "--quiet"]);
    silent(&["hold", &stack, "--quiet"]);
    silent(&["reconcile", "--quiet"]);
    silent(&["release", &stack, "--quiet"]);
    let told = scene.run(&["reconcile", "--quiet", "--json"]);
    assert_eq!((told.success().json()["exit_code"].as_u64(), told.stderr.as_str()), (Some(0), ""));

    scene.repo.write(&format!("{stack}/docker-compose.yml"), WRONG).commit("third");
    let said = scene.run(&["reconcile", "--quiet"]);
    let failed = format!("failed    {stack}  ");
    assert!(said.failure(3).stdout.starts_with(&failed), "{said}");
    said.stdout_lacks("1 failed").stdout_lacks("REPOSITORY");
    said.stderr_lacks(" ");
    let said = scene.run(&["reconcile", "--quiet", "--json"]);
    said.failure(3).stderr_has(&failed).json();
    scene.ops.run(["watch", &url, "--quiet"]).failure(1).error_has("already being watched");
    scene.change(&stack, &well).repo.commit("fourth");
    silent(&["reconcile", "--quiet"]);
    silent(&["rollback", &stack, "--quiet"]);
    silent(&["unwatch", &url, "--quiet"]);
    // Where nothing is to be stopped that is said, but not to cron.
    let ops = DockerOps::without_docker();
    assert_eq!(ops.run(["stop", "--yes", "-q"]).success().stdout, "");
}
