//! `reconcile --dry-run`: says what would change, and touches nothing.

use std::fs;

use walkdir::WalkDir;

use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};

#[test]
fn a_dry_run_says_what_would_change_and_touches_nothing() {
    let Some(scene) = Scene::new() else { return };
    let stacks = ["same", "changed", "drifted", "gone", "off"].map(|name| scene.stack(name, &scene.off()));
    let [same, changed, drifted, gone, off] = stacks.each_ref().map(String::as_str);
    scene.watch().success();
    let new = scene.ops.unique("new");
    scene.lab.edit(&format!("{drifted}_app"), &["--env-add", "B=1"]);
    scene.change(changed, &scene.off().with("environment: {A: '2'}"));
    scene.repo.write(&format!("{new}/docker-compose.yml"), compose([("app", &scene.off())]));
    let names = [same, changed, drifted, &new].map(|name| format!("- name: {name}\n")).concat();
    scene.repo.write("stacks.yaml", names + &format!("- name: {off}\n  enabled: false\n"));
    scene.repo.commit("next");

    let touched = || {
        let live = stacks.iter().flat_map(|stack| scene.lab.specs(stack)).collect::<Vec<_>>();
        (live, fs::read(scene.ops.database()).unwrap())
    };
    let before = touched();
    let outcome = scene.run(&["reconcile", "--dry-run"]);
    outcome.success().stdout_has("dry run, nothing was changed: 3 to deploy, 2 to remove, 1 unchanged");
    for (stack, what) in [
        (changed, "deploy: changed"),
        (drifted, "deploy: drifted"),
        (&*new, "deploy: new"),
        (gone, "remove: it is no longer listed"),
        (off, "remove: `enabled: false`"),
    ] {
        outcome.stdout_has(&format!("{stack}  {what}"));
    }
    assert_eq!(touched(), before);
    assert_eq!(scene.lab.services(&new), [""; 0]);
    let calls = scene.docker.calls();
    assert!(calls.len() <= 3 && calls.iter().all(|call| call.starts_with("service ")), "{calls:?}");
    scene.reconcile().success().stdout_has("3 deployed, 2 removed, 1 unchanged");
    scene.run(&["reconcile", "--dry-run"]).success().stdout_has("unchanged").stdout_lacks("would");
}

