//! What is wrong with one stack stops that stack: the others are deployed, what ran of it goes on, and all that is
//! wrong is told in one run.

use std::fs;

use rustix::process::Signal;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose as compose_of};

const MEND: &str = "hint: mend the files and push; until then this stack stays as it was deployed last";

fn compose(lab: &Lab, version: u8, more: &str) -> String {
    format!(
        "version: '3.8'\nservices: {{app: {{image: {}, deploy: {{replicas: 0}}{more}}}}}\n",
        lab.image(&format!("app:{version}"))
    )
}

fn image(lab: &Lab, stack: &str) -> String {
    lab.spec(&format!("{stack}_app"), "index .Spec.Labels \"com.docker.stack.image\"")
}

/// Twenty stacks in one repository, of which six are to be broken.
struct Twenty {
    lab: &'static Lab,
    ops: DockerOps,
    repo: Repo,
    nfs: tempfile::TempDir,
    good: Vec<String>,
    /// A compose file, `.env`, `secrets.yaml`, folder and binding that will be wrong, and what depends on the first.
    wrong: [String; 6],
}

impl Twenty {
    fn new() -> Option<Self> {
        let lab = lab()?;
        let ops = DockerOps::new(lab).limit(180);
        let good = (0..14).map(|number| ops.unique(&format!("good{number}"))).collect();
        let wrong = ["typo", "env", "secret", "gone", "bind", "after"].map(|base| ops.unique(base));
        let nfs = tempfile::tempdir().unwrap();
        Some(Self { lab, ops, repo: Repo::new(), nfs, good, wrong })
    }

    /// All as it should be.
    fn right(&self, version: u8) {
        let [typo, env, secret, gone, bind, after] = &self.wrong;
        let (lab, repo) = (self.lab, &self.repo);
        for stack in self.good.iter().chain([env, secret, gone]) {
            repo.stack(stack, &compose(lab, version, ""));
        }
        repo.stack(typo, &compose(lab, version, ", volumes: ['kept:/k']"));
        repo.stack(bind, &compose(lab, version, ", volumes: ['site:/s']"));
        repo.stack(after, &compose(lab, version, ""));
        let list: Vec<_> =
            self.good.iter().chain(&self.wrong).map(|stack| format!("- name: {stack}\n")).collect();
        repo.write("stacks.yaml", format!("{}  depends_on: [{typo}]\n", list.concat()));
        repo.write("nfs.yaml", format!("path: {}\n", self.nfs.path().display()));
        let entry = |id: &str| format!("- {{id: {id}, type: binding, path: {id}}}\n");
        repo.write("volumes.yaml", ["site", "kept"].map(entry).concat());
        repo.write("site/index", format!("{version}")).write("kept/file", "kept");
        repo.write(&format!("{env}/.env"), "A=1\n");
        let _ = fs::remove_file(repo.path().join(secret).join("secrets.yaml"));
    }

    /// The six break, and the others get another version.
    fn wrong(&self, version: u8) {
        self.right(version);
        let [typo, env, secret, gone, ..] = &self.wrong;
        self.repo.write(&format!("{typo}/docker-compose.yml"), "services:\n\tapp: {image: app}\n");
        self.repo.write(&format!("{env}/.env"), "A=1\n?\n");
        self.repo.write(&format!("{secret}/secrets.yaml"), "- {secret: s, env: A-B}\n");
        self.repo.remove(gone).remove("site");
    }

    /// Of a run at `self.wrong`: each mistake in the stack's own error, with file and line, and nothing else failed.
    fn tells(&self, out: &str) {
        let [typo, env, secret, gone, bind, after] = &self.wrong;
        for (stack, what) in [
            (typo, format!("{typo}/docker-compose.yml:2: is not YAML")),
            (env, format!("{env}/.env:2: is not `NAME=value`")),
            (secret, format!("{secret}/secrets.yaml:1: `entry 1.env`: ")),
            (gone, format!("`{gone}`: the stack's folder: `{gone}` does not exist")),
            (bind, "volumes.yaml:1: `entry 1.path`: `site` does not exist".to_owned()),
        ] {
            let line = out.lines().find(|line| line.starts_with(&format!("failed    {stack} ")));
            assert!(line.is_some_and(|line| line.contains(&what)), "{what}:\n{out}");
        }
        assert!(out.contains(&format!("failed    {after}  not deployed: it depends on `{typo}`")), "{out}");
        // Before that is the state, which tells of an earlier run.
        let told = format!("\n{out}");
        let told = &told[told.find("\nfailed ").unwrap()..];
        assert_eq!(told.matches(MEND).count(), 5, "{out}");
        assert_eq!(out.lines().filter(|line| line.starts_with("failed ")).count(), 6, "{out}");
        assert!(!out.contains("removed   ") && !out.contains("is not copied"), "{out}");
    }
}

