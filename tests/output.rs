//! What people and scripts read where there is no terminal: plain whole lines, stable JSON.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};

/// No control character but line ends, the last one included.
#[track_caller]
fn is_plain(outcome: &Outcome) {
    for text in [&outcome.stdout, &outcome.stderr] {
        assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "{text:?}");
        assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    }
}

#[test]
fn without_a_terminal_all_is_plain_whole_lines_and_results_are_apart_from_progress() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab).env("TERM", "xterm-256color"), Repo::new());
    let [stack, bad] = ["plain", "bad"].map(|base| ops.unique(base));
    repo.stack(&stack, &one_service(&lab.image("app:1"), 1)).commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    is_plain(&outcome);
    outcome.success().stdout_has(&format!("deployed  {stack} ")).stdout_has("\n1 deployed\n");
    outcome.stdout_lacks("fetching").stderr_has("fetching").stderr_lacks("1 deployed");

    repo.stack(&bad, "services: {app: {image: app, colour: red}}").commit("second");
    let outcome = ops.run(["reconcile"]);
    is_plain(&outcome);
    outcome.failure(3).stdout_has(&format!("failed    {bad} ")).stderr_lacks("failed");
    for command in [&["status"][..], &["status", "--json"], &["debug-cache"], &["reconcile", "--dry-run"]] {
        let outcome = ops.run(command);
        is_plain(&outcome);
        assert!(!outcome.stdout.is_empty());
    }
    let error = ops.run(["watch", &repo.url()]);
    is_plain(&error);
    assert_eq!(error.stdout, "");
    assert!(error.stderr.starts_with("error: ") && error.stderr.contains("\nhint: "), "{error}");
}

#[test]
fn reconcile_shows_repositories_stacks_and_images_as_they_then_are() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let [up, off] = ["up", "off"].map(|base| ops.unique(base));
    let compose = one_service(&lab.image("app:1"), 0);
    repo.stack(&up, &compose).stack(&off, &compose);
    repo.write("stacks.yaml", format!("- name: {up}\n- name: {off}\n  enabled: false\n"));
    repo.commit("first");
    ops.run(["watch", &repo.url()]).success();
    let file = format!("{up}/docker-compose.yml");
    repo.write(&file, "services: {app: {image: app, colour: red}}").commit("wrong");
    ops.run(["reconcile"]).failure(3).stdout_has("colour");
    let commit = repo.write(&file, &compose).commit("right");

    let outcome = ops.run(["reconcile"]);
    let status = ops.run(["status", "--json"]).json();
    let last_watch = status["repositories"][0]["last_watch"].as_str().unwrap().to_owned();
    // What this run cured is not told.
    outcome.success().stdout_lacks("colour").stdout_lacks("  error  ");
    let line = |start: &str| {
        let found = outcome.stdout.lines().position(|line| line.starts_with(start));
        let at = found.unwrap_or_else(|| panic!("no line `{start}`: {outcome}"));
        (at, outcome.stdout.lines().nth(at).unwrap().to_owned())
    };
    assert!(line(&repo.url()).1.contains(&last_watch) && line(&repo.url()).1.contains(&commit[..12]));
    let since = status["stacks"].as_array().unwrap().iter().find(|stack| stack["name"] == *up).unwrap();
    let since = since["converged"].as_str().unwrap();
    assert!(line(&up).1.contains(&format!("  {}  {since}  ", &commit[..12])) && since.ends_with('Z'));
    assert!(line(&up).1.contains("  deployed  ") && last_watch.ends_with('Z'));
    assert!(line(&off).1.contains("  stopped  "));
    assert!(line(&lab.image("app:1")).1.ends_with(" 1"));
    let order = ["REPOSITORY", "STACK", "IMAGE"].map(|start| line(start).0);
    assert!(order.is_sorted() && outcome.stdout.ends_with(" unchanged\n"), "{outcome}");
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_json_of_status_has_the_documented_fields_and_no_other() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let [up, bad] = ["up", "bad"].map(|base| ops.unique(base));
    let image = lab.image("app:1");
    repo.stack(&up, &one_service(&image, 0)).stack(&bad, "services: {app: {image: a, colour: red}}");
    let commit = repo.commit("first");
    ops.run(["watch", &repo.url()]).failure(3);
    lab.docker(&["service", "scale", "--detach", &format!("{up}_app=1")]);
    let status = ops.run(["status", "--json"]).failure(3).json();

    assert_eq!(keys(&status), ["builds", "images", "repositories", "stacks", "under_way"].into());
    let repository = &status["repositories"][0];
    assert_eq!(keys(repository), ["commit", "error", "hold", "last_watch", "url"].into());
    assert_eq!(
        (&repository["url"], &repository["commit"]),
        (&Value::from(repo.url()), &Value::from(commit.clone()))
    );
    assert!(repository["error"].is_null() && repository["hold"].is_null());
    assert!(repository["last_watch"].as_str().unwrap().starts_with("20"));

    let find =
        |name: &str| status["stacks"].as_array().unwrap().iter().find(|stack| stack["name"] == name).unwrap();
    let fields = [
        "commit",
        "compose_path",
        "converged",
        "degraded_since",
        "drift",
        "drift_policy",
        "error",
        "hash",
        "health",
        "held",
        "hold",
        "name",
        "repository",
        "services",
        "status",
        "stays",
        "updating",
        "why",
    ];
    for stack in [find(&up), find(&bad)] {
        assert_eq!(keys(stack), fields.into());
        assert_eq!(
            (&stack["repository"], &stack["commit"]),
            (&Value::from(repo.url()), &Value::from(commit.clone()))
        );
        assert_eq!((&stack["drift_policy"], &stack["held"]), (&Value::from("correct"), &Value::from(false)));
    }
    let stack = find(&up);
    assert_eq!(stack["compose_path"], format!("{up}/docker-compose.yml"));
    assert_eq!((&stack["status"], &stack["error"]), (&Value::from("deployed"), &Value::Null));
    assert_eq!(stack["hash"].as_str().unwrap().len(), 32);
    assert_eq!(keys(&stack["drift"][0]), ["service", "what"].into());
    let fields = ["completed", "error", "image", "last_restart", "name", "restarts", "running", "wanted"];
    assert_eq!(keys(&stack["services"][0]), fields.into());
    assert_eq!(stack["services"][0]["wanted"], 0, "what Git says, whatever a hand scaled it to");
    let stack = find(&bad);
    assert_eq!((&stack["status"], &stack["hash"]), (&Value::from("error"), &Value::from("")));
    assert!(stack["error"].as_str().unwrap().contains("colour"));

    let images = status["images"].as_array().unwrap();
    assert_eq!(keys(&images[0]), ["name", "reference_count"].into());
    assert!(images.contains(&serde_json::json!({"name": image, "reference_count": 1})));
}

