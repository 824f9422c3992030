//! Configs and secrets with `file:` get names that follow their content.
//!
//! Swarm never changes a config or secret in place ("only updates to Labels are allowed"). Under a new name
//! a changed file is a new one, and the services that use it, only those, roll. In: the interpolated tree
//! and the files it names. Out: the new names, and the tree with them. Services refer to an entry by its
//! key and docker takes the default mount target from the key as well, so nothing else changes. The names are
//! there for everybody to list, so their hash takes the installation's key to compute.

use std::rc::Rc;

use super::labels::{self, Ownership, REPOSITORY, child};
use super::references::FileReference;
use crate::hash::Key;
use crate::stack::{StackName, StoredKind};
use crate::yaml::{Kind, Node};

/// The longest name Swarm takes.
const MOST_LETTERS: usize = 64;
/// Letters of the hash.
const HASH: usize = 12;
/// The first Compose version in which such an entry has `name`.
const NAMED: &str = "3.5";

/// An entry of `configs` or `secrets` whose name follows its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Which of both.
    pub kind: StoredKind,
    /// Its key in the compose file.
    pub key: String,
    /// The name docker would give it, which releases that did not rotate used.
    pub plain: String,
    /// Its name with the hash.
    pub name: String,
}

/// Every entry of `effective` that has `file`. Not those with `external`, where docker passes over the file,
/// nor with `driver`, which docker refuses beside `file` in words that fit the author's.
pub fn find(
    stack: &StackName,
    effective: &Node,
    files: &[FileReference],
    installation: &Key,
) -> Vec<Rotated> {
    let mut found = Vec::new();
    for kind in StoredKind::ALL {
        let section = effective.get(kind.section());
        for (key, entry) in section.map(|section| section.merged_pairs()).unwrap_or_default() {
            let Some(key) = key.text() else { continue };
            let is_named = |file: &&FileReference| file.kind == kind && file.entry == key;
            let Some(file) = files.iter().find(is_named) else { continue };
            if is_external(&entry) || entry.get("driver").is_some_and(|driver| !driver.is_null()) {
                continue;
            }
            let text = |key: &str| {
                let text = entry.get(key).filter(|value| !value.is_null())?.text()?.to_owned();
                (!text.is_empty()).then_some(text)
            };
            let plain = text("name").unwrap_or_else(|| stack.scope(key));
            // What docker cannot change in place: the content, and the template driver, whose change it would
            // silently drop. The stack is in it so that no two stacks ever share, and remove, one config.
            let driver = text("template_driver").unwrap_or_default();
            // Nor do two entries: a config can be read, and would tell what a secret of the same content is.
            let tag = installation.tag([stack.as_str(), kind.section(), key, &driver, &file.content]);
            found.push(Rotated { kind, key: key.to_owned(), name: join(&plain, &tag[..HASH]), plain });
        }
    }
    found
}

/// Whether docker expects it to be there.
pub(super) fn is_external(entry: &Node) -> bool {
    let Some(external) = entry.get("external") else { return false };
    !(external.is_null() || external.as_bool() == Some(false) || external.text() == Some("false"))
}

/// `{plain}_{hash}`; a long `plain` loses its middle.
fn join(plain: &str, hash: &str) -> String {
    let letters: Vec<char> = plain.chars().collect();
    let room = MOST_LETTERS - HASH - 1;
    if letters.len() <= room {
        return format!("{plain}_{hash}");
    }
    let head: String = letters[..room / 2].iter().collect();
    let tail: String = letters[letters.len() - (room - room / 2 - 1)..].iter().collect();
    format!("{head}-{tail}_{hash}")
}

/// `tree` with the new names.
pub fn rename(tree: &Rc<Node>, rotated: &[Rotated]) -> Rc<Node> {
    let mut tree = Rc::clone(tree);
    for Rotated { kind, key, name, .. } in rotated {
        let entry = child(child(&mut tree, kind.section()), key);
        *child(entry, "name") = Node::string(name);
    }
    if !rotated.is_empty() && tree.get("version").is_some_and(|version| knows_no_name(&version)) {
        *child(&mut tree, "version") = Node::string(NAMED);
    }
    tree
}

