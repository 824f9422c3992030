//! `validate`: a folder is told right or wrong as `watch` would tell it, by anybody, anywhere.

mod comment;
mod diff;
mod environments;
mod hostile;
mod same;
mod swarm;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fidelity::docker_with_stack_config;
use crate::support::dockerops::{DockerOps, PROGRAM};
use crate::support::fake_docker::FakeDocker;
use crate::support::repo::Repo;
use crate::support::{command, path_with, stdout_of};

const GOOD: &str = "version: '3.8'\nservices:\n  app:\n    image: app:1\n";

/// Without docker, a home, and all else that the environment may say.
pub fn bare() -> DockerOps {
    let ops = DockerOps::without_docker().env("PATH", "/nonexistent");
    ops.env_remove("HOME").env_remove("DOCKEROPS_DB_PATH").env_remove("DOCKER_HOST")
}

/// The paths of the repository's work tree, as an argument.
pub fn at(repo: &Repo) -> String {
    repo.path().display().to_string()
}

#[test]
fn a_right_folder_is_right_and_nothing_is_left_behind() {
    let (ops, repo) = (bare(), Repo::new());
    repo.stack("web", GOOD).stack("db", GOOD).commit("first");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.success().stdout_has("2 stacks, all right\n").stdout_has("not checked: what only docker can say");
    assert_eq!(outcome.stderr, "");
    assert_eq!(repo.git(["status", "--porcelain"]), "");
    assert!(!ops.database().exists() && fs::read_dir(ops.home()).unwrap().next().is_none());
    // What lies on disk counts, committed or not; and so does a folder without git.
    repo.write("web/docker-compose.yml", "services: {}\n");
    ops.run(["validate", &at(&repo)]).failure(1).stdout_has("web/docker-compose.yml:1: `services`: is empty");
    fs::remove_dir_all(repo.path().join(".git")).unwrap();
    ops.run(["validate", &at(&repo)]).failure(1).stdout_has("`services`: is empty");
    let outcome = ops.run(["validate", &at(&repo), "--diff", "main"]);
    outcome.failure(1).error_has("is no git repository");
    let bare = repo.path().join("bare");
    let bare_at = bare.display().to_string();
    repo.git(["init", "--quiet", "--bare", &bare_at]);
    ops.run(["validate", &bare_at, "--diff", "main"]).failure(1).error_has("is a bare git repository");
    repo.write(".git", "gitdir: /nonexistent\n");
    let outcome = ops.run(["validate", &at(&repo), "--diff", "main"]);
    outcome.failure(1).error_has("cannot be opened as a git repository").stderr_has("`git status`");
    ops.run(["validate", "/nonexistent"]).failure(1).error_has("`/nonexistent`");
    ops.run(["validate", &at(&repo), "--json", "--markdown"]).failure(2);
}

#[test]
fn every_mistake_is_told_at_once_with_file_line_and_key() {
    let (ops, repo) = (bare(), Repo::new());
    repo.stack(
        "web",
        "services:\n  app:\n    image: app\n    volumes: ['./conf:/etc/app']\n    env_file: ../../x\n",
    );
    repo.stack("db", "services:\n  db:\n    image: db\nconfigs: {c: {file: gone}}\n");
    repo.write("web/.env", "A\n").write("db/secrets.yaml", "- {secret: s}\n");
    repo.write("volumes.yaml", "- {id: data, type: volume, path: a/b}\n");
    let wanted = [
        "volumes.yaml:1: `entry 1.path`: `a/b` is no name of a docker volume",
        "web/.env:1: ",
        "db/docker-compose.yml:4: `configs.c.file`: `gone` does not exist",
        "db/secrets.yaml:1: `entry 1`: has no `env`",
    ];
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1);
    for line in wanted {
        outcome.stdout_has(line);
    }
    outcome.stdout_has("4 mistakes: nothing of it would be deployed");
    repo.remove("volumes.yaml").remove("web/.env");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("web/docker-compose.yml:4: `services.app.volumes`: `./conf` is relative");
    outcome.stdout_has("web/docker-compose.yml:5: `services.app.env_file`: ");
    outcome.stdout_has("4 mistakes: 2 of 2 stacks would not be deployed");
    let json = ops.run(["validate", &at(&repo), "--json"]).json();
    assert_eq!(json["problems"].as_array().unwrap().len(), 4);
    assert_eq!((&json["right"], &json["problems"][0]["line"]), (&false.into(), &4.into()));
    assert_eq!(json["problems"][0]["stack"], "web");
    // Of a folder in a repository the repository is the checkout: files beside the folder are in it.
    let repo = Repo::new();
    repo.write("envs/prod/stacks.yaml", "- name: web\n").write("shared/site", "x");
    repo.write(
        "envs/prod/web/compose.yml",
        format!("{GOOD}configs: {{c: {{file: ../../../shared/site}}}}\n"),
    );
    ops.run(["validate", &format!("{}/envs/prod", at(&repo))]).success();
    repo.write("envs/prod/web/compose.yml", "a: 1\n");
    ops.run(["validate", &format!("{}/envs/prod", at(&repo))])
        .stdout_has("envs/prod/web/compose.yml:1: `services`");
}

