//! `events`: what happened, newest last; asked of the database alone.

use std::fs::File;

use chrono::{SecondsFormat, TimeDelta, Utc};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::scene::Scene;

/// A JSON object a line.
#[track_caller]
fn lines(outcome: &Outcome) -> Vec<Value> {
    outcome.success().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(rows: &[Value]) -> Vec<(&str, &str)> {
    rows.iter()
        .map(|row| (row["event"].as_str().unwrap_or_default(), row["stack"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn what_happened_is_told_newest_last_of_all_or_of_one_stack_or_source() {
    let Some(scene) = Scene::new() else { return };
    let [web, db] = ["web", "db"].map(|base| scene.stack(base, &scene.off()));
    scene.watch().success();
    scene.run(&["hold", &web]).success();
    scene.run(&["release", &web]).success();
    scene.repo.write(&format!("{web}/docker-compose.yml"), "services: {app: {image: app, colour: red}}");
    scene.push().failure(3);
    scene.repo.write("stacks.yaml", format!("- name: {web}\n"));
    scene.push().failure(3);
    // Whoever deploys meanwhile keeps no reader waiting, and docker is not asked.
    let lock = File::open(scene.ops.database().with_file_name("dockerops.db.lock")).unwrap();
    lock.lock().unwrap();
    let rows = lines(&scene.run(&["events", &web, "--json"]));
    assert_eq!(scene.docker.calls(), [""; 0]);
    let of_it = |kind| (kind, web.as_str());
    let mut told = kinds(&rows);
    told.dedup();
    assert_eq!(told, ["deployed", "hold", "released", "failed"].map(of_it));
    let fields: Vec<_> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["commit", "event", "id", "level", "message", "repository", "stack", "time"]);
    assert!(rows.iter().all(|row| row["time"].as_str().unwrap().ends_with('Z')), "{rows:?}");
    let all = lines(&scene.run(&["events", "--json"]));
    assert!(all.is_sorted_by_key(|row| row["id"].as_i64()) && all.len() > rows.len(), "{all:?}");
    assert!(kinds(&all).contains(&("removed", &db)) && kinds(&all).contains(&("watched", "")), "{all:?}");
    let of_source: Vec<_> = all.into_iter().filter(|row| row["repository"] == scene.repo.url()).collect();
    assert_eq!(lines(&scene.run(&["events", &scene.repo.url(), "--json"])), of_source);
    // It was removed, and is remembered.
    assert_eq!(kinds(&lines(&scene.run(&["events", &db, "--json"]))), [("deployed", &*db), ("removed", &db)]);

    let text = scene.run(&["events", &web]);
    assert_eq!(text.success().stdout.lines().count(), rows.len(), "one line each: {text}");
    let last = text.stdout.lines().last().unwrap();
    assert!(last.starts_with("20") && last[19..].starts_with("Z  failed         "), "{last}");
    assert!(last.contains(&format!("  {web}  ")) && last.contains("colour"), "{last}");
    let ops = scene.ops.on_a_terminal().env("NO_COLOR", "1");
    ops.run(["events", &web]).success().stdout_has(&format!(" s  failed         {web}  "));
    lock.unlock().unwrap();
}

#[test]
fn a_time_that_is_asked_for_bounds_them() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    let long_ago = (Utc::now() - TimeDelta::hours(3)).to_rfc3339_opts(SecondsFormat::Secs, true);
    scene.ops.db().execute("UPDATE events SET time = ?1 WHERE event = 'watched'", [&long_ago]).unwrap();
    let told = |since: &str| kinds(&lines(&scene.run(&["events", "--since", since, "--json"]))).len();
    let minute = (Utc::now() - TimeDelta::minutes(90)).to_rfc3339();
    assert_eq!((told("4h"), told("2h"), told(&minute), told("1d")), (2, 1, 1, 2));
    let nothing = scene.run(&["events", &stack, "--since", "0s"]);
    assert_eq!(nothing.success().stdout, "");
    nothing.stderr_has("nothing of that is noted");
    scene
        .run(&["events", "--since", "soon"])
        .failure(2)
        .stderr_has("Usage: dockerops events")
        .stderr_has("`10m`");
    let slip = format!("{stack}x");
    scene
        .run(&["events", &slip])
        .failure(1)
        .error_has("neither a stack nor a source")
        .stderr_has(&format!("did you mean `{stack}`?"));
    let ops = DockerOps::without_docker();
    ops.run(["events"]).failure(1).error_has("No repositories found in cache");
    assert!(!ops.database().exists());
    // Of many the newest 50.
    let more = "INSERT INTO events (time, level, event, message) VALUES (?1, 'info', 'note', 'more')";
    for _ in 0..60 {
        scene.ops.db().execute(more, [&long_ago]).unwrap();
    }
    assert_eq!(lines(&scene.run(&["events", "--json"])).len(), 50);
    assert_eq!(told("1d"), 62);
}

#[test]
fn what_happens_from_now_on_is_followed_until_ctrl_c() {
    let Some(scene) = Scene::new() else { return };
    let [web, db] = ["web", "db"].map(|base| scene.stack(base, &scene.off()));
    scene.watch().success();
    let mut all = scene.ops.spawn(["events", "--follow"]);
    let mut one = scene.ops.spawn(["events", &*web, "--follow", "--json"]);
    all.wait_for("  deployed  ", 2, 30);
    one.wait_for("\"deployed\"", 1, 30);
    for stack in [&web, &db] {
        scene.change(stack, &scene.off().with("environment: {A: '1'}"));
    }
    scene.push().success();
    all.wait_for("  deployed  ", 4, 30);
    one.wait_for("\"deployed\"", 2, 30);
    // Another database in its place begins anew.
    std::fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().success();
    all.wait_for("is watched from now on", 2, 30);
    std::thread::sleep(std::time::Duration::from_secs(2));
    for run in [&all, &one] {
        run.signal(Signal::INT);
    }
    all.wait().failure(130);
    let told = one.wait();
    let rows: Vec<Value> =
        told.failure(130).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kinds(&rows), [("deployed", &*web); 3], "{told}");
    let piped = ["bash", "-c", "\"$@\" | head -n 1; echo ${PIPESTATUS[0]}", "bash"];
    scene.change(&web, &scene.off().with("environment: {A: '2'}")).repo.commit("more");
    let ops = scene.ops.through(piped).limit(30);
    let reader = ops.spawn(["events", "--follow"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let ops = ops.through([""; 0]);
    ops.run(["reconcile"]);
    reader.wait().success();
}
