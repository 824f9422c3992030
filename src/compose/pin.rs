//! Images that DockerOps built are run by their digest: of a moved tag no service would know.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::RenderedStack;
use super::labels::child;
use crate::image::ImageRef;
use crate::yaml::Node;

/// `rendered` with the services that use an image of `references` on what that stands for.
pub fn pin(rendered: &RenderedStack, references: &BTreeMap<ImageRef, ImageRef>) -> RenderedStack {
    let mut pinned = rendered.clone();
    for service in &mut pinned.services {
        let Some(reference) = service.image.as_ref().and_then(|image| references.get(image)) else {
            continue;
        };
        let name = &service.name;
        let image = |tree: &Rc<Node>| tree.get("services")?.get(name)?.get("image");
        let shown = pinned.shown.iter_mut().filter(|tree| image(tree).is_some());
        for tree in shown.chain([&mut pinned.tree]) {
            *child(child(child(tree, "services"), name), "image") = Node::string(reference.to_string());
        }
        service.image = Some(reference.clone());
    }
    if !Rc::ptr_eq(&pinned.tree, &rendered.tree) {
        pinned.fingerprint = super::fingerprint(&pinned.tree, &pinned.installation);
    }
    pinned
}
