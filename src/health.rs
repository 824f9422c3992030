//! Whether stacks run what was applied as Git says, at any time after their deploy. Pure, but for `look`.
//!
//! In: what was applied (rows), what is live, and the tasks of all services as coarsely as one call tells them.
//! Out: a verdict a stack. What a hand scaled or removed counts as missing: the wish is Git's, not the Swarm's.

mod look;
mod slots;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use serde::Serialize;

use crate::compose::FINGERPRINT;
use crate::docker::Swarm;
use crate::docker::service::{Mode, Restart, Service};
use crate::state::{AppliedService, LastWords, Motion, StackRow, StackStatus};
use slots::Slots;

#[cfg(test)]
pub use look::look_by;
pub use look::{Look, look};
pub use words::ago;

/// A task that replaced a failed one is trusted after this, or after its monitor period where that is longer.
const STEADY: Duration = Duration::from_secs(60);

/// A stack's health in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Everything of it runs as Git says.
    Healthy,
    /// It runs less than Git says, or its tasks keep failing.
    Degraded,
    /// Docker was given it, and nobody has seen the end of that.
    Deploying,
    Removing,
    /// Its last attempt failed: its row says why.
    Error,
    /// It is disabled.
    Stopped,
    /// Docker could not be asked, or an older release deployed it and nothing of it is there.
    Unknown,
}

/// What came of looking at a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// In one word.
    pub health: Health,
    /// Its services by full name: those that were applied, and those that a hand added.
    pub services: BTreeMap<String, ServiceVerdict>,
}

/// What came of looking at a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceVerdict {
    /// Tasks that run, or that completed where they are to.
    pub running: u64,
    /// Those among them that completed.
    pub completed: u64,
    pub wanted: u64,
    /// How often a task was replaced because it had failed, as far as the task history tells.
    pub restarts: u64,
    /// How long ago that was the last time.
    pub last_restart: Option<Duration>,
    /// The error of its tasks that matters most, with its node.
    pub error: Option<String>,
    /// Why it is not well, for people.
    pub why: Option<String>,
    /// The id of the task that failed and is to blame.
    pub failed: Option<String>,
}

impl Verdict {
    pub fn is_degraded(&self) -> bool {
        self.health == Health::Degraded
    }

    /// Why it is not well, for people; below it what tasks of its services said last. What failed may be so as well.
    pub fn why(&self, words: &BTreeMap<String, LastWords>) -> Option<String> {
        let troubled = || self.services.iter().filter(|(_, service)| service.why.is_some());
        let whys: Vec<_> = troubled().filter_map(|(_, service)| service.why.as_deref()).collect();
        let words: String =
            troubled().filter_map(|(name, _)| words.get(name)).map(|words| &*words.text).collect();
        (!whys.is_empty()).then(|| whys.join("; ") + &words)
    }

