//! One run: done, told, and noted; whatever fails in it ends the run, not the daemon.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::Daemon;
use super::counters::unix_now;
use super::queue::{Job, Scope};
use super::targets::Selection;
use crate::deploy::pause;
use crate::fault::hint_of;
use crate::git::LONGEST_TRANSFER;
use crate::lock::Held;
use crate::reconcile::{Outcome, reconcile};
use crate::report::Tally;
use crate::signal::Interrupted;
use crate::state::{Event, Level, StackStatus};
use crate::watched::{Watched, watched};
use crate::writer::Writer;

/// Between two looks at a lock that another run holds.
const PATIENCE: Duration = Duration::from_millis(250);

/// A run that could be done.
struct Done {
    tally: Tally,
    /// All that is watched, as it is now.
    watched: Vec<Watched>,
    nothing: Option<String>,
}

impl Daemon {
    /// Does `jobs`, or a cycle where there is none; whether it was for all sources.
    pub fn work(&mut self, jobs: &[Job]) -> bool {
        let is_cycle = jobs.first().is_none_or(|job| job.trigger.scope == Scope::All);
        if is_cycle {
            self.report.begin_cycle();
        }
        let begun = Instant::now();
        let result = self.attempt(jobs);
        if result.as_ref().is_err_and(Error::is::<Interrupted>) {
            return is_cycle;
        }
        self.count(is_cycle, begun.elapsed(), &result);
        self.tell(jobs, begun.elapsed(), &result);
        for job in jobs {
            self.shared.queue().end(job.id, outcome(job, &result));
        }
        self.shared.vitals.note(result.as_ref().err().map(|error| format!("{error:#}")));
        is_cycle
    }

    fn attempt(&mut self, jobs: &[Job]) -> Result<Done> {
        self.shared.vitals.begin(self.longest_step(self.pending.len()));
        let writer = self.writer()?;
        for job in jobs.iter().filter(|job| !is_plain(job)) {
            let message = format!("{}: {}", job.trigger, job.trigger.cause);
            self.report.log(&Event { message: &message, ..of_daemon("triggered") }, true);
        }
        let before = watched(&writer.state)?;
        self.shared.vitals.begin(self.longest_step(before.len() + self.pending.len()));
        let Selection { targets, options, unreadable, nothing } = self.select(jobs, &before);
        for (label, error) in &unreadable {
            self.report.source_failed(label, error);
        }
        let mut outcome = Outcome::default();
        if !targets.is_empty() {
            outcome = reconcile(&writer.session(), targets, &options)?;
        }
        outcome.tally.failed += unreadable.len();
        let watched = watched(&writer.state)?;
        self.greet(&before, &watched);
        if options.only.is_none() {
            self.note(&outcome, &watched);
        }
        Ok(Done { tally: outcome.tally, watched, nothing })
    }

    /// The lock and the database, as soon as no command holds them.
    fn writer(&self) -> Result<Writer> {
        let mut told = false;
        loop {
            match Writer::open_for(&self.settings, "run", self.report.clone()) {
                Err(error) if error.is::<Held>() => {
                    if !told {
                        let message = format!("{error:#}");
                        self.report.log(&Event { message: &message, ..of_daemon("waiting") }, false);
                        self.shared.vitals.note(Some(message));
                        told = true;
                    }
                    self.shared.vitals.beat();
                    pause(PATIENCE)?;
                }
                other => return other,
            }
        }
    }

    /// No single step of a run may take longer, however it goes: git asks 64 servers at a time, a transfer may
    /// last while bytes come, and a build or a push may say nothing until its end.
    pub fn longest_step(&self, sources: usize) -> Duration {
        let rounds = u32::try_from(sources / 64 + 1).unwrap_or(u32::MAX);
        let git = self.settings.git.timeout * 2 + Duration::from_secs(10);
        let docker = self.settings.deploy_timeout.max(self.settings.build_timeout);
        docker + git.saturating_mul(rounds) + LONGEST_TRANSFER
    }

    /// Says what is watched from now on.
    fn greet(&mut self, before: &[Watched], now: &[Watched]) {
        for known in now.iter().filter(|known| !before.iter().any(|old| old.row.id == known.row.id)) {
            self.report.watched(&known.row.url);
        }
        let watched = |source: &str| now.iter().any(|known| known.identity == source);
        self.pending.retain(|entry| entry.source().is_none_or(|source| !watched(source.id())));
        let names = self.pending.iter().map(|entry| {
            // Text that is no source may hold a password.
            entry.source().map_or_else(|| entry.label.clone(), |source| source.to_string())
        });
        *self.shared.unwatched.lock().unwrap_or_else(PoisonError::into_inner) = names.collect();
    }

