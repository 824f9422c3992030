//! Work in a thread of its own, so that a stalled server delays neither a signal nor the run.
//!
//! libgit2 blocks in connect, name look-up and read; a thread that does not come back is abandoned. One that a server
//! keeps busy instead goes on: until it has ended, its remote is given no other one.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::explain;
use crate::fault::fault;
use crate::signal;

/// How long a fetch may take, submodules included. Without an end, one server that drips would hold up the
/// sources of all others.
pub const LONGEST_TRANSFER: Duration = Duration::from_secs(1_800);
/// How often a waiting loop looks for signals.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How long an interrupted worker may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// What the threads at work are known by. Each holds its own as long as it runs.
static AT_WORK: Mutex<Vec<Weak<Pulse>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

/// What worker and waiter tell each other: `go on`, and `I am alive`.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    cancelled: AtomicBool,
    beats: AtomicU64,
    /// Nobody waits for it any longer then.
    until: Option<Instant>,
    /// The source it is at work for.
    remote: OnceLock<String>,
}

impl Pulse {
    /// Of one that is waited for so long, whatever it does.
    pub(super) fn within(patience: Duration) -> Self {
        Self { until: Instant::now().checked_add(patience), ..Self::default() }
    }

    /// The worker is alive. Whether it shall go on.
    pub(super) fn beat(&self) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        !self.cancelled.load(Ordering::Relaxed)
    }

    /// The worker begins with the source at `url`, and goes on with its submodules. Fails where an earlier one that was
    /// abandoned is still at work for that source: each would burn a core for as long as a server likes.
    pub(super) fn begin(&self, url: &str, timeout: Duration) -> Result<()> {
        if self.remote.set(url.to_owned()).is_err() {
            return Ok(());
        }
        let is_at_it = |other: &Pulse| other.is_abandoned() && other.remote.get().is_some_and(|it| it == url);
        let mut at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.retain(|other| other.strong_count() > 0);
        if at_work.iter().filter_map(Weak::upgrade).any(|other| is_at_it(&other)) {
            return Err(explain::silent(url, patience(timeout)));
        }
        Ok(())
    }

    fn is_abandoned(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() > until)
    }
}

/// Whether nobody waits for this thread any longer.
pub(super) fn is_abandoned() -> bool {
    let told =
        |own: &RefCell<Option<Arc<Pulse>>>| own.borrow().as_ref().is_some_and(|own| own.is_abandoned());
    // A thread that ends has none left.
    OWN.try_with(told).unwrap_or(false)
}

/// Shows that the worker is alive; fails where it shall not go on.
pub(super) fn alive(pulse: &Pulse) -> Result<()> {
    if pulse.beat() { Ok(()) } else { Err(anyhow!("it was told to stop")) }
}

/// How long a connection may be silent before it is given up, whatever libgit2's own timeouts did: a
/// name look-up has none.
pub(super) fn patience(timeout: Duration) -> Duration {
    timeout * 2 + Duration::from_secs(5)
}

/// Starts `work` in a thread that may be abandoned.
pub(super) fn spawn(pulse: &Arc<Pulse>, work: impl FnOnce(&Pulse) + Send + 'static) -> Result<()> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(pulse));
    let own = Arc::clone(pulse);
    let work = move || {
        OWN.set(Some(Arc::clone(&own)));
        work(&own);
    };
    std::thread::Builder::new().name("git".into()).spawn(work).context("cannot start a thread")?;
    Ok(())
}

/// Runs `work` until it ends, stands still for `patience` (`None`), lasts longer than `longest`, or a signal comes.
pub(super) fn run<T: Send + 'static>(
    patience: Duration,
    longest: Duration,
    work: impl FnOnce(&Pulse) -> Result<T> + Send + 'static,
) -> Result<Option<T>> {
    let pulse = Arc::new(Pulse::default());
    let (sender, receiver) = mpsc::channel();
    spawn(&pulse, move |pulse| {
        let _ = sender.send(work(pulse));
    })?;
    let begun = Instant::now();
    let (mut beats, mut since) = (0, begun);
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(result) => return result.map(Some),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(anyhow!("git's thread ended without a result"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(why) = signal::check().and_then(|()| in_time(begun, longest)) {
            pulse.cancelled.store(true, Ordering::Relaxed);
            let _ = receiver.recv_timeout(GRACE);
            return Err(why);
        }
        let now = pulse.beats.load(Ordering::Relaxed);
        if now != beats {
            (beats, since) = (now, Instant::now());
        } else if since.elapsed() > patience {
            pulse.cancelled.store(true, Ordering::Relaxed);
            return Ok(None);
        }
    }
}

fn in_time(begun: Instant, longest: Duration) -> Result<()> {
    if begun.elapsed() <= longest {
        return Ok(());
    }
    Err(fault(
        format!("the fetch was given up: it was still under way after {} s", longest.as_secs()),
        "check the network and the server; of a repository only the files of one commit are fetched",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_that_drips_without_end_is_given_up() {
        let drip = |pulse: &Pulse| {
            while pulse.beat() {
                std::thread::sleep(TICK / 10);
            }
            Ok(())
        };
        let begun = Instant::now();
        let error = run(Duration::from_secs(60), TICK * 2, drip).unwrap_err();
        assert!(error.to_string().contains("still under way after 0 s"), "{error}");
        assert!(begun.elapsed() < GRACE, "it heeds what it is told");
        let silent = |_: &Pulse| {
            std::thread::sleep(TICK * 5);
            Ok(())
        };
        assert_eq!(run(TICK, TICK * 90, silent).unwrap(), None);
    }
}
