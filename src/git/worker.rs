//! Work in a thread of its own, so that a stalled server delays neither a signal nor the run.
//!
//! libgit2 blocks in connect, name look-up and read; a thread that does not come back is abandoned. One that a server
//! keeps busy instead goes on: until it has ended, its remote is given no other one.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

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
        spawn(&pulse, move |pulse| {
            let mut state = S::default();
            for job in queue {
                job(&mut state, pulse);
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
        format!("git was given up: it was still under way after {} s", longest.as_secs()),
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
