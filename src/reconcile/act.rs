//! The second half of a turn: what each decision does to the world.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::command::command_after;
use super::contain::Contain;
use super::giving::Giving;
use super::images::Pulled;
use super::memory::Given;
use super::source::{Reading, WatchedSource};
use super::{Key, Reconciler, Session, first, jobs};
use crate::compose::{Ownership, RenderedStack};
use crate::docker::{Roll, Swarm};
use crate::drift::{self, Drift};
use crate::git::Workplace;
use crate::plan::{self, Apply, Blocked, Decision, DesiredStack, How, Tried, Until};
use crate::report::{Subject, with_held};
use crate::stack::{DriftPolicy, StoredKind};
use crate::state::{self, GivenHow, Jobs, Motion, Phase, Record, StackRow, StackStatus, Step, Versions};

/// By what a stack is in motion.
enum By<'a> {
    /// As far as the step of it goes, where it has jobs.
    Deploy(Option<Jobs>),
    /// These images of these services.
    Roll(BTreeMap<String, String>),
    /// It was there, as it was seen.
    Sight(&'a Swarm),
}

impl Reconciler {
    /// The source of a stack; it is there as long as decisions about it are.
    pub fn source(&self, key: &Key) -> Result<&WatchedSource> {
        let source = self.sources.iter().find(|source| source.id == key.source);
        source.with_context(|| format!("`{}` is not looked after", key.source))
    }

    fn source_mut(&mut self, key: &Key) -> Option<&mut WatchedSource> {
        self.sources.iter_mut().find(|source| source.id == key.source)
    }

    fn rendered(&self, key: &Key) -> Result<RenderedStack> {
        let rendered = self.source(key)?.desired(&key.stack).and_then(DesiredStack::rendered);
        rendered.cloned().with_context(|| format!("`{key}` was not read"))
    }

    /// `docker stack deploy`, once its bindings lie there and its images are here.
    pub fn deploy(&mut self, session: &Session<'_>, key: &Key, apply: &Apply, swarm: &Swarm) -> Result<()> {
        let How::Deploy { resolve, edited, jobs } = &apply.how else { return Ok(()) };
        let (resolve, reason) = (*resolve, &*apply.reason);
        if self.memory.reported.insert((key.clone(), format!("deploy {reason}"))) {
            session.report.progress(&format!("`{key}` is to be deployed: {reason}"));
        }
        let rendered = self.rendered(key)?;
        let mut step = self.step(session, key, &rendered, (jobs, resolve), swarm)?;
        if let Some(step) = &mut step
            && let Some(job) = step.job().filter(|_| !step.again)
            && let Some(name) = jobs::run_of(session, key, &rendered, (step, job), swarm)?
        {
            (step.name, step.phase) = (name, Phase::Given);
            return self.set_in_motion(session, key, &rendered, By::Deploy(Some(step.clone())), reason);
        }
        self.cuts_off_none(session, key, &rendered, step.as_ref(), swarm)?;
        if step.as_ref().is_none_or(|step| jobs::mounts_bindings(step, &rendered)) {
            self.copy_bindings(session, key)?;
        }
        if let Pulled::UnderWay = self.bring(session, key, (&rendered, step.as_ref()), resolve, swarm)? {
            return Ok(());
        }
        self.nodes_can_pull(session, key, &rendered, resolve, swarm)?;
        self.wait_for_makers(session, &rendered)?;
        if !self.may_give(session, &key.source)? {
            return Ok(());
        }
        session.report.waiting(key.stack.as_str(), "is being deployed");
        let source = self.source(key)?;
        let commit = source.commit_of(&key.stack).unwrap_or_default().to_owned();
        let ownership = Ownership { repository: source.id.clone(), commit };
        self.attempted(key);
        let complete = self.with_secrets(session, &rendered, &ownership, resolve)?;
        let given = match &step {
            Some(step) => Cow::Owned(jobs::part(step, &complete)),
            None => complete,
        };
        if let Some(step) = step.as_ref().filter(|step| step.job().is_some()) {
            self.set_in_motion(session, key, &rendered, By::Deploy(Some(step.clone())), reason)?;
        } else {
            for service in edited {
                session.door.forget_image(service)?;
            }
        }
        if step.as_ref().is_some_and(|step| step.step == Step::Rest) {
            jobs::prune(session, &rendered, swarm)?;
        }
        // Its copies lie in this run's own folder: other runs, and later turns, clear away whatever lies beside those.
        let folder = self.workplace.as_ref().map_or(&*session.paths.checkouts, Workplace::path);
        match session.door.deploy(&given, &ownership, resolve, folder, &self.ends)? {
            Giving::Done(result) => {
                result?;
                self.set_in_motion(session, key, &rendered, By::Deploy(step.map(Jobs::given)), reason)
            }
            Giving::Running(call) => {
                let given = Given { call, rendered, reason: reason.to_owned(), jobs: step, goes_on: false };
                self.memory.giving.insert(key.clone(), given);
                Ok(())
            }
        }
    }

