//! Whether docker will probably take a file: a rough copy of its schema.
//!
//! It decides nothing but costs: what docker probably refuses is not put into one batch with others, and most
//! mutations keep a file plausible, for a file that is refused teaches little.

use std::collections::BTreeMap;

use super::expect::text::numbers;
use super::tree::Tree;

const VERSIONS: [&str; 10] = ["3", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8"];

/// What may stand at a key of a service.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    TextOrTexts,
    Pairs,
    Bool,
    Mapping,
    Any,
}

const SERVICE: [(&str, Kind); 42] = [
    ("image", Kind::Text),
    ("hostname", Kind::Text),
    ("user", Kind::Text),
    ("working_dir", Kind::Text),
    ("stop_signal", Kind::Text),
    ("stop_grace_period", Kind::Text),
    ("restart", Kind::Text),
    ("container_name", Kind::Text),
    ("network_mode", Kind::Text),
    ("isolation", Kind::Text),
    ("pid", Kind::Text),
    ("ipc", Kind::Text),
    ("domainname", Kind::Text),
    ("mac_address", Kind::Text),
    ("command", Kind::TextOrTexts),
    ("entrypoint", Kind::TextOrTexts),
    ("env_file", Kind::TextOrTexts),
    ("dns", Kind::TextOrTexts),
    ("dns_search", Kind::TextOrTexts),
    ("tmpfs", Kind::TextOrTexts),
    ("environment", Kind::Pairs),
    ("labels", Kind::Pairs),
    ("sysctls", Kind::Pairs),
    ("extra_hosts", Kind::Pairs),
    ("cap_add", Kind::Texts),
    ("cap_drop", Kind::Texts),
    ("depends_on", Kind::Texts),
    ("devices", Kind::Texts),
    ("external_links", Kind::Texts),
    ("links", Kind::Texts),
    ("security_opt", Kind::Texts),
    ("tty", Kind::Bool),
    ("stdin_open", Kind::Bool),
    ("read_only", Kind::Bool),
    ("privileged", Kind::Bool),
    ("init", Kind::Bool),
    ("logging", Kind::Mapping),
    ("deploy", Kind::Mapping),
    ("healthcheck", Kind::Mapping),
    ("ulimits", Kind::Mapping),
    ("credential_spec", Kind::Mapping),
    ("build", Kind::Any),
];

/// Those that refer to entries of sections, and `ports` and the like, are looked at below.
const LISTS: [&str; 7] = ["configs", "secrets", "networks", "volumes", "ports", "expose", "userns_mode"];

/// Those with mappings below them whose keys docker knows.
const NESTED: [&str; 8] =
    ["deploy", "logging", "healthcheck", "credential_spec", "configs", "secrets", "ports", "volumes"];

/// Keys with a number, with a time, with a text, or with what is looked at by itself.
const BELOW: [(&str, &[&str]); 4] = [
    (
        "number",
        &[
            "replicas",
            "retries",
            "published",
            "parallelism",
            "max_attempts",
            "max_replicas_per_node",
            "size",
            "value",
        ],
    ),
    ("time", &["interval", "timeout", "start_period", "delay", "monitor", "window"]),
    (
        "text",
        &[
            "source",
            "uid",
            "gid",
            "protocol",
            "endpoint_mode",
            "driver",
            "condition",
            "order",
            "failure_action",
            "type",
            "propagation",
            "file",
            "registry",
            "config",
            "spread",
            "kind",
            "cpus",
            "memory",
            "consistency",
        ],
    ),
    (
        "any",
        &[
            "labels",
            "options",
            "target",
            "mode",
            "test",
            "disable",
            "read_only",
            "nocopy",
            "volume",
            "bind",
            "tmpfs",
            "resources",
            "limits",
            "reservations",
            "generic_resources",
            "discrete_resource_spec",
            "restart_policy",
            "update_config",
            "rollback_config",
            "placement",
            "constraints",
            "preferences",
            "max_failure_ratio",
            "pids",
        ],
    ),
];

/// Whether all keys are known there, and hold what they should.
fn is_known_below(tree: &Tree) -> bool {
    tree.items().iter().all(is_known_below)
        && tree.pairs().iter().all(|(key, value)| {
            let Some(key) = key.text() else { return false };
            let kind = BELOW.iter().find(|(_, keys)| keys.contains(&key)).map(|(kind, _)| *kind);
            let text = value.text().unwrap_or_default();
            match kind {
                _ if text.contains('$') && kind.is_some() => true,
                Some("number") => {
                    matches!(value, Tree::Scalar { plain: true, .. }) && !numbers(text).is_empty()
                }
                Some("time") => {
                    is_text(value)
                        && text.ends_with(['s', 'm', 'h'])
                        && text.starts_with(|digit: char| digit.is_ascii_digit())
                }
                Some("text") => is_text(value),
                Some(_) if ["labels", "options"].contains(&key) => is_pairs(value),
                Some(_) if key == "read_only" => is_bool(value),
                Some(_) => is_known_below(value),
                None => key.starts_with("x-"),
            }
        })
}

/// Whether docker probably takes it.
pub fn is_plausible(tree: &Tree) -> bool {
    let known = ["version", "services", "networks", "volumes", "secrets", "configs"];
    let version = tree.pairs().iter().find(|(key, _)| key.text() == Some("version"));
    version.is_none_or(|(_, version)| {
        is_text(version) && version.text().is_some_and(|text| VERSIONS.contains(&text))
    }) && tree.pairs().iter().all(|(key, _)| {
        key.text().is_some_and(|text| is_text(key) && (known.contains(&text) || text.starts_with("x-")))
    }) && is_unique(tree)
        && !tree.section("services").is_empty()
        && ["services", "configs", "secrets", "networks", "volumes"].iter().all(|section| {
            let Some((_, section)) = tree.pairs().iter().find(|(key, _)| key.text() == Some(section)) else {
                return true;
            };
            matches!(section, Tree::Map(_)) && section.pairs().iter().all(|(key, _)| is_name(key))
        })
        && tree.section("services").values().all(|service| is_service(tree, service))
        && ["configs", "secrets", "networks", "volumes"]
            .iter()
            .all(|kind| tree.section(kind).values().all(|entry| is_entry(kind, entry)))
}

