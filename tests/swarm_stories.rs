//! What Swarm makes of deploys, failures and hands, as `swarm_stories.txt` tells: the simulation of the unit tests
//! (`src/reconcile/simulation/played.rs`) is held to the same file, so both are the same Swarm.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "../src/reconcile/simulation/script.rs"]
mod script;

use script::{Act, Seen, SeenTask, Step, stories};

use crate::support::lab::{Lab, lab};
use crate::support::scene::{App, compose};
use crate::support::unique;

/// Between two looks, and until what is seen must be so.
const LOOK: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(50);
/// So long it stays so.
const STAYS: Duration = Duration::from_secs(3);

fn app(lab: &Lab, version: u16, replicas: u64, behaviour: &str, on_failure: &str) -> App {
    let image = if behaviour == "reject" { "nowhere:1" } else { "app:1" };
    // On a busy machine Swarm learns late of a task that ended.
    let monitor = if behaviour == "crash" { 15 } else { 5 };
    let app = App::new(&lab.image(image))
        .with(format!("environment: {{V: '{version}'}}"))
        .update(&format!("monitor: {monitor}s, failure_action: {on_failure}"))
        .deploy("rollback_config: {monitor: 5s}")
        .replicas(u8::try_from(replicas).unwrap());
    let stays = "trap 'exit 0' TERM; sleep 1000 & wait";
    match behaviour {
        "crash" => app.shell("sleep 1; exit 1"),
        "once" => app.shell("sleep 2").deploy("restart_policy: {condition: none}"),
        "never" => app.shell(stays).with("healthcheck: {test: [CMD, 'false'], interval: 90s, retries: 9}"),
        _ => app.shell(stays),
    }
}

fn act(lab: &Lab, folder: &Path, stack: &str, act: &Act) {
    let service = format!("{stack}_app");
    match act {
        Act::Deploy { version, replicas, behaviour, on_failure } => {
            let file = folder.join("compose.yml");
            let app = app(lab, *version, *replicas, behaviour, on_failure);
            std::fs::write(&file, compose([("app", &app)])).unwrap();
            let file = file.to_str().unwrap();
            lab.docker(&["stack", "deploy", "--resolve-image", "never", "-c", file, stack]);
        }
        Act::Scale(replicas) => lab.edit(&service, &["--replicas", &replicas.to_string()]),
        Act::Remove => drop(lab.docker(&["service", "rm", &service])),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn look(lab: &Lab, stack: &str, seen: &mut Seen) {
    let service = format!("{stack}_app");
    (seen.variable, seen.replicas) = (None, 0);
    let Ok(found) = lab.try_docker(&["service", "inspect", &service]) else { return };
    let found: Value = serde_json::from_str(&found).unwrap();
    let variable = |container: &Value| text(&container["Env"][0]);
    seen.variable = Some(variable(&found[0]["Spec"]["TaskTemplate"]["ContainerSpec"]));
    seen.replicas = found[0]["Spec"]["Mode"]["Replicated"]["Replicas"].as_u64().unwrap();
    seen.update(&text(&found[0]["UpdateStatus"]["State"]));
    let ids = lab.try_docker(&["service", "ps", "--quiet", "--no-trunc", &service]).unwrap_or_default();
    let ids: Vec<_> = ids.lines().collect();
    // One that is gone by now is no task any more.
    let Ok(tasks) = lab.try_docker(&[&["inspect", "--type", "task"], &*ids].concat()) else { return };
    let tasks: Value = serde_json::from_str(&tasks).unwrap();
    let task = |task: &Value| SeenTask {
        variable: variable(&task["Spec"]["ContainerSpec"]),
        state: text(&task["Status"]["State"]),
        desired: text(&task["DesiredState"]),
    };
    seen.tasks = tasks.as_array().unwrap().iter().map(task).collect();
}

/// What is not as the story tells.
fn play(lab: &Lab, name: &str, steps: &[Step]) -> Result<(), String> {
    let (stack, folder) = (unique("told"), tempfile::tempdir().unwrap());
    let mut done = Ok(());
    for step in steps {
        act(lab, folder.path(), &stack, &step.act);
        let (mut seen, begun) = (Seen::default(), Instant::now());
        while seen.to_string() != step.seen && begun.elapsed() < PATIENCE {
            thread::sleep(LOOK);
            look(lab, &stack, &mut seen);
        }
        let (first, begun) = (seen.clone(), Instant::now());
        while begun.elapsed() < STAYS {
            thread::sleep(LOOK);
            look(lab, &stack, &mut seen);
        }
        if first.to_string() != step.seen || first.updates != seen.updates {
            done = Err(format!("{name}, after {:?}:\n  {first}\n  {seen}\n  {}", step.act, step.seen));
            break;
        }
    }
    lab.docker(&["stack", "rm", &stack]);
    done
}

/// Where it learned too late of a task that ended, Swarm calls its update completed: another try tells.
fn twice(lab: &Lab, name: &str, steps: &[Step]) -> Result<(), String> {
    play(lab, name, steps).or_else(|_| play(lab, name, steps))
}

#[test]
fn swarm_makes_of_it_what_the_simulated_one_does() {
    let Some(lab) = lab() else { return };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/swarm_stories.txt");
    let all = stories(&std::fs::read_to_string(file).unwrap());
    let wrong: Vec<_> = thread::scope(|threads| {
        let started: Vec<_> =
            all.iter().map(|(name, steps)| threads.spawn(move || twice(lab, name, steps))).collect();
        started.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
