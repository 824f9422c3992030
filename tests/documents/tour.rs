//! What a newcomer types: install, the tour, cron; and what a release takes.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{block, typed};
use crate::support::dockerops::DockerOps;
use crate::support::lab::{Lab, lab};
use crate::support::machine::{Machine, SCRIPT, finish};
use crate::support::{command, path_with, try_stdout_of, wait_for};

/// A shell in which a page's commands are typed in `folder`: as root without `sudo`, and without a systemd.
pub fn shell(ops: &DockerOps, docker_host: &str, folder: &Path, script: &str) -> Command {
    let bin = folder.join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        for (name, text) in [("sudo", "#!/bin/sh\nexec env \"$@\"\n"), ("systemctl", "#!/bin/sh\n")] {
            fs::write(bin.join(name), text).unwrap();
            fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_dockerops"), bin.join("dockerops")).unwrap();
    }
    let mut shell = command("bash");
    shell.current_dir(folder).env("PATH", path_with(&bin)).env("HOME", ops.home());
    shell.env("DOCKER_HOST", docker_host).env("DOCKEROPS_DB_PATH", ops.database());
    for (name, value) in [("NAME", "Reader"), ("EMAIL", "reader@example.org")] {
        shell.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    shell.args(["-e", "-u", "-o", "pipefail", "-c", script]);
    shell
}

/// The tour with a stack of this name: the lab has no public registry, and its Swarm serves other tests too.
fn of_this_lab(script: &str, lab: &Lab, stack: &str) -> String {
    let mut script = script.replace("nginx:1.29-alpine", &lab.image("app:1"));
    for (from, to) in [("web_app", "NAME_app"), ("name: web", "name: NAME"), ("shop/web", "shop/NAME")] {
        script = script.replace(from, to);
    }
    for path in ["> web/", " web/"] {
        script = script.replace(path, &path.replace("web", "NAME"));
    }
    script.replace("NAME", stack)
}

#[test]
fn the_tour_runs_word_for_word() {
    let Some(lab) = lab() else { return };
    let (ops, place) = (DockerOps::new(lab), tempfile::tempdir().unwrap());
    let stack = ops.unique("web");
    let tour = of_this_lab(&typed("README.md", "sh tour"), lab, &stack);
    let said = try_stdout_of(&mut shell(&ops, lab.docker_host(), place.path(), &tour)).unwrap();
    let expected = ["1 deployed", "deployed  2/2", "scaled from 3 to 1", "would", "is no longer watched"];
    for text in expected {
        assert!(said.contains(text), "{text}\n{said}");
    }
    let left = lab.docker(&["service", "ls", "-q", "--filter", &format!("name={stack}")]);
    assert_eq!(left.trim(), "", "the tour cleans up");
}

#[test]
fn the_first_hour_in_french_runs_word_for_word() {
    const PAGE: &str = "docs/fr/README.md";
    let Some(lab) = lab() else { return };
    let (ops, place) = (DockerOps::new(lab), tempfile::tempdir().unwrap());
    let (stack, secret, nfs) = (ops.unique("web"), ops.unique("secret"), place.path().join("nfs"));
    fs::create_dir(&nfs).unwrap();
    let script = |kind: &str| {
        let script = of_this_lab(&typed(PAGE, kind), lab, &stack).replace("shop_db_password", &secret);
        script.replace("/mnt/nfs", nfs.to_str().unwrap())
    };
    let shell = |script: &str| shell(&ops, lab.docker_host(), place.path(), script);
    assert_eq!(typed(PAGE, "sh install"), typed("README.md", "sh install"));

    let said = try_stdout_of(&mut shell(&script("sh tour"))).unwrap();
    for text in ["deployed  2/2", "scaled from 3 to 1", "would"] {
        assert!(said.contains(text), "{text}\n{said}");
    }
    assert_eq!(said.matches("1 deployed").count(), 5, "watch and four times reconcile: {said}");
    let runs = lab.spec(&format!("{stack}_app"), "json .Spec.TaskTemplate.ContainerSpec");
    for part in [
        &format!("\"SecretName\":\"{secret}\""),
        "/entrypoint-secrets.sh",
        "\"Target\":\"/usr/share/nginx/html\"",
    ] {
        assert!(runs.contains(part), "{part}: {runs}");
    }
    let copied = fs::read_to_string(nfs.join(format!("{stack}/pages/index.html")));
    assert_eq!(copied.unwrap(), "Bonjour !\n");

    // Each is typed in the folder that the tour is in by then.
    let in_shop = |kind: &str| shell(&format!("cd shop\n{}", script(kind)));
    let log = place.path().join("log");
    let mut daemon = in_shop("sh daemon");
    let mut daemon =
        daemon.stderr(Stdio::null()).stdout(File::create(&log).unwrap()).process_group(0).spawn().unwrap();
    let logged = |text: &str| fs::read_to_string(&log).unwrap().contains(text);
    wait_for("the daemon's first sync", 60, || logged("cycle"));
    try_stdout_of(&mut in_shop("sh push")).unwrap();
    wait_for("what was pushed", 60, || logged(&format!("deployed  {stack}")));
    kill_process_group(Pid::from_child(&daemon), Signal::INT).unwrap();
    daemon.wait().unwrap();
    let said = try_stdout_of(&mut in_shop("sh end")).unwrap();
    assert!(said.contains("is no longer watched"), "{said}");
    assert_eq!(lab.services(&stack), [""; 0]);
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
