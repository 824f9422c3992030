//! One turn of the loop, and the runs that it carries on: begun, told and noted. Whatever fails in a turn ends the
//! runs, not the daemon.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Daemon;
use super::counters::unix_now;
use super::queue::{Job, Scope};
use super::targets::Selection;
use crate::fault::hint_of;
use crate::git::{Commit, LONGEST_TRANSFER};
use crate::lock::Held;
use crate::reconcile::{Reconciler, Selection as Stacks};
use crate::report::Tally;
use crate::signal::{self, Interrupted};
use crate::source::SourceId;
use crate::state::{Event, Level, StackStatus};
use crate::watched::{Watched, watched};
use crate::writer::Writer;

/// Between two looks at a lock that another run holds.
const PATIENCE: Duration = Duration::from_millis(250);

/// A cycle, or jobs that are done together, from the moment they were asked for until nothing of them is in motion.
#[derive(Debug)]
pub struct Run {
    jobs: Vec<Job>,
    is_cycle: bool,
    begun: Instant,
    /// The sources it is for: their identity, and at its end the commit each names if its remote could be asked.
    sources: BTreeMap<SourceId, Option<Commit>>,
    stacks: Stacks,
    /// Sources that could not even be read.
    unreadable: usize,
    nothing: Option<String>,
}

/// The runs that came to their end, each with what came of it in numbers.
type Ended = Vec<(Run, Tally)>;

/// A run that could be done.
struct Done {
    tally: Tally,
    /// All that is watched, as it is now.
    watched: Vec<Watched>,
    nothing: Option<String>,
}

impl Daemon {
    /// One turn, after `asked` was taken in, if anything was: jobs, or a cycle where there is none. Whether a cycle
    /// was.
    pub fn work(&mut self, asked: Option<Vec<Job>>) -> bool {
        let begun = asked.map(Run::new);
        let is_cycle = begun.as_ref().is_some_and(|run| run.is_cycle);
        if is_cycle {
            self.report.begin_cycle();
        }
        let new = begun.is_some();
        if is_cycle {
            self.end_earlier_cycles();
        }
        self.runs.extend(begun);
        match self.turn(new) {
            Ok((ended, watched)) => {
                for (run, tally) in ended {
                    self.note(&run, &watched);
                    let nothing = run.nothing.clone();
                    self.end(&run, &Ok(Done { tally, watched: watched.clone(), nothing }));
                }
            }
            Err(error) if error.is::<Interrupted>() => {}
            Err(error) => {
                self.leave();
                let text = format!("{error:#}");
                let mut first = Some(error);
                for run in std::mem::take(&mut self.runs) {
                    let error = first.take().unwrap_or_else(|| anyhow::anyhow!("{text}"));
                    self.end(&run, &Err(error));
                }
            }
        }
        is_cycle
    }

    /// Gives up what is under way. What docker was given is known to the database: whoever comes next looks after it.
    pub fn leave(&mut self) {
        let mut left = std::mem::replace(&mut self.reconciler, Reconciler::of_daemon());
        // A database that is gone is not made anew.
        if left.is_giving()
            && self.shared.database.check().is_ok()
            && let Ok(writer) = Writer::open_for(&self.settings, "run", self.report.clone())
        {
            left.leave(&writer.session());
        }
    }

    /// What is still in motion of a cycle that is overtaken is the next one's too.
    fn end_earlier_cycles(&mut self) {
        let earlier: Vec<_> = self.runs.extract_if(.., |run| run.is_cycle && run.jobs.is_empty()).collect();
        for run in earlier {
            let tally = self.reconciler.tally(run.sources.keys(), &run.stacks);
            let moving = self.reconciler.moving(run.sources.keys());
            // What was told once is not told of the next cycle.
            self.reconciler.forget_ended(run.sources.keys());
            let nothing = Some(format!("{}; still in motion: `{}`", tally.words(false), moving.join("`, `")));
            self.end(&run, &Ok(Done { tally, watched: Vec::new(), nothing }));
        }
    }

    /// Whether another turn has anything to do.
    pub fn is_under_way(&self) -> bool {
        !self.runs.is_empty()
    }

