//! The command line: help that teaches, exit codes, root, messages people search for.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::dockerops::{DockerOps, Outcome, PROGRAM};
use crate::support::fake_docker::FakeDocker;
use crate::support::repo::Repo;
use crate::support::{command, stdout_of};

const COMMANDS: [&str; 17] = [
    "watch",
    "reconcile",
    "unwatch",
    "hold",
    "release",
    "rollback",
    "status",
    "history",
    "events",
    "logs",
    "stop",
    "run",
    "validate",
    "completion",
    "man",
    "debug-cache",
    "version",
];

fn idle() -> (DockerOps, FakeDocker) {
    let fake = FakeDocker::of_an_empty_swarm();
    (DockerOps::without_docker().with_fake(&fake), fake)
}

#[test]
fn help_teaches_every_command_with_an_example() {
    let (ops, _) = idle();
    let all = ops.run(["--help"]);
    all.success().stdout_has(
        "Exit codes: 0 done or nothing to do, 1 failed or nothing watched, 2 usage, 3 some stacks failed",
    );
    all.stdout_has("4 another run holds the lock, 5 a dry run")
        .stdout_has("128+n ended by signal n")
        .stdout_has("dockerops watch https://");
    for command in COMMANDS {
        all.stdout_has(&format!("  {command} "));
        let help = ops.run([command, "--help"]);
        help.success().stdout_has(&format!("Usage: dockerops {command}"));
        let example =
            help.stdout.lines().any(|line| line.trim().starts_with(&format!("dockerops {command}")));
        let run_as_root = help.stdout.contains(&format!("  sudo dockerops {command}"));
        assert!(example || run_as_root, "no example: {help}");
    }
    let watch = ops.run(["watch", "--help"]);
    watch.stdout_has("URL[#ref[:dir]]").stdout_has("GITHUB_TOKEN").stdout_has("DOCKEROPS_GIT_CREDENTIALS");
    ops.run(["reconcile", "--help"]).stdout_has("--force").stdout_has("--dry-run");
    assert!(!ops.database().exists());
}

#[test]
fn what_is_no_command_line_exits_2_and_shows_the_usage() {
    let (ops, _) = idle();
    let wrong: [&[&str]; 18] = [
        &[],
        &["deploy"],
        &["watch"],
        &["watch", "/a", "/b"],
        &["watch", "/a", "--exit-code"],
        &["unwatch"],
        &["reconcile", "--hard"],
        &["reconcile", "--exit-code"],
        &["status", "web", "extra"],
        &["history"],
        &["logs"],
        &["logs", "web", "app", "more"],
        &["hold"],
        &["release"],
        &["rollback"],
        &["completion"],
        &["man", "watch", "more"],
        &["version", "--json"],
    ];
    for arguments in wrong {
        ops.run(arguments).failure(2).stderr_has("Usage: dockerops");
    }
    assert!(!ops.database().exists());
}

/// Nobody, who can reach the program wherever it was built.
fn as_nobody(ops: DockerOps) -> (TempDir, DockerOps) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy: PathBuf = folder.path().join("dockerops");
    stdout_of(command("install").args(["-m", "755", PROGRAM]).arg(&copy));
    let script =
        format!("shift; exec setpriv --reuid 65534 --regid 65534 --clear-groups {} \"$@\"", copy.display());
    (folder, ops.through(["bash", "-c", &script, "bash"]))
}

#[test]
fn version_needs_neither_root_nor_docker_nor_a_database_nor_a_home() {
    let ops = DockerOps::without_docker().env_remove("HOME").env_remove("DOCKEROPS_DB_PATH");
    let bare = |outcome: Outcome| {
        outcome.success().stdout_has(&format!("dockerops {}\n", env!("CARGO_PKG_VERSION")));
        outcome.stdout_has(env!("CARGO_PKG_REPOSITORY")).stderr_lacks(" ");
    };
    let (_folder, nobody) = as_nobody(ops);
    bare(nobody.run(["version"]));
    let ops = DockerOps::without_docker().env("PATH", "/nonexistent").env("DOCKEROPS_DB_PATH", "/proc/x");
    bare(ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "nonsense").run(["version"]));
    DockerOps::without_docker().run(["--version"]).success().stdout_has(env!("CARGO_PKG_VERSION"));
}

