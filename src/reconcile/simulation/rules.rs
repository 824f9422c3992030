//! What must hold in every story.

use std::collections::BTreeMap;

use super::clock::Millis;
use super::service::{Labels, Live};
use super::spec::{Commit, Entry};
use super::world::{SimSource, World, controller};
use crate::stack::DriftPolicy;

pub const EVIDENCE: &str = "nothing is removed or changed without evidence that it is ours";
pub const TRUTH: &str = "nothing says deployed, or exits with 0, that is not as Git says";
pub const HEALTH: &str = "nothing is called healthy that lacks a task";
pub const ALARM: &str = "nothing is called degraded that has its tasks, and lost none lately";
pub const NO_WAITING: &str = "no stack waits for a stack that struggles, nor for a source that is slow";
pub const CONVERGES: &str = "once faults end, everything is as Git says within a bounded number of looks";
pub const IDLE: &str = "an idle world gets no act";
pub const ONCE: &str = "nothing is deployed twice for one change";
pub const NO_FIGHT: &str = "two controllers, or two runs, never undo each other";
pub const ORDER: &str = "a stack is given to docker once what it depends on runs as Git says";
pub const HELD: &str = "what is held is not tried again before its source changes";
pub const HANDOVER: &str = "what changes hands is not removed";
pub const ON_HOLD: &str = "what a person holds is neither deployed, nor rolled, nor removed";
pub const LOST: &str = "what somebody removes while it is deployed is put back, and not waited for";
pub const ENDS: &str = "a run comes to its end";

/// What is known of one stack.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Ledger {
    /// What was last given to docker: by which controller, and for which source, which fingerprint.
    last: Option<(usize, String, String)>,
    /// Whether the same may be given again.
    pub excused: bool,
    /// Whether it was given once more, though nothing of it had changed: nothing tells that from the time before.
    pub is_retry: bool,
    /// Whether it was said to have failed since.
    pub failed: bool,
    /// When somebody or something else last had a hand in it.
    pub touched: Millis,
    /// Likewise, and when a task of it or a node last went, among all that happened.
    pub meddled: usize,
    pub shaken: usize,
    /// Whether a hand had.
    pub edited: bool,
    /// When it was last asked to go.
    pub removing: Option<Millis>,
    /// The controller that is told by hand to leave it as it is.
    pub on_hold: Option<usize>,
    /// The commit that it was said to be held at.
    pub held: Option<String>,
    /// The fingerprint that it was seen to run since it was last given to docker.
    pub ran: Option<String>,
    /// The content that each service was rolled to since.
    pub rolled: BTreeMap<String, u16>,
    /// Why it failed, as it was last said.
    heard: Option<String>,
    /// The services that were last given to docker.
    given: Vec<String>,
}

impl World {
    /// Somebody else had a hand in it.
    pub fn touch(&mut self, stack: &str) {
        let (now, nth) = (self.now, self.happens());
        let ledger = self.ledger(stack);
        (ledger.touched, ledger.meddled, ledger.excused) = (now, nth, true);
    }

    /// A task of it went, or a node.
    pub fn shake(&mut self, stack: &str) {
        let nth = self.happens();
        self.ledger(stack).shaken = nth;
    }

    /// What `actor` may see: services that others made after it looked are nobody's fault.
    fn was_seen(&self, actor: usize, made: Millis) -> bool {
        made <= self.views[actor].observed
    }

    fn is_own(&self, actor: usize, owner: &str) -> bool {
        self.source_of(owner).is_some_and(|at| self.sources[at].controller == controller(actor))
    }