    /// One turn; the runs that came to their end in it, and all that is watched by then.
    fn turn(&mut self, new: bool) -> Result<(Ended, Vec<Watched>)> {
        self.shared.vitals.begin(self.longest_step(self.pending.len()));
        self.shared.database.check()?;
        let writer = self.writer()?;
        self.backoff.under(writer.policy_id());
        self.shared.database.note();
        if new {
            self.ask(&writer)?;
        }
        let waiting = self.backoff.waiting(Instant::now()).into_iter();
        self.reconciler.backing_off = waiting.map(|(id, (at, _))| (id, at)).collect();
        // What is to be watched may only now have been fetched.
        let is_pending = !self.pending.is_empty();
        let before = if is_pending { watched(&writer.state)? } else { Vec::new() };
        self.reconciler.turn(&writer.session())?;
        if is_pending {
            self.greet(&before, &watched(&writer.state)?);
        }
        self.shared.counters().add_happened(&self.reconciler.take_happened());
        for (owner, other) in self.reconciler.take_asked_for() {
            // Whoever waits for a removal waits for what is to be known before it.
            for run in self.runs.iter_mut().filter(|run| run.sources.contains_key(&owner)) {
                run.sources.entry(other.clone()).or_default();
            }
        }
        let at_rest = |run: &mut Run| self.reconciler.is_at_rest(run.sources.keys(), &run.stacks);
        let mut ended: Vec<_> = self.runs.extract_if(.., at_rest).collect();
        if ended.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        // Who asked for a part is told all that came of it; of cycles that end together the first tells of it.
        ended.sort_by_key(|run| run.is_cycle);
        let tally = |mut run: Run| {
            let mut tally = self.reconciler.tally(run.sources.keys(), &run.stacks);
            tally.failed += run.unreadable;
            if run.is_cycle {
                self.reconciler.forget_ended(run.sources.keys());
            }
            for (id, head) in &mut run.sources {
                *head = self.reconciler.head(id);
            }
            (run, tally)
        };
        let ended = ended.into_iter().map(tally).collect();
        let needed = |id: &SourceId| self.runs.iter().any(|run| run.sources.contains_key(id));
        self.reconciler.forget_settled(needed);
        self.shared.vitals.note(None);
        Ok((ended, watched(&writer.state)?))
    }

    /// Takes the newest run in.
    fn ask(&mut self, writer: &Writer) -> Result<()> {
        let Some(at) = self.runs.len().checked_sub(1) else { return Ok(()) };
        let jobs = self.runs[at].jobs.clone();
        for job in jobs.iter().filter(|job| !is_plain(job)) {
            let message = format!("{}: {}", job.trigger, job.trigger.cause);
            self.report.log(&Event { message: &message, ..of_daemon("triggered") }, true);
        }
        let before = watched(&writer.state)?;
        self.shared.vitals.begin(self.longest_step(before.len() + self.pending.len()));
        let Selection { targets, wish, unreadable, nothing } = self.select(&jobs, &before);
        for (label, error) in &unreadable {
            self.report.source_failed(label, error);
        }
        let run = &mut self.runs[at];
        (run.stacks, run.unreadable, run.nothing) = (wish.selection.clone(), unreadable.len(), nothing);
        if !targets.is_empty() {
            let ids: Vec<_> = targets.iter().map(|target| target.source.id().clone()).collect();
            self.reconciler.ask(&writer.session(), targets, &wish)?;
            self.runs[at].sources = ids.into_iter().map(|id| (id, None)).collect();
        }
        self.greet(&before, &watched(&writer.state)?);
        Ok(())
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
                    signal::pause(PATIENCE)?;
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
        let watched = |source: &SourceId| now.iter().any(|known| known.identity == *source);
        self.pending.retain(|entry| entry.source().is_none_or(|source| !watched(source.id())));
        let names = self.pending.iter().map(|entry| {
            // Text that is no source may hold a password.
            entry.source().map_or_else(|| entry.label.clone(), |source| source.to_string())
        });
        *self.shared.unwatched.lock().unwrap_or_else(PoisonError::into_inner) = names.collect();
    }

    /// Notes who failed and who did not, of those that were tried.
    fn note(&mut self, run: &Run, watched: &[Watched]) {
        if run.stacks != Stacks::All {
            return;
        }
        let mut counters = self.shared.counters();
        for known in watched {
            let Some(head) = run.sources.get(&known.identity) else { continue };
            self.backoff.note(&known.identity, is_to_retry(known), head.as_ref(), Instant::now());
            if known.row.error.is_none()
                && !known.stacks.iter().any(|stack| stack.status == StackStatus::Error)
            {
                counters.last_success.insert(known.row.url.clone(), unix_now());
            }
        }
        counters.last_success.retain(|url, _| watched.iter().any(|known| known.row.url == *url));
        self.backoff.keep(|source| watched.iter().any(|known| known.identity == *source));
        let now = Instant::now();
        let waiting = self.backoff.waiting(now).into_iter().map(|(id, (_, left))| (id, now + left));
        *self.shared.backing_off.lock().unwrap_or_else(PoisonError::into_inner) = waiting.collect();
    }

