//! What services print: whose it is, in order, bounded, and harmless.

mod allowed;
mod follow;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::dockerops::Outcome;
use crate::support::scene::{Scene, compose};
use crate::support::wait_for;

const SIGNED: &str = "Authorization: Bearer an-api-token-of-the-tests";
/// What would clear a terminal, hide, or look like another task's line.
const HOSTILE: &str =
    r"printf '\033[2J\033]0;owned\007\rno_such.9@evil | x \342\200\256 https://u:hunter2@h/r\n'";
const HARMLESS: &str = "\\u{1b}[2J\\u{1b}]0;owned\\u{7}\\u{d}no_such.9@evil | x \\u{202e} https://…@h/r";

fn json(outcome: &Outcome) -> Vec<Value> {
    outcome.success().stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(outcome: &Outcome) -> Vec<String> {
    json(outcome).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

fn has_printed(scene: &Scene, stack: &str, text: &str, times: usize) {
    wait_for(format!("{times} times `{text}` of {stack}"), 60, || {
        let said = scene.ops.run(["logs", stack, "--tail", "all"]);
        said.stdout.matches(text).count() >= times
    });
}

/// Two services of two tasks on two nodes and one of one: each says on both streams what it is.
fn shop(scene: &Scene) -> String {
    let stack = scene.ops.unique("shop");
    let script = format!(
        "{HOSTILE}; for i in 1 2 3; do echo out $$i; sleep 0.1; echo err $$i >&2; sleep 0.1; done; exec sleep 900"
    );
    let app = scene.on().replicas(2).deploy("placement: {max_replicas_per_node: 1}").shell(&script);
    let agent = scene.on().deploy("mode: global").shell("echo i am everywhere; exec sleep 900");
    let db = scene.on().with("tty: true").shell("echo on a terminal; exec sleep 900");
    scene.repo.stack(&stack, &compose([("app", &app), ("agent", &agent), ("db", &db)]));
    scene.watch().success();
    has_printed(scene, &stack, "err 3", 2);
    stack
}

#[test]
fn lines_of_all_services_and_nodes_say_whose_they_are_in_order_of_time() {
    let Some(scene) = Scene::new() else { return };
    let stack = shop(&scene);
    let all = scene.ops.run(["logs", &stack]);
    all.success().stdout_lacks("\u{1b}").stdout_lacks("hunter2").stdout_lacks("\r").stderr_lacks(" ");
    let mut expected = BTreeSet::from([format!("{stack}_db.1@")]);
    for (task, node) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
        expected.insert(format!("{stack}_app.{task}@node{node}"));
    }
    for line in all.stdout.lines() {
        let (mark, message) = line.split_once(" | ").unwrap_or_else(|| panic!("no mark: {line}\n{all}"));
        let known = expected.iter().any(|known| mark.starts_with(known.as_str()));
        assert!(known || mark.starts_with(&format!("{stack}_agent@node")), "{mark} of {line}");
        assert!(!message.contains("evil") || message == HARMLESS, "{message}");
    }
    all.stdout_has(&format!("{stack}_agent@node1 | i am everywhere\n"));
    all.stdout_has(&format!("{stack}_agent@node2 | i am everywhere\n"));
    all.stdout_has(" | on a terminal\n");
    assert_eq!(all.stdout.matches(HARMLESS).count(), 2, "{all}");

    // JSON of the same: every field, in order.
    let lines = json(&scene.ops.run(["logs", &stack, "--json"]));
    assert_eq!(lines.len(), all.stdout.lines().count());
    let times: Vec<_> = lines.iter().map(|line| line["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let (mut streams, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for line in &lines {
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "node", "service", "stream", "task", "time"], "{line}");
        streams.insert((line["service"].as_str().unwrap(), line["stream"].as_str().unwrap()));
        nodes.insert(line["node"].as_str().unwrap());
        if line["message"].as_str().unwrap().starts_with("err") {
            assert_eq!(line["stream"], "stderr");
        }
    }
    let app = format!("{stack}_app");
    assert!(streams.contains(&(&*app, "stdout")) && streams.contains(&(&*app, "stderr")), "{streams:?}");
    assert_eq!(nodes, BTreeSet::from(["node1", "node2"]));
    // Of one task the two streams are told in turns, as they came.
    let first = lines.iter().find(|line| line["service"] == *app).unwrap();
    let own: Vec<_> =
        lines.iter().filter(|line| line["task"] == first["task"]).map(|line| &line["message"]).collect();
    assert_eq!(own, [HARMLESS, "out 1", "err 1", "out 2", "err 2", "out 3", "err 3"]);

    // One service, by either name; the last lines of it, and what came since.
    for name in ["app", &*app] {
        let lines = json(&scene.ops.run(["logs", &stack, name, "--json", "--tail", "3"]));
        assert!(lines.len() == 3 && lines.iter().all(|line| line["service"] == *app), "{lines:?}");
    }
    assert_eq!(messages(&scene.ops.run(["logs", &stack, "app", "--tail", "0", "--json"])), [""; 0]);
    let since = times[times.len() - 2];
    let later = scene.ops.run(["logs", &stack, "--since", since, "--json"]);
    assert_eq!(json(&later), lines[lines.len() - 2..]);
    assert_eq!(messages(&scene.ops.run(["logs", &stack, "--since", "0s", "--json"])), [""; 0]);
    assert_eq!(messages(&scene.ops.run(["logs", &stack, "--since", "1h", "--json"])).len(), lines.len());
}

