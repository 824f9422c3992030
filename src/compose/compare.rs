//! What a stack would become after another one: which services roll, and why.
//!
//! In: two rendered stacks of one name, under one key. Out: words, in which no value of a variable is. What makes Swarm
//! start tasks anew: swarmkit `manager/orchestrator/task.go` (`IsTaskDirty`) compares the task's spec and its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::rc::Rc;

use serde::Serialize;

use super::references::section;
use super::{RenderedStack, shown, volumes};
use crate::stack::StoredKind;
use crate::yaml::{Kind, Node};

/// Keys of `deploy` that a service takes over while its tasks run on.
const IN_PLACE: [&str; 4] = ["replicas", "labels", "update_config", "rollback_config"];

const OF_SECRETS: &str = "what `secrets.yaml` has for it";

/// What becomes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Becomes {
    New,
    Gone,
    /// Its tasks are started anew.
    Rolls,
    /// It changes, and its tasks run on.
    Updates,
}

/// A service that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceChange {
    pub name: String,
    pub becomes: Becomes,
    pub why: Vec<String>,
}

impl RenderedStack {
    /// The services that would not be as they were, by name.
    pub fn changes_since(&self, before: &Self) -> Vec<ServiceChange> {
        let [old, new]: [BTreeMap<_, _>; 2] =
            [before, self].map(|stack| section(&stack.tree, "services").into_iter().collect());
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let change = |name: &String| {
            let (becomes, why) = match (old.get(name), new.get(name)) {
                (Some(was), Some(is)) => self.reasons(before, name, was, is)?,
                (None, Some(_)) => (Becomes::New, Vec::new()),
                _ => (Becomes::Gone, Vec::new()),
            };
            Some(ServiceChange { name: name.clone(), becomes, why })
        };
        names.into_iter().filter_map(change).collect()
    }

    /// The configs and secrets whose content changes.
    pub fn rotated_since(&self, before: &Self) -> Vec<String> {
        let was = |kind, key: &str| before.rotated.iter().find(|old| old.kind == kind && old.key == key);
        let changed =
            self.rotated.iter().filter(|new| was(new.kind, &new.key).is_some_and(|old| old.name != new.name));
        changed.map(|new| format!("{} `{}`", new.kind.word(), new.key)).collect()
    }

    /// Volumes that a key named before, and names no more: key, name, and the new name if there is one.
    pub fn volumes_left(&self, before: &Self) -> Vec<(String, String, Option<String>)> {
        let by_key =
            |key: &str| self.volumes.iter().find(|(_, known)| *known == key).map(|(name, _)| name.clone());
        let left = before.volumes.iter().filter(|(name, _)| !self.volumes.contains_key(*name));
        left.map(|(name, key)| (key.clone(), name.clone(), by_key(key))).collect()
    }

    /// The file for people, and nothing in it that is made of a key or of a content.
    pub fn shown_to_strangers(&self) -> String {
        let mut text = self.shown();
        for name in
            self.rotated.iter().map(|one| &one.name).chain(self.scripts().into_iter().map(|one| &one.name))
        {
            if let Some((plain, _)) = name.rsplit_once(['_', '-']) {
                text = text.replace(name.as_str(), &format!("{plain}_…"));
            }
        }
        let without_hash = |line: &str| match line.find(volumes::BINDINGS) {
            Some(at) => format!("{}{}: …", line[..at].trim_end_matches('"'), volumes::BINDINGS),
            None => line.to_owned(),
        };
        text.lines().map(without_hash).fold(String::new(), |all, line| all + &line + "\n")
    }

