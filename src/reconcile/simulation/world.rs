//! All there is in a story: the Swarm, git, time, trouble, and what was seen of who did what.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::clock::{Millis, wall};
use super::git::Transfer;
use super::rules::Ledger;
use super::spec::Commit;
use super::swarm::Swarm;
use crate::clock;
use crate::source::Source;

/// So many runs there can be at a time: a daemon, a command on its database, and a DockerOps of its own.
pub const ACTORS: usize = 3;

/// Whose database a run uses.
pub fn controller(actor: usize) -> usize {
    usize::from(actor == 2)
}

#[derive(Debug)]
pub struct SimSource {
    pub source: Source,
    pub controller: usize,
    pub up: bool,
    /// How what is fetched of it from now on comes.
    pub transfer: Transfer,
    pub commits: Vec<Commit>,
}

impl SimSource {
    pub fn head(&self) -> &Commit {
        &self.commits[self.commits.len() - 1]
    }

    /// The place of the commit with this id.
    pub fn place(id: &str) -> usize {
        usize::from_str_radix(&id[20..], 16).unwrap()
    }

    /// The id of the commit at this place.
    pub fn commit(source: usize, at: usize) -> crate::git::Commit {
        crate::git::Commit::parse(&format!("{source:020x}{at:020x}")).unwrap()
    }
}

/// What may happen to a call through the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Refused,
    /// It is done, and nobody hears of it.
    Unanswered,
    Half,
    /// It takes its time.
    Slow(Millis),
    /// `kill -9` before it.
    KilledBefore,
    /// `kill -9` after it.
    KilledAfter,
}

/// What a killed run unwinds with.
#[derive(Debug)]
pub struct Killed;

/// What a run has seen last.
#[derive(Debug, Default, Clone)]
pub struct View {
    /// When it looked at all services.
    pub observed: Millis,
    /// When it asked for the heads.
    pub asked: Millis,
    /// The commit that it read last of each source, and those whose head it was told in the last question.
    pub read: BTreeMap<usize, usize>,
    pub heads: BTreeMap<usize, usize>,
    /// The sources that were asked in its run, whether or not they gave an answer.
    pub sources: BTreeSet<usize>,
    /// The commits that are being fetched for it, and those that came at once since it asked.
    pub fetching: BTreeMap<usize, usize>,
    pub fetched: BTreeMap<usize, usize>,
    /// The stacks of sources that it has read and that are to be deployed by its next turn.
    pub owed: Vec<&'static str>,
    /// Calls through the door, and those that had trouble, since it asked; how often it asked for everybody's health is
    /// not among them.
    pub calls: usize,
    pub healths: usize,
    pub acts: usize,
    pub troubles: usize,
    /// Whether it was asked to deploy by force.
    pub forced: bool,
    /// Whether its last run came to an end with something that failed.
    pub failed: bool,
    /// The stacks it gave to docker since it asked.
    pub deployed: Vec<String>,
    /// The stacks that were well when their tasks were seen last.
    pub well: BTreeMap<String, Vec<(usize, usize)>>,
}

/// A rule that was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    pub rule: &'static str,
    pub what: String,
}

#[derive(Debug)]
pub struct World {
    pub now: Millis,
    happened: usize,
    pub swarm: Swarm,
    pub sources: Vec<SimSource>,
    /// Whether each controller compares tags with their registry.
    pub always: [bool; 2],
    /// Of each actor: after so many calls, this.
    pub faults: Vec<(usize, usize, Fault)>,
    /// Until when docker is away.
    pub away: Millis,
    pub views: [View; ACTORS],
    /// The sources that were read once, and so are watched.
    pub watched: BTreeSet<usize>,
    pub ledgers: BTreeMap<String, Ledger>,
    pub broken: Vec<Broken>,
    /// What happened, for people.
    pub log: Option<Vec<String>>,
}

/// Shared by those who act.
pub type Shared = Rc<RefCell<World>>;

impl World {
    /// Nothing has happened so far.
    pub fn new(sources: Vec<SimSource>, always: [bool; 2], listen: bool) -> Self {
        clock::set(wall(0));
        Self {
            now: 0,
            happened: 0,
            swarm: Swarm::new(),
            sources,
            always,
            faults: Vec::new(),
            away: 0,
            views: std::array::from_fn(|_| View::default()),
            watched: BTreeSet::new(),
            ledgers: BTreeMap::new(),
            broken: Vec::new(),
            log: listen.then(Vec::new),
        }
    }

    /// Time goes on.
    pub fn pass(&mut self, millis: Millis) {
        self.now += millis;
        clock::set(wall(self.now));
        self.swarm.pass(self.now);
    }

    /// Something happens, as the nth of all: much may happen at one time.
    pub fn happens(&mut self) -> usize {
        self.happened += 1;
        self.happened
    }

    /// Tells people, where they listen.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(log) = &mut self.log {
            log.push(format!("{:>5}.{} s  {}", now / 1000, now % 1000 / 100, text()));
        }
    }

    /// A rule is broken.
    pub fn breaks(&mut self, rule: &'static str, what: String) {
        self.tell(|| format!("BROKEN: {rule}: {what}"));
        self.broken.push(Broken { rule, what });
    }

    pub fn ledger(&mut self, stack: &str) -> &mut Ledger {
        self.ledgers.entry(stack.to_owned()).or_default()
    }

    /// The source with this identity.
    pub fn source_of(&self, id: &str) -> Option<usize> {
        self.sources.iter().position(|source| source.source.id() == id)
    }

    /// The trouble that the next call of `actor` has.
    pub fn trouble(&mut self, actor: usize) -> Option<Fault> {
        let mut found = None;
        self.faults.retain_mut(|(of, after, fault)| {
            if *of != actor {
                return true;
            }
            if *after == 0 && found.is_none() {
                found = Some(*fault);
                return false;
            }
            *after = after.saturating_sub(1);
            true
        });
        if let Some(Fault::Slow(millis)) = found {
            self.pass(millis);
        }
        let found = if self.now < self.away { found.or(Some(Fault::Refused)) } else { found };
        self.views[actor].troubles += usize::from(found.is_some());
        found
    }
}