/// Whether no key stands twice in one mapping, nor is anything but a scalar.
fn is_unique(tree: &Tree) -> bool {
    let mut keys: Vec<_> = tree.pairs().iter().map(|(key, _)| key.text()).collect();
    keys.sort_unstable();
    keys.first() != Some(&None)
        && keys.windows(2).all(|pair| pair[0] != pair[1])
        && tree.items().iter().all(is_unique)
        && tree.pairs().iter().all(|(_, value)| is_unique(value))
}

/// A scalar that every reader takes for a text.
fn is_text(tree: &Tree) -> bool {
    let Tree::Scalar { text, plain } = tree else { return false };
    let is_date = text.len() >= 8
        && text.starts_with(|letter: char| letter.is_ascii_digit())
        && text.matches('-').count() >= 2;
    !plain || text.contains('$') || !(tree.is_null() || is_bool(tree) || is_date || !numbers(text).is_empty())
}

fn is_bool(tree: &Tree) -> bool {
    let Tree::Scalar { text, plain: true } = tree else { return false };
    ["true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
}

fn is_name(tree: &Tree) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    is_text(tree) && tree.text().is_some_and(|text| !text.is_empty() && text.chars().all(letters))
}

fn is_pairs(tree: &Tree) -> bool {
    match tree {
        Tree::List(items) => items.iter().all(is_text),
        Tree::Map(pairs) => pairs.iter().all(|(key, value)| {
            key.text().is_some_and(|text| !text.is_empty())
                && is_text(key)
                && value.text().is_some()
                && !is_bool(value)
        }),
        Tree::Scalar { .. } => false,
    }
}

fn is_service(tree: &Tree, service: &Tree) -> bool {
    let kinds = BTreeMap::from(SERVICE);
    let is_of = |kind: Kind, value: &Tree| match kind {
        Kind::Text => is_text(value),
        Kind::Texts => matches!(value, Tree::List(items) if items.iter().all(is_text)),
        Kind::TextOrTexts => {
            is_text(value) || (!value.items().is_empty() && value.items().iter().all(is_text))
        }
        Kind::Pairs => is_pairs(value),
        Kind::Bool => is_bool(value) || value.text().is_some_and(|text| text.contains('$')),
        Kind::Mapping => matches!(value, Tree::Map(_)),
        Kind::Any => true,
    };
    let is_image = |text: &str| {
        let sign = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "/:.-_@".contains(letter)
        };
        text.contains('$')
            || (text.starts_with(|letter: char| letter.is_ascii_lowercase()) && text.chars().all(sign))
    };
    service.get("image").and_then(Tree::text).is_some_and(is_image)
        && NESTED.iter().filter_map(|key| service.get(key)).all(is_known_below)
        && service.pairs().iter().all(|(key, value)| {
            let Some(key) = key.text().filter(|_| is_text(key)) else { return false };
            match kinds.get(key) {
                Some(kind) => is_of(*kind, value),
                None if LISTS[..4].contains(&key) => are_references(tree, key, value),
                None => LISTS.contains(&key) || key.starts_with("x-"),
            }
        })
}

fn are_references(tree: &Tree, kind: &str, value: &Tree) -> bool {
    let known = tree.section(kind);
    let is_known = |name: &str| {
        known.contains_key(name) || name.contains('$') || (kind == "networks" && name == "default")
    };
    let is_reference = |item: &Tree| match item {
        _ if kind == "volumes" => {
            let spec = item.text();
            let source = match spec {
                Some(spec) if !spec.contains(':') => return !spec.is_empty(),
                Some(spec) => spec.split(':').next(),
                None => match item.get("source") {
                    Some(source) => source.text(),
                    None => return true,
                },
            };
            source.is_some_and(|name| is_known(name) || name.starts_with('/'))
        }
        Tree::Scalar { text, .. } => is_known(text),
        other => other.get("source").and_then(Tree::text).is_some_and(is_known),
    };
    match value {
        Tree::List(items) => items.iter().all(is_reference),
        Tree::Map(pairs) if kind == "networks" => {
            pairs.iter().all(|(key, _)| key.text().is_some_and(is_known))
        }
        _ => false,
    }
}

fn is_entry(kind: &str, entry: &Tree) -> bool {
    let known = match kind {
        "configs" | "secrets" => {
            ["name", "file", "external", "labels", "template_driver", "driver", "driver_opts"]
        }
        _ => ["name", "driver", "external", "labels", "driver_opts", "internal", "attachable"],
    };
    let is_known = |key: &Tree| {
        key.text().is_some_and(|text| {
            known.contains(&text) || text.starts_with("x-") || (kind == "networks" && text == "ipam")
        })
    };
    let is_stored = ["configs", "secrets"].contains(&kind);
    (entry.is_null() && !is_stored)
        || matches!(entry, Tree::Map(pairs) if pairs.iter().all(|(key, value)| is_known(key) && !value.is_null()))
            && entry.get("labels").is_none_or(is_pairs)
            && entry.get("name").is_none_or(is_text)
            && entry.get("file").is_none_or(is_text)
            && (!is_stored || ["file", "external", "driver"].iter().any(|key| entry.get(key).is_some()))
}