    fn reasons(&self, before: &Self, name: &str, was: &Node, is: &Node) -> Option<(Becomes, Vec<String>)> {
        let (mut rolls, mut updates) = (Vec::new(), Vec::new());
        for key in differing(was, is) {
            match key.as_str() {
                "deploy" => self.of_deploy(before, name, was, is, &mut rolls, &mut updates),
                "environment" => rolls.extend(environment(was, is)),
                "image" => rolls.push(self.told(before, name, &["image"])),
                "configs" | "secrets" => {
                    let [old, new] =
                        [(before, was), (self, is)].map(|(stack, node)| stack.mounted(name, node, &key));
                    if old.0 != new.0 {
                        rolls.push(format!("`{key}`"));
                    }
                    if old.1 != new.1 && !rolls.iter().any(|known| known == OF_SECRETS) {
                        rolls.push(OF_SECRETS.into());
                    }
                }
                "labels" if is_of_bindings(was, is) => rolls.push("content of a binding".into()),
                key => rolls.push(format!("`{key}`")),
            }
        }
        for kind in StoredKind::ALL {
            let used = uses(is, kind.section());
            let (old, new) = (entries(before, kind.section()), entries(self, kind.section()));
            for key in used.iter().filter(|key| old.get(*key).zip(new.get(*key)).is_some_and(|(o, n)| o != n))
            {
                rolls.push(format!("{} `{key}`", kind.word()));
            }
        }
        let (old, new) = (entries(before, "volumes"), entries(self, "volumes"));
        let mounted: Vec<String> =
            self.declared(name).mounts.into_iter().flatten().map(|(_, source)| source).collect();
        for (key, volume) in &new {
            let is_mounted = self.volumes.iter().any(|(name, known)| known == key && mounted.contains(name));
            if is_mounted && old.get(key).is_some_and(|old| old != volume) {
                rolls.push(format!("volume `{key}`"));
            }
        }
        let mode = is.get("deploy").and_then(|deploy| deploy.get("mode"));
        if mode.is_some_and(|mode| mode.text().is_some_and(|mode| mode.ends_with("-job")))
            && !(rolls.is_empty() && updates.is_empty())
        {
            rolls.push("a job, which runs again".into());
        }
        match (rolls.is_empty(), updates.is_empty()) {
            (true, true) => None,
            (true, false) => Some((Becomes::Updates, updates)),
            _ => Some((Becomes::Rolls, rolls.into_iter().chain(updates).collect())),
        }
    }

    /// What a service mounts of a section: what its author wrote, and what `secrets.yaml` brings.
    fn mounted(&self, service: &str, node: &Node, section: &str) -> (Vec<String>, Vec<String>) {
        let list = node.get(section);
        let items = list.iter().flat_map(|list| list.items().unwrap_or_default());
        let (brought, own): (Vec<_>, Vec<_>) =
            items.partition(|item| mounts(item).is_some_and(|name| self.secrets.brings(service, &name)));
        let canon = |items: Vec<&Rc<Node>>| items.into_iter().map(|item| canon(item)).collect();
        (canon(own), canon(brought))
    }

    fn of_deploy(
        &self,
        before: &Self,
        name: &str,
        was: &Node,
        is: &Node,
        rolls: &mut Vec<String>,
        updates: &mut Vec<String>,
    ) {
        let empty = Node::mapping(Vec::new());
        let [was, is] = [was, is].map(|node| node.get("deploy").unwrap_or_else(|| Rc::clone(&empty)));
        for key in differing(&was, &is) {
            match key.as_str() {
                "replicas" => updates.push(self.told(before, name, &["deploy", "replicas"])),
                "mode" => rolls.push("`deploy.mode`, which docker refuses while the service is there".into()),
                key if IN_PLACE.contains(&key) => updates.push(format!("`deploy.{key}`")),
                key => rolls.push(format!("`deploy.{key}`")),
            }
        }
    }

    /// A change of a value, as its author wrote both.
    fn told(&self, before: &Self, service: &str, path: &[&str]) -> String {
        let [was, is] = [before, self].map(|stack| {
            // Of several files the last one that says it counts.
            stack.shown.iter().rev().find_map(|file| {
                let service = shown::without_secrets(file).get("services")?.get(service)?;
                let value = path.iter().try_fold(service, |node, key| node.get(key))?;
                Some(value.text()?.to_owned())
            })
        });
        let word = path.last().copied().unwrap_or_default();
        match (was, is) {
            (Some(was), Some(is)) if was != is => format!("{word} `{was}` → `{is}`"),
            (None, Some(is)) => format!("{word} `{is}`"),
            _ => format!("`{word}`"),
        }
    }
}

