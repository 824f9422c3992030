//! Files that were in the way: moved to `.dockerops-kept` below `nfs.path`, where no container looks.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

use super::folder::Folder;
use super::{Destination, KEPT, inventory, stage};

/// Moves `name`, which lies in `place` and is `path` below the binding; returns where it lies then.
pub fn keep(
    root: &Folder,
    destination: Destination<'_>,
    place: &Folder,
    name: &OsStr,
    path: &Path,
) -> Result<PathBuf> {
    if place.look(name)?.is_none_or(|found| !found.is_file() && found.link().is_none()) {
        bail!(
            "something that is neither file nor symlink is in the way, and not from DockerOps; move it away"
        )
    }
    let full = destination.path.join(path);
    let below = Path::new(KEPT).join(full.parent().unwrap_or(Path::new("")));
    let mut folder = root.walk(Path::new(""))?;
    for part in below.components() {
        folder = match folder.enter(part.as_os_str()) {
            Err(Errno::NOENT) => folder.make_folder(part.as_os_str(), None, 0o700)?,
            entered => entered?,
        };
    }
    let to = |new: &OsStr| destination.root.join(&below).join(new);
    let named = |end: &str| {
        let mut new = name.to_owned();
        new.push(".");
        new.push(end);
        new
    };
    // Named by its content only there, where nobody can put another file in its place.
    let first = named(&stage::random(6)?);
    place.move_to(name, &folder, &first).with_context(|| {
        format!("it is in the way, not from DockerOps, and cannot be kept as `{}`", to(&first).display())
    })?;
    let last = name_by_content(&folder, &first, named)?;
    Ok(to(&last))
}

/// Gives what lies at `first` the name that tells its content. What is kept already stays as it is.
fn name_by_content(folder: &Folder, first: &OsStr, named: impl Fn(&str) -> OsString) -> Result<OsString> {
    let content_of = |name: &OsStr| match folder.look(name)? {
        Some(found) => inventory::content_of(&found),
        None => Ok(None),
    };
    let Some(content) = content_of(first)? else { return Ok(first.to_owned()) };
    let last = named(&inventory::digits(&content));
    if folder.stat(&last)?.is_some() && content_of(&last)?.as_ref() != Some(&content) {
        return Ok(first.to_owned());
    }
    folder.move_to(first, folder, &last)?;
    Ok(last)
}
