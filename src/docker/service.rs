//! A live service, put together from `service ls` (how many tasks run) and `service inspect` (the rest).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Included, Unbounded};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::command::NAMESPACE;
use super::edits::{Edits, edits};
use super::json::Json;
use super::spec::{self, Summary};
use super::state::{TaskState, UpdateState};
use super::task::Task;
use crate::stack::StackName;

/// One line of `service ls`.
#[derive(Debug, Deserialize)]
pub struct Listed {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Replicas")]
    replicas: String,
}

/// A service of a stack, as Swarm has it.
#[derive(Debug, Clone)]
pub struct Service {
    pub id: String,
    /// Its full name, `web_app`.
    pub name: String,
    /// The stack that its label names.
    pub stack: StackName,
    pub labels: BTreeMap<String, String>,
    pub running: u64,
    pub wanted: u64,
    /// For a job: tasks that completed, and that should.
    pub completed: Option<(u64, u64)>,
    /// How it is spread.
    pub mode: Mode,
    /// When it counts as one that ends by itself.
    pub restart: Restart,
    /// How long Swarm watches a new task (`update_config.monitor`).
    pub monitor: Duration,
    /// How long an update of it waits between its tasks, all in all (`update_config.delay`).
    pub delays: Duration,
    /// The last rolling update's state, if there was one.
    pub update: Option<Update>,
    /// Whether it was ever updated.
    pub has_previous: bool,
    /// How many tasks its spec asks for; `None` of one that is not replicated.
    pub replicas: Option<u64>,
    /// How often its spec asks a job to complete; `None` of one that runs on all nodes.
    pub completions: Option<u64>,
    /// For a job: which run of it this is.
    pub iteration: u64,
    /// The ports that its tasks take on their nodes.
    pub host_ports: Vec<u64>,
    /// The image as Swarm has it: `app:1@sha256:…`, without a digest where Swarm could not ask for it.
    pub image: String,
    /// How often Swarm starts a task of it again; 0 where that has no bound.
    pub max_attempts: u64,
    /// What tasks are made from.
    pub template: Json,
    /// The image that `docker service rollback` would go back to, as Swarm has it.
    pub previous_image: Option<String>,
    /// The spec, summed up.
    pub summary: Summary,
    /// What its last update changed.
    pub edits: Edits,
}

/// How a service is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// So many tasks.
    Replicated,
    /// One on every node that fits.
    Global,
    /// A job: tasks that run to completion.
    Job,
}

/// `restart_policy.condition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// A task that ends is started again.
    Any,
    /// A task that fails is started again, one that completes is done.
    OnFailure,
    /// A task runs once.
    Never,
}

/// `UpdateStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Update {
    #[serde(rename = "State", default)]
    pub state: UpdateState,
    /// Swarm's reason.
    #[serde(rename = "Message", default)]
    pub message: String,
    /// When it began, by the managers' clock.
    #[serde(rename = "StartedAt", default)]
    pub started: String,
}

impl Update {
    /// Whether a task was there before it; not where either time cannot be read.
    pub fn began_after(&self, task: &Task) -> bool {
        let time = |text: &str| text.parse::<DateTime<Utc>>().ok();
        time(&task.created).zip(time(&self.started)).is_some_and(|(created, started)| created < started)
    }
}

impl Service {
    /// Counts what `service ls` would have told. Of a global service only tasks know how many there should be.
    pub fn count(&mut self, tasks: &[Task]) {
        let own = || tasks.iter().filter(|task| task.service == self.id);
        let running = own()
            .filter(|task| task.state == TaskState::Running && task.desired == TaskState::Running)
            .count() as u64;
        let slots = || own().filter(|task| !task.is_over()).map(|task| &task.slot).collect::<BTreeSet<_>>();
        if self.mode == Mode::Job {
            let this_run = || own().filter(|task| task.iteration == self.iteration);
            let done = this_run().filter(|task| task.state == TaskState::Complete).count() as u64;
            let wanted = self.completions.unwrap_or_else(|| {
                this_run().map(|task| &task.slot).collect::<BTreeSet<_>>().len().max(1) as u64
            });
            self.completed = Some((done, wanted));
        }
        self.wanted = self.replicas.unwrap_or_else(|| slots().len() as u64);
        self.running = running;
    }

    /// What a hand made of it since its spec was summed up as `applied`, in words.
    pub fn differences_from(&self, applied: &Summary) -> Vec<String> {
        spec::differences(applied, &self.summary, &self.edits)
    }

    /// Whether Swarm is at an update.
    pub fn is_updating(&self) -> bool {
        self.update.as_ref().is_some_and(|update| update.state == UpdateState::Updating)
    }

    /// Whether Swarm stopped in the middle of an update.
    pub fn is_paused(&self) -> bool {
        self.update.as_ref().is_some_and(|update| update.state == UpdateState::Paused)
    }

    /// Whether the last that came of it is that Swarm went back from an update, or is about to.
    pub fn goes_back(&self) -> bool {
        self.update.as_ref().is_some_and(|update| update.state.goes_back())
    }
}

/// How many tasks run of each service, by the id as `service ls` has it.
pub type Replicas = BTreeMap<String, String>;

pub fn by_id(listed: Vec<Listed>) -> Replicas {
    listed.into_iter().map(|line| (line.id, line.replicas)).collect()
}

