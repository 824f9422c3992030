//! Sources asked: one `ls-remote` each, then what has work is fetched and read, eight at a time. Nobody waits longer than
//! a moment for a server that says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Error, Result};

use super::door::Heads;
use super::session::{Selection, Session, Target, Wish};
use super::source::{Reading, WatchedSource};
use super::{Key, Reconciler, builds};
use crate::compose::FINGERPRINT;
use crate::docker::Swarm;
use crate::drift;
use crate::git::{Commit, Workplace};
use crate::plan::{self, Decision, Remove, Tags};
use crate::source::{SourceId, SourceUrl};
use crate::stack::{DriftPolicy, StackName};
use crate::state::{StackRow, StackStatus, WorkKind};
use crate::watched::Watched;

/// So long the first turn waits for servers that have not answered; those are taken up when they do.
const MOMENT: Duration = Duration::from_secs(2);

/// Sources whose servers are asked which commit they name.
#[derive(Debug)]
pub struct Asking {
    heads: Box<dyn Heads>,
    /// Those that have not answered so far, by their place among those asked.
    targets: BTreeMap<usize, (Target, Wish)>,
}

impl Asking {
    /// The sources that have not answered.
    pub fn ids(&self) -> impl Iterator<Item = &SourceId> {
        self.targets.values().map(|(target, _)| target.source.id())
    }

    /// What is wished of a source that is asked anew; this answer is not waited for any more.
    fn give_up(&mut self, id: &SourceId) -> Option<Wish> {
        let at = self.targets.iter().find(|(_, (target, _))| target.source.id() == id).map(|(at, _)| *at)?;
        self.targets.remove(&at).map(|(_, wish)| wish)
    }
}

impl Reconciler {
    /// Looks after `targets` from now on: what they name now is what is wanted. A source whose server takes its time
    /// is taken up by the turn that has its answer.
    pub fn ask(&mut self, session: &Session<'_>, targets: Vec<Target>, wish: &Wish) -> Result<()> {
        // All under way while docker is asked twice.
        let sources: Vec<_> = targets.iter().map(|target| target.source.clone()).collect();
        let heads = session.door.heads(&sources);
        let swarm = self.observe_anew(session)?;
        let watched = self.known.read(session.state)?;
        session.report.state(&watched, &session.state.images()?, &swarm);
        self.ask_anew(session, targets, wish, heads, swarm)
    }

    /// Goes on with a source that another run had read since and left before all of it came to rest.
    pub fn ask_again(&mut self, session: &Session<'_>, source: &SourceId) -> Result<()> {
        let Some(source) = self.sources.iter().find(|known| known.id == *source) else { return Ok(()) };
        let (target, wish) = (Target::new(source.source.clone(), source.row.clone()), source.wish.clone());
        let heads = session.door.heads(std::slice::from_ref(&target.source));
        let swarm = self.observe_anew(session)?;
        self.ask_anew(session, vec![target], &wish, heads, swarm)
    }

    fn ask_anew(
        &mut self,
        session: &Session<'_>,
        targets: Vec<Target>,
        wish: &Wish,
        heads: Box<dyn Heads>,
        swarm: Swarm,
    ) -> Result<()> {
        self.memory.look_again();
        self.pulls.forgive();
        let mut asking = Asking { heads, targets: BTreeMap::new() };
        for (at, target) in targets.into_iter().enumerate() {
            let earlier = self.asking.iter_mut().find_map(|earlier| earlier.give_up(target.source.id()));
            let wish = earlier.map_or_else(|| wish.clone(), |earlier| earlier.and(wish));
            asking.targets.insert(at, (target, wish));
        }
        self.asking.push(asking);
        let wait = (!self.options.dry_run).then_some(MOMENT);
        let answered = self.answered(wait)?;
        for (target, _) in self.asking.iter().flat_map(|asking| asking.targets.values()) {
            session.report.waiting(target.source.id().as_str(), "is asked which commit it names");
        }
        self.take_up(session, answered, &swarm)?;
        (self.swarm, self.stirred) = (Some(swarm), true);
        Ok(())
    }

