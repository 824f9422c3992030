//! Jobs of a stack: which services may be one, and the part of the text that docker gets for a step of a deploy.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::labels::{add, child};
use super::pin::pin_services;
use super::volumes::BINDINGS;
use super::{RenderedStack, Service};
use crate::image::ImageRef;
use crate::yaml::{Kind, Node};

/// Which run of a job a task belongs to. It is part of the task, so that Swarm runs a job once more whose text is as
/// it was; of no other service would that be wanted.
pub const RUN: &str = "dockerops.run";

impl RenderedStack {
    /// Why a service cannot be a job; `None` of one that may be.
    pub fn is_no_job(&self, service: &str) -> Option<String> {
        let Some(node) = self.tree.get("services").and_then(|services| services.get(service)) else {
            let names: Vec<_> = self.services.iter().map(|it| format!("`{}`", it.name)).collect();
            return Some(format!("is no service of its compose file, which has {}", names.join(", ")));
        };
        let text = |path: &[&str]| {
            let deploy = node.get("deploy");
            let found = path.iter().try_fold(deploy?, |node, key| node.get(key));
            found.and_then(|node| Some(node.text()?.to_owned()))
        };
        let mode = text(&["mode"]);
        if let Some(mode) = mode.as_deref().filter(|mode| mode.starts_with("global")) {
            return Some(format!(
                "has `deploy.mode: {mode}`: a job runs a number of times, and not once on each node that takes it"
            ));
        }
        let is_job = mode.as_deref() == Some("replicated-job");
        if !is_job && text(&["restart_policy", "condition"]).as_deref() != Some("none") {
            return Some(
                "does not end by itself: a job has `deploy.mode: replicated-job`, or \
                 `deploy.restart_policy.condition: none`"
                    .to_owned(),
            );
        }
        if text(&["replicas"]).as_deref() == Some("0") {
            return Some("has `replicas: 0`, and so never runs".to_owned());
        }
        // It ends early, as Swarm sees it.
        let goes_back = text(&["update_config", "failure_action"]).as_deref() == Some("rollback");
        (goes_back && !is_job).then(|| {
            "has `update_config.failure_action: rollback`: Swarm would go back to its version before as soon as it ends"
                .to_owned()
        })
    }

    /// Whether a service mounts bindings.
    pub fn mounts_bindings(&self, service: &str) -> bool {
        let services = self.tree.get("services");
        let labels = services.and_then(|services| services.get(service)?.get("labels"));
        let Some(labels) = labels else { return false };
        let of_list = |item: &Rc<Node>| {
            item.text().and_then(|text| text.split_once('=')).map(|(key, _)| key == BINDINGS)
        };
        match labels.items() {
            Some(items) => items.iter().any(|item| of_list(item) == Some(true)),
            None => labels.get(BINDINGS).is_some(),
        }
    }

    /// With these services alone. docker must be told that what else runs of it stays.
    pub fn part(&self, services: &BTreeSet<&str>) -> Self {
        let mut part = Self { is_part: true, ..self.clone() };
        part.services.retain(|service| services.contains(&*service.name));
        let kept = |(key, _): &(Rc<Node>, Rc<Node>)| key.text().is_some_and(|name| services.contains(name));
        let all = child(&mut part.tree, "services");
        let pairs = all.merged_pairs().into_iter().filter(kept).collect();
        Rc::make_mut(all).kind = Kind::Mapping(pairs);
        part
    }

    /// With these services, by full name, on the images that their tags named when the deploy began. It is the same version.
    pub fn by_digests(self, images: &BTreeMap<String, String>) -> Self {
        let image = |service: &Service| {
            let image = ImageRef::parse(images.get(&self.name.scope(&service.name))?).ok()?;
            Some((service.name.clone(), image))
        };
        let images: BTreeMap<_, _> = self.services.iter().filter_map(image).collect();
        let (fingerprint, is_part) = (self.fingerprint.clone(), self.is_part);
        Self { fingerprint, is_part, ..pin_services(&self, &images) }
    }

    /// With the name of its run on the tasks of a job.
    pub fn with_run(mut self, service: &str, run: &str) -> Self {
        let labels = child(child(child(&mut self.tree, "services"), service), "labels");
        add(labels, &[(RUN, run)]);
        self
    }

    /// Whether it is a part of the stack alone.
    pub fn is_part(&self) -> bool {
        self.is_part
    }
}
