//! What is told of sources and builds, and what a dry run says of each decision.

use std::collections::BTreeSet;

use anyhow::Result;

use super::builds::ImageState;
use super::session::Selection;
use super::source::{Reading, WatchedSource};
use super::survey::failure;
use super::{Key, Reconciler, Session};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::manifest::NamedJob;
use crate::plan::{Blocked, Decision, How, Remove, RunJobs, Until};
use crate::report::run::End;
use crate::source::SourceId;
use crate::state::BuildRow;

/// Behind an image that is not built again by itself.
const HELD: &str = " (held until the repository changes, or `reconcile --force`)";

impl Reconciler {
    /// Says which sources could not be had, and which images are not built.
    pub fn tell_of_sources(&mut self, session: &Session<'_>, asked: &BTreeSet<SourceId>) {
        if let Some(policy) = session.policy.filter(|_| !asked.is_empty()) {
            let place = policy.path().display().to_string();
            for (index, what) in policy.ending_keys().iter().enumerate() {
                session.report.noted_until_changed(&*place, index, what);
            }
        }
        for source in self.sources.iter().filter(|source| asked.contains(&source.id)) {
            if let Some(error) = failure(source) {
                session.report.source_failed(source.url.as_str(), error);
                self.memory.of_sources.entry(source.id.clone()).or_default().failed += 1;
            }
            for (name, why) in unbuilt(session, source) {
                session.report.stays_failed(&*name, &why);
                self.memory.of_sources.entry(source.id.clone()).or_default().failed += 1;
            }
            if !self.options.dry_run {
                source.note_unused_bindings(session);
            }
        }
    }

    /// Says what would be built.
    pub fn describe_builds(&mut self, session: &Session<'_>) {
        for source in &self.sources {
            let concerned = source.concerned();
            let images = source.read().into_iter().flat_map(|read| &read.images);
            for image in images.filter(|image| concerned.contains(&image.source.name)) {
                if let ImageState::ToBuild(reason) = &image.state {
                    let name = image.source.name.to_string();
                    let count = &mut self.memory.would.built;
                    session.report.would(&name, &format!("build: {reason}"), count);
                }
            }
        }
    }

    /// Says what would be done about a stack.
    pub fn describe(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        decision: Decision,
        swarm: &Swarm,
    ) -> Result<()> {
        let (name, mut would, mut would_not) = (key.stack.as_str(), Vec::new(), None);
        match &decision {
            Decision::Apply(apply) => {
                let what = match &apply.how {
                    How::Deploy { jobs, .. } => {
                        format!("deploy: {}{}", apply.reason, self.jobs_that_run(key, jobs))
                    }
                    How::Roll(_) => format!("roll: {}", apply.reason),
                    How::Judge => format!("not deploy: {}", apply.reason),
                    How::Adopt => "adopt: it runs as the source says".to_owned(),
                };
                session.report.would(name, &what, &mut self.memory.would.deployed);
                self.memory.planned.insert(key.clone(), (End::ToDeploy, what));
                would.push(&apply.how);
            }
            Decision::Blocked(Blocked { why, until: Until::Build | Until::Dependency, .. }) => {
                let text = format!("deploy, unless the build changes nothing: {why}");
                session.report.would(name, &text, &mut self.memory.would.deployed);
                self.memory.planned.insert(key.clone(), (End::ToDeploy, text));
                would.push(&How::Adopt);
            }
            Decision::Remove(Remove::FromSwarm { reason, .. }) => {
                let text = format!("remove: {reason}");
                session.report.would(name, &text, &mut self.memory.would.removed);
                self.memory.planned.insert(key.clone(), (End::ToRemove, text));
            }
            Decision::InMotion if swarm.of_stack(&key.stack).any(Service::goes_back) => {
                let text = "not deploy: an earlier run deployed it, and Swarm went back from it";
                session.report.would(name, text, &mut self.memory.would.failed);
                self.memory.planned.insert(key.clone(), (End::Failed, text.to_owned()));
            }
            Decision::InMotion => {
                let text = "wait: docker was given it, and nobody has seen it converge";
                session.report.would(name, text, &mut self.memory.would.deployed);
                self.memory.planned.insert(key.clone(), (End::ToDeploy, text.to_owned()));
            }
            Decision::Blocked(Blocked { why, detail, until: Until::Released(_) }) => {
                let change = detail.as_ref().map(|change| format!("; {change}")).unwrap_or_default();
                let source = self.sources.iter().find(|source| source.id == key.source);
                if let Some(source) = source {
                    session.report.on_hold(source.subject(&key.stack), &format!("{why}{change}"));
                }
                self.memory.decided(key, decision.clone());
            }
            Decision::InSync { drifts } => {
                would_not = Some(drifts.clone());
            }
            Decision::Remove(_) | Decision::Blocked(_) => {}
        }
        if let Decision::Apply(apply) = &decision {
            self.note_drifts(session, key, &apply.drifts)?;
        }
        if let Some(show) = self.options.show
            && !would.is_empty()
            && !matches!(would[0], How::Roll(_))
        {
            self.show(session, show, key)?;
        }
        match (would_not, &decision) {
            (Some(drifts), _) => {
                self.note_drifts(session, key, &drifts)?;
                self.memory.decided(key, decision);
            }
            (None, Decision::Blocked(blocked)) if blocked.until.is_failure() => {
                let held = if blocked.until == Until::SourceChanges { HELD } else { "" };
                let source = self.sources.iter().find(|source| source.id == key.source);
                if let Some(source) = source {
                    session
                        .report
                        .stays_failed(source.subject(&key.stack), &format!("{}{held}", blocked.why));
                }
                self.memory.decided(key, decision);
            }
            (None, Decision::Blocked(blocked)) if blocked.until == Until::Clear => {
                self.note_stays(session, key, &blocked.why)?;
                self.memory.decided(key, decision);
            }
            (None, Decision::Remove(Remove::NoteStopped)) => self.memory.decided(key, Decision::in_sync()),
            (None, _) => {}
        }
        Ok(())
    }