#[test]
fn variables_of_the_daemon_are_listed_and_only_strict_makes_an_error_of_one() {
    let (ops, repo) = (bare().env("SECRET", "canary"), Repo::new());
    let compose = "services:\n  app:\n    image: 'app:${TAG}'\n    environment:\n      A: ${SECRET:?set it}\n      B: ${FILE}\n      \
                   C:\n      D: ${E:-1}\n    deploy: {replicas: '${N}'}\n";
    repo.stack("web", compose).write("web/.env", "FILE=x\n");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.success().stdout_has("required of the daemon's environment: `SECRET` (web)\n");
    outcome.stdout_has("wanted of the daemon's environment: `N` (web), `TAG` (web)\n");
    outcome.stdout_has("if set: `C` (web), `E` (web)\n").stdout_lacks("FILE").stdout_lacks("canary");
    let strict = ops.run(["validate", &at(&repo), "--strict"]);
    let line = "web/docker-compose.yml:5: `services.app.environment.A`: required variable `SECRET` is missing a value: set it";
    strict.failure(1).stdout_has(line).stdout_lacks("canary");
    // What is wrong beside them is told, and what only they decide is a note.
    let more = compose.replace("    deploy", "    volumes: ['./x:/y']\n    deploy")
        + "configs: {c: {file: '${CONF}'}}\n";
    repo.write("web/docker-compose.yml", &more);
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("web/docker-compose.yml:9: `services.app.volumes`: `./x` is relative");
    outcome
        .stdout_has("\n1 mistake: ")
        .stdout_has("note: web: wrong where a variable of the daemon is not set: ");
}

#[test]
fn what_only_docker_can_say_it_is_asked_where_it_is_installed() {
    let Some(docker) = docker_with_stack_config() else { return };
    let (ops, repo) = (DockerOps::without_docker().with_docker(&docker), Repo::new());
    repo.stack("web", &format!("{GOOD}    colour: red\n")).stack("db", GOOD);
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("web/docker-compose.yml:5: `services.app.colour`: docker says: ");
    outcome.stdout_has("1 mistake: 1 of 2 stacks").stdout_lacks("not checked");
    let fake = FakeDocker::of_an_empty_swarm().prints("stack config --help", "Usage: docker stack\n");
    let old = DockerOps::without_docker().with_fake(&fake).run(["validate", &at(&repo)]);
    old.success().stdout_has(
        "not checked: what only docker can say (`docker stack config`): this docker CLI does not",
    );
}

#[test]
fn github_gets_annotations_and_gitlab_a_report() {
    let (ops, repo) = (bare().env("GITHUB_ACTIONS", "true"), Repo::new());
    repo.stack("web", "services:\n  app: {image: 'a b'}\n").write("::error::x.yaml", "");
    repo.write("stacks.yaml", "- name: web\n- name: \"::error file=x::y\"\n");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stderr_has("::error file=stacks.yaml,line=2,title=dockerops::`::error file=x::y`: ");
    assert!(outcome.stdout.lines().all(|line| !line.trim_start().starts_with("::")), "{outcome}");
    outcome.stderr_has("::error file=web/docker-compose.yml,line=2,title=dockerops::`services.app.image`: ");
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("quality.json");
    let arguments = ["validate", &at(&repo), "--code-quality", report.to_str().unwrap()];
    bare().run(arguments).failure(1).stderr_lacks("::");
    let issues: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let of_web = |issues: &serde_json::Value| -> serde_json::Value {
        let is_it = |issue: &&serde_json::Value| issue["location"]["path"] == "web/docker-compose.yml";
        issues.as_array().unwrap().iter().find(is_it).unwrap().clone()
    };
    let before = of_web(&issues);
    assert_eq!(before["location"]["lines"]["begin"], 2);
    repo.write("web/docker-compose.yml", "# moved\nservices:\n  app: {image: 'a b'}\n");
    bare().run(arguments).failure(1);
    let issues: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let after = of_web(&issues);
    assert_eq!(
        (&after["fingerprint"], &after["location"]["lines"]["begin"]),
        (&before["fingerprint"], &3.into())
    );
    // A right folder has an empty report.
    repo.stack("web", GOOD).write("stacks.yaml", "- name: web\n");
    bare().run(arguments).success();
    assert_eq!(fs::read_to_string(&report).unwrap(), "[]\n");
}

