//! Swarm secrets as variables: a script in front of a service's own command exports them.
//!
//! In: `secrets.yaml` beside the compose file, the compose file with its variables replaced. Out: what is
//! added to the text, the scripts that must lie in the Swarm as configs, the secrets that must exist. The
//! image's part of a command is asked of the caller (`complete`). It handles names only, never a value.

mod command;
mod declared;
mod inject;
mod script;
mod targets;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Result, bail};

use super::Service;
use crate::hash::Key;
use crate::image::{ImageCommand, ImageRef};
use crate::problem::Collector;
use crate::stack::StackName;
use crate::yaml::Node;
use command::Command;

pub use declared::{Entry, read};

/// A script that a service is started by: a Swarm config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The config's name; it holds a hash of the text.
    pub name: String,
    /// What it does.
    pub text: String,
}

/// What one service gets.
#[derive(Debug, Clone)]
struct Injection {
    service: String,
    image: Option<String>,
    /// Top-level keys of secrets that the service does not declare itself.
    mounts: Vec<String>,
    script: Script,
    command: Command,
}

/// What a stack gets.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    injections: Vec<Injection>,
    /// Keys that the author's file does not have at its top level.
    keys: BTreeSet<String>,
    /// Swarm's names of the secrets that must exist.
    needed: BTreeSet<String>,
}

/// Works out what the `entries` of `secrets.yaml` mean for the interpolated compose file.
pub fn plan(
    name: &StackName,
    entries: &[Entry],
    effective: &Node,
    services: &[Service],
    installation: &Key,
    problems: &mut Collector,
) -> Plan {
    let mut plan = Plan::default();
    let known = targets::Known::of(effective);
    for service in services {
        let wanted: Vec<_> = entries.iter().filter(|entry| entry.is_for(&service.name)).collect();
        let Some(node) = effective.get("services").and_then(|all| all.get(&service.name)) else { continue };
        if wanted.is_empty() {
            continue;
        }
        let declared = targets::declared(&node, &service.name, problems);
        let (mut variables, mut mounts) = (Vec::new(), Vec::new());
        for entry in wanted {
            let secret = known.find(&entry.secret);
            let target = declared.get(&secret.key).cloned().unwrap_or_else(|| {
                if !mounts.contains(&secret.key) {
                    mounts.push(secret.key.clone());
                }
                targets::path(&secret.key)
            });
            if !secret.at_top_level {
                plan.keys.insert(secret.key);
            }
            plan.needed.extend(secret.swarm_name);
            variables.push((entry.env.clone(), target));
        }
        let command = Command::of(&node, &service.name, problems);
        let image = service.image.as_ref().map(ToString::to_string);
        let script = script::script(name, &variables, installation);
        plan.injections.push(Injection { service: service.name.clone(), image, mounts, script, command });
    }
    plan
}

impl Plan {
    /// The secrets that must exist in the Swarm before the stack can be deployed.
    pub fn needed(&self) -> &BTreeSet<String> {
        &self.needed
    }

    /// The scripts, each once.
    pub fn scripts(&self) -> Vec<&Script> {
        let by_name: BTreeMap<_, _> =
            self.injections.iter().map(|one| (&one.script.name, &one.script)).collect();
        by_name.into_values().collect()
    }

    /// The images whose command and shell must be known.
    pub fn images(&self) -> BTreeSet<&str> {
        self.injections.iter().filter_map(|one| one.image.as_deref()).collect()
    }

    /// From now on the command of `service` is read from this image.
    pub fn pin(&mut self, service: &str, image: &ImageRef) {
        for injection in self.injections.iter_mut().filter(|one| one.service == service) {
            injection.image = Some(image.to_string());
        }
    }

    /// Whether `service` mounts the config or secret `name` for `secrets.yaml` alone.
    pub fn brings(&self, service: &str, name: &str) -> bool {
        let of_it = self.injections.iter().filter(|one| one.service == service);
        of_it.into_iter().any(|one| one.script.name == name || one.mounts.iter().any(|mount| mount == name))
    }

    /// `tree` with the secrets and scripts, the commands as they were.
    pub fn inject(&self, tree: Rc<Node>) -> Rc<Node> {
        inject::files(tree, self)
    }

    /// `tree` with every such service started by its script, which runs what the service ran before.
    pub fn complete(&self, tree: Rc<Node>, images: &BTreeMap<String, ImageCommand>) -> Result<Rc<Node>> {
        Ok(inject::commands(tree, &self.commands(images)?))
    }

    /// What each such service ran before; `images` must know the images of all.
    fn commands(&self, images: &BTreeMap<String, ImageCommand>) -> Result<Vec<(&str, Vec<String>)>> {
        self.injections
            .iter()
            .map(|injection| Ok((injection.service.as_str(), injection.words(images)?)))
            .collect()
    }

    /// The words that the script of `service` gets, and the image they are read from; `None` where nothing
    /// is injected.
    pub fn command_of(
        &self,
        service: &str,
        images: &BTreeMap<String, ImageCommand>,
    ) -> Option<Result<Vec<String>>> {
        let injection = self.injections.iter().find(|injection| injection.service == service)?;
        Some(injection.words(images))
    }
}

impl Injection {
    fn words(&self, images: &BTreeMap<String, ImageCommand>) -> Result<Vec<String>> {
        let Self { service, image, command, .. } = self;
        let Some((name, image)) = image.as_ref().and_then(|name| Some((name, images.get(name)?))) else {
            bail!("service `{service}` has no `image` to read a command from");
        };
        if !image.has_shell {
            bail!(
                "service `{service}`: `{name}` has no `/bin/sh`, which secrets as variables take; let the program \
                 read `/run/secrets` instead, and leave the service out by `services` in `secrets.yaml`"
            );
        }
        let words = command.with_image(image);
        if words.is_empty() {
            bail!(
                "service `{service}`: neither the compose file nor `{name}` has an entrypoint or a command"
            );
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests;
