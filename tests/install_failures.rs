//! Whatever goes wrong in `dockerops.sh install`, what was installed before still is, to the byte.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support::machine::{Machine, finish};
use crate::support::wait_for;

const PROGRAM: &str = "dockerops-linux-x86_64";
const SHARE: &str = "dockerops-share.tar.gz";

/// A machine with 0.1.0 as backup and 0.2.0 installed, for which 0.3.0 has been released.
fn upgradable() -> Option<Machine> {
    let machine = Machine::new()?;
    for version in ["0.1.0", "0.2.0"] {
        machine.release(version);
        machine.run(&["install"]).is(0, &[]);
    }
    machine.release("0.3.0");
    Some(machine)
}

#[test]
fn what_the_server_gets_wrong_changes_nothing() {
    let Some(machine) = upgradable() else { return };
    let before = machine.installed();
    let asset = |name: &str| machine.asset("0.3.0", name);
    let faults: [(&dyn Fn(), &str); 10] = [
        (
            &|| fs::write(asset(PROGRAM), "other").unwrap(),
            "checksum of dockerops-linux-x86_64 v0.3.0 is wrong",
        ),
        (&|| fs::write(asset("dockerops-linux-x86_64.sha256"), "<html>").unwrap(), "is no SHA-256"),
        (&|| fs::write(asset("dockerops-linux-x86_64.sha256"), "").unwrap(), "is no SHA-256"),
        (&|| fs::write(asset("dockerops-linux-x86_64.breaks"), "").unwrap(), "broke: (18)"),
        (&|| fs::remove_file(asset(PROGRAM)).unwrap(), "is there such a release?"),
        (&|| fs::write(asset(SHARE), "other").unwrap(), "checksum of completions and man page is wrong"),
        (&|| machine.release_program("0.3.0", b"\x7fELF but not really"), "does not run on this machine"),
        (&|| machine.release_program("0.3.0", b"#!/bin/sh\nexit 1\n"), "does not run on this machine"),
        (
            &|| machine.release_program("0.3.0", b"#!/bin/sh\necho dockerops 0.9.0\n"),
            "says it is 0.9.0, not 0.3.0",
        ),
        (&|| machine.release_program("latest", b""), "`vlatest` is no version"),
    ];
    for (fault, error) in faults {
        machine.release("0.3.0");
        fault();
        machine.run(&["install"]).is(1, &["error: ", error]);
        assert_eq!(machine.installed(), before, "{error}");
        let _ = fs::remove_file(asset("dockerops-linux-x86_64.breaks"));
    }
    machine.release("0.3.0");
    machine.run(&["install"]).is(0, &["installed dockerops 0.3.0 (it was 0.2.0"]);
}

#[test]
fn a_first_install_that_fails_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.release_program("0.2.0", b"#!/bin/sh\nexit 1\n");
    machine.run(&["install"]).is(1, &["does not run on this machine"]);
    assert!(machine.installed().is_empty());
    machine.release("0.2.0");
    machine.run(&["install"]).is(0, &["installed dockerops 0.2.0"]);
}

#[test]
fn a_server_that_is_not_there_or_answers_nonsense_is_named() {
    let Some(mut machine) = upgradable() else { return };
    let before = machine.installed();
    let api = machine.variables["DOCKEROPS_API_URL"].clone();
    machine.set("DOCKEROPS_API_URL", &format!("{api}/downloads"));
    machine
        .run(&["install"])
        .is(1, &["for the newest release", "(22)", "or name one: dockerops.sh install -v"]);
    fs::write(machine.latest(), "<html>").unwrap();
    machine.set("DOCKEROPS_API_URL", &api);
    machine.run(&["install"]).is(1, &["for the newest release: its answer names none", "or name one"]);
    machine.set("DOCKEROPS_API_URL", "http://127.0.0.1:1");
    machine.run(&["install"]).is(1, &["cannot ask `http://127.0.0.1:1` for the newest release: curl: (7)"]);
    machine.set("DOCKEROPS_DOWNLOAD_URL", "http://127.0.0.1:1");
    machine
        .run(&["install", "-v", "v0.3.0"])
        .is(1, &["the download of", "broke: (7)", "nothing was changed"]);
    assert_eq!(machine.installed(), before);
}

