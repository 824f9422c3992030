//! Sources taken up: whether what a server named is work, and what was read of it from then on decided about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Error, Result};
use chrono::{DateTime, Utc};

use super::ask::{Answer, Wanted};
use super::holds::{is_on_hold, is_released, remembered};
use super::rollback::is_to_go_back;
use super::session::{Selection, Session, Wish};
use super::source::{Reading, WatchedSource};
use super::{Key, Reconciler, builds};
use crate::compose::FINGERPRINT;
use crate::docker::Swarm;
use crate::drift;
use crate::git::Commit;
use crate::plan::{self, Tags};
use crate::source::SourceUrl;
use crate::stack::{DriftPolicy, StackName};
use crate::state::{StackRow, StackStatus, WorkKind};
use crate::watched::Watched;

/// A source that is looked after from now on.
#[derive(Debug)]
pub struct Taken {
    pub source: WatchedSource,
    /// Whether it was read now.
    pub is_new: bool,
    pub wishes: Vec<Wish>,
}

impl Reconciler {
    /// Takes up what was answered, and what was fetched. What was answered is fetched where it has work; so long that is
    /// waited for, without a bound where none is given.
    pub fn take_up(
        &mut self,
        session: &Session<'_>,
        answered: Vec<Answer>,
        swarm: &Swarm,
        most: Option<Duration>,
    ) -> Result<()> {
        let watched = self.known.read(session.state)?;
        let (mut asked, mut wanted) = (Vec::new(), Vec::new());
        for mut answer in answered {
            let id = answer.wanted.id().clone();
            session.report.stop_waiting(id.as_str());
            let Some(still) = still_wanted(session, answer.wanted, &watched) else { continue };
            answer.wanted = still;
            match self.fetching.join(answer) {
                Some(Answer { wanted: one, head }) => {
                    asked.push(self.survey(session, &one, head, &watched, swarm));
                    wanted.push(one);
                }
                None => session.report.waiting(id.as_str(), "is being fetched"),
            }
        }
        self.survey_tags(session, &mut asked, &watched, swarm)?;
        let (mut taken, mut begun) = (Vec::new(), BTreeSet::new());
        for ((source, work), one) in asked.into_iter().zip(wanted) {
            match work {
                Some(commit) => {
                    begun.insert(source.id);
                    self.fetching.begin(session, one, commit, &watched)?;
                }
                None => taken.push(Taken { source, is_new: false, wishes: one.wishes }),
            }
        }
        self.fetching.collect(session, &begun, most)?;
        let (read, next) = self.read_fetched(session, &watched)?;
        taken.extend(read);
        self.take_in(session, taken, &watched, swarm)?;
        if next.is_empty() {
            return self.show_fetching(session);
        }
        self.take_up(session, next, swarm, Some(Duration::ZERO))
    }

    fn take_in(
        &mut self,
        session: &Session<'_>,
        taken: Vec<Taken>,
        watched: &[Watched],
        swarm: &Swarm,
    ) -> Result<()> {
        let mut ids = BTreeSet::new();
        for Taken { mut source, is_new, wishes } in taken {
            if source.row.is_none() {
                match source.reading {
                    Reading::Failed(error) if !self.options.go_on => return Err(error),
                    Reading::Failed(_) => {}
                    _ => {
                        let runs = swarm.services.iter().any(|service| plan::is_of(service, &source.id));
                        let dry_run = self.options.dry_run;
                        let holds = if runs { remembered(session, &source.id, dry_run)? } else { Vec::new() };
                        if !dry_run {
                            source.row = Some(session.state.remember_held(&source.url, &holds)?);
                        }
                        source.is_held(session, holds);
                    }
                }
            }
            if let Some(before) = self.sources.iter().find(|it| it.id == source.id && !it.is_settled) {
                let left = before.forced.iter().filter(|(name, _)| source.desired(name).is_some());
                let left: Vec<_> = left.map(|(name, why)| (name.clone(), why.clone())).collect();
                source.forced.extend(left);
            }
            for wish in &wishes {
                source.begin(wish);
            }
            self.go_back(session, &mut source, is_new)?;
            // Who asked last decides, also by what it had read before: a command may have come between.
            let decides = (is_new || source.read().is_some()) && !self.options.dry_run;
            if let Some(row) = source.row.as_mut().filter(|_| decides) {
                row.asked = session.state.note_asked(row)?;
                source.asked = row.asked;
                if self.workplace.is_none() {
                    self.workplace = session.door.workplace(session)?;
                }
                session.state.begin_work(&self.run(), WorkKind::Syncing, row.url.as_str())?;
            }
            if let (Some(error), Some(row)) = (&source.unreachable, &source.row) {
                session.report.source_failed(source.url.as_str(), error);
                session.state.note_sync(row, None, Some(&format!("{error:#}")))?;
            }
            ids.insert(source.id.clone());
            self.look_after(source);
        }
        builds::survey(session, &mut self.sources, watched, swarm)?;
        self.tell_of_sources(session, &ids);
        Ok(())
    }

