//! Whether a service has become what it was asked to be. Pure, but for the clock it is handed.
//!
//! Swarm tells three things: the service's counts, the state of its rolling update, and its tasks. A
//! task counts only if it was made from the new spec; a new one must also stay up for the service's
//! monitor period, as docker's own wait has it (docker/cli `service/progress`).

mod early;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::clock::Moment;
use crate::docker::service::{Mode, Restart, Service};
use crate::docker::state::{TaskState, UpdateState};
use crate::docker::task::Task;

pub use early::{culprit, early};

use early::{nowhere, with_wishes};

/// What a wait remembers of one service from look to look.
#[derive(Debug, Default)]
pub struct Watch {
    steady: Option<(Instant, BTreeSet<String>)>,
    dead_looks: u8,
    /// The tasks that had failed when the wait began, and whether a later one was told of.
    died_before: Option<BTreeSet<String>>,
    reported_death: bool,
    /// Why a task finds no node, since when, and what was told of that.
    unplaced: Option<(Instant, String)>,
    reported_unplaced: Option<String>,
}

/// How far a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is what it was asked to be.
    Done,
    /// All runs, but not for long enough to trust it.
    Steadying(String),
    /// Not yet, and what is missing.
    Waiting(String),
    /// It will not become so by itself.
    Failed {
        /// Why, with the failing task's own error.
        why: String,
        /// Whether Swarm itself stopped: it went back to the previous spec, or goes no further.
        stopped: bool,
    },
}

/// Tasks that have run this much longer than the monitor period need no second look: no clock of a node
/// is off by so much.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// Swarm says so long after a monitor period at the latest that an update completed.
const OVERDUE: Duration = Duration::from_secs(3);

/// Judges `service` by its `tasks` (newest first).
pub fn judge(service: &Service, tasks: &[&Task], watch: &mut Watch, now: Moment) -> Progress {
    if let Some(failed) = rolled_back(service, tasks) {
        return failed;
    }
    if service.mode == Mode::Job {
        return job(service, tasks, watch);
    }
    let slots = slots(service, tasks);
    let filled: BTreeMap<_, _> =
        slots.iter().filter_map(|(slot, tasks)| Some((*slot, filling(service, tasks)?))).collect();
    let wanted = wanted(service, tasks, now);
    let enough = filled.len() as u64 >= wanted && !has_surplus(service, tasks);
    let updating = service.update.as_ref().map(|update| &update.state);
    let ended = enough && wanted > 0 && filled.values().all(|task| task.state == TaskState::Complete);
    if ended {
        // An update of a one-shot service ends as `paused`: its task terminated early, which it should.
        return Progress::Done;
    }
    if updating == Some(&UpdateState::Paused) {
        // Pushed again, Swarm would take the next of the tasks that still run as before; a one-shot has none, and one
        // that lacked its image is pushed again when its node has it.
        let lacked = tasks.iter().find(|task| task.has_failed()).is_some_and(|task| task.lacked_its_image());
        let stopped = service.restart != Restart::Never && !lacked;
        return Progress::Failed { why: because(&service.update_message(), tasks), stopped };
    }
    if enough && !matches!(updating, Some(UpdateState::Updating | UpdateState::RollbackStarted)) {
        // Swarm calls an update completed, too, when it learned too late of the task that ended: then as without its word.
        let trusted = updating == Some(&UpdateState::Completed)
            && !slots.values().flatten().any(|task| task.has_failed());
        return if wanted == 0 || trusted {
            Progress::Done
        } else {
            steady(service, wanted, &slots, &filled, watch, now)
        };
    }
    watch.steady = None;
    if let Some(failed) = dead(service, &slots, tasks, watch) {
        return failed;
    }
    let mut what = sentence(service, wanted, filled.len(), tasks);
    if has_surplus(service, tasks) {
        what = format!("{wanted}/{wanted} tasks run, and more than asked for");
    }
    Progress::Waiting(what)
}

/// In how long a service may be what it was asked to be, all of whose tasks run. `None` where one is missing, and of one
/// that should have been so for some time.
pub fn due(service: &Service, tasks: &[&Task], now: Moment) -> Option<Duration> {
    let filled: Vec<_> =
        slots(service, tasks).into_values().filter_map(|tasks| filling(service, &tasks)).collect();
    if (filled.len() as u64) < wanted(service, tasks, now) {
        return None;
    }
    let ages = filled.iter().filter_map(|task| (now.wall - task.since?).to_std().ok());
    let youngest = ages.min().unwrap_or_default();
    (youngest < service.monitor + OVERDUE).then(|| service.monitor.saturating_sub(youngest))
}

/// The task that still lacks the image for want of which Swarm paused an update: no registry has answered its node.
/// Swarm itself starts it again and again.
pub fn lacks_image<'a>(service: &Service, tasks: &[&'a Task]) -> Option<&'a Task> {
    let runs = |tasks: &Vec<&Task>| tasks.first().is_some_and(|task| task.state == TaskState::Running);
    let empty = slots(service, tasks).into_values().filter(|tasks| service.is_paused() && !runs(tasks));
    empty.flatten().find(|task| task.lacked_its_image())
}

