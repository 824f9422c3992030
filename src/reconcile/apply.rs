//! The plan carried out: removals first, which free names, ports and networks; then deploys; then rows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::fetch::Content;
use super::images::{self, Images};
use super::planned::{Planned, PlannedSource, SETTLE, note_drifts, say};
use super::recorder::Recorder;
use super::remove::{self, Removal};
use super::retire;
use super::{Options, Round, Session};
use crate::compose::Ownership;
use crate::deploy::{self, Job, Settled, Work};
use crate::docker::Swarm;
use crate::image::ImageRef;
use crate::plan::Action;
use crate::report::Tally;
use crate::signal;
use crate::stack::StackName;
use crate::state::{Record, StackStatus};

impl Planned {
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

    /// Says which sources could not be had.
    pub fn say_failed(&self, session: &Session<'_>, tally: &mut Tally) {
        for source in &self.sources {
            if let Content::Failed(error) = &source.content {
                session.report.source_failed(&source.url, error);
                tally.failed += 1;
            }
        }
    }

    /// Deploys what is to be deployed in this round, and waits for it. `settled` is what is known of stacks before, and, when it
    /// comes back, of all.
    pub fn deploy(
        &self,
        session: &Session<'_>,
        images: &Images<'_>,
        round: Round,
        mut settled: Settled,
        tally: &mut Tally,
    ) -> Result<Settled> {
        let mut jobs = Vec::new();
        let mut owners = Vec::new();
        for source in &self.sources {
            for step in source.steps.iter().filter(|step| source.round(&step.name) == round) {
                let (work, reason) = match &step.action {
                    Action::Deploy { resolve, reason, edited } => {
                        session.report.progress(&format!("`{}` is to be deployed: {reason}", step.name));
                        (Work::Deploy { resolve: *resolve, edited: edited.clone() }, reason.clone())
                    }
                    Action::Roll { rolls, drifts } => {
                        note_drifts(session.report, source.subject(&step.name), drifts);
                        (Work::Roll(rolls.clone()), images::sentence(rolls))
                    }
                    Action::Adopt => (Work::Nothing, "adopted: it already ran as the source says".into()),
                    Action::Settle => (Work::Nothing, SETTLE.into()),
                    other => {
                        settle_without_job(session, source, &step.name, other, &mut settled, tally)?;
                        continue;
                    }
                };
                if let Some(job) = job(source, &step.name, work, reason, images)? {
                    jobs.push(job);
                    owners.push(source);
                }
            }
        }
        note_foreign_images(session, images, &jobs, &self.built_names())?;
        let mut recorder = Recorder::new(session, &jobs, &owners, tally);
        let (docker, folder) = (session.docker, &session.checkouts);
        let settled = deploy::run(docker, folder, &jobs, settled, session.deploy_timeout, &mut recorder)?;
        let converged: Vec<_> = recorder.converged.iter().map(|job| &jobs[*job]).collect();
        retire::retire(session, &converged)?;
        Ok(settled)
    }

    /// Writes what is now true of the sources as a whole.
    pub fn record(&self, session: &Session<'_>, options: &Options) -> Result<()> {
        let (mut idle, mut waiting) = (Vec::new(), 0);
        for source in &self.sources {
            let Some(row) = &source.row else { continue };
            match &source.content {
                Content::Idle => idle.push(row),
                Content::Waits => waiting += 1,
                // A commit of which only some stacks were dealt with is not done with.
                Content::Read(read) => {
                    let whole = options.only.is_none() && !source.is_leaving();
                    let commit = source.commit().filter(|_| whole);
                    session.state.forget_builds(row, &read.image_names())?;
                    session.state.note_sync(row, commit, None)?;
                }
                Content::Failed(error) => session.state.note_sync(row, None, Some(&format!("{error:#}")))?,
            }
        }
        session.state.note_unchanged(&idle)?;
        if idle.len() + waiting < self.sources.len() {
            session.state.recount_images()?;
        }
        Ok(())
    }
}

