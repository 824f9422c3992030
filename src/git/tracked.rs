//! What git has of a path in a checkout: no file is read, git knows the ids of their content.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use git2::Oid;

use super::trees::Modules;

/// One file or symlink of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Below the path that was asked for; empty where that is the file itself.
    pub path: PathBuf,
    pub kind: TrackedKind,
    /// git's id of its content; a symlink's content is where it points.
    pub id: Oid,
}

/// What git knows of a file's kind and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackedKind {
    File {
        /// Mode 755 rather than 644.
        executable: bool,
    },
    /// A symlink, and where it points.
    Link(PathBuf),
    /// The folder of a submodule that is not fetched.
    Folder,
}

const EXECUTABLE: u32 = 0o100_755;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

/// All that lies at and below `path` in the repository whose files are in `files`, submodules included, in git's
/// order.
pub(super) fn tracked(modules: &Modules, files: &Path, path: &Path) -> Result<Vec<Tracked>> {
    let repository = modules
        .repository(files)
        .with_context(|| format!("cannot read what git has of `{}`", files.display()))?
        .context("it is not there")?;
    let mut found = Vec::new();
    for entry in repository.index()?.iter() {
        let at = PathBuf::from(OsString::from_vec(entry.path.clone()));
        if entry.mode == SUBMODULE {
            if let Ok(inner) = path.strip_prefix(&at) {
                found.extend(tracked(modules, &files.join(&at), inner)?);
            } else if let Ok(below) = at.strip_prefix(path) {
                found.extend(submodule(modules, &files.join(&at), below, entry.id)?);
            }
            continue;
        }
        let Ok(below) = at.strip_prefix(path) else { continue };
        let kind = match entry.mode {
            LINK => {
                let target = repository.find_blob(entry.id)?;
                TrackedKind::Link(OsString::from_vec(target.content().to_vec()).into())
            }
            mode => TrackedKind::File { executable: mode == EXECUTABLE },
        };
        found.push(Tracked { path: below.to_path_buf(), kind, id: entry.id });
    }
    Ok(found)
}

fn submodule(modules: &Modules, files: &Path, below: &Path, id: Oid) -> Result<Vec<Tracked>> {
    if modules.repository(files)?.is_none() {
        return Ok(vec![Tracked { path: below.to_path_buf(), kind: TrackedKind::Folder, id }]);
    }
    let inner = tracked(modules, files, Path::new(""))?;
    Ok(inner.into_iter().map(|file| Tracked { path: below.join(&file.path), ..file }).collect())
}