#[test]
fn no_path_leads_out_of_the_folder_and_no_secret_is_told() {
    let (ops, repo, outside) = (bare(), Repo::new(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("canary"), "canary-of-a-file").unwrap();
    let out = outside.path().join("canary");
    repo.stack("web", &format!("{GOOD}configs: {{c: {{file: x}}}}\n")).symlink("web/x", &out);
    repo.stack("env", &format!("{GOOD}    env_file: {}\n", out.display()));
    symlink(outside.path(), repo.path().join("elsewhere")).unwrap();
    repo.write("stacks.yaml", "- name: web\n- name: env\n- name: elsewhere\n");
    repo.write("volumes.yaml", "- {id: conf, type: binding, path: web/x}\n")
        .write("nfs.yaml", "path: /etc\n");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("`x` is a symlink that leads out").stdout_has("is absolute");
    outcome.stdout_has("nfs.yaml:1: `path`: `/etc` is a folder of the system").stdout_lacks("canary-of");
    outcome.stdout_has(
        "stacks.yaml:3: `elsewhere`: the stack's folder: `elsewhere` is a symlink that leads out",
    );
    // Of a folder without git it is the folder that nothing leads out of.
    fs::remove_dir_all(repo.path().join(".git")).unwrap();
    repo.remove("volumes.yaml").remove("nfs.yaml").write("below/stacks.yaml", "- name: a\n");
    repo.write(
        "below/a/compose.yml",
        format!("{GOOD}configs: {{c: {{file: ../../web/docker-compose.yml}}}}\n"),
    );
    let outcome = ops.run(["validate", &format!("{}/below", at(&repo))]);
    outcome.failure(1).stdout_has("leads out with `..`");
    // The limits are those of `watch`.
    let few = bare().env("DOCKEROPS_MAX_STACKS", "1").run(["validate", &at(&repo)]);
    few.failure(1).stderr_has("it lists more than 1 stacks");
}

#[test]
fn what_git_ignores_is_said_and_is_no_part_of_a_binding() {
    let (ops, repo) = (bare(), Repo::new());
    let with = "    volumes: ['conf:/etc/app']\n    env_file: local/x.env\nconfigs: {site: {file: local/site.ini}}\n";
    repo.stack("web", &format!("{GOOD}{with}")).write("web/.env", "A=1\n");
    repo.write("web/local/x.env", "B=1\n").write("web/local/site.ini", "x").write("web/local/other", "x");
    repo.write("volumes.yaml", "- {id: conf, type: binding, path: conf}\n")
        .write("nfs.yaml", "path: /mnt/nowhere\n");
    repo.write("conf/a", "a").write(".gitignore", ".env\nconf/bin\nlocal\n");
    repo.commit("first");
    repo.symlink("conf/bin", "/outside");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.success().stdout_has("note: web/.env: is ignored by git: it counts here");
    outcome
        .stdout_has("note: web/local/site.ini: is")
        .stdout_has("note: web/local/x.env: is")
        .stdout_lacks("other");
    outcome.stdout_has("not checked: `nfs.path`");
    repo.write(".gitignore", "");
    ops.run(["validate", &at(&repo)]).failure(1).stdout_has("out of the repository");
}

/// A folder that anybody can read, with the program in it.
fn readable(repo: &Repo) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    stdout_of(command("install").args(["-m", "755", PROGRAM]).arg(folder.path().join("dockerops")));
    stdout_of(
        command("cp").args(["-r", "--no-preserve=mode"]).arg(repo.path()).arg(folder.path().join("repo")),
    );
    folder
}

