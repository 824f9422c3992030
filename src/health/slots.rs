//! A service's tasks by the slot they fill: which are filled, which are not and why, which do not keep.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Look, STEADY};
use crate::docker::lines::Line;
use crate::docker::service::{Mode, Restart, Service};
use crate::docker::state::TaskState;

/// The clocks of nodes, and docker's whole seconds, may be off by so much.
const SLACK: Duration = Duration::from_secs(2);

/// The tasks of each slot, newest first; never none.
pub struct Slots<'a> {
    service: &'a Service,
    slots: BTreeMap<&'a str, Vec<&'a Line>>,
}

/// What the history of all slots tells.
pub struct Restarts<'a> {
    /// How often a task was replaced because it had failed.
    pub count: u64,
    /// How long ago it was the last time.
    pub last: Option<Duration>,
    /// The failed task before the one that runs and is not to be trusted yet.
    pub shaken: Option<&'a Line>,
}

impl<'a> Slots<'a> {
    /// Of a service. Of a global one only where Swarm places it; of others not what is being removed.
    pub fn of(service: &'a Service, lines: &'a [Line], look: &Look) -> Self {
        let mut slots: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.desired != TaskState::Remove) {
            slots.entry(&line.slot).or_default().push(line);
        }
        let mut slots = Self { service, slots };
        if service.mode == Mode::Global {
            let Self { slots: all, .. } = &slots;
            let kept = |(slot, tasks): (&&'a str, &Vec<&'a Line>)| {
                slots.is_placed(slot, tasks, look).then(|| (*slot, tasks.clone()))
            };
            slots = Self { service, slots: all.iter().filter_map(kept).collect() };
        }
        slots
    }

    /// Whether Swarm wants the task of a global service on that node, as far as its last tasks tell.
    fn is_placed(&self, node: &str, tasks: &[&Line], look: &Look) -> bool {
        let newest = tasks[0];
        if tasks.iter().any(|task| task.runs()) {
            return true;
        }
        if look.node(node).is_some_and(|node| !node.takes_tasks) {
            return false;
        }
        if !newest.is_over() {
            return true;
        }
        match newest.state {
            TaskState::Complete => self.service.restart != Restart::Any,
            // Where it is to be started again its successor is there as soon as it failed.
            _ if newest.has_failed() => self.gives_up() || newest.age.is_none_or(|age| age < STEADY),
            _ => false,
        }
    }

    /// Whether tasks may be left as they failed.
    fn gives_up(&self) -> bool {
        self.service.restart == Restart::Never || self.service.max_attempts > 0
    }

    fn is_filled(&self, tasks: &[&Line]) -> bool {
        let done = tasks[0].state == TaskState::Complete && self.service.restart != Restart::Any;
        done || tasks.iter().any(|task| task.runs())
    }

    /// Slots of which a task runs.
    pub fn running(&self) -> u64 {
        count(self.slots.values().filter(|tasks| tasks.iter().any(|task| task.runs())))
    }

    fn unfilled(&self) -> impl Iterator<Item = &Vec<&'a Line>> {
        self.slots.values().filter(|tasks| !self.is_filled(tasks))
    }

    fn filled(&self) -> u64 {
        count(self.slots.values().filter(|tasks| self.is_filled(tasks)))
    }

    /// Slots that run and are to, of a global service.
    pub fn of_a_global(&self) -> (u64, u64) {
        (self.filled(), count(self.slots.values()))
    }

    /// Likewise of a replicated one of which Git wants so many.
    pub fn of_replicas(&self, wanted: u64) -> (u64, u64) {
        let filled = self.filled();
        if self.service.restart == Restart::Any {
            return (filled, wanted);
        }
        // Of tasks that are to end the history may forget those that did.
        let forgotten = self.service.wanted.saturating_sub(count(self.slots.values()));
        (filled + forgotten, wanted)
    }

    /// Tasks of a job that completed, or are at it, and those that should.
    pub fn of_a_job(&self) -> (u64, u64) {
        let (done, wanted) = self.service.completed.unwrap_or((0, 1));
        let at_it = self.slots.values().filter(|tasks| !tasks[0].is_over() && tasks[0].error.is_empty());
        let at_it = count(at_it.filter(|tasks| !tasks.iter().any(|task| task.has_failed())));
        ((done + at_it).min(wanted.max(done)), wanted)
    }

    /// The task that tells best why a slot is not filled: the last one with an error, or what is under way.
    pub fn blamed(&self) -> Option<&'a Line> {
        let told = |tasks: &Vec<&'a Line>| tasks.iter().find(|task| !task.error.is_empty()).copied();
        let failed = |tasks: &Vec<&'a Line>| tasks.iter().find(|task| self.has_ended(task)).copied();
        let youngest = |lines: &mut dyn Iterator<Item = &'a Line>| {
            lines.min_by_key(|line| line.age.unwrap_or(Duration::MAX))
        };
        youngest(&mut self.unfilled().filter_map(told))
            .or_else(|| youngest(&mut self.unfilled().filter_map(failed)))
            .or_else(|| self.unfilled().map(|tasks| tasks[0]).find(|task| !task.is_over()))
    }

    /// Whether it ended as a task of this service is not to.
    fn has_ended(&self, task: &Line) -> bool {
        task.has_failed() || (task.state == TaskState::Complete && self.service.restart == Restart::Any)
    }

    /// What the history tells since the stack converged. What failed before that, an older version perhaps, was
    /// judged by whoever waited for the deploy.
    pub fn restarts(&self, converged: Option<Duration>) -> Restarts<'a> {
        let mut restarts = Restarts { count: 0, last: None, shaken: None };
        let after = |line: &Line, slack: Duration| {
            converged.is_none_or(|converged| line.age.is_none_or(|age| age + slack < converged))
        };
        let steady = self.service.monitor.max(STEADY);
        for tasks in self.slots.values() {
            for pair in tasks.windows(2) {
                let (task, before) = (pair[0], pair[1]);
                if !self.has_ended(before) || !after(before, Duration::ZERO) {
                    continue;
                }
                restarts.count += 1;
                restarts.last = [restarts.last, before.age].into_iter().flatten().min();
                let young = task.age.is_none_or(|age| age < steady);
                if task.runs() && young && after(task, SLACK) && restarts.shaken.is_none() {
                    restarts.shaken = Some(before);
                }
            }
        }
        restarts
    }
}

fn count(slots: impl Iterator) -> u64 {
    u64::try_from(slots.count()).unwrap_or(u64::MAX)
}
