//! Ownership: who put a service there, from which commit, and what it was made of.
//!
//! Service labels, never the task template: a commit that leaves a service alone restarts nothing.

use std::rc::Rc;

use crate::source::SourceId;
use crate::yaml::{Kind, Node};

/// The source's identity.
pub const REPOSITORY: &str = "dockerops.repository";
/// The commit that was deployed.
pub const COMMIT: &str = "dockerops.commit";
/// The stack's fingerprint.
pub const FINGERPRINT: &str = "dockerops.fingerprint";

/// What the labels say besides the fingerprint.
#[derive(Debug, Clone)]
pub struct Ownership {
    /// The source's identity, in full.
    pub repository: SourceId,
    /// The commit, 40 letters.
    pub commit: String,
}

/// `tree` with the labels on every service. Nodes shared by an alias are edited for the service alone.
pub fn label(tree: &Rc<Node>, ownership: &Ownership, fingerprint: &str) -> Rc<Node> {
    let labels = [
        (REPOSITORY, ownership.repository.as_str()),
        (COMMIT, &*ownership.commit),
        (FINGERPRINT, fingerprint),
    ];
    let mut tree = Rc::clone(tree);
    let services = child(&mut tree, "services");
    for (key, _) in services.merged_pairs() {
        let Some(name) = key.text() else { continue };
        add(child(child(child(services, name), "deploy"), "labels"), &labels);
    }
    tree
}

/// Adds `labels` to a list or mapping of labels.
pub(super) fn add(target: &mut Rc<Node>, labels: &[(&str, &str)]) {
    match &mut Rc::make_mut(target).kind {
        Kind::Sequence(items) => {
            items.extend(labels.iter().map(|(label, value)| Node::string(format!("{label}={value}"))));
        }
        Kind::Mapping(pairs) => {
            pairs.extend(labels.iter().map(|(label, value)| (Node::string(*label), Node::string(*value))));
        }
        Kind::Scalar { .. } => {} // neither null nor a collection: docker refuses the file in its own words
    }
}

/// The value of `key` in `node`, to be edited: a merged one becomes the node's own, a missing or empty
/// one an empty mapping.
pub(super) fn child<'a>(node: &'a mut Rc<Node>, key: &str) -> &'a mut Rc<Node> {
    let inherited = node.get(key);
    let node = Rc::make_mut(node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        node.kind = Kind::Mapping(Vec::new());
    }
    let Kind::Mapping(pairs) = &mut node.kind else { unreachable!("it was just made a mapping") };
    let at = pairs.iter().position(|(known, _)| known.text() == Some(key)).unwrap_or_else(|| {
        let value = inherited.unwrap_or_else(|| Node::mapping(Vec::new()));
        pairs.push((Node::string(key), value));
        pairs.len() - 1
    });
    let value = &mut pairs[at].1;
    if value.is_null() {
        *value = Node::mapping(Vec::new());
    }
    value
}
