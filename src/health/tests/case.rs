//! A service, its tasks as docker tells them, and what was applied of it, to be bent.

use std::collections::BTreeMap;

use chrono::{Local, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::docker::Swarm;
use crate::docker::lines::{self, Node};
use crate::docker::service;
use crate::health::*;
use crate::stack::{DriftPolicy, StackName};
use crate::state::{AppliedService, Record, StackRow, StackStatus, State};

/// A service, its tasks, and what was applied.
pub struct Case {
    pub spec: Value,
    pub counts: &'static str,
    pub tasks: Vec<String>,
    pub applied: Option<&'static str>,
    pub converged: Option<i64>,
}

pub fn replicated(restart: &str, replicas: u64) -> Value {
    json!({"Name": "web_app", "Labels": {"com.docker.stack.namespace": "web"},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"RestartPolicy": {"Condition": restart}}})
}

pub fn global(restart: &str) -> Value {
    let mut spec = replicated(restart, 0);
    spec["Mode"] = json!({"Global": {}});
    spec
}

/// `slot node desired current [error]`
pub fn task(told: &str) -> String {
    let (told, error) = told.split_once(" ! ").unwrap_or((told, ""));
    let mut words = told.splitn(4, ' ');
    let mut next = || words.next().unwrap();
    let (slot, node, desired, current) = (next(), next(), next(), next());
    let node = if node == "-" { "" } else { node };
    json!({"ID": told, "Name": format!("s.{slot}"), "Node": node, "DesiredState": desired,
        "CurrentState": current, "Error": error})
    .to_string()
}

impl Case {
    /// Three replicas were applied, a day ago.
    pub fn new(spec: Value, tasks: &[&str]) -> Self {
        let tasks = tasks.iter().map(|told| task(told)).collect();
        Self { spec, counts: "0/0", tasks, applied: Some("3"), converged: Some(86_400) }
    }

    pub fn of(mut self, replicas: &'static str) -> Self {
        self.applied = Some(replicas);
        self
    }

    pub fn global(mut self) -> Self {
        self.applied = None;
        self
    }

    pub fn counting(mut self, counts: &'static str) -> Self {
        self.counts = counts;
        self
    }

    pub fn converged(mut self, seconds: i64) -> Self {
        self.converged = Some(seconds);
        self
    }

    pub fn row(&self, status: StackStatus) -> StackRow {
        let (state, name) = (State::in_memory(), StackName::known("web"));
        let spec = self.applied.map(|replicas| ("replicas".to_owned(), replicas.to_owned()));
        let image = Some(("image".to_owned(), "app:1".to_owned()));
        let service = AppliedService { image: None, spec: spec.into_iter().chain(image).collect() };
        let services = Some(BTreeMap::from([("web_app".to_owned(), service)]));
        let drift = DriftPolicy::Ignore;
        state.record(&Record { status, drift, services, ..Record::failed(&name, &"u".into()) }).unwrap();
        let mut row = state.stacks().unwrap().remove(0);
        let ago = |seconds| Local::now() - chrono::Duration::seconds(seconds);
        row.converged = self.converged.map(|at| ago(at).to_rfc3339_opts(SecondsFormat::Secs, false));
        row
    }

    pub fn swarm(&self) -> Swarm {
        let listed = serde_json::from_value(json!({"ID": "s", "Replicas": self.counts})).unwrap();
        let mut services = service::read(vec![listed], vec![json!({"ID": "s", "Spec": self.spec})]).unwrap();
        // As Swarm counts what a hand scaled.
        if let Some(replicas) = self.spec["Mode"]["Replicated"]["Replicas"].as_u64() {
            services[0].wanted = replicas;
        }
        Swarm::of(services)
    }

    pub fn look(&self) -> Look {
        let node = |name: &str, takes_tasks| (name.to_owned(), Node { name: name.to_owned(), takes_tasks });
        let nodes = BTreeMap::from([node("node1", true), node("node2", true), node("drained", false)]);
        Look::new(&["s"], lines::read(&self.tasks.join("\n")).unwrap(), nodes, Utc::now())
    }

    pub fn verdict(&self) -> Verdict {
        judge(&self.row(StackStatus::Deployed), &[], &self.swarm(), &self.look())
    }

    #[track_caller]
    pub fn is_healthy(&self, counts: (u64, u64)) {
        let verdict = self.verdict();
        assert_eq!((verdict.health, verdict.why(&BTreeMap::new())), (Health::Healthy, None));
        let service = &verdict.services["web_app"];
        assert_eq!((service.running, service.wanted), counts);
    }

    #[track_caller]
    pub fn says(&self, why: &str) {
        let verdict = self.verdict();
        assert_eq!((verdict.health, verdict.why(&BTreeMap::new()).as_deref()), (Health::Degraded, Some(why)));
    }
}
