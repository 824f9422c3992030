//! The tree with what services need to get their secrets as variables.

use std::rc::Rc;

use super::{Plan, script};
use crate::compose::labels::child;
use crate::yaml::{Kind, Node};

/// Secrets and scripts, at the top level and in the services.
pub fn files(mut tree: Rc<Node>, plan: &Plan) -> Rc<Node> {
    let external = || Node::mapping(vec![(Node::string("external"), Node::plain("true"))]);
    for key in &plan.keys {
        *child(child(&mut tree, "secrets"), key) = external();
    }
    for script in plan.scripts() {
        *child(child(&mut tree, "configs"), &script.name) = external();
    }
    for injection in &plan.injections {
        let service = child(child(&mut tree, "services"), &injection.service);
        for key in &injection.mounts {
            add(child(service, "secrets"), Node::string(key));
        }
        let config = [
            ("source", Node::string(&injection.script.name)),
            ("target", Node::string(script::PATH)),
            // Any user of the image must read it.
            ("mode", Node::plain("0555")),
        ];
        let config = config.into_iter().map(|(key, value)| (Node::string(key), value)).collect();
        add(child(service, "configs"), Node::mapping(config));
    }
    tree
}

/// Each service started by its script, with `words` behind it.
pub fn commands(mut tree: Rc<Node>, commands: &[(&str, Vec<String>)]) -> Rc<Node> {
    for (name, words) in commands {
        let service = child(child(&mut tree, "services"), name);
        // By the shell's name: a mount may forbid to execute, and an image may lack the `#!` interpreter's path.
        *child(service, "entrypoint") = list(["/bin/sh", script::PATH].map(str::to_owned).as_slice());
        *child(service, "command") = list(words);
    }
    tree
}

fn list(words: &[String]) -> Rc<Node> {
    let words = words.iter().map(Node::string).collect();
    Rc::new(Node { line: 0, tag: None, kind: Kind::Sequence(words) })
}

fn add(node: &mut Rc<Node>, item: Rc<Node>) {
    let node = Rc::make_mut(node);
    match &mut node.kind {
        Kind::Sequence(items) => items.push(item),
        // It was missing, or null.
        kind => *kind = Kind::Sequence(vec![item]),
    }
}
