//! Stacks that wait for what is to be known of other sources first: what they wait for is told, and shown to who looks on.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Key, Reconciler, Session};
use crate::plan::{Decision, Until};
use crate::state::WorkKind;

/// So many sources are named.
const NAMED: usize = 3;

impl Reconciler {
    /// At the end of a turn: who waits by now, and what for.
    pub fn show_waits(&mut self, session: &Session<'_>) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let now = self.waits();
        let run = self.run();
        for key in std::mem::take(&mut self.memory.waits).into_keys().filter(|key| !now.contains_key(key)) {
            session.state.end_work(&run, WorkKind::Waiting, key.stack.as_str())?;
            if !self.memory.decisions.get(&key).is_some_and(Decision::is_under_way) {
                session.report.stop_waiting(key.stack.as_str());
            }
        }
        for (key, why) in &now {
            let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { continue };
            session.state.note_wait(&run, key.stack.as_str(), &source.url, why)?;
            // Of what it depends on the run tells by itself.
            if is_for_a_stack(self.memory.decisions.get(key)) {
                continue;
            }
            session.report.waiting(key.stack.as_str(), &format!("waits: {why}"));
            if self.memory.reported.insert((key.clone(), "waits".into())) {
                session.report.progress(&format!("`{key}` waits: {why}"));
            }
        }
        self.memory.waits = now;
        Ok(())
    }

    fn waits(&self) -> BTreeMap<Key, String> {
        let fetched = self.fetching.ids().map(|id| format!("`{id}`, which is being fetched"));
        let asked = self.expected().filter(|id| self.is_asked(id));
        let asked = asked.map(|id| format!("`{id}`, which is asked what commit it names"));
        let elsewhere = self.memory.synced_elsewhere.iter();
        let elsewhere = elsewhere.map(|id| format!("`{id}`, which another run is at"));
        let awaited: Vec<_> = fetched.chain(elsewhere).chain(asked).collect();
        let mut named = awaited.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        if let Some(more @ 1..) = awaited.len().checked_sub(NAMED) {
            named += &format!("; and {more} more");
        }
        let waits = |decision: &Decision| match decision {
            Decision::Blocked(it) if matches!(it.until, Until::Asked | Until::Others) => {
                (!awaited.is_empty()).then(|| format!("{}; awaited is {named}", it.why))
            }
            Decision::Blocked(it) if it.until == Until::Dependency => Some(it.why.clone()),
            _ => None,
        };
        self.memory.decisions.iter().filter_map(|(key, it)| Some((key.clone(), waits(it)?))).collect()
    }
}

/// Whether it waits for another stack of its source.
fn is_for_a_stack(decision: Option<&Decision>) -> bool {
    matches!(decision, Some(Decision::Blocked(it)) if it.until == Until::Dependency)
}
