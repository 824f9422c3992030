//! What docker makes for a stack under names that others could have as well, and the volumes it mounts.
//!
//! docker takes a config or secret of that name that is there for the stack's own, whoever made it: it puts the
//! stack's label on it, and `docker stack rm` takes it away. In: the interpolated tree. Out: the names as
//! Swarm will have them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::rotate::{Rotated, is_external};
use crate::stack::{ObjectKind, StackName, StoredKind};
use crate::yaml::Node;

/// A config, secret or network that a stack makes for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub kind: ObjectKind,
    /// Its key in the compose file.
    pub key: String,
    /// Its name in the Swarm.
    pub name: String,
    /// Whether the author chose the name, or docker would take what bears it without a look at its content.
    pub is_chosen: bool,
}

/// All configs, secrets and networks that docker makes for the stack. `external` ones are there already, and
/// networks that no service names are not made.
pub fn made(stack: &StackName, effective: &Node, rotated: &[Rotated]) -> Vec<Object> {
    let mut made = Vec::new();
    for stored in StoredKind::ALL {
        let kind = ObjectKind::Stored(stored);
        for (key, entry) in section(effective, kind.section()) {
            if is_external(&entry) {
                continue;
            }
            let chosen = name(&entry);
            let own = rotated.iter().find(|rotated| rotated.kind == stored && rotated.key == key);
            made.push(Object {
                kind,
                is_chosen: chosen.is_some() || own.is_none(),
                name: own.map(|own| own.name.clone()).or(chosen).unwrap_or_else(|| stack.scope(&key)),
                key,
            });
        }
    }
    let kind = ObjectKind::Network;
    let declared: BTreeMap<_, _> = section(effective, kind.section()).into_iter().collect();
    for key in networks(effective) {
        let entry = declared.get(&key);
        if entry.is_some_and(|entry| is_external(entry)) {
            continue;
        }
        let chosen = entry.and_then(|entry| name(entry));
        let is_chosen = chosen.is_some();
        made.push(Object { kind, name: chosen.unwrap_or_else(|| stack.scope(&key)), key, is_chosen });
    }
    made
}

/// The names of the configs, secrets and networks that somebody else makes.
pub fn taken(effective: &Node) -> BTreeSet<String> {
    let sections = StoredKind::ALL.map(ObjectKind::Stored).into_iter().chain([ObjectKind::Network]);
    let entries = sections.flat_map(|kind| section(effective, kind.section()));
    let external = entries.filter(|(_, entry)| is_external(entry));
    external
        .map(|(key, entry)| {
            let older = entry.get("external").and_then(|external| name(&external));
            name(&entry).or(older).unwrap_or(key)
        })
        .collect()
}

/// The docker volumes that it declares, external ones included: name → key. `tree` has those of `volumes.yaml`
/// as well, by names that need no interpolation.
pub fn volumes(stack: &StackName, effective: &Node, tree: &Node) -> BTreeMap<String, String> {
    let own: BTreeMap<_, _> = section(effective, "volumes").into_iter().collect();
    let declared = section(tree, "volumes").into_iter().map(|(key, entry)| {
        let entry = own.get(&key).unwrap_or(&entry);
        let external = entry.get("external").and_then(|external| name(&external));
        let plain = if is_external(entry) { key.clone() } else { stack.scope(&key) };
        (name(entry).or(external).unwrap_or(plain), key)
    });
    declared.collect()
}

/// The keys of the networks that services are in: `default` where they name none.
fn networks(effective: &Node) -> BTreeSet<String> {
    let of = |service: &Node| {
        let Some(listed) = service.get("networks") else { return vec!["default".to_owned()] };
        let items = listed.items().unwrap_or_default().iter().map(Rc::clone);
        let keys = items.chain(listed.merged_pairs().into_iter().map(|(key, _)| key));
        let keys: Vec<_> = keys.filter_map(|key| Some(key.text()?.to_owned())).collect();
        if keys.is_empty() { vec!["default".to_owned()] } else { keys }
    };
    section(effective, "services").iter().flat_map(|(_, service)| of(service)).collect()
}

/// docker takes an empty name for none.
fn name(entry: &Node) -> Option<String> {
    let name = entry.get("name").filter(|name| !name.is_null())?.text()?.to_owned();
    (!name.is_empty()).then_some(name)
}

fn section(tree: &Node, name: &str) -> Vec<(String, Rc<Node>)> {
    let pairs = tree.get(name).map(|section| section.merged_pairs()).unwrap_or_default();
    pairs.into_iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn tree(text: &str) -> Rc<Node> {
        parse(text).unwrap().unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        let rotated = [Rotated {
            kind: StoredKind::Config,
            key: "site".into(),
            plain: "web_site".into(),
            name: "web_site_0123456789ab".into(),
        }];
        let made = made(&StackName::known("web"), &tree(text), &rotated);
        let line = |object: &Object| {
            let chosen = if object.is_chosen { " chosen" } else { "" };
            format!("{} {} {}{chosen}", object.kind.word(), object.key, object.name)
        };
        made.iter().map(line).collect()
    }

    #[test]
    fn names_are_those_that_docker_gives() {
        let text = "services: {a: {networks: [one, two, out]}, b: {networks: {three: {aliases: [x]}}}, c: {image: c}}\n\
            networks: {one: , two: {name: shared}, three: {name: ''}, out: {external: true}, unused: {name: x}}\n\
            configs: {site: {file: f}, his: {external: true, name: y}, old: {external: {name: z}}}\n\
            secrets: {key: {driver: vault}, other: {driver: vault, name: key, external: false}}\n";
        assert_eq!(
            names(text),
            [
                "config site web_site_0123456789ab",
                "secret key web_key chosen",
                "secret other key chosen",
                "network default web_default",
                "network one web_one",
                "network three web_three",
                "network two shared chosen",
            ]
        );
        assert_eq!(names("services: {a: {networks: [one]}}\n"), ["network one web_one"]);
        let own = "services: {a: {networks: }, b: {networks: []}}\nnetworks: {default: {name: all}}\n";
        assert_eq!(names(own), ["network default all chosen"]);
        let merged =
            "x: &x {networks: [n]}\ny: &y {name: m}\nservices: {a: {<<: *x}}\nnetworks: {n: {<<: *y}}\n";
        assert_eq!(names(merged), ["network n m chosen"]);
    }

    #[test]
    fn volumes_are_named_as_docker_does_and_by_volumes_yaml() {
        let effective = tree(
            "volumes: {a: , b: {name: shop}, c: {external: true}, d: {external: {name: his}}, e: {external: true, name: f}}\n",
        );
        let rewritten = tree(
            "volumes: {a: , b: {name: '${X}'}, c: , d: , e: , data: {name: files}, old: {external: {name: older}}}\n",
        );
        let found = volumes(&StackName::known("web"), &effective, &rewritten);
        let found: Vec<_> = found.iter().map(|(name, key)| format!("{key}={name}")).collect();
        assert_eq!(found, ["c=c", "e=f", "data=files", "d=his", "old=older", "b=shop", "a=web_a"]);
    }
}
