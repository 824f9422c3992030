//! The end of a turn: a source of which nothing moves any more is recorded as a whole, and what it left is cleaned away.

use std::collections::BTreeSet;

use anyhow::Result;

use super::session::Selection;
use super::source::{Reading, WatchedSource};
use super::{Reconciler, Session, clean, retire};
use crate::docker::Swarm;
use crate::plan::{Decision, Until};

impl Reconciler {
    /// What came to rest is settled: its source is recorded as dealt with, and what nothing uses any more goes.
    pub fn rest(&mut self, session: &Session<'_>, swarm: &Swarm) -> Result<()> {
        self.retry_blocked();
        if self.options.dry_run {
            let all = self.sources.iter().map(|source| source.id.clone()).collect();
            return self.judge_at_rest(session, &all, swarm);
        }
        self.reload(session)?;
        let mut at_rest = BTreeSet::new();
        for at in 0..self.sources.len() {
            let source = &self.sources[at];
            if !source.is_settled && !self.is_moving(source) {
                self.record_source(session, source)?;
                // Of what another run is at it says itself how it is.
                if !source.is_overtaken {
                    at_rest.insert(source.id.clone());
                }
                self.sources[at].is_settled = true;
                self.memory.has_settled = true;
            }
        }
        if !at_rest.is_empty() {
            self.judge_at_rest(session, &at_rest, swarm)?;
        }
        retire::retire(session, &std::mem::take(&mut self.memory.converged))?;
        if self.is_under_way() || !std::mem::take(&mut self.memory.has_settled) {
            return Ok(());
        }
        if self
            .sources
            .iter()
            .any(|source| !matches!(source.reading, Reading::Unchanged | Reading::BackingOff))
        {
            session.state.recount_images()?;
        }
        let changed = std::mem::take(&mut self.memory.has_acted);
        clean::clean_after_run(session, &self.known.read(session.state)?, swarm, changed)
    }

    /// Where nothing moves any more, another turn is worth it only as long as decisions change.
    fn retry_blocked(&mut self) {
        let passes =
            |decision: &Decision| matches!(decision, Decision::Blocked(blocked) if blocked.until.passes());
        let may_pass = self.memory.decisions.values().any(passes);
        let now: Vec<_> = self.memory.decisions.iter().map(|(key, it)| (key.clone(), it.clone())).collect();
        let changed = self.memory.last != now;
        self.memory.last = now;
        if may_pass && changed {
            self.stirred = true;
        } else if may_pass && !self.is_under_way() {
            // Nobody is left who could end the block: it is the next run's.
            for decision in self.memory.decisions.values_mut() {
                if let Decision::Blocked(blocked) = decision
                    && blocked.until.passes()
                {
                    blocked.until = match blocked.until {
                        // Its old owner is not done with it, and must read his commit again.
                        Until::Handover => Until::NewOwner,
                        _ => Until::Selected { well: false },
                    };
                }
            }
        }
    }

    /// Writes what is now true of a source as a whole.
    fn record_source(&self, session: &Session<'_>, source: &WatchedSource) -> Result<()> {
        let Some(row) = &source.row else { return Ok(()) };
        // The run that read it since has the last word.
        if source.is_overtaken {
            return Ok(());
        }
        let unreachable = source.unreachable.as_ref().map(|error| format!("{error:#}"));
        match &source.reading {
            Reading::Unchanged => session.state.note_unchanged(&[row]),
            Reading::BackingOff => Ok(()),
            Reading::Failed(error) => session.state.note_sync(row, None, Some(&format!("{error:#}"))),
            Reading::Read(read) => {
                // A commit of which only some stacks were dealt with is not done with.
                let is_leaving = self.memory.decisions.iter().any(|(key, decision)| {
                    let leaves =
                        matches!(decision, Decision::Blocked(blocked) if blocked.until == Until::NewOwner);
                    key.source == source.id && leaves
                });
                let is_whole = source.wish.selection == Selection::All && !is_leaving;
                if is_whole {
                    source.clean_bindings(session)?;
                }
                session.state.forget_builds(row, &read.image_names())?;
                session.state.note_sync(row, source.commit().filter(|_| is_whole), unreachable.as_deref())
            }
        }
    }
}