#[test]
fn of_twenty_stacks_six_are_wrong_and_the_others_are_deployed() {
    let Some(twenty) = Twenty::new() else { return };
    let Twenty { lab, ops, repo, nfs, good, wrong } = &twenty;
    twenty.right(1);
    repo.commit("right");
    ops.run(["watch", &repo.url()]).success().stdout_has("20 deployed");
    let copied = nfs.path().join("site/index");
    assert_eq!(fs::read_to_string(&copied).unwrap(), "1");

    twenty.wrong(2);
    repo.commit("wrong");
    ops.run(["reconcile", "--dry-run"]).failure(3).stdout_has("14 to deploy, 6 failed");
    let outcome = ops.run(["reconcile"]);
    outcome.failure(3).stdout_has("14 deployed, 6 failed");
    twenty.tells(&outcome.stdout);
    for stack in good {
        assert_eq!(image(lab, stack), lab.image("app:2"), "{stack}");
    }
    for stack in wrong {
        assert_eq!(image(lab, stack), lab.image("app:1"), "{stack} does not run as before");
    }
    // Of wrong stacks nothing is forgotten: not what they mount, nor their rows.
    assert_eq!(fs::read_to_string(&copied).unwrap(), "1");
    assert_eq!(fs::read_to_string(nfs.path().join("kept/file")).unwrap(), "kept");
    let status = ops.run(["status", "--json"]).json();
    let stacks = status["stacks"].as_array().unwrap();
    for stack in wrong {
        let row = stacks.iter().find(|row| row["name"] == **stack).unwrap();
        assert!(row["status"] == "error" && row["hash"] != "", "{row:#}");
        assert_eq!(row["compose_path"], format!("{stack}/docker-compose.yml"));
        assert!(row["error"].is_string(), "{row:#}");
    }
    assert!(status["repositories"][0]["error"].is_null(), "{status:#}");

    // As long as nobody mends it: all is told again, nothing is done, even where everything is to be deployed.
    let outcome = ops.run(["reconcile"]);
    outcome.failure(3).stdout_has("14 unchanged, 6 failed");
    twenty.tells(&outcome.stdout);
    for stack in wrong {
        assert_eq!(image(lab, stack), lab.image("app:1"), "{stack}");
    }

    twenty.right(2);
    repo.commit("mended");
    let outcome = ops.run(["reconcile"]);
    outcome.success().stdout_has("6 deployed, 14 unchanged");
    assert_eq!(image(lab, &wrong[5]), lab.image("app:2"));
    assert_eq!(fs::read_to_string(&copied).unwrap(), "2");
    ops.run(["reconcile"]).success().stdout_has("20 unchanged");
}

#[test]
fn a_source_with_wrong_stacks_is_remembered_and_its_other_stacks_are_deployed() {
    let Some(twenty) = Twenty::new() else { return };
    let Twenty { lab, ops, repo, good, wrong, .. } = &twenty;
    twenty.wrong(1);
    repo.commit("wrong");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("14 deployed, 6 failed");
    twenty.tells(&outcome.stdout);
    assert!(good.iter().all(|stack| lab.services(stack).len() == 1));
    assert!(wrong.iter().all(|stack| lab.services(stack).is_empty()));
    ops.run(["debug-cache"]).success().stdout_has(&repo.url());
    twenty.right(1);
    repo.commit("mended");
    ops.run(["reconcile"]).success().stdout_has("6 deployed, 14 unchanged");
}

#[test]
fn a_daemon_tells_each_mistake_and_each_note_once_however_often_it_looks() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab).limit(150), Repo::new());
    let [bad, after, good] = ["bad", "after", "good"].map(|base| ops.unique(base));
    repo.stack(&good, &compose(lab, 1, ", restart: always, hostname: 'h${NOWHERE}'"))
        .stack(&bad, "services: [\n");
    repo.write(&format!("{after}/compose.yml"), compose(lab, 1, ""));
    repo.write(
        "stacks.yaml",
        format!("- name: {good}\n- name: {bad}\n- name: {after}\n  depends_on: [{bad}]\n"),
    );
    repo.commit("first");
    let ops = ops.env("DOCKEROPS_REPOS", repo.url()).env("DOCKEROPS_SYNC_INTERVAL", "5");
    let mut run = ops.spawn(["run"]);
    // It is read in the first, the second and the fourth cycle.
    run.wait_for("\ncycle ", 6, 90);
    let log = run.stdout();
    for line in [format!("failed    {bad} "), format!("failed    {after} "), format!("note      {good} ")] {
        assert_eq!(log.lines().filter(|told| told.starts_with(&line)).count(), 1, "{line}:\n{log}");
    }
    assert!(
        log.contains("ignores `restart` of `app`; `${NOWHERE}` is set nowhere and becomes empty"),
        "{log}"
    );
    assert_eq!(lab.services(&good).len(), 1);

    // Another mistake is news, and mended is mended.
    repo.stack(&bad, "services: 7\n").commit("second");
    run.wait_for(&format!("failed    {bad} "), 2, 30);
    repo.stack(&bad, &compose(lab, 1, "")).commit("third");
    run.wait_for(&format!("deployed  {after} "), 1, 60);
    run.signal(Signal::TERM);
    run.wait().success();
}

