//! Images that services run by digest, whatever their tags name by now: those that were built here, and those of a
//! version that a stack goes back to.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::labels::child;
use super::{RenderedStack, Service};
use crate::image::ImageRef;
use crate::yaml::Node;

/// `rendered` with the services that use an image of `references` on what that stands for.
pub fn pin(rendered: &RenderedStack, references: &BTreeMap<ImageRef, ImageRef>) -> RenderedStack {
    each(rendered, |service| references.get(service.image.as_ref()?))
}

/// `rendered` with each service on its image of `images`, by its own name.
pub fn pin_services(rendered: &RenderedStack, images: &BTreeMap<String, ImageRef>) -> RenderedStack {
    each(rendered, |service| images.get(&service.name))
}

fn each<'a>(rendered: &RenderedStack, reference: impl Fn(&Service) -> Option<&'a ImageRef>) -> RenderedStack {
    let mut pinned = rendered.clone();
    for service in &mut pinned.services {
        let Some(reference) = reference(service).filter(|image| service.image.as_ref() != Some(*image))
        else {
            continue;
        };
        let name = &service.name;
        let image = |tree: &Rc<Node>| tree.get("services")?.get(name)?.get("image");
        let shown = pinned.shown.iter_mut().filter(|tree| image(tree).is_some());
        for tree in shown.chain([&mut pinned.tree]) {
            *child(child(child(tree, "services"), name), "image") = Node::string(reference.to_string());
        }
        pinned.secrets.pin(name, reference);
        service.image = Some(reference.clone());
    }
    if !Rc::ptr_eq(&pinned.tree, &rendered.tree) {
        pinned.fingerprint = super::fingerprint(&pinned.tree, &pinned.installation);
    }
    pinned
}