    /// A source as it is after a first look; with the commit it must be fetched at. What was known of it is replaced by
    /// whatever comes of that.
    fn survey(
        &mut self,
        session: &Session<'_>,
        wanted: &Wanted,
        head: Result<Commit>,
        watched: &[Watched],
        swarm: &Swarm,
    ) -> (WatchedSource, Option<Commit>) {
        let known = watched.iter().find(|known| known.identity == *wanted.id());
        let commit = head.as_ref().ok().cloned();
        let wish = self.wish_of(wanted);
        let (policy, now) = (session.policy_id(), session.door.now().wall);
        let is_forced = wish.forced.is_some() || wish.build.is_some();
        let backing_off = wanted.target.backing_off.as_ref();
        // What was read of it still serves where it names the same commit, or cannot be asked.
        let serves = |before: &WatchedSource| {
            before.id == *wanted.id()
                && !before.is_settled
                && before.read().is_some()
                && !before.is_stale()
                && match &commit {
                    Some(commit) => before.commit() == Some(commit.as_str()),
                    // Another run may have read a newer one since.
                    None => known.is_none_or(|known| known.row.asked <= before.asked),
                }
        };
        if let Some(at) = self.sources.iter().position(serves) {
            let mut before = self.sources.remove(at);
            before.build_again(wanted.wish().build.as_ref());
            let goes_on = !is_forced && backing_off.is_some() && backing_off == before.head.as_ref();
            return (WatchedSource { wish, goes_on, unreachable: head.err(), ..before }, None);
        }
        let (reading, work) = match head {
            Err(error) => (Reading::Failed(error), None),
            Ok(head) => match known {
                Some(known) if !is_forced && backing_off == Some(&head) => {
                    let is_off = goes_back(known) || is_off(known, swarm, now);
                    (Reading::BackingOff, is_off.then_some(head))
                }
                Some(known) if !is_forced && !has_work(known, &head, policy, swarm, now) => {
                    (Reading::Unchanged, None)
                }
                _ => (Reading::Unchanged, Some(head)),
            },
        };
        (WatchedSource { reading, ..self.new_source(wanted, commit, watched) }, work)
    }

    /// What is wished, with what was wished before of a source that has not come to rest.
    fn wish_of(&self, wanted: &Wanted) -> Wish {
        let before = self.sources.iter().find(|source| source.id == *wanted.id() && !source.is_settled);
        let wish = wanted.wish();
        before.map_or_else(|| wish.clone(), |before| before.wish.and(&wish))
    }

    /// A source of which nothing was read so far.
    pub fn new_source(&self, wanted: &Wanted, head: Option<Commit>, watched: &[Watched]) -> WatchedSource {
        let target = &wanted.target;
        let mut source = WatchedSource {
            id: wanted.id().clone(),
            url: target.row.as_ref().map_or_else(|| SourceUrl::of(&target.source), |row| row.url.clone()),
            source: target.source.clone(),
            row: target.row.clone(),
            stacks: Vec::new(),
            builds: Vec::new(),
            motions: Vec::new(),
            holds: Vec::new(),
            on_hold: Vec::new(),
            head,
            back: target.back.clone(),
            reading: Reading::Unchanged,
            wish: self.wish_of(wanted),
            forced: BTreeMap::new(),
            asked: 0,
            copied: BTreeMap::new(),
            unreachable: None,
            is_overtaken: false,
            overtaken_at: None,
            is_settled: false,
            goes_on: false,
        };
        let known = watched.iter().find(|known| known.identity == source.id);
        if let Some(known) = known.filter(|known| Some(&known.row) == source.row.as_ref()) {
            source.recorded(known);
        }
        source
    }