#[test]
fn a_wrong_binding_that_nobody_mounts_is_a_note() {
    let fake = FakeDocker::of_an_empty_swarm();
    let (ops, repo, nfs) =
        (DockerOps::without_docker().with_fake(&fake).limit(30), Repo::new(), tempfile::tempdir());
    repo.write("nfs.yaml", format!("path: {}\n", nfs.unwrap().path().display()));
    repo.write("stacks.yaml", "- {name: web, enabled: false}\n");
    repo.write("volumes.yaml", "- {id: gone, type: binding, path: gone}\n").commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    // `nfs.yaml` names a folder that went with its handle: the whole is unclear, and all is told.
    outcome
        .failure(1)
        .stderr_has("nfs.yaml:1")
        .stderr_has("volumes.yaml:1: `entry 1.path`: `gone` does not exist");
    ops.remembers_nothing();
    let nfs = tempfile::tempdir().unwrap();
    repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display())).commit("second");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.success().stdout_has("note      gone  volumes.yaml:1: `entry 1.path`: `gone` does not exist");
}

#[test]
fn what_makes_the_whole_unclear_stops_the_source_and_tells_the_mistakes_of_its_stacks_too() {
    let fake = FakeDocker::of_an_empty_swarm();
    let (ops, repo) = (DockerOps::without_docker().with_fake(&fake).limit(30), Repo::new());
    repo.stack("web", "services: {app: {image: app, deploy: {replicas: 0}}}\n").stack("bad", "services: 7\n");
    for (file, text) in [
        ("volumes.yaml", "- {id: a, kind: volume}\n"),
        ("nfs.yaml", "path: relative\n"),
        ("images.yaml", "- {name: app}\n"),
        ("stacks.yaml", "- name: web\n- name: bad\n- name: web\n"),
    ] {
        repo.write(file, text).commit(file);
        let outcome = ops.run(["watch", &repo.url()]);
        outcome.failure(1).error_has("mistakes, nothing was deployed:").stderr_has(&format!("{file}:"));
        outcome.stderr_has("bad/docker-compose.yml:1: `services`").stderr_has("until then this source stays");
        assert_eq!(fake.calls_with("stack deploy"), [""; 0]);
        ops.remembers_nothing();
        repo.remove(file);
    }
}

#[test]
fn a_stack_that_moves_to_a_source_where_its_file_is_wrong_runs_on_until_that_is_mended() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays, heir) =
        (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()), Repo::new());
    scene.watch().success();
    let (tasks, service) = (scene.lab.tasks(&stack), format!("{stack}_app"));
    heir.stack(&stack, "services: [\n").commit("wrong");
    scene.run(&["watch", &heir.url()]).failure(3).stdout_has("belongs to");
    scene.repo.write("stacks.yaml", format!("- name: {stays}\n")).remove(&stack);
    for _ in 0..2 {
        scene
            .push()
            .failure(3)
            .stdout_lacks("removed   ")
            .stdout_has(&format!("{stack}/docker-compose.yml:"));
        assert_eq!(scene.lab.tasks(&stack), tasks);
    }
    heir.stack(&stack, &compose_of([("app", &scene.on())])).commit("mended");
    scene.reconcile().success().stdout_lacks("removed   ");
    assert!(scene.lab.label(&service, "dockerops.repository").contains(heir.path().to_str().unwrap()));
    scene.reconcile().success().stdout_has("2 unchanged");
}

#[test]
fn of_a_lost_database_a_wrong_stack_is_no_reason_to_remove_what_runs_of_it() {
    let Some(scene) = Scene::new() else { return };
    let (bad, gone) = (scene.stack("bad", &scene.off()), scene.stack("gone", &scene.off()));
    scene.watch().success();
    let before = [&bad, &gone].map(|stack| scene.lab.specs(stack));
    fs::remove_dir_all(scene.ops.database().parent().unwrap()).unwrap();
    scene.repo.stack(&bad, "services: 7\n").remove(&gone).commit("wrong");
    scene.watch().failure(3).stdout_has("2 failed").stdout_lacks("removed   ");
    scene.run(&["reconcile", "--force"]).failure(3).stdout_has("2 failed").stdout_lacks("removed   ");
    assert_eq!([&bad, &gone].map(|stack| scene.lab.specs(stack)), before);
}