    /// Takes up the sources whose servers have answered since.
    pub fn collect_answers(&mut self, session: &Session<'_>) -> Result<()> {
        let answered = self.answered(Some(Duration::ZERO))?;
        if answered.is_empty() {
            return Ok(());
        }
        let swarm = self.observe_anew(session)?;
        self.take_up(session, answered, &swarm)?;
        (self.swarm, self.stirred) = (Some(swarm), true);
        Ok(())
    }

    fn answered(&mut self, mut wait: Option<Duration>) -> Result<Vec<(Target, Wish, Result<Commit>)>> {
        let mut answered = Vec::new();
        // The newest was asked last.
        for asking in self.asking.iter_mut().rev() {
            for (at, head) in asking.heads.answered(wait)? {
                answered.extend(asking.targets.remove(&at).map(|(target, wish)| (target, wish, head)));
            }
            wait = Some(Duration::ZERO);
        }
        self.asking.retain(|asking| !asking.targets.is_empty());
        Ok(answered)
    }

    /// Whether a stack is to go that a source may list which has not answered yet: then it changes hands as it runs.
    pub fn may_be_taken_over(&self, decision: &Decision) -> bool {
        !self.asking.is_empty()
            && matches!(decision, Decision::Remove(Remove::FromSwarm { disabled: false, .. }))
    }

    fn take_up(
        &mut self,
        session: &Session<'_>,
        answered: Vec<(Target, Wish, Result<Commit>)>,
        swarm: &Swarm,
    ) -> Result<()> {
        let watched = self.known.read(session.state)?;
        let (mut asked, mut wishes) = (Vec::new(), BTreeMap::new());
        for (target, wish, head) in answered {
            session.report.stop_waiting(target.source.id().as_str());
            asked.push(self.survey(target, head, &watched, swarm, &wish));
            wishes.extend(asked.last().map(|(source, _)| (source.id.clone(), wish)));
        }
        self.survey_tags(session, &mut asked, &watched, swarm)?;
        let read = session.door.read(session, asked, &mut self.workplace, self.options.dry_run)?;
        for (mut source, is_new) in read {
            if source.row.is_none() {
                match source.reading {
                    Reading::Failed(error) if !self.options.go_on => return Err(error),
                    Reading::Failed(_) => {}
                    _ if self.options.dry_run => {}
                    _ => source.row = Some(session.state.remember(&source.url)?),
                }
            }
            source.begin(&wishes[&source.id]);
            // Who asked last decides, also by what it had read before: a command may have come between.
            let decides = (is_new || source.read().is_some()) && !self.options.dry_run;
            if let Some(row) = source.row.as_mut().filter(|_| decides) {
                row.asked = session.state.note_asked(row)?;
                source.asked = row.asked;
                let run = self.workplace.as_ref().map(Workplace::run).unwrap_or_default();
                session.state.begin_work(&run, WorkKind::Syncing, row.url.as_str())?;
            }
            if let (Some(error), Some(row)) = (&source.unreachable, &source.row) {
                session.report.source_failed(source.url.as_str(), error);
                session.state.note_sync(row, None, Some(&format!("{error:#}")))?;
            }
            self.look_after(source);
        }
        builds::survey(session, &mut self.sources, &watched, swarm)?;
        self.tell_of_sources(session, &wishes.into_keys().collect());
        Ok(())
    }

