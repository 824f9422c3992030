//! What came of the cases, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// So many reasons of refusals are told.
const MOST_TOLD: usize = 25;

/// What came of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// All of them.
    pub cases: u64,
    /// Cases that we took.
    pub rendered: u64,
    /// Cases given to a docker, counted for each.
    pub runs: u64,
    /// Those of them that docker took.
    pub accepted: u64,
    /// Calls of docker.
    pub calls: u64,
    /// Calls for one case alone, as DockerOps does it.
    pub alone: u64,
    /// Cases that differ.
    pub differ: u64,
    /// The first of each kind, in words.
    pub failures: Vec<String>,
    /// What goes wrong → in which cases.
    pub kinds: BTreeMap<String, BTreeSet<u64>>,
    /// Why we, or docker, refused → how often.
    pub refusals: BTreeMap<String, u64>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fuzz: {} cases, {} rendered, {} given to docker, {} taken, {} calls ({} for one alone), {} differ",
            self.cases, self.rendered, self.runs, self.accepted, self.calls, self.alone, self.differ
        )
    }
}

impl Tally {
    /// Counts a refusal by its words, less those of the case.
    pub fn note(&mut self, why: &str) {
        let mut words: String = why.lines().next().unwrap_or_default().chars().take(160).collect();
        for quote in ['`', '"'] {
            let parts = words.split(quote).enumerate();
            words =
                parts.filter(|(index, _)| index % 2 == 0).map(|(_, part)| part).collect::<Vec<_>>().join("…");
        }
        words.retain(|letter| !letter.is_ascii_digit());
        *self.refusals.entry(words).or_default() += 1;
    }

    /// What went wrong and why files were refused, by how often, a line each.
    pub fn summary(&self) -> String {
        let kinds = self.kinds.iter().map(|(kind, cases)| (cases.len() as u64, format!("differs: {kind}")));
        let mut refused: Vec<_> = self.refusals.iter().map(|(why, count)| (*count, why.clone())).collect();
        refused.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let all = kinds.chain(refused.into_iter().take(MOST_TOLD));
        all.map(|(count, what)| format!("{count:>8}  {what}")).collect::<Vec<_>>().join("\n")
    }
}

/// What goes wrong, less the names in it.
pub fn kind(found: &str) -> String {
    let said = found.split('`').enumerate().filter(|(index, part)| index % 2 == 0 || part.starts_with('/'));
    said.map(|(_, part)| part.split([':', '(']).next().unwrap_or_default()).take(3).collect()
}
