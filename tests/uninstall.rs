//! `dockerops.sh`: what it removes and what never, and `status`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::lab::lab;
use crate::support::machine::{Machine, SCRIPT, Said, finish};
use crate::support::{command, path_with};

/// Answers a question on a terminal: `python3 -c TERMINAL ANSWER COMMAND…`.
const TERMINAL: &str = "
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
try:
    while data := os.read(fd, 65536):
        os.write(1, data)
        if b'[y/N]' in data:
            os.write(fd, sys.argv[1].encode() + b'\\n')
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// A database with a watched repository, a checkout of a killed run, its lock, and a file that is somebody else's.
fn make_database(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = Connection::open(path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE repository_cache (id INTEGER PRIMARY KEY, url TEXT, last_watch TEXT);
            INSERT INTO repository_cache (url, last_watch) VALUES ('https://git.example/shop', 'today');",
        )
        .unwrap();
    let checkouts = beside(path, ".checkouts");
    fs::create_dir_all(checkouts.join("checkout-abc/web")).unwrap();
    fs::create_dir_all(checkouts.join("mine")).unwrap();
    let kept = beside(path, ".objects");
    fs::create_dir_all(kept.join("0123abc/1/objects")).unwrap();
    fs::write(kept.join("0123abc/fetching"), "").unwrap();
    fs::create_dir_all(kept.join("mine")).unwrap();
    fs::write(beside(path, ".lock"), "pid 1 since then\n").unwrap();
    fs::write(path.with_file_name("notes"), "mine").unwrap();
}

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

fn installed() -> Option<(Machine, PathBuf)> {
    let mut machine = Machine::new()?;
    machine.release("0.2.0");
    machine.run(&["install"]).is(0, &[]);
    let database = machine.home().join(".dockerops/dockerops.db");
    make_database(&database);
    machine.mounts =
        "echo run > /var/log/dockerops.log; echo other > /var/log/other.log; touch /etc/cron.d/dockerops"
            .into();
    Some((machine, database))
}

fn on_a_terminal(machine: &Machine, answer: &str, arguments: &[&str]) -> Said {
    let words = [&["python3", "-c", TERMINAL, answer, "bash", SCRIPT], arguments].concat();
    finish(machine.command(&words).spawn().unwrap())
}

#[test]
fn clean_db_and_clean_dirs_remove_what_they_list_and_no_more() {
    let Some((mut machine, database)) = installed() else { return };
    let checkout = beside(&database, ".checkouts/checkout-abc");
    machine.mounts += "; trap 'ls /var/log; exit' EXIT; set +e; \"$@\"; exit";
    machine
        .run(&["install", "--clean-dirs"])
        .is(
            0,
            &[
                "is installed already",
                "to be removed:",
                "checkout-abc",
                "  /var/log/dockerops.log",
                "other.log",
            ],
        )
        .lacks("dockerops.log\nother.log");
    let kept = beside(&database, ".objects");
    assert!(database.exists() && !checkout.exists() && !kept.join("0123abc").exists());
    machine.run(&["install", "--clean-db"]).is(0, &[&format!("  {}\n", database.display())]);
    assert!(!database.exists() && !beside(&database, ".lock").exists());
    make_database(&database);
    machine.run(&["install", "--clean-all"]).is(0, &["checkout-abc", "dockerops.db\n"]);
    assert!(!database.exists() && !checkout.exists());
    machine.run(&["install", "--clean-db"]).is(0, &["there is no database", "nothing to remove"]);
    assert!(database.with_file_name("notes").exists() && beside(&database, ".checkouts/mine").exists());
    assert!(kept.join("mine").exists());
}

#[test]
fn a_terminal_is_asked_first_unless_told_otherwise() {
    let Some((machine, database)) = installed() else { return };
    for answer in ["n", "", "maybe"] {
        on_a_terminal(&machine, answer, &["install", "--clean-db"])
            .is(1, &["Remove them? [y/N]", "not confirmed"]);
        let said = on_a_terminal(&machine, answer, &["uninstall"]);
        let (before, _) = said.is(1, &["not confirmed"]).text.split_once("Remove them?").unwrap();
        assert!(before.contains("first: sudo dockerops stop"), "what is too late afterwards is said before");
        assert!(database.exists() && machine.program().exists());
    }
    on_a_terminal(&machine, "y", &["install", "--clean-db"]).is(0, &["Remove them?", "removed"]);
    assert!(!database.exists());
    on_a_terminal(&machine, "n", &["uninstall", "--yes"]).is(0, &["removed"]).lacks("[y/N]");
    assert!(machine.installed().is_empty());
}

