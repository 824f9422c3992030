//! The truth about every stack, as values: one story for the tables and for `--json`.

use anyhow::Result;
use serde::Serialize;

use super::holds::{self, StackHold};
use super::services;
pub use super::services::LiveService;
use super::times::utc;
use super::under_way::{UnderWay, under_way};
use super::{harmless, tables};
use crate::clock;
use crate::compose::FINGERPRINT;
use crate::docker::service::Service;
use crate::docker::{Docker, Swarm};
use crate::drift;
use crate::health::{self, Health, Look};
use crate::plan;
use crate::source::{SourceId, SourceUrl};
use crate::stack::DriftPolicy;
use crate::state::{BuildRow, ImageRow, Motion, StackRow, StackStatus, Work, WorkKind};
use crate::watched::Watched;

/// Everything `status --json` prints; docs/commands.md documents the fields.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    pub repositories: Vec<Repository>,
    pub stacks: Vec<Stack>,
    pub images: Vec<Image>,
    /// The images that the sources build.
    pub builds: Vec<Built>,
    /// What runs are at.
    pub under_way: Vec<UnderWay>,
}

#[derive(Debug, Serialize)]
pub struct Repository {
    /// As it was watched.
    pub url: String,
    #[serde(skip)]
    pub source: SourceId,
    /// The commit whose stacks were dealt with.
    pub commit: Option<String>,
    pub last_watch: String,
    /// Why the last sync failed as a whole.
    pub error: Option<String>,
    /// What keeps all of it as it is.
    pub hold: Option<StackHold>,
}

/// The status of a stack, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StackState {
    Deployed,
    Stopped,
    Error,
    /// Nobody has seen a version converge, or the last one failed, and one is being deployed.
    Deploying,
}

impl StackState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploying => "deploying",
            Self::Deployed => StackStatus::Deployed.as_str(),
            Self::Stopped => StackStatus::Stopped.as_str(),
            Self::Error => StackStatus::Error.as_str(),
        }
    }
}

