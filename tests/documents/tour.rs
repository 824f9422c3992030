//! What a newcomer types: install, the tour, cron; and what a release takes.

use std::fs;

use super::{block, typed};
use crate::support::dockerops::DockerOps;
use crate::support::lab::lab;
use crate::support::machine::{Machine, SCRIPT, finish};
use crate::support::{command, path_with, try_stdout_of};

#[test]
fn the_tour_runs_word_for_word() {
    let Some(lab) = lab() else { return };
    let (ops, place) = (DockerOps::new(lab), tempfile::tempdir().unwrap());
    let stack = ops.unique("web");
    // The lab has no public registry, and its Swarm serves other tests too.
    let tour = typed("README.md", "sh tour");
    let tour =
        tour.replace("nginx:1.29-alpine", &lab.image("app:1")).replace("web_app", &format!("{stack}_app"));
    let tour =
        tour.replace("name: web", &format!("name: {stack}")).replace("shop/web", &format!("shop/{stack}"));
    let tour = tour.replace("> web/", &format!("> {stack}/")).replace(" web/", &format!(" {stack}/"));
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n").unwrap();
    command("chmod").arg("+x").arg(bin.join("sudo")).status().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dockerops"), bin.join("dockerops")).unwrap();
    let mut shell = command("bash");
    shell.current_dir(place.path()).env("PATH", path_with(&bin)).env("HOME", ops.home());
    shell.env("DOCKER_HOST", lab.docker_host()).env("DOCKEROPS_DB_PATH", ops.database());
    for (name, value) in [("NAME", "Reader"), ("EMAIL", "reader@example.org")] {
        shell.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let said = try_stdout_of(shell.args(["-e", "-u", "-o", "pipefail", "-c", &tour])).unwrap();
    let expected = ["1 deployed", "deployed  2/2", "scaled from 3 to 1", "would", "is no longer watched"];
    for text in expected {
        assert!(said.contains(text), "{text}\n{said}");
    }
    let left = lab.docker(&["service", "ls", "-q", "--filter", &format!("name={stack}")]);
    assert_eq!(left.trim(), "", "the tour cleans up");
}

#[test]
fn it_installs_and_removes_as_it_says() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.1.0");
    machine.release("0.2.0");
    let fetch = "curl -sSL https://raw.githubusercontent.com/TomBedinoVT/DockerOps/main/dockerops.sh";
    let install = block("sh install");
    assert!(install.contains(fetch), "{install}");
    let typed = format!("{install}{}", block("sh manage"));
    // The script lies here and not there; who types is root already.
    let typed =
        typed.replace(fetch, &format!("cat {SCRIPT}")).replace("sudo ", "").replace("./dockerops.sh", SCRIPT);
    let mut shell = machine.command(&["bash", "-e", "-o", "pipefail", "-c", &typed]);
    let said = finish(shell.spawn().unwrap());
    said.is(
        0,
        &[
            "installed dockerops 0.2.0",
            "installed dockerops 0.1.0 (it was 0.2.0",
            "installed:   0.1.0",
            "go on running",
        ],
    );
    assert!(machine.installed().is_empty());
}

#[test]
fn the_cron_line_is_that_of_the_file_in_deploy() {
    let line = block("cron");
    let file = include_str!("../../deploy/dockerops.cron").lines().last().unwrap();
    assert_eq!(line.trim(), file.replace("$(dockerops", "$(/usr/local/bin/dockerops"));
    // One of another `HOME` is heard.
    let output = DockerOps::without_docker().run(["reconcile"]);
    output.failure(1).error_has("No repositories found in cache");
}

#[test]
fn what_release_md_says_to_type_works() {
    let text = include_str!("../../RELEASE.md");
    let typed = |kind: &str| {
        let block = text.split(&format!("```sh {kind}\n")).nth(1).unwrap();
        block.split("```").next().unwrap().lines().map(str::trim).collect::<Vec<_>>().join("\n")
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dockerops-linux-x86_64"), "x").unwrap();
    let mut sum = command("sh");
    sum.args(["-c", "sha256sum dockerops-linux-x86_64 > dockerops-linux-x86_64.sha256"])
        .current_dir(folder.path());
    try_stdout_of(&mut sum).unwrap();
    let mut verify = command("sh");
    verify.args(["-c", &typed("verify")]).current_dir(folder.path());
    assert_eq!(try_stdout_of(&mut verify).unwrap(), "dockerops-linux-x86_64: OK\n");
    // `tests/release.rs` runs the three; here, that they are written as they are called.
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        typed("cut").trim(),
        format!(
            "deploy/release/notes.sh v{version}\ndeploy/release/build.sh dist\ndeploy/release/check.sh dist"
        )
    );
    assert_eq!(text.matches("```sh ").count(), 3, "and `attestation`, which needs GitHub");
}
