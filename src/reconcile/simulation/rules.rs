//! What must hold in every story.

use super::clock::Millis;
use super::service::{Labels, Live};
use super::spec::Entry;
use super::world::{World, controller};

pub const EVIDENCE: &str = "nothing is removed or changed without evidence that it is ours";
pub const TRUTH: &str = "nothing says deployed, or exits with 0, that is not as Git says";
pub const NO_WAITING: &str = "no stack waits for a stack that struggles";
pub const CONVERGES: &str = "once faults end, everything is as Git says within a bounded number of looks";
pub const IDLE: &str = "an idle world gets no act";
pub const ONCE: &str = "nothing is deployed twice for one change";
pub const NO_FIGHT: &str = "two controllers, or two runs, never undo each other";
pub const ENDS: &str = "a run comes to its end";

/// What is known of one stack.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What was last given to docker: by which controller, and for which source, which fingerprint.
    last: Option<(usize, String, String)>,
    /// Whether the same may be given again.
    pub excused: bool,
    /// Whether it was said to have failed since.
    pub failed: bool,
    /// When somebody or something else last had a hand in it.
    pub touched: Millis,
    /// Whether a hand had.
    pub edited: bool,
    /// When it was last asked to go.
    pub removing: Option<Millis>,
}

impl World {
    /// Somebody else had a hand in it.
    pub fn touch(&mut self, stack: &str) {
        let now = self.now;
        let ledger = self.ledger(stack);
        (ledger.touched, ledger.excused) = (now, true);
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
        let now = (controller(actor), labels.owner.clone(), fingerprint);
        let ledger = self.ledger(stack);
        let again = ledger.last.as_ref() == Some(&now) && !ledger.excused && !forced;
        (ledger.last, ledger.excused, ledger.failed, ledger.removing) = (Some(now), false, false, None);
        if again {
            self.breaks(ONCE, format!("`{stack}` is given to docker again, and nothing had changed"));
        }
    }

    fn ledgers_touch(&self, stack: &str) -> Millis {
        self.ledgers.get(stack).map_or(0, |ledger| ledger.touched)
    }

    /// Before services go, all of the stack or these.
    pub fn before_removal(&mut self, actor: usize, stack: &str, ids: Option<&[&str]>) {
        let mut wrong = Vec::new();
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
            if let Some(source) = self.views[actor].read.iter().find_map(lists).filter(|it| Some(*it) == at) {
                let url = self.sources[source].source.id();
                wrong.push(format!("`{}` is removed, and `{url}` lists it", live.name));
            }
        }
        let now = self.now;
        let ledger = self.ledger(stack);
        (ledger.removing, ledger.excused) = (Some(now), true);
        for what in wrong {
            self.breaks(EVIDENCE, what);
        }
    }

    /// The stacks of a source that are to be deployed at once, whatever else goes on.
    pub fn due(&self, actor: usize) -> Vec<&'static str> {
        let view = &self.views[actor];
        let mut due = Vec::new();
        for (source, commit) in &view.read {
            let at = &self.sources[*source];
            if view.heads.get(source) != Some(commit) || at.commits[*commit].broken {
                continue;
            }
            for entry in &at.commits[*commit].stacks {
                if self.is_due(actor, *source, entry) {
                    due.push(entry.name);
                }
            }
        }
        due
    }

    fn is_due(&self, actor: usize, source: usize, entry: &Entry) -> bool {
        let id = self.sources[source].source.id().as_str();
        let (ledger, fingerprint) = (self.ledgers.get(entry.name), entry.fingerprint());
        let is_new = ledger.is_none_or(|ledger| {
            ledger.removing.is_none() && ledger.last.as_ref().is_none_or(|(.., last)| *last != fingerprint)
        });
        let elsewhere = self.views.iter().flat_map(|view| &view.read).any(|(other, commit)| {
            *other != source && self.sources[*other].commits[*commit].entry(entry.name).is_some()
        }) || self.sources.iter().enumerate().any(|(other, at)| {
            other != source && at.commits.iter().any(|commit| commit.entry(entry.name).is_some())
        });
        let theirs = |live: &Live| live.labels.owner != id || live.labels.fingerprint == fingerprint;
        entry.enabled
            && !entry.wrong
            && entry.depends_on.is_empty()
            && is_new
            && !elsewhere
            && !self.swarm.of_stack(entry.name).any(theirs)
            && !self.views[actor].deployed.iter().any(|name| name == entry.name)
    }
}
