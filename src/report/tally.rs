//! What a run came to, in numbers.

/// How many stacks (and sources, where one failed whole) came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Images that were built.
    pub built: usize,
    /// Deployed and converged.
    pub deployed: usize,
    /// Left as they were.
    pub unchanged: usize,
    /// Removed.
    pub removed: usize,
    /// Drifted, and only reported.
    pub drifted: usize,
    /// Failed.
    pub failed: usize,
}