fn job<'a>(
    source: &'a PlannedSource,
    name: &StackName,
    work: Work,
    reason: String,
    images: &Images<'_>,
) -> Result<Option<Job<'a>>> {
    let Some((desired, commit)) = source.desired(name).zip(source.commit()) else { return Ok(None) };
    let Some(Ok(rendered)) = &desired.rendered else { return Ok(None) };
    let ownership = Ownership { repository: source.identity.clone(), commit: commit.to_owned() };
    let pulls = match &work {
        Work::Deploy { resolve, .. } => images.absent(rendered, *resolve)?,
        Work::Roll(rolls) => images.absent_of(rolls)?,
        Work::Nothing => BTreeSet::new(),
    };
    Ok(Some(Job { rendered, ownership, depends_on: &desired.entry.depends_on, work, pulls, reason }))
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
    match remove::remove_and_say(session, source.subject(name), &source.identity, source.stack(name), swarm) {
        Ok(removal) => {
            if removal == Removal::NotOurs {
                tally.unchanged += 1;
            } else {
                tally.removed += 1;
            }
            if !disabled {
                return session.state.forget_stack(name, &row.url);
            }
            record_stopped(session, source, name)
        }
        Err(error) if error.is::<signal::Interrupted>() => Err(error),
        Err(error) => {
            tally.failed += 1;
            let why = format!("{error:#}");
            source.record(name, Some(&why)).map_or(Ok(()), |record| session.state.record(&record))
        }
    }
}

fn record_stopped(session: &Session<'_>, source: &PlannedSource, name: &StackName) -> Result<()> {
    let Some(record) = source.record(name, None) else { return Ok(()) };
    let services = Some(BTreeMap::new());
    session.state.record(&Record { status: StackStatus::Stopped, hash: Some(""), services, ..record })
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
    let key = (source.identity.clone(), name.clone());
    match action {
        Action::Unchanged | Action::Report(_) => {
            settled.insert(key, Ok(()));
            refresh(session, source, name)?;
            forget_attempt(session, source, name)?;
        }
        Action::Off => record_stopped(session, source, name)?,
        Action::Forget => {
            if let Some(row) = &source.row {
                session.state.forget_stack(name, &row.url)?;
            }
        }
        Action::Held(_) => {
            settled.insert(key, Err(true));
            forget_attempt(session, source, name)?;
        }
        Action::Unbuilt { image, why } => {
            settled.insert(key, Err(true));
            let why = &format!("not deployed: its image `{image}` could not be built: {why}");
            if let Some(record) = source.record(name, Some(why)) {
                session.state.record(&Record { held: true, ..record })?;
            }
        }
        Action::Aside { well } => {
            settled.insert(key, if *well { Ok(()) } else { Err(false) });
        }
        Action::Refuse(why) => {
            settled.insert(key, Err(false));
            if let Some(record) = source.record(name, Some(why)) {
                session.state.record(&record)?;
            }
        }
        Action::Remove { .. }
        | Action::Moved { .. }
        | Action::Deploy { .. }
        | Action::Roll { .. }
        | Action::Wait(_)
        | Action::Adopt
        | Action::Settle => return Ok(()),
    }
    say(session.report, source.subject(name), action, tally);
    Ok(())
}

/// It came to what was wanted, or to what is known.
fn forget_attempt(session: &Session<'_>, source: &PlannedSource, name: &StackName) -> Result<()> {
    match &source.row {
        Some(row) if source.attempts.iter().any(|attempt| attempt.name == *name) => {
            session.state.forget_attempt(row, name)
        }
        _ => Ok(()),
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
/// Those that are built here are our own.
fn note_foreign_images(
    session: &Session<'_>,
    images: &Images<'_>,
    jobs: &[Job<'_>],
    built: &BTreeSet<String>,
) -> Result<()> {
    let tracked: BTreeSet<_> = session.state.images()?.into_iter().map(|row| row.name).collect();
    let services = jobs.iter().flat_map(|job| &job.rendered.services);
    let wanted: BTreeSet<_> =
        services.filter_map(|service| Some(service.image.as_ref()?.to_string())).collect();
    let new: BTreeSet<_> =
        wanted.difference(&tracked).filter(|name| !built.contains(*name)).cloned().collect();
    if new.is_empty() {
        return Ok(());
    }
    // Of a repository that is tracked already, the digests on this node may be our own.
    let repositories = |names: &BTreeSet<String>| -> BTreeSet<_> {
        names.iter().filter_map(|name| Some(ImageRef::parse(name).ok()?.repository())).collect()
    };
    let (known, first) = (repositories(&tracked), repositories(&new));
    let is_foreign = |name: &String| {
        let pulled = ImageRef::parse(name).ok().and_then(|image| image.pulled());
        let repository = pulled.map(|image| image.repository());
        new.contains(name)
            || repository
                .is_some_and(|repository| first.contains(&repository) && !known.contains(&repository))
    };
    session
        .state
        .note_foreign_images(&images.here()?.names().filter(|name| is_foreign(name)).cloned().collect())
}
