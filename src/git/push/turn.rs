//! One change of a repository at a time: two would only make each other do their work again.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fault::fault;
use crate::signal;
use crate::source::Source;

/// How often who waits looks for signals.
const TICK: Duration = Duration::from_millis(200);

static AT_WORK: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static FREE: Condvar = Condvar::new();

/// Is over when dropped.
#[derive(Debug)]
pub(super) struct Turn(String);

/// Waits for so long until nobody else changes the repository of `source`.
pub(super) fn take(source: &Source, longest: Duration) -> Result<Turn> {
    let repository = source.repository().to_owned();
    let until = Instant::now() + longest;
    let mut at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    while at_work.contains(&repository) {
        signal::check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(fault(
                format!("other changes of `{}` are under way for {} s", source.url(), longest.as_secs()),
                "ask for it again",
            ));
        }
        at_work = FREE.wait_timeout(at_work, left.min(TICK)).unwrap_or_else(PoisonError::into_inner).0;
    }
    at_work.insert(repository.clone());
    Ok(Turn(repository))
}

impl Drop for Turn {
    fn drop(&mut self) {
        AT_WORK.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        FREE.notify_all();
    }
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
}
