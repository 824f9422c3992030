//! What `stacks.yaml` has to do with templates: a stack says which one it was made from, and none is deployed itself.

use std::fmt;
use std::path::Path;

use super::files::below;
use crate::paths::Root;

/// The folder beside `stacks.yaml` that holds them, each in a folder of its own.
pub const TEMPLATES: &str = "templates";

/// Longest name of one.
const MOST_LETTERS: usize = 63;

/// The template that a stack was made from, and git's id of its folder then: `wordpress@<40 digits>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub name: String,
    pub tree: String,
}

impl Origin {
    /// Reads `<template>@<tree id>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, tree) = text.split_once('@')?;
        let is_id = tree.len() == 40 && tree.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is_id && is_template_name(name)).then(|| Self { name: name.to_owned(), tree: tree.to_owned() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.tree)
    }
}

/// Whether a folder may be a template by its name: it stands in addresses as it is.
pub fn is_template_name(name: &str) -> bool {
    name.len() <= MOST_LETTERS
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether `path`, by its letters, is a template of the manifest in `dir`, or lies in one.
pub fn names_one(root: &Root, dir: &Path, path: &str) -> bool {
    lies_in(&root.path().join(below(root, dir, path)), &dir.join(TEMPLATES))
}

/// Whether the folder that `path` from `dir` leads to is one.
pub fn is_one(root: &Root, dir: &Path, path: &str) -> bool {
    let leads = |path| root.resolve(dir, path).ok();
    names_one(root, dir, path)
        || root.has(dir, TEMPLATES)
            && leads(path).zip(leads(TEMPLATES)).is_some_and(|(path, folder)| lies_in(&path, &folder))
}

fn lies_in(path: &Path, folder: &Path) -> bool {
    path.strip_prefix(folder).is_ok_and(|rest| rest != Path::new(""))
}
