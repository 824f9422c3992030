//! A service of the simulated Swarm: its tasks, its rolling update, what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::clock::Millis;
use super::spec::{Behaviour, OnFailure, Spec, image};
use super::swarm::Nodes;
use super::task::{SimTask, node_of};
use crate::compose::{FINGERPRINT, REPOSITORY};
use crate::docker::command::NAMESPACE;
use crate::docker::json::Json;
use crate::docker::service::{Mode, Restart, Service, Update};
use crate::docker::spec::{IMAGE_LABEL, environment};
use crate::stack::StackName;

/// So long Swarm watches a new task.
const MONITOR: Millis = 5_000;
/// So long a task that died is remembered once another one runs, and a second that docker leaves out.
const STEADY: Millis = 61_000;
/// So many tasks of one place are kept.
const HISTORY: usize = 4;

/// Service labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// The source; empty of what a hand made.
    pub owner: String,
    pub fingerprint: String,
    pub commit: String,
    /// The author's image, as docker notes it.
    pub image: Option<u16>,
}

/// A live service.
#[derive(Debug, Clone)]
pub struct Live {
    pub id: String,
    pub name: String,
    pub stack: &'static str,
    pub spec: Spec,
    pub labels: Labels,
    previous: Option<(Spec, Labels)>,
    update: Option<&'static str>,
    pub updated: Millis,
    value: Rc<Json>,
    /// Its environment, as a summary has it.
    environment: String,
    pub tasks: Vec<SimTask>,
    pub made: Millis,
}

fn template(spec: &Spec) -> Rc<Json> {
    let container = json!({"Image": spec.image(), "Env": [variable(spec)]});
    Rc::new(Json::of(&json!({ "ContainerSpec": container })))
}

fn variable(spec: &Spec) -> String {
    format!("V={}", spec.env)
}

fn hashed(spec: &Spec) -> String {
    environment(&BTreeSet::from([variable(spec)])).unwrap()
}

impl Live {
    pub fn new(id: u64, name: String, stack: &'static str, spec: Spec, labels: Labels, now: Millis) -> Self {
        Self {
            id: format!("s{id}"),
            name,
            stack,
            value: template(&spec),
            environment: hashed(&spec),
            spec,
            labels,
            previous: None,
            update: None,
            updated: now,
            tasks: Vec::new(),
            made: now,
        }
    }

    /// `service update`.
    pub fn change(&mut self, spec: Spec, labels: Labels, now: Millis) {
        let before = (std::mem::replace(&mut self.spec, spec), std::mem::replace(&mut self.labels, labels));
        self.previous = Some(before);
        (self.update, self.updated) = (None, now);
        self.show();
    }

    fn show(&mut self) {
        (self.value, self.environment) = (template(&self.spec), hashed(&self.spec));
    }

    fn newest(&self, slot: u64) -> Option<usize> {
        self.tasks.iter().position(|task| task.slot == slot && task.is_current())
    }

    fn last(&self, slot: u64) -> Option<&SimTask> {
        self.tasks.iter().find(|task| task.slot == slot)
    }

    fn is_new(&self, task: &SimTask) -> bool {
        task.template == self.spec.template()
    }

    /// The places that its tasks are to fill.
    fn slots(&self, nodes: &Nodes) -> impl Iterator<Item = u64> + use<> {
        let (is_global, up) = (self.spec.is_global, nodes.up);
        let most = if is_global { up.len() as u64 } else { self.spec.replicas };
        (1..=most).filter(move |slot| !is_global || up[node_of(*slot)])
    }

    /// Whether all its tasks run, or did their work, as the spec has it.
    pub fn is_well(&self, nodes: &Nodes) -> bool {
        self.slots(nodes).all(|slot| {
            let mut all = self.tasks.iter().filter(|task| task.slot == slot);
            if self.spec.behaviour == Behaviour::Once {
                return all.next().is_some_and(|task| task.state == "complete" && self.is_new(task));
            }
            all.any(|task| task.runs() && self.is_new(task) && task.node.is_some_and(|node| nodes.up[node]))
        })
    }