    /// What came of a call.
    pub fn accepted(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        result: Result<()>,
        given: &Given,
    ) -> Result<()> {
        // What comes of it may be seen soon.
        self.memory.due = Some(Duration::ZERO);
        let (rendered, reason) = (&given.rendered, &given.reason);
        match result.contained()? {
            // Its source may be watched no more.
            Ok(()) if self.source(key).is_ok() => self.set_in_motion(
                session,
                key,
                rendered,
                By::Deploy(given.jobs.clone().map(Jobs::given)),
                reason,
            ),
            Ok(()) => Ok(()),
            Err(why) => self.fail(session, key, &why, false),
        }
    }

    /// Services get what their tags name now. A new image that this node cannot pull would most likely fail on the
    /// others too: what runs stays.
    pub fn roll(&mut self, session: &Session<'_>, key: &Key, rolls: &[Roll], apply: &Apply) -> Result<()> {
        self.note_drifts(session, key, &apply.drifts)?;
        self.copy_bindings(session, key)?;
        match self.bring_rolls(session, key, rolls)? {
            Pulled::UnderWay => return Ok(()),
            Pulled::Failed(image, why) => {
                let why = format!("`{image}` has changed in its registry, and could not be pulled: {why}");
                let source = self.source(key)?;
                session.report.note(source.subject(&key.stack), &format!("{why}; it keeps what it runs"));
                self.memory.tried.insert(key.clone(), Tried::Kept);
                self.stirred = true;
                return Ok(());
            }
            Pulled::Done => {}
        }
        let rendered = self.rendered(key)?;
        session.report.waiting(key.stack.as_str(), "is being deployed");
        self.attempted(key);
        for roll in rolls {
            let command = command_after(session, &rendered, roll)?;
            session.door.roll(roll, command.as_deref())?;
        }
        let images = rolls.iter().map(|roll| (roll.service.clone(), roll.image.to_string())).collect();
        self.set_in_motion(session, key, &rendered, By::Roll(images), &apply.reason)
    }

    /// What runs already is only looked at; what a hand edited, or edits from now on, is drift.
    pub fn adopt(&mut self, session: &Session<'_>, key: &Key, reason: &str, swarm: &Swarm) -> Result<()> {
        self.copy_bindings(session, key)?;
        let rendered = self.rendered(key)?;
        self.note_foreign_images(session, &rendered)?;
        self.attempted(key);
        self.set_in_motion(session, key, &rendered, By::Sight(swarm), reason)
    }

    /// A wish to deploy it by force is met by trying.
    fn attempted(&mut self, key: &Key) {
        self.memory.has_acted = true;
        if let Some(source) = self.source_mut(key) {
            source.forced.remove(&key.stack);
        }
    }

