//! Whether the loop lives: a run that tells nothing for longer than any of its steps may take is stuck.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::report::Pulse;

/// How the loop fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the loop is stuck; `None` while it lives.
    pub stuck: Option<String>,
    /// What became of its database; `None` while that is there.
    pub lost: Option<&'static str>,
    /// What keeps its runs from being done, as the last one told it; the loop lives and tries again.
    pub trouble: Option<String>,
}

/// What the loop shows of itself to other threads.
#[derive(Debug)]
pub struct Vitals {
    busy: AtomicBool,
    pulse: Arc<Pulse>,
    limit: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Vitals {
    /// Of a loop that does nothing yet.
    pub fn new(pulse: Arc<Pulse>) -> Self {
        Self {
            busy: AtomicBool::new(false),
            pulse,
            limit: AtomicU64::new(u64::MAX),
            trouble: Mutex::default(),
        }
    }

    /// Whether a run is under way.
    pub fn set_busy(&self, busy: bool) {
        // First, or it would count as silent since the last run.
        self.pulse.beat();
        self.busy.store(busy, Ordering::Release);
    }

    /// No step of the run may take longer than `limit`.
    pub fn begin(&self, limit: Duration) {
        self.limit.store(limit.as_secs(), Ordering::Relaxed);
        self.pulse.beat();
    }

    /// The run goes on, though it tells nothing.
    pub fn beat(&self) {
        self.pulse.beat();
    }

    /// Notes what the last run could not be done for; `None` if it could.
    pub fn note(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// As it is now.
    pub fn health(&self) -> Health {
        let (silent, limit) = (self.pulse.silent_for().as_secs(), self.limit.load(Ordering::Relaxed));
        let stuck = (self.busy.load(Ordering::Acquire) && silent > limit).then(|| {
            format!("a run has told nothing for {silent} s; none of its steps may take more than {limit} s")
        });
        Health {
            stuck,
            lost: None,
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_is_silent_for_too_long_is_stuck() {
        let vitals = Vitals::new(Arc::new(Pulse::new()));
        vitals.begin(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1_050));
        assert_eq!(vitals.health(), Health::default(), "nothing is under way");
        vitals.set_busy(true);
        assert_eq!(vitals.health(), Health::default(), "it has just begun");
        std::thread::sleep(Duration::from_millis(1_050));
        assert!(vitals.health().stuck.unwrap().contains("told nothing for 1 s"));
        vitals.beat();
        vitals.note(Some("no docker".into()));
        assert_eq!(vitals.health(), Health { trouble: Some("no docker".into()), ..Health::default() });
    }
}
