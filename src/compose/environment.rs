//! Variables in the tree: the values DockerOps reads itself, and the names docker will look up.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::interpolate::{Variables, interpolate, rename_dotenv};
use crate::yaml::{Kind, Node};

/// The tree with every variable replaced; `used` gathers the names, those that `environment:` passes
/// through without a value included.
pub fn interpolated(tree: &Node, variables: &Variables, used: &mut BTreeSet<String>) -> Result<Rc<Node>> {
    for (_, service) in services(tree) {
        used.extend(passed_through(&service));
    }
    sections(tree, &mut |text| interpolate(text, variables, used))
}

/// The tree that docker reads: `.env` variables renamed, passed-through ones of `.env` written out.
pub fn for_docker(tree: &Node, variables: &Variables) -> Result<Rc<Node>> {
    let renamed = sections(tree, &mut |text| rename_dotenv(text, variables))?;
    let mut tree = Rc::unwrap_or_clone(renamed);
    if let Some(section) = tree.get("services") {
        let filled = section
            .merged_pairs()
            .into_iter()
            .map(|(key, service)| (key, fill(&service, variables)))
            .collect();
        replace(&mut tree, "services", Node::mapping(filled));
    }
    Ok(Rc::new(tree))
}

fn services(tree: &Node) -> Vec<(Rc<Node>, Rc<Node>)> {
    tree.get("services").map(|section| section.merged_pairs()).unwrap_or_default()
}

/// Names in `environment:` that have no value: docker takes it from its own environment.
fn passed_through(service: &Node) -> Vec<String> {
    let Some(environment) = service.get("environment") else { return Vec::new() };
    match environment.items() {
        Some(items) => {
            let bare = items.iter().filter_map(|item| item.text()).filter(|text| !text.contains('='));
            bare.map(str::to_owned).collect()
        }
        None => {
            let pairs = environment.merged_pairs();
            let empty = pairs.iter().filter(|(_, value)| value.is_null()).filter_map(|(key, _)| key.text());
            empty.map(str::to_owned).collect()
        }
    }
}

/// The service with those of its passed-through variables that `.env` has.
fn fill(service: &Rc<Node>, variables: &Variables) -> Rc<Node> {
    let names: BTreeSet<_> = passed_through(service).into_iter().collect();
    let given = variables.for_docker(&names);
    let Some(environment) = service.get("environment").filter(|_| !given.is_empty()) else {
        return Rc::clone(service);
    };
    let value = |name: &str| given.get(&format!("DOTENV_{name}")).map(|value| value.replace('$', "$$"));
    let mut filled = Rc::unwrap_or_clone(environment);
    match &mut filled.kind {
        Kind::Sequence(items) => {
            for item in items {
                if let Some((name, value)) = item.text().and_then(|name| Some((name, value(name)?))) {
                    *item = Node::string(format!("{name}={value}"));
                }
            }
        }
        _ => {
            let pairs = filled.merged_pairs().into_iter().map(|(key, old)| {
                let new = key.text().filter(|_| old.is_null()).and_then(value);
                (key, new.map_or(old, Node::string))
            });
            filled.kind = Kind::Mapping(pairs.collect());
        }
    }
    let mut service = Rc::unwrap_or_clone(Rc::clone(service));
    replace(&mut service, "environment", Rc::new(filled));
    Rc::new(service)
}

/// Puts `value` in the place of `key`, in front of what a merge may bring.
fn replace(node: &mut Node, key: &str, value: Rc<Node>) {
    let Kind::Mapping(pairs) = &mut node.kind else { return };
    match pairs.iter_mut().find(|(known, _)| known.text() == Some(key)) {
        Some((_, old)) => *old = value,
        None => pairs.push((Node::string(key), value)),
    }
}

type Replace<'a> = dyn FnMut(&str) -> Result<String> + 'a;

/// Values, never keys, and those of `x-` fields too (docker/cli `interpolateConfig`).
fn sections(tree: &Node, replace: &mut Replace<'_>) -> Result<Rc<Node>> {
    let mut tree = tree.clone();
    if let Kind::Mapping(pairs) = &mut tree.kind {
        for (key, value) in pairs {
            *value = strings(value, key.text().unwrap_or("…"), replace)?;
        }
    }
    Ok(Rc::new(tree))
}

fn strings(node: &Rc<Node>, path: &str, replace: &mut Replace<'_>) -> Result<Rc<Node>> {
    let kind = match &node.kind {
        Kind::Scalar { text, plain } if text.contains('$') => {
            let text = replace(text).with_context(|| format!("line {}: `{path}`", node.line))?;
            Kind::Scalar { text, plain: *plain }
        }
        Kind::Scalar { .. } => return Ok(Rc::clone(node)),
        Kind::Sequence(items) => {
            Kind::Sequence(items.iter().map(|item| strings(item, path, replace)).collect::<Result<_>>()?)
        }
        Kind::Mapping(pairs) => Kind::Mapping(
            pairs
                .iter()
                .map(|(key, value)| {
                    let below = format!("{path}.{}", key.text().unwrap_or("…"));
                    Ok((Rc::clone(key), strings(value, &below, replace)?))
                })
                .collect::<Result<_>>()?,
        ),
    };
    Ok(Rc::new(Node { line: node.line, tag: node.tag.clone(), kind }))
}
