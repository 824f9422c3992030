//! What must hold of a compose file before docker sees it; docker checks the rest, in its own words.

use std::collections::HashSet;
use std::rc::Rc;

use super::references::section;
use super::tags;
use crate::problem::Collector;
use crate::stack::{StackName, StoredKind, is_dns_label};
use crate::yaml::Node;

/// Entries of a section: what a stack of a thousand services needs.
const MOST_ENTRIES: usize = 1000;
const SECTIONS: [&str; 5] = ["services", "configs", "secrets", "networks", "volumes"];

/// Tasks of one service.
const MOST_TASKS: u64 = 1000;

/// Readers of YAML 1.1 find no colon behind a longer key.
const LONGEST_KEY: usize = 1024;

/// Notes what is wrong with `tree`, the compose file of the stack `name`, or one of those that it is merged of.
pub fn check(tree: &Node, name: &StackName, is_part: bool, problems: &mut Collector) {
    refuse_what_readers_may_differ_on(tree, problems);
    let Some(section) = tree.get("services") else {
        if is_part {
            return refuse_large_sections(tree, problems);
        }
        problems.add(tree.line, "services", "is missing: a stack needs at least one service");
        return;
    };
    let services = section.merged_pairs();
    if services.is_empty() {
        let what = if section.pairs().is_some() {
            "is empty: a stack needs at least one service".to_owned()
        } else {
            format!("must be a mapping of services, not {}", section.what())
        };
        problems.add(section.line, "services", what);
    }
    for (key, service) in &services {
        let Some(word) = key.text() else {
            problems.add(key.line, "services", "has a key that is no name");
            continue;
        };
        if !is_dns_label(&name.scope(word)) {
            let what = format!(
                "makes the service `{}`, which Swarm does not take (letters, digits, `-`, `_`; 63 at most)",
                name.scope(word)
            );
            problems.add(key.line, format!("services.{word}"), what);
        }
        if service.pairs().is_none() {
            problems.add(
                service.line,
                format!("services.{word}"),
                format!("must be a mapping, not {}", service.what()),
            );
        }
    }
    refuse_large_sections(tree, problems);
}

/// The interpolated `tree` with every `external` plain; notes what can be seen only now.
pub fn interpolated(tree: &Rc<Node>, problems: &mut Collector) -> Rc<Node> {
    let tree = tags::with_plain_externals(tree, problems);
    labels(&tree, problems);
    files(&tree, problems);
    tasks(&tree, problems);
    tree
}

fn refuse_large_sections(tree: &Node, problems: &mut Collector) {
    for section in SECTIONS {
        let entries = tree.get(section).map_or(0, |entries| entries.pairs().map_or(0, <[_]>::len));
        if entries > MOST_ENTRIES {
            problems.add(
                0,
                section,
                format!("has {entries} entries, more than the {MOST_ENTRIES} that are taken"),
            );
        }
    }
}

/// Notes labels of the interpolated `tree` that are reserved.
fn labels(tree: &Node, problems: &mut Collector) {
    for (word, service) in section(tree, "services") {
        let labels = service.get("deploy").and_then(|deploy| deploy.get("labels"));
        refuse_reserved_labels(labels, &format!("services.{word}.deploy.labels"), problems);
    }
    for name in StoredKind::ALL.map(StoredKind::section) {
        for (key, entry) in section(tree, name) {
            refuse_reserved_labels(entry.get("labels"), &format!("{name}.{key}.labels"), problems);
        }
    }
}

/// Notes services of the interpolated `tree` of more tasks than can be looked at one by one.
fn tasks(tree: &Node, problems: &mut Collector) {
    for (word, service) in section(tree, "services") {
        let replicas = service.get("deploy").and_then(|deploy| deploy.get("replicas"));
        let count = replicas.as_ref().and_then(|node| number(node.text()?));
        if let Some((node, count)) = replicas.zip(count).filter(|(_, count)| *count > MOST_TASKS) {
            let what = format!(
                "is {count}, more than the {MOST_TASKS} that are taken: every task of it is looked at"
            );
            problems.add(node.line, format!("services.{word}.deploy.replicas"), what);
        }
    }
}

/// An integer as readers of YAML 1.1 write it.
fn number(text: &str) -> Option<u64> {
    let digits = text.replace('_', "").to_ascii_lowercase();
    let digits = digits.strip_prefix('+').unwrap_or(&digits);
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)] {
        if let Some(rest) = digits.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
            return u64::from_str_radix(rest, base).ok();
        }
    }
    digits.parse().ok()
}

/// Notes configs and secrets of the interpolated `tree` that docker would look for nowhere, and find a folder.
fn files(tree: &Node, problems: &mut Collector) {
    for name in StoredKind::ALL.map(StoredKind::section) {
        for (key, entry) in section(tree, name) {
            let has = |key: &str| entry.get(key).is_some_and(|value| !value.is_null());
            let is_external = entry.get("external").is_some_and(|external| external.as_bool() != Some(false));
            if !has("file") && !has("driver") && !is_external {
                problems.add(entry.line, format!("{name}.{key}"), "needs `file`, or `external: true`");
            }
        }
    }
}

/// A key that stands twice: the last one counts in docker 20.10, and none in newer ones. A merge of something else
/// than mappings is none.
fn refuse_what_readers_may_differ_on(node: &Node, problems: &mut Collector) {
    for item in node.items().unwrap_or_default() {
        refuse_what_readers_may_differ_on(item, problems);
    }
    let mut known = HashSet::new();
    for (key, value) in node.pairs().unwrap_or_default() {
        if let Some(text) = key.text().filter(|text| !known.insert(*text)) {
            problems.add(key.line, text, "stands twice in one mapping");
        }
        if key.text().is_some_and(|text| text.len() > LONGEST_KEY) {
            problems.add(key.line, "", format!("has a key of more than {LONGEST_KEY} letters"));
        }
        if key.is_merge() && !value.can_be_merged() {
            problems.add(
                key.line,
                "<<",
                format!("must be a mapping or a list of mappings, not {}", value.what()),
            );
        }
        refuse_what_readers_may_differ_on(key, problems);
        refuse_what_readers_may_differ_on(value, problems);
    }
}

fn refuse_reserved_labels(labels: Option<Rc<Node>>, path: &str, problems: &mut Collector) {
    let Some(labels) = labels else { return };
    let keys: Vec<_> = match labels.items() {
        Some(items) => items.to_vec(),
        None => labels.merged_pairs().into_iter().map(|(key, _)| key).collect(),
    };
    for key in keys.iter().filter(|key| key.text().is_some_and(|text| text.starts_with("dockerops."))) {
        let what = "labels that begin with `dockerops.` say what DockerOps deployed; choose another name";
        problems.add(key.line, path, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_form() {
        for (text, value) in [
            ("15000", 15_000),
            ("15_000", 15_000),
            ("0x3a98", 15_000),
            ("035230", 15_000),
            ("0", 0),
            ("+7", 7),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert_eq!(number("x"), None);
    }
}
