//! A live service and its tasks, as `status`, the page and the API tell them.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde::Serialize;

use super::harmless;
use crate::docker::lines::Line;
use crate::docker::service::Service;
use crate::docker::state::TaskState;
use crate::docker::task::Task;
use crate::health::{Look, ServiceVerdict};
use crate::image::ImageRef;
use crate::state::Motion;

/// Of a service so many tasks are told.
pub const MOST_TASKS: usize = 20;

#[derive(Debug, Serialize)]
pub struct LiveService {
    /// Its full name.
    pub name: String,
    pub image: String,
    /// Tasks that run, or that completed where they are to.
    pub running: u64,
    /// Those among them that completed.
    pub completed: u64,
    /// Tasks that should, as Git says.
    pub wanted: u64,
    /// How often a task was replaced because it had failed, as far as the task history tells.
    pub restarts: u64,
    /// About when that was the last time.
    pub last_restart: Option<String>,
    /// The error of its tasks that matters most, where it is not well.
    pub error: Option<String>,
}

impl LiveService {
    /// Tasks that run beyond those that should.
    pub fn surplus(&self) -> u64 {
        self.running.saturating_sub(self.wanted)
    }
}

pub fn live(service: &Service, verdict: &ServiceVerdict) -> LiveService {
    LiveService {
        name: service.name.clone(),
        image: service.summary.get("image").cloned().unwrap_or_default(),
        running: verdict.running,
        completed: verdict.completed,
        wanted: verdict.wanted,
        restarts: verdict.restarts,
        last_restart: verdict.last_restart.and_then(moment),
        error: verdict.error.as_deref().map(harmless),
    }
}

/// That long ago.
fn moment(age: Duration) -> Option<String> {
    let when = Utc::now().checked_sub_signed(chrono::Duration::from_std(age).ok()?)?;
    Some(when.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// One task, as it is told.
#[derive(Debug, Serialize)]
pub struct TaskView {
    pub id: String,
    /// The node it runs on; empty while it has none.
    pub node: String,
    pub state: TaskState,
    /// What Swarm wants it to be.
    pub desired: TaskState,
    /// What went wrong, in docker's words.
    pub error: Option<String>,
    /// Since when, RFC 3339; of a task that was only listed about that.
    pub since: Option<String>,
    /// Its slot: a number, or a node of a global service.
    #[serde(skip)]
    pub slot: String,
}

impl TaskView {
    pub fn of(task: &Task) -> Self {
        Self {
            id: task.id.clone(),
            node: task.node.clone(),
            state: task.state.clone(),
            desired: task.desired.clone(),
            error: told(&task.error),
            since: task.since.map(|since| since.to_rfc3339_opts(SecondsFormat::Secs, true)),
            slot: task.slot.clone(),
        }
    }

    /// As it was listed in a look, which knows the names of nodes.
    pub fn listed(line: &Line, look: &Look) -> Self {
        let since = line.age.and_then(|age| chrono::Duration::from_std(age).ok());
        let since = since.and_then(|age| look.taken().checked_sub_signed(age));
        Self {
            id: line.id.clone(),
            node: look.node(&line.node).map_or_else(|| line.node.clone(), |node| node.name.clone()),
            state: line.state.clone(),
            desired: line.desired.clone(),
            error: told(&line.error),
            since: since.map(|since| since.to_rfc3339_opts(SecondsFormat::Secs, true)),
            slot: line.slot.clone(),
        }
    }
}

fn told(error: &str) -> Option<String> {
    Some(harmless(error.trim())).filter(|error| !error.is_empty())
}

/// The image of a service, and the digest that Swarm pinned it to when it was deployed.
pub fn image_of(services: &[Service], service: &LiveService) -> (String, Option<String>) {
    let live = services.iter().find(|live| live.name == service.name);
    match live.map_or(&service.image, |live| &live.image).split_once('@') {
        Some((name, digest)) => (name.to_owned(), Some(digest.to_owned())),
        None => (service.image.clone(), None),
    }
}

/// Whether a deploy in motion gave a service the image that it has, where its tag moved: the fingerprint is as before.
pub fn is_given(motion: Option<&Motion>, live: &Service) -> bool {
    let Some(motion) = motion else { return false };
    let jobs = motion.given.as_ref().and_then(|given| given.jobs.as_ref());
    let rolled = motion.rolls.get(&live.name).or_else(|| jobs?.images.get(&live.name));
    rolled.is_some_and(|image| ImageRef::parse(image).ok() == ImageRef::parse(&live.image).ok())
}