    /// Before `docker stack deploy`.
    pub fn before_deploy(&mut self, actor: usize, entry: &Entry, labels: &Labels, forced: bool) {
        let stack = entry.name;
        let fingerprint = entry.fingerprint();
        self.before_change(actor, stack, "given to docker");
        self.views[actor].deployed.push(stack.to_owned());
        let others: Vec<_> = self
            .swarm
            .of_stack(stack)
            .filter(|live| self.was_seen(actor, live.made.max(self.ledgers_touch(stack))))
            .filter(|live| !live.labels.owner.is_empty() && !self.is_own(actor, &live.labels.owner))
            .map(|live| format!("`{}` of `{}`", live.name, live.labels.owner))
            .collect();
        if !others.is_empty() && !forced {
            self.breaks(NO_FIGHT, format!("`{stack}` is deployed over {}", others.join(", ")));
        }
        let newer = |live: &Live| live.labels.owner == labels.owner && live.labels.commit > labels.commit;
        if self.swarm.of_stack(stack).any(newer) {
            self.breaks(NO_FIGHT, format!("`{stack}` is deployed at an older commit than it runs"));
        }
        let live: Vec<_> = self.swarm.of_stack(stack).collect();
        let none_ours = !live.is_empty() && live.iter().all(|live| live.labels.owner.is_empty());
        let wanted = |name: &str| entry.services.keys().any(|key| name == format!("{stack}_{key}"));
        let lost = live.iter().find(|live| !wanted(&live.name) && self.was_seen(actor, live.made));
        if let Some(lost) =
            lost.filter(|_| none_ours && self.ledgers.get(stack).is_none_or(|it| it.last.is_none()))
        {
            let text = format!("`{}`, which a hand made, is pruned with `{stack}`", lost.name);
            self.breaks(EVIDENCE, text);
        }
        if let Some(what) = self.taken(actor, stack, labels).or_else(|| self.early_of(actor, entry, labels)) {
            let rule = if what.contains("depends") { ORDER } else { NO_FIGHT };
            self.breaks(rule, what);
        }
        let now = (controller(actor), labels.owner.clone(), fingerprint);
        let ledger = self.ledger(stack);
        let is_held = ledger.held.take().map(|commit| commit == labels.commit);
        let again = ledger.last.as_ref() == Some(&now) && !ledger.excused && !forced;
        ledger.is_retry = ledger.excused;
        (ledger.last, ledger.excused, ledger.failed, ledger.removing) = (Some(now), false, false, None);
        ledger.ran = None;
        ledger.rolled.clear();
        ledger.given = entry.services.keys().map(|key| format!("{stack}_{key}")).collect();
        if again && is_held != Some(false) {
            let rule = if is_held.is_some() { HELD } else { ONCE };
            self.breaks(rule, format!("`{stack}` is given to docker again, and nothing had changed"));
        }
    }

    /// The commit of another source of `actor` that it has read, and that is the newest, by source.
    fn read_elsewhere(&self, actor: usize, owner: &str) -> impl Iterator<Item = (usize, &Commit)> {
        let view = &self.views[actor];
        let own = self.source_of(owner);
        let newest = view.read.iter().filter(|(at, commit)| view.heads.get(at) == Some(commit));
        let other = newest.filter(move |(at, _)| Some(**at) != own);
        other.map(|(at, commit)| (*at, &self.sources[*at].commits[*commit])).filter(|(_, it)| !it.broken)
    }

    /// The commits that its other sources named when `actor` asked them last, whether or not it could read them; of those
    /// that gave no answer the newest.
    fn named_elsewhere(&self, actor: usize, owner: &str) -> impl Iterator<Item = (usize, &Commit)> {
        let own = self.source_of(owner);
        let others = self.views[actor]
            .sources
            .iter()
            .copied()
            .filter(move |at| Some(*at) != own && self.watched.contains(at));
        others.map(move |at| {
            let commits = &self.sources[at].commits;
            (at, &commits[self.views[actor].heads.get(&at).copied().unwrap_or(commits.len() - 1)])
        })
    }

    /// What another source of the same controller lists and runs.
    fn taken(&self, actor: usize, stack: &str, labels: &Labels) -> Option<String> {
        self.read_elsewhere(actor, &labels.owner).find_map(|(at, commit)| {
            commit.entry(stack).filter(|entry| entry.enabled)?;
            let id = self.sources[at].source.id().as_str();
            let seen = |live: &&Live| live.labels.owner == id && self.was_seen(actor, live.made);
            let live = self.swarm.of_stack(stack).find(seen)?;
            Some(format!("`{}` is taken from `{id}`, which lists it", live.name))
        })
    }

    /// What it depends on, and what has not come to run as this commit says.
    fn early_of(&self, actor: usize, entry: &Entry, labels: &Labels) -> Option<String> {
        self.early(actor, entry, self.source_of(&labels.owner)?, SimSource::place(&labels.commit))
    }

