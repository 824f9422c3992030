//! The plan of all sources, carried out: removals, deploys, rows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::fetch::{Content, Fetched};
use super::remove::{self, Removal};
use super::{Options, Session};
use crate::compose::{Ownership, RenderedStack};
use crate::deploy::{self, Job, Observer, Outcome, Settled};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::drift;
use crate::plan::{self, Action, Claims, Desired, Input, Step};
use crate::report::{Report, Tally};
use crate::signal;
use crate::stack::{DriftPolicy, StackName};
use crate::state::{AppliedService, Record, SourceRow, StackRow, StackStatus};
use crate::watched::Watched;

/// All sources with their plan.
pub struct Planned {
    sources: Vec<PlannedSource>,
}

struct PlannedSource {
    identity: String,
    row: Option<SourceRow>,
    rows: Vec<StackRow>,
    content: Content,
    steps: Vec<Step>,
}

impl PlannedSource {
    fn desired(&self, name: &StackName) -> Option<&Desired> {
        let Content::Read(read) = &self.content else { return None };
        read.desired.iter().find(|desired| desired.entry.name == *name)
    }

    fn stack(&self, name: &StackName) -> Option<&StackRow> {
        self.rows.iter().find(|row| row.name == *name)
    }

    fn commit(&self) -> Option<&str> {
        let Content::Read(read) = &self.content else { return None };
        Some(read.checkout.commit().as_str())
    }

    /// A record of one of its stacks: the error status unless the caller says better.
    fn record<'a>(&'a self, name: &'a StackName, error: Option<&'a str>) -> Option<Record<'a>> {
        let entry = self.desired(name).map(|desired| &desired.entry);
        let row = self.stack(name);
        Some(Record {
            name,
            repository_url: &self.row.as_ref()?.url,
            compose_path: entry
                .map(|entry| &*entry.compose_path)
                .or(row.map(|row| &*row.compose_path))
                .unwrap_or_default(),
            status: StackStatus::Error,
            hash: None,
            commit: self.commit()?,
            drift: entry.map(|entry| entry.drift).or(row.map(|row| row.drift)).unwrap_or_default(),
            error,
            held: false,
            services: None,
        })
    }
}

/// Plans every source; a new one is remembered here, its manifest being valid.
pub fn plan(
    session: &Session<'_>,
    fetched: Vec<Fetched>,
    watched: &[Watched],
    swarm: &Swarm,
    options: Options,
) -> Result<Planned> {
    let known: Vec<_> = watched.iter().map(|known| (known.identity.clone(), known.stacks.clone())).collect();
    let mut claims = plan::claims(&known, swarm);
    let mut sources = Vec::new();
    for Fetched { target, content } in fetched {
        let identity = target.source.id().to_owned();
        let rows = watched
            .iter()
            .find(|known| known.identity == identity)
            .map(|known| known.stacks.clone())
            .unwrap_or_default();
        let mut row = target.row;
        if row.is_none() {
            match content {
                Content::Failed(error) => return Err(error),
                _ if !options.dry_run => row = Some(session.state.remember(&target.source.to_string())?),
                _ => {}
            }
        }
        let mut source = PlannedSource { identity, row, rows, content, steps: Vec::new() };
        source.steps = steps(&source, swarm, options, &mut claims);
        sources.push(source);
    }
    Ok(Planned { sources })
}

fn steps(source: &PlannedSource, swarm: &Swarm, options: Options, claims: &mut Claims) -> Vec<Step> {
    match &source.content {
        Content::Read(read) => {
            let input = Input {
                source: &source.identity,
                commit: read.checkout.commit().as_str(),
                desired: &read.desired,
                rows: &source.rows,
                swarm,
                force: options.force,
            };
            plan::plan(&input, claims)
        }
        Content::Idle | Content::Failed(_) => source
            .rows
            .iter()
            .map(|row| Step { name: row.name.clone(), action: without_checkout(row, swarm) })
            .collect(),
    }
}

/// What can be said of a stack whose source was not read.
fn without_checkout(row: &StackRow, swarm: &Swarm) -> Action {
    let drifts = drift::find(row, swarm);
    match &row.error {
        Some(error) if row.held => Action::Held(error.clone()),
        _ if drifts.is_empty() || row.drift == DriftPolicy::Ignore => Action::Unchanged,
        _ => Action::Report(drifts),
    }
}

impl Planned {
    /// Says what would be done.
    pub fn describe(&self, report: &Report) -> Tally {
        let mut tally = Tally::default();
        for source in &self.sources {
            if let Content::Failed(error) = &source.content {
                report.source_failed(error);
                tally.failed += 1;
            }
            for step in &source.steps {
                let name = step.name.as_str();
                match &step.action {
                    Action::Deploy { reason, .. } => {
                        report.would(name, &format!("deploy: {reason}"), &mut tally.deployed);
                    }
                    Action::Adopt => {
                        report.would(name, "adopt: it runs as the source says", &mut tally.deployed);
                    }
                    Action::Remove { reason, .. } => {
                        report.would(name, &format!("remove: {reason}"), &mut tally.removed);
                    }
                    other => say(report, name, other, &mut tally),
                }
            }
        }
        tally
    }

