//! A merge request is somebody else's: it reads nothing of the machine that checks it, and writes nothing there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{GOOD, at, bare};
use crate::fidelity::docker_with_stack_config;
use crate::support::dockerops::DockerOps;
use crate::support::repo::Repo;
use crate::support::{command, stdout_of};

#[test]
fn a_folder_that_makes_itself_a_repository_of_the_whole_machine_is_a_folder() {
    let repo = Repo::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("env"), "CANARY=1\n").unwrap();
    repo.write("envs/prod/objects/x", "").write("envs/prod/refs/x", "");
    repo.write("envs/prod/HEAD", "ref: refs/heads/main\n");
    repo.write("envs/prod/config", "[core]\n bare = false\n worktree = /\n");
    repo.symlink("envs/prod/web/e", outside.path().join("env"));
    repo.write("envs/prod/stacks.yaml", "- name: web\n  env: [e]\n");
    repo.write("envs/prod/web/compose.yml", "services:\n  a: {image: 'x:${CANARY}'}\n").commit("evil");
    let prod = format!("{}/envs/prod", at(&repo));
    let outcome = bare().run(["validate", &prod]);
    outcome
        .failure(1)
        .stdout_has("envs/prod/stacks.yaml:2: `web.env`: `e`")
        .stdout_has("leads out of the repository");
    // Nor where nothing around it is a repository.
    fs::remove_dir_all(repo.path().join(".git")).unwrap();
    bare()
        .run(["validate", &prod])
        .failure(1)
        .stdout_has("leads out of the repository")
        .stdout_lacks("all right");
}

#[test]
fn nothing_outside_is_opened_by_a_gitignore_and_nobody_waits_for_a_pipe() {
    let (repo, outside) = (Repo::new(), tempfile::tempdir().unwrap());
    let pipe = outside.path().join("pipe");
    stdout_of(command("mkfifo").arg(&pipe));
    repo.stack("web", GOOD).symlink(".gitignore", &pipe);
    bare().limit(20).run(["validate", &at(&repo)]).success();
    let secret = outside.path().join("secret");
    fs::write(&secret, "web\n").unwrap();
    fs::remove_file(repo.path().join(".gitignore")).unwrap();
    repo.symlink(".gitignore", &secret);
    bare().run(["validate", &at(&repo)]).success().stdout_lacks("ignored");
    for file in ["web/.env", "volumes.yaml"] {
        stdout_of(command("mkfifo").arg(repo.path().join(file)));
        bare().limit(20).run(["validate", &at(&repo)]).failure(1).stdout_has("is not a file");
        fs::remove_file(repo.path().join(file)).unwrap();
    }
}

#[test]
fn a_report_takes_the_place_of_a_symlink_and_does_not_follow_it() {
    let (repo, outside) = (Repo::new(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    fs::write(&victim, "keep").unwrap();
    repo.stack("web", "services: {}\n");
    let report = repo.path().join("report.json");
    symlink(&victim, &report).unwrap();
    bare().run(["validate", &at(&repo), "--code-quality", report.to_str().unwrap()]).failure(1);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "keep");
    assert!(Path::new(&report).symlink_metadata().unwrap().is_file());
}

#[test]
fn no_word_of_a_compose_file_makes_docker_one_that_cannot_merge() {
    let Some(docker) = docker_with_stack_config() else { return };
    let repo = Repo::new();
    repo.write("web/a.yml", GOOD).write("web/b.yml", format!("{GOOD}    \"unknown flag\": 1\n"));
    repo.write("stacks.yaml", "- {name: web, compose: [a.yml, b.yml]}\n");
    let outcome = DockerOps::without_docker().with_docker(&docker).run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("docker does not merge them").stdout_lacks("cannot merge compose files");
}
