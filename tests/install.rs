//! `dockerops.sh install`: a stranger's first minute, upgrades, and what is there before and after.

use std::fs;
use std::process::Stdio;

use crate::support::machine::{Machine, SCRIPT, SHARED, Said, finish};
use crate::support::{command, stdout_of};

const LATEST: &str = "/api/repos/TomBedinoVT/DockerOps/releases/latest";

#[test]
fn a_new_machine_gets_the_newest_release_from_a_script_on_standard_input() {
    let Some(machine) = Machine::new() else { return };
    machine.release_program("0.1.0", &fs::read(env!("CARGO_BIN_EXE_dockerops")).unwrap());
    let mut install = machine.command(&["bash", "-s", "install"]);
    install.stdin(fs::File::open(SCRIPT).unwrap());
    finish(install.spawn().unwrap()).is(0, &["installed dockerops 0.1.0", "next: sudo dockerops watch"]);
    let installed: Vec<_> = machine.installed().into_keys().collect();
    assert_eq!(installed, [&["bin/dockerops"][..], &SHARED].concat(), "and nothing else");
    assert_eq!(machine.installed()[SHARED[2]], b"dockerops.1 of 0.1.0\n");
    let version = command(machine.program()).arg("version").output().unwrap();
    assert!(version.stdout.starts_with(b"dockerops 0.1.0\n"));
}

#[test]
fn the_same_version_is_left_alone() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.2.0");
    machine.run(&["install"]).is(0, &["installed dockerops 0.2.0"]);
    let (before, asked) = (machine.installed(), machine.requests().len());
    machine.run(&["install"]).is(0, &["dockerops 0.2.0 is installed already"]).lacks("next:");
    assert_eq!(machine.installed(), before);
    assert_eq!(machine.requests()[asked..], [LATEST], "nothing is downloaded");
}

#[test]
fn an_upgrade_keeps_the_version_before_and_v_goes_back_to_it() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.2.0");
    machine.run(&["install"]).is(0, &[]);
    machine.release("0.3.0");
    machine.run(&["install"]).is(0, &["installed dockerops 0.3.0 (it was 0.2.0, kept as"]);
    let backup = || String::from_utf8(machine.installed()["bin/dockerops.backup"].clone()).unwrap();
    assert!(backup().contains("0.2.0"));
    for (arguments, now, before) in [
        (&["install", "-v", "v0.2.0"][..], "0.2.0", "0.3.0"),
        (&["install", "--version", "0.3.0"], "0.3.0", "0.2.0"),
        (&["install", "--version=v0.2.0"], "0.2.0", "0.3.0"),
    ] {
        let asked = machine.requests().len();
        machine.run(arguments).is(0, &[&format!("installed dockerops {now} (it was {before}")]);
        assert!(backup().contains(before));
        assert!(
            !machine.requests()[asked..].contains(&LATEST.to_owned()),
            "a version that is named needs no API"
        );
    }
    assert_eq!(machine.installed()[SHARED[0]], b"dockerops.bash of 0.2.0\n");
}

#[test]
fn a_release_before_0_2_is_known_by_what_it_says_and_has_no_completions() {
    let Some(machine) = Machine::new() else { return };
    machine.release_program("0.1.0", b"#!/bin/sh\necho DockerOps CLI v0.1.0\n");
    fs::remove_file(machine.asset("0.1.0", "dockerops-share.tar.gz.sha256")).unwrap();
    machine.run(&["install"]).is(0, &["installed dockerops 0.1.0", "note: this release has no completions"]);
    machine.run(&["install"]).is(0, &["is installed already"]);
}

#[test]
fn both_architectures_are_known_and_another_is_a_clear_error() {
    let Some(mut machine) = Machine::new() else { return };
    machine.release("0.2.0");
    // `uname -m` says what the test says.
    machine.mounts =
        "mkdir -p bin; printf '#!/bin/sh\\n[ $1 = -s ] && echo Linux || echo $MACHINE\\n' > bin/uname
        chmod +x bin/uname; PATH=$PWD/bin:$PATH"
            .into();
    machine.set("MACHINE", "riscv64");
    machine.run(&["install"]).is(1, &["no release for `riscv64`: there are x86_64 and aarch64", "hint: "]);
    assert!(machine.installed().is_empty() && machine.requests().is_empty());
    for (name, asset) in [("aarch64", "aarch64"), ("arm64", "aarch64"), ("amd64", "x86_64")] {
        machine.set("MACHINE", name);
        machine.run(&["install", "-v", "v0.2.0"]).is(0, &["installed"]);
        let asked = format!("/objects/v0.2.0/dockerops-linux-{asset}");
        assert!(machine.requests().contains(&asked), "{name}: {:?}", machine.requests());
        fs::remove_file(machine.program()).unwrap();
    }
}

