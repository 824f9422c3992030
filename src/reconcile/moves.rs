//! Stacks that one watched source lists no more and another one lists: they change hands as they run.
//!
//! Their old owner removes nothing. He forgets a stack once it converged under the new one; until then his commit
//! counts as not dealt with, so both are looked at again.

use std::collections::{BTreeMap, BTreeSet};

use super::source::WatchedSource;
use super::{Key, Reconciler};
use crate::docker::Swarm;
use crate::manifest::Layout;
use crate::plan::{self, Claims, Handover};
use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{StackRow, StackStatus};
use crate::watched::Watched;

/// By its old owner and its name: the new owner of a stack.
pub type Moves = BTreeMap<Key, SourceId>;

impl Reconciler {
    /// What changes hands; the names are the heirs' then. A stack with bindings does not: its files lie where those of its
    /// old owner do, which go first.
    pub fn moves(&self, watched: &[Watched], claims: &mut Claims, swarm: &Swarm) -> Moves {
        let mut moves = Moves::new();
        for known in watched {
            let Some(source) = self.sources.iter().find(|source| source.id == known.identity) else {
                continue;
            };
            let Some(read) = source.read().filter(|read| read.layout == Layout::List) else { continue };
            let listed = |name: &StackName| read.desired.iter().any(|desired| desired.entry.name == *name);
            // What is in motion for the first time has no row so far, and a lost database has none at all.
            let recorded = known.stacks.iter().map(|row| &row.name);
            let in_motion = known.motions.iter().map(|motion| &motion.name);
            let labelled = swarm.services.iter().filter(|live| plan::is_of(live, &known.identity));
            let labelled = labelled.map(|live| &live.stack);
            let names: BTreeSet<_> = recorded.chain(in_motion).chain(labelled).collect();
            for name in names.into_iter().filter(|name| !listed(name)) {
                // Once the new owner has deployed it, the label says so.
                let is_ours = |owner: &&SourceId| **owner == known.identity;
                let owner = plan::claim(claims, name);
                let heir = self.heir(name, known, watched);
                if let Some(heir) =
                    heir.filter(|heir| owner.is_none_or(|owner| is_ours(&owner) || *owner == *heir))
                {
                    plan::take(claims, name, &heir);
                    moves.insert(Key::new(&known.identity, name), heir);
                }
            }
        }
        moves
    }

    /// A source that lists the name: as was read in this run, or of one that was not, as its row says.
    fn heir(&self, name: &StackName, owner: &Watched, watched: &[Watched]) -> Option<SourceId> {
        let others = || self.sources.iter().filter(|source| source.id != owner.identity);
        let lists = |source: &&WatchedSource| {
            match source.desired(name).and_then(|desired| desired.rendered.as_ref()) {
                Some(Ok(rendered)) => rendered.bindings.is_empty(),
                // It runs on where it is until its files are mended; then it shows what it mounts.
                Some(Err(_)) => true,
                None => false,
            }
        };
        // In vain, or so long ago that it runs for somebody else by now.
        let waits = |known: &&Watched| {
            known.identity != owner.identity
                && !others().any(|source| source.id == known.identity && source.read().is_some())
                && known.stacks.iter().any(|row| row.name == *name && row.status != StackStatus::Stopped)
        };
        let now = others().find(lists).map(|source| source.id.clone());
        now.or_else(|| watched.iter().find(waits).map(|known| known.identity.clone()))
    }

    /// How the stack `old` is that goes to the source `heir`.
    pub fn handover(&self, old: &Key, heir: &SourceId, watched: &[Watched], swarm: &Swarm) -> Handover {
        let (name, key) = (&old.stack, Key::new(heir, &old.stack));
        // The heir may have had it before: its row tells of that time.
        let is_still_ours = swarm.of_stack(name).any(|live| plan::is_of(live, &old.source));
        let is_theirs = || swarm.of_stack(name).any(|live| plan::is_of(live, heir));
        let runs = |known: &&Watched| {
            let moves = || known.motions.iter().any(|motion| motion.name == *name);
            let has_it = |row: &StackRow| match row.status {
                StackStatus::Deployed => true,
                // It failed there, and that is the heir's concern by now.
                StackStatus::Error => is_theirs() && !moves(),
                StackStatus::Stopped => false,
            };
            known.identity == *heir && known.stacks.iter().any(|row| row.name == *name && has_it(row))
        };
        let is_asked = self.sources.iter().any(|source| source.id == *heir && source.read().is_some());
        if !is_still_ours && watched.iter().any(|known| runs(&known)) {
            Handover::Done
        } else if self.is_expected(heir)
            || is_asked && self.memory.decisions.get(&key).is_none_or(plan::Decision::is_under_way)
        {
            Handover::UnderWay
        } else {
            Handover::Stuck
        }
    }
}
