//! What is told of stacks while they are waited for, and what their tasks said themselves.

use super::{Key, Reconciler, Session};
use crate::convergence::{culprit, early};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::docker::task::Task;

/// So many services of a stack are asked for their last words.
const ASKED: usize = 3;
/// So many lines are told of a task.
const LINES: usize = 10;

impl Reconciler {
    /// Tells what nobody should wait for the deadline to learn.
    pub fn tell_early(&mut self, session: &Session<'_>, key: &Key, swarm: &Swarm, tasks: &[Task]) {
        let now = session.door.now().instant;
        let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { return };
        let Some(watches) = self.memory.watches.get_mut(key) else { return };
        for service in swarm.of_stack(&key.stack) {
            let Some(watch) = watches.get_mut(&service.name) else { continue };
            if let Some(early) = early(service, &of(service, tasks), watch, now) {
                let words = early.of.map(|task| session.door.last_words(&service.name, task, LINES));
                let text = format!("`{}`: {}{}", service.name, early.what, words.unwrap_or_default());
                session.report.note(source.subject(&key.stack), &text);
            }
        }
    }
}

/// An error, and below it the last words of the tasks that made it one.
pub fn with_last_words(session: &Session<'_>, why: &str, key: &Key, swarm: &Swarm, tasks: &[Task]) -> String {
    let mut text = why.to_owned();
    // Those that it names.
    let services = swarm.of_stack(&key.stack).filter(|service| why.contains(&format!("`{}`", service.name)));
    let culprits = services.filter_map(|service| Some((service, culprit(service, &of(service, tasks))?)));
    for (service, task) in culprits.take(ASKED) {
        text += &session.door.last_words(&service.name, task, LINES);
    }
    text
}

/// The tasks of a service.
pub fn of<'a>(service: &Service, tasks: &'a [Task]) -> Vec<&'a Task> {
    tasks.iter().filter(|task| task.service == service.id).collect()
}
