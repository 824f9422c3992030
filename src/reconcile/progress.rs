//! How far a run is. In: what it remembers; out: whether anything is still in motion, for how long to sleep, and what
//! came of the stacks that somebody asks about.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use super::memory::{Ended, Memory};
use super::session::Selection;
use super::source::WatchedSource;
use super::{Key, LONGER_PAUSE, PAUSE, Reconciler};
use crate::git::Commit;
use crate::plan::{Decision, Tried};
use crate::report::Tally;
use crate::signal;
use crate::source::SourceId;
use crate::state::Motion;

/// A look may take one part of the time in so many and one.
const SHARE: u32 = 4;

impl Reconciler {
    /// Whether another turn has anything to do.
    pub fn is_under_way(&self) -> bool {
        if self.options.dry_run {
            return false;
        }
        let moves = self.sources.iter().any(|source| self.seen_motions(source).next().is_some());
        self.stirred
            || is_broken!(TakesTurnsWithoutEnd)
            || moves
            || self.expected().next().is_some()
            || !self.memory.removing.is_empty()
            || !self.memory.giving.is_empty()
            || self.memory.given_elsewhere
            || !self.memory.synced_elsewhere.is_empty()
            || self.pulls.is_busy()
            || self.builds.is_busy()
    }

    /// The deploys in motion that are looked at.
    pub fn seen_motions<'a>(&'a self, source: &'a WatchedSource) -> impl Iterator<Item = &'a Motion> {
        source.motions.iter().filter(|motion| {
            let tried = self.memory.tried.get(&Key::new(&source.id, &motion.name));
            motion.given.is_some()
                && !motion.is_between_steps()
                && !matches!(tried, Some(Tried::Unseen { .. }))
        })
    }

    /// Whether a stack of the source has not come to rest.
    pub fn is_moving(&self, source: &WatchedSource) -> bool {
        let of_it = |key: &&Key| key.source == source.id;
        self.seen_motions(source).next().is_some()
            || self.memory.synced_elsewhere.contains(&source.id)
            || source.has_builds()
            || self.memory.removing.keys().chain(self.memory.giving.keys()).any(|key| of_it(&key))
            || self.memory.decisions.iter().any(|(key, decision)| of_it(&key) && decision.is_under_way())
    }

    /// Between two looks, each of which starts two or three docker processes: longer where the last one saw nothing
    /// move or took long, and no longer than until something may have converged.
    pub fn pause(&self) -> Duration {
        let memory = &self.memory;
        let pause = if memory.seen.has_moved() { memory.look_took * SHARE } else { LONGER_PAUSE };
        memory.due.map_or(pause, |due| pause.min(due)).clamp(PAUSE, LONGER_PAUSE)
    }

    /// Sleeps until there may be something to see.
    pub fn wait(&mut self) -> Result<()> {
        signal::check()?;
        if self.stirred {
            return Ok(());
        }
        let moves = self.sources.iter().any(|source| !source.motions.is_empty());
        if !moves && self.memory.removing.is_empty() && self.pulls.is_busy() {
            self.pulls.wait(PAUSE);
        } else if !moves && self.memory.removing.is_empty() && self.builds.is_busy() {
            self.builds.wait(PAUSE);
        } else if self.is_giving() {
            self.ends.wait(PAUSE);
        } else if !moves && self.memory.removing.is_empty() && self.fetching.is_busy() {
            self.fetching.wait(PAUSE);
        } else {
            self.fetching.pause(self.pause())?;
        }
        signal::check()
    }

    /// Whether anything is being fetched.
    pub fn is_fetching(&self) -> bool {
        self.fetching.is_busy()
    }

    /// Whether something was fetched that the next turn takes up.
    pub fn has_fetched(&mut self) -> bool {
        self.fetching.wait(Duration::ZERO)
    }