impl From<StackStatus> for StackState {
    fn from(status: StackStatus) -> Self {
        match status {
            StackStatus::Deployed => Self::Deployed,
            StackStatus::Stopped => Self::Stopped,
            StackStatus::Error => Self::Error,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Stack {
    pub name: String,
    /// Its source, as it is shown.
    pub repository: String,
    /// As rows have it.
    #[serde(skip)]
    pub source: SourceUrl,
    pub compose_path: String,
    pub status: StackState,
    /// The fingerprint that converged; empty if none did.
    pub hash: String,
    /// The commit it was last dealt with at.
    pub commit: Option<String>,
    /// When it converged last, UTC.
    pub converged: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Why it stays though its source lists it no more.
    pub stays: Option<String>,
    /// Whether it runs what Git says.
    pub health: Health,
    /// Why it is degraded.
    pub why: Option<String>,
    /// Since when, as the last run found it.
    pub degraded_since: Option<String>,
    /// Whether it is not tried again until the source changes.
    pub held: bool,
    /// What keeps it as it is.
    pub hold: Option<StackHold>,
    pub drift_policy: DriftPolicy,
    /// Whether live services are newer than what converged: a deploy is under way, or was cut off.
    pub updating: bool,
    /// What is not as it was applied.
    pub drift: Vec<DriftedService>,
    pub services: Vec<LiveService>,
    /// What docker was given for it last, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendered: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct DriftedService {
    /// Its full name.
    pub service: String,
    /// What is different.
    pub what: String,
}

#[derive(Debug, Serialize)]
pub struct Image {
    /// Its reference.
    pub name: String,
    /// How many services use it.
    pub reference_count: i64,
}

/// The last build of one image.
#[derive(Debug, Serialize)]
pub struct Built {
    /// What it is tagged as.
    pub name: String,
    /// Its source.
    pub repository: String,
    /// The commit it was built, or tried, at.
    pub commit: String,
    /// What services run: of the last build that did not fail.
    pub reference: Option<String>,
    /// Why it failed, with the last lines of the output.
    pub error: Option<String>,
}

/// The whole story: rows, what is live, and how its tasks fare.
pub fn read(
    watched: &[Watched],
    images: &[ImageRow],
    work: &[Work],
    docker: &Docker,
) -> Result<(Status, Swarm)> {
    let swarm = docker.observe()?;
    let look = health::look(docker, &swarm, &stacks_of(watched))?;
    Ok((gather(watched, images, work, &swarm, &look), swarm))
}

/// Every stack with the motions of its source.
pub fn stacks_of<'a>(watched: impl IntoIterator<Item = &'a Watched>) -> Vec<(&'a StackRow, &'a [Motion])> {
    let with_source = watched.into_iter().flat_map(|known| known.stacks.iter().map(move |row| (known, row)));
    with_source.map(|(known, row)| (row, &*known.motions)).collect()
}

/// What is known without docker: the rows alone.
pub fn recorded(watched: &[Watched], images: &[ImageRow], work: &[Work]) -> Status {
    let mut status = gather(watched, images, work, &Swarm::default(), &Look::none());
    for stack in &mut status.stacks {
        stack.drift.clear();
        stack.services.clear();
        stack.why = None;
        if matches!(stack.health, Health::Healthy | Health::Degraded) {
            stack.health = Health::Unknown;
        }
    }
    status
}

/// Puts rows and what is live together.
pub fn gather(watched: &[Watched], images: &[ImageRow], work: &[Work], swarm: &Swarm, look: &Look) -> Status {
    Status {
        repositories: watched
            .iter()
            .map(|known| Repository {
                url: known.row.url.shown(),
                source: known.identity.clone(),
                commit: known.row.commit.clone(),
                last_watch: utc(&known.row.last_watch),
                error: known.row.error.as_deref().map(harmless),
                hold: holds::of_source(known, clock::wall()),
            })
            .collect(),
        stacks: watched
            .iter()
            .flat_map(|known| {
                let rows = known.stacks.iter().map(|row| stack(watched, known, row, work, swarm, look));
                let is_first = |motion: &&Motion| !known.stacks.iter().any(|row| row.name == motion.name);
                let first = known.motions.iter().filter(is_first).map(|motion| first(known, motion, swarm));
                rows.chain(first).chain(holds::never_deployed(watched, known, clock::wall()))
            })
            .collect(),
        images: images
            .iter()
            .map(|image| Image { name: image.name.clone(), reference_count: image.reference_count })
            .collect(),
        builds: watched
            .iter()
            .flat_map(|known| known.builds.iter().map(|row| built(&known.row.url, row)))
            .collect(),
        under_way: under_way(watched, work),
    }
}

fn built(repository: &SourceUrl, row: &BuildRow) -> Built {
    Built {
        name: row.name.clone(),
        repository: repository.shown(),
        commit: row.commit.clone(),
        reference: row.reference.clone(),
        error: row.error.as_deref().map(harmless),
    }
}

fn stack(
    watched: &[Watched],
    known: &Watched,
    row: &StackRow,
    work: &[Work],
    swarm: &Swarm,
    look: &Look,
) -> Stack {
    let drifted = |drift: drift::Drift| DriftedService { service: drift.service, what: drift.what };
    // A refused stack's name is somebody else's: his services are not its own.
    let others = |service: &&Service| plan::owner(service).is_some_and(|owner| known.identity != *owner);
    let foreign =
        row.status == StackStatus::Error && swarm.of_stack(&row.name).any(|service| others(&service));
    // What failed before is not what is being deployed.
    let motion = known.motions.iter().find(|motion| motion.name == row.name);
    let moves = motion.is_some();
    // No run has seen so far that another DockerOps took it; what moves between two sources here is no such thing.
    let is_here = |owner: &&str| watched.iter().any(|known| known.identity == **owner);
    let live: Vec<_> = swarm.of_stack(&row.name).collect();
    let taken = plan::taken_by(Some(row), &known.identity, &live, None)
        .filter(|owner| row.status == StackStatus::Deployed && !moves && !is_here(owner))
        .map(|owner| plan::taken(&row.name, owner));
    let foreign = foreign || taken.is_some();
    // A fingerprint that is not the one that converged is no hand's work, unless an operator went back to it.
    let newer = |name: &str| {
        let service = swarm.of_stack(&row.name).find(|service| service.name == name);
        let service = service.filter(|live| moves || !live.goes_back());
        // A job stays as it ran last.
        let is_job = row.services.get(name).is_some_and(|applied| !applied.is_kept());
        let service = service.filter(|_| moves || !is_job);
        service.and_then(|live| live.labels.get(FINGERPRINT)).is_some_and(|live| *live != row.hash)
            || service.is_some_and(|live| services::is_given(motion, live))
    };
    let leaves = work.iter().any(|work| work.kind == WorkKind::Removing && work.what == row.name.as_str());
    let mut verdict = health::judge(row, &known.motions, swarm, look);
    if taken.is_some() {
        verdict.health = Health::Error;
    }
    if leaves && !foreign {
        verdict.health = Health::Removing;
    }
    let of_service =
        |service: &Service| verdict.services.get(&service.name).map(|it| services::live(service, it));
    let services: Vec<_> = swarm.of_stack(&row.name).filter(|_| !foreign).filter_map(of_service).collect();
    Stack {
        name: row.name.to_string(),
        repository: row.repository_url.shown(),
        source: row.repository_url.clone(),
        compose_path: row.compose_path.clone(),
        status: match row.status {
            StackStatus::Error if moves => StackState::Deploying,
            _ if taken.is_some() => StackState::Error,
            status => status.into(),
        },
        hash: row.hash.clone(),
        commit: row.commit.clone(),
        converged: row.converged.as_deref().map(utc),
        error: taken.as_ref().or(row.error.as_ref()).filter(|_| !moves && !leaves).map(|why| harmless(why)),
        stays: row.stays.as_deref().filter(|_| !leaves).map(|why| stays(known, why)),
        health: verdict.health,
        why: verdict
            .why(&row.words)
            .as_deref()
            .filter(|_| (!leaves || foreign) && taken.is_none())
            .map(harmless),
        degraded_since: row.degraded.as_deref().filter(|_| verdict.is_degraded()).map(utc),
        held: row.held && !moves,
        hold: holds::of_stack(watched, known, &row.name, clock::wall()),
        drift_policy: row.drift,
        updating: row.status == StackStatus::Deployed && services.iter().any(|service| newer(&service.name)),
        drift: drift::find(row, swarm)
            .into_iter()
            .filter(|drift| verdict.health != Health::Removing && taken.is_none() && !newer(&drift.service))
            .map(drifted)
            .collect(),
        services,
        rendered: None,
    }
}

/// Why a stack is there that its source lists no more, and what that means for its source.
fn stays(known: &Watched, why: &str) -> String {
    let meanwhile = match &known.row.commit {
        Some(commit) => {
            format!("until it is gone its source counts as synced at `{}`", tables::short(commit))
        }
        None => "until it is gone no commit of its source counts as synced".to_owned(),
    };
    harmless(&format!("{why}; {meanwhile}"))
}

/// A stack that is deployed for the first time, of which no row tells.
fn first(known: &Watched, motion: &Motion, swarm: &Swarm) -> Stack {
    let given = motion.given.as_ref();
    let service = |service: &Service| LiveService {
        name: service.name.clone(),
        image: service.summary.get("image").cloned().unwrap_or_default(),
        running: service.running,
        completed: 0,
        wanted: service.wanted,
        restarts: 0,
        last_restart: None,
        error: None,
    };
    Stack {
        name: motion.name.to_string(),
        repository: known.row.url.shown(),
        source: known.row.url.clone(),
        compose_path: given.map(|given| given.compose_path.clone()).unwrap_or_default(),
        status: StackState::Deploying,
        hash: String::new(),
        commit: given.map(|given| given.commit.clone()),
        converged: None,
        error: None,
        stays: None,
        health: Health::Deploying,
        why: None,
        degraded_since: None,
        held: false,
        hold: None,
        drift_policy: given.map(|given| given.drift).unwrap_or_default(),
        updating: true,
        drift: Vec::new(),
        services: swarm.of_stack(&motion.name).map(service).collect(),
        rendered: None,
    }
}

impl Stack {
    /// Whether it runs less than Git says, or its tasks keep failing.
    pub fn is_degraded(&self) -> bool {
        self.health == Health::Degraded
    }

    /// Whether it is not as Git says, nor as the manifest lets it be.
    fn is_wrong(&self) -> bool {
        // What is on hold is left as somebody wanted it.
        let to_correct =
            self.drift_policy == DriftPolicy::Correct && !self.drift.is_empty() && self.hold.is_none();
        self.error.is_some()
            || self.stays.is_some()
            || self.is_degraded()
            || to_correct
            || matches!(self.health, Health::Error | Health::Unknown | Health::Deploying | Health::Removing)
    }

    /// Whether it is left other than Git says, as somebody wants it.
    fn differs(&self) -> bool {
        let is_kept = self.hold.as_ref().is_some_and(|hold| hold.change.is_some());
        is_kept || self.drift_policy != DriftPolicy::Ignore && !self.drift.is_empty()
    }
}

impl Status {
    /// Whether anything that is watched is not as Git says.
    pub fn is_wrong(&self) -> bool {
        self.repositories.iter().any(|repository| repository.error.is_some())
            || self.builds.iter().any(|build| build.error.is_some())
            || self.under_way.iter().any(|work| work.state == WorkKind::Waiting)
            || self.stacks.iter().any(Stack::is_wrong)
    }

    /// Whether anything that is watched is left other than Git says.
    pub fn differs(&self) -> bool {
        self.stacks.iter().any(Stack::differs)
    }
}