#[test]
fn a_huge_log_is_read_in_bounds_and_it_is_said_what_is_missing() {
    let Some(scene) = Scene::new() else { return };
    // 100 MiB, and a line as long as docker cuts them several times.
    let script = format!(
        "{HOSTILE}; yes $$(head -c 4095 /dev/zero | tr '\\0' x) | head -c 104857600; head -c 100000 /dev/zero | tr '\\0' y; echo; {HOSTILE}; echo the end; exec sleep 900"
    );
    let app = scene.on().deploy("placement: {constraints: [node.role == manager]}").shell(&script);
    let stack = scene.stack("huge", &app);
    scene.watch().success();
    wait_for("100 MiB", 120, || scene.ops.run(["logs", &stack, "--tail", "3"]).stdout.contains("the end"));
    let begun = Instant::now();
    let last = scene.ops.run(["logs", &stack]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // What it printed is too long to be shown where something is wrong.
    let has = |said: &Outcome, text: &str| assert!(said.code == 0 && said.stdout.contains(text), "no {text}");
    has(&last, HARMLESS);
    has(&last, " | the end\n");
    has(&last, "yyy…\n");
    assert!(last.stdout.lines().count() <= 100);
    assert_eq!(last.stderr, "");

    let (mut run, mut peak) = (scene.ops.spawn(["logs", &*stack, "--tail", "all"]), 0);
    while run.is_running() {
        let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = peak.max(line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap()));
        std::thread::sleep(Duration::from_millis(10));
    }
    let all = run.wait();
    has(&all, " | the end\n");
    assert!(all.stderr.contains(" MiB more were left out; ask for fewer with `--tail`"), "{}", all.stderr);
    assert!(all.stdout.len() > 6 << 20 && all.stdout.len() < 9 << 20, "{}", all.stdout.len());
    assert!((10_000..64 << 10).contains(&peak), "{peak} KiB");
    println!("{peak} KiB for the newest of 100 MiB");

    let ops = scene.ops.that_listens();
    let site = ops.site();
    let path = format!("/api/v1/stacks/{stack}/logs?tail=2000");
    let answer = site.send("GET", &path, &[SIGNED], b"");
    let missing = answer.body.lines().last().unwrap();
    assert!(missing.contains(" lines more were left out; ask for fewer with `tail`"), "{}", &missing[..99]);
    assert!(missing.starts_with("note: `") && answer.status == 200 && answer.body.contains("| the end\n"));
    assert!(answer.body.len() < 2 << 20, "{}", answer.body.len());
}

#[test]
fn what_docker_cannot_tell_is_said_and_the_rest_is_told() {
    let Some(scene) = Scene::new() else { return };
    let mute = scene.on().with("logging: {driver: none}");
    let stack = scene.ops.unique("partly");
    let app = scene.on().shell("echo well; exec sleep 900");
    scene.repo.stack(&stack, &compose([("app", &app), ("mute", &mute), ("lost", &scene.off())]));
    scene.watch().success();
    has_printed(&scene, &stack, "well", 1);
    let said = scene.ops.run(["logs", &stack]);
    said.success()
        .stdout_has(" | well\n")
        .stderr_has(&format!("`{stack}_mute` keeps no log: its logging driver is `none`"));
    let lost = scene.lab.docker(&["service", "inspect", "--format", "{{.ID}}", &format!("{stack}_lost")]);
    let Scene { lab, ops, repo, docker } = scene;
    let hint = "error from daemon in stream: Error grabbing logs: \u{1b}node gone is not available";
    let scene = Scene { lab, ops, repo, docker: docker.fails(&format!("all {lost}"), 1, hint) };
    let said = scene.ops.run(["logs", &stack, "--tail", "all"]);
    said.success().stdout_has(" | well\n");
    said.stderr_has(&format!(
        "`{stack}_lost`: docker: error from daemon in stream: Error grabbing logs: \\u{{1b}}node gone"
    ));
}

#[test]
fn one_that_never_answers_holds_up_nobody_for_long() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("stuck", &scene.off());
    scene.watch().success();
    let Scene { lab, ops, repo, docker } = scene;
    let scene = Scene {
        lab,
        ops: ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "3"),
        repo,
        docker: docker.hangs("service logs"),
    };
    let begun = Instant::now();
    let said = scene.ops.run(["logs", &stack]);
    said.success().stderr_has("docker did not tell all within 3 s");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut run = scene.ops.spawn(["logs", &*stack, "--follow"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(run.is_running());
    run.signal(Signal::TERM);
    run.wait().failure(143);
}
