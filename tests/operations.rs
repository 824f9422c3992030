//! What docs/operations.md says of backups, and of a Swarm that lost its managers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::documents::{block, tour};
use crate::support::dockerops::DockerOps;
use crate::support::lab::OwnLab;
use crate::support::repo::{Repo, one_service};
use crate::support::scene::{Scene, compose};
use crate::support::{try_stdout_of, wait_for};

/// Types a block of the page, with the paths of this test.
fn type_it(ops: &DockerOps, docker_host: &str, place: &Path, kind: &str) -> String {
    let script = block(kind).replace("/root/.dockerops/dockerops.db", ops.database().to_str().unwrap());
    let script = script.replace("/var/backups", place.to_str().unwrap());
    try_stdout_of(&mut tour::shell(ops, docker_host, place, &script)).unwrap()
}

#[test]
fn a_backup_that_is_older_than_what_runs_restarts_nothing() {
    let Some(scene) = Scene::new() else { return };
    let place = tempfile::tempdir().unwrap();
    let type_it = |kind: &str| type_it(&scene.ops, scene.lab.docker_host(), place.path(), kind);
    let (web, gone) = (scene.stack("web", &scene.on()), scene.stack("gone", &scene.off()));
    let same = scene.stack("same", &scene.on());
    scene.watch().success();
    scene.change(&web, &scene.on().with("environment: {A: '1'}"));
    scene.push().success();
    let (elsewhere, left) = (Repo::new(), scene.ops.unique("left"));
    elsewhere.stack(&left, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &elsewhere.url()]).success();
    type_it("sh backup");
    let backup = place.path().join("dockerops.db");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

    scene.change(&web, &scene.on().with("environment: {A: '2'}"));
    scene.repo.write("stacks.yaml", format!("- name: {web}\n- name: {same}\n")).remove(&gone);
    let new = scene.stack("new", &scene.on());
    scene.push().success().stdout_has("2 deployed, 1 removed");
    scene.run(&["unwatch", &elsewhere.url()]).success();
    scene.run(&["hold", &same]).success();
    let live = || [&web, &same, &new].map(|stack| scene.lab.tasks(stack));
    let before = live();
    // What a run that was killed left is none of the backup's.
    fs::write(scene.ops.database().with_extension("db-journal"), "of another database").unwrap();
    let said = type_it("sh restore");
    assert_eq!(live(), before, "{said}");
    assert_eq!(scene.lab.services(&gone), [""; 0], "{said}");
    // As the page warns: what was unwatched is there again, and what was held is not.
    assert!(said.contains(&format!("{left}  deploy")), "{said}");
    assert_eq!(scene.lab.services(&left).len(), 1);
    assert_eq!(scene.status(&same)["hold"], serde_json::Value::Null);
    assert_eq!(fs::metadata(scene.ops.database()).unwrap().permissions().mode() & 0o777, 0o600);
    scene.reconcile().success().stdout_has("4 unchanged");
    let history = scene.ops.run(["history", &web, "--json"]).json();
    let versions = history["versions"].as_array().unwrap();
    assert!(versions.len() >= 3, "the two of the backup, and what runs: {versions:?}\n{said}");
    assert_eq!(versions[0]["commit"], scene.repo.head());
}

#[test]
fn a_daemon_outlives_the_loss_of_the_quorum_and_goes_on_in_the_new_swarm() {
    let Some(lab) = OwnLab::start() else { return };
    let node2 = lab.docker(&["node", "inspect", "--format", "{{.ID}}", "node2"]);
    lab.docker(&["node", "promote", &node2]);
    wait_for("two managers", 30, || lab.docker(&["node", "ls"]).contains("Reachable"));
    let (ops, repo) = (DockerOps::without_docker(), Repo::new());
    let ops = ops.env("DOCKER_HOST", lab.docker_host()).env("DOCKEROPS_SYNC_INTERVAL", "5").limit(150);
    // On the node that stays.
    let constraint = "      placement: {constraints: [node.hostname == node1]}\n";
    let web = |replicas| one_service(&lab.image("app:1"), replicas) + constraint;
    repo.stack("web", &web(1)).commit("first");
    let ops = ops.env("DOCKEROPS_REPOS", repo.url());
    let mut daemon = ops.spawn(["run"]);
    daemon.wait_for("deployed  web", 1, 60);
    let containers = || lab.docker(&["ps", "--quiet", "--filter", "name=web_app"]);
    let before = containers();
    assert_eq!(before.lines().count(), 1, "{before}");

    let pid = fs::read_to_string(lab.folder().join("node2/pid")).unwrap();
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    wait_for("docker to know nothing of the Swarm", 60, || lab.try_docker(&["service", "ls"]).is_err());
    daemon.wait_for("tried again in the next cycle", 2, 90);
    let said = ops.run(["reconcile"]);
    said.failure(1);
    assert_eq!(containers(), before, "it runs on");

    let script = block("sh quorum");
    let words: Vec<_> = script.split_whitespace().skip(1).collect();
    lab.docker(&words);
    wait_for("the new Swarm", 60, || lab.try_docker(&["service", "ls"]).is_ok());
    assert_eq!(containers(), before, "nothing was removed or restarted");
    repo.stack("web", &web(2)).commit("second");
    daemon.wait_for("deployed  web", 2, 90);
    daemon.signal(Signal::TERM);
    let log = daemon.wait().success().stdout.clone();
    assert!(log.matches("deployed  web").count() == 2 && !log.contains("removed"), "{log}");
    said.stderr_has("does not have a leader");
}
