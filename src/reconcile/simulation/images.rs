//! What must hold of images: what is not to be had is not deployed, what moved is rolled once, and a registry that is
//! away changes nothing.

use super::rules::{EVIDENCE, HELD, ONCE, ORDER};
use super::spec::{Entry, Spec, image};
use super::swarm::Swarm;
use super::task::SimTask;
use super::world::{SimSource, World, controller};
use crate::docker::command::ResolveImage;

pub const DENIED: &str = "what its registry denies is not given to docker";
pub const AWAY: &str = "a registry that is away changes nothing that runs, and is no reason to hold";
pub const ROLLED: &str = "what is rolled runs what its tag names";

impl World {
    /// Before `docker stack deploy`, which asks registries as `resolve` says.
    pub fn before_images(&mut self, actor: usize, entry: &Entry, resolve: ResolveImage) {
        let (asked, registry) = (self.views[actor].asked, &self.swarm.nodes.registry);
        let mut wrong = Vec::new();
        for (service, spec) in &entry.services {
            let live = self.swarm.services.get(&format!("{}_{service}", entry.name));
            let noted = live.filter(|live| live.labels.image == Some(spec.image));
            let is_kept = noted.is_some() && resolve == ResolveImage::Changed;
            let name = image(spec.image);
            if !is_kept && registry.denies(spec.image, asked) && registry.here(spec.image).is_none() {
                wrong.push((DENIED, format!("`{}` is deployed, and `{name}` is denied", entry.name)));
            }
            let runs = noted.filter(|live| live.spec.image == spec.image && live.spec.content != 0);
            if let Some(live) = runs.filter(|_| !is_kept && registry.is_away(asked)) {
                wrong.push((AWAY, format!("`{}` loses the digest of `{name}`", live.name)));
            }
        }
        for (rule, what) in wrong {
            self.breaks(rule, what);
        }
    }

    /// Before `docker service update --image`.
    pub fn before_roll(&mut self, actor: usize, service: &str, tag: u16, content: u16) {
        let Some(live) = self.swarm.services.get(service).cloned() else { return };
        self.before_change(actor, live.stack, "rolled");
        let (asked, observed) = (self.views[actor].asked, self.views[actor].observed);
        let (stack, registry) = (live.stack, &self.swarm.nodes.registry);
        let mut wrong = Vec::new();
        let is_seen = live.updated <= observed;
        let owner =
            self.source_of(&live.labels.owner).filter(|at| self.sources[*at].controller == controller(actor));
        if owner.is_none() && is_seen {
            wrong.push((EVIDENCE, format!("`{service}` of `{}` is rolled", live.labels.owner)));
        }
        if registry.content(tag) != content && registry.moved(tag) <= asked {
            wrong.push((ROLLED, format!("`{service}` gets content {content} of `{}`", image(tag))));
        }
        if (live.spec.image, live.spec.content) == (tag, content) && is_seen {
            wrong.push((ONCE, format!("`{service}` is rolled to what it runs")));
        }
        let read = owner.and_then(|at| Some((at, *self.views[actor].read.get(&at)?)));
        if let Some((at, commit)) = read
            && let Some(entry) = self.sources[at].commits[commit].entry(stack).cloned()
            && let Some(what) = self.early(actor, &entry, at, commit)
        {
            wrong.push((ORDER, what));
        }
        let forced = self.views[actor].forced;
        let ledger = self.ledger(stack);
        ledger.ran = None;
        let again = ledger.rolled.insert(service.to_owned(), content) == Some(content);
        let is_held = read.is_some_and(|(at, commit)| {
            let commit = SimSource::commit(at, commit);
            ledger.held.as_deref() == Some(commit.as_str())
        });
        if again && is_held && !forced {
            wrong.push((HELD, format!("`{service}` is rolled again to what Swarm went back from")));
        } else if again && !ledger.excused && !forced {
            wrong.push((ONCE, format!("`{service}` is rolled again, and nothing had changed")));
        }
        ledger.held = None;
        for (rule, what) in wrong {
            self.breaks(rule, what);
        }
    }

    /// What fails was tried, and what is held had its image, or a registry answered that there is none.
    pub fn failed_for_images(&mut self, stack: &str, text: &str, is_held: bool) {
        // Its tasks were stopped in vain once.
        if text.contains("connection refused") && !text.contains("Swarm went back") {
            self.breaks(AWAY, format!("`{stack}` fails: {text}"));
        }
        // Where Swarm cannot go back either, what failed is the version that it goes back from.
        if self.swarm.nodes.registry.is_up || !is_held || text.contains("could not roll it back") {
            return;
        }
        let lacking = self.swarm.of_stack(stack).find(|live| {
            let mut failed =
                live.tasks.iter().filter(|task| task.made >= live.updated && task.ended()).peekable();
            failed.peek().is_some() && failed.all(SimTask::lacked_its_image)
        });
        if let Some(name) = lacking.map(|live| live.name.clone()) {
            self.breaks(AWAY, format!("`{name}` only lacked its image, and is held: {text}"));
        }
    }
}

impl Swarm {
    /// Whether all services of a stack run what their tags name by now.
    pub fn runs_tags(&self, entry: &Entry) -> bool {
        let is_named = |(service, spec): (&&str, &Spec)| {
            let live = self.services.get(&format!("{}_{service}", entry.name)).map(|live| live.spec.content);
            let named = self.nodes.registry.content(spec.image);
            // Swarm could not ask: its tasks run what their nodes had, and DockerOps knows of its own.
            live == Some(named) || (live == Some(0) && self.nodes.registry.here(spec.image) == Some(named))
        };
        entry.services.iter().all(is_named)
    }
}
