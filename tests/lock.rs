//! One writer, many readers.

use rustix::process::Signal;

use crate::support::dockerops::{DockerOps, Running};
use crate::support::fake_docker::FakeDocker;
use crate::support::repo::Repo;
use crate::support::wait_for;

/// A run that holds the lock until its docker call is let go.
fn holder() -> (DockerOps, FakeDocker, Repo, Running) {
    let fake = FakeDocker::before("/bin/false".as_ref()).waits("image ls").with_an_empty_swarm();
    let fake = fake.fails("stack deploy", 1, "no");
    let (ops, repo) = (DockerOps::without_docker().with_fake(&fake).limit(60), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    let running = ops.spawn(["watch", &repo.url()]);
    fake.wait_for_call("image ls");
    (ops, fake, repo, running)
}

#[test]
fn a_second_writer_is_told_who_holds_the_lock_since_when() {
    let (ops, fake, repo, running) = holder();
    let (url, pid) = (repo.url(), format!("pid {} since 20", running.pid()));
    let calls = fake.calls().len();
    for command in [
        vec!["watch", "/other"],
        vec!["reconcile"],
        vec!["reconcile", "--dry-run"],
        vec!["unwatch", &url],
        vec!["stop", "--yes"],
    ] {
        ops.run(command).failure(4).error_has("another run holds the lock").stderr_has(&pid);
    }
    assert_eq!(fake.calls().len(), calls, "they asked docker");
    fake.release();
    running.wait().failure(3);
    ops.run(["reconcile"]).failure(3);
}

#[test]
fn readers_read_while_another_run_works() {
    let (ops, fake, repo, running) = holder();
    ops.run(["debug-cache"]).success().stdout_has(&repo.url());
    ops.run(["status"]).success().stdout_has(&repo.url());
    assert_eq!(ops.run(["status", "--json"]).success().json()["repositories"][0]["url"], repo.url());
    fake.release();
    running.wait().failure(3);
}

#[test]
fn the_lock_of_a_dead_holder_is_no_obstacle() {
    let (ops, fake, repo, running) = holder();
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, -9);
    fake.release();
    let lock = std::fs::read_to_string(ops.database().with_file_name("dockerops.db.lock")).unwrap();
    assert!(lock.starts_with("pid "), "{lock}");
    ops.run(["reconcile"]).failure(3).stdout_has(&repo.url());
}

#[test]
fn of_runs_that_begin_together_one_works_and_the_others_leave() {
    let (ops, fake, _repo, running) = holder();
    fake.release();
    running.wait().failure(3);
    // Which of them overtake each other is another one each time.
    for _ in 0..6 {
        let mut runs: Vec<_> = (0..8).map(|_| ops.spawn(["reconcile"])).collect();
        wait_for("all runs to end", 60, || runs.iter_mut().all(|run| !run.is_running()));
        let codes: Vec<_> = runs.into_iter().map(|run| run.wait().code).collect();
        assert!(codes.contains(&3), "{codes:?}");
        assert!(codes.iter().all(|code| [3, 4].contains(code)), "{codes:?}");
    }
}