/// How many tasks there should be. Of a global service docker counts those that are to run just now: a node that
/// refused its task a moment ago is one of its slots all the same.
fn wanted(service: &Service, tasks: &[&Task], now: Moment) -> u64 {
    if service.mode != Mode::Global {
        return service.wanted;
    }
    let mut newest: BTreeMap<&str, &Task> = BTreeMap::new();
    for task in tasks {
        newest.entry(&task.slot).or_insert(task);
    }
    let lately = |task: &&&Task| {
        let age = task.since.and_then(|since| (now.wall - since).to_std().ok());
        task.has_failed() && age.is_none_or(|age| age < CLOCK_SLACK)
    };
    // A one-shot that did its work is over, and fills its node all the same.
    let did_its_work = |task: &Task| {
        let is_new = !service.has_previous || task.runs(&service.template);
        service.restart != Restart::Any && task.state == TaskState::Complete && is_new
    };
    let counts = |task: &&&Task| !task.is_over() || lately(task) || did_its_work(task);
    let slots = newest.values().filter(counts).count() as u64;
    slots.max(service.wanted).saturating_sub(passed_over(service, tasks).count() as u64)
}

/// Whether Swarm still wants more tasks to run than the service asks for: it is about to stop them. One that it has told
/// to stop counts no more, for as long as that takes: on a node that is lost it seems to run for ever.
fn has_surplus(service: &Service, tasks: &[&Task]) -> bool {
    let runs = |task: &&&Task| task.state == TaskState::Running && task.desired == TaskState::Running;
    let slots: BTreeSet<_> = tasks.iter().filter(runs).map(|task| &*task.slot).collect();
    service.mode == Mode::Replicated && slots.len() as u64 > service.wanted
}

/// The tasks of the version before that an update of a global service is through with: Swarm touches none on a paused
/// node, and calls the update completed.
fn passed_over<'a>(service: &'a Service, tasks: &'a [&'a Task]) -> impl Iterator<Item = &'a Task> {
    let update = service.update.as_ref();
    let update = update.filter(|it| it.state == UpdateState::Completed && service.mode == Mode::Global);
    let is_old = move |task: &&Task| {
        !task.is_over()
            && task.state == TaskState::Running
            && update.is_some_and(|update| update.began_after(task))
            && !task.runs(&service.template)
    };
    tasks.iter().copied().filter(is_old)
}

/// What is to be told of a service that became what it was asked to be: where the version before goes on, or that it
/// runs nowhere.
pub fn notes(service: &Service, tasks: &[&Task]) -> Vec<String> {
    let nodes: Vec<_> = passed_over(service, tasks).map(|task| format!("`{}`", task.node)).collect();
    let runs_on = (!nodes.is_empty()).then(|| {
        format!(
            "the version before still runs on {}: Swarm changes no task of a paused node until it is active again",
            nodes.join(", ")
        )
    });
    runs_on.into_iter().chain(nowhere(service)).collect()
}

impl Service {
    fn update_message(&self) -> String {
        self.update.as_ref().map(|update| update.message.clone()).unwrap_or_default()
    }
}

fn rolled_back(service: &Service, tasks: &[&Task]) -> Option<Progress> {
    let update = service.update.as_ref()?;
    match update.state {
        UpdateState::RollbackCompleted => {
            let why = because("Swarm rolled it back to the previous version", tasks);
            Some(Progress::Failed { why, stopped: true })
        }
        UpdateState::RollbackPaused => {
            let why = because(&format!("Swarm could not roll it back: {}", update.message), tasks);
            Some(Progress::Failed { why, stopped: true })
        }
        UpdateState::RollbackStarted => Some(Progress::Waiting("is being rolled back".into())),
        _ => None,
    }
}

fn because(what: &str, tasks: &[&Task]) -> String {
    match tasks.iter().filter(|task| task.has_failed()).find_map(|task| task.complaint()) {
        Some(complaint) => format!("{what}: {complaint}"),
        None => what.to_owned(),
    }
}

fn job(service: &Service, tasks: &[&Task], watch: &mut Watch) -> Progress {
    let (done, wanted) = service.completed.unwrap_or((0, 1));
    if done >= wanted {
        return Progress::Done;
    }
    watch.dead_looks = if has_died(service, tasks) { watch.dead_looks.saturating_add(1) } else { 0 };
    if watch.dead_looks >= 2 {
        let why = because("its task failed and is not to be restarted", tasks);
        return Progress::Failed { why, stopped: false };
    }
    let this_run: Vec<_> = tasks.iter().copied().filter(|task| task.iteration == service.iteration).collect();
    let complaint =
        this_run.iter().find_map(|task| task.complaint()).map(|text| format!(": {text}")).unwrap_or_default();
    Progress::Waiting(format!("{done}/{wanted} completed{complaint}"))
}