#[test]
fn a_full_disk_changes_nothing() {
    let Some(mut machine) = Machine::new() else { return };
    let big = |version: &str| {
        format!("#!/bin/sh\necho dockerops {version}\nexit\n{}", "#".repeat(600_000)).into_bytes()
    };
    machine.release_program("0.3.0", &big("0.3.0"));
    let new = machine.asset("0.3.0", PROGRAM);
    let old = "mkdir prefix/bin; { echo '#!/bin/sh'; echo echo dockerops 0.2.0; echo exit; head -c 600000 /dev/zero; } > prefix/bin/dockerops
        chmod +x prefix/bin/dockerops; cp prefix/bin/dockerops old";
    let check = "bash \"$0\" \"$@\" && exit 7; cmp old prefix/bin/dockerops && [ \"$(ls -A prefix/bin)\" = dockerops ] && echo unharmed";
    let run = |machine: &Machine| {
        let words = ["bash", "-c", check, crate::support::machine::SCRIPT, "install"];
        finish(machine.command(&words).spawn().unwrap())
    };
    assert!(new.is_file());
    // Room for the old one alone; for the download too; for a copy of the old one too, but not for the second.
    for (kib, error) in [(800, "cannot write"), (1500, "cannot back up"), (2000, "cannot back up")] {
        machine.mounts = format!("mount -t tmpfs -o size={kib}k tmpfs prefix; {old}");
        run(&machine).is(0, &[error, "make room", "unharmed"]);
    }
    // The program has its place by then, and the man page has none.
    machine.mounts = format!(
        "mount -t tmpfs tmpfs prefix; {old}; mkdir prefix/share; mount -t tmpfs -o size=16k tmpfs prefix/share
        head -c 65536 /dev/zero > prefix/share/fill || true"
    );
    run(&machine).is(0, &["cannot write", "put everything back as it was", "unharmed"]);
}

#[test]
fn an_interrupt_during_the_download_ends_it_at_once_and_changes_nothing() {
    let Some(machine) = upgradable() else { return };
    let before = machine.installed();
    fs::write(machine.asset("0.3.0", "dockerops-linux-x86_64.stalls"), "").unwrap();
    let stalls = machine.asset("0.3.0", "dockerops-linux-x86_64.stalls-now");
    // Ctrl-C reaches all of the terminal's programs; a `kill` the script alone.
    for (signal, whole_group, code) in [(Signal::INT, true, 130), (Signal::TERM, false, 143)] {
        let child = machine.command(&["bash", crate::support::machine::SCRIPT, "install"]).spawn().unwrap();
        wait_for("the download to stall", 20, || stalls.exists());
        fs::remove_file(&stalls).unwrap();
        let (pid, since) = (Pid::from_child(&child), Instant::now());
        if whole_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) }.unwrap();
        finish(child).is(code, &[]);
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        assert_eq!(machine.installed(), before);
    }
    // Nobody can clean up behind a `kill -9`; the next install does.
    let child = machine.command(&["bash", crate::support::machine::SCRIPT, "install"]).spawn().unwrap();
    wait_for("the download to stall", 20, || stalls.exists());
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    finish(child).is(137, &[]);
    assert_ne!(machine.installed(), before, "the half download is there");
    fs::remove_file(machine.asset("0.3.0", "dockerops-linux-x86_64.stalls")).unwrap();
    machine.run(&["install"]).is(0, &["installed dockerops 0.3.0"]);
    assert!(!machine.installed().keys().any(|path| path.contains("dockerops-install")));
}

#[test]
fn an_interrupt_after_the_replacement_brings_the_old_one_back() {
    let Some(machine) = upgradable() else { return };
    let before = machine.installed();
    // Runs where it was downloaded to, and hangs once it is in its place.
    let hangs = "#!/bin/sh\ncase $0 in */bin/dockerops) : > ${0%/*}/../hangs; sleep 60;; esac\necho dockerops 0.3.0\n";
    machine.release_program("0.3.0", hangs.as_bytes());
    let mark = machine.prefix().join("hangs");
    let child = machine.command(&["bash", crate::support::machine::SCRIPT, "install"]).spawn().unwrap();
    wait_for("the new program to run", 20, || mark.exists());
    assert_ne!(fs::read(machine.program()).unwrap(), before["bin/dockerops"], "it is in its place");
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    finish(child).is(130, &["put everything back as it was"]);
    fs::remove_file(mark).unwrap();
    assert_eq!(machine.installed(), before);
    // One that runs there no more, without a signal.
    machine.release_program(
        "0.3.0",
        b"#!/bin/sh\ncase $0 in */bin/dockerops) exit 1;; esac\necho dockerops 0.3.0\n",
    );
    machine.run(&["install"]).is(1, &["the installed program does not run", "put everything back"]);
    assert_eq!(machine.installed(), before);
}

#[test]
fn two_installs_at_once_do_not_meet() {
    let Some(machine) = upgradable() else { return };
    fs::write(machine.asset("0.3.0", "dockerops-linux-x86_64.stalls"), "").unwrap();
    let stalls = machine.asset("0.3.0", "dockerops-linux-x86_64.stalls-now");
    let first = machine.command(&["bash", crate::support::machine::SCRIPT, "install"]).spawn().unwrap();
    wait_for("the download to stall", 20, || stalls.exists());
    machine.run(&["install"]).is(1, &["another dockerops.sh is at work"]);
    kill_process_group(Pid::from_child(&first), Signal::TERM).unwrap();
    finish(first).is(143, &[]);
}
