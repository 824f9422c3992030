//! A docker that is missing, lies, fails, hangs, or is no manager: one clear error before anything else.

use std::time::{Duration, Instant};

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::lab::{Lab, lab};
use crate::support::repo::{Repo, one_service};

fn repo(stack: &str) -> Repo {
    let repo = Repo::new();
    repo.stack(stack, "services: {app: {image: app}}").commit("first");
    repo
}

/// Every command that asks docker fails with this one error, and what is remembered stays.
#[track_caller]
fn fails_with(broken: impl Fn(DockerOps) -> DockerOps, what: &str) {
    let fake = FakeDocker::of_an_empty_swarm();
    let (repo, other) = (repo("web"), repo("db"));
    let well = DockerOps::without_docker().with_fake(&fake).limit(40);
    well.run(["watch", &repo.url()]).failure(3);
    let before = well.run(["debug-cache"]).stdout;

    let ops = broken(well).limit(40);
    let watch = ["watch", &other.url()];
    for command in [&watch[..], &["reconcile"], &["reconcile", "--force"], &["status"], &["stop", "--yes"]] {
        let outcome = ops.run(command);
        outcome.failure(1).error_has(what).stdout_lacks("STACK");
        assert_eq!(outcome.stderr.matches(what).count(), 1, "{outcome}");
    }
    ops.run(["unwatch", &repo.url()]).failure(1).error_has(what);
    assert_eq!(ops.run(["debug-cache"]).success().stdout, before);
}

#[test]
fn a_docker_that_is_missing_is_said_to_be() {
    let empty = tempfile::tempdir().unwrap();
    fails_with(|ops| ops.env("PATH", empty.path()), "`docker` is not on the PATH");
}

#[test]
fn a_docker_that_prints_garbage_is_not_believed() {
    for garbage in ["<html>", "{}", "{\"ID\":7}", "\u{0}\u{1b}[2J"] {
        let fake = FakeDocker::before("/bin/false".as_ref()).prints("service ls", garbage);
        fails_with(|ops| ops.with_fake(&fake), "`docker service ls");
    }
    for garbage in ["<html>", "{}", "[7]", "[{}]", "[{\"ID\":\"i\"}]"] {
        let fake = FakeDocker::before("/bin/false".as_ref());
        let fake = fake.prints("service ls", "{\"ID\":\"i\",\"Replicas\":\"1/1\"}\n");
        let fake = fake.prints("service inspect", garbage);
        fails_with(|ops| ops.with_fake(&fake), "`docker service inspect");
    }
}

#[test]
fn a_docker_that_fails_is_quoted() {
    let fake = FakeDocker::before("/bin/false".as_ref()).fails("service ls", 7, "line one\nline two");
    fails_with(|ops| ops.with_fake(&fake), "line one\n  line two");
    let fake = FakeDocker::before("/bin/false".as_ref()).fails("service ls", 7, "");
    fails_with(|ops| ops.with_fake(&fake), "it said nothing");
}

#[test]
fn a_docker_that_hangs_is_ended() {
    let fake = FakeDocker::before("/bin/false".as_ref()).hangs("service ls");
    let hung = |ops: DockerOps| ops.with_fake(&fake).env("DOCKEROPS_DEPLOY_TIMEOUT", "1");
    fails_with(hung, "did not answer within 1 s");
}

#[test]
fn a_daemon_that_is_down_is_said_to_be() {
    let real = FakeDocker::new();
    fails_with(|ops| ops.with_fake(&real), "Cannot connect to the Docker daemon");
}

#[test]
fn a_node_that_is_no_manager_is_said_to_be() {
    let Some(lab) = lab() else { return };
    let real = FakeDocker::new();
    let worker = |ops: DockerOps| ops.with_fake(&real).env("DOCKER_HOST", lab.docker_host2());
    fails_with(worker, "not a swarm manager");
}

#[test]
fn a_swarm_that_is_not_there_is_told_before_a_slow_source_has_answered() {
    let server = GitServer::start(std::env::temp_dir().as_path(), &["--hang"]);
    let ops = DockerOps::without_docker();
    let begun = Instant::now();
    ops.run(["watch", &server.url("r")]).failure(1).error_has("Cannot connect to the Docker daemon");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// A stack on the lab, and a docker before the real one.
fn on(lab: &'static Lab, fake: &FakeDocker) -> (DockerOps, Repo, String) {
    let (ops, repo) = (DockerOps::new(lab).with_fake(fake).limit(60), Repo::new());
    let stack = ops.unique("web");
    repo.stack(&stack, &one_service(&lab.image("app:1"), 0)).commit("first");
    (ops, repo, stack)
}

/// Bash: fails the looks at what is in motion whose number `when` accepts.
fn fails_looks(when: &str) -> String {
    format!(
        "echo >>$folder/looks; n=$(wc -l <$folder/looks); if (( {when} )); then echo lost >&2; exit 1; fi"
    )
}

#[test]
fn a_docker_that_fails_twice_in_the_middle_of_the_wait_is_asked_again() {
    let Some(lab) = lab() else { return };
    let fake = FakeDocker::new().does("service ps", &fails_looks("n == 1 || n == 2"));
    let (ops, repo, _) = on(lab, &fake);
    ops.run(["watch", &repo.url()]).success().stdout_has("1 deployed");
}

#[test]
fn a_docker_that_fails_for_the_rest_of_the_wait_fails_the_stack_and_the_next_run_mends_it() {
    let Some(lab) = lab() else { return };
    let fake = FakeDocker::new().does("service ps", &fails_looks("n <= 5"));
    let (ops, repo, stack) = on(lab, &fake);
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("could not be asked whether it converged").stdout_has("lost");
    ops.run(["status"]).stdout_has("deploying").stdout_has(&stack);
    ops.run(["reconcile"]).success().stdout_has(&format!("deployed  {stack} "));
    ops.run(["reconcile"]).success().stdout_has("1 unchanged");
}

#[test]
fn a_deploy_that_hangs_or_fails_stops_no_other_stack_and_is_tried_again() {
    let Some(lab) = lab() else { return };
    let fake = FakeDocker::new();
    let (ops, repo, good) = on(lab, &fake);
    let [hung, failing] = ["hung", "failing"].map(|base| ops.unique(base));
    let compose = one_service(&lab.image("app:1"), 0);
    repo.stack(&hung, &compose).stack(&failing, &compose).commit("second");
    let go = "[[ -e $folder/go ]] ||";
    let fake = fake.does(&format!("- {hung}"), &format!("{go} exec sleep 600"));
    let fake = fake.does(&format!("- {failing}"), &format!("{go} {{ printf 'one\\ntwo\\n' >&2; exit 1; }}"));

    let ops = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "6");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("did not answer within 6 s").stdout_has("one\n  two");
    outcome.stdout_has(&format!("deployed  {good} ")).stdout_has("1 deployed, 2 failed");
    fake.release();
    ops.run(["reconcile"]).success().stdout_has("2 deployed, 1 unchanged");
}