#[test]
fn the_json_of_nothing_has_the_same_shape() {
    let status = DockerOps::without_docker().run(["status", "--json"]).failure(1).json();
    assert_eq!(
        status,
        serde_json::json!({"repositories": [], "stacks": [], "images": [], "builds": [], "under_way": []})
    );
}

/// What must never reach a terminal: an escape sequence, a bell, a C1 control, a mark that turns the text.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}2J\u{7f}\u{202e}\r";

#[test]
fn control_characters_of_a_repository_or_of_docker_reach_no_output() {
    let refused = format!("docker says {HOSTILE} end");
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, &refused);
    for terminal in [false, true] {
        let (ops, repo) = (DockerOps::without_docker().with_fake(&fake), Repo::new());
        let ops = if terminal { ops.on_a_terminal().env("NO_COLOR", "1") } else { ops };
        repo.stack("web", "services: {app: {image: app}}").commit("first");
        let url = repo.url();
        let status = |ops: &DockerOps| ops.run(["status"]);
        let clean = |outcome: &Outcome| {
            for text in [&outcome.stdout, &outcome.stderr] {
                for hostile in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{7f}", "\u{202e}"] {
                    assert!(!text.contains(hostile), "{hostile:?} in {text:?}");
                }
            }
        };
        clean(ops.run(["watch", &url]).failure(3).stdout_has("docker says \\u{1b}]0;owned"));
        clean(status(&ops).stdout_has("docker says \\u{1b}]0;owned"));
        let key = "\"\\e]0;owned\\a\\u009b\\u007f\\u202e\"";
        for manifest in [
            format!("- name: web\n  {key}: 1\n"),
            format!("- name: {key}\n"),
            format!("- name: web\n  depends_on: [{key}]\n"),
        ] {
            repo.write("stacks.yaml", manifest).commit("hostile");
            clean(ops.run(["reconcile"]).failure(3).stdout_has("owned"));
        }
        repo.write("stacks.yaml", "- name: web\n");
        repo.stack("web", &format!("services: {{app: {{image: app}}, {key}: {{image: app}}}}"))
            .commit("hostile");
        clean(ops.run(["reconcile"]).failure(3).stdout_has("owned"));
        clean(&status(&ops));
        clean(&ops.run(["debug-cache"]));
        clean(&ops.run(["watch", &format!("{url}#{HOSTILE}")]));
    }
}

#[test]
fn hostile_text_keeps_json_valid_and_comes_back_spelled_out() {
    let refused = format!("docker says {HOSTILE} end");
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, &refused);
    let (ops, repo) = (DockerOps::without_docker().with_fake(&fake), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    ops.run(["watch", &repo.url()]).failure(3);
    let outcome = ops.run(["status", "--json"]);
    is_plain(&outcome);
    assert!(!outcome.stdout.contains('\u{202e}'));
    let error = outcome.json()["stacks"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("docker says \\u{1b}]0;owned") && error.contains("\\u{202e}"), "{error}");
    assert!(!error.chars().any(char::is_control), "{error:?}");
}