    /// The services that are not well: what changes only when there is news.
    pub fn troubled(&self) -> String {
        let troubled = self.services.iter().filter(|(_, service)| service.why.is_some());
        troubled.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// Judges a stack. `motions` are those of its source, `swarm` is what `look` was made of.
pub fn judge(row: &StackRow, motions: &[Motion], swarm: &Swarm, look: &Look) -> Verdict {
    let deploying = motions.iter().any(|motion| motion.name == row.name);
    let to_judge = !deploying
        && match row.status {
            StackStatus::Deployed => true,
            // What was not given to docker changed nothing: what was applied before is to run on.
            StackStatus::Error => !row.hash.is_empty() && is_as_applied(row, swarm),
            StackStatus::Stopped => false,
        };
    let mut services = BTreeMap::new();
    let since_converged = since_converged(row, look).filter(|_| !is_broken!(RemembersOldDeaths));
    for live in swarm.of_stack(&row.name) {
        let applied = row.services.get(&live.name).filter(|_| to_judge);
        // A row of the older release holds no services: then what is live is all there is to go by.
        let is_known = applied.is_some() || row.services.is_empty();
        let mut verdict = service(since_converged, applied, live, look);
        // How a job ended was told when it did.
        let is_job = applied.is_some_and(|applied| !applied.is_kept());
        if !to_judge || !is_known || is_job {
            verdict.why = None;
        }
        services.insert(live.name.clone(), verdict);
    }
    for (name, applied) in row.services.iter().filter(|(_, applied)| to_judge && applied.is_kept()) {
        let wanted = replicas(applied).unwrap_or(1);
        services.entry(name.clone()).or_insert_with(|| ServiceVerdict {
            wanted,
            why: Some(words::removed(name, wanted)),
            ..ServiceVerdict::default()
        });
    }
    let is_unwell = |service: &ServiceVerdict| service.why.is_some() && !is_broken!(SeesNoHealth);
    let health = match row.status {
        _ if deploying => Health::Deploying,
        StackStatus::Error => Health::Error,
        StackStatus::Stopped => Health::Stopped,
        StackStatus::Deployed if services.values().any(is_unwell) => Health::Degraded,
        StackStatus::Deployed if services.is_empty() => Health::Unknown,
        StackStatus::Deployed => Health::Healthy,
    };
    Verdict { health, services }
}

/// Whether nothing else was given to docker since the stack converged.
fn is_as_applied(row: &StackRow, swarm: &Swarm) -> bool {
    let is_job = |live: &Service| row.services.get(&live.name).is_some_and(|applied| !applied.is_kept());
    swarm.of_stack(&row.name).all(|live| is_job(live) || live.labels.get(FINGERPRINT) == Some(&row.hash))
}

/// The replicas that were applied; `None` of a global service or a job.
fn replicas(applied: &AppliedService) -> Option<u64> {
    applied.spec.get("replicas")?.parse().ok()
}

fn service(
    since_converged: Option<Duration>,
    applied: Option<&AppliedService>,
    live: &Service,
    look: &Look,
) -> ServiceVerdict {
    let wanted = applied.and_then(replicas);
    let Some(lines) = look.tasks_of(&live.id) else {
        let (running, live_wanted) = live.completed.unwrap_or((live.running, live.wanted));
        let wanted = wanted.unwrap_or(live_wanted);
        let why = (running < wanted).then(|| words::short(live, running, wanted, &words::Cause::default()));
        let completed = live.completed.map_or(0, |(done, _)| done);
        return ServiceVerdict { running, completed, wanted, why, ..ServiceVerdict::default() };
    };
    let slots = Slots::of(live, lines, look);
    let (running, wanted) = match live.mode {
        Mode::Job => slots.of_a_job(),
        Mode::Global => slots.of_a_global(),
        Mode::Replicated => slots.of_replicas(wanted.unwrap_or(live.wanted)),
    };
    let completed = match live.completed {
        Some((done, _)) => done,
        // What the history forgot of a service whose tasks are to end completed as well.
        None => running.saturating_sub(slots.running()),
    };
    let restarts = slots.restarts(since_converged);
    let (count, last_restart) = (restarts.count, restarts.last);
    let is_short = running < wanted;
    let blamed = if is_short { slots.blamed() } else { restarts.shaken };
    let cause = words::Cause { blamed, look: Some(look), count, last: last_restart };
    let why = if is_short {
        Some(words::short(live, running, wanted, &cause))
    } else {
        blamed.map(|_| words::unsteady(live, running, wanted, &cause))
    };
    // What is to end is paused because it ended.
    let goes_on = live.mode != Mode::Job && live.restart == Restart::Any;
    let paused = || live.is_paused() && goes_on && applied.is_some();
    let why = why.or_else(|| paused().then(|| words::paused(live, running, wanted)));
    let error = cause.complaint();
    let failed = blamed.filter(|task| task.is_over() || task.has_failed()).map(|task| task.id.clone());
    ServiceVerdict { running, completed, wanted, restarts: count, last_restart, error, why, failed }
}

/// How long ago the stack converged; `None` where nobody knows.
fn since_converged(row: &StackRow, look: &Look) -> Option<Duration> {
    let converged: DateTime<FixedOffset> = row.converged.as_deref()?.parse().ok()?;
    // What lies in the future tells nothing: the clock was set.
    look.taken().signed_duration_since(converged).to_std().ok()
}
