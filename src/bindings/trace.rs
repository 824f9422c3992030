//! Traces: by what a later sync knows again what an earlier one put somewhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use anyhow::Result;
use git2::{ObjectType, Oid};
use rustix::fs::Stat;

use super::Spot;
use super::place::Place;
use super::tree::{Kind, Tree};

/// The size in bytes up to which files are read to know them again. A container could make one that takes days to
/// read; a larger one is known by its stamp alone.
const LARGEST: i64 = 64 * 1024 * 1024;

/// What a sync put at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its content: a kind and git's id, or a folder's owner.
    pub content: Vec<u8>,
    /// What the file system says of the file while nobody touches it; empty where that is not known.
    pub stamp: Vec<u8>,
}

impl Trace {
    /// Whether it was a folder.
    pub fn is_folder(&self) -> bool {
        self.content.first() == Some(&b'd')
    }
}

/// Traces by path below the binding. A sync that was cut off leaves two at a path: before and after.
pub type Traces = BTreeMap<PathBuf, Vec<Trace>>;

/// A file or symlink, in a trace; nothing for a folder, whose trace tells its owner.
pub fn content(kind: &Kind) -> Vec<u8> {
    match kind {
        Kind::Folder => Vec::new(),
        Kind::File { id, .. } => file(*id),
        Kind::Link { id, .. } => link(*id),
    }
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

/// What lies at `name`, as it would be in a trace; `None` where it is neither file nor symlink.
pub fn content_of(place: &Place, name: &OsStr) -> Result<Option<Vec<u8>>> {
    if let Some(target) = place.link(name) {
        return Ok(Some(link(Oid::hash_object(ObjectType::Blob, &target)?)));
    }
    let Some(opened) = place.file(name)? else { return Ok(None) };
    let stat = rustix::fs::fstat(&opened)?;
    if stat.st_size > LARGEST {
        let id = Oid::hash_object(ObjectType::Blob, &stamp(&stat))?;
        return Ok(Some([b"s", id.as_bytes()].concat()));
    }
    let open = format!("/proc/self/fd/{}", opened.as_raw_fd());
    Ok(Some(file(Oid::hash_file(ObjectType::Blob, open)?)))
}

/// Whether what lies at `name` is what one of `traces` says.
pub fn is_ours(place: &Place, name: &OsStr, stat: &Stat, traces: &[Trace]) -> Result<bool> {
    if traces.is_empty() {
        return Ok(false);
    }
    let stamp = stamp(stat);
    if traces.iter().any(|trace| trace.stamp == stamp) {
        return Ok(true);
    }
    Ok(content_of(place, name)?.is_some_and(|found| traces.iter().any(|trace| trace.content == found)))
}

/// The first 12 digits of a content's id.
pub fn digits(content: &[u8]) -> String {
    let digits = content.get(1..).and_then(|id| Oid::from_bytes(id).ok()).map(|id| id.to_string());
    digits.map(|digits| digits[..12].to_owned()).unwrap_or_default()
}

/// What a sync of `tree` may put there, to be noted before it begins. Folders that lie there are not its own.
pub fn planned(tree: &Tree, spot: Spot<'_>) -> Traces {
    let place = spot.root.join(spot.path);
    let mut planned = Traces::new();
    for (path, kind) in &tree.entries {
        let content = match kind {
            Kind::Folder if place.join(path).symlink_metadata().is_ok() => continue,
            Kind::Folder => folder(spot.owner.unwrap_or((0, 0))),
            kind => content(kind),
        };
        planned.insert(path.clone(), vec![Trace { content, stamp: Vec::new() }]);
    }
    planned
}
