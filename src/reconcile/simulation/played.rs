//! The simulated Swarm is as the real one: both play `tests/swarm_stories.txt`.

use std::collections::BTreeMap;

use super::script::{Act, Seen, SeenTask, Step, stories};
use super::service::Labels;
use super::spec::{Behaviour, Entry, OnFailure, Spec};
use super::swarm::{Hand, Swarm};
use crate::docker::command::ResolveImage;
use crate::docker::json::Json;
use crate::stack::DriftPolicy;

/// Between two looks, and until what is seen must be so.
const LOOK: u64 = 400;
const PATIENCE: u64 = 40_000;
/// So long it stays so.
const STAYS: u64 = 3_000;

fn entry(version: u16, replicas: u64, behaviour: &str, on_failure: &str) -> Entry {
    let behaviour = match behaviour {
        "good" => Behaviour::Good,
        "crash" => Behaviour::Crash,
        "reject" => Behaviour::Reject,
        "never" => Behaviour::Never,
        "once" => Behaviour::Once,
        other => panic!("{other}"),
    };
    let on_failure = match on_failure {
        "pause" => OnFailure::Pause,
        "rollback" => OnFailure::Rollback,
        "continue" => OnFailure::Continue,
        other => panic!("{other}"),
    };
    let spec = Spec { image: 1, content: 0, env: version, is_global: false, replicas, behaviour, on_failure };
    Entry {
        name: "web",
        enabled: true,
        depends_on: Vec::new(),
        drift: DriftPolicy::Correct,
        services: BTreeMap::from([("app", spec)]),
        wrong: false,
    }
}

fn act(swarm: &mut Swarm, act: &Act) {
    match act {
        Act::Deploy { version, replicas, behaviour, on_failure } => {
            let entry = entry(*version, *replicas, behaviour, on_failure);
            swarm.deploy(&entry, &Labels::default(), ResolveImage::Changed, usize::MAX);
        }
        // A hand makes it four.
        Act::Scale(replicas) => {
            assert_eq!(*replicas, 4);
            swarm.hand("web", Hand::Scale);
        }
        Act::Remove => drop(swarm.hand("web", Hand::RemoveService)),
    }
}

/// A look, as the loop has it through its door.
fn look(swarm: &Swarm, seen: &mut Seen) {
    let variable =
        |template: &Json| template.value()["ContainerSpec"]["Env"][0].as_str().unwrap_or_default().to_owned();
    let live = swarm.services.get("web_app");
    (seen.variable, seen.replicas) = (None, 0);
    let Some(live) = live else { return };
    let shown = live.shown();
    (seen.variable, seen.replicas) = (Some(variable(&shown.template)), shown.wanted);
    if let Some(update) = &shown.update {
        seen.update(&update.state.to_string());
    }
    let task = |task: &super::task::SimTask| {
        let shown = task.shown("web_app");
        let (state, desired) = (shown.state.to_string(), shown.desired.to_string());
        SeenTask { variable: variable(&shown.spec), state, desired }
    };
    seen.tasks = live.tasks.iter().map(task).collect();
}

/// What is not as the story tells.
fn play(name: &str, steps: &[Step]) -> Result<(), String> {
    let (mut swarm, mut now) = (Swarm::new(), 0);
    for step in steps {
        act(&mut swarm, &step.act);
        let (mut seen, until) = (Seen::default(), now + PATIENCE);
        let mut first = None;
        let mut stays = 0;
        while stays < STAYS && now < until {
            now += LOOK;
            swarm.pass(now);
            look(&swarm, &mut seen);
            if seen.to_string() == step.seen && first.is_none() {
                first = Some(seen.clone());
            }
            stays += if first.is_some() { LOOK } else { 0 };
        }
        if first.is_none_or(|first| first.updates != seen.updates) {
            return Err(format!("{name}, after {:?}:\n  {seen}\n  {}", step.act, step.seen));
        }
    }
    Ok(())
}

#[test]
fn the_simulated_swarm_makes_of_it_what_the_real_one_does() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/swarm_stories.txt");
    let stories = stories(&std::fs::read_to_string(file).unwrap());
    let wrong: Vec<_> = stories.iter().filter_map(|(name, steps)| play(name, steps).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
