//! The folders of a commit, as git would have written them, or not at all.
//!
//! Readers look for a name in different ways: git and libgit2 rely on the order of a folder's entries, whoever writes files
//! takes one after the other. A folder in another order, or with a name twice, would mean something else to each.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use git2::{ObjectType, Oid, Repository, Tree};

use crate::fault::fault;

/// So many entries are remembered in all; who needs more reads some folders again.
const MOST: usize = 200_000;

const BY_NO_GIT: &str = "`git fsck` tells which commit is damaged; git itself writes no such folder";

/// An entry of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub id: Oid,
    pub mode: i32,
    pub kind: Option<ObjectType>,
}

pub(super) type Names = HashMap<Box<[u8]>, Entry>;

/// The folders that were looked into, by their ids.
#[derive(Debug, Default)]
pub(super) struct Listings {
    known: HashMap<Oid, Arc<Names>>,
    entries: usize,
}

impl Listings {
    /// The folder `id`, read once however many paths lead through it.
    pub(super) fn of(&mut self, repository: &Repository, id: Oid) -> Result<Arc<Names>> {
        if let Some(known) = self.known.get(&id) {
            return Ok(Arc::clone(known));
        }
        let tree = checked(repository, id)?;
        let entry = |entry: git2::TreeEntry<'_>| {
            let found = Entry { id: entry.id(), mode: entry.filemode(), kind: entry.kind() };
            (entry.name_bytes().into(), found)
        };
        let names: Arc<Names> = Arc::new(tree.iter().map(entry).collect());
        if self.entries + names.len() > MOST {
            *self = Self::default();
        }
        self.entries += names.len();
        self.known.insert(id, Arc::clone(&names));
        Ok(names)
    }
}

/// The folder `id`; an error where git would not have written it so.
pub(super) fn checked(repository: &Repository, id: Oid) -> Result<Tree<'_>> {
    let tree = repository.find_tree(id)?;
    check(&tree).with_context(|| format!("folder `{id}`"))?;
    Ok(tree)
}

fn check(tree: &Tree<'_>) -> Result<()> {
    let (mut before, mut seen): (Vec<u8>, _) = (Vec::new(), HashSet::new());
    for entry in tree {
        let name = entry.name_bytes();
        let shown = || Path::new(OsStr::from_bytes(name)).display().to_string().escape_debug().to_string();
        if !is_plain(name) {
            return Err(fault(format!("`{}` is no name of a file", shown()), BY_NO_GIT));
        }
        let mut key = name.to_vec();
        if entry.kind() == Some(ObjectType::Tree) {
            key.push(b'/');
        }
        if before >= key || !seen.insert(name.to_vec()) {
            return Err(fault(format!("`{}` stands twice in it, or not in git's order", shown()), BY_NO_GIT));
        }
        before = key;
    }
    Ok(())
}

/// Neither a step elsewhere nor git's own folder, as a file system without case may read it.
pub(super) fn is_plain(name: &[u8]) -> bool {
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.eq_ignore_ascii_case(b".git")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn hostile_names_are_none() {
        for name in ["", ".", "..", ".git", ".GIT", "a/b", "a\0"] {
            assert!(!is_plain(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", "...", "a b", "é"] {
            assert!(is_plain(name.as_bytes()), "{name:?}");
        }
    }
}
