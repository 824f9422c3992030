//! Tasks of the simulated Swarm, as time makes them.

use std::rc::Rc;
use std::time::Duration;

use super::clock::{Millis, wall};
use super::spec::{Behaviour, Spec, Template};
use super::swarm::Nodes;
use crate::docker::json::Json;
use crate::docker::lines::Line;
use crate::docker::task::Task;

/// So long Swarm waits before it starts a task again.
const RESTART: Millis = 5_000;

#[derive(Debug, Clone)]
pub struct SimTask {
    pub id: u64,
    pub slot: u64,
    pub template: Template,
    /// Whether its node has no image to run.
    lacks: bool,
    behaviour: Behaviour,
    is_global: bool,
    spec: Rc<Json>,
    pub state: &'static str,
    pub desired: &'static str,
    pub error: &'static str,
    pub since: Millis,
    pub due: Option<Millis>,
    pub node: Option<usize>,
    pub made: Millis,
}

impl SimTask {
    /// A new one, which may start once a node is found; later where it follows one that failed.
    pub fn new(id: u64, slot: u64, spec: &Spec, value: &Rc<Json>, now: Millis, follows: bool) -> Self {
        Self {
            id,
            slot,
            template: spec.template(),
            lacks: false,
            behaviour: spec.behaviour,
            is_global: spec.is_global,
            spec: Rc::clone(value),
            state: if follows { "ready" } else { "new" },
            desired: if follows { "ready" } else { "running" },
            error: "",
            since: now,
            due: follows.then_some(now + RESTART),
            node: None,
            made: now,
        }
    }

    /// Whether Swarm has not given it up.
    pub fn is_current(&self) -> bool {
        self.desired != "shutdown"
    }

    /// Whether it runs, and Swarm wants it to.
    pub fn runs(&self) -> bool {
        self.state == "running" && self.desired == "running"
    }

    /// Whether it was to end, and ended well.
    pub fn did_its_work(&self) -> bool {
        self.behaviour == Behaviour::Once && self.state == "complete"
    }

    /// Whether it never came up for want of an image.
    pub fn lacked_its_image(&self) -> bool {
        self.lacks && self.state == "rejected"
    }

    /// The image that it runs on this node.
    pub fn image_on(&self, node: usize) -> Option<(u16, u16)> {
        (self.node == Some(node) && self.state == "running").then_some((self.template.0, self.template.1))
    }

    /// Whether it ended before it had done its work.
    pub fn died(&self) -> bool {
        self.ended() && !self.did_its_work()
    }

    /// Whether none is to follow it.
    pub fn is_last(&self) -> bool {
        self.behaviour == Behaviour::Once && self.ended()
    }

    /// The node of its place, of a global service.
    pub fn own_node(&self) -> Option<usize> {
        self.is_global.then(|| node_of(self.slot))
    }

    /// Its place as Swarm calls it.
    fn place_name(&self) -> String {
        self.own_node().map_or_else(|| self.slot.to_string(), |node| format!("node{node}"))
    }

    /// Whether it ended badly, or at all before it should.
    pub fn ended(&self) -> bool {
        matches!(self.state, "failed" | "rejected" | "complete")
    }

    fn becomes(&mut self, state: &'static str, now: Millis, due: Option<Millis>) {
        (self.state, self.since, self.due) = (state, now, due);
    }

    /// Swarm gives it up.
    pub fn give_up(&mut self, now: Millis) {
        self.desired = "shutdown";
        if !self.ended() {
            self.becomes("shutdown", now, None);
        }
    }

    /// It dies.
    pub fn fail(&mut self, state: &'static str, error: &'static str, now: Millis) {
        (self.desired, self.error) = ("shutdown", error);
        self.becomes(state, now, None);
    }

    /// A node takes it, if one is up.
    pub fn place(&mut self, nodes: &mut Nodes, now: Millis) {
        if !matches!(self.state, "new" | "pending") {
            return;
        }
        let fits = |at: &usize| nodes.up[*at] && self.own_node().is_none_or(|own| own == *at);
        let up: Vec<_> = (0..nodes.up.len()).filter(fits).collect();
        if up.is_empty() {
            self.error = "no suitable node (3 nodes not available for new tasks)";
            self.becomes("pending", now, None);
            return;
        }
        let slot = usize::try_from(self.slot).unwrap();
        let node = up[slot % up.len()];
        (self.node, self.error) = (Some(node), "");
        let (tag, content, _) = self.template;
        match nodes.registry.fetch(node, tag, content) {
            None => self.lacks = true,
            Some(content) if nodes.registry.is_bad(tag, content) => self.behaviour = Behaviour::Crash,
            Some(_) => {}
        }
        let takes = match self.behaviour {
            Behaviour::Slow => 9_000,
            Behaviour::Reject => 500,
            _ => 700 + 400 * self.slot,
        };
        self.becomes("preparing", now, Some(now + takes));
    }

    /// What time brings.
    pub fn step(&mut self, now: Millis) {
        match (self.state, self.behaviour) {
            ("ready", _) => {
                self.desired = "running";
                self.becomes("new", now, None);
            }
            ("preparing", _) if self.lacks => self.fail("rejected", "No such image: app", now),
            ("preparing", Behaviour::Reject) => self.fail("rejected", "No such image: app", now),
            ("preparing", Behaviour::Never) => self.becomes("starting", now, None),
            ("preparing", Behaviour::Crash) => self.becomes("running", now, Some(now + 1_500)),
            ("preparing", Behaviour::Once) => {
                // Some take longer than Swarm watches a new task.
                let takes = if self.template.2.is_multiple_of(3) { 9_000 } else { 2_000 };
                self.becomes("running", now, Some(now + takes));
            }
            ("preparing", _) => self.becomes("running", now, None),
            ("running", Behaviour::Crash) => self.fail("failed", "task: non-zero exit (1)", now),
            ("running", Behaviour::Once) => self.fail("complete", "", now),
            _ => self.due = None,
        }
    }

    /// As `service ps` shows it.
    pub fn line(&self, service: &str, now: Millis) -> Line {
        Line {
            id: format!("t{}", self.id),
            service: service.to_owned(),
            slot: self.place_name(),
            node: self.node.map(|node| format!("node{node}")).unwrap_or_default(),
            desired: self.desired.into(),
            state: self.state.into(),
            age: Some(coarse((now - self.since) / 1000)),
            error: self.error.to_owned(),
        }
    }

    /// As docker shows it.
    pub fn shown(&self, service: &str) -> Task {
        Task {
            id: format!("t{}", self.id),
            service: service.to_owned(),
            slot: self.place_name(),
            node: self.node.map(|node| format!("node{node}")).unwrap_or_default(),
            state: self.state.into(),
            desired: self.desired.into(),
            error: self.error.to_owned(),
            since: Some(wall(self.since)),
            container: String::new(),
            created: format!("{:010}", self.id),
            iteration: 0,
            spec: (*self.spec).clone(),
        }
    }
}

/// Of a global service, the node of a place.
pub fn node_of(slot: u64) -> usize {
    usize::try_from(slot).unwrap() - 1
}

/// For so long, as far as docker's words and those who read them go: whole seconds, then whole minutes, then hours that
/// docker rounds.
fn coarse(seconds: u64) -> Duration {
    Duration::from_secs(match seconds {
        0..=59 => seconds,
        60..=3599 => seconds / 60 * 60,
        _ => (seconds + 1800) / 3600 * 3600 - 1800,
    })
}
