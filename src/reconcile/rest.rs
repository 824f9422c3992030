//! The end of a turn: a source of which nothing moves any more is recorded as a whole, and what it left is cleaned away.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use super::session::Selection;
use super::source::{Reading, WatchedSource};
use super::{Key, Reconciler, Session, clean, retire};
use crate::docker::Swarm;
use crate::fault::fault;
use crate::plan::{Decision, Until};
use crate::report::with_held;
use crate::state::{StackStatus, WorkKind};

/// How long a run waits for another one that has read its source since: where runs overtake each other again and
/// again, each has an end all the same.
pub fn beside_others(session: &Session<'_>) -> Duration {
    session.deploy_timeout.saturating_mul(2)
}

impl Reconciler {
    /// What came to rest is settled: its source is recorded as dealt with, and what nothing uses any more goes.
    pub fn rest(&mut self, session: &Session<'_>, mut swarm: Swarm) -> Result<()> {
        self.retry_blocked();
        if self.options.dry_run {
            let all = self.sources.iter().map(|source| source.id.clone()).collect();
            self.judge_health(session, &all, &swarm)?;
            self.memory.left = Some(swarm);
            return Ok(());
        }
        self.reload(session)?;
        let (mut at_rest, mut is_counted) = (BTreeSet::new(), false);
        let (mut left, synced) = (Vec::new(), session.state.synced_elsewhere(&self.run())?);
        for at in 0..self.sources.len() {
            let source = &self.sources[at];
            if source.is_settled || self.is_moving(source) {
                continue;
            }
            if source.is_stale() {
                left.push(source.id.clone());
                continue;
            }
            let is_left = source.row.as_ref().is_some_and(|row| row.is_begun) || !source.forced.is_empty();
            if source.is_overtaken && is_left && !self.run().is_empty() {
                if !synced.contains(source.url.as_str()) {
                    left.push(source.id.clone());
                    continue;
                }
                let error = fault(
                    format!(
                        "source `{}`: another run, which read it since, has not brought it to rest within {} s",
                        source.url,
                        beside_others(session).as_secs()
                    ),
                    "`dockerops status` tells what it is at",
                );
                session.report.source_failed(source.url.as_str(), &error);
                self.memory.of_sources.entry(source.id.clone()).or_default().failed += 1;
            }
            let source = &self.sources[at];
            let may_differ = !matches!(source.reading, Reading::Unchanged | Reading::BackingOff);
            if may_differ && !std::mem::replace(&mut is_counted, true) {
                // Before its commit is noted: the next run looks at nothing else of it.
                session.state.recount_images()?;
            }
            self.record_source(session, source)?;
            session.state.end_work(&self.run(), WorkKind::Syncing, source.url.as_str())?;
            at_rest.insert(source.id.clone());
            if source.is_overtaken {
                self.take_over_results(session, at);
            }
            self.sources[at].is_settled = true;
            self.memory.has_settled = true;
        }
        for source in left {
            self.ask_again(session, &source)?;
        }
        if self.is_told_later() {
            self.memory.unjudged.append(&mut at_rest);
            self.swarm = Some(swarm);
            return Ok(());
        }
        at_rest.append(&mut self.memory.unjudged);
        if !at_rest.is_empty() {
            // What came to rest before may have died while these were deployed.
            at_rest.extend(self.sources.iter().filter(|source| source.is_settled).map(|it| it.id.clone()));
            swarm = self.fresh(session, swarm)?;
            self.judge_health(session, &at_rest, &swarm)?;
        }
        retire::retire(session, &std::mem::take(&mut self.memory.converged))?;
        if self.is_under_way() || !std::mem::take(&mut self.memory.has_settled) {
            return Ok(());
        }
        swarm = self.fresh(session, swarm)?;
        clean::clean_after_run(session, &self.known.read(session.state)?, &swarm)?;
        // A command tells in the end how things are then; for the next turn of a daemon that is old.
        if !self.options.go_on {
            self.memory.left = Some(swarm);
        } else if self.is_idle() {
            self.swarm = Some(swarm);
        }
        Ok(())
    }

    /// What the run that read the source since came to holds for this one too.
    fn take_over_results(&mut self, session: &Session<'_>, at: usize) {
        let source = &self.sources[at];
        let is_told = |key: &Key| self.memory.ended.contains_key(key) || source.stack(&key.stack).is_some();
        self.memory.decisions.retain(|key, _| key.source != source.id || is_told(key));
        for row in &source.stacks {
            let key = Key::new(&source.id, &row.name);
            let failed = row.error.as_ref().filter(|_| row.status == StackStatus::Error);
            let decision = failed.map_or_else(Decision::in_sync, |why| {
                let until = if row.held { Until::SourceChanges } else { Until::NextRun };
                Decision::blocked(why, until)
            });
            if let Some(why) = failed.map(|why| if row.held { with_held(why) } else { why.clone() })
                && self.memory.reported.insert((key.clone(), why.clone()))
            {
                session.report.stays_failed(source.subject(&row.name), &why);
            }
            self.memory.decisions.insert(key, decision);
        }
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
                        Until::Asked => Until::Clear,
                        _ => Until::Selected { well: false },
                    };
                }
            }
        }
    }

    /// Whether a hold keeps a stack of it as it is, with what it mounts.
    fn keeps_a_stack(&self, source: &WatchedSource) -> bool {
        let keeps = |decision: &Decision| matches!(decision, Decision::Blocked(blocked) if matches!(blocked.until, Until::Released(_)));
        let mut decided = self.memory.decisions.iter().filter(|(key, _)| key.source == source.id);
        decided.any(|(_, decision)| keeps(decision))
            || source.read().into_iter().flat_map(|read| &read.desired).any(|desired| desired.past.is_some())
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
                self.record_stays(session, source)?;
                // A commit of which only some stacks were dealt with is not done with.
                let is_leaving = self.memory.decisions.iter().any(|(key, decision)| {
                    let leaves = |until| matches!(until, Until::NewOwner | Until::Clear);
                    let leaves = matches!(decision, Decision::Blocked(it) if leaves(it.until));
                    key.source == source.id && leaves
                });
                let is_whole = source.wish.selection == Selection::All && !is_leaving;
                if is_whole && !self.keeps_a_stack(source) {
                    source.clean_bindings(session)?;
                }
                if !read.is_past {
                    session.state.forget_builds(row, &read.image_names())?;
                }
                let whole = source.commit().filter(|_| is_whole).map(|commit| (commit, session.policy_id()));
                session.state.note_sync(row, whole, unreachable.as_deref())
            }
        }
    }
}