#[test]
fn each_missing_prerequisite_is_named() {
    let Some(mut machine) = Machine::new() else { return };
    machine.release("0.2.0");
    // A machine with nothing but what every Linux has.
    let tools =
        "cat chmod cp grep head id ln mkdir mktemp mv rm rmdir sed sha256sum tail timeout tr uname wc";
    let bare =
        format!("mkdir -p bin; for tool in bash {tools}; do ln -sf \"$(command -v $tool)\" bin/; done");
    machine.mounts = format!("{bare}; PATH=$PWD/bin");
    machine
        .run(&["install"])
        .is(1, &["these are missing: curl python3", "hint: apt-get install curl python3"]);
    machine.mounts = format!("{bare}; ln -sf \"$(command -v curl)\" bin/; PATH=$PWD/bin");
    machine.run(&["install"]).is(1, &["these are missing: python3"]).lacks("missing: curl");
    let old = "printf '#!/bin/sh\\ncase $2 in *exit*) exit 1;; *) echo 3.5;; esac\\n' > bin/python3; chmod +x bin/python3";
    machine.mounts = format!("{bare}; ln -sf \"$(command -v curl)\" bin/; {old}; PATH=$PWD/bin");
    machine.run(&["install"]).is(1, &["`python3` is 3.5; it must be 3.6 or newer"]);
    let python = stdout_of(command("python3").args(["-c", "import sys; print(sys.executable)"]));
    let curl = "ln -sf \"$(command -v curl)\" bin/";
    // Debian's python3-minimal has no `json`.
    let less =
        format!("printf '#!/bin/sh\\ncase $2 in *json*) exit 1;; esac; exec {} \"$@\"\\n'", python.trim());
    machine.mounts = format!("{bare}; {curl}; {less} > bin/python3; chmod +x bin/python3; PATH=$PWD/bin");
    machine.run(&["install"]).is(1, &["`python3` lacks modules", "hint: apt-get install python3"]);
    // With all of them, it needs nothing more.
    machine.mounts = format!("{bare}; {curl}; ln -sf {} bin/python3; PATH=$PWD/bin", python.trim());
    machine.run(&["install"]).is(0, &["installed dockerops 0.2.0"]);
    machine.run(&["status"]).is(0, &["installed:   0.2.0"]);
    machine.run(&["uninstall"]).is(0, &["removed"]);
}

#[test]
fn install_and_uninstall_need_root() {
    let Some(machine) = Machine::new() else { return };
    for what in ["install", "uninstall"] {
        as_nobody(&machine, &[what]).is(1, &[&format!("`{what}` needs root"), "hint: sudo dockerops.sh"]);
    }
    assert!(machine.requests().is_empty());
}

#[test]
fn a_wrong_command_line_is_told_from_a_failure_and_help_needs_nothing() {
    let Some(machine) = Machine::new() else { return };
    for wrong in [
        &["instal"][..],
        &["install", "--clean"],
        &["install", "-v"],
        &["status", "--yes"],
        &["uninstall", "--clean-db"],
    ] {
        machine.run(wrong).is(2, &["error: ", "hint: dockerops.sh help"]);
    }
    let help = as_nobody(&machine, &["help"]);
    help.is(0, &["curl -sSL https://raw.githubusercontent.com/TomBedinoVT/DockerOps/main/dockerops.sh |\n    sudo bash -s install\n"]);
    for line in help.text.lines().filter(|line| !line.contains("https://")) {
        assert!(line.len() <= 80, "{line}");
    }
    let script = fs::read_to_string(SCRIPT).unwrap();
    let read = script.split("${DOCKEROPS_").skip(1).map(|rest| rest.split([':', '}']).next().unwrap());
    for name in read {
        help.is(0, &[&format!("DOCKEROPS_{name} ")]);
    }
    for arguments in [&[][..], &["--help"], &["-h"], &["install", "--help"]] {
        assert_eq!(machine.run(arguments).is(0, &[]).text, help.text);
    }
}

#[test]
fn it_goes_to_usr_local_unless_told_otherwise() {
    let Some(mut machine) = Machine::new() else { return };
    machine.release("0.1.0");
    machine.release("0.2.0");
    // The machine's own folder stays as it is.
    let layers = "mkdir layers; mount -t tmpfs tmpfs layers; mkdir layers/upper layers/work";
    machine.mounts = format!(
        "{layers}; mount -t overlay -o lowerdir=/usr/local,upperdir=layers/upper,workdir=layers/work overlay /usr/local"
    );
    machine.variables.remove("DOCKEROPS_PREFIX");
    let typed = format!(
        "bash {SCRIPT} install -v 0.1.0; bash {SCRIPT} install; cd /; cat /usr/local/bin/dockerops.backup usr/local/{}",
        SHARED[2]
    );
    finish(machine.command(&["bash", "-e", "-c", &typed]).spawn().unwrap()).is(
        0,
        &[
            "kept as /usr/local/bin/dockerops.backup) as /usr/local/bin/dockerops\n",
            "echo dockerops 0.1.0",
            "dockerops.1 of 0.2.0",
        ],
    );
}