    /// Likewise, of this commit of a source.
    pub fn early(&self, actor: usize, entry: &Entry, at: usize, commit: usize) -> Option<String> {
        let owner = self.sources[at].source.id();
        let commit = &self.sources[at].commits[commit];
        let on = entry.depends_on.iter().filter_map(|on| commit.entry(on)).filter(|on| on.enabled);
        on.into_iter().find_map(|on| {
            let (ledger, fingerprint) = (self.ledgers.get(on.name), on.fingerprint());
            let ran = ledger.is_some_and(|it| it.ran.as_ref() == Some(&fingerprint));
            let edited = ledger.is_some_and(|it| {
                it.edited && (on.drift != DriftPolicy::Correct || it.touched >= self.views[actor].observed)
            });
            let is_there = on.services.keys().all(|key| {
                let name = format!("{}_{key}", on.name);
                let live = self.swarm.services.get(&name).map(|live| &live.labels);
                live.is_some_and(|it| *owner == *it.owner && it.fingerprint == fingerprint)
            });
            let is_on_hold = self.is_on_hold(controller(actor), on.name);
            let is_well = is_on_hold || (!on.wrong && (edited || (ran && is_there)));
            (!is_well).then(|| format!("`{}` depends on `{}`, which does not run so", entry.name, on.name))
        })
    }

    /// What it heard of a stack that failed.
    pub fn heard_failed(&mut self, stack: &str, commit: Option<&str>, text: &str) {
        let ledger = self.ledgers.entry(stack.to_owned()).or_default();
        // What waits for one that is held goes on with it, also when only its tag moves.
        let is_own = text.contains("(held until") && !text.contains("it depends on");
        match commit.filter(|_| is_own) {
            Some(commit) => ledger.held = Some(commit.to_owned()),
            None => ledger.failed = true,
        }
        let is_held = ledger.held.is_some();
        let gone = |name: &&String| !self.swarm.services.contains_key(*name);
        // What another run on the same database saw is only told again.
        let is_told_again = ledger.heard.replace(text.to_owned()).is_some_and(|heard| heard == text);
        let waited = text.starts_with("did not converge") && !is_told_again;
        let lost = ledger.given.iter().find(gone).filter(|_| waited);
        if let Some(lost) = lost.map(|lost| format!("`{lost}` is not there, and was waited for")) {
            self.breaks(LOST, lost);
        }
        self.failed_for_images(stack, text, is_held);
    }

    /// Nothing that is a source's own is left of what was said to be removed.
    pub fn heard_removed(&mut self, stack: &str, owner: &str) {
        // It may have been deployed again since, in the same turn.
        let is_anew = self.ledgers.get(stack).is_none_or(|it| it.removing.is_none());
        let left = self.swarm.of_stack(stack).find(|live| live.labels.owner == owner && !is_anew);
        if let Some(left) = left.map(|left| format!("`{}` is called removed", left.name)) {
            self.breaks(TRUTH, left);
        }
    }

    fn ledgers_touch(&self, stack: &str) -> Millis {
        self.ledgers.get(stack).map_or(0, |ledger| ledger.touched)
    }

