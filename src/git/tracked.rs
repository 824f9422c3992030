//! What git has of a path in a checkout: no file is read, git knows the ids of their content.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use git2::{ObjectType, Oid, Tree, TreeEntry};

use super::count;
use super::listing::checked;
use super::trees::Modules;
use super::worker::{Pulse, alive};
use super::write::{self, Objects};
use crate::budget::Budget;

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

/// Reads what git has of a checkout, its submodules included.
pub(super) struct Reader<'a> {
    pub modules: &'a Modules,
    pub budget: &'a Budget,
    pub pulse: &'a Pulse,
    /// The bytes of all paths that were read.
    pub length: Cell<usize>,
}

/// Linux takes no longer path.
const LONGEST: usize = 4_096;
/// Paths are held in memory, and bytes of them are bounded as well as their number.
const MOST_LETTERS: usize = 32 << 20;

impl Reader<'_> {
    /// All that lies at and below `path` in the repository whose files are in `files`.
    pub(super) fn tracked(&self, files: &Path, path: &Path) -> Result<Vec<Tracked>> {
        let repository = self
            .modules
            .repository(files)
            .with_context(|| format!("cannot read what git has of `{}`", files.display()))?
            .context("it is not there")?;
        let objects = Objects::of(&repository, self.budget, self.pulse)?;
        let mut tree = checked(&repository, repository.head()?.peel_to_tree()?.id())?;
        let mut at = PathBuf::new();
        let mut parts = path.iter();
        while let Some(name) = parts.next() {
            at.push(name);
            let Some(entry) = tree.get_name_bytes(name.as_bytes()) else { return Ok(Vec::new()) };
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let inner = checked(&repository, entry.id())?;
                    drop(entry);
                    tree = inner;
                }
                Some(ObjectType::Commit) => {
                    let mut found = Vec::new();
                    let inner = parts.as_path();
                    if inner.as_os_str().is_empty() {
                        self.submodule(&files.join(at), Path::new(""), entry.id(), &mut found)?;
                        return Ok(found);
                    }
                    return self.tracked(&files.join(at), inner);
                }
                _ => return Ok(vec![one(&objects, &entry, PathBuf::new())?]),
            }
        }
        count::bound(&objects, &tree)?;
        let mut found = Vec::new();
        self.add(&objects, &tree, &files.join(&at), &mut PathBuf::new(), &mut found)?;
        Ok(found)
    }

    fn add(
        &self,
        objects: &Objects<'_>,
        tree: &Tree<'_>,
        folder: &Path,
        at: &mut PathBuf,
        found: &mut Vec<Tracked>,
    ) -> Result<()> {
        alive(self.pulse)?;
        for entry in tree {
            at.push(OsStr::from_bytes(entry.name_bytes()));
            let length = at.as_os_str().len();
            let all = self.length.get() + length;
            self.length.set(all);
            let is_fine = length < LONGEST && all < MOST_LETTERS;
            ensure!(is_fine, "its paths are longer than a disk takes, or too many");
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    let inner = checked(objects.repository, entry.id())?;
                    self.add(objects, &inner, folder, at, found)?;
                }
                Some(ObjectType::Commit) => self.submodule(&folder.join(&at), at, entry.id(), found)?,
                _ => found.push(one(objects, &entry, at.clone())?),
            }
            at.pop();
        }
        Ok(())
    }

    fn submodule(&self, files: &Path, below: &Path, id: Oid, found: &mut Vec<Tracked>) -> Result<()> {
        if self.modules.repository(files)?.is_none() {
            found.push(Tracked { path: below.to_path_buf(), kind: TrackedKind::Folder, id });
            return Ok(());
        }
        let inner = self.tracked(files, Path::new(""))?;
        found.extend(inner.into_iter().map(|file| Tracked { path: below.join(&file.path), ..file }));
        Ok(())
    }
}

fn one(objects: &Objects<'_>, entry: &TreeEntry<'_>, path: PathBuf) -> Result<Tracked> {
    let kind = match entry.filemode() {
        write::LINK => TrackedKind::Link(write::target(objects, entry.id())?),
        mode => TrackedKind::File { executable: mode == write::EXECUTABLE },
    };
    Ok(Tracked { path, kind, id: entry.id() })
}