    /// Notes who failed and who did not, of those that were tried.
    fn note(&mut self, outcome: &Outcome, watched: &[Watched]) {
        let mut counters = self.shared.counters();
        for known in watched {
            let Some((_, head)) = outcome.heads.iter().find(|(id, _)| *id == known.identity) else {
                continue;
            };
            self.backoff.note(&known.identity, is_to_retry(known), head.as_ref(), Instant::now());
            if known.row.error.is_none()
                && !known.stacks.iter().any(|stack| stack.status == StackStatus::Error)
            {
                counters.last_success.insert(known.row.url.clone(), unix_now());
            }
        }
        counters.last_success.retain(|url, _| watched.iter().any(|known| known.row.url == *url));
        self.backoff.keep(|source| watched.iter().any(|known| known.identity == source));
    }

    fn count(&self, is_cycle: bool, took: Duration, result: &Result<Done>) {
        let mut counters = self.shared.counters();
        if let Ok(done) = result {
            counters.add(&done.tally);
        }
        if is_cycle {
            counters.add_cycle(took, result.is_ok());
        } else {
            counters.jobs += 1;
        }
    }

    /// The one line of a run.
    fn tell(&self, jobs: &[Job], took: Duration, result: &Result<Done>) {
        let of_all = jobs.first().is_none_or(|job| job.trigger.scope == Scope::All);
        let word = if of_all { "cycle" } else { "job" };
        let cause = jobs.iter().find(|job| is_plain(job)).map(|job| format!(" ({})", job.trigger.cause));
        let cause = cause.unwrap_or_default();
        let seconds = took.as_secs_f64();
        match result {
            Ok(done) => {
                let did = || format!("{} in {seconds:.1} s", done.tally.words(false));
                let did = done.nothing.clone().unwrap_or_else(did);
                let failing = if of_all { failing(&done.watched) } else { String::new() };
                let message = format!("{did}{cause}{failing}");
                let level = if done.tally.failed > 0 { Level::Warn } else { Level::Info };
                self.report.log(&Event { level, message: &message, ..of_daemon(word) }, false);
            }
            Err(error) => {
                let hint = hint_of(error).map(|hint| format!("; {hint}")).unwrap_or_default();
                let message = format!("not done, tried again in the next cycle: {error:#}{hint}");
                let event = Event { level: Level::Error, message: &message, ..of_daemon(word) };
                self.report.log(&event, false);
            }
        }
    }
}

/// A cycle that comes early, and is else like any other.
fn is_plain(job: &Job) -> bool {
    job.trigger.scope == Scope::All && !job.trigger.force
}

/// Something of the daemon itself, as it should be.
fn of_daemon(kind: &str) -> Event<'_> {
    Event { level: Level::Info, kind, repository: None, stack: None, commit: None, message: "" }
}

/// Whether the next run would try something of it again. What is held waits for a change, not for time.
pub fn is_to_retry(known: &Watched) -> bool {
    known.row.error.is_some()
        || known.stacks.iter().any(|stack| stack.status == StackStatus::Error && !stack.held)
}

/// The sources and stacks that are not as they should be, whether or not they were tried.
fn failing(watched: &[Watched]) -> String {
    const SHOWN: usize = 5;
    let sources =
        watched.iter().filter(|known| known.row.error.is_some()).map(|known| known.row.url.as_str());
    let stacks = watched.iter().flat_map(|known| &known.stacks);
    let stacks = stacks.filter(|stack| stack.status == StackStatus::Error).map(|stack| stack.name.as_str());
    let names: Vec<_> = sources.chain(stacks).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => String::new(),
        count if count > SHOWN => {
            format!("; failing: {} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!("; failing: {}", names.join(", ")),
    }
}

/// How a job went, for whoever asked for it.
fn outcome(job: &Job, result: &Result<Done>) -> Result<String, String> {
    let done = result.as_ref().map_err(|error| format!("{error:#}"))?;
    if let Some(why) = &done.nothing {
        return Ok(format!("nothing to do: {why}"));
    }
    let words = done.tally.words(false);
    let Scope::Source(identity) = &job.trigger.scope else {
        return if done.tally.failed > 0 { Err(words) } else { Ok(words) };
    };
    // Several sources may have been done together: what counts is this one.
    let Some(known) = done.watched.iter().find(|known| known.identity == *identity) else {
        return Ok("nothing to do: that source is not watched".into());
    };
    let error =
        known.row.error.as_ref().or_else(|| known.stacks.iter().find_map(|stack| stack.error.as_ref()));
    error.map_or(Ok(words), |error| Err(error.clone()))
}