/// One of `service inspect`, joined with what was listed.
pub fn of(value: &Value, listed: &Replicas) -> Result<Service> {
    let id = value["ID"].as_str().context("a service without an id")?;
    // `service ls` shortens ids to 12 letters.
    let listed = listed.range::<str, _>((Unbounded, Included(id))).next_back();
    let replicas = listed.filter(|(short, _)| id.starts_with(short.as_str())).map(|(_, text)| &**text);
    service(value, replicas.unwrap_or_default()).with_context(|| format!("service `{id}`"))
}

/// Joins both readings.
#[cfg(test)]
pub fn read(listed: Vec<Listed>, inspected: Vec<Value>) -> Result<Vec<Service>> {
    let listed = by_id(listed);
    inspected.into_iter().map(|value| of(&value, &listed)).collect()
}

fn service(value: &Value, replicas: &str) -> Result<Service> {
    let spec = &value["Spec"];
    let labels: BTreeMap<String, String> = serde_json::from_value(spec["Labels"].clone()).unwrap_or_default();
    let (running, wanted, completed) = counts(replicas);
    let mode = &spec["Mode"];
    let nanoseconds =
        spec["UpdateConfig"]["Monitor"].as_u64().filter(|monitor| *monitor > 0).unwrap_or(5_000_000_000);
    Ok(Service {
        id: value["ID"].as_str().unwrap_or_default().to_owned(),
        name: spec["Name"].as_str().context("no name")?.to_owned(),
        stack: StackName::known(labels.get(NAMESPACE).map(String::as_str).unwrap_or_default()),
        labels,
        running,
        wanted,
        completed,
        mode: if !mode["ReplicatedJob"].is_null() || !mode["GlobalJob"].is_null() {
            Mode::Job
        } else if mode["Global"].is_null() {
            Mode::Replicated
        } else {
            Mode::Global
        },
        restart: match spec["TaskTemplate"]["RestartPolicy"]["Condition"].as_str() {
            Some("none") => Restart::Never,
            Some("on-failure") => Restart::OnFailure,
            _ => Restart::Any,
        },
        monitor: Duration::from_nanos(nanoseconds),
        delays: delays(&spec["UpdateConfig"], mode["Replicated"]["Replicas"].as_u64().unwrap_or(wanted)),
        update: serde_json::from_value(value["UpdateStatus"].clone())
            .ok()
            .filter(|update: &Update| !update.state.as_str().is_empty()),
        has_previous: !value["PreviousSpec"].is_null(),
        replicas: mode["Replicated"]["Replicas"].as_u64(),
        completions: mode["ReplicatedJob"]["TotalCompletions"].as_u64(),
        iteration: value["JobStatus"]["JobIteration"]["Index"].as_u64().unwrap_or_default(),
        host_ports: host_ports(&spec["EndpointSpec"]["Ports"]),
        image: spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default().to_owned(),
        max_attempts: spec["TaskTemplate"]["RestartPolicy"]["MaxAttempts"].as_u64().unwrap_or_default(),
        template: Json::of(&spec["TaskTemplate"]),
        previous_image: value["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"]
            .as_str()
            .map(str::to_owned),
        summary: spec::summarise(spec),
        edits: edits(&value["PreviousSpec"], spec),
    })
}

/// Swarm pauses behind each round of tasks, the last one too.
fn delays(update: &Value, tasks: u64) -> Duration {
    let at_once = update["Parallelism"].as_u64().unwrap_or(1);
    let rounds = if at_once == 0 { 1 } else { tasks.div_ceil(at_once) };
    let delay = Duration::from_nanos(update["Delay"].as_u64().unwrap_or_default());
    delay.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
}

fn host_ports(ports: &Value) -> Vec<u64> {
    let ports = ports.as_array().into_iter().flatten();
    let of_hosts = ports.filter(|port| port["PublishMode"] == "host");
    of_hosts.filter_map(|port| port["PublishedPort"].as_u64()).collect()
}

/// `2/3`, `1/1 (max 1 per node)`, `0/1 (1/1 completed)`.
fn counts(text: &str) -> (u64, u64, Option<(u64, u64)>) {
    let pair = |text: &str| {
        let (one, other) = text.split_once('/')?;
        Some((one.trim().parse().ok()?, other.trim().parse().ok()?))
    };
    let mut parts = text.splitn(2, '(');
    let (running, wanted) = parts.next().and_then(pair).unwrap_or_default();
    let completed = parts.next().and_then(|rest| pair(rest.strip_suffix("completed)")?));
    (running, wanted, completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_all_stacks_does_not_go_through_all_services_for_each() {
        let names: Vec<_> = (0..20_000).map(|number| format!("{number:012}and-more")).collect();
        let listed = |id: &String| Listed { id: id[..12].to_owned(), replicas: "1/1".into() };
        let value =
            |id: &String| serde_json::json!({"ID": id, "Spec": {"Name": id, "Labels": {NAMESPACE: id}}});
        let (listed, inspected) = (names.iter().map(listed).collect(), names.iter().map(value).collect());
        let swarm = crate::docker::Swarm::of(read(listed, inspected).unwrap());
        assert!(swarm.services.iter().all(|service| service.running == 1));
        let stacks: Vec<_> = names.iter().map(StackName::known).collect();
        let begun = std::time::Instant::now();
        assert!(stacks.iter().all(|stack| swarm.of_stack(stack).count() == 1));
        // One by one it takes seconds.
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }

    #[test]
    fn replicas_are_read_in_every_form() {
        assert_eq!(counts("2/3"), (2, 3, None));
        assert_eq!(counts("1/1 (max 1 per node)"), (1, 1, None));
        assert_eq!(counts("0/1 (1/1 completed)"), (0, 1, Some((1, 1))));
        assert_eq!(counts(""), (0, 0, None));
    }
}
