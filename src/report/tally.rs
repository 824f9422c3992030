//! What a run came to, in numbers.

use serde::Serialize;

/// How many stacks (and sources, where one failed whole) came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Images that were built.
    pub built: usize,
    /// Deployed and converged.
    pub deployed: usize,
    /// Left as they were.
    pub unchanged: usize,
    pub removed: usize,
    /// Kept as they are by a hold, from what Git says.
    pub on_hold: usize,
    /// Drifted, and only reported.
    pub drifted: usize,
    /// Run less than Git says, or do not keep running, though nothing failed in this run.
    pub degraded: usize,
    pub failed: usize,
    /// Images that were pulled to this node; no part of what stacks came to.
    pub pulled: usize,
}

impl Tally {
    /// In words: `1 deployed, 2 unchanged`.
    pub fn words(&self, dry_run: bool) -> String {
        let counts = [
            (self.built, if dry_run { "to build" } else { "built" }),
            (self.deployed, if dry_run { "to deploy" } else { "deployed" }),
            (self.removed, if dry_run { "to remove" } else { "removed" }),
            (self.unchanged, "unchanged"),
            (self.on_hold, "on hold"),
            (self.drifted, "drifted"),
            (self.degraded, "degraded"),
            (self.failed, "failed"),
        ];
        let parts: Vec<_> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
    }
}
