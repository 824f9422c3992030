//! What has come of a deploy in motion, by one look at its services and tasks. Nothing is told or recorded here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Key;
use crate::clock::Moment;
use crate::compose::FINGERPRINT;
use crate::convergence::{Progress, Watch, due, judge};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::docker::task::Task;
use crate::image::ImageRef;
use crate::plan;
use crate::source::SourceId;
use crate::state::{Given, GivenHow, Motion};

/// One look at what is in motion.
pub struct Seen<'a> {
    pub swarm: &'a Swarm,
    pub tasks: &'a [Task],
    pub now: Moment,
}

/// The stack's services if all are done, else the worst that can be said of it, and of each that is not ready what it lacks.
pub fn judge_stack(
    key: &Key,
    given: &Given,
    swarm: &Swarm,
    tasks: &[Task],
    watches: &mut BTreeMap<String, Watch>,
    now: Moment,
    ours: &BTreeSet<SourceId>,
) -> Result<Vec<Service>, (Progress, Vec<String>)> {
    let (mut services, mut waiting, mut steadying, mut failed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut by_swarm = false;
    for name in given.at_stake() {
        let Some(live) = swarm.of_stack(&key.stack).find(|live| live.name == name) else {
            waiting.push(format!("`{name}` is not there"));
            continue;
        };
        // Swarm goes back to the labels of before as well.
        let other = plan::owner(live).filter(|owner| key.source != **owner && !live.goes_back());
        match other {
            Some(other) if ours.iter().any(|source| *source == *other) => {
                waiting.push(format!("`{name}` changes hands"));
                continue;
            }
            Some(other) => {
                failed.push(format!("`{name}`: another DockerOps has deployed it since, from `{other}`"));
                continue;
            }
            None => {}
        }
        let own: Vec<_> = tasks.iter().filter(|task| task.service == live.id).collect();
        match judge(live, &own, watches.entry(name.to_owned()).or_default(), now) {
            Progress::Done => services.push(live.clone()),
            _ if is_broken!(CallsItDeployedAtOnce) => services.push(live.clone()),
            Progress::Steadying(what) => steadying.push(format!("`{name}` {what}")),
            Progress::Waiting(what) => waiting.push(format!("`{name}` {what}")),
            Progress::Failed { why, stopped } => {
                by_swarm |= stopped;
                failed.push(format!("`{name}`: {why}"));
            }
        }
    }
    if !failed.is_empty() {
        return Err((Progress::Failed { why: failed.join("; "), stopped: by_swarm }, failed));
    }
    if !waiting.is_empty() {
        let what = waiting.join("; ");
        waiting.append(&mut steadying);
        return Err((Progress::Waiting(what), waiting));
    }
    if steadying.is_empty() {
        Ok(services)
    } else {
        Err((Progress::Steadying(steadying.join("; ")), steadying))
    }
}

/// What of a deploy in motion somebody removed, or deployed anew.
pub fn lost(motion: &Motion, given: &Given, swarm: &Swarm) -> Option<String> {
    given.at_stake().find_map(|name| {
        let Some(live) = swarm.services.iter().find(|live| live.name == name) else {
            return Some(format!("`{name}` was removed by hand while it was deployed"));
        };
        // What Swarm goes back from has the labels of the version before.
        let is_ours = live.labels.get(FINGERPRINT) == Some(&motion.hash)
            || given.how == GivenHow::Roll
            || live.goes_back();
        (!is_ours).then(|| format!("`{name}` was deployed by somebody else meanwhile"))
    })
}

/// Whether all tasks that failed of what was given failed for want of an image: no registry answered their nodes, which
/// says nothing of the version. Tasks of the versions before it may have failed for other reasons.
pub fn lacked_images(key: &Key, motion: &Motion, given: &Given, seen: &Seen<'_>) -> bool {
    let is_of_it = |task: &&Task| {
        let live = seen.swarm.of_stack(&key.stack).find(|live| live.id == task.service);
        live.filter(|_| task.has_failed())
            .is_some_and(|live| runs_what_was_given(&live.name, task, motion, given))
    };
    let mut failed = seen.tasks.iter().filter(is_of_it).peekable();
    failed.peek().is_some() && failed.all(Task::lacked_its_image)
}

/// As far as its image tells.
fn runs_what_was_given(service: &str, task: &Task, motion: &Motion, given: &Given) -> bool {
    let spec = task.spec.value();
    let runs = spec["ContainerSpec"]["Image"].as_str().and_then(|image| ImageRef::parse(image).ok());
    let parse = |image: &String| ImageRef::parse(image).ok();
    match (motion.rolls.get(service).and_then(parse), given.services.get(service)) {
        (Some(rolled), _) => runs.is_some_and(|runs| runs == rolled),
        // Nothing was given to it.
        (None, _) if given.how == GivenHow::Roll => false,
        (None, Some(Some(wanted))) => {
            runs.map(|runs| runs.unpinned()) == parse(wanted).map(|image| image.unpinned())
        }
        (None, _) => true,
    }
}

/// In how long a stack may have converged.
/// In how long a stack may have converged.
pub fn due_of(key: &Key, swarm: &Swarm, tasks: &[Task], now: Moment) -> Option<Duration> {
    let of_service = |live: &Service| {
        let own: Vec<_> = tasks.iter().filter(|task| task.service == live.id).collect();
        due(live, &own, now)
    };
    let dues: Option<Vec<_>> = swarm.of_stack(&key.stack).map(of_service).collect();
    dues?.into_iter().max()
}
