//! What Git says in the simulation: small numbers instead of files.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::compose::RenderedStack;
use crate::stack::DriftPolicy;

/// What the tasks of a service do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// They start and run.
    Good,
    /// They take their time to start.
    Slow,
    /// They start and fail.
    Crash,
    /// No node takes them.
    Reject,
    /// They start without end.
    Never,
    /// They do their work and end, once.
    Once,
}

/// `update_config.failure_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    Pause,
    Rollback,
    Continue,
}

/// What moves tasks when it changes.
pub type Template = (u16, u16, u16);

/// One service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The tag.
    pub image: u16,
    /// Which content that names, as Swarm was told; 0 in Git, and where no registry answered.
    pub content: u16,
    /// The value of the one variable.
    pub env: u16,
    /// Whether one task runs on every node that takes tasks, whatever their number.
    pub is_global: bool,
    pub replicas: u64,
    pub behaviour: Behaviour,
    /// What Swarm does when they fail.
    pub on_failure: OnFailure,
}

impl Spec {
    pub fn template(&self) -> Template {
        (self.image, self.content, self.env)
    }

    /// As Git has it.
    pub fn written(&self) -> Self {
        Self { content: 0, ..*self }
    }

    /// Its image as Swarm has it.
    pub fn image(&self) -> String {
        if self.content == 0 { image(self.image) } else { pinned(self.image, self.content) }
    }
}

pub fn image(tag: u16) -> String {
    format!("app:{tag}")
}

/// With its digest, of an algorithm that is cheap to read.
pub fn pinned(tag: u16, content: u16) -> String {
    format!("app:{tag}@sim:{tag:016x}{content:016x}")
}

/// The services of a stack by name.
pub type Services = BTreeMap<&'static str, Spec>;

/// One entry of `stacks.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub enabled: bool,
    pub depends_on: Vec<&'static str>,
    pub drift: DriftPolicy,
    /// Its compose file.
    pub services: Services,
    /// Whether its compose file cannot be read.
    pub wrong: bool,
}

impl Entry {
    /// All that decides what runs.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (self.name, &self.services).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// What docker would get.
    pub fn rendered(&self) -> RenderedStack {
        let images: Vec<_> = self.services.iter().map(|(name, spec)| (*name, image(spec.image))).collect();
        let images: Vec<_> = images.iter().map(|(name, image)| (*name, image.as_str())).collect();
        let replicas = |spec: &Spec| (!spec.is_global).then_some(spec.replicas);
        let values: Vec<_> =
            self.services.iter().map(|(name, spec)| (*name, replicas(spec), spec.env.to_string())).collect();
        let declared: Vec<_> =
            values.iter().map(|(name, replicas, env)| (*name, *replicas, env.as_str())).collect();
        RenderedStack::of(self.name, &images, &self.fingerprint()).declaring(&declared)
    }

    /// Whether it runs well once it is deployed.
    pub fn is_good(&self) -> bool {
        let good =
            |spec: &Spec| matches!(spec.behaviour, Behaviour::Good | Behaviour::Slow | Behaviour::Once);
        !self.wrong && self.services.values().all(good)
    }
}

/// What a commit holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// `stacks.yaml`.
    pub stacks: Vec<Entry>,
    /// Whether that cannot be read.
    pub broken: bool,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        for (name, spec) in &self.services {
            let Spec { image, env, replicas, behaviour, on_failure, .. } = spec;
            let count = if spec.is_global { "global".to_owned() } else { format!("x{replicas}") };
            write!(f, " {name}: app:{image} V={env} {count} {behaviour:?}, else {on_failure:?};")?;
        }
        if !self.depends_on.is_empty() {
            write!(f, " after {:?};", self.depends_on)?;
        }
        let word = |is: bool, word: &'static str| if is { word } else { "" };
        write!(
            f,
            " drift {:?}{}{}",
            self.drift,
            word(!self.enabled, ", disabled"),
            word(self.wrong, ", wrong")
        )
    }
}

impl Commit {
    /// What a stack depends on, by way of others too.
    pub fn needs(&self, entry: &Entry) -> Vec<&'static str> {
        let mut needs = entry.depends_on.clone();
        let mut at = 0;
        while at < needs.len() {
            let on = self.entry(needs[at]).map(|on| on.depends_on.clone()).unwrap_or_default();
            needs.extend(on.into_iter().filter(|on| !needs.contains(on)).collect::<Vec<_>>());
            at += 1;
        }
        needs
    }

    /// A stack that it lists.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.stacks.iter().find(|entry| entry.name == name)
    }
}
