//! What docker should create, by our tree alone: never by the text that docker is given.
//!
//! A translation of compose to Swarm of its own, after docker/cli `cli/compose/convert`. It says exactly what
//! runs, under which name, with which bytes, mounts, variables and labels; the rest is compared as texts.

mod service;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ours::{Ours, REPOSITORY, STACK};
use super::place::Fixture;
use super::tree::Tree;
use text::Text;

/// What a part of a request must be.
#[derive(Debug, Clone)]
pub enum Want {
    Text(Text),
    /// This image, which docker may call `:latest`.
    Image(Text),
    /// These texts, in this order.
    List(Vec<Text>),
    /// This text, split into words as a shell would.
    Split(String),
    /// These names and texts, and no more.
    Map(BTreeMap<String, Text>),
    /// Likewise as `NAME=text`, or `NAME` alone.
    Environment(BTreeMap<String, Option<Text>>),
    Number(Text),
    /// This; what is empty may be missing.
    Json(Value),
    /// These, in any order, as far as they name fields.
    Bag(Vec<Value>, &'static [&'static str]),
    /// Nothing is said of it.
    Anything,
}

/// Where in the request → what must be there.
pub type Object = BTreeMap<String, Want>;

/// All that a case should make docker create.
#[derive(Debug, Clone)]
pub struct Expected {
    /// (`services`, name) and so on.
    pub objects: BTreeMap<(&'static str, String), Object>,
    /// Every text of the tree: what any other text in a request must come from.
    pub texts: BTreeSet<String>,
}

/// What `ours` should make.
pub fn expected(fixture: &Fixture, ours: &Ours, inherited: &BTreeMap<String, String>) -> Expected {
    let mut objects = BTreeMap::new();
    for kind in ["configs", "secrets"] {
        for (key, entry) in ours.tree.section(kind) {
            if is_external(entry) {
                continue;
            }
            let name = payload_name(ours, kind, &key, entry);
            objects.insert((kind, name), payload(fixture, ours, kind, &key, entry));
        }
    }
    let networks = ours.tree.section("networks");
    let nothing = Tree::Map(Vec::new());
    let mut used = BTreeSet::new();
    for (key, service) in ours.tree.section("services") {
        used.extend(service::networks(service));
        objects.insert(("services", scope(&key)), service::service(fixture, ours, inherited, &key, service));
    }
    for key in used {
        let entry = networks.get(&key).copied().unwrap_or(&nothing);
        if !is_external(entry) {
            objects.insert(("networks", named(&key, entry)), network(entry));
        }
    }
    let mut texts = Vec::new();
    ours.tree.texts(&mut texts);
    Expected { objects, texts: texts.into_iter().map(str::to_owned).collect() }
}

/// docker's name of a part of the stack.
pub fn scope(key: &str) -> String {
    format!("{STACK}_{key}")
}

/// Whether it is somebody else's.
pub fn is_external(entry: &Tree) -> bool {
    entry.get("external").is_some_and(|external| external.is_true() || matches!(external, Tree::Map(_)))
}

/// docker's name of a network or volume.
pub fn named(key: &str, entry: &Tree) -> String {
    let text =
        |tree: &Tree, key: &str| Some(tree.get(key)?.text()?.to_owned()).filter(|text| !text.is_empty());
    let external = is_external(entry).then(|| {
        entry.get("external").and_then(|external| text(external, "name")).or_else(|| text(entry, "name"))
    });
    match external {
        Some(name) => name.unwrap_or_else(|| key.to_owned()),
        None => text(entry, "name").unwrap_or_else(|| scope(key)),
    }
}

/// docker's name of a config or secret: what rotates has its content's.
pub fn payload_name(ours: &Ours, kind: &str, key: &str, entry: &Tree) -> String {
    ours.rotated.get(&format!("{kind}.{key}")).cloned().unwrap_or_else(|| named(key, entry))
}

fn payload(fixture: &Fixture, ours: &Ours, kind: &str, key: &str, entry: &Tree) -> Object {
    let mut labels = text::map(entry.get("labels"));
    labels.insert("com.docker.stack.namespace".into(), Text::exact(STACK));
    let rotates = ours.rotated.contains_key(&format!("{kind}.{key}"));
    if rotates {
        labels.insert("dockerops.repository".into(), Text::exact(REPOSITORY));
    }
    let file = entry.get("file").and_then(Tree::text).and_then(|path| fixture.read(path));
    let data = match (entry.get("driver").and_then(Tree::text), file) {
        (None | Some(""), Some(bytes)) => json!(STANDARD.encode(bytes)),
        _ => Value::Null,
    };
    let templating = entry.get("template_driver").and_then(Tree::text).unwrap_or_default();
    let driver = entry.get("driver").and_then(Tree::text).unwrap_or_default();
    BTreeMap::from([
        ("/Labels".into(), Want::Map(labels)),
        ("/Data".into(), Want::Json(data)),
        ("/Templating/Name".into(), Want::Json(json!(templating))),
        (
            "/Driver/Name".into(),
            if kind == "secrets" { Want::Json(json!(driver)) } else { Want::Json(Value::Null) },
        ),
    ])
}

fn network(entry: &Tree) -> Object {
    let mut labels = text::map(entry.get("labels"));
    labels.insert("com.docker.stack.namespace".into(), Text::exact(STACK));
    let driver = entry.get("driver").map_or_else(|| Text::exact("overlay"), Text::of);
    let is = |key: &str| Want::Json(json!(entry.get(key).is_some_and(Tree::is_true)));
    BTreeMap::from([
        ("/Labels".into(), Want::Map(labels)),
        ("/Driver".into(), if driver.text.is_empty() { Want::Anything } else { Want::Text(driver) }),
        ("/Options".into(), Want::Map(text::map(entry.get("driver_opts")))),
        ("/Internal".into(), is("internal")),
        ("/Attachable".into(), is("attachable")),
    ])
}