#[test]
fn a_wrong_database_path_costs_nobody_a_file_and_a_running_dockerops_keeps_its_own() {
    let Some((mut machine, database)) = installed() else { return };
    // As the program itself holds it.
    let held = fs::File::open(beside(&database, ".lock")).unwrap();
    held.lock().unwrap();
    for what in ["install", "uninstall"] {
        machine.run(&[what, "--clean-all"]).is(1, &["another run holds the lock", "pid 1 since then"]);
    }
    assert!(database.exists() && machine.program().exists());
    drop(held);
    let precious = machine.home().join("precious");
    fs::write(&precious, "do not lose me").unwrap();
    machine.set("DOCKEROPS_DB_PATH", precious.to_str().unwrap());
    for what in [&["install", "--clean-db"][..], &["uninstall", "--clean-all"]] {
        machine.run(what).is(1, &["is no database of DockerOps; it stays"]);
    }
    assert!(precious.exists() && machine.program().exists());
    // At its own place even a damaged one is DockerOps'.
    machine.variables.remove("DOCKEROPS_DB_PATH");
    fs::write(&database, "damaged").unwrap();
    machine.run(&["install", "--clean-db"]).is(0, &["removed"]);
    assert!(!database.exists());
}

#[test]
fn the_database_path_of_the_caller_is_seen_through_sudo() {
    let Some((mut machine, default)) = installed() else { return };
    let other = machine.home().join("other/my.db");
    make_database(&other);
    let allowed = "Defaults use_pty\\nDefaults env_reset\\nnobody ALL=(ALL) NOPASSWD: ALL\\n";
    machine.mounts += &format!(
        "; rm -rf /etc/sudoers.d/*; printf '{allowed}root ALL=(ALL) ALL\\n' > /etc/sudoers; chmod 440 /etc/sudoers
        chmod 755 {0}",
        machine.home().display()
    );
    machine.set("DOCKEROPS_DB_PATH", other.to_str().unwrap());
    let prefix = format!("DOCKEROPS_PREFIX={}", machine.prefix().display());
    let api = format!("DOCKEROPS_API_URL={}", machine.variables["DOCKEROPS_API_URL"]);
    let home = format!("HOME={}", machine.home().display());
    // As the README has it, with the script on standard input. sudo hides what is not named behind it.
    let run = |arguments: &str| {
        let line = format!("sudo -n {prefix} {api} {home} bash -s {arguments} < {SCRIPT}");
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", &line];
        finish(machine.command(&nobody).spawn().unwrap())
    };
    run("status")
        .is(0, &[&format!("database:    {}", other.display()), "watched:     https://git.example/shop"]);
    run("install --clean-db --yes")
        .is(0, &[&format!("  {}\n", other.display()), "is there as well, and stays"]);
    assert!(!other.exists() && default.exists());
}

#[test]
fn uninstall_removes_what_install_brought_and_says_what_stays() {
    let Some((machine, database)) = installed() else { return };
    machine.release("0.3.0");
    machine.run(&["install"]).is(0, &[]);
    let said = machine.run(&["uninstall"]);
    said.is(
        0,
        &[
            "dockerops.backup",
            "man1/dockerops.1",
            "go on running",
            "first: sudo dockerops stop",
            "the database stays",
        ],
    );
    said.is(0, &["to be removed by you: /etc/cron.d/dockerops"]);
    assert!(machine.installed().is_empty() && database.exists());
    machine
        .run(&["uninstall", "--clean-all"])
        .is(0, &["dockerops.db\n", "/var/log/dockerops.log", "removed"])
        .lacks("go on running");
    machine.run(&["uninstall"]).is(0, &["nothing to remove"]);
    assert!(!database.exists() && database.with_file_name("notes").exists());
}

