//! Files that git tracks → the tree that a binding is to hold: folders, modes, content ids.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};
use git2::Oid;
use md5::{Digest, Md5};

use crate::hash::{hex, part};
use crate::paths::Root;

/// One file of a binding, as git has it.
#[derive(Debug, Clone)]
pub struct File {
    /// Below the binding; empty where the binding is this file.
    pub path: PathBuf,
    pub kind: Kind,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File {
        /// Whether git has it as an executable.
        executable: bool,
        /// git's id of its content.
        id: Oid,
    },
    Link {
        /// Where it points, as the author wrote it.
        target: PathBuf,
        /// git's id of that.
        id: Oid,
    },
}

/// What a binding is to hold.
#[derive(Debug)]
pub struct Tree {
    /// Where its files lie, or come to lie.
    pub source: PathBuf,
    root: Root,
    /// Parents before their children; the first, with an empty path, is the binding itself.
    pub entries: BTreeMap<PathBuf, Kind>,
    /// Changes with names, modes and content; hexadecimal.
    pub hash: String,
}

impl Tree {
    /// The tree of `files`, which lie at `source`, below `root`. Fails on a symlink that is absolute or
    /// leads out of `root`.
    pub fn new(root: &Root, source: &Path, files: impl IntoIterator<Item = File>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for file in files {
            if let Kind::Link { target, .. } = &file.kind {
                check_link(root, &source.join(&file.path), target)?;
            }
            for folder in file.path.ancestors().skip(1) {
                if entries.insert(folder.to_path_buf(), Kind::Folder).is_some() {
                    break;
                }
            }
            entries.insert(file.path, file.kind);
        }
        // git has no empty folders, but a source may name one that held nothing but a submodule.
        entries.entry(PathBuf::new()).or_insert(Kind::Folder);
        Ok(Self { source: source.to_path_buf(), root: root.clone(), hash: hash(&entries), entries })
    }

    /// Opens the file at `path`, which may come to disk only now.
    pub fn open(&self, path: &Path) -> Result<fs::File> {
        // `join` would add a slash to a binding that is one file.
        let path = if path.as_os_str().is_empty() { self.source.clone() } else { self.source.join(path) };
        self.root.bring(&path)?;
        Ok(fs::File::open(path)?)
    }
}

fn hash(entries: &BTreeMap<PathBuf, Kind>) -> String {
    let mut hash = Md5::new();
    for (path, kind) in entries {
        part(&mut hash, path.as_os_str().as_bytes());
        match kind {
            Kind::Folder => hash.update(b"d"),
            Kind::File { executable, id } => {
                hash.update([b'f', u8::from(*executable)]);
                hash.update(id.as_bytes());
            }
            Kind::Link { id, .. } => {
                hash.update(b"l");
                hash.update(id.as_bytes());
            }
        }
    }
    hex(hash)
}

/// The symlink at `path` must point inside `root`, by its letters and in truth.
fn check_link(root: &Root, path: &Path, target: &Path) -> Result<()> {
    let below = path.strip_prefix(root.path()).unwrap_or(path);
    let what = || {
        format!("the symlink `{}` leads to `{}`, out of the repository", below.display(), target.display())
    };
    let mut depth = below.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => anyhow::bail!("{}", what()),
        }
    }
    root.bring(path)?;
    if let Ok(resolved) = path.canonicalize() {
        ensure!(resolved.starts_with(root.path()), what());
    }
    Ok(())
}