#[test]
fn completions_and_manual_pages_come_from_the_program_and_need_nothing() {
    let ops = DockerOps::without_docker().env_remove("HOME").env_remove("DOCKEROPS_DB_PATH");
    let (_folder, nobody) = as_nobody(ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "nonsense"));
    let print = |arguments: &[&str]| nobody.run(arguments).success().stderr_lacks(" ").stdout.clone();
    for shell in ["bash", "zsh", "fish"] {
        let script = print(&["completion", shell]);
        for name in COMMANDS {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    let complete =
        "source /dev/stdin; COMP_WORDS=(dockerops unw) COMP_CWORD=1; _dockerops dockerops unw dockerops";
    let mut bash = command("bash");
    bash.args(["-c", &format!("{complete}; echo ${{COMPREPLY[*]}}")]);
    assert_eq!(stdout_fed(&mut bash, &print(&["completion", "bash"])), "unwatch\n");
    let page = print(&["man"]);
    assert!(page.contains(".TH dockerops 1"), "{page}");
    for name in COMMANDS {
        assert!(page.contains(&format!(".SH DOCKEROPS {}\n", name.to_uppercase())), "{name}: {page}");
        let own = print(&["man", name]);
        assert!(own.contains(&format!(".TH dockerops-{name} 1")) && own.contains("EXTRA\n"), "{own}");
    }
    let slip = nobody.run(["man", "rolback"]);
    slip.failure(2).error_has("there is no command `rolback`").stderr_has("hint: did you mean `rollback`?");
    nobody.run(["completion", "tcsh"]).failure(2).stderr_has("[possible values: bash, zsh, fish]");
}

/// What a program prints that is given this to read.
fn stdout_fed(program: &mut std::process::Command, text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    stdout_of(program.stdin(std::fs::File::open(file.path()).unwrap()))
}

#[test]
fn without_root_every_other_command_says_so_whatever_the_user_variable_claims() {
    let (_folder, nobody) = as_nobody(DockerOps::without_docker().env("USER", "root").env("SUDO_USER", "x"));
    let for_all =
        ["status", "history", "events", "logs", "validate", "completion", "man", "debug-cache", "version"];
    for name in COMMANDS.into_iter().filter(|name| !for_all.contains(name)) {
        let arguments: &[&str] = match name {
            "watch" | "unwatch" => &[name, "/repo"],
            "hold" | "release" | "rollback" => &[name, "web"],
            _ => &[name],
        };
        let outcome = nobody.run(arguments);
        outcome.failure(1).error_has("DockerOps must be run with root privileges");
        outcome.stderr_has(&format!("`sudo dockerops {name}"));
    }
    nobody.run(["--help"]).success();
    // Who may read the database may look.
    let open = tempfile::tempdir().unwrap();
    std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let database = open.path().join("root.db");
    let nobody = nobody.env("DOCKEROPS_DB_PATH", &database);
    let readers = [&["history", "web"][..], &["status"], &["status", "web"], &["events"], &["debug-cache"]];
    for reader in readers {
        nobody.run(reader).failure(1).error_has("No repositories found in cache");
    }
    std::fs::write(&database, "").unwrap();
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o600)).unwrap();
    for reader in readers {
        let refused = nobody.run(reader);
        refused
            .failure(1)
            .error_has("ermission denied")
            .stderr_has(&format!("`sudo dockerops {}`", reader.join(" ")));
    }
    assert_eq!(std::fs::read_dir(open.path()).unwrap().count(), 1, "nothing is made beside it");
}

#[test]
fn root_by_another_name_is_root() {
    let (ops, _) = idle();
    ops.env("USER", "nobody").run(["stop", "--yes"]).success();
}

#[test]
fn a_source_is_watched_once_however_it_is_spelled() {
    let (ops, fake) = idle();
    let repo = Repo::new();
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    ops.run(["watch", &repo.url()]).failure(3);
    fake.forget();
    let url = repo.url();
    let path = repo.path().display().to_string();
    let spelled =
        |name: &str| [name.to_owned(), format!("{name}/"), format!("{name}.git"), format!("{name}.git/")];
    for spelling in spelled(&url).into_iter().chain(spelled(&path)) {
        let outcome = ops.run(["watch", &*spelling]);
        outcome.failure(1).error_has("Repository is already being watched").stderr_has("reconcile");
    }
    assert_eq!(fake.calls(), [""; 0]);
    ops.run(["watch", &format!("{url}#main")]).failure(3).stderr_lacks("already being watched");
}