    /// Whether so many tasks run, of whatever version, or did their work; a hand may want another number of them. Of a
    /// global service, one on each node that takes tasks.
    pub fn fills(&self, wanted: Option<u64>, nodes: &Nodes) -> bool {
        let is_up = |task: &&SimTask| task.node.is_some_and(|node| nodes.up[node]);
        let run = self.tasks.iter().filter(|task| task.runs()).filter(is_up).map(|task| task.slot);
        let all: BTreeSet<_> = self.tasks.iter().map(|task| task.slot).collect();
        let did_its_work = |slot: &u64| self.last(*slot).is_some_and(SimTask::did_its_work);
        let filled: BTreeSet<_> = run.chain(all.into_iter().filter(did_its_work)).collect();
        match wanted {
            Some(wanted) => filled.len() as u64 >= wanted,
            None => self.slots(nodes).all(|slot| filled.contains(&slot)),
        }
    }

    /// Whether a task of it died after `since`, and it or one that took its place came up within a minute, or so long ago
    /// as docker tells whole seconds. Where Swarm stopped an update, one need not be younger than that.
    pub fn lost_one(&self, since: Millis, now: Millis) -> bool {
        let mut died = self.tasks.iter().filter(|task| task.died()).map(|task| task.since);
        let runs = self.tasks.iter().filter(|task| task.runs()).map(|task| task.since);
        let last = runs.max().into_iter().chain(died.clone()).max().unwrap_or_default();
        self.update == Some("paused") || (died.any(|at| at >= since) && now - last <= STEADY)
    }

    /// All that happens until `now`.
    pub fn pass(&mut self, now: Millis, nodes: &mut Nodes, ids: &mut u64) {
        loop {
            let dues = self.tasks.iter().filter_map(|task| task.due);
            let Some(due) = dues.chain(self.completes(nodes)).min().filter(|due| *due <= now) else { break };
            for task in self.tasks.iter_mut().filter(|task| task.due.is_some_and(|at| at <= due)) {
                task.step(due);
            }
            self.orchestrate(due, nodes, ids);
        }
        self.orchestrate(now, nodes, ids);
    }

    fn orchestrate(&mut self, now: Millis, nodes: &mut Nodes, ids: &mut u64) {
        for task in &mut self.tasks {
            if task.is_current() && task.node.or(task.own_node()).is_some_and(|node| !nodes.up[node]) {
                // It goes on there, for all that Swarm knows.
                (task.desired, task.due) = ("shutdown", None);
            }
        }
        let most = self.spec.replicas;
        self.tasks.retain(|task| task.slot <= most || task.own_node().is_some());
        for slot in self.slots(nodes) {
            if self.newest(slot).is_none() {
                let last = self.last(slot);
                // An update alone brings another one.
                if !last.is_some_and(SimTask::is_last) {
                    let follows = last.is_some_and(SimTask::ended);
                    self.start(slot, now, follows, ids);
                }
            }
        }
        self.roll(now, nodes, ids);
        for task in &mut self.tasks {
            if task.is_current() {
                task.place(nodes, now);
            }
        }
    }

    fn start(&mut self, slot: u64, now: Millis, follows: bool, ids: &mut u64) {
        *ids += 1;
        self.tasks.insert(0, SimTask::new(*ids, slot, &self.spec, &self.value, now, follows));
        let mut left = HISTORY;
        self.tasks.retain(|task| {
            let of_it = task.slot == slot;
            left -= usize::from(of_it && left > 0);
            !of_it || left > 0
        });
    }

    fn is_rolling(&self) -> bool {
        matches!(self.update, Some("updating" | "rollback_started"))
    }

    /// The place whose task is still to be replaced.
    fn dirty(&self, nodes: &Nodes) -> Option<u64> {
        let is_last = |slot| self.last(slot).filter(|task| task.is_last());
        let newest = |slot| self.newest(slot).map(|at| &self.tasks[at]).or_else(|| is_last(slot));
        self.slots(nodes).find(|slot| newest(*slot).is_some_and(|task| !self.is_new(task)))
    }

    fn is_to_roll(&self, nodes: &Nodes) -> bool {
        self.update.is_none() && self.previous.is_some() && self.dirty(nodes).is_some()
    }

    /// When an update begins; or when the one that goes on is over, if nothing fails.
    fn completes(&self, nodes: &Nodes) -> Option<Millis> {
        if self.is_to_roll(nodes) {
            return Some(self.updated + 1);
        }
        if !self.is_rolling() || self.dirty(nodes).is_some() || self.waits() {
            return None;
        }
        let since = self.tasks.iter().filter(|task| task.runs()).map(|task| task.since).max();
        Some(since.unwrap_or(self.updated).max(self.updated) + MONITOR)
    }

