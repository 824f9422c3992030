//! Work in a thread of its own, so that a stalled server delays neither a signal nor the run.
//!
//! libgit2 blocks in connect, name look-up and read; a thread that does not come back is abandoned.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

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

/// A job of such a thread, which has a state of its own.
type Job<S> = Box<dyn FnOnce(&mut S, &Pulse) + Send>;

/// A thread that does one job after the other. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker<S> {
    jobs: Option<Sender<Job<S>>>,
    pulse: Arc<Pulse>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl<S: Default + 'static> Worker<S> {
    pub(super) fn start() -> Result<Self> {
        let pulse = Arc::new(Pulse::default());
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let (alive, ended) = mpsc::channel();
        let theirs = Arc::clone(&pulse);
        spawn(move || {
            let mut state = S::default();
            for job in queue {
                job(&mut state, &theirs);
            }
            drop(state);
            drop::<Sender<()>>(alive);
        })?;
        Ok(Self { jobs: Some(jobs), pulse, ended: Mutex::new(ended) })
    }

    /// What `work` comes to. It is waited for until it ends, stands still for `patience` (`None`), lasts longer than
    /// `longest`, or a signal comes; who was given up once does nothing more.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        longest: Duration,
        work: impl FnOnce(&mut S, &Pulse) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        ensure!(!self.pulse.cancelled.load(Ordering::Relaxed), "git's thread was given up");
        let (sender, receiver) = mpsc::channel();
        let job: Job<S> = Box::new(move |state, pulse| {
            let _ = sender.send(work(state, pulse));
        });
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        ensure!(matches!(sent, Some(Ok(()))), "git's thread has ended");
        wait(&receiver, &self.pulse, patience, longest)
    }
}

impl<S> Drop for Worker<S> {
    /// What the thread holds, a lock say, is free afterwards.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if !self.pulse.cancelled.load(Ordering::Relaxed)
            && let Ok(ended) = self.ended.get_mut()
        {
            let _ = ended.recv_timeout(GRACE);
        }
    }
}

fn wait<T>(
    answer: &Receiver<Result<T>>,
    pulse: &Pulse,
    patience: Duration,
    longest: Duration,
) -> Result<Option<T>> {
    let begun = Instant::now();
    let (mut beats, mut since) = (pulse.beats.load(Ordering::Relaxed), begun);
    loop {
        match answer.recv_timeout(TICK) {
            Ok(result) => return result.map(Some),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(anyhow!("git's thread ended without a result"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Err(why) = signal::check().and_then(|()| in_time(begun, longest)) {
            pulse.cancelled.store(true, Ordering::Relaxed);
            let _ = answer.recv_timeout(GRACE);
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
        let drip = |(): &mut (), pulse: &Pulse| {
            while pulse.beat() {
                std::thread::sleep(TICK / 10);
            }
            Ok(())
        };
        let begun = Instant::now();
        let worker = Worker::start().unwrap();
        let error = worker.ask(Duration::from_secs(60), TICK * 2, drip).unwrap_err();
        assert!(error.to_string().contains("still under way after 0 s"), "{error}");
        assert!(begun.elapsed() < GRACE, "it heeds what it is told");
        let silent = |(): &mut (), _: &Pulse| {
            std::thread::sleep(TICK * 5);
            Ok(())
        };
        let begun = Instant::now();
        let worker = Worker::start().unwrap();
        assert_eq!(worker.ask(TICK, TICK * 90, silent).unwrap(), None);
        assert!(worker.ask(TICK, TICK * 90, silent).unwrap_err().to_string().contains("given up"));
        drop(worker);
        assert!(begun.elapsed() < TICK * 5, "nobody waits for it any more");
    }
}