#[test]
fn where_nothing_is_watched_that_is_a_failure_that_names_the_database_but_stop_has_what_it_wants() {
    let (ops, fake) = idle();
    let database = format!("`{}`", ops.database().display());
    let there_is_none: &[&[&str]] = &[
        &["status"],
        &["status", "--json"],
        &["history", "web"],
        &["debug-cache"],
        &["reconcile", "--dry-run"],
    ];
    // `reconcile` makes one before it looks.
    let it_is_empty: &[&[&str]] =
        &[&["reconcile"], &["reconcile", "--dry-run"], &["status"], &["history", "web"], &["debug-cache"]];
    let of_none = there_is_none.iter().map(|command| (command, "there is no database"));
    for (command, what) in of_none.chain(it_is_empty.iter().map(|it| (it, "is watched in the database"))) {
        let outcome = ops.run(*command);
        outcome.failure(1).error_has("No repositories found in cache").stderr_has(what).stderr_has(&database);
        outcome.stderr_has("dockerops watch").stderr_has("`DOCKEROPS_DB_PATH`").stderr_has("`HOME`");
    }
    ops.run(["status", "--json"]).json();
    let stopped = ops.run(["stop", "--yes"]);
    stopped.success().stdout_has("No repositories found in cache").stdout_has(&database);
    ops.run(["unwatch", "/repo"]).failure(1).error_has("`/repo` is not being watched");
    assert_eq!(fake.calls(), [""; 0]);
}

#[test]
fn looking_makes_no_database() {
    let (ops, _) = idle();
    ops.run(["status"]).failure(1);
    ops.run(["status", "--json"]).failure(1).json();
    ops.run(["history", "web"]).failure(1);
    ops.run(["debug-cache"]).failure(1);
    assert!(!ops.database().parent().unwrap().exists());
}

#[test]
fn wrong_variables_are_named_before_anything_is_done() {
    for (name, value) in [
        ("DOCKEROPS_DEPLOY_TIMEOUT", "soon"),
        ("DOCKEROPS_GIT_TIMEOUT", "-1"),
        ("DOCKEROPS_IMAGE_PULL_POLICY", "never"),
        ("GITHUB_TOKEN_FILE", "/nonexistent"),
    ] {
        let (ops, fake) = idle();
        let ops = ops.env(name, value);
        ops.run(["reconcile"]).failure(1).error_has(name);
        assert!(!ops.database().exists() && fake.calls().is_empty());
    }
    let (ops, _) = idle();
    let outcome = ops.env("DOCKEROPS_IMAGE_PULL_POLICY", "never").run(["reconcile"]);
    outcome.stderr_has("`ifnotpresent`").stderr_has("`always`");
}

#[test]
fn a_variable_that_nobody_reads_is_a_warning_with_the_nearest() {
    let (ops, _) = idle();
    let ops = ops.env("DOCKEROPS_REPO", "its-value").env("DOCKEROPS_PREFIX", "/opt").env("DOCKEROPS_X", "");
    for command in
        [&["reconcile"][..], &["status", "--json"], &["validate", "/nonexistent"], &["stop", "--yes"]]
    {
        let said = ops.run(command);
        said.stderr_has(
            "warning: nobody reads the variable `DOCKEROPS_REPO`; did you mean `DOCKEROPS_REPOS`?\n",
        );
        said.stderr_has("warning: nobody reads the variable `DOCKEROPS_X`\n");
        assert_eq!(said.stderr.matches("warning").count(), 2, "{said}");
        said.stdout_lacks("nobody reads").stderr_lacks("its-value");
    }
    ops.run(["status", "--json"]).json();
    ops.run(["version"]).success().stderr_lacks("warning");
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let (ops, _) = idle();
    let ops = ops.through(["bash", "-c", "set -o pipefail; \"$@\" 2>&1 >&- | cat; \"$@\" | true", "bash"]);
    for arguments in [&["reconcile"][..], &["status"], &["version"], &["debug-cache"]] {
        let outcome = ops.run(arguments);
        outcome.stdout_lacks("panicked").stderr_lacks("panicked");
    }
}