    /// Takes a source in; what came of it before is forgotten, unless it only goes on.
    fn look_after(&mut self, source: WatchedSource) {
        self.sources.retain(|before| before.id != source.id);
        if source.goes_on {
            self.sources.push(source);
            return;
        }
        let id = source.id.clone();
        let concerns = |key: &Key| key.source == id && source.wish.selection.holds(&key.stack);
        if source.wish.selection == Selection::All {
            self.memory.of_sources.remove(&id);
        }
        let keys: BTreeSet<_> = self
            .memory
            .decisions
            .keys()
            .chain(self.memory.tried.keys())
            .filter(|key| concerns(key))
            .cloned()
            .collect();
        for key in keys {
            self.memory.begin(&key);
        }
        self.sources.push(source);
    }
}

impl WatchedSource {
    /// Its stacks are to be deployed by force where that is wished.
    fn begin(&mut self, wish: &Wish) {
        let Some(reason) = &wish.forced else { return };
        let listed = self.read().into_iter().flat_map(|read| &read.desired);
        let names: Vec<_> = listed.map(|desired| desired.entry.name.clone()).collect();
        let wished = names.into_iter().filter(|name| wish.selection.holds(name));
        self.forced.extend(wished.map(|name| (name, reason.clone())));
    }
}

/// What is wanted, with its row as it is by now; `None` where it is watched no more.
pub fn still_wanted(session: &Session<'_>, mut wanted: Wanted, watched: &[Watched]) -> Option<Wanted> {
    let known = watched.iter().find(|known| known.identity == *wanted.id());
    if let (Some(row), None) = (&wanted.target.row, known) {
        session.report.note(row.url.as_str(), "it is not watched any more: this run leaves it");
        return None;
    }
    wanted.target.row = known.map(|known| known.row.clone());
    Some(wanted)
}

fn has_work(known: &Watched, head: &Commit, policy: &str, swarm: &Swarm, now: DateTime<Utc>) -> bool {
    let moved = known.row.commit.as_deref() != Some(head.as_str());
    let to_retry = |stack: &StackRow| {
        stack.status == StackStatus::Error && !stack.held && !is_on_hold(known, &stack.name, now)
    };
    moved
        || known.row.is_begun
        || known.row.policy != policy
        || goes_back(known)
        || known.builds.iter().any(|build| build.was_refused() || build.was_cut_off())
        || known.stacks.iter().any(to_retry)
        || !known.motions.is_empty()
        || known.on_hold.iter().any(|stack| is_released(stack, &known.holds, now))
        || is_off(known, swarm, now)
}

/// Whether a stack of it was rolled back to what does not run so far.
fn goes_back(known: &Watched) -> bool {
    known.holds.iter().any(|row| is_to_go_back(&known.stacks, row))
}

/// Whether the Swarm is not what was last applied of it.
fn is_off(known: &Watched, swarm: &Swarm, now: DateTime<Utc>) -> bool {
    let to_correct = |stack: &StackRow| {
        stack.drift == DriftPolicy::Correct
            && !is_on_hold(known, &stack.name, now)
            && !drift::find(stack, swarm).is_empty()
    };
    let expected = |name: &StackName| {
        known.stacks.iter().any(|stack| stack.name == *name && stack.status != StackStatus::Stopped)
            || known.motions.iter().any(|motion| motion.name == *name)
    };
    // Of what is held nothing may be left.
    let is_gone = |stack: &StackRow| {
        let missing = |name: &String| !swarm.services.iter().any(|service| service.name == *name);
        let mut kept = stack.services.iter().filter(|(_, applied)| applied.is_kept());
        stack.held && !stack.hash.is_empty() && kept.any(|(name, _)| missing(name))
    };
    let is_right = |stack: &StackRow| {
        let live: Vec<_> = swarm.of_stack(&stack.name).collect();
        stack.held && plan::is_right_again(stack, &live, Tags::Unasked)
    };
    // That is no drift, whatever is wanted of that.
    let is_taken = |stack: &StackRow| {
        // As a decision takes it: one that bears our fingerprint is our own, whose label a hand edited.
        let live = || swarm.of_stack(&stack.name);
        let others = live().filter(|live| live.labels.get(FINGERPRINT) != Some(&stack.hash));
        stack.status == StackStatus::Deployed
            && others.filter_map(plan::owner).any(|owner| known.identity != *owner)
    };
    known.stacks.iter().any(to_correct)
        || known.stacks.iter().any(is_taken)
        || known.stacks.iter().any(is_gone)
        || known.stacks.iter().any(is_right)
        || swarm
            .services
            .iter()
            .any(|service| plan::is_of(service, &known.identity) && !expected(&service.stack))
}

/// Why a source could not be had.
pub fn failure(source: &WatchedSource) -> Option<&Error> {
    if let Reading::Failed(error) = &source.reading { Some(error) } else { None }
}