    fn set_in_motion(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        rendered: &RenderedStack,
        by: By<'_>,
        reason: &str,
    ) -> Result<()> {
        let source = self.source(key)?;
        let Some((row, desired)) = source.row.as_ref().zip(source.desired(&key.stack)) else { return Ok(()) };
        let of = |kind: StoredKind| {
            let rotated = rendered.rotated.iter().filter(|rotated| rotated.kind == kind);
            rotated.map(|rotated| (rotated.name.clone(), rotated.plain.clone())).collect()
        };
        let image = |service: &crate::compose::Service| service.image.as_ref().map(ToString::to_string);
        let (how, wanted) = match &by {
            By::Deploy(_) if desired.past.is_some() => (GivenHow::Rollback, plan::wanted(rendered)),
            By::Deploy(_) => (GivenHow::Deploy, plan::wanted(rendered)),
            By::Roll(_) if desired.entry.drift == DriftPolicy::Correct => {
                (GivenHow::Roll, plan::wanted(rendered))
            }
            By::Roll(_) => (GivenHow::Roll, BTreeMap::new()),
            // What Git says counts, and not what a hand made of it while nobody looked.
            By::Sight(_) => (GivenHow::Adopt, plan::wanted(rendered)),
        };
        let jobs = match &by {
            By::Deploy(jobs) => jobs.clone(),
            By::Roll(_) | By::Sight(_) => self.jobs(key, rendered)?,
        };
        let before = source.motion(&key.stack).and_then(|motion| motion.given.as_ref());
        let before =
            before.filter(|_| jobs.as_ref().is_some_and(|jobs| jobs.run && jobs.step != jobs.first()));
        let specs = before.map(|before| before.specs.clone()).unwrap_or_default();
        let mut given = state::Given {
            how,
            reason: reason.to_owned(),
            commit: source.commit_of(&key.stack).unwrap_or_default().to_owned(),
            compose_path: desired.entry.compose_path.clone(),
            drift: desired.entry.drift,
            depends_on: desired.entry.depends_on.clone(),
            services: rendered
                .services
                .iter()
                .map(|service| (rendered.name.scope(&service.name), image(service)))
                .collect(),
            wanted,
            specs,
            versions: Versions {
                configs: of(StoredKind::Config),
                secrets: of(StoredKind::Secret),
                scripts: rendered.scripts().iter().map(|script| script.name.clone()).collect(),
            },
            plain: desired.past.as_ref().map(|past| past.hash.clone()),
            text: rendered.shown(),
            jobs,
        };
        if let By::Sight(swarm) = by {
            given.specs = first::specs(&given, &key.stack, swarm);
        }
        let rolls = match by {
            By::Roll(rolls) => rolls,
            // What fails of it is not tried again before these tags move.
            By::Deploy(Some(jobs)) => jobs.images,
            By::Deploy(None) | By::Sight(_) => BTreeMap::new(),
        };
        let motion = Motion {
            repository_id: row.id,
            name: key.stack.clone(),
            hash: rendered.fingerprint.clone(),
            rolls,
            since: session.door.now().wall,
            given: Some(given),
        };
        session.state.note_motion(&motion)?;
        self.memory.watches.remove(key);
        if let Some(source) = self.source_mut(key) {
            source.motions.retain(|known| known.name != key.stack);
            source.motions.push(motion);
        }
        Ok(())
    }

    /// What is as it should be keeps what it mounts; what moved of it without a deploy is recorded.
    pub fn keep(&mut self, session: &Session<'_>, key: &Key, drifts: &[Drift]) -> Result<()> {
        self.note_drifts(session, key, drifts)?;
        if self.source(key)?.desired(&key.stack).is_none() {
            return Ok(());
        }
        if !self.options.dry_run {
            self.copy_bindings(session, key)?;
        }
        let source = self.source(key)?;
        let (Some(row), Some(record)) = (source.stack(&key.stack), source.record(&key.stack, None)) else {
            return Ok(());
        };
        // It may have moved its file, or changed what it wants done about drift.
        if row.compose_path != record.compose_path || row.drift != record.drift {
            let error = row.error.as_deref();
            session.state.record(&Record { status: row.status, error, held: row.held, ..record })?;
        } else if let Some(owner) = source.row.as_ref().filter(|_| source.motion(&key.stack).is_some()) {
            session.state.forget_motion(owner, &key.stack)?;
        }
        Ok(())
    }

    /// Says what drifted and is left.
    pub fn note_drifts(&self, session: &Session<'_>, key: &Key, drifts: &[Drift]) -> Result<()> {
        if !drifts.is_empty() {
            let text = format!("drifted, left as it is: {}", drift::sentence(drifts));
            session.report.stays_noted(self.source(key)?.subject(&key.stack), &text);
        }
        Ok(())
    }