    /// Whether a new task has not come up so far.
    fn waits(&self) -> bool {
        self.tasks.iter().any(|task| {
            let again = self.spec.on_failure == OnFailure::Continue && task.state == "ready";
            task.is_current() && self.is_new(task) && !task.runs() && !again
        })
    }

    fn roll(&mut self, now: Millis, nodes: &Nodes, ids: &mut u64) {
        if self.is_to_roll(nodes) && now > self.updated {
            (self.update, self.updated) = (Some("updating"), now);
        }
        if !self.is_rolling() {
            return;
        }
        let failed =
            self.tasks.iter().any(|task| self.is_new(task) && task.made >= self.updated && task.ended());
        if failed && self.update == Some("rollback_started") {
            self.update = Some("rollback_paused");
            return;
        }
        if failed && self.spec.on_failure == OnFailure::Pause {
            self.update = Some("paused");
            return;
        }
        if failed && self.spec.on_failure == OnFailure::Rollback {
            if let Some((spec, labels)) = self.previous.take() {
                let before = (self.spec, self.labels.clone());
                (self.spec, self.labels, self.previous) = (spec, labels, Some(before));
                self.show();
            }
            (self.update, self.updated) = (Some("rollback_started"), now);
        }
        if self.waits() {
            return;
        }
        if let Some(slot) = self.dirty(nodes) {
            if let Some(at) = self.newest(slot) {
                self.tasks[at].give_up(now);
            }
            self.start(slot, now, false, ids);
        } else if self.completes(nodes).is_some_and(|when| when <= now) {
            let goes_back = self.update == Some("rollback_started");
            self.update = Some(if goes_back { "rollback_completed" } else { "completed" });
        }
    }

    /// As docker shows it.
    pub fn shown(&self) -> Service {
        let Labels { owner, fingerprint, commit, image: noted } = &self.labels;
        let noted = noted.map(image);
        let mut labels = BTreeMap::from([(NAMESPACE.to_owned(), self.stack.to_owned())]);
        if let Some(noted) = &noted {
            labels.insert(IMAGE_LABEL.to_owned(), noted.clone());
        }
        if !owner.is_empty() {
            labels.insert(REPOSITORY.to_owned(), owner.clone());
            labels.insert(FINGERPRINT.to_owned(), fingerprint.clone());
        }
        let summary = [
            ("image", image(self.spec.image)),
            ("environment", self.environment.clone()),
            ("service labels", format!("{owner} {fingerprint} {commit} {noted:?}")),
        ];
        let replicas = (!self.spec.is_global).then_some(self.spec.replicas);
        let replicas_text = replicas.map(|replicas| ("replicas", replicas.to_string()));
        let places = || self.tasks.iter().filter(|task| task.is_current()).map(|task| task.slot);
        let wanted = replicas.unwrap_or_else(|| places().collect::<BTreeSet<_>>().len() as u64);
        let update = |state: &str| Update {
            state: state.into(),
            message: "as it is".to_owned(),
            started: String::new(),
        };
        Service {
            id: self.id.clone(),
            name: self.name.clone(),
            stack: StackName::known(self.stack),
            labels,
            running: self.tasks.iter().filter(|task| task.state == "running").count() as u64,
            wanted,
            completed: None,
            mode: if self.spec.is_global { Mode::Global } else { Mode::Replicated },
            restart: if self.spec.behaviour == Behaviour::Once { Restart::Never } else { Restart::Any },
            monitor: Duration::from_millis(MONITOR),
            delays: Duration::ZERO,
            update: self.update.map(update),
            has_previous: self.previous.is_some(),
            replicas,
            completions: None,
            iteration: 0,
            host_ports: Vec::new(),
            image: self.spec.image(),
            max_attempts: 0,
            template: (*self.value).clone(),
            previous_image: self.previous.as_ref().map(|(spec, _)| spec.image()),
            summary: summary
                .into_iter()
                .chain(replicas_text)
                .map(|(part, text)| (part.to_owned(), text))
                .collect(),
            edits: std::collections::BTreeMap::new(),
        }
    }
}
