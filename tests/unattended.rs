//! What lets DockerOps run by itself outside a container: the cron file and the systemd unit in `deploy/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{command, path_with, stdout_of};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_systemd_unit_is_one_that_systemd_takes() {
    let unit = fs::read_to_string(Path::new(ROOT).join("deploy/dockerops.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("dockerops.service");
    // The program need not be installed where the tests run.
    fs::write(&copy, unit.replace("/usr/local/bin/dockerops run", "/bin/true")).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&copy).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("dockerops")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
    let mut rate = command("systemd-analyze");
    rate.args(["security", "--offline=yes", "--threshold=30", "--no-pager"]).arg(&copy);
    stdout_of(&mut rate);
}

#[test]
fn the_cron_line_mails_failures_and_nothing_else() {
    let file = fs::read_to_string(Path::new(ROOT).join("deploy/dockerops.cron")).unwrap();
    let line = file.lines().find(|line| line.starts_with("0 * * * * root ")).unwrap();
    let job = line.strip_prefix("0 * * * * root ").unwrap();
    assert!(!job.contains('%'), "cron reads it as a line end");
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("dockerops");
    // 4 is another run's lock: nothing failed.
    for (code, mailed) in [(0, false), (4, false), (1, true), (2, true), (3, true), (143, true)] {
        fs::write(&fake, format!("#!/bin/sh\necho out $1; echo why >&2; exit {code}\n")).unwrap();
        stdout_of(command("chmod").arg("+x").arg(&fake));
        let mut cron = command("/bin/sh");
        cron.env("PATH", path_with(folder.path())).args(["-c", job]);
        let output = cron.output().unwrap();
        let mail = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(mail, if mailed { "out reconcile\nwhy\n" } else { "" }, "{code}");
    }
}
