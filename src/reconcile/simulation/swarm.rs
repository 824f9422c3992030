//! The simulated Swarm: what docker does to it, what hands do, what time does.

use std::collections::BTreeMap;

use super::clock::Millis;
use super::registry::{Registry, id};
use super::service::{Labels, Live};
use super::spec::{Behaviour, Entry, OnFailure, Spec};
use crate::docker::command::ResolveImage;
use crate::docker::lines::{Line, Node};

/// So long the containers of a removed service hold its network.
const LEAVING: Millis = 3_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    Scale,
    /// To a single task.
    Fewer,
    Env,
    Image,
    RemoveService,
    AddService,
    RemoveStack,
    /// A stack of that name that nobody else deployed.
    Own,
    /// What runs goes, and such a stack is there in its place.
    Replace,
}

/// The nodes: which take tasks, and where they get images.
#[derive(Debug)]
pub struct Nodes {
    pub up: [bool; 3],
    pub registry: Registry,
}

#[derive(Debug)]
pub struct Swarm {
    pub services: BTreeMap<String, Live>,
    pub nodes: Nodes,
    /// The networks that are left, and how long something is in them.
    networks: BTreeMap<String, Millis>,
    ids: u64,
    now: Millis,
}

/// How docker answers `stack rm`.
pub enum Removal {
    Nothing,
    Done,
    InUse,
}

impl Swarm {
    pub fn new() -> Self {
        let nodes = Nodes { up: [true; 3], registry: Registry::new() };
        Self { services: BTreeMap::new(), nodes, networks: BTreeMap::new(), ids: 0, now: 0 }
    }

    /// Time goes on.
    pub fn pass(&mut self, now: Millis) {
        self.now = now;
        for live in self.services.values_mut() {
            live.pass(now, &mut self.nodes, &mut self.ids);
        }
    }

    pub fn of_stack(&self, stack: &str) -> impl Iterator<Item = &Live> {
        self.services.values().filter(move |live| live.stack == stack)
    }

    fn put(&mut self, stack: &'static str, service: &str, spec: Spec, labels: Labels) {
        let name = format!("{stack}_{service}");
        if let Some(live) = self.services.get_mut(&name) {
            live.change(spec, labels, self.now);
        } else {
            self.ids += 1;
            let mut live = Live::new(self.ids, name.clone(), stack, spec, labels, self.now);
            live.pass(self.now, &mut self.nodes, &mut self.ids);
            self.services.insert(name, live);
        }
    }

    /// `docker stack deploy --prune`, cut off after `most` services.
    pub fn deploy(&mut self, entry: &Entry, labels: &Labels, resolve: ResolveImage, most: usize) {
        let stack = entry.name;
        self.networks.insert(stack.to_owned(), Millis::MAX);
        let wanted = |live: &Live| entry.services.keys().any(|name| live.name == format!("{stack}_{name}"));
        self.services.retain(|_, live| live.stack != stack || wanted(live));
        for (service, spec) in entry.services.iter().take(most) {
            let content = self.nodes.registry.named(spec.image).unwrap_or_default();
            let mut spec = Spec { content, ..*spec };
            let labels = Labels { image: Some(spec.image), ..labels.clone() };
            if let Some(live) = self.services.get(&format!("{stack}_{service}"))
                && live.labels.image == Some(spec.image)
                && resolve == ResolveImage::Changed
            {
                // docker keeps what runs where the author's image is the one it noted.
                (spec.image, spec.content) = (live.spec.image, live.spec.content);
            }
            self.put(stack, service, spec, labels);
        }
    }

    /// `docker service update --label-rm`.
    pub fn forget_image(&mut self, service: &str) -> bool {
        let now = self.now;
        let Some(live) = self.services.get_mut(service) else { return false };
        let labels = Labels { image: None, ..live.labels.clone() };
        live.change(live.spec, labels, now);
        true
    }

    /// `docker service update --image`; whether there was one.
    pub fn roll(&mut self, service: &str, image: u16, content: u16) -> bool {
        let now = self.now;
        let Some(live) = self.services.get_mut(service) else { return false };
        live.change(Spec { image, content, ..live.spec }, live.labels.clone(), now);
        true
    }

    /// `docker service rm`.
    pub fn remove_services(&mut self, ids: &[&str]) {
        self.services.retain(|_, live| !ids.contains(&live.id.as_str()));
    }

    /// `docker stack rm`.
    pub fn remove_stack(&mut self, stack: &str) -> Removal {
        let before = self.services.len();
        self.services.retain(|_, live| live.stack != stack);
        if before != self.services.len() {
            self.networks.insert(stack.to_owned(), self.now + LEAVING);
            return Removal::InUse;
        }
        match self.networks.get(stack) {
            None => Removal::Nothing,
            Some(until) if *until > self.now && *until != Millis::MAX => Removal::InUse,
            Some(_) => {
                self.networks.remove(stack);
                Removal::Done
            }
        }
    }