    /// Which jobs a deploy of the stack runs, in words.
    fn jobs_that_run(&self, key: &Key, run: &RunJobs) -> String {
        let source = self.sources.iter().find(|source| source.id == key.source);
        let entry = source.and_then(|source| source.desired(&key.stack)).map(|desired| &desired.entry.jobs);
        let Some(entry) = entry.filter(|entry| !entry.is_empty()) else { return String::new() };
        let names = |jobs: &[NamedJob]| {
            let runs = |job: &&NamedJob| match run {
                RunJobs::Moved { jobs, .. } => jobs.contains(&key.stack.scope(&job.service)),
                _ => true,
            };
            jobs.iter().filter(runs).map(|job| format!("`{}`", job.service)).collect::<Vec<_>>()
        };
        let told = |names: Vec<String>, place| {
            (!names.is_empty()).then(|| format!("{} {place} it", names.join(", ")))
        };
        let parts: Vec<_> = [told(names(&entry.before), "before"), told(names(&entry.after), "behind")]
            .into_iter()
            .flatten()
            .collect();
        match run {
            RunJobs::No => String::new(),
            RunJobs::New | RunJobs::Again | RunJobs::Moved { .. } => {
                format!("; with {}", parts.join(" and "))
            }
            RunJobs::GoOn => "; a step of it is done".to_owned(),
        }
    }

    /// Shows what docker would be given for a stack.
    fn show(&self, session: &Session<'_>, show: crate::report::Show, key: &Key) -> Result<()> {
        let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { return Ok(()) };
        let Some(rendered) = source.desired(&key.stack).and_then(|desired| desired.rendered()) else {
            return Ok(());
        };
        let texts = source.row.as_ref().map(|row| session.state.texts(&row.url)).transpose()?;
        let applied = texts.and_then(|mut texts| texts.remove(&key.stack)?.applied);
        session.report.rendered(show, key.stack.as_str(), &rendered.shown(), applied.as_deref());
        Ok(())
    }
}

impl WatchedSource {
    /// Says what is worth telling of what was read, once.
    pub fn say_notes(&self, session: &Session<'_>) {
        let Some(read) = self.read() else { return };
        for rendered in read.desired.iter().filter_map(|desired| desired.rendered()) {
            for (index, note) in rendered.notes.iter().enumerate() {
                session.report.noted_until_changed(rendered.name.as_str(), index, note);
            }
        }
        for (id, problem) in &read.unused {
            session.report.noted_until_changed(id, 0, problem);
        }
    }
}

/// The images of a source that failed before and are not tried again, with why.
fn unbuilt(session: &Session<'_>, source: &WatchedSource) -> Vec<(String, String)> {
    let is_whole = source.wish.selection == Selection::All;
    match &source.reading {
        Reading::Read(read) => {
            let concerned = source.concerned();
            let images = read.images.iter().filter(|image| concerned.contains(&image.source.name));
            let told = |name: String, state: &ImageState| match state {
                ImageState::Failed { why, is_held: true } => Some((name, format!("{why}{HELD}"))),
                ImageState::Failed { why, is_held: false } | ImageState::Refused(why) => {
                    Some((name, why.clone()))
                }
                ImageState::ToBuild(_) | ImageState::Ready(_) => None,
            };
            images.filter_map(|image| told(image.source.name.to_string(), &image.state)).collect()
        }
        // Which stacks use them is not known here; those that do say so themselves.
        Reading::Unchanged | Reading::BackingOff if is_whole => {
            let known = session.state.builds().unwrap_or_default();
            let of_it =
                known.iter().filter(|row| Some(row.repository_id) == source.row.as_ref().map(|row| row.id));
            let held = |row: &BuildRow| if row.was_cut_off() { "" } else { HELD };
            let failed = of_it.filter_map(|row| Some((row, row.error.as_ref()?)));
            failed.map(|(row, why)| (row.name.clone(), format!("{why}{}", held(row)))).collect()
        }
        Reading::Unchanged | Reading::BackingOff | Reading::Failed(_) => Vec::new(),
    }
}