    /// Whether the next turn is to come at once.
    pub fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// The commit that a source names on which a run is still at work.
    pub fn works_on(&self, id: &SourceId) -> Option<Commit> {
        if let Some(commit) = self.fetching.commit(id) {
            return Some(commit.clone());
        }
        let source = self.sources.iter().find(|source| source.id == *id && !source.is_settled)?;
        source.head.clone().filter(|_| source.read().is_some())
    }

    /// The commit that a source names, if its remote could be asked.
    pub fn head(&self, id: &SourceId) -> Option<Commit> {
        self.sources.iter().find(|source| source.id == *id)?.head.clone()
    }

    /// Whether nothing of these stacks is in motion.
    pub fn is_at_rest<'a>(&self, ids: impl IntoIterator<Item = &'a SourceId>, stacks: &Selection) -> bool {
        let of_them = |id: &SourceId, key: &Key| key.source == *id && stacks.holds(&key.stack);
        let expected: BTreeSet<_> = self.expected().collect();
        !self.stirred
            && ids.into_iter().all(|id| {
                let source = self.sources.iter().find(|source| source.id == *id);
                let moves = source.is_some_and(|source| match stacks {
                    Selection::All => !source.is_settled,
                    Selection::Some(_) => source.motions.iter().any(|motion| stacks.holds(&motion.name)),
                });
                let moves = moves || expected.contains(id);
                let under_way =
                    |(key, decision): (&Key, &Decision)| of_them(id, key) && decision.is_under_way();
                !moves && !self.memory.decisions.iter().any(under_way)
            })
    }

    /// What came to its end was told of.
    pub fn forget_ended<'a>(&mut self, ids: impl IntoIterator<Item = &'a SourceId>) {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let mut removed = Vec::new();
        self.memory.ended.retain(|key, ended| {
            let is_told = ids.contains(&key.source);
            if is_told && *ended == Ended::Removed {
                removed.push(key.clone());
            }
            !is_told
        });
        for key in removed {
            let rows = self.sources.iter().filter(|source| source.id == key.source);
            // Of one that is gone nothing is left to be told.
            if !rows.flat_map(|source| &source.stacks).any(|row| row.name == key.stack) {
                self.memory.decisions.remove(&key);
            }
        }
    }

    /// The stacks of these sources that have not come to rest, and the sources that are asked or fetched.
    pub fn moving<'a>(&self, ids: impl IntoIterator<Item = &'a SourceId>) -> Vec<String> {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let decisions = self.memory.decisions.iter();
        let moving = decisions.filter(|(key, decision)| ids.contains(&key.source) && decision.is_under_way());
        let expected = self.expected().filter(|id| ids.contains(id)).map(ToString::to_string);
        let moving: BTreeSet<_> = moving.map(|(key, _)| key.stack.to_string()).chain(expected).collect();
        moving.into_iter().collect()
    }

    /// In numbers, what came of these stacks.
    pub fn tally<'a>(&self, ids: impl IntoIterator<Item = &'a SourceId>, stacks: &Selection) -> Tally {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        self.memory.tally(|source| ids.contains(source), |key| stacks.holds(&key.stack))
    }

    /// What happened since this was last asked: deploys that converged, removals, pulls.
    pub fn take_happened(&mut self) -> Tally {
        std::mem::take(&mut self.memory.happened)
    }

    /// Forgets the sources that came to rest and that nobody needs any more, with their files.
    pub fn forget_settled(&mut self, needed: impl Fn(&SourceId) -> bool) {
        self.sources.retain(|source| !source.is_settled || needed(&source.id));
        let known: BTreeSet<_> = self.sources.iter().map(|source| source.id.clone()).collect();
        self.memory.forget(|key| known.contains(&key.source));
        if self.sources.is_empty() {
            let (own_stack, happened) = (std::mem::take(&mut self.memory.own_stack), self.take_happened());
            self.memory = Memory { happened, own_stack, ..Memory::default() };
            self.fetching.forget();
            if !self.fetching.is_busy() {
                self.workplace = None;
            }
        }
    }
}
