//! The database: an older one opens, a newer or broken one is left alone, a full disk loses nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};
use crate::support::wait_for;

/// The tables of the older release, as it made them.
const OLDER: &str = "
    CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
        reference_count INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE stacks (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
        repository_url TEXT NOT NULL, compose_path TEXT NOT NULL, hash TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'stopped', UNIQUE(name, repository_url));
    CREATE TABLE repository_cache (id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL UNIQUE,
        last_watch TEXT NOT NULL);";

fn make_older(ops: &DockerOps, url: &str, stack: &str) {
    fs::create_dir_all(ops.database().parent().unwrap()).unwrap();
    let database = Connection::open(ops.database()).unwrap();
    database.execute_batch(OLDER).unwrap();
    let fill = format!(
        "INSERT INTO repository_cache VALUES (7, '{url}', '2024-01-02 03:04:05');
         INSERT INTO stacks VALUES (8, '{stack}', '{url}', '{stack}/docker-compose.yml', 'abc', 'deployed');
         INSERT INTO images VALUES (9, 'left:1', 1);"
    );
    database.execute_batch(&fill).unwrap();
}

fn rows(ops: &DockerOps, query: &str) -> Vec<String> {
    let database = ops.db();
    let mut query = database.prepare(query).unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_older_releases_database_is_read_as_it_is_then_kept_and_reconciled() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("older");
    repo.stack(&stack, &one_service(&lab.image("app:1"), 1)).commit("first");
    let compose = repo.path().join(format!("{stack}/docker-compose.yml"));
    lab.docker(&["stack", "deploy", "-c", compose.to_str().unwrap(), &stack]);
    let services = || lab.docker(&["stack", "services", "--quiet", &stack]);
    let listed = ["stack", "services", "--format", "{{.Replicas}}", &stack];
    wait_for("its task", 60, || lab.docker(&listed) == "1/1");
    let (before, url) = (services(), repo.url());
    make_older(&ops, &url, &stack);

    let bytes = fs::read(ops.database()).unwrap();
    ops.run(["debug-cache"]).success().stdout_has(&url).stdout_has("2024-01-02 03:04:05");
    ops.run(["status"]).success().stdout_has(&stack).stdout_has("left:1");
    assert_eq!(fs::read(ops.database()).unwrap(), bytes, "looking changed it");

    ops.run(["reconcile"]).success().stdout_has(&format!("deployed  {stack} "));
    assert_eq!(services(), before, "the service was made anew");
    assert_eq!(rows(&ops, "SELECT id || ' ' || url FROM repository_cache"), [format!("7 {url}")]);
    assert_eq!(rows(&ops, "SELECT id || ' ' || status FROM stacks WHERE hash != 'abc'"), ["8 deployed"]);
    let images = rows(&ops, "SELECT name || ' ' || reference_count FROM images ORDER BY id");
    assert_eq!(images, [format!("{} 1", lab.image("app:1"))], "nothing uses the other, which is on no node");
    ops.run(["reconcile"]).success().stdout_has("1 unchanged");
}

/// Every command fails with this one error, and the file stays as it is to the byte.
#[track_caller]
fn left_alone(ops: &DockerOps, what: &str) {
    let bytes = fs::read(ops.database()).unwrap();
    let all = [
        &["watch", "/nowhere"][..],
        &["reconcile"],
        &["unwatch", "/x"],
        &["stop", "--yes"],
        &["status"],
        &["debug-cache"],
    ];
    for command in all {
        ops.run(command).failure(1).error_has(what).stderr_has(ops.database().to_str().unwrap());
        assert!(fs::read(ops.database()).unwrap() == bytes, "{command:?} changed it");
    }
}

#[test]
fn a_newer_releases_database_is_refused_unharmed() {
    let ops = DockerOps::without_docker();
    ops.run(["stop", "--yes"]).success();
    ops.db().pragma_update(None, "user_version", 99).unwrap();
    left_alone(&ops, "was made by a newer release (version 99");
}

