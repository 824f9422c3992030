//! How large a folder of a commit is, before anything of it is written out.
//!
//! A tree that stands at a million paths is one object: 224 KB unpack to a million files. So each tree is counted
//! once, by its id, and of a file only the header is read.

use std::collections::HashMap;

use anyhow::{Context, Result};
use git2::{ObjectType, Oid, Tree};

use super::listing::checked;
use super::size::size;
use super::worker::alive;
use super::write::Objects;
use crate::budget::Count;
use crate::fault::fault;

/// Folders in folders: git's own limit for what it archives is of this size, and a path of more is longer than
/// Linux takes in most cases.
const DEEPEST: usize = 128;

/// What lies below a tree.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Size {
    entries: u64,
    bytes: u64,
    depth: usize,
}

/// Counts what `tree` would be on disk; fails where that is more than is left.
pub(super) fn count(objects: &Objects<'_>, tree: &Tree<'_>) -> Result<()> {
    let size = Counter { objects, known: HashMap::new(), has_bytes: true }.size(tree, 1)?;
    objects.budget.take(Count::Files, size.entries)?;
    objects.budget.take(Count::Bytes, size.bytes)?;
    Ok(())
}

/// Fails where `tree` has more entries than are left, or too deep ones, though none is written. No file is looked at.
pub(super) fn bound(objects: &Objects<'_>, tree: &Tree<'_>) -> Result<()> {
    Counter { objects, known: HashMap::new(), has_bytes: false }.size(tree, 1).map(drop)
}

struct Counter<'a> {
    objects: &'a Objects<'a>,
    known: HashMap<Oid, Size>,
    has_bytes: bool,
}

impl Counter<'_> {
    fn size(&mut self, tree: &Tree<'_>, depth: usize) -> Result<Size> {
        if depth > DEEPEST {
            return Err(too_deep());
        }
        let Objects { odb, budget, pulse, .. } = self.objects;
        alive(pulse)?;
        let mut all = Size { depth: 1, ..Size::default() };
        for entry in tree {
            let below = match entry.kind() {
                Some(ObjectType::Tree) => self.folder(entry.id(), depth)?,
                Some(ObjectType::Blob) if self.has_bytes => {
                    let bytes = size(odb, entry.id()).with_context(|| {
                        format!("`{}` is missing", String::from_utf8_lossy(entry.name_bytes()).escape_debug())
                    })?;
                    Size { bytes: bytes as u64, ..Size::default() }
                }
                _ => Size::default(),
            };
            all.entries = all.entries.saturating_add(below.entries).saturating_add(1);
            all.bytes = all.bytes.saturating_add(below.bytes);
            all.depth = all.depth.max(below.depth + 1);
            // What is below a part is below the whole: there is no need to count on.
            budget.check(Count::Files, budget.counted(Count::Files).saturating_add(all.entries))?;
            budget.check(Count::Bytes, budget.counted(Count::Bytes).saturating_add(all.bytes))?;
        }
        Ok(all)
    }

    fn folder(&mut self, id: Oid, depth: usize) -> Result<Size> {
        let known = self.known.get(&id).copied();
        let size = match known {
            Some(size) => size,
            None => {
                let tree = checked(self.objects.repository, id)?;
                let size = self.size(&tree, depth + 1)?;
                self.known.insert(id, size);
                size
            }
        };
        if depth + size.depth > DEEPEST { Err(too_deep()) } else { Ok(size) }
    }
}

fn too_deep() -> anyhow::Error {
    fault(
        format!("its folders lie more than {DEEPEST} deep in one another"),
        "move what lies that deep further up",
    )
}
