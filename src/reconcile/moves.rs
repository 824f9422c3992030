//! Stacks that one watched source lists no more and another one lists: they change hands as they run.
//!
//! Their old owner removes nothing. He forgets a stack once it converged under the new one; until then his commit
//! counts as not dealt with, so both are looked at again.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::ask::Wanted;
use super::session::{Session, Target, Wish};
use super::source::{Reading, WatchedSource};
use super::{Key, Reconciler};
use crate::docker::Swarm;
use crate::manifest::Layout;
use crate::plain;
use crate::plan::{self, Claims, Decision, Elsewhere, Handover, Until};
use crate::source::{SourceId, SourceUrl};
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
            // Who may not have it takes nothing over.
            if source.desired(name).is_some_and(|desired| desired.entry.is_forbidden) {
                return false;
            }
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

    /// Whether another source may list what `owner` lists no more: one that is being asked, or that cannot be read.
    pub fn elsewhere(&self, owner: &WatchedSource, watched: &[Watched]) -> Elsewhere {
        let others = || watched.iter().filter(|known| known.identity != owner.id);
        let looked_after = |id: &SourceId| self.sources.iter().find(|source| source.id == *id);
        let were_asked =
            owner.head.is_some() && self.memory.others_asked.get(&owner.id) == owner.head.as_ref();
        let to_ask = others().next().is_some() && !were_asked
            || others().any(|known| {
                known.row.url.parse().is_ok()
                    && looked_after(&known.identity).is_none()
                    && !self.is_left_alone(known)
            });
        if self.expected().next().is_some()
            || !self.memory.synced_elsewhere.is_empty()
            || to_ask && !self.options.dry_run
        {
            return Elsewhere::Asked;
        }
        // What is not watched takes nothing over.
        let mut others = self.sources.iter().filter(|source| source.id != owner.id && source.row.is_some());
        let why = others.find_map(unclear).or_else(|| {
            let left =
                watched.iter().find(|known| known.identity != owner.id && self.is_left_alone(known))?;
            Some(cannot_be_read(&left.row.url))
        });
        why.map_or(Elsewhere::No, Elsewhere::Unclear)
    }

    /// Whether a source gave no answer when it was asked last, and is not to be asked yet.
    fn is_left_alone(&self, known: &Watched) -> bool {
        known.row.error.is_some()
            && self.backing_off.get(&known.identity).is_some_and(Option::is_none)
            && !self.sources.iter().any(|source| source.id == known.identity)
    }

    /// Before what a source lists no more goes, and when nothing else is waited for, all sources are asked once more which
    /// commits they name: another one may have come to list it, and its own to list it again. Whether any was asked: then
    /// all is to be decided anew.
    pub fn ask_others(
        &mut self,
        session: &Session<'_>,
        decided: &[(Key, Decision)],
        swarm: &Swarm,
    ) -> Result<bool> {
        let waits =
            |decision: &Decision| matches!(decision, Decision::Blocked(it) if it.until == Until::Asked);
        let waiting: BTreeSet<_> =
            decided.iter().filter(|(_, decision)| waits(decision)).map(|(key, _)| &key.source).collect();
        if waiting.is_empty() || self.options.dry_run {
            return Ok(false);
        }
        let owners: Vec<_> = self.sources.iter().filter(|source| waiting.contains(&source.id)).collect();
        let wish =
            owners.iter().map(|owner| Wish { forced: None, pushed: None, build: None, ..owner.wish.clone() });
        let wish = wish.reduce(|one, other| one.and(&other)).unwrap_or_default();
        let new = owners.iter().filter_map(|owner| Some((owner.id.clone(), owner.head.clone()?)));
        let is_last = self.expected().next().is_none();
        let new: BTreeMap<_, _> =
            new.filter(|(id, head)| is_last && self.memory.others_asked.get(id) != Some(head)).collect();
        let (mut wanted, mut asked_for) = (Vec::new(), Vec::new());
        for known in self.known.read(session.state)?.iter() {
            let id = &known.identity;
            let is_missing = !self.sources.iter().any(|source| source.id == *id);
            if self.is_expected(id) || !is_missing && new.is_empty() || self.is_left_alone(known) {
                continue;
            }
            // Of one that this release reads no more its rows tell what it lists.
            let Ok(source) = known.row.url.parse() else { continue };
            asked_for.extend(owners.iter().map(|owner| (owner.id.clone(), id.clone())));
            let backing_off = self.backing_off.get(id).cloned().flatten();
            let target = Target { backing_off, ..Target::new(source, Some(known.row.clone())) };
            wanted.push(Wanted { target, wishes: vec![wish.clone()] });
        }
        self.memory.asked_for.extend(asked_for);
        self.memory.others_asked.extend(new);
        if wanted.is_empty() {
            return Ok(false);
        }
        self.check(session, wanted, swarm)?;
        Ok(true)
    }

    /// The sources that were asked before stacks of others went, each with the one that drops them.
    pub fn take_asked_for(&mut self) -> BTreeSet<(SourceId, SourceId)> {
        std::mem::take(&mut self.memory.asked_for)
    }

    /// Says of a stack that it does not go in this run.
    pub fn note_stays(&mut self, session: &Session<'_>, key: &Key, why: &str) -> Result<()> {
        if self.memory.reported.insert((key.clone(), why.to_owned())) {
            session.report.stays_noted(self.source(key)?.subject(&key.stack), why);
        }
        let row = self.source(key)?.stack(&key.stack).filter(|row| row.stays != Some(plain::text(why)));
        match row.filter(|_| !self.options.dry_run) {
            Some(row) => session.state.note_stays(row, Some(why)),
            None => Ok(()),
        }
    }

    /// Records which stacks of a source stay that it lists no more, and which of them do no longer.
    pub fn record_stays(&self, session: &Session<'_>, source: &WatchedSource) -> Result<()> {
        for row in &source.stacks {
            let stays = match self.memory.decisions.get(&Key::new(&source.id, &row.name)) {
                Some(Decision::Blocked(it)) if it.until == Until::Clear => Some(it.why.as_str()),
                _ => None,
            };
            if stays.map(plain::text) != row.stays {
                session.state.note_stays(row, stays)?;
            }
        }
        Ok(())
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

/// Why it is not known what a source lists by now.
fn unclear(source: &WatchedSource) -> Option<String> {
    let url = &source.url;
    if source.is_overtaken {
        return Some(format!(
            "another run has read `{url}` since, which may list it; the next run removes it if no source does"
        ));
    }
    let failed = source.row.as_ref().is_some_and(|row| row.error.is_some());
    let is_unclear = source.unreachable.is_some()
        || match source.reading {
            Reading::Failed(_) => true,
            Reading::BackingOff => failed,
            Reading::Read(_) | Reading::Unchanged => false,
        };
    is_unclear.then(|| cannot_be_read(url))
}

fn cannot_be_read(url: &SourceUrl) -> String {
    let url = url.shown();
    format!("`{url}` cannot be read, and may list it now; mend that source, or `dockerops unwatch {url}`")
}