    /// Counts, tells and answers for a run.
    fn end(&self, run: &Run, result: &Result<Done>) {
        let took = run.begun.elapsed();
        {
            let mut counters = self.shared.counters();
            if let Ok(done) = result {
                counters.add_failures(done.tally.failed);
            }
            if run.is_cycle {
                counters.add_cycle(took, result.is_ok());
            } else {
                counters.jobs += 1;
            }
        }
        self.tell(&run.jobs, took, result);
        for job in &run.jobs {
            self.shared.queue().end(job.id, outcome(job, result));
        }
        if let Err(error) = result {
            self.shared.vitals.note(Some(with_hint(error)));
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
                let wrong = if of_all { wrong(&done.watched) } else { String::new() };
                let message = format!("{did}{cause}{wrong}");
                let level =
                    if done.tally.failed > 0 || done.tally.degraded > 0 { Level::Warn } else { Level::Info };
                self.report.log(&Event { level, message: &message, ..of_daemon(word) }, false);
            }
            Err(error) => {
                let message = format!("not done, tried again in the next cycle: {}", with_hint(error));
                let event = Event { level: Level::Error, message: &message, ..of_daemon(word) };
                self.report.log(&event, false);
            }
        }
    }
}

impl Run {
    /// For `jobs`; a cycle where there is none.
    fn new(jobs: Vec<Job>) -> Self {
        let is_cycle = jobs.first().is_none_or(|job| job.trigger.scope == Scope::All);
        let (begun, sources) = (Instant::now(), BTreeMap::new());
        Self { jobs, is_cycle, begun, sources, stacks: Stacks::All, unreadable: 0, nothing: None }
    }
}

/// A cycle that comes early, and is else like any other.
fn is_plain(job: &Job) -> bool {
    job.trigger.scope == Scope::All && !job.trigger.force
}

/// In one line.
fn with_hint(error: &anyhow::Error) -> String {
    let hint = hint_of(error).map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{error:#}{hint}")
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
fn wrong(watched: &[Watched]) -> String {
    let sources =
        watched.iter().filter(|known| known.row.error.is_some()).map(|known| known.row.url.as_str());
    let stacks = || watched.iter().flat_map(|known| &known.stacks);
    let failing =
        stacks().filter(|stack| stack.status == StackStatus::Error).map(|stack| stack.name.as_str());
    let degraded = stacks().filter(|stack| stack.status == StackStatus::Deployed && stack.degraded.is_some());
    let degraded = degraded.map(|stack| stack.name.as_str());
    listed("failing", sources.chain(failing)) + &listed("degraded", degraded)
}

fn listed<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => String::new(),
        count if count > SHOWN => {
            format!("; {word}: {} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!("; {word}: {}", names.join(", ")),
    }
}

/// The stacks that a hold kept from what was asked for.
fn on_hold(scope: &Scope, done: &Done) -> String {
    if done.tally.on_hold == 0 {
        return String::new();
    }
    let of_source = |known: &&Watched| scope.source().is_none_or(|source| *source == known.identity);
    let kept_back = done.watched.iter().filter(of_source).flat_map(|known| &known.on_hold);
    let kept_back = kept_back.filter(|stack| stack.change.is_some()).map(|stack| stack.name.as_str());
    let is_its = |name: &&str| !matches!(scope, Scope::Stack(stack) if stack != name);
    listed("on hold", kept_back.filter(is_its))
}

/// How a job went, for whoever asked for it.
fn outcome(job: &Job, result: &Result<Done>) -> Result<String, String> {
    let done = result.as_ref().map_err(|error| format!("{error:#}"))?;
    if let Some(why) = &done.nothing {
        return Ok(format!("nothing to do: {why}"));
    }
    let words = done.tally.words(false) + &on_hold(&job.trigger.scope, done);
    if let Scope::Build(name) = &job.trigger.scope {
        let mut builds = done.watched.iter().flat_map(|known| &known.builds).filter(|row| row.name == *name);
        return builds.find_map(|row| row.error.clone()).map_or(Ok(words), Err);
    }
    let Some(identity) = job.trigger.scope.source() else {
        return if done.tally.failed > 0 { Err(words) } else { Ok(words) };
    };
    // Several sources may have been done together: what counts is this one.
    let Some(known) = done.watched.iter().find(|known| known.identity == *identity) else {
        return Ok("nothing to do: that source is not watched".into());
    };
    let of_stacks = || known.stacks.iter().filter_map(|stack| Some((&stack.name, stack.error.as_ref()?)));
    match (&known.row.error, &job.trigger.scope) {
        (Some(error), _) => Err(error.clone()),
        (None, Scope::Change { stack, .. }) => {
            // Who changed one stack is not told that another one is in trouble as if it were theirs.
            let own = of_stacks().find(|(name, _)| *name == stack);
            let others = listed("failing", of_stacks().map(|(name, _)| name.as_str()));
            own.map_or(Ok(words + &others), |(_, error)| Err(error.clone()))
        }
        (None, _) => of_stacks().next().map_or(Ok(words), |(_, error)| Err(error.clone())),
    }
}
