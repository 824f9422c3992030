//! How webhooks went, counted by sender and outcome.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::hooks::Outcome;

/// Grows with the senders and outcomes there are, not with requests.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<(&'static str, Outcome), u64>>);

impl Counts {
    pub fn note(&self, sender: &'static str, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((sender, outcome)).or_default() += 1;
    }

    /// Sender, outcome, how many.
    pub fn all(&self) -> Vec<(&'static str, Outcome, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((sender, outcome), count)| (*sender, *outcome, *count)).collect()
    }
}