#[test]
fn what_watch_would_deploy_is_told_and_nothing_is_remembered() {
    let Some(scene) = Scene::new() else { return };
    let (web, db) = (scene.stack("web", &scene.off()), scene.stack("db", &scene.off()));
    scene.repo.commit("first");
    let url = scene.repo.url();
    let said = scene.run(&["watch", "--dry-run", &url]);
    said.success().stdout_has("dry run, nothing was changed: 2 to deploy\n").stdout_lacks("from now on");
    said.stdout_has(&format!("{web}  deploy: new")).stdout_has(&format!("{db}  deploy: new"));
    let left = || -> Vec<_> {
        let files = WalkDir::new(scene.ops.database().parent().unwrap()).into_iter().map(Result::unwrap);
        let files = files.filter(|entry| entry.file_type().is_file());
        files.map(|entry| entry.file_name().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(left(), ["dockerops.db.lock"], "no database, and nothing of the repository");
    assert_eq!((scene.lab.services(&web), scene.deploys()), (vec![], vec![]));
    scene.run(&["watch", "--dry-run", "--exit-code", &url]).failure(5);
    scene.run(&["watch", "--dry-run", "/nonexistent/repo"]).failure(1).stderr_has("was not found");
    assert_eq!(left(), ["dockerops.db.lock"]);
    scene.run(&["reconcile"]).failure(1).error_has("No repositories found in cache");
    // The same with a database, in which others are watched.
    let other = Repo::new();
    other.stack(&scene.ops.unique("other"), &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    let before = fs::read(scene.ops.database()).unwrap();
    scene.run(&["watch", "--dry-run", &url]).success().stdout_has("2 to deploy\n");
    assert_eq!(fs::read(scene.ops.database()).unwrap(), before);
    scene.run(&["watch", "--dry-run", &other.url()]).failure(1).error_has("already being watched");
    // What is wrong is so here too.
    scene
        .repo
        .write(&format!("{db}/docker-compose.yml"), "services: {app: {env_file: no.env}}\n")
        .commit("wrong");
    scene
        .run(&["watch", "--dry-run", &url])
        .failure(3)
        .stdout_has("no.env")
        .stdout_has("1 to deploy, 1 failed");
    // What a lost database forgot, the Swarm remembers: the stack runs, and is held.
    scene.repo.write(&format!("{db}/docker-compose.yml"), compose([("app", &scene.off())])).commit("right");
    scene.run(&["watch", &url]).success();
    scene.run(&["hold", &web, "--reason", "not now"]).success();
    crate::ownership::lose_database(&scene);
    scene.change(&web, &scene.off().with("environment: {A: '2'}")).repo.commit("next");
    let said = scene.run(&["watch", "--dry-run", "--exit-code", &url]);
    said.failure(3).stdout_has("not now").stdout_has("1 on hold");
    assert!(!scene.ops.database().exists());
}

#[test]
fn the_exit_code_tells_every_difference_where_that_is_asked_for() {
    let Some(scene) = Scene::new() else { return };
    let (web, db) = (scene.stack("web", &scene.off()), scene.stack("db", &scene.off()));
    scene.watch().success();
    let ends = |plan: i32, status: i32| {
        // Without it as ever.
        for command in [&["reconcile", "--dry-run"][..], &["status"]] {
            scene.run(command).success();
        }
        let told =
            [(&["reconcile", "--dry-run", "--exit-code"][..], plan), (&["status", "--exit-code"], status)];
        for (command, code) in told {
            scene.run(command).failure(code);
        }
    };
    ends(0, 0);
    scene.change(&web, &scene.off().with("environment: {A: '2'}")).repo.commit("next");
    // `status` knows what was deployed, and asks no repository.
    ends(5, 0);
    scene.run(&["reconcile", "--dry-run", "--exit-code", &db]).success();
    scene.run(&["hold", &web]).success();
    scene.reconcile().success().stdout_has("1 unchanged, 1 on hold");
    ends(3, 3);
    scene.run(&["release", &web]).success();
    scene.reconcile().success();
    ends(0, 0);
    scene.repo.write("stacks.yaml", format!("- name: {web}\n- {{name: {db}, drift: report}}\n"));
    scene.push().success();
    scene.lab.edit(&format!("{db}_app"), &["--env-add", "B=1"]);
    ends(3, 3);
    scene.change(&web, &scene.off().with("environment: {A: '3'}")).repo.commit("both");
    ends(3, 3);
}

#[test]
fn the_rendered_file_and_what_differs_in_it_are_shown_without_secrets() {
    let Some(scene) = Scene::new() else { return };
    let with = |value: &str, password: &str| {
        let environment =
            format!("environment: {{A: '{value}', DB_PASSWORD: {password}, B: '${{FROM_FILE}}'}}");
        scene.off().with(environment)
    };
    let web = scene.stack("web", &with("1", "hunter2"));
    scene.repo.write(&format!("{web}/.env"), "FROM_FILE=hunter3\n");
    scene.watch().success();
    scene.run(&["status", "--rendered"]).success().stdout_has("A: \"1\"").stdout_has("B: \"${FROM_FILE}\"");
    scene.run(&["status", "--diff"]).success().stdout_has("what was tried last is what was applied last");
    scene.change(&web, &with("2", "hunter4"));
    scene.repo.commit("two");
    let whole = scene.run(&["reconcile", "--dry-run", "--rendered"]);
    whole.success().stdout_has("A: \"2\"").stdout_has("DB_PASSWORD: \"[redacted]\"").stdout_lacks("hunter");
    let diff = scene.run(&["reconcile", "--dry-run", "--diff"]);
    diff.success().stdout_has("@@").stdout_lacks("hunter");
    let lines: Vec<_> = diff
        .stdout
        .lines()
        .filter(|line| line.contains("A: "))
        .map(|line| line.trim_start_matches(' '))
        .collect();
    assert!(lines.len() == 2 && lines[0].starts_with('-') && lines[1].starts_with('+'), "{lines:?}");
    scene.reconcile().success();
    scene.repo.write(&format!("{web}/.env"), "FROM_FILE=hunter5\n").commit("a value");
    scene.run(&["reconcile", "--dry-run", "--diff"]).success().stdout_has("the same text was applied last");

    // What failed is shown beside what runs.
    scene.reconcile().success();
    scene.change(&web, &scene.off().with("networks: [none-such]"));
    scene.repo.write(&format!("{web}/.env"), "").commit("broken");
    scene.reconcile().failure(3);
    let diff = scene.run(&["status", "--diff"]);
    diff.failure(3).stdout_has("+ ").stdout_has("none-such").stdout_lacks("hunter");
    let json: serde_json::Value =
        serde_json::from_str(&scene.run(&["status", "--json", "--rendered"]).stdout).unwrap();
    assert!(json["stacks"][0]["rendered"].as_str().unwrap().contains("none-such"), "{json}");
    assert!(scene.status(&web)["rendered"].is_null());
    let database = fs::read(scene.ops.database()).unwrap();
    assert!(!database.windows(6).any(|window| window == b"hunter"));
    let wrong = scene.run(&["reconcile", "--diff"]);
    wrong.failure(2).stderr_has("--dry-run");
}

#[test]
fn a_dry_run_leaves_an_older_database_for_the_older_release_and_makes_none() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["reconcile", "--dry-run"]).failure(1).error_has("No repositories found in cache");
    assert!(!scene.ops.database().exists() && !scene.ops.database().parent().unwrap().exists());
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    let version =
        || scene.ops.db().pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    let now = version();
    let back = "DROP TABLE history; DROP TABLE holds; DROP TABLE on_hold; DROP TABLE stack_health; DROP TABLE work; ALTER TABLE attempts DROP COLUMN since; ALTER TABLE attempts DROP COLUMN given;
        ALTER TABLE source_states DROP COLUMN asked; ALTER TABLE source_states DROP COLUMN begun; ALTER TABLE source_states DROP COLUMN policy;
        ALTER TABLE stack_states DROP COLUMN depends_on; ALTER TABLE stack_states DROP COLUMN given;
        ALTER TABLE stack_states DROP COLUMN stays; ALTER TABLE stack_states DROP COLUMN jobs_due; PRAGMA user_version = 10";
    scene.ops.db().execute_batch(back).unwrap();
    scene.change(&stack, &scene.off().with("environment: {A: '1'}")).repo.commit("next");
    scene.run(&["reconcile", "--dry-run"]).success().stdout_has("1 to deploy");
    assert_eq!(version(), 10);
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(version(), now);
}

#[test]
fn a_dry_run_notes_no_event_and_other_runs_do() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.repo.write("stacks.yaml", format!("- {{name: {stack}, drift: report}}\n"));
    scene.watch().success();
    scene.lab.edit(&format!("{stack}_app"), &["--env-add", "B=1"]);
    let before = fs::read(scene.ops.database()).unwrap();
    scene.run(&["reconcile", "--dry-run"]).success().stdout_has("drifted, left as it is");
    assert_eq!(fs::read(scene.ops.database()).unwrap(), before);
    scene.reconcile().success();
    scene.reconcile().success().stdout_has("drifted, left as it is");
    scene.run(&["unwatch", &scene.repo.url()]).success();
    let db = scene.ops.db();
    let mut query = db.prepare("SELECT event FROM events ORDER BY id").unwrap();
    let events: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(events, ["deployed", "watched", "note", "removed", "unwatched"], "what lasts is noted once");
}

#[test]
fn a_forced_dry_run_would_deploy_all_and_deploys_none() {
    let Some(scene) = Scene::new() else { return };
    scene.stack("web", &scene.off());
    scene.watch().success();
    scene.run(&["reconcile", "--dry-run", "--force"]).success().stdout_has("1 to deploy");
    assert_eq!(scene.deploys(), [""; 0]);
}
