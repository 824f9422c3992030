//! The daemon: the loop without an end, and a handle to it for other threads.
//!
//! In: settings, triggers, signals. Out: runs, a log, counters, health. It takes its turns while anything is in
//! motion, and takes in what is asked for between two of them: nobody waits for somebody else's trouble. It holds the
//! lock for a turn, so that commands work beside it.

mod backoff;
mod bell;
mod counters;
mod cycle;
mod database;
mod health;
mod queue;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::lock::{self, Lock};
use crate::process;
use crate::reconcile::Reconciler;
use crate::report::{Pulse, Report};
use crate::settings::beside;
use crate::settings::{RunSettings, Settings};
use crate::signal;
use crate::source::SourceId;
use crate::state::{self, Event, Level, State};
use backoff::Backoff;
use bell::Bell;
use counters::unix_now;
use cycle::Run;
use database::Database;
use health::Vitals;
use queue::Queue;
use targets::Pending;

pub use counters::Counters;
pub use health::Health;
pub use queue::{JobId, JobState, JobView, Scope, Trigger};

/// What the loop and its handles share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    counters: Mutex<Counters>,
    vitals: Vitals,
    database: Database,
    unwatched: Mutex<Vec<String>>,
    /// The sources that failed, and until when they are not tried again where they do not move.
    backing_off: Mutex<BTreeMap<SourceId, Instant>>,
    interval: Duration,
    bell: Bell,
}

/// How often a pause looks for what was fetched.
const TICK: Duration = Duration::from_millis(100);

/// The loop, for other threads.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Asks for a run, and returns at once; merges with one for the same target that waits already.
    pub fn trigger(&self, trigger: Trigger) -> JobId {
        let id = self.shared.queue().push(trigger);
        self.shared.bell.ring();
        id
    }

    /// How far a job is; `None` for one that never was, or that ended long ago.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        self.shared.queue().view(id)
    }

    /// Whether the loop lives, and has what it works with.
    pub fn health(&self) -> Health {
        Health { lost: self.shared.database.lost(), ..self.shared.vitals.health() }
    }

    /// Fails while the database that the loop works with is gone.
    pub fn has_database(&self) -> Result<()> {
        self.shared.database.check()
    }

    /// The sources of `DOCKEROPS_REPOS` that the last cycle could not watch either.
    pub fn unwatched(&self) -> Vec<String> {
        self.shared.unwatched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long a source that failed is left alone yet, where that is longer than until the next cycle.
    pub fn backs_off(&self, source: &SourceId) -> Option<Duration> {
        let until = *self.shared.backing_off.lock().unwrap_or_else(PoisonError::into_inner).get(source)?;
        let left = until.checked_duration_since(Instant::now())?;
        (left > self.shared.interval).then_some(left)
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.shared.counters().clone()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop, before it runs.
#[derive(Debug)]
pub struct Daemon {
    settings: Settings,
    interval: Duration,
    shared: Arc<Shared>,
    report: Rc<Report>,
    pending: Vec<Pending>,
    backoff: Backoff,
    reconciler: Reconciler,
    /// What was asked for and has not come to rest.
    runs: Vec<Run>,
    _lock: Lock,
}

impl Daemon {
    /// Fails where no cycle could ever be done: another daemon of this database runs, or it cannot be opened.
    pub fn new(settings: &Settings, run: &RunSettings) -> Result<Self> {
        state::make_folder(&settings.database)?;
        let lock = lock::take(&beside(&settings.database, ".daemon"), "run")?;
        State::read(&settings.database)?;
        let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let pulse = Arc::new(Pulse::new());
        let shared = Shared {
            // Ids that an earlier daemon gave are not given again.
            queue: Mutex::new(Queue::new(u64::try_from(milliseconds).unwrap_or_default())),
            counters: Mutex::new(Counters { started: unix_now(), ..Counters::default() }),
            vitals: Vitals::new(Arc::clone(&pulse)),
            database: Database::new(&settings.database),
            unwatched: Mutex::default(),
            backing_off: Mutex::default(),
            interval: run.interval,
            bell: Bell::new().context("cannot listen for signals")?,
        };
        Ok(Self {
            settings: settings.clone(),
            interval: run.interval,
            shared: Arc::new(shared),
            report: Rc::new(Report::of_daemon(run.log, pulse)),
            pending: targets::pending(&run.repos),
            backoff: Backoff::new(run.interval),
            reconciler: Reconciler::of_daemon(),
            runs: Vec::new(),
            _lock: lock,
        })
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Runs until SIGTERM or SIGINT, which is how it is to end.
    pub fn run(mut self) {
        let every = self.interval.as_secs();
        self.log("started", &format!("dockerops {}, every {every} s", env!("CARGO_PKG_VERSION")));
        let mut due = Instant::now();
        while signal::received().is_none() {
            if signal::take_hangup() {
                let trigger = Trigger { scope: Scope::All, force: false, cause: "SIGHUP".into() };
                self.shared.queue().push(trigger);
            }
            let now = Instant::now();
            let jobs = if now >= due { Vec::new() } else { self.shared.queue().take() };
            let asked = (!jobs.is_empty() || now >= due).then_some(jobs);
            if asked.is_none() && !self.is_under_way() {
                self.shared.bell.wait(due - now);
                continue;
            }
            self.shared.vitals.set_busy(true);
            let was_cycle = self.work(asked);
            self.shared.vitals.set_busy(false);
            process::reap();
            if was_cycle {
                due = Instant::now() + with_jitter(self.interval);
            }
            if self.is_under_way() && !self.reconciler.is_stirred() {
                self.pause();
            }
        }
        self.leave();
        self.log("stopped", "asked to end; what was applied is recorded");
    }

    /// Between two turns: until the bell rings, or something was fetched.
    fn pause(&mut self) {
        let until = Instant::now() + self.reconciler.pause();
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let is_fetching = self.reconciler.is_fetching();
            if self.shared.bell.wait(if is_fetching { left.min(TICK) } else { left })
                || self.reconciler.has_fetched()
            {
                return;
            }
        }
    }

    /// A line of the daemon's log, about itself.
    pub fn log(&self, kind: &str, message: &str) {
        self.say(Level::Info, kind, message);
    }

    /// Likewise, of what somebody should look at.
    pub fn warn(&self, message: &str) {
        self.say(Level::Warn, "settings", message);
    }

    fn say(&self, level: Level, kind: &str, message: &str) {
        let event = Event { level, kind, repository: None, stack: None, commit: None, message };
        self.report.log(&event, false);
    }
}

/// Up to a tenth longer, so that many daemons do not ask one git server in step.
fn with_jitter(interval: Duration) -> Duration {
    let tenth = u64::try_from(interval.as_millis() / 10).unwrap_or_default();
    interval + Duration::from_millis(random() % (tenth + 1))
}

/// Unguessable enough for jitter: the standard library seeds its hashers with it.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
