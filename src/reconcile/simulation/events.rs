//! What happens to the world by itself, and how a story ends.

use std::collections::BTreeSet;

use super::git::Transfer;
use super::play::Play;
use super::rules::{CONVERGES, ENDS, IDLE};
use super::spec::{Behaviour, Commit, Entry, OnFailure};
use super::story::{Change, Event, LISTING, Pushed, SOURCES, STACKS, entry, spread};
use super::world::World;
use crate::rng::Rng;
use crate::stack::DriftPolicy;

/// So many times everybody asks until all must be as Git says.
const ROUNDS: usize = 6;
/// So many turns a run may take, so far apart.
const TURNS: usize = 80;
const PAUSE: u64 = 4_000;

impl Play<'_> {
    pub fn world_event(&mut self, event: &Event) {
        match event {
            Event::Push(source, change) => return self.push(*source, change),
            Event::Lose(controller) => {
                self.forget_asked(*controller);
                let mut world = self.world.borrow_mut();
                world.watched.clear();
                for stack in STACKS {
                    let ledger = world.ledger(stack);
                    ledger.excused = true;
                    // What the Swarm remembers of it is no part of these stories.
                    ledger.on_hold = ledger.on_hold.filter(|holder| holder != controller);
                }
                return;
            }
            _ => {}
        }
        let mut world = self.world.borrow_mut();
        match event {
            Event::Wait(millis) => world.pass(*millis),
            Event::Hand(stack, hand) => {
                let edited = world.swarm.hand(stack, *hand);
                if edited {
                    world.touch(stack);
                    world.ledger(stack).edited = true;
                }
            }
            Event::Node(node) => {
                world.swarm.nodes.up[*node] = !world.swarm.nodes.up[*node];
                for stack in STACKS {
                    world.shake(stack);
                }
                world.pass(0);
            }
            Event::Remote(source) => world.sources[*source].up = !world.sources[*source].up,
            Event::Transfer(source, transfer) => world.sources[*source].transfer = *transfer,
            Event::Trouble(who, after, fault) => world.faults.push((*who, *after, *fault)),
            Event::Away(millis) => world.away = world.now + millis,
            Event::Registry => {
                let (now, is_up) = (world.now, world.swarm.nodes.registry.is_up);
                world.swarm.nodes.registry.turn(!is_up, now);
            }
            Event::Tags(stack, pushed) => {
                let listed = world.sources.iter().filter_map(|at| at.head().entry(stack));
                let tags: BTreeSet<_> =
                    listed.flat_map(|entry| entry.services.values().map(|spec| spec.image)).collect();
                let now = world.now;
                for tag in tags {
                    let registry = &mut world.swarm.nodes.registry;
                    match pushed {
                        Pushed::Good => registry.push(tag, false, now),
                        Pushed::Bad => registry.push(tag, true, now),
                        Pushed::Gone => registry.deny(tag, now),
                    }
                }
            }
            Event::Die(stack) => {
                world.swarm.kill_task(stack);
                world.shake(stack);
                world.pass(0);
            }
            _ => {}
        }
    }

    fn push(&mut self, source: usize, change: &Change) {
        self.version += 1;
        let version = self.version;
        let mut world = self.world.borrow_mut();
        let lists = |at: &usize| world.sources[*at].head().entry(change.stack()).is_some();
        let source = if source == LISTING { (0..2).find(lists).unwrap_or_default() } else { source };
        if let Change::Move(name, to) = change {
            let from = (0..2).find(|at| world.sources[*at].head().entry(name).is_some());
            let Some(from) = from.filter(|from| from != to) else { return };
            let mut moved = world.sources[from].head().entry(name).unwrap().clone();
            moved.depends_on.clear();
            if world.sources[*to].head().entry(name).is_none() {
                commit(&mut world, *to, |commit| commit.stacks.push(moved));
            }
            commit(&mut world, from, |commit| commit.stacks.retain(|entry| entry.name != *name));
            return;
        }
        if *change == Change::Revert {
            let commits = &mut world.sources[source].commits;
            if let Some(before) = commits.len().checked_sub(2) {
                commits.push(commits[before].clone());
            }
            return;
        }
        commit(&mut world, source, |commit| apply(commit, change, version));
    }

    /// All trouble ends, what is wrong in Git is mended, and everything becomes as Git says; then nothing is done.
    pub fn end(&mut self) {
        self.mend();
        // What one source lists in vain while another hands it over takes a second look each time.
        let looks = 1 + usize::from(STACKS.into_iter().any(|name| self.is_shared(name)));
        let mut quiet = 0;
        for round in 0..ROUNDS {
            // What failed of the last trouble may be held only now.
            if round == 1 {
                self.mend_sources();
            }
            let mut is_quiet = true;
            for who in [0, 2] {
                self.run(who);
                let view = &self.world.borrow().views[who];
                is_quiet &= view.acts == 0 && view.calls <= looks && view.healths <= looks;
                // What it only saw fail is tried again by whoever runs next.
                is_quiet &= round > 0 || !view.failed;
            }
            // Swarm itself takes its time.
            self.world.borrow_mut().pass(30_000);
            quiet = if is_quiet && self.unlike().is_none() { quiet + 1 } else { 0 };
            // A run that only sees that a deploy failed looks twice as well.
            if self.is_broken() || quiet == looks {
                break;
            }
        }
        if self.is_broken() {
            return;
        }
        if let Some(what) = self.unlike() {
            return self.world.borrow_mut().breaks(CONVERGES, what);
        }
        // The last looks of the others were idle already, or they never were.
        let others: &[usize] = if quiet == looks { &[1] } else { &[0, 1, 2] };
        for who in others.iter().copied() {
            self.run(who);
            let mut world = self.world.borrow_mut();
            let (acts, calls, healths) =
                (world.views[who].acts, world.views[who].calls, world.views[who].healths);
            if acts > 0 || calls > looks || healths > looks {
                world.breaks(
                    IDLE,
                    format!("{acts} acts, {calls} calls and {healths} looks at health by {who}"),
                );
            }
        }
    }

    fn run(&mut self, who: usize) {
        if self.is_broken() {
            return;
        }
        self.ask(who, false);
        for _ in 0..TURNS {
            if !self.is_running(who) || self.is_broken() {
                return;
            }
            self.world.borrow_mut().pass(PAUSE);
            self.turn(who);
        }
        if self.is_running(who) {
            self.world.borrow_mut().breaks(ENDS, format!("{who} still takes turns after {TURNS}"));
        }
    }

    fn mend(&mut self) {
        self.drop_run(1);
        for stack in STACKS {
            self.release(stack);
        }
        {
            let mut world = self.world.borrow_mut();
            world.tell(|| "all trouble ends".to_owned());
            world.faults.clear();
            world.away = 0;
            world.swarm.nodes.up = [true; 3];
            let now = world.now;
            world.swarm.nodes.registry.mend(now);
            world.swarm.clear_hands();
            for source in &mut world.sources {
                (source.up, source.transfer) = (true, Transfer::default());
            }
            for stack in STACKS {
                if world.ledger(stack).edited {
                    world.touch(stack);
                }
            }
            world.pass(0);
        }
        self.mend_sources();
    }

    fn mend_sources(&mut self) {
        for source in 0..SOURCES {
            let bad = {
                let world = self.world.borrow();
                let head = world.sources[source].head();
                let is_bad = |entry: &Entry| !entry.is_good() || world.never_runs(source, entry);
                head.broken || head.stacks.iter().any(is_bad)
            };
            if bad || self.has_held(source) {
                self.version += 1;
                let version = self.version;
                let world = &mut *self.world.borrow_mut();
                let fails = |entry: &Entry| world.never_runs(source, entry);
                let failing: Vec<_> =
                    world.sources[source].head().stacks.iter().filter(|it| fails(it)).collect();
                let failing: Vec<_> = failing.into_iter().map(|entry| entry.name).collect();
                commit(world, source, |commit| {
                    commit.broken = false;
                    for entry in &mut commit.stacks {
                        if failing.contains(&entry.name) {
                            let services = entry.services.values_mut();
                            services.for_each(|spec| (spec.image, spec.env) = (version, version));
                        }
                        if !entry.is_good() {
                            entry.wrong = false;
                            for spec in entry.services.values_mut() {
                                (spec.env, spec.behaviour) = (version, Behaviour::Good);
                            }
                        }
                    }
                });
            }
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        let world = self.world.borrow();
        world.sources.iter().filter(|at| at.head().entry(name).is_some()).count() > 1
    }

    /// What is not as Git says.
    fn unlike(&self) -> Option<String> {
        let world = self.world.borrow();
        STACKS.into_iter().find_map(|name| {
            let of = world.sources.iter().filter_map(|at| Some((at, at.head().entry(name)?)));
            let listed: Vec<_> = of.filter(|(_, entry)| entry.enabled).collect();
            if listed.is_empty() {
                let left = world.swarm.of_stack(name).find(|live| !live.labels.owner.is_empty())?;
                return Some(format!("`{}` is there, and nobody lists it", left.name));
            }
            // What two sources list is refused to one of them, and so is what depends on it there.
            let is_claimed = |on: &&'static str| {
                world.sources.iter().filter(|at| at.head().entry(on).is_some()).count() > 1
            };
            if listed.iter().any(|(at, entry)| at.head().needs(entry).iter().any(is_claimed)) {
                return None;
            }
            // So is what another one lists as disabled.
            if world.sources.iter().any(|at| at.head().entry(name).is_some_and(|entry| !entry.enabled)) {
                return None;
            }
            // Swarm went back to what one of two had deployed, of some services alone: both are told, and nobody undoes it.
            let owners: BTreeSet<_> = world.swarm.of_stack(name).map(|live| &live.labels.owner).collect();
            if listed.len() > 1 && owners.len() > 1 {
                return None;
            }
            let is_as = listed.iter().any(|(at, entry)| {
                let edited = world.ledgers.get(name).is_some_and(|ledger| ledger.edited);
                let drifted = entry.drift != DriftPolicy::Correct && edited;
                let is_as = || world.swarm.is_as(entry, at.source.id().as_str(), true);
                drifted || (is_as() && (!world.always[at.controller] || world.swarm.runs_tags(entry)))
            });
            (!is_as).then(|| format!("`{name}` is not as any source says"))
        })
    }
}