    /// Removes what is disabled or no longer listed.
    pub fn remove(&self, session: &Session<'_>, swarm: &Swarm, tally: &mut Tally) -> Result<()> {
        for source in &self.sources {
            for step in &source.steps {
                if let Action::Remove { disabled, .. } = step.action {
                    signal::check()?;
                    remove_one(session, source, &step.name, disabled, swarm, tally)?;
                }
            }
        }
        Ok(())
    }

    /// Deploys what is to be deployed, and waits for it.
    pub fn deploy(&self, session: &Session<'_>, tally: &mut Tally) -> Result<()> {
        let mut jobs = Vec::new();
        let mut owners = Vec::new();
        let mut settled = Settled::new();
        for source in &self.sources {
            if let Content::Failed(error) = &source.content {
                session.report.source_failed(error);
                tally.failed += 1;
            }
            for step in &source.steps {
                let resolve = match &step.action {
                    Action::Deploy { resolve, reason } => {
                        session.report.progress(&format!("`{}` is to be deployed: {reason}", step.name));
                        Some(*resolve)
                    }
                    Action::Adopt => None,
                    other => {
                        settle_without_job(session, source, &step.name, other, &mut settled, tally)?;
                        continue;
                    }
                };
                if let Some((job, owner)) = job(source, &step.name, resolve) {
                    jobs.push(job);
                    owners.push(owner);
                }
            }
        }
        note_foreign_images(session, &jobs)?;
        let mut recorder = Recorder { session, jobs: &jobs, sources: &owners, tally: RefCell::new(tally) };
        deploy::run(session.docker, &jobs, settled, session.deploy_timeout, &mut recorder)
    }

    /// Writes what is now true of the sources as a whole.
    pub fn record(&self, session: &Session<'_>) -> Result<()> {
        let mut idle = Vec::new();
        for source in &self.sources {
            let Some(row) = &source.row else { continue };
            match &source.content {
                Content::Idle => idle.push(row),
                Content::Read(_) => session.state.note_sync(row, source.commit(), None)?,
                Content::Failed(error) => session.state.note_sync(row, None, Some(&format!("{error:#}")))?,
            }
        }
        session.state.note_unchanged(&idle)?;
        if idle.len() < self.sources.len() {
            session.state.recount_images()?;
        }
        Ok(())
    }
}

fn job<'a>(
    source: &'a PlannedSource,
    name: &StackName,
    resolve: Option<crate::docker::command::ResolveImage>,
) -> Option<(Job<'a>, &'a PlannedSource)> {
    let desired = source.desired(name)?;
    let Some(Ok(rendered)) = &desired.rendered else { return None };
    let ownership = Ownership { repository: source.identity.clone(), commit: source.commit()?.to_owned() };
    Some((Job { rendered, ownership, depends_on: &desired.entry.depends_on, resolve }, source))
}

fn remove_one(
    session: &Session<'_>,
    source: &PlannedSource,
    name: &StackName,
    disabled: bool,
    swarm: &Swarm,
    tally: &mut Tally,
) -> Result<()> {
    let Some(row) = &source.row else { return Ok(()) };
    match remove::remove_and_say(session, name, &source.identity, source.stack(name), swarm) {
        Ok(removal) => {
            if removal == Removal::NotOurs {
                tally.unchanged += 1;
            } else {
                tally.removed += 1;
            }
            if !disabled {
                return session.state.forget_stack(name, &row.url);
            }
            let Some(record) = source.record(name, None) else { return Ok(()) };
            let stopped = Record {
                status: StackStatus::Stopped,
                hash: Some(""),
                services: Some(BTreeMap::new()),
                ..record
            };
            session.state.record(&stopped)
        }
        Err(error) if error.is::<signal::Interrupted>() => Err(error),
        Err(error) => {
            tally.failed += 1;
            let why = format!("{error:#}");
            source.record(name, Some(&why)).map_or(Ok(()), |record| session.state.record(&record))
        }
    }
}

