//! How much is compared with patterns before it is enough.

use std::cell::Cell;

/// Steps that texts may take in all: a second, about.
const MOST_WORK: u64 = 50_000_000;

/// What comparing texts with patterns may cost in all: those of one source, or of one request.
#[derive(Debug)]
pub struct Work(Cell<u64>);

impl Work {
    pub fn new() -> Self {
        Self(Cell::new(MOST_WORK))
    }

    /// Whether there is nothing left of it.
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    pub(super) fn take(&self, steps: usize) -> bool {
        self.0.set(self.0.get().saturating_sub(steps as u64));
        !self.is_spent()
    }
}
