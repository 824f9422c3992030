//! Inventory: by what a later sync knows again what an earlier one put somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Result;
use git2::{ObjectType, Oid};
use rustix::fs::Stat;

use super::folder::Found;
use super::tree::{Kind, Tree};

/// The size in bytes up to which files are read to know them again. A container could make one that takes days to
/// read; a larger one is known by its stamp alone.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What a sync put at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its content: a kind and git's id, or a folder's owner.
    pub content: Vec<u8>,
    /// What the file system says of the file while nobody touches it; empty where that is not known.
    pub stamp: Vec<u8>,
}

impl Item {
    pub fn is_folder(&self) -> bool {
        self.content.first() == Some(&b'd')
    }

    /// Of a sync's private folder, by the beginning of its name.
    pub fn of_stage() -> Self {
        Self { content: b"t".to_vec(), stamp: Vec::new() }
    }

    /// Whether it was such a folder, and none of the binding's files.
    pub fn is_stage(&self) -> bool {
        self.content == b"t"
    }
}

/// Inventory by path below the binding. A sync that was cut off leaves two at a path: before and after.
pub type Inventory = BTreeMap<PathBuf, Vec<Item>>;

/// A file or symlink, in a item; nothing for a folder, whose item tells its owner.
pub fn content(kind: &Kind) -> Vec<u8> {
    match kind {
        Kind::Folder => Vec::new(),
        Kind::File { id, .. } => file(*id),
        Kind::Link { id, .. } => link(*id),
    }
}

/// Whether what was put there are the files of `tree`, and no others.
pub fn holds(known: &Inventory, tree: &Tree) -> bool {
    let wanted: BTreeSet<_> = tree
        .entries
        .iter()
        .map(|(path, kind)| (path.as_path(), content(kind)))
        .filter(|(_, content)| !content.is_empty())
        .collect();
    let there = known.iter().flat_map(|(path, items)| items.iter().map(move |item| (path.as_path(), item)));
    let there = there.filter(|(_, item)| !item.is_folder() && !item.is_stage());
    there.map(|(path, item)| (path, item.content.clone())).collect::<BTreeSet<_>>() == wanted
}

/// A folder of that user and group.
pub fn folder((user, group): (u32, u32)) -> Vec<u8> {
    [b"d".as_slice(), &user.to_le_bytes(), &group.to_le_bytes()].concat()
}

fn file(id: Oid) -> Vec<u8> {
    [b"f", id.as_bytes()].concat()
}

fn link(id: Oid) -> Vec<u8> {
    [b"l", id.as_bytes()].concat()
}

/// Inode, size and times. No program in a container can set the time of change.
pub fn stamp(stat: &Stat) -> Vec<u8> {
    let numbers = [
        i128::from(stat.st_ino),
        i128::from(stat.st_size),
        i128::from(stat.st_mtime),
        i128::from(stat.st_mtime_nsec),
        i128::from(stat.st_ctime),
        i128::from(stat.st_ctime_nsec),
    ];
    numbers.into_iter().flat_map(|number| number.to_le_bytes().into_iter().take(8)).collect()
}

/// What was found, as it would be in a item; `None` where it is neither file nor symlink.
pub fn content_of(found: &Found) -> Result<Option<Vec<u8>>> {
    if let Some(target) = found.link() {
        return Ok(Some(link(Oid::hash_object(ObjectType::Blob, &target)?)));
    }
    let Some(opened) = found.open()? else { return Ok(None) };
    let stat = rustix::fs::fstat(&opened)?;
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size <= LARGEST {
        // No further than it reached: it may grow without end meanwhile.
        let mut bytes = Vec::with_capacity(usize::try_from(size + 1)?);
        opened.take(size + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == size {
            return Ok(Some(file(Oid::hash_object(ObjectType::Blob, &bytes)?)));
        }
    }
    let id = Oid::hash_object(ObjectType::Blob, &stamp(&stat))?;
    Ok(Some([b"s", id.as_bytes()].concat()))
}

/// Whether what was found is what one of `items` says.
pub fn is_ours(found: &Found, items: &[Item]) -> Result<bool> {
    if items.is_empty() {
        return Ok(false);
    }
    let stamp = stamp(&found.stat);
    if items.iter().any(|item| item.stamp == stamp) {
        return Ok(true);
    }
    Ok(content_of(found)?.is_some_and(|found| items.iter().any(|item| item.content == found)))
}

/// The names of the private folders that syncs which were cut off had.
pub fn stages(known: &Inventory) -> Vec<&OsStr> {
    let of_stage = known.iter().filter(|(_, items)| items.iter().any(Item::is_stage));
    of_stage.filter_map(|(path, _)| path.file_name()).collect()
}

/// The first 12 digits of a content's id.
pub fn digits(content: &[u8]) -> String {
    let digits = content.get(1..).and_then(|id| Oid::from_bytes(id).ok()).map(|id| id.to_string());
    digits.map(|digits| digits[..12].to_owned()).unwrap_or_default()
}