/// Stacks that need no job: said, recorded, and known to those that depend on them.
fn settle_without_job(
    session: &Session<'_>,
    source: &PlannedSource,
    name: &StackName,
    action: &Action,
    settled: &mut Settled,
    tally: &mut Tally,
) -> Result<()> {
    match action {
        Action::Unchanged | Action::Report(_) => {
            settled.insert(name.clone(), Ok(()));
            refresh(session, source, name)?;
        }
        Action::Held(_) => {
            settled.insert(name.clone(), Err(true));
        }
        Action::Refuse(why) => {
            settled.insert(name.clone(), Err(false));
            if let Some(record) = source.record(name, Some(why)) {
                session.state.record(&record)?;
            }
        }
        Action::Remove { .. } | Action::Deploy { .. } | Action::Adopt => return Ok(()),
    }
    say(session.report, name.as_str(), action, tally);
    Ok(())
}

fn say(report: &Report, name: &str, action: &Action, tally: &mut Tally) {
    match action {
        Action::Unchanged => tally.unchanged += 1,
        Action::Report(drifts) => {
            report.note(name, &format!("drifted, left as it is: {}", drift::sentence(drifts)));
            tally.drifted += 1;
        }
        Action::Held(why) => {
            report
                .failed(name, &format!("{why} (held until the repository changes, or `reconcile --force`)"));
            tally.failed += 1;
        }
        Action::Refuse(why) => {
            report.failed(name, why);
            tally.failed += 1;
        }
        Action::Deploy { .. } | Action::Adopt | Action::Remove { .. } => {}
    }
}

/// An unchanged stack may have moved its file or changed what it wants done about drift.
fn refresh(session: &Session<'_>, source: &PlannedSource, name: &StackName) -> Result<()> {
    let (Some(row), Some(record)) = (source.stack(name), source.record(name, None)) else { return Ok(()) };
    if row.compose_path == record.compose_path && row.drift == record.drift {
        return Ok(());
    }
    session.state.record(&Record {
        status: row.status,
        error: row.error.as_deref(),
        held: row.held,
        ..record
    })
}

/// Images that lie here before DockerOps first deploys them are somebody else's.
fn note_foreign_images(session: &Session<'_>, jobs: &[Job<'_>]) -> Result<()> {
    let tracked: BTreeSet<_> = session.state.images()?.into_iter().map(|row| row.name).collect();
    let services = jobs.iter().filter(|job| job.resolve.is_some()).flat_map(|job| &job.rendered.services);
    let wanted: BTreeSet<_> =
        services.filter_map(|service| Some(service.image.as_ref()?.to_string())).collect();
    let new: BTreeSet<_> = wanted.difference(&tracked).cloned().collect();
    if new.is_empty() {
        return Ok(());
    }
    let local = session.docker.local_images()?;
    session.state.note_foreign_images(&new.intersection(&local).cloned().collect())
}

/// Writes each outcome when it is known, so that a run that is cut off loses none.
struct Recorder<'a> {
    session: &'a Session<'a>,
    jobs: &'a [Job<'a>],
    sources: &'a [&'a PlannedSource],
    tally: RefCell<&'a mut Tally>,
}

impl Observer for Recorder<'_> {
    fn deploying(&mut self, stack: &StackName) {
        self.session.report.waiting(stack.as_str(), "is being deployed");
    }

    fn waiting(&mut self, stack: &StackName, what: &str) {
        self.session.report.waiting(stack.as_str(), what);
    }

    fn finished(&mut self, job: usize, outcome: &Outcome) -> Result<()> {
        let (source, Job { rendered, resolve, .. }) = (self.sources[job], &self.jobs[job]);
        let (name, report) = (&rendered.name, self.session.report);
        let mut tally = self.tally.borrow_mut();
        report.settle(name.as_str());
        match outcome {
            Outcome::Converged(live) => {
                tally.deployed += 1;
                let done =
                    if resolve.is_some() { "deployed" } else { "adopted: it already ran as the source says" };
                report.deployed(name.as_str(), done);
                let Some(record) = source.record(name, None) else { return Ok(()) };
                let services = Some(applied(rendered, live));
                let hash = Some(&*rendered.fingerprint);
                self.session.state.record(&Record { status: StackStatus::Deployed, hash, services, ..record })
            }
            Outcome::Failed { why, held } => {
                tally.failed += 1;
                report.failed(name.as_str(), why);
                let Some(record) = source.record(name, Some(why)) else { return Ok(()) };
                // Of a first attempt at least the images are known; later ones keep what had converged.
                let first = source.stack(name).is_none_or(|row| row.services.is_empty());
                let services = first.then(|| applied(rendered, &[]));
                self.session.state.record(&Record { held: *held, services, ..record })
            }
        }
    }
}

fn applied(rendered: &RenderedStack, live: &[Service]) -> BTreeMap<String, AppliedService> {
    let service = |service: &crate::compose::Service| {
        let name = rendered.name.scope(&service.name);
        let spec =
            live.iter().find(|live| live.name == name).map(|live| live.summary.clone()).unwrap_or_default();
        (name, AppliedService { image: service.image.as_ref().map(ToString::to_string), spec })
    };
    rendered.services.iter().map(service).collect()
}