    /// Before services go, all of the stack or these.
    pub fn before_removal(&mut self, actor: usize, stack: &str, ids: Option<&[&str]>) {
        let mut wrong = Vec::new();
        let mut heir = None;
        for live in self.swarm.of_stack(stack) {
            if ids.is_some_and(|ids| !ids.contains(&live.id.as_str())) {
                continue;
            }
            let owner = &live.labels.owner;
            if !self.is_own(actor, owner) {
                // What came while it was looked away is a race that docker gives no way to win.
                if self.was_seen(actor, live.made.max(self.ledgers_touch(stack))) {
                    wrong.push(format!("`{}` of `{owner}` is removed", live.name));
                }
                continue;
            }
            let lists = |(source, commit): (&usize, &usize)| {
                let entry = self.sources[*source].commits[*commit].entry(stack);
                entry.is_some_and(|entry| entry.enabled).then_some(*source)
            };
            let at = self.source_of(owner);
            let unlisted = self.views[actor].read.get(&at.unwrap_or_default()).is_some_and(|commit| {
                self.sources[at.unwrap_or_default()].commits[*commit].entry(stack).is_none()
            });
            if unlisted && self.ledgers.get(stack).is_none_or(|it| it.removing.is_none()) {
                let mut others = self.named_elsewhere(actor, owner);
                let lists = others.find(|(_, commit)| commit.entry(stack).is_some_and(|it| it.enabled));
                heir = lists.map(|(at, _)| {
                    let id = self.sources[at].source.id();
                    format!("`{}` of `{owner}` is removed, and `{id}` lists it now", live.name)
                });
            }
            if let Some(source) = self.views[actor].read.iter().find_map(lists).filter(|it| Some(*it) == at) {
                let url = self.sources[source].source.id();
                wrong.push(format!("`{}` is removed, and `{url}` lists it", live.name));
            }
        }
        if self.ledger(stack).removing.is_none() {
            self.before_change(actor, stack, "removed");
        }
        let now = self.now;
        let ledger = self.ledger(stack);
        (ledger.removing, ledger.excused) = (Some(now), true);
        for what in wrong {
            self.breaks(EVIDENCE, what);
        }
        if let Some(what) = heir {
            self.breaks(HANDOVER, what);
        }
    }

    /// The stacks of a source that are to be deployed at once, whatever else goes on.
    pub fn due(&self, actor: usize, forced: bool) -> Vec<&'static str> {
        let view = &self.views[actor];
        let mut due = Vec::new();
        // What could be fetched at once was to be read.
        let read = view.read.iter().filter(|(source, _)| !view.fetching.contains_key(source));
        for (source, commit) in read.chain(&view.fetched) {
            if view.heads.get(source) == Some(commit) {
                due.extend(self.due_of(actor, *source, *commit, forced));
            }
        }
        due
    }

    fn due_of(&self, actor: usize, source: usize, commit: usize, forced: bool) -> Vec<&'static str> {
        let commit = &self.sources[source].commits[commit];
        // A new stack may be one that its source drops, under another name: it waits for what others list.
        let id = self.sources[source].source.id().as_str();
        let goes = |live: &Live| live.labels.owner == id && commit.entry(live.stack).is_none();
        let drops = self.swarm.services.values().any(goes);
        let has_room = |entry: &&Entry| !drops || self.swarm.of_stack(entry.name).next().is_some();
        let due = commit.stacks.iter().filter(|entry| self.is_due(actor, source, entry, forced));
        due.filter(has_room).filter(|_| !commit.broken).map(|entry| entry.name).collect()
    }

    /// A source was read: the turn that follows owes it what is to be deployed at once.
    pub fn owes(&mut self, actor: usize, source: usize, commit: usize) {
        let due = self.due_of(actor, source, commit, false);
        self.views[actor].owed.extend(due);
    }

    fn is_due(&self, actor: usize, source: usize, entry: &Entry, forced: bool) -> bool {
        let id = self.sources[source].source.id().as_str();
        let (ledger, fingerprint) = (self.ledgers.get(entry.name), entry.fingerprint());
        let is_new = ledger.is_none_or(|ledger| {
            let is_other = forced || ledger.last.as_ref().is_none_or(|(.., last)| *last != fingerprint);
            ledger.removing.is_none() && is_other
        });
        let elsewhere = self.views.iter().flat_map(|view| &view.read).any(|(other, commit)| {
            *other != source && self.sources[*other].commits[*commit].entry(entry.name).is_some()
        }) || self.sources.iter().enumerate().any(|(other, at)| {
            other != source && at.commits.iter().any(|commit| commit.entry(entry.name).is_some())
        });
        let theirs =
            |live: &Live| live.labels.owner != id || (!forced && live.labels.fingerprint == fingerprint);
        let registry = &self.swarm.nodes.registry;
        let has_images = || {
            let compares = self.always[controller(actor)];
            entry.services.values().all(|spec| registry.is_here(spec.image, compares))
        };
        entry.enabled
            && !entry.wrong
            && !self.is_on_hold(controller(actor), entry.name)
            && entry.depends_on.is_empty()
            && is_new
            && !elsewhere
            && !self.swarm.of_stack(entry.name).any(theirs)
            && !self.views[actor].deployed.iter().any(|name| name == entry.name)
            && has_images()
    }
}
