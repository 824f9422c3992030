//! One stack with one service, as a row of the table begins: in what the row bends, out what is decided.

use std::collections::BTreeMap;

use chrono::Utc;
use serde_json::{Value, json};

use crate::compose::{FINGERPRINT, REPOSITORY, RenderedStack};
use crate::docker::Roll;
use crate::docker::service::{self, Service};
use crate::image::ImageRef;
use crate::manifest::{HoldEntry, JobsEntry, Layout, StackEntry};
use crate::plan::*;
use crate::source::SourceId;
use crate::stack::{DriftPolicy, StackName};
use crate::state::{AppliedService, Given, GivenHow, Motion, StackRow, StackStatus};
pub const SOURCE: &str = "https://h/r";

pub fn source(id: &str) -> &'static SourceId {
    Box::leak(Box::new(id.into()))
}

/// A stack `web` with one service `app`, to be bent.
pub struct Case {
    pub name: StackName,
    pub desired: Option<DesiredStack>,
    pub read: Option<Layout>,
    pub row: Option<StackRow>,
    pub motion: Option<Motion>,
    pub live: Vec<Service>,
    pub facts: Facts<'static>,
}

pub fn service(labels: &Value, image: &str, replicas: u64) -> Service {
    let listed = serde_json::from_value(json!({"ID": "s", "Replicas": "1/1"})).unwrap();
    let mut all = json!({"com.docker.stack.namespace": "web", "com.docker.stack.image": "app:1"});
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    let spec = json!({"Name": "web_app", "Labels": all, "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ContainerSpec": {"Image": image}}});
    service::read(vec![listed], vec![json!({"ID": "s", "Spec": spec})]).unwrap().remove(0)
}

pub fn ours(hash: &str) -> Service {
    service(&json!({REPOSITORY: SOURCE, FINGERPRINT: hash}), "app:1", 1)
}

pub fn rendered(fingerprint: &str) -> RenderedStack {
    RenderedStack::of("web", &[("app", "app:1")], fingerprint)
}

impl Case {
    /// Listed, and nothing of it is known or runs.
    pub fn new() -> Self {
        let name = StackName::known("web");
        let entry = StackEntry {
            line: 0,
            is_forbidden: false,
            name: name.clone(),
            enabled: true,
            depends_on: Vec::new(),
            drift: DriftPolicy::Correct,
            files: None,
            compose_path: "web/compose.yml".into(),
            template: None,
            hold: HoldEntry::default(),
            jobs: JobsEntry::default(),
            wrong: Vec::new(),
        };
        let desired =
            DesiredStack { entry, rendered: Some(Ok(rendered("h1"))), images: Images::Ready, past: None };
        let facts = Facts { commit: "c1", ..Facts::default() };
        let (row, motion) = (None, None);
        Self { name, desired: Some(desired), read: Some(Layout::List), row, motion, live: Vec::new(), facts }
    }

    /// It converged, and runs as Git says.
    pub fn deployed() -> Self {
        let live = ours("h1");
        let applied = AppliedService { image: Some("app:1".into()), spec: live.summary.clone() };
        let services = BTreeMap::from([("web_app".to_owned(), applied)]);
        let mut row = StackRow::of("web", StackStatus::Deployed);
        (row.hash, row.services) = ("h1".into(), services);
        Self { row: Some(row), live: vec![live], ..Self::new() }
    }

    /// Swarm went back from it.
    pub fn held() -> Self {
        let mut case = Self::deployed();
        case.row().status = StackStatus::Error;
        case.row().error = Some("rolled back".into());
        case.row().held = true;
        case.updated("paused")
    }

    /// What Swarm says of the update of its service.
    pub fn updated(self, state: &str) -> Self {
        self.with(|case| case.live[0].update = serde_json::from_value(json!({"State": state})).ok())
    }

    pub fn with(mut self, bend: impl FnOnce(&mut Self)) -> Self {
        bend(&mut self);
        self
    }

    pub fn row(&mut self) -> &mut StackRow {
        self.row.as_mut().unwrap()
    }

    pub fn wish(&mut self) -> &mut DesiredStack {
        self.desired.as_mut().unwrap()
    }

    pub fn entry(&mut self) -> &mut StackEntry {
        &mut self.wish().entry
    }

    pub fn decide(&self) -> Decision {
        let desired = self.read.map_or(Desired::Unread, |layout| Desired::of(self.desired.as_ref(), layout));
        let (recorded, motion) = (self.row.as_ref(), self.motion.as_ref());
        let live = self.live.iter().collect();
        decide(
            &Task { source: source(SOURCE), name: &self.name, desired, recorded, motion, live },
            &self.facts,
        )
    }

    /// In a word, with the reason.
    pub fn says(&self) -> String {
        match self.decide() {
            Decision::InSync { drifts } if drifts.is_empty() => "in sync".into(),
            Decision::InSync { .. } => "in sync, drifted".into(),
            Decision::InMotion => "in motion".into(),
            Decision::Apply(Apply { how: How::Deploy { .. }, reason, .. }) => format!("deploy: {reason}"),
            Decision::Apply(Apply { how: How::Roll(_), .. }) => "roll".into(),
            Decision::Apply(Apply { how: How::Adopt, .. }) => "adopt".into(),
            Decision::Apply(Apply { how: How::Judge, .. }) => "judge".into(),
            Decision::Remove(Remove::FromSwarm { reason, .. }) => format!("remove: {reason}"),
            Decision::Remove(Remove::NoteStopped) => "note that it is stopped".into(),
            Decision::Remove(Remove::Forget) => "forget".into(),
            Decision::Blocked(blocked) => format!("{:?}: {}", blocked.until, blocked.why),
        }
    }
}

pub fn motion(hash: &str) -> Motion {
    let given = Given {
        how: GivenHow::Deploy,
        reason: "new".into(),
        commit: "c1".into(),
        compose_path: String::new(),
        drift: DriftPolicy::Correct,
        depends_on: Vec::new(),
        services: BTreeMap::new(),
        wanted: BTreeMap::new(),
        specs: BTreeMap::new(),
        versions: crate::state::Versions::default(),
        plain: None,
        text: String::new(),
        jobs: None,
    };
    Motion {
        repository_id: 1,
        name: StackName::known("web"),
        hash: hash.into(),
        rolls: BTreeMap::new(),
        since: Utc::now(),
        given: Some(given),
    }
}

pub fn roll() -> Vec<Roll> {
    let image = format!("app:1@sha256:{}", "ab".repeat(32));
    vec![Roll { service: "web_app".into(), image: ImageRef::parse(&image).unwrap() }]
}

#[track_caller]
pub fn table(rows: &[(Case, &str)]) {
    for (at, (case, expected)) in rows.iter().enumerate() {
        let says = case.says();
        assert!(says.starts_with(expected), "row {at}: `{says}`, not `{expected}`");
    }
}