#[test]
fn a_file_that_is_no_database_is_refused_unharmed() {
    let ops = DockerOps::without_docker();
    fs::create_dir_all(ops.database().parent().unwrap()).unwrap();
    fs::write(ops.database(), "this is no database, but something dear to its owner\n".repeat(100)).unwrap();
    left_alone(&ops, "file is not a database");
}

#[test]
fn a_corrupt_database_loses_nothing_that_runs_and_can_be_moved_away() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("corrupt");
    repo.stack(&stack, &one_service(&lab.image("app:1"), 1)).commit("first");
    ops.run(["watch", &repo.url()]).success();
    let tasks = || lab.docker(&["stack", "ps", "--quiet", "--no-trunc", &stack]);
    let before = tasks();
    let mut bytes = fs::read(ops.database()).unwrap();
    let half = bytes.len() / 16;
    bytes[half..].fill(0xa5);
    fs::write(ops.database(), bytes).unwrap();
    left_alone(&ops, "malformed");

    fs::rename(ops.database(), ops.database().with_extension("away")).unwrap();
    ops.run(["watch", &repo.url()]).success().stdout_has("adopted");
    assert_eq!(tasks(), before, "a task was restarted");
}

/// A watched stack whose repository has moved on.
fn moved_on(ops: &DockerOps, repo: &Repo, image: impl Fn(&str) -> String) -> String {
    let stack = ops.unique("disk");
    repo.stack(&stack, &one_service(&image("app:1"), 0)).commit("first");
    ops.run(["watch", &repo.url()]).success();
    repo.stack(&stack, &one_service(&image("app:2"), 0)).commit("second");
    stack
}

#[test]
fn a_database_that_cannot_be_written_is_said_to_be_and_can_still_be_read() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = moved_on(&ops, &repo, |name| lab.image(name));
    let ops = ops.with_mounts("mount --bind $state $state; mount -o remount,bind,ro $state; exec \"$@\"");
    ops.run(["reconcile"]).failure(1).error_has("ead-only file system");
    ops.run(["watch", "/nowhere"]).failure(1).error_has("ead-only file system");
    ops.run(["status"]).success().stdout_has(&stack);
    ops.run(["debug-cache"]).success().stdout_has(&repo.url());
    let ops = ops.through([""; 0]);
    ops.run(["reconcile"]).success().stdout_has("1 deployed");
}

#[test]
fn a_file_that_alone_cannot_be_written_is_said_to_be() {
    let ops = DockerOps::without_docker();
    ops.run(["stop", "--yes"]).success();
    let file = "$state/dockerops.db";
    let read_only = format!("mount --bind {file} {file}; mount -o remount,bind,ro {file}; exec \"$@\"");
    ops.with_mounts(&read_only).run(["reconcile"]).failure(1).error_has("ead-only file system");
}

/// Runs it on a disk of 4 MB that holds what its folder holds, and puts back what the run left there.
const SMALL_DISK: &str = "disk=$(mktemp -d); mount -t tmpfs -o size=4m tmpfs $disk; cp -a $state/. $disk; \
    mount --bind $state /mnt; mount --move $disk $state; rmdir $disk;";
const PUT_BACK: &str =
    "code=0; \"$@\" || code=$?; rm -f $state/fill; rm -rf /mnt/*; cp -a $state/. /mnt; exit $code";
const FILL: &str = "dd if=/dev/zero of=$state/fill bs=1k 2>/dev/null || true";

#[test]
fn a_disk_that_is_full_is_said_to_be_and_the_next_run_converges() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = moved_on(&ops, &repo, |name| lab.image(name));
    let ops = ops.with_mounts(&format!("{SMALL_DISK} {FILL}; {PUT_BACK}"));
    let outcome = ops.run(["reconcile"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("hint: "), "{outcome}");
    assert!(["No space left", "is full"].iter().any(|words| outcome.stderr.contains(words)), "{outcome}");
    let ops = ops.through([""; 0]);
    ops.run(["reconcile"]).success().stdout_has(&format!("deployed  {stack} "));
    assert_eq!(ops.checkouts(), Vec::<&Path>::new());
}