    /// Somebody edits what runs; whether there was anything to edit.
    pub fn hand(&mut self, stack: &'static str, hand: Hand) -> bool {
        let now = self.now;
        let some = Spec {
            image: 90,
            content: self.nodes.registry.content(90),
            env: 90,
            is_global: false,
            replicas: 1,
            behaviour: Behaviour::Good,
            on_failure: OnFailure::Pause,
        };
        let there = self.of_stack(stack).next().map(|live| live.name.clone());
        match hand {
            Hand::Own if there.is_some() => return false,
            Hand::Replace if there.is_none() => return false,
            Hand::Own | Hand::Replace => {
                self.services.retain(|_, live| live.stack != stack);
                self.networks.insert(stack.to_owned(), Millis::MAX);
                self.put(stack, "theirs", some, Labels::default());
                return true;
            }
            Hand::AddService if there.is_some() => {
                self.put(stack, "theirs", some, Labels::default());
                return true;
            }
            Hand::RemoveStack if there.is_some() => {
                self.remove_stack(stack);
                return true;
            }
            _ => {}
        }
        let Some(name) = there else { return false };
        if hand == Hand::RemoveService {
            self.services.remove(&name);
            return true;
        }
        let Some(live) = self.services.get_mut(&name) else { return false };
        let mut spec = live.spec;
        let is_scaled = matches!(hand, Hand::Fewer | Hand::Scale);
        if is_scaled && (spec.is_global || (hand == Hand::Fewer && spec.replicas == 1)) {
            return false;
        }
        match hand {
            Hand::Scale => spec.replicas = if spec.replicas == 4 { 1 } else { 4 },
            Hand::Fewer => spec.replicas = 1,
            Hand::Env => spec.env += 1_000,
            Hand::Image => {
                spec.image += 100;
                spec.content = self.nodes.registry.named(spec.image).unwrap_or_default();
            }
            _ => {}
        }
        let labels = live.labels.clone();
        live.change(spec, labels, now);
        true
    }

    /// A task that runs dies; whether there was one.
    pub fn kill_task(&mut self, stack: &str) -> bool {
        let now = self.now;
        let mut of_stack = self.services.values_mut().filter(|live| live.stack == stack);
        let task = of_stack.find_map(|live| live.tasks.iter_mut().find(|task| task.runs()));
        let Some(task) = task else { return false };
        task.fail("failed", "task: non-zero exit (137)", now);
        true
    }

    /// The containers of DockerOps' node, each with the id of its image.
    pub fn here(&self) -> impl Iterator<Item = (String, String)> {
        let tasks = self.services.values().flat_map(|live| &live.tasks);
        tasks.filter_map(|task| Some((format!("t{}", task.id), id(task.image_on(0)?))))
    }

    /// The tasks of these services, as coarsely as `service ps` tells them.
    pub fn lines(&self, ids: &[&str]) -> Vec<Line> {
        let asked = self.services.values().filter(|live| ids.contains(&live.id.as_str()));
        asked.flat_map(|live| live.tasks.iter().map(|task| task.line(&live.id, self.now))).collect()
    }

    /// As `node ls` shows them.
    pub fn shown_nodes(&self) -> BTreeMap<String, Node> {
        let node = |(at, up): (usize, &bool)| {
            let name = format!("node{at}");
            (name.clone(), Node { name, takes_tasks: *up })
        };
        self.nodes.up.iter().enumerate().map(node).collect()
    }

    /// Whether a task of the stack that was to end did not do its work: Swarm starts none again of the same version.
    pub fn ended_early(&self, stack: &str) -> bool {
        let tasks = self.of_stack(stack).flat_map(|live| &live.tasks);
        tasks.into_iter().any(|task| task.is_last() && task.died())
    }

    /// What a hand made goes.
    pub fn clear_hands(&mut self) {
        self.services.retain(|_, live| !live.labels.owner.is_empty());
    }

    /// Whether the stack is what a source says, whatever a hand added; `deep` includes its tasks.
    pub fn is_as(&self, entry: &Entry, owner: &str, deep: bool) -> bool {
        let live: Vec<_> = self.of_stack(entry.name).filter(|live| !live.labels.owner.is_empty()).collect();
        let is_so = |(name, spec): (&&str, &Spec)| {
            let name = format!("{}_{name}", entry.name);
            live.iter().any(|live| {
                live.name == name
                    && live.spec.written() == *spec
                    && live.labels.owner == owner
                    && (!deep || live.is_well(&self.nodes))
            })
        };
        // The fingerprint is dear.
        live.len() == entry.services.len() && entry.services.iter().all(is_so) && {
            let fingerprint = entry.fingerprint();
            live.iter().all(|live| live.labels.fingerprint == fingerprint)
        }
    }
}
