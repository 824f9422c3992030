//! A stack held to the rules of its source.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Privileges, Rules, images, networks, placement, ports, power, volumes};
use crate::image::ImageRef;
use crate::stack::StackName;
use crate::yaml::Node;

/// Something that the rules do not let a stack do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// The line in what docker is given; 0 where it has none.
    pub line: usize,
    /// What it is, and which rule forbids it.
    pub what: String,
}

/// Gathers what is found of one part of a stack.
#[derive(Debug)]
pub struct Finder<'a> {
    rules: &'a Rules,
    /// The keys that lead to the part.
    at: Vec<String>,
    found: &'a mut Vec<Found>,
}

impl Finder<'_> {
    /// Notes something at `path` below the part, that the rule `rule` forbids.
    pub fn add(&mut self, path: &[&str], line: usize, rule: &str, what: &str) {
        let path = self.at.iter().cloned().chain(path.iter().map(|key| (*key).to_owned())).collect();
        self.found.push(Found { path, line, what: self.rules.forbids(rule, what) });
    }
}

/// What docker is given of a stack, and what of it is DockerOps' own.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub tree: &'a Node,
    /// Configs of these names are DockerOps' own.
    pub scripts: &'a BTreeSet<String>,
    /// Images that the source builds: it is known by digest what they are.
    pub built: &'a BTreeSet<ImageRef>,
}

impl Rules {
    /// Why a stack of that name may not be.
    pub fn check_name(&self, name: &StackName) -> Result<(), String> {
        match &self.stacks {
            Some(names) if !names.matches(name.as_str()) => {
                let what = format!("`{name}` is no name that its stacks may have ({names})");
                Err(self.forbids("stacks", &what))
            }
            _ => Ok(()),
        }
    }

    /// Why files may not be written to this path: what may be read alone may not.
    pub fn check_binding(&self, path: &Path) -> Result<(), String> {
        let shown = path.to_str().unwrap_or_default();
        let what = match (self.mounts.allow(shown, false), self.mounts.allow(shown, true)) {
            (Ok(()), _) => return Ok(()),
            (Err(_), Ok(())) => format!("`{shown}` may be read alone (`:ro`), and a binding is written"),
            (Err(what), Err(_)) => what,
        };
        Err(self.forbids("mounts", &what))
    }

    /// Why an image of that name may not be built.
    pub fn check_build(&self, image: &ImageRef) -> Result<(), String> {
        if self.no_builds {
            return Err(self.forbids("builds", "may not be built: nothing may"));
        }
        images::name(image, self).map_err(|what| self.forbids("images", &what))
    }

    /// Everything of a stack that may not be.
    pub fn check(&self, given: Given<'_>) -> Vec<Found> {
        let mut found = Vec::new();
        power::check(given.tree, self, &mut self.finder(&mut found, &[]));
        networks::check(given, self, &mut self.finder(&mut found, &[]));
        volumes::check_declared(given.tree, self, &mut self.finder(&mut found, &[]));
        let services = given.tree.get("services").map(|section| section.merged_pairs()).unwrap_or_default();
        for (key, service) in services {
            let finder = &mut self.finder(&mut found, &["services", key.text().unwrap_or_default()]);
            images::check(&service, key.line, self, given.built, finder);
            volumes::check(&service, self, finder);
            if let Some(allowed) = &self.ports {
                ports::check(&service, allowed, finder);
            }
            placement::check(&service, self, finder);
            if self.limits {
                power::limits(&service, key.line, finder);
            }
        }
        found
    }

    /// Networks that must be there by these very names before docker is asked for them.
    pub fn networks_to_find(&self, tree: &Node) -> Vec<String> {
        let is_held = self.privileges != Privileges::All || self.networks.is_some();
        if is_held { networks::id_like(tree) } else { Vec::new() }
    }

    fn finder<'a>(&'a self, found: &'a mut Vec<Found>, at: &[&str]) -> Finder<'a> {
        Finder { rules: self, at: at.iter().map(|key| (*key).to_owned()).collect(), found }
    }
}
