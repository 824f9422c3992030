//! Sources that fail are tried less and less often, until they change.
//!
//! In: what came of each source, and when. Out: whether it has its turn in a cycle. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::git::Commit;
use crate::source::SourceId;

/// The longest wait, in intervals.
const MOST_INTERVALS: u32 = 10;

/// The sources that failed when they were tried last, by identity.
#[derive(Debug)]
pub struct Backoff {
    interval: Duration,
    failing: BTreeMap<SourceId, Failing>,
    /// What tells the policy under which they failed.
    policy: String,
}

#[derive(Debug)]
struct Failing {
    times: u32,
    until: Instant,
    /// The commit that failed; `None` where the remote could not be asked.
    at: Option<Commit>,
}

/// What a cycle does with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is synced.
    Now,
    /// Its remote is asked; it is synced if it names another commit than this one, which failed.
    IfMoved(Commit),
    /// Nothing: its remote gave no answer, and is left alone for a while.
    Later,
}

impl Backoff {
    /// Waits are multiples of `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, failing: BTreeMap::new(), policy: String::new() }
    }

    /// Under another policy all are tried anew.
    pub fn under(&mut self, policy: &str) {
        if self.policy != policy {
            self.failing.clear();
            policy.clone_into(&mut self.policy);
        }
    }

    /// Whether a source has its turn.
    pub fn turn(&self, source: &SourceId, now: Instant) -> Turn {
        match self.failing.get(source).filter(|failing| now < failing.until) {
            None => Turn::Now,
            Some(Failing { at: Some(commit), .. }) => Turn::IfMoved(commit.clone()),
            Some(_) => Turn::Later,
        }
    }

    /// The sources that have no turn yet: at which commit they failed, and for how long yet.
    pub fn waiting(&self, now: Instant) -> BTreeMap<SourceId, (Option<Commit>, Duration)> {
        let waiting = self.failing.iter().filter(|(_, failing)| now < failing.until);
        waiting.map(|(id, failing)| (id.clone(), (failing.at.clone(), failing.until - now))).collect()
    }

    /// Notes what came of a source that was tried, or that was left as it was since it had not moved.
    pub fn note(&mut self, source: &SourceId, failed: bool, head: Option<&Commit>, now: Instant) {
        if !failed {
            self.failing.remove(source);
            return;
        }
        let before = self.failing.get(source).filter(|failing| failing.at.as_ref() == head);
        if before.is_some_and(|failing| now < failing.until) {
            return;
        }
        let times = before.map_or(1, |failing| failing.times.saturating_add(1));
        let intervals = 1_u32.checked_shl(times - 1).unwrap_or(MOST_INTERVALS).min(MOST_INTERVALS);
        let failing = Failing { times, until: now + self.interval * intervals, at: head.cloned() };
        self.failing.insert(source.clone(), failing);
    }

    /// Forgets the sources that are not watched any more.
    pub fn keep(&mut self, watched: impl Fn(&SourceId) -> bool) {
        self.failing.retain(|source, _| watched(source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(300);

    fn commit(digit: &str) -> Commit {
        Commit::parse(&digit.repeat(40)).unwrap()
    }

    /// The cycles, from 0 on, in which a source that always fails is tried.
    fn tries(head: Option<&Commit>, cycles: u32) -> Vec<u32> {
        let (mut backoff, begun) = (Backoff::new(INTERVAL), Instant::now());
        let mut tried = Vec::new();
        for cycle in 0..cycles {
            // With the jitter and length of real cycles.
            let now = begun + cycle * (INTERVAL + Duration::from_secs(7));
            if backoff.turn(&"a".into(), now) == Turn::Now {
                tried.push(cycle);
            }
            backoff.note(&"a".into(), true, head, now);
        }
        tried
    }

    #[test]
    fn waits_double_up_to_ten_intervals() {
        let expected = [0, 1, 3, 7, 15, 25, 35];
        assert_eq!(tries(None, 40), expected);
        assert_eq!(tries(Some(&commit("a")), 40), expected);
    }

    #[test]
    fn another_commit_or_a_success_ends_the_wait() {
        let (mut backoff, mut now) = (Backoff::new(INTERVAL), Instant::now());
        let (bad, other) = (commit("a"), commit("b"));
        for _ in 0..3 {
            backoff.note(&"a".into(), true, Some(&bad), now);
            now += INTERVAL * 2;
        }
        backoff.note(&"a".into(), true, Some(&bad), now);
        assert_eq!(backoff.turn(&"a".into(), now), Turn::IfMoved(bad.clone()));
        assert_eq!(backoff.turn(&"b".into(), now), Turn::Now);
        let (at, left) = backoff.waiting(now).remove(&"a".into()).unwrap();
        assert!(at == Some(bad.clone()) && left > INTERVAL, "{at:?} {left:?}");
        assert!(backoff.waiting(now + left).is_empty());
        backoff.note(&"a".into(), true, Some(&other), now);
        assert_eq!(backoff.turn(&"a".into(), now + INTERVAL), Turn::Now, "the new commit begins anew");
        backoff.note(&"a".into(), false, Some(&other), now);
        assert_eq!(backoff.turn(&"a".into(), now), Turn::Now);
    }
}