    /// Why nothing can be done is told and recorded, where that is a failure.
    pub fn block(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        blocked: &Blocked,
        decision: Decision,
    ) -> Result<()> {
        self.memory.decided(key, decision);
        if let Until::Released(_) = blocked.until {
            let change = blocked.detail.as_ref().map(|change| format!("; {change}"));
            let text = format!("{}{}", blocked.why, change.unwrap_or_default());
            let is_new = self.memory.reported.insert((key.clone(), text.clone()));
            let source = self.source(key)?;
            if is_new {
                session.report.on_hold(source.subject(&key.stack), &text);
            }
            // What failed before stays so, and says why.
            let error = source.stack(&key.stack).and_then(|row| row.error.as_ref());
            if let Some(error) = error.filter(|_| is_new && blocked.until.is_failure()) {
                session.report.stays_failed(source.subject(&key.stack), error);
            }
            return self.end_half_way(session, key);
        }
        if blocked.until == Until::Clear {
            self.note_stays(session, key, &blocked.why)?;
        }
        if !blocked.until.is_failure() {
            let source = self.source(key)?;
            let commit = source.stack(&key.stack).and_then(|row| row.commit.as_deref());
            if matches!(source.reading, Reading::BackingOff) {
                session.report.still_failed(Subject { commit, ..source.subject(&key.stack) });
            }
            return Ok(());
        }
        let held = blocked.until == Until::SourceChanges;
        let is_held = held || blocked.until == Until::DependencyHeld;
        let text = if is_held { with_held(&blocked.why) } else { blocked.why.clone() };
        let is_new = self.memory.reported.insert((key.clone(), text.clone()));
        let source = self.source(key)?;
        if is_new {
            session.report.stays_failed(source.subject(&key.stack), &text);
        }
        if source.read().is_none() || blocked.until == Until::Seen {
            return Ok(());
        }
        let why = match &blocked.detail {
            Some(detail) => format!("{}: {detail}", blocked.why),
            None => blocked.why.clone(),
        };
        let row = source.stack(&key.stack);
        let is_known = row.is_some_and(|row| {
            let same = row.error.as_deref().is_some_and(|known| known == crate::plain::text(&why));
            same && row.status == StackStatus::Error
                && row.held == held
                && row.commit.as_deref() == source.commit_of(&key.stack)
        });
        if let Some(record) = source.record(&key.stack, Some(&why)).filter(|_| is_new && !is_known) {
            session.state.record(&Record { held, ..record })?;
        }
        Ok(())
    }

    /// What was tried failed: told, recorded, and not tried again in this run.
    pub fn fail(&mut self, session: &Session<'_>, key: &Key, why: &str, held: bool) -> Result<()> {
        session.report.stop_waiting(key.stack.as_str());
        let until = if held { Until::SourceChanges } else { Until::NextRun };
        self.memory.tried.insert(key.clone(), Tried::Failed { why: why.to_owned(), held });
        self.memory.ended.remove(key);
        let text = if held { with_held(why) } else { why.to_owned() };
        self.memory.reported.insert((key.clone(), text.clone()));
        self.memory.decided(key, Decision::blocked(why, until));
        self.stirred = true;
        // It goes with the record of what came of it.
        if let Some(source) = self.source_mut(key) {
            source.motions.retain(|known| known.name != key.stack);
        }
        let source = self.source(key)?;
        if held {
            // It stays so: later cycles do not tell it again.
            session.report.stays_failed(source.subject(&key.stack), &text);
        } else {
            session.report.failed(source.subject(&key.stack), &text);
        }
        let Some(record) = source.record(&key.stack, Some(why)) else { return Ok(()) };
        let Some(rendered) = source.desired(&key.stack).and_then(DesiredStack::rendered) else {
            return session.state.record(&Record { held, ..record });
        };
        // Of a first attempt that came so far the images are known; later ones keep what had converged.
        let first = source.stack(&key.stack).is_none_or(StackRow::is_unapplied)
            && self.knows_images(session, rendered)?;
        let services = first.then(|| first::unapplied(rendered));
        session.state.record(&Record { held, services, ..record })?;
        session.state.note_text(&key.stack, &source.url, &rendered.shown(), false)
    }
}