/// Whether a service that is to end by itself failed to: tasks of its last run failed, and no other one is there or to
/// come. Slots tell nothing, for Swarm numbers none of a job.
pub fn has_died(service: &Service, tasks: &[&Task]) -> bool {
    let is_of_this_run = |task: &&&Task| {
        if service.mode == Mode::Job {
            task.iteration == service.iteration
        } else {
            task.runs(&service.template)
        }
    };
    let this_run: Vec<_> = tasks.iter().filter(is_of_this_run).collect();
    let done = this_run.iter().filter(|task| task.state == TaskState::Complete).count() as u64;
    let wanted = service.completed.map_or(service.wanted, |(_, wanted)| wanted);
    let is_alive =
        |task: &&&&Task| !task.is_over() && !task.has_failed() && task.state != TaskState::Complete;
    done < wanted
        && this_run.iter().any(|task| task.has_failed())
        && !this_run.iter().any(|task| is_alive(&task))
}

/// The tasks of the new spec by the slot they fill, newest first.
fn slots<'a>(service: &Service, tasks: &[&'a Task]) -> BTreeMap<&'a str, Vec<&'a Task>> {
    let updated = service.update.as_ref().is_some_and(|update| update.state == UpdateState::Completed);
    let left: BTreeSet<_> = passed_over(service, tasks).map(|task| task.id.as_str()).collect();
    let mut slots: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !left.contains(task.id.as_str())) {
        if !service.has_previous || (updated && !task.is_over()) || task.runs(&service.template) {
            slots.entry(&task.slot).or_default().push(task);
        }
    }
    slots
}

/// The task that makes a slot count as filled: one that runs, or one that did its work and is not to be
/// started again.
fn filling<'a>(service: &Service, tasks: &[&'a Task]) -> Option<&'a Task> {
    let running =
        tasks.iter().find(|task| task.state == TaskState::Running && task.desired == TaskState::Running);
    let newest =
        tasks.first().filter(|task| task.state == TaskState::Complete && service.restart != Restart::Any);
    match service.restart {
        // A service that never restarts is a one-shot: done when it has completed.
        Restart::Never => newest.copied(),
        Restart::Any | Restart::OnFailure => running.or(newest).copied(),
    }
}

fn steady(
    service: &Service,
    wanted: u64,
    slots: &BTreeMap<&str, Vec<&Task>>,
    filled: &BTreeMap<&str, &Task>,
    watch: &mut Watch,
    now: Moment,
) -> Progress {
    let ids: BTreeSet<String> = filled.values().map(|task| task.id.clone()).collect();
    let steady = service.monitor + CLOCK_SLACK;
    let long_ago = |task: &&Task| {
        task.since.is_some_and(|since| (now.wall - since).to_std().is_ok_and(|age| age > steady))
    };
    if filled.values().all(|task| long_ago(task) || task.state == TaskState::Complete) {
        return Progress::Done;
    }
    let since = match &watch.steady {
        Some((since, known)) if *known == ids => *since,
        _ => now.instant,
    };
    watch.steady = Some((since, ids));
    if now.instant.duration_since(since) >= service.monitor {
        return Progress::Done;
    }
    let what = format!("{}/{wanted} tasks run, watching them stay up", filled.len());
    // One that died before may do so again: at the deadline it is not given the benefit of the doubt.
    let died = slots.values().flatten().filter(|task| task.has_failed()).find_map(|task| task.complaint());
    match died {
        Some(complaint) => Progress::Waiting(format!("{what}, last error: {complaint}")),
        None => Progress::Steadying(what),
    }
}

/// A slot whose newest task is over without a successor stays empty for ever. Seen twice, since Swarm
/// may be about to make one.
fn dead(
    service: &Service,
    slots: &BTreeMap<&str, Vec<&Task>>,
    tasks: &[&Task],
    watch: &mut Watch,
) -> Option<Progress> {
    let over = |tasks: &Vec<&Task>| tasks.first().is_some_and(|task| task.is_over() && task.has_failed());
    let stuck = service.restart != Restart::Any && slots.values().any(over);
    watch.dead_looks = if stuck { watch.dead_looks.saturating_add(1) } else { 0 };
    (watch.dead_looks >= 2).then(|| Progress::Failed {
        why: because("its task failed and is not to be restarted", tasks),
        stopped: false,
    })
}

fn sentence(service: &Service, wanted: u64, filled: usize, tasks: &[&Task]) -> String {
    let verb = if service.restart == Restart::Never { "completed" } else { "run" };
    let complaint = tasks.iter().find_map(|task| task.complaint());
    let complaint = complaint.map(|text| format!(", last error: {}", with_wishes(service, &text)));
    let pauses = service.is_updating() && service.delays > Duration::ZERO;
    let pauses = if pauses { ", Swarm pauses between them (`update_config.delay`)" } else { "" };
    format!("{filled}/{wanted} tasks {verb}{pauses}{}", complaint.unwrap_or_default())
}

#[cfg(test)]
mod tests;
