//! Images that DockerOps built are run by their digest: of a moved tag no service would know.

use std::collections::BTreeMap;
use std::rc::Rc;

use md5::{Digest, Md5};

use super::RenderedStack;
use super::labels::{child, literal};
use crate::hash::hex;
use crate::image::ImageRef;
use crate::yaml::Node;

/// `rendered` with the services that use an image of `references` on what that stands for.
pub fn pin(rendered: &RenderedStack, references: &BTreeMap<ImageRef, ImageRef>) -> RenderedStack {
    let mut pinned = rendered.clone();
    let mut hash = Md5::new();
    hash.update(rendered.fingerprint.as_bytes());
    for service in &mut pinned.services {
        let Some(reference) = service.image.as_ref().and_then(|image| references.get(image)) else {
            continue;
        };
        let text = reference.to_string();
        hash.update(format!("\n{} {text}", service.name).as_bytes());
        let image = child(child(child(&mut pinned.tree, "services"), &service.name), "image");
        *image = Node::string(literal(&text));
        service.image = Some(reference.clone());
    }
    if !Rc::ptr_eq(&pinned.tree, &rendered.tree) {
        pinned.fingerprint = hex(hash);
    }
    pinned
}