#[test]
fn status_tells_a_new_machine_what_to_do() {
    let Some(mut machine) = Machine::new() else { return };
    machine.release("0.2.0");
    machine.run(&["status"]).is(
        0,
        &[
            "installed:   no",
            "newest:      v0.2.0",
            "database:    none",
            "docker:      does not answer",
            "runs by:",
        ],
    );
    machine.run(&["status"]).is(
        0,
        &[
            "next:        sudo dockerops.sh install",
            "next:        start docker",
            "next:        sudo dockerops watch",
        ],
    );
    assert!(machine.installed().is_empty(), "it changes nothing");
    fs::create_dir_all(machine.prefix().join("bin")).unwrap();
    fs::write(machine.program(), "not a program").unwrap();
    machine.run(&["status"]).is(0, &["installed:   one that does not run"]);
    fs::remove_file(machine.program()).unwrap();
    // Neither curl nor Python nor docker.
    machine.mounts = "mkdir -p bin; for tool in bash cat mktemp rm tr timeout readlink; do
        ln -sf \"$(command -v $tool)\" bin/; done; PATH=$PWD/bin"
        .into();
    machine.run(&["status"]).is(
        0,
        &[
            "newest:      cannot be asked without curl and python3",
            "docker:      not installed",
            "next:        install docker, and make a Swarm: docker swarm init",
        ],
    );
}

#[test]
fn status_needs_no_root_and_says_what_it_cannot_see() {
    let Some((mut machine, database)) = installed() else { return };
    machine.set("DOCKEROPS_API_URL", "http://127.0.0.1:1");
    machine.set("DOCKEROPS_DB_PATH", database.to_str().unwrap());
    let status = |machine: &Machine| {
        let nobody =
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", SCRIPT, "status"];
        finish(machine.command(&nobody).spawn().unwrap())
    };
    let told = [
        "installed:   0.2.0",
        "newest:      cannot be asked of http://127.0.0.1:1: curl: (7)",
        // As root it may well be a manager.
        "next:        sudo dockerops.sh status    # docker answers root",
        "cron, /etc/cron.d/dockerops",
    ];
    status(&machine).is(0, &told);
    machine.mounts += &format!("; chmod 700 {}", database.parent().unwrap().display());
    status(&machine).is(0, &["cannot be looked at without root"]).lacks("sudo dockerops watch");
    machine.mounts +=
        &format!("; chmod 711 {0}; chmod 600 {0}/dockerops.db", database.parent().unwrap().display());
    status(&machine).is(0, &["cannot be read without root"]);
    machine.run(&["status"]).is(0, &["watched:     https://git.example/shop (today)"]);
}

#[test]
fn status_tells_the_swarms_state_an_upgrade_and_the_daemon() {
    let Some((mut machine, _)) = installed() else { return };
    machine.release("0.3.0");
    let bin = machine.home().join("bin");
    fs::create_dir(&bin).unwrap();
    machine.set("PATH", path_with(&bin).to_str().unwrap());
    for (answer, swarm, hint) in [
        ("28.2.2 active true", "swarm:       manager", ""),
        ("28.2.2 active false", "swarm:       worker", "on a manager of a Swarm"),
        ("28.2.2 inactive false", "swarm:       this node is in no Swarm", "docker swarm init"),
    ] {
        fs::write(bin.join("docker"), format!("#!/bin/sh\necho {answer}\n")).unwrap();
        make_executable(&bin.join("docker"));
        let said = machine.run(&["status"]);
        said.is(0, &["docker:      28.2.2", swarm, hint, "# 0.2.0 becomes 0.3.0"]);
    }
    fs::remove_file(bin.join("docker")).unwrap();
    if let Some(lab) = lab() {
        for (host, swarm) in [(lab.docker_host(), "manager"), (lab.docker_host2(), "worker")] {
            machine.set("DOCKER_HOST", host);
            machine.run(&["status"]).is(0, &[&format!("swarm:       {swarm}")]).lacks("does not answer");
        }
    }
    // A script's process bears the script's name. It ends with its standard input.
    fs::write(bin.join("dockerops"), "#!/bin/sh\nread line\n").unwrap();
    make_executable(&bin.join("dockerops"));
    let mut daemon = command(bin.join("dockerops"));
    let mut daemon = daemon.arg("run").stdin(std::process::Stdio::piped()).spawn().unwrap();
    machine.run(&["status"]).is(0, &[&format!("daemon, pid {}", daemon.id()), "cron, /etc/cron.d/dockerops"]);
    drop(daemon.stdin.take());
    daemon.wait().unwrap();
}

fn make_executable(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}
