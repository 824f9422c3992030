//! `run`: sources are watched and kept in sync, for as long as it lives.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene};

/// A stack that is not to run.
const OFF: &str = "- {name: web, enabled: false}\n";

/// A repository of one stack that is off, so that a Swarm is not needed.
fn quiet() -> Repo {
    let repo = Repo::new();
    repo.write("stacks.yaml", OFF);
    repo.write("web/compose.yml", "services: {app: {image: app}}").commit("first");
    repo
}

fn on_an_empty_swarm(repos: &str) -> (DockerOps, FakeDocker) {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).limit(90).env("DOCKEROPS_REPOS", repos);
    (ops.env("DOCKEROPS_SYNC_INTERVAL", "5"), fake)
}

/// The lines of a log from the `from`th cycle's end to the `to`th.
fn between(log: &str, from: usize, to: usize) -> Vec<&str> {
    let mut cycles = 0;
    let mut lines = Vec::new();
    for line in log.lines() {
        if from <= cycles && cycles < to {
            lines.push(line);
        }
        cycles += usize::from(line.starts_with("cycle "));
    }
    lines
}

#[test]
fn a_push_is_rolled_within_an_interval_and_an_idle_cycle_is_one_line_and_two_docker_calls() {
    let Some(mut scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    let url = scene.repo.url();
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", &url).env("DOCKEROPS_SYNC_INTERVAL", "5");
    let mut run = scene.ops.spawn(["run"]);
    let deployed = format!("deployed  {stack} ");
    run.wait_for(&deployed, 1, 60);
    run.wait_for("\ncycle ", 1, 60);
    scene.docker.forget();
    run.wait_for("\ncycle ", 2, 30);
    let log = run.stdout();
    assert!(log.contains(&format!("watched   `{url}`")), "{log}");
    let idle = between(&log, 1, 2);
    assert!(idle.len() == 1 && idle[0].contains("1 unchanged in "), "{log}");
    let calls = scene.docker.calls();
    assert!(calls.iter().all(|call| call.starts_with("service ls ") || call.starts_with("service inspect ")));
    assert_eq!(calls.len(), 2, "{calls:?}");

    scene.change(&stack, &App::new(&scene.lab.image("app:2")).replicas(0));
    let commit = scene.repo.commit("second");
    run.wait_for(&deployed, 2, 30);
    assert_eq!(scene.lab.label(&format!("{stack}_app"), "dockerops.commit"), commit);
    run.signal(Signal::TERM);
    run.wait().success().stdout_has("stopped ");
}

#[test]
fn sources_that_are_watched_are_skipped_and_those_that_fail_are_tried_every_cycle() {
    let (good, late) = (quiet(), Repo::new());
    let repos = format!("{0};{0}.git/,{1} ,, https://user:hunter2@host/x", good.url(), late.url());
    let (ops, _fake) = on_an_empty_swarm(&repos);
    ops.run(["watch", &good.url()]).success();
    let mut run = ops.spawn(["run"]);
    run.wait_for("\ncycle ", 1, 30);
    let log = run.stdout();
    assert!(log.contains("it holds credentials") && !log.contains("hunter2"), "{log}");
    assert!(log.contains("there is no commit in the repository"), "{log}");
    assert!(log.contains("1 unchanged, 2 failed in "), "{log}");
    late.write("stacks.yaml", OFF).write("web/compose.yml", "services: {}").commit("first");
    run.wait_for(&format!("watched   `{}`", late.url()), 1, 30);
    run.wait_for("\ncycle ", 2, 30);
    let log = run.stdout();
    assert_eq!(log.matches("it holds credentials").count(), 1, "told again though nothing changed: {log}");
    run.signal(Signal::TERM);
    run.wait().success();
    let sources: i64 =
        ops.db().query_row("SELECT count(*) FROM repository_cache", [], |row| row.get(0)).unwrap();
    assert_eq!(sources, 2);
}

#[test]
fn a_hangup_reconciles_now_and_the_json_log_tells_every_change_with_its_source_and_commit() {
    let Some(mut scene) = Scene::new() else { return };
    let [stack, bad] = ["web", "bad"].map(|base| scene.stack(base, &scene.off()));
    scene.repo.write(&format!("{bad}/docker-compose.yml"), "services: {app: {image: a, colour: red}}");
    let (commit, url) = (scene.repo.commit("first"), scene.repo.url());
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", &url).env("DOCKEROPS_LOG", "json");
    let mut run = scene.ops.spawn(["run"]);
    run.wait_for("\"event\":\"cycle\"", 1, 60);
    scene.change(&stack, &App::new(&scene.lab.image("app:2")).replicas(0));
    let second = scene.repo.commit("second");
    run.signal(Signal::HUP);
    run.wait_for("\"event\":\"cycle\"", 2, 60);
    run.signal(Signal::INT);
    let outcome = run.wait();
    assert_eq!(outcome.success().stderr, "", "all is in the log");
    let lines: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields = ["time", "level", "event", "repository", "stack", "commit", "message", "error"];
    for line in &lines {
        let keys: Vec<_> = line.as_object().unwrap().keys().collect();
        assert!(keys.len() == fields.len() && fields.iter().all(|field| line.get(field).is_some()), "{line}");
    }
    let find = |event: &str, commit: &str| {
        let found = lines.iter().find(|line| line["event"] == event && line["commit"] == commit);
        found.unwrap_or_else(|| panic!("no `{event}` at {commit}: {outcome}"))
    };
    for (event, commit, stack) in
        [("deployed", &commit, &stack), ("deployed", &second, &stack), ("failed", &commit, &bad)]
    {
        let line = find(event, commit);
        assert!(line["repository"] == *url && line["stack"] == **stack, "{line}");
        assert_eq!(line["level"], if event == "failed" { "error" } else { "info" });
    }
    assert!(find("failed", &commit)["error"].as_str().unwrap().contains("colour"));
    assert!(outcome.stdout.contains("(SIGHUP)"), "{outcome}");
    let db = scene.ops.db();
    let count =
        "SELECT count(*) FROM events WHERE event = ?1 AND repository = ?2 AND coalesce(commit_id, '') = ?3";
    for (event, commit, times) in [("watched", "", 1), ("deployed", &*commit, 1), ("deployed", &*second, 1)] {
        let count: i64 = db.query_row(count, [event, &url, commit], |row| row.get(0)).unwrap();
        assert_eq!(count, times, "{event}");
    }
}

#[test]
fn a_source_that_fails_is_tried_less_often_until_a_push_mends_it() {
    let repo = quiet();
    let (ops, _fake) = on_an_empty_swarm(&repo.url());
    ops.run(["watch", &repo.url()]).success();
    repo.write("stacks.yaml", "- nonsense: 1\n").commit("broken");
    let mut run = ops.spawn(["run"]);
    run.wait_for("\ncycle ", 3, 60);
    // Two attempts, then two intervals without one: its remote is asked all the same.
    assert_eq!(run.stderr().matches("fetching").count(), 2, "{}{}", run.stdout(), run.stderr());
    let log = run.stdout();
    let waits = between(&log, 2, 3);
    assert!(waits.len() == 1 && waits[0].contains("; failing: `file://"), "{log}");
    repo.write("stacks.yaml", OFF).commit("mended");
    run.wait_for("\ncycle ", 4, 30);
    assert_eq!(run.stderr().matches("fetching").count(), 3, "{}{}", run.stdout(), run.stderr());
    assert!(!between(&run.stdout(), 3, 4).concat().contains("failing"), "{}", run.stdout());
    run.signal(Signal::TERM);
    run.wait().success();
}

#[test]
fn a_docker_that_is_away_ends_a_cycle_and_not_the_daemon() {
    let repo = quiet();
    let (ops, fake) = on_an_empty_swarm(&repo.url());
    let away = "[[ -e $folder/go ]] || { echo 'Cannot connect to the Docker daemon' >&2; exit 1; }";
    // Before the rule that prints an empty Swarm.
    let back = FakeDocker::before("/bin/false".as_ref()).does("", away).prints("service ls", "");
    drop(fake);
    let ops = ops.with_fake(&back);
    let mut run = ops.spawn(["run"]);
    run.wait_for("not done, tried again in the next cycle: `docker service ls", 1, 30);
    run.wait_for("start the docker daemon", 1, 30);
    back.release();
    run.wait_for("watched   `", 1, 30);
    run.signal(Signal::TERM);
    run.wait().success();
}

#[test]
fn a_cycle_longer_than_the_interval_is_not_overlapped_and_the_next_begins_an_interval_later() {
    let repo = quiet();
    let (ops, _) = on_an_empty_swarm(&repo.url());
    let clock = "date +%s%3N >>$folder/bin/times; sleep 6; date +%s%3N >>$folder/bin/times; exit 0";
    let fake = FakeDocker::before("/bin/false".as_ref()).does("service ls", clock);
    let ops = ops.with_fake(&fake);
    let mut run = ops.spawn(["run"]);
    run.wait_for("\ncycle ", 2, 60);
    run.signal(Signal::TERM);
    run.wait().success();
    let times = std::fs::read_to_string(fake.folder().join("times")).unwrap();
    let times: Vec<i64> = times.lines().map(|line| line.parse().unwrap()).collect();
    assert!(times.is_sorted() && times.len() == 4, "{times:?}");
    let gap = Duration::from_millis(u64::try_from(times[2] - times[1]).unwrap());
    assert!(gap >= Duration::from_secs(5) && gap < Duration::from_secs(9), "{times:?}");
}

#[test]
fn settings_that_cannot_be_meant_end_it_at_the_start() {
    for (name, value) in [
        ("DOCKEROPS_SYNC_INTERVAL", "4"),
        ("DOCKEROPS_LOG", "xml"),
        ("DOCKEROPS_LISTEN", "0.0.0.0:8080"),
        ("DOCKEROPS_WEBHOOK_SECRET", ""),
        ("DOCKEROPS_API_TOKEN", ""),
    ] {
        let ops = DockerOps::without_docker().env(name, value);
        ops.run(["run"]).failure(1).error_has(name);
        ops.run(["debug-cache"]).failure(1).error_has("No repositories found in cache");
    }
}

#[test]
fn the_lock_is_held_during_a_cycle_and_free_between_two() {
    let repo = Repo::new();
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    let fake = FakeDocker::before("/bin/false".as_ref()).waits("image ls").with_an_empty_swarm().fails(
        "stack deploy",
        1,
        "no",
    );
    let ops = DockerOps::without_docker().with_fake(&fake).limit(60).env("DOCKEROPS_REPOS", repo.url());
    let mut run = ops.spawn(["run"]);
    fake.wait_for_call("image ls");
    let holder = format!("pid {} since 20", run.pid());
    for command in [&["reconcile"][..], &["unwatch", "/x"], &["watch", "/x"], &["stop", "--yes"]] {
        let outcome = ops.run(command);
        outcome
            .failure(4)
            .error_has("another run holds the lock")
            .stderr_has(&holder)
            .stderr_has("`dockerops run`");
    }
    ops.run(["status"]).success().stdout_has(&repo.url());
    fake.release();
    run.wait_for("\ncycle ", 1, 30);
    ops.run(["reconcile"]).failure(3).stdout_has("1 failed");
    ops.run(["status"]).failure(3);
    ops.run(["run"]).failure(4).error_has("another run holds the lock").stderr_has(&holder);

    // The other way round: the daemon waits for a command.
    let slow = FakeDocker::before("/bin/false".as_ref()).waits("image ls").with_an_empty_swarm().fails(
        "stack deploy",
        1,
        "no",
    );
    let ops = ops.with_fake(&slow);
    let command = ops.spawn(["reconcile"]);
    slow.wait_for_call("image ls");
    run.signal(Signal::HUP);
    run.wait_for("waiting   another run holds the lock", 1, 30);
    assert!(run.stdout().contains(&format!("pid {} since 20", command.pid())), "{}", run.stdout());
    slow.release();
    command.wait().failure(3);
    run.wait_for("\ncycle ", 2, 30);
    ops.run(["unwatch", "--keep-stacks", &repo.url()]).success();
    run.signal(Signal::HUP);
    run.wait_for("cycle     nothing is watched: set `DOCKEROPS_REPOS`, or", 1, 30);
    run.signal(Signal::TERM);
    run.wait().success();
}

#[test]
fn two_daemons_each_with_its_sources_share_a_swarm_and_neither_touches_the_others_stacks() {
    let (Some(one), Some(other)) = (Scene::new(), Scene::new()) else { return };
    let mut daemons: Vec<_> = [one, other]
        .into_iter()
        .map(|mut scene| {
            let stack = scene.stack("team", &scene.on());
            scene.repo.commit("first");
            scene.ops =
                scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).env("DOCKEROPS_SYNC_INTERVAL", "5");
            let run = scene.ops.spawn(["run"]);
            (scene, stack, run)
        })
        .collect();
    for (_, stack, run) in &mut daemons {
        run.wait_for(&format!("deployed  {stack} "), 1, 60);
    }
    let before = daemons[1].0.lab.specs(&daemons[1].1);
    let tasks = daemons[1].0.lab.tasks(&daemons[1].1);
    daemons[1].0.docker.forget();
    let (scene, stack, run) = &mut daemons[0];
    scene.change(stack, &App::new(&scene.lab.image("app:2")));
    scene.repo.commit("second");
    run.wait_for(&format!("deployed  {stack} "), 2, 60);
    // All of the first one's goes, and with it its image's last use by that database.
    scene.repo.write("stacks.yaml", format!("- {{name: {stack}, enabled: false}}\n")).commit("third");
    run.wait_for(&format!("removed   {stack} "), 1, 60);
    run.wait_for("\ncycle ", 5, 60);
    let (scene, stack, run) = &mut daemons[1];
    run.wait_for("\ncycle ", 5, 60);
    assert_eq!((scene.lab.specs(stack), scene.lab.tasks(stack)), (before, tasks));
    assert_eq!(scene.deploys(), [""; 0]);
    let log = run.stdout();
    assert!(log.matches("deployed  ").count() == 1 && !log.contains("failed"), "{log}");
    for (_, _, run) in daemons {
        run.signal(Signal::TERM);
        run.wait().success();
    }
}
