//! What earlier syncs put somewhere, removed: as far as it is still that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::io::Errno;

use super::folder::Folder;
use super::inventory::{self, Inventory, Item};
use super::{Destination, Opened, Synced};
use crate::guard::Closed;
use crate::signal;

/// Removes all of `known`, a binding that nobody mounts any more.
pub fn remove(destination: Destination<'_>, known: &Inventory) -> Result<Synced> {
    let opened = match Opened::open(destination) {
        Err(error) if is_gone(&error) => return Ok(Synced::default()),
        opened => opened?,
    };
    opened.sweep(known)?;
    let mut synced = Synced::default();
    remove_from(&opened.root, destination, known.iter(), &mut synced)?;
    Ok(synced)
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Closed::Unknown(error)) if error.kind() == std::io::ErrorKind::NotFound)
}

/// Removes `dropped`, which is in the order of paths: the deepest go first.
pub fn remove_from<'a>(
    root: &Folder,
    destination: Destination<'_>,
    dropped: impl DoubleEndedIterator<Item = (&'a PathBuf, &'a Vec<Item>)>,
    synced: &mut Synced,
) -> Result<()> {
    for (path, items) in dropped.rev() {
        signal::check()?;
        let full = if path.as_os_str().is_empty() {
            destination.path.to_path_buf()
        } else {
            destination.path.join(path)
        };
        let gone = remove_one(root, &full, items)
            .with_context(|| format!("cannot remove `{}`", destination.root.join(&full).display()))?;
        match gone {
            Some(true) => synced.removed += 1,
            Some(false) => synced.left.push(destination.root.join(&full)),
            None => {}
        }
    }
    Ok(())
}

/// Whether it went; `None` where it was gone.
fn remove_one(root: &Folder, full: &Path, items: &[Item]) -> Result<Option<bool>> {
    let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else { return Ok(None) };
    let place = match root.walk(parent) {
        Ok(place) => place,
        // Gone, or a symlink or file in its place that is not ours to follow.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(found) = place.look(name)? else { return Ok(None) };
    if found.is_folder() {
        if !items.iter().any(Item::is_folder) {
            return Ok(Some(false));
        }
        place.remove_folder(name)?;
    } else {
        if !inventory::is_ours(&found, items)? {
            return Ok(Some(false));
        }
        place.remove(name, found)?;
    }
    Ok(Some(place.stat(name)?.is_none()))
}
