//! What earlier syncs put somewhere, removed: as far as it is still that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::io::Errno;

use super::place::Place;
use super::trace::{self, Trace, Traces};
use super::{Opened, Spot, Synced};
use crate::guard::Closed;
use crate::signal;

/// Removes all of `known`, a binding that nobody mounts any more.
pub fn remove(spot: Spot<'_>, known: &Traces) -> Result<Synced> {
    let opened = match Opened::open(spot) {
        Err(error) if is_gone(&error) => return Ok(Synced::default()),
        opened => opened?,
    };
    opened.sweep(known)?;
    let mut synced = Synced::default();
    remove_from(&opened.root, spot, known.iter(), &mut synced)?;
    Ok(synced)
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Closed::Unknown(error)) if error.kind() == std::io::ErrorKind::NotFound)
}

/// Removes `dropped`, which is in the order of paths: the deepest go first.
pub fn remove_from<'a>(
    root: &Place,
    spot: Spot<'_>,
    dropped: impl DoubleEndedIterator<Item = (&'a PathBuf, &'a Vec<Trace>)>,
    synced: &mut Synced,
) -> Result<()> {
    for (path, traces) in dropped.rev() {
        signal::check()?;
        let full = if path.as_os_str().is_empty() { spot.path.to_path_buf() } else { spot.path.join(path) };
        let gone = remove_one(root, &full, traces)
            .with_context(|| format!("cannot remove `{}`", spot.root.join(&full).display()))?;
        match gone {
            Some(true) => synced.removed += 1,
            Some(false) => synced.left.push(spot.root.join(&full)),
            None => {}
        }
    }
    Ok(())
}

/// Whether it went; `None` where it was gone.
fn remove_one(root: &Place, full: &Path, traces: &[Trace]) -> Result<Option<bool>> {
    let (Some(parent), Some(name)) = (full.parent(), full.file_name()) else { return Ok(None) };
    let place = match root.walk(parent) {
        Ok(place) => place,
        // Gone, or a symlink or file in its place that is not ours to follow.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(found) = place.look(name)? else { return Ok(None) };
    if found.is_folder() {
        if !traces.iter().any(Trace::is_folder) {
            return Ok(Some(false));
        }
        place.remove_folder(name)?;
    } else {
        if !trace::is_ours(&found, traces)? {
            return Ok(Some(false));
        }
        place.remove(name, found)?;
    }
    Ok(Some(place.stat(name)?.is_none()))
}
