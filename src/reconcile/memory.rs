//! What a run remembers from turn to turn: what came of each stack, and what was asked once.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::giving::Running;
use super::moves::Moves;
use super::objects::Objects;
use super::rolls::Rolls;
use crate::compose::RenderedStack;
use crate::convergence::Watch;
use crate::docker::{NodeImages, SeenTasks, Swarm};
use crate::git::Commit;
use crate::health::Look;
use crate::image::ImageCommand;
use crate::plan::{Blocked, Decision, Tried, Until};
use crate::report::Tally;
use crate::report::run::End;
use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{Jobs, Needed, Versions};

/// One stack of one source: another source may list the same name, in vain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub source: SourceId,
    pub stack: StackName,
}

impl Key {
    pub fn new(source: &SourceId, stack: &StackName) -> Self {
        Self { source: source.clone(), stack: stack.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stack.fmt(f)
    }
}

/// What came of a stack in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was deployed, rolled or adopted, and converged.
    Deployed,
    Removed,
    /// It was to be removed, and is not ours.
    NotOurs,
}

/// What a run remembers.
#[derive(Debug, Default)]
pub struct Memory {
    pub decisions: BTreeMap<Key, Decision>,
    /// What changes hands, as it was at the last look.
    pub moves: Moves,
    /// What failed, or is kept, and is not tried again in this run.
    pub tried: BTreeMap<Key, Tried>,
    /// The stacks that are degraded, as it was when their source came to rest.
    pub degraded: BTreeSet<Key>,
    pub health_judged: Option<Instant>,
    /// The tasks as they were then, and the Swarm as it was when all came to rest.
    pub look: Option<Look>,
    pub left: Option<Swarm>,
    /// The stacks that failed and went back by themselves.
    pub fell_back: BTreeSet<Key>,
    /// What came to an end.
    pub ended: BTreeMap<Key, Ended>,
    pub removing: BTreeMap<Key, Removing>,
    /// What looks remember of the services of a stack in motion.
    pub watches: BTreeMap<Key, BTreeMap<String, Watch>>,
    pub turn_begun: Option<Instant>,
    /// The stacks that are being given to docker.
    pub giving: BTreeMap<Key, Given>,
    /// Whether another run is giving one of the stacks to docker.
    pub given_elsewhere: bool,
    /// The sources that another run has read since, and is at.
    pub synced_elsewhere: BTreeSet<SourceId>,
    /// The commit of each source for which all others were asked before its stacks go.
    pub others_asked: BTreeMap<SourceId, Commit>,
    /// By a source that drops stacks: another one that was asked for that.
    pub asked_for: BTreeSet<(SourceId, SourceId)>,
    /// The stacks that wait for what is to be known of other sources first, and what for.
    pub waits: BTreeMap<Key, String>,
    /// The sources that could not be asked once more, and of which that was not told.
    pub unreached: BTreeSet<SourceId>,
    pub seen: SeenTasks,
    /// The images that each stack waits for.
    pub pulls: BTreeMap<Key, BTreeSet<String>>,
    /// The images that were looked for on this node before anything was pulled.
    pub first_used: BTreeSet<String>,
    /// Looks in a row that failed.
    pub blind_looks: u8,
    /// Of each source: images that were built, and what failed that is no stack.
    pub of_sources: BTreeMap<SourceId, Tally>,
    /// What a dry run says would be done: in numbers, and of which stack and why.
    pub would: Tally,
    pub planned: BTreeMap<Key, (End, String)>,
    /// Why stacks were deployed, and how long each took to converge.
    pub took: BTreeMap<Key, (String, Option<Duration>)>,
    /// What happened since somebody last asked.
    pub happened: Tally,
    /// What docker was given, for what is to be cleaned afterwards.
    pub converged: Vec<Converged>,
    /// The images that are on this node.
    pub here: Option<NodeImages>,
    /// What registries said.
    pub rolls: Rolls,
    /// Names of configs, secrets and networks.
    pub objects: Objects,
    pub secrets: Option<BTreeSet<String>>,
    /// The stack that this program runs in, once docker was asked.
    pub own_stack: OnceCell<Option<StackName>>,
    /// Of the images that were read.
    pub commands: BTreeMap<String, ImageCommand>,
    /// What was said of each stack, so that it is said once.
    pub reported: BTreeSet<(Key, String)>,
    /// All decisions as they were after the last turn that took any.
    pub last: Vec<(Key, Decision)>,
    /// Whether a source came to rest whose leavings were not cleaned away.
    pub has_settled: bool,
    /// The sources that came to rest, and of which it is still to be told how their stacks fare.
    pub unjudged: BTreeSet<SourceId>,
    /// Whether anything was done to the Swarm since it was looked at last, and when that was.
    pub has_acted: bool,
    pub looked: Option<Instant>,
    /// How long the last look at what is in motion took, and in how long something of it may have converged.
    pub look_took: Duration,
    pub due: Option<Duration>,
}

/// A stack that is being given to docker.
#[derive(Debug)]
pub struct Given {
    pub call: Running,
    /// What docker gets.
    pub rendered: RenderedStack,
    pub reason: String,
    /// Which part of it that is, where it has jobs.
    pub jobs: Option<Jobs>,
    /// Whether the turn that began it waited for it in vain.
    pub goes_on: bool,
}

