//! A run that is cut off, at any moment, costs nothing: the next one converges.

use std::path::PathBuf;
use std::thread::scope;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};
use crate::support::scene::Scene;
use crate::support::{search_path, wait_for};

/// Watches, or reconciles where it is watched already.
fn again(ops: &DockerOps, url: &str) -> Outcome {
    let outcome = ops.run(["watch", url]);
    if outcome.stderr.contains("Repository is already being watched") {
        ops.run(["reconcile"])
    } else {
        outcome
    }
}

#[track_caller]
fn is_whole(ops: &DockerOps) {
    assert_eq!(ops.checkouts(), Vec::<PathBuf>::new());
    let check: String = ops.db().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_watch_killed_at_any_docker_call_is_made_good_by_the_next_run() {
    let Some(lab) = lab() else { return };
    let one = |moment: &str| {
        let fake = FakeDocker::new().waits(moment);
        let (ops, repo) = (DockerOps::new(lab).with_fake(&fake), Repo::new());
        let stack = ops.unique("killed");
        repo.stack(&stack, &one_service(&lab.image("app:1"), 1)).commit("first");
        let run = ops.spawn(["watch", &repo.url()]);
        fake.wait_for_call(moment);
        run.signal(Signal::KILL);
        assert_eq!(run.wait().code, -9);
        fake.release();
        again(&ops, &repo.url()).success().stdout_has(&format!("deployed  {stack} "));
        ops.run(["reconcile"]).success().stdout_has("1 unchanged");
        is_whole(&ops);
    };
    scope(|threads| {
        for moment in ["service ls", "image ls", "stack deploy", "service ps"] {
            threads.spawn(move || one(moment));
        }
    });
}

#[test]
fn a_reconcile_killed_at_any_docker_call_is_made_good_by_the_next_run() {
    let Some(lab) = lab() else { return };
    let (mut ops, repo) = (DockerOps::new(lab), Repo::new());
    let [kept, dropped] = ["kept", "dropped"].map(|base| ops.unique(base));
    let image = |kind: usize| lab.image(if kind.is_multiple_of(2) { "app:1" } else { "app:2" });
    repo.stack(&kept, &one_service(&image(0), 0)).stack(&dropped, &one_service(&image(0), 0)).commit("first");
    ops.run(["watch", &repo.url()]).success();
    repo.write("stacks.yaml", format!("- name: {kept}\n"));
    for (index, moment) in ["stack rm", "service ls", "stack deploy", "service ps"].iter().enumerate() {
        repo.stack(&kept, &one_service(&image(index + 1), 0)).commit("next");
        let fake = FakeDocker::new().waits(moment);
        ops = ops.with_fake(&fake);
        let run = ops.spawn(["reconcile"]);
        fake.wait_for_call(moment);
        run.signal(Signal::KILL);
        assert_eq!(run.wait().code, -9);
        fake.release();
        ops.run(["reconcile"]).success().stdout_has(&format!("deployed  {kept} "));
        let images = lab.docker(&["stack", "services", &kept, "--format", "{{.Image}}"]);
        assert!(images.contains(image(index + 1).rsplit('/').next().unwrap()), "{images}");
        assert_eq!(lab.docker(&["stack", "services", "--quiet", &dropped]), "");
        is_whole(&ops);
    }
    let ops = ops.env("PATH", search_path());
    ops.run(["reconcile"]).success().stdout_has("1 unchanged").stdout_lacks(&dropped);
}

#[test]
fn what_swarm_went_back_from_behind_a_killed_run_is_told_and_not_tried_again() {
    let Some(scene) = Scene::new() else { return };
    let good = scene.on().update("monitor: 1s, failure_action: rollback");
    let stack = scene.stack("back", &good);
    scene.watch().success();
    let scene = Scene { docker: scene.docker.waits("service ps"), ..scene };
    scene.change(&stack, &good.clone().shell("exit 42")).repo.commit("Break it");
    scene.docker.forget();
    let run = scene.ops.spawn(["reconcile"]);
    scene.docker.wait_for_call("service ps");
    run.signal(Signal::KILL);
    run.wait();
    scene.docker.release();
    let state = ["service", "inspect", "--format", "{{.UpdateStatus.State}}", &format!("{stack}_app")];
    wait_for("the rollback", 60, || scene.lab.docker(&state) == "rollback_completed");
    let dry = scene.run(&["reconcile", "--dry-run"]);
    dry.failure(3).stdout_has("an earlier run deployed it, and Swarm went back from it");
    scene.reconcile().failure(3).stdout_has("rolled it back").stdout_has("non-zero exit (42)");
    scene.reconcile().failure(3).stdout_has("held until");
    assert_eq!(scene.deploys(), [""; 0]);
    scene.change(&stack, &good).push().success().stdout_has("1 deployed");
}

fn served() -> (tempfile::TempDir, Repo) {
    let (folder, repo) = (tempfile::tempdir().unwrap(), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    repo.publish(folder.path(), "r");
    (folder, repo)
}

#[test]
fn the_checkout_of_a_run_killed_while_it_fetched_is_removed_by_the_next() {
    let (folder, repo) = served();
    let server = GitServer::start(folder.path(), &["--hang-after", "2"]);
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake);
    let run = ops.spawn(["watch", &server.url("r")]);
    wait_for("the fetch", 20, || server.requests().len() > 2 && !ops.checkouts().is_empty());
    run.signal(Signal::KILL);
    run.wait();
    assert_eq!(ops.checkouts().len(), 1);
    ops.run(["watch", &repo.url()]).failure(3);
    is_whole(&ops);
}

/// Ends a run by `signal` once `begun`; it must go within 10 s (and what a busy machine adds), with the signal's code, leaving no files.
#[track_caller]
fn ends_by(signal: Signal, ops: &DockerOps, url: &str, begun: impl FnOnce()) {
    let run = ops.spawn(["watch", url]);
    begun();
    let asked = Instant::now();
    run.signal(signal);
    let outcome = run.wait();
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}: {outcome}", asked.elapsed());
    let (code, name) = if signal == Signal::INT { (130, "SIGINT") } else { (143, "SIGTERM") };
    outcome.failure(code).stderr_has(&format!("ended by {name}"));
    is_whole(ops);
}