/// The keys whose values differ, in the order of their letters.
fn differing(was: &Node, is: &Node) -> Vec<String> {
    let [old, new] = [was, is].map(|node| {
        let pairs = node.merged_pairs().into_iter().filter(|(_, value)| !value.is_null());
        pairs
            .filter_map(|(key, value)| Some((key.text()?.to_owned(), canon(&value))))
            .collect::<BTreeMap<_, _>>()
    });
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

/// A text that is the same for what means the same: the order of keys and quotes do not count.
fn canon(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar { .. } if node.is_null() => "~".into(),
        Kind::Scalar { text, .. } => format!("{text:?}"),
        Kind::Sequence(items) => {
            format!("[{}]", items.iter().map(|item| canon(item) + ",").collect::<String>())
        }
        Kind::Mapping(_) => {
            let pairs = node.merged_pairs().into_iter();
            let sorted: BTreeMap<_, _> = pairs.map(|(key, value)| (canon(&key), canon(&value))).collect();
            let mut text = String::from("{");
            for (key, value) in &sorted {
                let _ = write!(text, "{key}:{value},");
            }
            text + "}"
        }
    }
}

fn entries(stack: &RenderedStack, name: &str) -> BTreeMap<String, String> {
    section(&stack.tree, name).into_iter().map(|(key, entry)| (key, canon(&entry))).collect()
}

/// The keys of the configs or secrets that a service mounts.
fn uses(service: &Node, section: &str) -> BTreeSet<String> {
    let list = service.get(section);
    list.iter().flat_map(|list| list.items().unwrap_or_default()).filter_map(mounts).collect()
}

/// Which config or secret an item of a service mounts.
fn mounts(item: &Rc<Node>) -> Option<String> {
    match item.text() {
        Some(key) => Some(key.to_owned()),
        None => item.get("source")?.text().map(str::to_owned),
    }
}

/// Which variables are others now, by name; `None` where only their form is another.
fn environment(was: &Node, is: &Node) -> Option<String> {
    let (old, new) = (variables(was), variables(is));
    let names: BTreeSet<_> =
        old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).collect();
    let told: Vec<_> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    let more = match names.len() - told.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!told.is_empty()).then(|| format!("variables {}{more}", told.join(", ")))
}

/// What a service's containers are told, by name; `None` of one that has no value.
fn variables(service: &Node) -> BTreeMap<String, Option<String>> {
    let Some(environment) = service.get("environment") else { return BTreeMap::new() };
    let of_item = |item: &Rc<Node>| {
        let text = item.text().unwrap_or_default();
        match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        }
    };
    let of_pair = |(key, value): (Rc<Node>, Rc<Node>)| {
        let value = if value.is_null() { None } else { value.text().map(str::to_owned) };
        (key.text().unwrap_or_default().to_owned(), value)
    };
    match environment.items() {
        Some(items) => items.iter().map(of_item).collect(),
        None => environment.merged_pairs().into_iter().map(of_pair).collect(),
    }
}

/// Whether nothing but the hash of bindings differs.
fn is_of_bindings(was: &Node, is: &Node) -> bool {
    let [old, new] = [was, is].map(|service| {
        let labels = service.get("labels");
        let listed = labels.iter().flat_map(|list| list.items().unwrap_or_default()).map(|item| canon(item));
        let named = labels.iter().flat_map(|mapping| mapping.merged_pairs());
        let named =
            named.map(|(key, value)| format!("\"{}={}", key.text().unwrap_or_default(), canon(&value)));
        let all: BTreeSet<_> = listed.chain(named).collect();
        all.into_iter()
            .partition::<Vec<_>, _>(|label| label.trim_start_matches('"').starts_with(volumes::BINDINGS))
    });
    old.1 == new.1 && old.0 != new.0
}