#[derive(Debug, Clone)]
pub struct Removing {
    pub since: Instant,
    /// The ids of its services that were proven ours.
    pub services: BTreeSet<String>,
    /// Whether the manifest still lists it, as disabled.
    pub disabled: bool,
}

/// A stack that converged in this run.
#[derive(Debug, Clone)]
pub struct Converged {
    pub key: Key,
    /// The configs and secrets it has now.
    pub versions: Versions,
    /// What the versions of it need that are kept.
    pub kept: Vec<Needed>,
}

impl Memory {
    /// The source that a stack comes over from.
    pub fn predecessor(&self, heir: &SourceId, name: &StackName) -> Option<&SourceId> {
        let mut moves = self.moves.iter();
        moves.find(|(old, new)| old.stack == *name && *new == heir).map(|(old, _)| &old.source)
    }

    /// Notes the last decision about a stack.
    pub fn decided(&mut self, key: &Key, decision: Decision) {
        self.decisions.insert(key.clone(), decision);
    }

    /// Forgets what was to be done about stacks that are gone by now: another run removed them.
    pub fn forget_vanished(&mut self, decided: &[(Key, Decision)]) {
        let there: BTreeSet<_> = decided.iter().map(|(key, _)| key).collect();
        self.decisions.retain(|key, decision| there.contains(key) || !decision.is_under_way());
    }

    /// Forgets what came of a stack: it is asked for anew.
    pub fn begin(&mut self, key: &Key) {
        self.tried.remove(key);
        self.ended.remove(key);
        self.fell_back.remove(key);
        self.took.remove(key);
        self.pulls.remove(key);
        self.decisions.remove(key);
        self.reported.retain(|(reported, _)| reported != key);
    }

    /// Forgets all that was asked of docker and registries.
    pub fn look_again(&mut self) {
        (self.here, self.secrets) = (None, None);
        self.commands.clear();
        self.objects = Objects::default();
        if !is_broken!(RemembersWhatTagsNamed) {
            self.rolls = Rolls::default();
        }
    }

    /// Forgets the stacks that are not `needed`.
    pub fn forget(&mut self, needed: impl Fn(&Key) -> bool) {
        self.decisions.retain(|key, _| needed(key));
        self.tried.retain(|key, _| needed(key));
        self.ended.retain(|key, _| needed(key));
        self.fell_back.retain(|key| needed(key));
        self.took.retain(|key, _| needed(key));
        self.watches.retain(|key, _| needed(key));
        self.pulls.retain(|key, _| needed(key));
        self.reported.retain(|(key, _)| needed(key));
        self.degraded.retain(|key| needed(key));
        self.of_sources.retain(|id, _| needed(&Key::new(id, &StackName::known(""))));
        self.last.clear();
    }

    /// In numbers, what came of the sources that `concern`, and of those stacks of them.
    pub fn tally(&self, concern: impl Fn(&SourceId) -> bool, is_wished: impl Fn(&Key) -> bool) -> Tally {
        let mut tally = Tally::default();
        for (_, of_source) in self.of_sources.iter().filter(|(id, _)| concern(id)) {
            tally.built += of_source.built;
            tally.failed += of_source.failed;
        }
        let of_them = |key: &Key| concern(&key.source) && is_wished(key);
        for (key, decision) in self.decisions.iter().filter(|(key, _)| of_them(key)) {
            let is_degraded = self.degraded.contains(key);
            tally.degraded += usize::from(is_degraded);
            tally.failed += usize::from(is_failure(decision) || self.fell_back.contains(key));
            match self.end_of(key, decision) {
                End::OnHold => tally.on_hold += 1,
                End::Deployed => tally.deployed += 1,
                End::Removed => tally.removed += 1,
                End::Unchanged if is_degraded && !self.ended.contains_key(key) => {}
                End::Unchanged => tally.unchanged += 1,
                End::Drifted => tally.drifted += 1,
                End::Failed | End::Waiting | End::ToDeploy | End::ToRemove => {}
            }
        }
        let would = self.would;
        tally.deployed += would.deployed;
        tally.removed += would.removed;
        tally.failed += would.failed;
        tally.built += would.built;
        tally
    }

    /// What came of a stack, but for what a dry run would do about it.
    pub fn end_of(&self, key: &Key, decision: &Decision) -> End {
        match (self.ended.get(key), decision) {
            _ if is_failure(decision) => End::Failed,
            (_, Decision::Blocked(Blocked { until: Until::Released(_), .. })) => End::OnHold,
            (Some(Ended::Deployed), _) => End::Deployed,
            (Some(Ended::Removed), _) => End::Removed,
            (Some(Ended::NotOurs), _) => End::Unchanged,
            (None, Decision::InSync { drifts }) if drifts.is_empty() => End::Unchanged,
            (None, Decision::InSync { .. }) => End::Drifted,
            (None, _) => End::Waiting,
        }
    }
}

fn is_failure(decision: &Decision) -> bool {
    matches!(decision, Decision::Blocked(blocked) if blocked.until.is_failure())
}