/// From 3.1 (3.3 for configs) on there are such entries, from 3.5 on they have a `name`. What 3.5 knows
/// more it refuses in the older ones, and means the same by all that they know.
fn knows_no_name(version: &Node) -> bool {
    // A plain 3.3 is a number: docker refuses it as one.
    version.is_string() && version.text().is_some_and(|text| ["3.1", "3.2", "3.3", "3.4"].contains(&text))
}

/// `tree` with credential specs that find their config: docker looks for it by its key, and again by its name in the
/// Swarm, so the name is its key, and services that mount it say where it goes.
pub fn follow_credential_specs(tree: &Rc<Node>, rotated: &[Rotated]) -> Rc<Node> {
    let mut tree = Rc::clone(tree);
    let services =
        |tree: &Node| tree.get("services").map(|section| section.merged_pairs()).unwrap_or_default();
    for Rotated { key, name, .. } in rotated.iter().filter(|one| one.kind == StoredKind::Config) {
        let is_it = |node: Option<Rc<Node>>| node.is_some_and(|node| node.text() == Some(key));
        let names_it =
            |service: &Node| is_it(service.get("credential_spec").and_then(|spec| spec.get("config")));
        if !services(&tree).iter().any(|(_, service)| names_it(service)) {
            continue;
        }
        if let Kind::Mapping(pairs) = &mut Rc::make_mut(child(&mut tree, "configs")).kind
            && let Some((known, _)) = pairs.iter_mut().find(|(known, _)| known.text() == Some(key))
        {
            *known = Node::string(name);
        }
        for (service, node) in services(&tree) {
            let Some(service) = service.text() else { continue };
            let service = child(child(&mut tree, "services"), service);
            if names_it(&node) {
                *child(child(service, "credential_spec"), "config") = Node::string(name);
            }
            if node.get("configs").is_some_and(|configs| configs.items().is_some())
                && let Kind::Sequence(items) = &mut Rc::make_mut(child(service, "configs")).kind
            {
                for item in items {
                    mount_under(item, key, name);
                }
            }
        }
    }
    tree
}

/// A service's use of the config `key`, which is called `name` now, with the target it had.
fn mount_under(item: &mut Rc<Node>, key: &str, name: &str) {
    if item.text() == Some(key) {
        let pairs = [("source", name), ("target", key)];
        *item = Node::mapping(pairs.map(|(key, value)| (Node::string(key), Node::string(value))).into());
    } else if item.get("source").is_some_and(|source| source.text() == Some(key)) {
        *child(item, "source") = Node::string(name);
        if item.get("target").is_none_or(|target| target.is_null() || target.text() == Some("")) {
            *child(item, "target") = Node::string(key);
        }
    }
}

/// `tree` with the mark that proves whose the entries are.
pub fn label(tree: &Rc<Node>, rotated: &[Rotated], ownership: &Ownership) -> Rc<Node> {
    let mut tree = Rc::clone(tree);
    for Rotated { kind, key, .. } in rotated {
        let target = child(child(child(&mut tree, kind.section()), key), "labels");
        labels::add(target, &[(REPOSITORY, ownership.repository.as_str())]);
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_keep_both_ends_and_the_hash() {
        assert_eq!(join("web_site", "0123456789ab"), "web_site_0123456789ab");
        let room = "x".repeat(51);
        assert_eq!(join(&room, "0123456789ab"), format!("{room}_0123456789ab"));
        for long in [format!("web_{}_end", "x".repeat(60)), format!("web_{}_end", "é".repeat(60))] {
            let name = join(&long, "0123456789ab");
            assert_eq!(name.chars().count(), 64, "{name}");
            assert!(name.starts_with("web_") && name.ends_with("_end_0123456789ab"), "{name}");
        }
    }
}