impl World {
    /// Whether nothing but another version of a stack ever runs: nobody looks where its tag went, or Swarm starts no
    /// further task of this one.
    fn never_runs(&self, source: usize, entry: &Entry) -> bool {
        let compares = self.always[self.sources[source].controller];
        let mut tags = entry.services.values().map(|spec| spec.image);
        let is_stuck = !compares && tags.any(|tag| self.swarm.nodes.registry.was_bad(tag));
        is_stuck || self.swarm.ended_early(entry.name)
    }
}

/// A further commit.
fn commit(world: &mut World, source: usize, change: impl FnOnce(&mut Commit)) {
    let mut next = world.sources[source].head().clone();
    change(&mut next);
    let listed: Vec<_> = next.stacks.iter().map(|entry| entry.name).collect();
    for entry in &mut next.stacks {
        entry.depends_on.retain(|on| listed.contains(on));
    }
    world.sources[source].commits.push(next);
}

fn apply(commit: &mut Commit, change: &Change, version: u16) {
    let mut rng = Rng::new(u64::from(version));
    let new = |name| spread(entry(name, version, &mut rng), &mut rng);
    let find = |commit: &mut Commit, name: &str| commit.stacks.iter().position(|entry| entry.name == name);
    match change {
        Change::Version(name, behaviour, on_failure) => {
            let Some(at) = find(commit, name) else { return commit.stacks.push({ new }(name)) };
            for spec in commit.stacks[at].services.values_mut() {
                (spec.env, spec.behaviour, spec.on_failure) = (version, *behaviour, *on_failure);
                if *behaviour == Behaviour::Once && spec.is_global {
                    // Swarm stops its update at the first node that did its work: nobody gets the others to it.
                    spec.behaviour = Behaviour::Good;
                } else if *behaviour == Behaviour::Once {
                    // Swarm calls the update of a one-shot a failure, and would go back from it.
                    (spec.replicas, spec.on_failure) = (1, OnFailure::Pause);
                }
                if version.is_multiple_of(2) {
                    spec.image = version;
                }
            }
        }
        Change::Scale(name) => {
            if let Some(at) = find(commit, name) {
                let services = commit.stacks[at].services.values_mut();
                for spec in services.filter(|spec| spec.behaviour != Behaviour::Once && !spec.is_global) {
                    spec.replicas = spec.replicas % 3 + 1;
                }
            }
        }
        Change::List(name) => match find(commit, name) {
            Some(at) => drop(commit.stacks.remove(at)),
            None => commit.stacks.push({ new }(name)),
        },
        Change::Switch(name) => {
            if let Some(at) = find(commit, name) {
                commit.stacks[at].enabled = !commit.stacks[at].enabled;
            }
        }
        Change::Wrong(name) => {
            if let Some(at) = find(commit, name) {
                commit.stacks[at].wrong = !commit.stacks[at].wrong;
            }
        }
        Change::Broken => commit.broken = !commit.broken,
        Change::Revert | Change::Move(..) => {}
    }
}
