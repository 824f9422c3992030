//! What a compose file takes from outside, written out: docker finds nothing to look up any more.
//!
//! In: the author's tree without merges, the variables, the files that `env_file` names. Out: the same tree
//! with every `${…}` replaced, and with what a container's environment takes from docker's own.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context, Result};

use super::asked::At;
use super::cast::cast;
use super::env_file::EnvFiles;
use super::interpolate::{Variables, interpolate};
use super::labels::child;
use crate::yaml::{Kind, Node};

/// The tree with every variable replaced: in values, never in keys, those of `x-` fields included (docker/cli
/// `interpolateConfig`).
pub fn interpolated(tree: &Node, variables: &Variables) -> Result<Rc<Node>> {
    let mut tree = tree.clone();
    if let Kind::Mapping(pairs) = &mut tree.kind {
        for (key, value) in pairs {
            let key = key.text().unwrap_or("…");
            let new = || replaced(value, key, variables);
            // What such a field holds is lost as a whole, and meant to be.
            *value = if key.starts_with("x-") { variables.aside(new)? } else { new()? };
        }
    }
    Ok(Rc::new(tree))
}

/// Deeper, or by longer names, docker casts nothing, and nobody wants to read it in an error.
const LONGEST_PATH: usize = 300;

/// The path of what lies at `key` below `path`. Once cut it is no path any more, and grows no more.
fn below(path: &str, key: &str) -> String {
    if path.ends_with('…') {
        path.to_owned()
    } else if path.len() + key.len() > LONGEST_PATH {
        format!("{path}…")
    } else {
        format!("{path}.{key}")
    }
}

fn replaced(node: &Rc<Node>, path: &str, variables: &Variables) -> Result<Rc<Node>> {
    let kind = match &node.kind {
        Kind::Scalar { text, .. } if text.contains('$') => {
            let what = || {
                let (line, key) = (node.line, path.replace(".[]", ""));
                At { line, shown: format!("line {line}: `{key}`"), key }
            };
            variables.at(node.line, path.replace(".[]", ""));
            let new = interpolate(text, variables).with_context(what)?;
            // What no variable changed docker leaves as it is.
            let typed = if new == *text { None } else { cast(path, &new).with_context(what)? };
            let plain = typed.is_some();
            Kind::Scalar { text: typed.unwrap_or(new), plain }
        }
        Kind::Scalar { .. } => return Ok(Rc::clone(node)),
        Kind::Sequence(items) => {
            let path = below(path, "[]");
            Kind::Sequence(items.iter().map(|item| replaced(item, &path, variables)).collect::<Result<_>>()?)
        }
        Kind::Mapping(pairs) => Kind::Mapping(
            pairs
                .iter()
                .map(|(key, value)| {
                    let path = below(path, key.text().unwrap_or("-"));
                    Ok((Rc::clone(key), replaced(value, &path, variables)?))
                })
                .collect::<Result<_>>()?,
        ),
    };
    Ok(Rc::new(Node { line: node.line, tag: node.tag.clone(), kind }))
}

/// The interpolated tree with the environment of every service whole: docker fills a variable without a value,
/// an empty one too, from its own environment, and opens the files of `env_file` (docker/cli
/// `resolveEnvironment`).
pub fn filled(tree: &Rc<Node>, variables: &Variables, files: &EnvFiles) -> Result<Rc<Node>> {
    let mut tree = Rc::clone(tree);
    let services = tree.get("services").map(|section| section.merged_pairs()).unwrap_or_default();
    for (key, service) in services {
        let (Some(name), Some(_)) = (key.text(), service.pairs()) else { continue };
        let from_files = files.of(name, variables)?;
        let environment = service.get("environment");
        let service = child(child(&mut tree, "services"), name);
        if from_files.is_some() {
            remove(service, "env_file");
        }
        let from_files = from_files.unwrap_or_default();
        // Another kind of environment docker refuses in its own words.
        if environment
            .map_or(!from_files.is_empty(), |given| given.items().is_some() || given.pairs().is_some())
        {
            let line = service.get("environment").map_or(0, |given| given.line);
            variables.at(line, format!("services.{name}.environment"));
            let environment = child(service, "environment");
            fill(environment, variables, &from_files)?;
            for name in empty(environment) {
                variables.left_empty(&name);
            }
        }
    }
    Ok(tree)
}

fn remove(node: &mut Rc<Node>, key: &str) {
    if let Kind::Mapping(pairs) = &mut Rc::make_mut(node).kind {
        pairs.retain(|(known, _)| known.text() != Some(key));
    }
}

/// Fills what is empty, then adds those of `from_files` that are not there.
fn fill(environment: &mut Rc<Node>, variables: &Variables, from_files: &[(String, String)]) -> Result<()> {
    let mut known = BTreeSet::new();
    match &mut Rc::make_mut(environment).kind {
        Kind::Sequence(items) => {
            for item in items.iter_mut() {
                let Some(text) = item.text() else { continue };
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                known.insert(name.to_owned());
                if let Some(found) = outside(name, text.contains('='), variables).filter(|_| value.is_empty())
                {
                    variables.spend(found.len())?;
                    *item = Node::string(format!("{name}={found}"));
                }
            }
            let new = from_files.iter().filter(|(name, _)| !known.contains(name));
            items.extend(new.map(|(name, value)| Node::string(format!("{name}={value}"))));
        }
        Kind::Mapping(pairs) => {
            for (key, value) in pairs.iter_mut() {
                let Some(name) = key.text() else { continue };
                known.insert(name.to_owned());
                let is_empty = value.is_null() || value.string_text() == Some("");
                if let Some(found) = outside(name, !value.is_null(), variables).filter(|_| is_empty) {
                    variables.spend(found.len())?;
                    *value = Node::string(found);
                }
            }
            let new = from_files.iter().filter(|(name, _)| !known.contains(name));
            pairs.extend(new.map(|(name, value)| (Node::string(name), Node::string(value))));
        }
        Kind::Scalar { .. } => {}
    }
    Ok(())
}

/// The variables that still have no value.
fn empty(environment: &Node) -> Vec<String> {
    let of_item = |item: &Rc<Node>| {
        let text = item.text()?;
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        value.is_empty().then(|| name.to_owned())
    };
    let of_pair = |(key, value): &(Rc<Node>, Rc<Node>)| {
        let is_empty = value.is_null() || value.string_text() == Some("");
        key.text().filter(|_| is_empty).map(str::to_owned)
    };
    let items = environment.items().unwrap_or_default().iter().filter_map(of_item);
    items.chain(environment.pairs().unwrap_or_default().iter().filter_map(of_pair)).collect()
}

/// What docker's own environment has of a variable; one that `is_given`, empty, is not waited for.
fn outside<'a>(name: &str, is_given: bool, variables: &'a Variables<'_>) -> Option<&'a str> {
    if is_given { variables.get(name) } else { variables.passed(name) }
}

/// The tree as docker must read it to find these very values: it takes `$$` for a dollar sign, in values.
pub fn literal(node: &Rc<Node>) -> Rc<Node> {
    let kind = match &node.kind {
        Kind::Scalar { text, .. } if !text.contains('$') => return Rc::clone(node),
        Kind::Scalar { text, plain } => Kind::Scalar { text: text.replace('$', "$$"), plain: *plain },
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(literal).collect()),
        Kind::Mapping(pairs) => {
            Kind::Mapping(pairs.iter().map(|(key, value)| (Rc::clone(key), literal(value))).collect())
        }
    };
    Rc::new(Node { line: node.line, tag: node.tag.clone(), kind })
}
