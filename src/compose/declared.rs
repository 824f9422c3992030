//! What a rendered stack says of a service that shows in Swarm as well, so that one is told from the other.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::RenderedStack;
use crate::yaml::Node;

/// What a compose file declares of a service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// How many tasks; `None` of a service that is not replicated.
    pub replicas: Option<u64>,
    /// Its environment as docker has it, `NAME=value`; `None` where it cannot be told.
    pub environment: Option<BTreeSet<String>>,
    /// What is mounted where, by path in the container: a path of the node, a volume's full name, or nothing of an
    /// unnamed one; `None` where it cannot be told.
    pub mounts: Option<BTreeMap<String, String>>,
}

impl RenderedStack {
    /// What the file that docker gets declares of a service.
    pub fn declared(&self, service: &str) -> Declared {
        let services = self.tree.get("services");
        let Some(node) = services.and_then(|services| services.get(service)) else {
            return Declared::default();
        };
        let deploy = node.get("deploy");
        let mode = deploy.as_ref().and_then(|deploy| deploy.get("mode"));
        let is_replicated = mode.is_none_or(|mode| mode.is_null() || mode.text() == Some("replicated"));
        let replicas = deploy.and_then(|deploy| deploy.get("replicas")).filter(|node| !node.is_null());
        let replicas = match replicas {
            None => Some(1),
            Some(node) => node.text().and_then(|text| text.parse().ok()),
        };
        let environment = node.get("environment").filter(|node| !node.is_null());
        Declared {
            replicas: replicas.filter(|_| is_replicated),
            environment: environment.map_or_else(|| Some(BTreeSet::new()), |node| environment_of(&node)),
            mounts: self.mounts_of(&node),
        }
    }

    fn mounts_of(&self, service: &Node) -> Option<BTreeMap<String, String>> {
        let Some(volumes) = service.get("volumes").filter(|node| !node.is_null()) else {
            return Some(BTreeMap::new());
        };
        let mount = |node: &Rc<Node>| {
            let (target, source) = mount_of(node)?;
            let source = if source.is_empty() || source.starts_with('/') {
                source
            } else {
                self.volumes.iter().find(|(_, key)| **key == source)?.0.clone()
            };
            target.starts_with('/').then(|| (without_slash(&target), without_slash(&source)))
        };
        volumes.items()?.iter().map(mount).collect()
    }
}

/// Where it is mounted, and what.
fn mount_of(node: &Node) -> Option<(String, String)> {
    if let Some(text) = node.text() {
        let parts: Vec<_> = text.split(':').collect();
        return match *parts {
            [target] => Some((target.to_owned(), String::new())),
            [source, target] | [source, target, _] => Some((target.to_owned(), source.to_owned())),
            _ => None,
        };
    }
    let source = node.get("source").and_then(|source| Some(source.text()?.to_owned()));
    Some((node.get("target")?.text()?.to_owned(), source.unwrap_or_default()))
}

/// A path without the slash that may end it.
pub fn without_slash(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => path.to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

fn environment_of(node: &Node) -> Option<BTreeSet<String>> {
    if let Some(items) = node.items() {
        let lines: BTreeSet<_> = items.iter().filter_map(|item| item.text()).map(str::to_owned).collect();
        // Of one that is set twice docker takes the last.
        let names: BTreeSet<_> = lines.iter().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        return (names.len() == items.len()).then_some(lines);
    }
    let line = |(name, value): &(Rc<Node>, Rc<Node>)| {
        // Other numbers docker may write in other digits.
        let typed = value.text().filter(|text| {
            matches!(*text, "true" | "false")
                || (text.parse::<u32>().is_ok() && !text.starts_with('0'))
                || *text == "0"
        });
        Some(format!("{}={}", name.text()?, value.string_text().or(typed)?))
    };
    node.pairs()?;
    node.merged_pairs().iter().map(line).collect()
}
