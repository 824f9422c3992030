//! Networks, configs and secrets that a stack has from others.

use std::rc::Rc;

use super::check::{Finder, Given};
use super::{Privileges, Rules};
use crate::yaml::Node;

/// Networks of a node itself.
const OF_THE_HOST: [&str; 3] = ["host", "bridge", "docker_gwbridge"];

/// Notes those of others that a stack may not use.
pub fn check(given: Given<'_>, rules: &Rules, finder: &mut Finder<'_>) {
    for (section, allowed) in
        [("networks", &rules.networks), ("secrets", &rules.secrets), ("configs", &rules.configs)]
    {
        for (key, entry) in entries(given.tree, section) {
            let word = key.text().unwrap_or_default();
            let line = if entry.line > 0 { entry.line } else { key.line };
            let name = name_of(word, &entry);
            if section == "networks"
                && OF_THE_HOST.contains(&name.as_str())
                && rules.privileges != Privileges::All
            {
                let what = format!("is `{name}`, a network of the node itself");
                finder.add(&[section, word], line, "privileges", &what);
            }
            let is_own = section == "configs" && given.scripts.contains(&name);
            let Some(allowed) = allowed.as_ref().filter(|_| is_external(&entry) && !is_own) else { continue };
            if !allowed.matches(&name) {
                let what = format!("`{name}` is not among those of others that may be used ({allowed})");
                finder.add(&[section, word], line, section, &what);
            }
        }
    }
}

/// The networks of others that docker, where none has that very name, would take for the beginning of an id: one of any
/// network, the node's own included.
pub fn id_like(tree: &Node) -> Vec<String> {
    let external = entries(tree, "networks").into_iter().filter(|(_, entry)| is_external(entry));
    let names = external.map(|(key, entry)| name_of(key.text().unwrap_or_default(), &entry));
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())).collect()
}

/// The entries of a section with their keys.
pub fn entries(tree: &Node, section: &str) -> Vec<(Rc<Node>, Rc<Node>)> {
    tree.get(section).map(|section| section.merged_pairs()).unwrap_or_default()
}

/// Whether somebody else makes it.
pub fn is_external(entry: &Node) -> bool {
    entry.get("external").is_some_and(|external| external.as_bool() != Some(false))
}

/// What docker calls an entry, where that is not the stack's to choose.
pub fn name_of(key: &str, entry: &Node) -> String {
    let text = |node: Option<Rc<Node>>| {
        // An empty one is none to docker.
        node.filter(|node| !node.is_null())?.text().filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let in_external = entry.get("external").and_then(|external| external.get("name"));
    text(in_external).or_else(|| text(entry.get("name"))).unwrap_or_else(|| key.to_owned())
}
