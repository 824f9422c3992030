//! Images on this node, their way here and away, and onto a running service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use serde_json::Value;

use super::{Docker, command, failed, refused, words};
use crate::image::ImageRef;
use crate::process;
use crate::signal;

/// The images of this node by familiar name, `app:1` and `app@sha256:…`, with their ids.
#[derive(Debug, Default)]
pub struct NodeImages(BTreeMap<String, String>);

impl NodeImages {
    /// These, with their ids.
    #[cfg(test)]
    pub fn known(images: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(images.into_iter().collect())
    }

    /// Whether it is here under exactly this name.
    pub fn has(&self, image: &ImageRef) -> bool {
        self.0.contains_key(&image.to_string())
    }

    /// The id of what `name` stands for here.
    pub fn id(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

/// What came of removing an image from this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageRemoval {
    Removed,
    /// It was not on this node.
    NotHere,
    /// It stays, and docker's reason.
    Kept(String),
}

/// A service that is to run what its tag names now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// Its full name.
    pub service: String,
    /// Its image, with tag and the new digest.
    pub image: ImageRef,
}

impl Docker {
    /// What is on this node: one call.
    pub fn node_images(&self) -> Result<NodeImages> {
        let output = self.ask(&command::image_ls())?;
        let mut images = BTreeMap::new();
        for line in output.stdout.lines() {
            if let [tagged, digested, id] = line.split_whitespace().collect::<Vec<_>>()[..] {
                let named = [tagged, digested].into_iter().filter(|name| !name.contains("<none>"));
                images.extend(named.map(|name| (name.to_owned(), id.to_owned())));
            }
        }
        Ok(NodeImages(images))
    }

    /// The ids of the containers of this node, running or not: one call.
    pub fn containers(&self) -> Result<BTreeSet<String>> {
        let listed = self.ask(&command::container_ls())?.stdout;
        Ok(listed.split_whitespace().map(str::to_owned).collect())
    }

    /// The ids of the images that `containers` were made from: one call.
    pub fn images_of(&self, containers: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        if containers.is_empty() {
            return Ok(BTreeSet::new());
        }
        let ids: Vec<_> = containers.iter().map(String::as_str).collect();
        // A container that went meanwhile makes docker fail, and print the rest all the same.
        let output = self.raw(&command::container_images(&ids), self.question, None, None)?;
        if !output.success && !super::some_are_gone(&output) {
            return Err(refused(&command::container_images(&ids), &output));
        }
        Ok(output.stdout.split_whitespace().map(str::to_owned).collect())
    }

    /// `docker image rm`, never forced.
    pub fn remove_image(&self, name: &str) -> Result<ImageRemoval> {
        let output = self.raw(&command::image_rm(name), self.action, None, None)?;
        Ok(match output.success {
            true => ImageRemoval::Removed,
            false if output.stderr.to_lowercase().contains("no such image") => ImageRemoval::NotHere,
            false => ImageRemoval::Kept(words(&output)),
        })
    }

    /// `docker pull`; `on_line` gets each line it prints. Ended at once when `stop` is set or a signal comes.
    pub fn pull_image(&self, image: &str, stop: &AtomicBool, on_line: &mut dyn FnMut(&str)) -> Result<()> {
        let call = self.call(&command::pull(image), self.action, None, None);
        let output = process::follow(&call, stop, on_line).map_err(|failure| failed(&call, failure))?;
        if output.success { Ok(()) } else { Err(refused(&call.arguments, &output)) }
    }

    /// Gives the service its new image, and `command` as arguments where there is one; it waits for nothing.
    pub fn roll(&self, roll: &Roll, command: Option<&[String]>) -> Result<()> {
        let call = command::service_update_image(&roll.service, &roll.image.to_string(), command);
        let output = self.raw(&call, self.action, None, None)?;
        if output.success { Ok(()) } else { Err(refused(&call, &output)) }
    }

    /// Lets docker forget which image the author wrote for a service: so the next deploy puts that one back.
    /// Otherwise docker keeps what runs where the author's image is the one it noted; told to ask its registry
    /// for all images, it would roll whatever other tag has moved. No task is touched.
    pub fn forget_image(&self, service: &str) -> Result<()> {
        let call = command::service_forget_image(service);
        let output = self.raw(&call, self.action, None, None)?;
        if output.success { Ok(()) } else { Err(refused(&call, &output)) }
    }

    /// Where docker keeps its data; `None` if it does not say.
    pub fn data_root(&self) -> Option<PathBuf> {
        let said = self.ask(&command::data_root()).ok()?.stdout;
        Some(PathBuf::from(said.trim())).filter(|folder| folder.is_absolute())
    }

    /// The registries that docker reaches without TLS, by name and by network; none if it does not say.
    pub fn insecure_registries(&self) -> Vec<String> {
        let said = self.ask(&command::registry_config()).map(|output| output.stdout).unwrap_or_default();
        let config: Value = serde_json::from_str(&said).unwrap_or_default();
        let networks = config["InsecureRegistryCIDRs"].as_array().into_iter().flatten();
        let networks = networks.filter_map(|network| network.as_str().map(str::to_owned));
        let names = config["IndexConfigs"].as_object().into_iter().flatten();
        let names = names.filter(|(_, index)| index["Secure"] == false).map(|(name, _)| name.clone());
        if signal::received().is_some() { Vec::new() } else { networks.chain(names).collect() }
    }
}