#[test]
fn a_disk_that_fills_up_while_docker_deploys_loses_no_row_and_the_next_run_converges() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = moved_on(&ops, &repo, |name| lab.image(name));
    let state = ops.database().parent().unwrap().display().to_string();
    let fake = FakeDocker::new().does("stack deploy", &FILL.replace("$state", &state));
    let ops = ops.with_fake(&fake).with_mounts(&format!("{SMALL_DISK} {PUT_BACK}"));
    ops.run(["reconcile"]).failure(1).error_has("database or disk is full").stderr_has(&stack);
    assert_eq!(rows(&ops, "SELECT name || status FROM stacks"), [format!("{stack}deployed")]);
    let ops = ops.through([""; 0]);
    ops.run(["reconcile"]).success().stdout_has(&stack).stdout_has("1 deployed");
    ops.run(["reconcile"]).success().stdout_has("1 unchanged");
}

#[test]
fn folder_and_files_are_for_root_alone_whatever_the_umask() {
    let (ops, repo) = (DockerOps::without_docker(), Repo::new());
    let ops = ops.with_fake(&FakeDocker::of_an_empty_swarm());
    let ops = ops.through(["bash", "-c", "umask 0; exec \"$@\"", "bash"]);
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    ops.run(["stop", "--yes"]).success();
    let mode = |path: &Path| format!("{:o}", path.metadata().unwrap().permissions().mode() & 0o7777);
    let folder = ops.database().parent().unwrap().to_owned();
    assert_eq!(mode(&folder), "700");
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), "600");
    }
    assert_eq!(mode(&ops.database()), "600");
}

#[test]
fn a_database_that_others_could_read_is_closed_to_them() {
    let ops = DockerOps::without_docker();
    make_older(&ops, "/repo", "web");
    fs::set_permissions(ops.database(), PermissionsExt::from_mode(0o644)).unwrap();
    ops.run(["unwatch", "/other"]).failure(1);
    assert_eq!(ops.database().metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_database_that_another_program_holds_is_waited_for_then_said_to_be_held() {
    let ops = DockerOps::without_docker().limit(40);
    ops.run(["stop", "--yes"]).success();
    let other = ops.db();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    ops.run(["reconcile"])
        .failure(1)
        .error_has("database is locked")
        .stderr_has("another program has it open");
    other.execute_batch("ROLLBACK").unwrap();
    ops.run(["stop", "--yes"]).success();
}

#[test]
fn checkouts_are_for_root_alone() {
    let (ops, repo) = (DockerOps::without_docker(), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    let look = format!(
        "find {}/*.checkouts -printf '%m\\n' | head -2 >$folder/modes",
        ops.database().parent().unwrap().display()
    );
    let fake = FakeDocker::of_an_empty_swarm().does("stack deploy", &look);
    let ops = ops.with_fake(&fake).through(["bash", "-c", "umask 0; exec \"$@\"", "bash"]);
    ops.run(["watch", &repo.url()]);
    let modes = fs::read_to_string(fake.folder().parent().unwrap().join("modes")).unwrap();
    assert_eq!(modes, "700\n700\n");
}

#[test]
fn the_database_lies_where_the_variable_says_else_in_the_home() {
    let ops = DockerOps::without_docker();
    let elsewhere = ops.home().join("a/b/c.db");
    let ops = ops.env("DOCKEROPS_DB_PATH", &elsewhere);
    ops.run(["stop", "--yes"]).success();
    assert!(elsewhere.is_file() && !ops.database().exists());
    ops.run(["debug-cache"]).failure(1).stdout_has(elsewhere.to_str().unwrap());
    let ops = ops.env_remove("DOCKEROPS_DB_PATH");
    ops.run(["stop", "--yes"]).success();
    assert!(ops.home().join(".dockerops/dockerops.db").is_file());
    ops.env_remove("HOME").run(["reconcile"]).failure(1).error_has("DOCKEROPS_DB_PATH");
}
