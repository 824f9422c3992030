//! A secret goes where it is meant to go, and to no output, row, argument, environment or service.

use std::path::Path;

use walkdir::WalkDir;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};

const TOKEN: &str = "ghp-t0ken-0f-the-test";
const PASSWORD: &str = "p4ssw0rd-0f-the-test";

/// Wherever text was left: `place` names it.
#[track_caller]
fn holds_no_secret(place: &str, bytes: &[u8]) {
    for secret in [TOKEN, PASSWORD] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "`{secret}` in {place}: {}", String::from_utf8_lossy(bytes));
    }
}

#[track_caller]
fn folder_holds_no_secret(folder: &Path) {
    for file in WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|file| file.file_type().is_file())
    {
        holds_no_secret(&file.path().display().to_string(), &std::fs::read(file.path()).unwrap());
    }
}

/// A server that wants a password, and a file that has it.
fn guarded(repo: &Repo) -> (tempfile::TempDir, GitServer) {
    let folder = tempfile::tempdir().unwrap();
    repo.publish(folder.path(), "r");
    let server = GitServer::start(folder.path(), &["--user", "me", "--password", PASSWORD]);
    std::fs::write(
        folder.path().join("credentials"),
        format!("http://me:{PASSWORD}@127.0.0.1:{}\n", server.port()),
    )
    .unwrap();
    (folder, server)
}

#[test]
fn no_secret_reaches_output_database_arguments_docker_or_a_service() {
    let Some(lab) = lab() else { return };
    let (repo, fake) = (Repo::new(), FakeDocker::new());
    let ops = DockerOps::new(lab).with_fake(&fake);
    let stack = ops.unique("secret");
    let compose = one_service(&lab.image("app:1"), 0)
        + "    environment:\n      A: \"[${GITHUB_TOKEN}${GITHUB_TOKEN_FILE}${DOCKEROPS_GIT_CREDENTIALS}]\"\n      \
           GITHUB_TOKEN:\n      B: \"${GITHUB_TOKEN:-none}\"\n      C: \"${PLAIN}\"\n";
    repo.stack(&stack, &compose).commit("first");
    let (folder, server) = guarded(&repo);
    let ops = ops.env("GITHUB_TOKEN", TOKEN).env("PLAIN", "plain");
    let ops = ops.env("DOCKEROPS_GIT_CREDENTIALS", folder.path().join("credentials"));
    let url = server.url("r");
    let commands: [&[&str]; 8] = [
        &["watch", &url],
        &["reconcile", "--force"],
        &["status"],
        &["status", "--json"],
        &["debug-cache"],
        &["reconcile", "--dry-run"],
        &["watch", &url],
        &["unwatch", "--keep-stacks", &url],
    ];
    for command in commands {
        let outcome = ops.run(command);
        holds_no_secret("output", format!("{outcome}").as_bytes());
        folder_holds_no_secret(ops.database().parent().unwrap());
    }
    assert!(server.requests().iter().any(|request| request.contains(" auth ")), "the password was not used");

    holds_no_secret("arguments", fake.calls().join("\n").as_bytes());
    let environment = fake.environment().join("\n");
    holds_no_secret("docker's environment", environment.as_bytes());
    assert!(!environment.contains("GITHUB_TOKEN") && !environment.contains("DOCKEROPS_"), "{environment}");
    let service = lab.docker(&["service", "inspect", &format!("{stack}_app")]);
    holds_no_secret("the service", service.as_bytes());
    for variable in ["\"A=[]\"", "\"B=none\"", "\"C=plain\""] {
        assert!(service.contains(variable), "no {variable}: {service}");
    }
    folder_holds_no_secret(&ops.home());
}

#[test]
fn a_refused_password_and_a_token_in_a_file_are_in_no_error() {
    let (repo, fake) = (Repo::new(), FakeDocker::of_an_empty_swarm());
    repo.stack("web", "services: {app: {image: \"${GITHUB_TOKEN:?is needed}\"}}").commit("first");
    let (folder, server) = guarded(&repo);
    let credentials = folder.path().join("credentials");
    let wrong = format!("http://me:{TOKEN}{PASSWORD}@127.0.0.1:{}\n", server.port());
    std::fs::write(&credentials, wrong).unwrap();
    std::fs::write(folder.path().join("token"), TOKEN).unwrap();
    let ops =
        DockerOps::without_docker().with_fake(&fake).env("GITHUB_TOKEN_FILE", folder.path().join("token"));
    let ops = ops.env("DOCKEROPS_GIT_CREDENTIALS", &credentials);
    let refused = ops.run(["watch", &server.url("r")]);
    refused.failure(1).error_has("remote authentication required");
    let asked = server.requests().iter().filter(|request| request.contains(" auth ")).count();
    assert_eq!(asked, 1, "a refused password is offered once");
    let needed = ops.run(["watch", &repo.url()]);
    needed.failure(3).stdout_has("GITHUB_TOKEN").stdout_has("is needed");
    for outcome in [refused, needed, ops.run(["status"])] {
        holds_no_secret("output", format!("{outcome}").as_bytes());
    }
    folder_holds_no_secret(ops.database().parent().unwrap());
    assert!(!fake.environment().join("\n").contains("GITHUB_TOKEN"));
}