const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

#[test]
fn a_signal_ends_a_run_whose_docker_call_hangs() {
    let (_folder, repo) = served();
    let one = |signal, moment| {
        let fake = FakeDocker::before("/bin/false".as_ref()).knows_no_key().hangs(moment).prints("", "");
        let ops = DockerOps::without_docker().with_fake(&fake).limit(30);
        ends_by(signal, &ops, &repo.url(), || fake.wait_for_call(moment));
    };
    scope(|threads| {
        for (signal, moment) in
            [(Signal::INT, "stack deploy"), (Signal::TERM, "stack deploy"), (Signal::TERM, "image ls")]
        {
            threads.spawn(move || one(signal, moment));
        }
    });
}

#[test]
fn a_signal_ends_a_run_that_waits_for_tasks_and_the_next_run_goes_on_waiting() {
    let Some(lab) = lab() else { return };
    for signal in SIGNALS {
        let fake = FakeDocker::new();
        let (ops, repo) = (DockerOps::new(lab).with_fake(&fake).limit(60), Repo::new());
        let stack = ops.unique("pending");
        let compose =
            one_service(&lab.image("app:1"), 1) + "      placement: {constraints: [node.labels.x == y]}\n";
        repo.stack(&stack, &compose).commit("first");
        ends_by(signal, &ops, &repo.url(), || {
            wait_for("a wait", 30, || fake.calls_with("service ps").len() > 1);
        });
        let outcome = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "2").run(["reconcile"]);
        outcome.failure(3).stdout_has("did not converge within 2 s");
    }
}

#[test]
fn a_signal_lets_a_docker_call_that_is_under_way_come_to_its_end() {
    let (_folder, repo) = served();
    let fake =
        FakeDocker::of_an_empty_swarm().does("stack deploy", "sleep 2; touch $folder/bin/done; exit 0");
    let done = fake.folder().join("done");
    let ops = DockerOps::without_docker().with_fake(&fake);
    ends_by(Signal::INT, &ops, &repo.url(), || fake.wait_for_call("stack deploy"));
    assert!(done.exists(), "the deploy was cut in half");
}

#[test]
fn a_signal_ends_a_run_while_git_hangs() {
    let (folder, _repo) = served();
    let one = |signal, options: &[&str], requests: usize| {
        let server = GitServer::start(folder.path(), options);
        let fake = FakeDocker::of_an_empty_swarm();
        let ops = DockerOps::without_docker().with_fake(&fake).limit(30);
        let begun = || wait_for("the fetch", 20, || server.requests().len() >= requests);
        ends_by(signal, &ops, &server.url("r"), begun);
    };
    scope(|threads| {
        for signal in SIGNALS {
            threads.spawn(move || one(signal, &["--hang"], 1));
            threads.spawn(move || one(signal, &["--hang-after", "2"], 3));
        }
    });
}