    /// A source as it is after a first look; with the commit it must be fetched at.
    fn survey(
        &mut self,
        target: Target,
        head: Result<Commit>,
        watched: &[Watched],
        swarm: &Swarm,
        wish: &Wish,
    ) -> (WatchedSource, Option<Commit>) {
        let id = target.source.id().clone();
        let before = self.sources.iter().position(|source| source.id == id).map(|at| self.sources.remove(at));
        let before = before.filter(|before| !before.is_settled);
        let known = watched.iter().find(|known| known.identity == id);
        let commit = head.as_ref().ok().cloned();
        let wish = match &before {
            Some(before) => before.wish.and(wish),
            None => wish.clone(),
        };
        let is_forced = wish.forced.is_some();
        // What was read of it still serves where it names the same commit, or cannot be asked.
        let serves = |before: &WatchedSource| {
            before.read().is_some()
                && match &commit {
                    Some(commit) => before.commit() == Some(commit.as_str()),
                    // Another run may have read a newer one since.
                    None => known.is_none_or(|known| known.row.asked <= before.asked),
                }
        };
        let (before, serving) = match before {
            Some(before) if serves(&before) => (None, Some(before)),
            other => (other, None),
        };
        drop(before);
        if let Some(before) = serving {
            let goes_on = !is_forced && target.backing_off.is_some() && target.backing_off == before.head;
            return (WatchedSource { wish, goes_on, unreachable: head.err(), ..before }, None);
        }
        let (reading, work) = match head {
            Err(error) => (Reading::Failed(error), None),
            Ok(head) => match known {
                Some(known) if !is_forced && target.backing_off.as_ref() == Some(&head) => {
                    (Reading::BackingOff, is_off(known, swarm).then_some(head))
                }
                Some(known) if !is_forced && !has_work(known, &head, swarm) => (Reading::Unchanged, None),
                _ => (Reading::Unchanged, Some(head)),
            },
        };
        let mut source = WatchedSource {
            id,
            url: target.row.as_ref().map_or_else(|| SourceUrl::of(&target.source), |row| row.url.clone()),
            source: target.source,
            row: target.row,
            stacks: Vec::new(),
            builds: Vec::new(),
            motions: Vec::new(),
            head: commit,
            reading,
            wish,
            forced: BTreeMap::new(),
            asked: 0,
            copied: BTreeMap::new(),
            unreachable: None,
            is_overtaken: false,
            overtaken_at: None,
            is_settled: false,
            goes_on: false,
        };
        if let Some(known) = known.filter(|known| Some(&known.row) == source.row.as_ref()) {
            source.recorded(known);
        }
        (source, work)
    }

    /// Takes a source in; what came of it before is forgotten, unless it only goes on.
    fn look_after(&mut self, source: WatchedSource) {
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

impl Wish {
    /// Both wishes together.
    fn and(&self, other: &Self) -> Self {
        let selection = match (&self.selection, &other.selection) {
            (Selection::Some(one), Selection::Some(other)) => Selection::Some(one | other),
            _ => Selection::All,
        };
        let forced = other.forced.clone().or_else(|| self.forced.clone());
        Self { selection, forced, pushed: other.pushed.clone() }
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

fn has_work(known: &Watched, head: &Commit, swarm: &Swarm) -> bool {
    let moved = known.row.commit.as_deref() != Some(head.as_str());
    let to_retry = |stack: &StackRow| stack.status == StackStatus::Error && !stack.held;
    moved
        || known.row.is_begun
        || known.builds.iter().any(|build| build.was_refused() || build.was_cut_off())
        || known.stacks.iter().any(to_retry)
        || !known.motions.is_empty()
        || is_off(known, swarm)
}

/// Whether the Swarm is not what was last applied of it.
fn is_off(known: &Watched, swarm: &Swarm) -> bool {
    let to_correct =
        |stack: &StackRow| stack.drift == DriftPolicy::Correct && !drift::find(stack, swarm).is_empty();
    let expected = |name: &StackName| {
        known.stacks.iter().any(|stack| stack.name == *name && stack.status != StackStatus::Stopped)
            || known.motions.iter().any(|motion| motion.name == *name)
    };
    // Of what is held nothing may be left.
    let is_gone = |stack: &StackRow| {
        let missing = |name: &String| !swarm.services.iter().any(|service| service.name == *name);
        stack.held && !stack.hash.is_empty() && stack.services.keys().any(missing)
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
