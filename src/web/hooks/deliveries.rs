//! Deliveries that were taken lately, so that one sent again does no second work.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// How many are remembered.
const MOST: usize = 1000;

type Key = [u8; 32];

/// The newest deliveries, and what came of each.
#[derive(Debug, Default)]
pub struct Deliveries<T>(Mutex<VecDeque<(Key, T)>>);

impl<T: Clone> Deliveries<T> {
    /// Does `work` unless this delivery was seen before; else gives what came of it then, and `true`. The id is
    /// the sender's, who does not sign it, so the body is part of what makes a delivery the same.
    pub fn once(&self, sender: &str, id: &str, body: &[u8], work: impl FnOnce() -> T) -> (T, bool) {
        let key =
            Sha256::new().chain_update(format!("{sender}\0{id}\0")).chain_update(body).finalize().into();
        // Held while the work is queued, so that the same delivery on two connections is one.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = seen.iter().find(|(known, _)| *known == key) {
            return (known.clone(), true);
        }
        let result = work();
        if seen.len() == MOST {
            seen.pop_front();
        }
        seen.push_back((key, result.clone()));
        (result, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_delivery_is_worked_once_and_the_memory_is_bounded() {
        let seen = Deliveries::default();
        assert_eq!(seen.once("github", "1", b"x", || 7), (7, false));
        assert_eq!(seen.once("github", "1", b"x", || 8), (7, true));
        assert_eq!(seen.once("github", "2", b"x", || 9), (9, false));
        assert_eq!(seen.once("github", "1", b"y", || 10), (10, false));
        assert_eq!(seen.once("gitea", "1", b"x", || 11), (11, false));
        for id in 0..MOST {
            seen.once("flood", &id.to_string(), b"", || 0);
        }
        assert_eq!(seen.0.lock().unwrap().len(), MOST);
        assert_eq!(seen.once("github", "1", b"x", || 12), (12, false));
    }
}
