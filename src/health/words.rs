//! How health is told to people.

use std::time::Duration;

use super::Look;
use crate::docker::lines::Line;
use crate::docker::service::{Mode, Restart, Service};

/// What is known of why a service is not well.
#[derive(Default)]
pub struct Cause<'a> {
    /// The task that tells best.
    pub blamed: Option<&'a Line>,
    /// Where nodes have their names from.
    pub look: Option<&'a Look>,
    /// How often a task was replaced because it had failed.
    pub count: u64,
    /// How long ago that was the last time.
    pub last: Option<Duration>,
}

impl Cause<'_> {
    fn node(&self) -> Option<&str> {
        let blamed = self.blamed.filter(|blamed| !blamed.node.is_empty())?;
        Some(self.look.and_then(|look| look.node(&blamed.node)).map_or(&*blamed.node, |node| &*node.name))
    }

    /// What went wrong, in docker's words as far as there are any.
    fn what(&self) -> Option<String> {
        let blamed = self.blamed?;
        Some(match (&*blamed.error, blamed.state.as_str()) {
            ("", "complete") => "a task ended by itself".to_owned(),
            ("", state) if blamed.has_failed() => format!("a task is {state}"),
            ("", state) => format!("a task is still {state}"),
            (error, _) => error.to_owned(),
        })
    }

    /// The task's own error with its node.
    pub fn complaint(&self) -> Option<String> {
        let error = &self.blamed.filter(|blamed| !blamed.error.is_empty())?.error;
        Some(self.node().map_or_else(|| error.clone(), |node| format!("{error} (on `{node}`)")))
    }

    /// Which task, which node, how often, in parentheses.
    fn details(&self, service: &Service) -> String {
        let mut parts = Vec::new();
        let slot = self.blamed.map(|blamed| &*blamed.slot).filter(|slot| slot.parse::<u64>().is_ok());
        match (slot, self.node()) {
            (Some(slot), Some(node)) => parts.push(format!("`{}.{slot}` on `{node}`", service.name)),
            (Some(slot), None) => parts.push(format!("`{}.{slot}`", service.name)),
            (None, Some(node)) => parts.push(format!("on `{node}`")),
            (None, None) => {}
        }
        match self.count {
            0 => {}
            1 => parts.push("restarted once".to_owned()),
            count => parts.push(format!("restarted {count} times")),
        }
        if let Some(last) = self.last {
            let last = ago(last);
            parts.push(if self.count > 1 { format!("last {last}") } else { last });
        }
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
    }
}

/// Of a service with fewer tasks than Git wants.
pub fn short(service: &Service, running: u64, wanted: u64, cause: &Cause<'_>) -> String {
    let verb = verb(service);
    let scaled = service.mode == Mode::Replicated && service.wanted < wanted;
    let what = match cause.what() {
        Some(what) => format!(": {what}"),
        None if scaled => format!(": scaled by hand to {}", service.wanted),
        None if cause.look.is_some() => ": it has no task for the rest".to_owned(),
        None => String::new(),
    };
    format!("`{}` {verb} {running} of {wanted}{what}{}", service.name, cause.details(service))
}

/// Of a service whose tasks run and do not keep.
pub fn unsteady(service: &Service, running: u64, wanted: u64, cause: &Cause<'_>) -> String {
    let what = cause.what().unwrap_or_default();
    let verb = verb(service);
    let running = running.min(wanted);
    format!(
        "`{}` {verb} {running} of {wanted}, but not steadily: {what}{}",
        service.name,
        cause.details(service)
    )
}

/// Of a service whose update Swarm stopped in the middle.
pub fn paused(service: &Service, running: u64, wanted: u64) -> String {
    let name = &service.name;
    format!(
        "`{name}` runs {running} of {wanted}, but its update is paused: tasks may run another version than it asks for"
    )
}

/// Of a service that is gone.
pub fn removed(name: &str, wanted: u64) -> String {
    format!("`{name}` runs 0 of {wanted}: it was removed")
}

fn verb(service: &Service) -> &'static str {
    if service.mode == Mode::Job || service.restart == Restart::Never { "completed" } else { "runs" }
}

/// `12 seconds ago`, as people say it.
pub fn ago(age: Duration) -> String {
    let (minute, hour, day) = (60, 3600, 86_400);
    let words = |count: u64, unit: &str| match count {
        1 => format!("1 {unit} ago"),
        count => format!("{count} {unit}s ago"),
    };
    match age.as_secs() {
        0 => "just now".to_owned(),
        seconds if seconds < minute => words(seconds, "second"),
        seconds if seconds < hour => words(seconds / minute, "minute"),
        seconds if seconds < 2 * day => words((seconds / hour).max(1), "hour"),
        seconds => words(seconds / day, "day"),
    }
}
