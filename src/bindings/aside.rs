//! Files that were in the way: moved to `.dockerops-kept` below `nfs.path`, where no container looks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::place::Place;
use super::{KEPT, Spot, trace};

/// Moves `name`, which lies in `place` and is `path` below the binding; returns where it lies then.
pub fn keep(root: &Place, spot: Spot<'_>, place: &Place, name: &OsStr, path: &Path) -> Result<PathBuf> {
    let Some(content) = trace::content_of(place, name)? else {
        bail!(
            "something that is neither file nor symlink is in the way, and not from DockerOps; move it away"
        )
    };
    let full = spot.path.join(path);
    let below = Path::new(KEPT).join(full.parent().unwrap_or(Path::new("")));
    let new = format!("{}.{}", name.display(), trace::digits(&content));
    let mut folder = root.walk(Path::new(""))?;
    for part in below.components() {
        folder = match folder.enter(part.as_os_str()) {
            Err(Errno::NOENT) => folder.make_folder(part.as_os_str(), None, 0o700)?,
            entered => entered?,
        };
    }
    let to = spot.root.join(&below).join(&new);
    if folder.stat(OsStr::new(&new))?.is_some_and(|found| FileType::from_raw_mode(found.st_mode).is_dir()) {
        bail!("a folder lies at `{}`, where a file that is in the way was to be kept", to.display());
    }
    place.move_to(name, &folder, &new).with_context(|| {
        format!("it is in the way, not from DockerOps, and cannot be kept as `{}`", to.display())
    })?;
    Ok(to)
}