#[test]
fn it_runs_as_nobody_on_a_read_only_disk_without_home_tmp_or_passwd() {
    let repo = Repo::new();
    repo.stack("web", GOOD).commit("first");
    repo.branch("change").stack("web", &GOOD.replace("app:1", "app:2"));
    let folder = readable(&repo);
    let inside = |what: &str| {
        let script = format!(
            "set -e; mount --make-rprivate /; mount -t tmpfs none /mnt; mkdir -p /mnt/at /mnt/dev/shm
             for part in /usr /bin /lib /lib64; do
                 if [ -L $part ]; then cp -a $part /mnt; elif [ -d $part ]; then mkdir /mnt$part; mount --bind $part /mnt$part; fi
             done
             mount --bind {at} /mnt/at; mount -o remount,bind,ro /mnt/at; mount -o remount,ro /mnt
             {what}
             exec chroot /mnt /usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
                 /usr/bin/env -i /at/dockerops validate /at/repo \"$@\"",
            at = folder.path().display()
        );
        DockerOps::without_docker().through(["unshare", "--mount", "bash", "-c", &script])
    };
    let ops = inside("");
    let outcome = ops.run::<&str>([]);
    outcome.success().stdout_has("1 stack, all right");
    // A comparison writes files for a while: that it cannot is said, with the way out.
    let outcome = ops.run(["--diff", "main"]);
    outcome.failure(1).error_has("cannot write to a temporary folder").stderr_has("`TMPDIR`");
    let shm = inside("mount -t tmpfs -o mode=1777 none /mnt/dev/shm");
    shm.run(["--diff", "main"]).success().stdout_has("`app` rolls (image `app:1` → `app:2`)");
}

#[test]
fn a_thousand_stacks_take_no_time() {
    let repo = Repo::new();
    let names: Vec<_> = (0..1000).map(|number| format!("s{number}")).collect();
    for name in &names {
        repo.write(&format!("{name}/docker-compose.yml"), GOOD).write(&format!("{name}/.env"), "A=1\n");
    }
    repo.write(
        "stacks.yaml",
        names.iter().map(|name| format!("- name: {name}\n")).collect::<Vec<_>>().concat(),
    );
    let begun = Instant::now();
    bare().run(["validate", &at(&repo)]).success().stdout_has("1000 stacks, all right");
    // A release takes a tenth of that.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn the_page_shows_what_it_prints() {
    let blocks = crate::documents::blocks();
    let of =
        |info: &str| blocks.iter().find(|block| block.info == info).map(|block| block.text.clone()).unwrap();
    let (ops, repo) = (bare(), Repo::new());
    let set_up = of("sh validate");
    let bin = tempfile::tempdir().unwrap();
    symlink(PROGRAM, bin.path().join("dockerops")).unwrap();
    // As in the tour: a repository of one stack.
    repo.write("stacks.yaml", "- name: web\n- name: db\n");
    repo.write(
        "web/docker-compose.yml",
        "services:\n  app:\n    image: nginx:${TAG}\n    volumes: [data:/data]\n",
    );
    repo.write("db/docker-compose.yml", "services:\n  db:\n    image: postgres:17\n");
    repo.write("volumes.yaml", "- {id: data, type: volume, path: shop-data}\n").commit("first");
    repo.git(["update-ref", "refs/remotes/origin/main", "main"]);
    repo.branch("change");
    repo.write("stacks.yaml", "- name: web\n");
    repo.write(
        "web/docker-compose.yml",
        "services:\n  app:\n    image: nginx:1.29\n    volumes: [data:/data]\n",
    );
    repo.write("volumes.yaml", "- {id: data, type: volume, path: data}\n");
    let mut typed = command("/bin/bash");
    typed.args(["-e", "-c", &set_up]).current_dir(repo.path()).env_clear().env("PATH", bin.path());
    let said = stdout_of(&mut typed);
    let commit = repo.git(["rev-parse", "--short=12", "main"]);
    let shown = of("text validate").replace("0123456789ab", &commit);
    assert!(said.contains(&shown), "{said}\n---\n{shown}");
    // In a clone, as CI has it.
    let clone = bin.path().join("clone");
    stdout_of(command("git").args(["clone", "--quiet", &repo.url()]).arg(&clone));
    let mut typed = command("bash");
    typed.args(["-e", "-c", &of("sh ci")]).current_dir(&clone).env("PATH", path_with(bin.path()));
    assert!(stdout_of(&mut typed).contains("a merge into `origin/main`"));
    let documented: serde_json::Value = serde_json::from_str(&of("json validate")).unwrap();
    let printed = ops.run(["validate", &at(&repo), "--json", "--diff", "main"]).json();
    same_fields(&documented, &printed, "");
}

/// Every field that one has the other has, down to the first of each list.
fn same_fields(documented: &serde_json::Value, printed: &serde_json::Value, place: &str) {
    use serde_json::Value;
    match (documented, printed) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(one), keys(other), "{place}");
            one.iter().for_each(|(key, value)| same_fields(value, &other[key], &format!("{place}/{key}")));
        }
        (Value::Array(one), Value::Array(other)) => {
            if let (Some(one), Some(other)) = (one.first(), other.first()) {
                same_fields(one, other, &format!("{place}/0"));
            }
        }
        _ => {}
    }
}
