//! One change of a repository at a time: two would only make each other do their work again. And few that wait for their
//! turn: each holds a connection of whoever asked for it, and a server that hangs would come to hold them all.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fault::fault;
use crate::signal;
use crate::source::Source;

/// How often who waits looks for signals.
const TICK: Duration = Duration::from_millis(200);
/// Changes at a time, with those that wait; and of one repository, once one of it takes as long as none does whose server
/// answers.
const MOST: usize = 32;
const MOST_OF_SLOW: usize = 8;
const SLOW: Duration = Duration::from_secs(10);

static KNOWN: Mutex<BTreeMap<String, Changes>> = Mutex::new(BTreeMap::new());
static FREE: Condvar = Condvar::new();

/// Those of one repository.
#[derive(Debug, Default)]
struct Changes {
    all: usize,
    /// Since when one is at work.
    since: Option<Instant>,
}

impl Changes {
    /// Whether so many are more than may wait for it.
    fn is_full(&self, all: usize, slow: Duration) -> bool {
        all > MOST_OF_SLOW && self.since.is_some_and(|since| since.elapsed() >= slow)
    }
}

/// Is over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    repository: String,
}

/// Waits for so long until nobody else changes the repository of `source`.
pub(super) fn take(source: &Source, longest: Duration) -> Result<Turn> {
    within(source, longest, SLOW)
}

fn within(source: &Source, longest: Duration, slow: Duration) -> Result<Turn> {
    let repository = source.repository().to_owned();
    let until = Instant::now() + longest;
    let mut known = lock();
    if known.values().map(|changes| changes.all).sum::<usize>() >= MOST {
        let what = format!("{MOST} changes are under way already, or wait for that");
        return Err(fault(what, "ask for it again in a moment"));
    }
    known.entry(repository.clone()).or_default().all += 1;
    let stop = loop {
        match known.entry(repository.clone()).or_default() {
            changes if changes.is_full(changes.all, slow) => {
                break fault(
                    format!(
                        "changes of `{}` take long, and {MOST_OF_SLOW} of them wait already",
                        source.url()
                    ),
                    "check its server, and ask for it again",
                );
            }
            Changes { since: Some(_), .. } => {}
            changes => {
                changes.since = Some(Instant::now());
                return Ok(Turn { repository });
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break fault(
                format!("other changes of `{}` are under way for {} s", source.url(), longest.as_secs()),
                "ask for it again",
            );
        }
        known = FREE.wait_timeout(known, left.min(TICK)).unwrap_or_else(PoisonError::into_inner).0;
        if let Err(signal) = signal::check() {
            break signal;
        }
    };
    // Before anybody else looks: who sees one more than there are gives up as well.
    leave(&mut known, &repository);
    Err(stop)
}

/// One that was at work or waited does no longer.
fn leave(known: &mut BTreeMap<String, Changes>, repository: &str) {
    if let Some(changes) = known.get_mut(repository) {
        changes.all -= 1;
        if changes.all == 0 {
            known.remove(repository);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut known = lock();
        if let Some(changes) = known.get_mut(&self.repository) {
            changes.since = None;
        }
        leave(&mut known, &self.repository);
        drop(known);
        FREE.notify_all();
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<String, Changes>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_one_whatever_is_watched_of_it() {
        let of = |text: &str| Source::parse(text).unwrap();
        let first = take(&of("https://h.example/turn#main:a"), TICK).unwrap();
        let error = take(&of("https://h.example/turn.git#other"), TICK).unwrap_err();
        assert!(error.to_string().contains("under way"), "{error}");
        drop(take(&of("https://h.example/turn2"), TICK).unwrap());
        let waiter = std::thread::spawn(move || take(&of("https://h.example/turn"), TICK * 50).map(drop));
        std::thread::sleep(TICK);
        drop(first);
        waiter.join().unwrap().unwrap();
    }

    #[test]
    fn few_wait_behind_one_that_takes_long_and_many_behind_one_that_does_not() {
        let source = Source::parse("https://h.example/many").unwrap();
        let first = within(&source, TICK, SLOW).unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..20)
                .map(|_| {
                    scope.spawn(|| {
                        within(&source, TICK * 600, TICK * 3).map(drop).map_err(|it| it.to_string())
                    })
                })
                .collect();
            // However late their threads come to run.
            let waiting = || lock().get(source.repository()).map_or(0, |changes| changes.all);
            while waiters.iter().filter(|waiter| waiter.is_finished()).count() + waiting() < 21
                || waiting() > MOST_OF_SLOW
            {
                std::thread::sleep(TICK);
            }
            drop(first);
            let all: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
            let refused =
                all.iter().filter_map(|it| it.as_ref().err()).filter(|it| it.contains("take long")).count();
            assert_eq!(refused, 20 - (MOST_OF_SLOW - 1), "{all:?}");
            assert_eq!(all.iter().filter(|it| it.is_ok()).count(), MOST_OF_SLOW - 1);
        });
        // None of them is slow: all have their turn.
        let first = within(&source, TICK, SLOW).unwrap();
        std::thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..20).map(|_| scope.spawn(|| take(&source, TICK * 100).map(drop))).collect();
            std::thread::sleep(TICK * 3);
            drop(first);
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap().is_ok()));
        });
    }
}
