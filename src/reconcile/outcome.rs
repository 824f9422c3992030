//! What came of a run as a whole: in numbers, and of each stack.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::memory::Key;
use super::session::{Outcome, Selection};
use super::source::WatchedSource;
use super::survey::failure;
use super::{Reconciler, Session};
use crate::drift;
use crate::health::Look;
use crate::plan::Decision;
use crate::report::run::{End, FailedSource, StackEnd};
use crate::report::{harmless, status};
use crate::source::{SourceId, SourceUrl};
use crate::stack::StackName;
use crate::watched::Watched;

impl Reconciler {
    /// Of the stacks that the run was for.
    pub fn outcome(&self) -> Outcome {
        let wishes: BTreeMap<_, _> =
            self.sources.iter().map(|source| (&source.id, &source.wish.selection)).collect();
        let is_wished = |key: &Key| wishes.get(&key.source).is_none_or(|wish| wish.holds(&key.stack));
        let decided = self.memory.decisions.iter().filter(|(key, _)| is_wished(key));
        let mut stacks: BTreeMap<_, _> = decided
            .map(|(key, decision)| (key, self.end(key, self.memory.end_of(key, decision), decision)))
            .collect();
        for (key, (end, reason)) in self.memory.planned.iter().filter(|(key, _)| is_wished(key)) {
            let reason = Some(harmless(reason));
            stacks
                .insert(key, StackEnd { outcome: *end, reason, ..self.end(key, *end, &Decision::in_sync()) });
        }
        Outcome {
            tally: self.memory.tally(|_| true, is_wished),
            stacks: stacks.into_values().collect(),
            failed_sources: self.sources.iter().filter_map(failed).collect(),
        }
    }

    /// Tells how all is that the run was for, by what was seen last.
    pub fn tell_how_it_is(&mut self, session: &Session<'_>) -> Result<()> {
        let (Some(swarm), look) = (self.memory.left.take(), self.memory.look.take()) else { return Ok(()) };
        let all = self.known.read(session.state)?;
        let wish = |id: &SourceId| {
            self.sources.iter().find(|source| source.id == *id).map(|source| &source.wish.selection)
        };
        let images = session.state.images()?;
        let mut status = status::gather(&all, &images, &[], &swarm, &look.unwrap_or_else(Look::none));
        let of =
            |url: &SourceUrl| all.iter().find(|known| known.row.url == *url).map(|known| &known.identity);
        status.repositories.retain(|known| wish(&known.source).is_some());
        status.stacks.retain(|stack| {
            let wish = of(&stack.source).and_then(wish);
            wish.is_some_and(|wish| wish.holds(&StackName::known(&stack.name)))
        });
        status.builds.retain(|build| status.repositories.iter().any(|known| known.url == build.repository));
        let is_whole = |known: &Watched| wish(&known.identity) == Some(&Selection::All);
        if !all.iter().all(is_whole) {
            let used: BTreeSet<_> = status
                .stacks
                .iter()
                .flat_map(|stack| &stack.services)
                .map(|service| &service.image)
                .collect();
            status.images.retain(|image| used.contains(&image.name));
        }
        session.report.state(&status);
        Ok(())
    }

    fn end(&self, key: &Key, outcome: End, decision: &Decision) -> StackEnd {
        let source = self.source(key).ok();
        let row = source.and_then(|source| source.stack(&key.stack));
        let commit = source.and_then(|source| source.commit_of(&key.stack));
        let took = self.memory.took.get(key).filter(|_| outcome == End::Deployed);
        let (why, detail) = match decision {
            Decision::Blocked(blocked) => (Some(blocked.why.clone()), blocked.detail.as_deref()),
            Decision::InSync { drifts } if !drifts.is_empty() => (Some(drift::sentence(drifts)), None),
            _ => (took.map(|(reason, _)| reason.clone()), None),
        };
        let why = match (why, detail) {
            (Some(why), Some(detail)) => Some(format!("{why}: {detail}")),
            (why, _) => why,
        };
        let why = why.as_deref().map(harmless);
        let fell_back = self.memory.fell_back.contains(key);
        let failed = outcome == End::Failed;
        StackEnd {
            name: key.stack.to_string(),
            repository: source.map_or_else(|| key.source.to_string(), |source| source.url.shown()),
            outcome: if fell_back { End::Failed } else { outcome },
            degraded: self.memory.degraded.contains(key),
            commit: commit.map(str::to_owned).or_else(|| row?.commit.clone()),
            error: match (failed, fell_back) {
                (true, _) => why.clone(),
                (false, true) => row.and_then(|row| row.error.as_deref()).map(harmless),
                (false, false) => None,
            },
            reason: why.filter(|_| !failed),
            seconds: took.and_then(|(_, took)| took.as_ref()).map(std::time::Duration::as_secs),
        }
    }
}

fn failed(source: &WatchedSource) -> Option<FailedSource> {
    failure(source).map(|error| FailedSource::of(&source.url, error))
}