#[test]
fn an_older_bash_is_named_and_nothing_newer_than_bash_4_0_is_used() {
    let Some(machine) = Machine::new() else { return };
    let script = fs::read_to_string(SCRIPT).unwrap();
    let check = "BASH_VERSINFO[0] >= 4";
    assert!(script.contains(check));
    // No older bash is to be had where the tests run: this one takes itself for one.
    let old = machine.home().join("old.sh");
    fs::write(&old, script.replace(check, "3 >= 4")).unwrap();
    let said = finish(machine.command(&["bash", old.to_str().unwrap(), "install"]).spawn().unwrap());
    said.is(1, &["error: this is bash ", "it must be bash 4 or newer"]);
    for (newer, since) in [
        ("declare -g", "4.2"),
        ("local -g", "4.2"),
        ("[[ -v ", "4.2"),
        ("[-1]", "4.2"),
        ("lastpipe", "4.2"),
        (")T", "4.2"),
        ("local -n", "4.3"),
        ("declare -n", "4.3"),
        ("wait -n", "4.3"),
        ("mapfile -d", "4.4"),
        ("readarray -d", "4.4"),
        ("@Q}", "4.4"),
        ("inherit_errexit", "4.4"),
        ("EPOCH", "5.0"),
        ("SRANDOM", "5.1"),
    ] {
        assert!(!script.contains(newer), "`{newer}` is known since bash {since}");
    }
}

#[test]
fn what_runs_the_version_before_is_named_by_an_upgrade_and_by_an_uninstall() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.2.0");
    fs::create_dir_all(machine.program().parent().unwrap()).unwrap();
    // No script: the process of one has the shell as its program.
    for what in ["install", "uninstall"] {
        let _ = fs::remove_file(machine.program());
        stdout_of(command("cp").args(["/bin/sleep"]).arg(machine.program()));
        let mut daemon = command(machine.program()).arg("60").stdout(Stdio::null()).spawn().unwrap();
        machine.run(&[what]).is(0, &[&format!("note: pid {} still runs ", daemon.id()), "dockerops, or "]);
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        machine.run(&[what]).is(0, &[]).lacks("still runs");
    }
}

#[test]
fn a_folder_or_a_link_in_the_programs_place_is_nobodys_loss() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.2.0");
    fs::create_dir_all(machine.program()).unwrap();
    fs::write(machine.program().join("notes"), "mine").unwrap();
    machine.run(&["install"]).is(1, &["is a folder", "hint: move it away"]);
    machine.run(&["uninstall"]).is(0, &["is a folder, and stays", "nothing to remove"]);
    assert_eq!(machine.installed().into_keys().collect::<Vec<_>>(), ["bin/dockerops/notes"]);
    fs::remove_dir_all(machine.program()).unwrap();
    let elsewhere = machine.home().join("dockerops");
    fs::write(&elsewhere, "#!/bin/sh\necho dockerops 0.1.0\n").unwrap();
    stdout_of(command("chmod").arg("+x").arg(&elsewhere));
    std::os::unix::fs::symlink(&elsewhere, machine.program()).unwrap();
    let breaks = b"#!/bin/sh\ncase $0 in */bin/dockerops) exit 1;; esac\necho dockerops 0.3.0\n";
    machine.release_program("0.3.0", breaks);
    machine.run(&["install"]).is(1, &["put everything back"]);
    assert_eq!(fs::read_link(machine.program()).unwrap(), elsewhere, "as it was");
    machine.run(&["install", "-v", "v0.2.0"]).is(0, &["it was 0.1.0"]);
    assert!(fs::read_to_string(elsewhere).unwrap().contains("0.1.0"), "what it led to is left alone");
}

#[test]
fn a_script_that_was_cut_off_on_its_way_does_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.release("0.2.0");
    let script = fs::read_to_string(SCRIPT).unwrap();
    let step = script.len() / 40;
    let cuts = (1..40).map(|part| part * step).chain(script.len() - 40..script.len() - 1);
    let part = machine.home().join("part.sh");
    for cut in cuts.filter(|cut| script.is_char_boundary(*cut)) {
        fs::write(&part, &script[..cut]).unwrap();
        let mut bash = command("bash");
        bash.args(["-s", "install"]).envs(&machine.variables).stdin(fs::File::open(&part).unwrap());
        let _ = bash.output().unwrap();
        assert!(machine.installed().is_empty(), "{cut} of {} bytes installed something", script.len());
    }
    assert!(machine.requests().is_empty());
}

fn as_nobody(machine: &Machine, arguments: &[&str]) -> Said {
    let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", SCRIPT];
    finish(machine.command(&[&words, arguments].concat()).spawn().unwrap())
}
