//! Work in a thread of its own, so that a stalled server delays neither a signal nor the run.
//!
//! libgit2 blocks in connect, name look-up and read; a thread that does not come back is abandoned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::fault::fault;
use crate::signal;

/// How long a fetch may take, submodules included. Without an end, one server that drips would hold up the
/// sources of all others.
pub const LONGEST_TRANSFER: Duration = Duration::from_secs(1_800);
/// How often a waiting loop looks for signals.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How long an interrupted worker may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// What worker and waiter tell each other: `go on`, and `I am alive`.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    cancelled: AtomicBool,
    beats: AtomicU64,
}

impl Pulse {
    /// The worker is alive. Whether it shall go on.
    pub(super) fn beat(&self) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        !self.cancelled.load(Ordering::Relaxed)
    }
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
pub(super) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
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
    let theirs = Arc::clone(&pulse);
    spawn(move || {
        let _ = sender.send(work(&theirs));
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
