//! Outcomes become rows and lines.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;

use super::Session;
use super::planned::PlannedSource;
use crate::compose::{self, RenderedStack};
use crate::deploy::{Job, Observer, Outcome, Work};
use crate::docker::Roll;
use crate::docker::service::Service;
use crate::report::Tally;
use crate::stack::StackName;
use crate::state::{AppliedService, Attempt, Record, StackRow, StackStatus};

/// Writes each outcome when it is known, so that a run that is cut off loses none.
#[derive(Debug)]
pub struct Recorder<'a> {
    session: &'a Session<'a>,
    jobs: &'a [Job<'a>],
    sources: &'a [&'a PlannedSource],
    tally: &'a mut Tally,
    begun: BTreeMap<StackName, Instant>,
    /// The jobs that converged.
    pub converged: Vec<usize>,
}

impl<'a> Recorder<'a> {
    /// `sources` holds the source of each job.
    pub fn new(
        session: &'a Session<'a>,
        jobs: &'a [Job<'a>],
        sources: &'a [&'a PlannedSource],
        tally: &'a mut Tally,
    ) -> Self {
        Self { session, jobs, sources, tally, begun: BTreeMap::new(), converged: Vec::new() }
    }

    fn record(&self, record: &Record<'_>, rendered: &RenderedStack, converged: bool) -> Result<()> {
        self.session.state.record(record)?;
        self.session.state.note_text(record.name, record.repository_url, &rendered.shown(), converged)
    }

    /// The seconds since its deploy began.
    fn took(&self, stack: &StackName) -> String {
        self.begun
            .get(stack)
            .map(|begun| format!("; converged in {} s", begun.elapsed().as_secs()))
            .unwrap_or_default()
    }
}

impl Observer for Recorder<'_> {
    fn deploying(&mut self, stack: &StackName) {
        self.begun.insert(stack.clone(), Instant::now());
        self.session.report.waiting(stack.as_str(), "is being deployed");
    }

    fn accepted(&mut self, job: usize) -> Result<()> {
        let (source, Job { rendered, work, .. }) = (self.sources[job], &self.jobs[job]);
        let Some(row) = &source.row else { return Ok(()) };
        let rolls = match work {
            Work::Deploy { .. } => BTreeMap::new(),
            Work::Roll(rolls) => {
                rolls.iter().map(|roll| (roll.service.clone(), roll.image.to_string())).collect()
            }
            Work::Nothing => return Ok(()),
        };
        self.session.state.note_attempt(&Attempt {
            repository_id: row.id,
            name: rendered.name.clone(),
            hash: rendered.fingerprint.clone(),
            rolls,
        })
    }

    fn waiting(&mut self, stack: &StackName, what: &str) {
        self.session.report.waiting(stack.as_str(), what);
    }

    fn pulling(&mut self, image: &str, what: &str) {
        self.session.report.waiting(image, what);
    }

    fn pulled(&mut self, image: &str, result: &Result<(), String>) -> Result<()> {
        self.session.report.settle(image);
        match result {
            Ok(()) => {
                self.tally.pulled += 1;
                self.session.report.progress(&format!("pulled `{image}`"));
                self.session.state.track_image(image)
            }
            Err(why) => {
                self.session.report.note(image, &format!("could not be pulled to this node: {why}"));
                Ok(())
            }
        }
    }

    fn finished(&mut self, job: usize, outcome: &Outcome) -> Result<()> {
        let (source, Job { rendered, reason, .. }) = (self.sources[job], &self.jobs[job]);
        let (name, report) = (&rendered.name, self.session.report);
        report.settle(name.as_str());
        match outcome {
            Outcome::Converged(live) => {
                self.tally.deployed += 1;
                self.converged.push(job);
                report.deployed(source.subject(name), &format!("{reason}{}", self.took(name)));
                let Some(record) = source.record(name, None) else { return Ok(()) };
                let state = self.session.state;
                let services = Some(match &self.jobs[job].work {
                    Work::Roll(rolls) => {
                        state.forget_failed_rolls(rolls.iter().map(|roll| &*roll.service))?;
                        rolled(source.stack(name), rolls, live)
                    }
                    Work::Deploy { .. } => {
                        state.forget_failed_rolls(live.iter().map(|live| &*live.name))?;
                        applied(rendered, live)
                    }
                    Work::Nothing => applied(rendered, live),
                });
                let hash = Some(&*rendered.fingerprint);
                let record = Record { status: StackStatus::Deployed, hash, services, ..record };
                self.record(&record, rendered, true)
            }
            Outcome::Kept(why) => {
                self.tally.unchanged += 1;
                report.note(name.as_str(), &format!("{why}; it keeps what it runs"));
                Ok(())
            }
            Outcome::Failed { why, held } => {
                self.tally.failed += 1;
                if let Some(row) = source.row.as_ref().filter(|_| *held) {
                    self.session.state.note_failed_rolls(row, name)?;
                }
                report.failed(source.subject(name), why);
                let Some(record) = source.record(name, Some(why)) else { return Ok(()) };
                // Of a first attempt at least the images are known; later ones keep what had converged.
                let first = source.stack(name).is_none_or(|row| row.services.is_empty());
                let services = first.then(|| applied(rendered, &[]));
                self.record(&Record { held: *held, services, ..record }, rendered, false)
            }
        }
    }
}

/// The services as they were applied before, but for what a new image brings along: so other drift still shows.
fn rolled(row: Option<&StackRow>, rolls: &[Roll], live: &[Service]) -> BTreeMap<String, AppliedService> {
    let mut services = row.map(|row| row.services.clone()).unwrap_or_default();
    for roll in rolls {
        let live = live.iter().find(|live| live.name == roll.service);
        if let Some((applied, live)) = services.get_mut(&roll.service).zip(live) {
            for part in ["image", "command"] {
                match live.summary.get(part) {
                    Some(value) => applied.spec.insert(part.to_owned(), value.clone()),
                    None => applied.spec.remove(part),
                };
            }
        }
    }
    services
}

fn applied(rendered: &RenderedStack, live: &[Service]) -> BTreeMap<String, AppliedService> {
    let service = |service: &compose::Service| {
        let name = rendered.name.scope(&service.name);
        let spec =
            live.iter().find(|live| live.name == name).map(|live| live.summary.clone()).unwrap_or_default();
        (name, AppliedService { image: service.image.as_ref().map(ToString::to_string), spec })
    };
    rendered.services.iter().map(service).collect()
}
