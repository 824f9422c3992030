//! What was counted since the daemon began: for `/metrics`, and for people who ask how it fares.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::report::Tally;
use crate::source::SourceUrl;

/// Numbers since the start; they only grow, but for those of the last cycle.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// When the daemon began, seconds since 1970.
    pub started: u64,
    /// Cycles over all sources that came to their end.
    pub cycles: u64,
    /// Those of them that could not be done as a whole: no docker, no database.
    pub cycles_failed: u64,
    /// Runs for one source, stack or image that came to their end.
    pub jobs: u64,
    /// Seconds that all cycles took.
    pub cycle_seconds: f64,
    /// Seconds that the last cycle took.
    pub last_cycle_seconds: f64,
    /// When the last cycle ended that could be done, seconds since 1970; 0 before that.
    pub last_cycle: u64,
    /// When each source was last synced without a failure, seconds since 1970, by its URL as it was watched.
    pub last_success: BTreeMap<SourceUrl, u64>,
    /// Stacks that were deployed and converged.
    pub deploys: u64,
    pub removals: u64,
    /// Failures of stacks and sources, each attempt for itself.
    pub failures: u64,
    pub pulls: u64,
}

impl Counters {
    /// Adds what happened in a turn.
    pub fn add_happened(&mut self, tally: &Tally) {
        self.deploys += count(tally.deployed);
        self.removals += count(tally.removed);
        self.pulls += count(tally.pulled);
    }

    /// Adds the failures of a run.
    pub fn add_failures(&mut self, failed: usize) {
        self.failures += count(failed);
    }

    /// Adds a cycle's end.
    pub fn add_cycle(&mut self, took: Duration, done: bool) {
        self.cycles += 1;
        self.cycle_seconds += took.as_secs_f64();
        self.last_cycle_seconds = took.as_secs_f64();
        if done {
            self.last_cycle = unix_now();
        } else {
            self.cycles_failed += 1;
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
