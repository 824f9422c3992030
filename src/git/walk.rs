//! From a path to what lies there, as Linux would walk it if all files were on disk: what is met on the way is
//! written out, and nothing else. Where no symlink is met a look tells as much, and nothing is written.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use git2::{ObjectType, Oid};

use super::listing::{Entry, Names, checked, is_plain};
use super::size::size;
use super::worker::alive;
use super::write::{self, Objects, Writer, take, target};
use crate::budget::Count;
use crate::fault::fault;
use crate::paths::{Found, names_on_disk};

/// Linux follows no more symlinks on one path.
const MOST_LINKS: usize = 40;
/// Steps behind symlinks, of all paths of a source together: a link may be of two thousand, and lead to another.
const MOST_LED: usize = 1_000_000;

/// A folder.
#[derive(Debug, Clone, Copy)]
enum Folder {
    /// Of the commit itself, by its id.
    Tree(Oid),
    /// Of a submodule, whose files are all on disk.
    OnDisk,
}

/// What a step leads to.
enum Step {
    Into(Folder),
    /// A symlink, and where it points.
    On(PathBuf),
    /// A file, or nothing.
    End,
}

impl Writer {
    /// Writes what lies at `path` of the commit whose tree is `root`; of a folder nothing that is in it.
    pub(super) fn bring(&mut self, objects: &Objects<'_>, root: Oid, path: &Path) -> Result<()> {
        self.walk(objects, root, path).map(drop)
    }

    /// Writes the folder at `path` with all that is in it.
    pub(super) fn bring_all(&mut self, objects: &Objects<'_>, root: Oid, path: &Path) -> Result<()> {
        match self.walk(objects, root, path)? {
            Some((at, Folder::Tree(id))) => self.put_all(objects, &checked(objects.repository, id)?, &at),
            _ => Ok(()),
        }
    }

    /// How many bytes the file at `path` has; it is not written, what is met on the way is. `None` where that is no file of
    /// the commit itself.
    pub(super) fn size(&mut self, objects: &Objects<'_>, root: Oid, path: &Path) -> Result<Option<u64>> {
        let mut found = None;
        self.walk_to(objects, root, path, &mut |entry| {
            found = Some(size(&objects.odb, entry.id)? as u64);
            Ok(false)
        })?;
        Ok(found)
    }

    /// What lies at `path` where neither a symlink nor a submodule is part of it, and what lies beside it. Nothing is
    /// written; what would have been is counted, a file if it has at most `most` bytes.
    pub(super) fn look(
        &mut self,
        objects: &Objects<'_>,
        root: Oid,
        path: &Path,
        most: Option<u64>,
    ) -> Result<(Option<Found>, Option<Arc<Names>>)> {
        let (mut folder, mut at, mut left) = (root, PathBuf::new(), path.iter());
        while let Some(name) = left.next() {
            alive(objects.pulse)?;
            if !is_plain(name.as_bytes()) {
                return Ok((None, None));
            }
            at.push(name);
            let what = || format!("cannot write `{}`", at.display());
            let names = self.listings.of(objects.repository, folder).with_context(what)?;
            let is_last = left.as_path().as_os_str().is_empty();
            let found = match names.get(name.as_bytes()) {
                None => Some(Found::Nothing),
                Some(Entry { kind: Some(ObjectType::Tree), id, .. }) => {
                    self.count(objects, &at, None).with_context(what)?;
                    folder = *id;
                    continue;
                }
                Some(Entry { kind: Some(ObjectType::Blob), id, mode }) if *mode != write::LINK => {
                    // Behind a file a path leads nowhere.
                    Some(if is_last {
                        self.file(objects, *id, &at, most).with_context(what)?
                    } else {
                        Found::Nothing
                    })
                }
                Some(_) => None,
            };
            return Ok((found, Some(names).filter(|_| is_last)));
        }
        Ok((Some(Found::Folder), None))
    }

    fn file(&mut self, objects: &Objects<'_>, id: Oid, at: &Path, most: Option<u64>) -> Result<Found> {
        let size = size(&objects.odb, id)? as u64;
        if most.is_some_and(|most| size <= most) {
            self.count(objects, at, Some((id, size)))?;
        }
        Ok(Found::File(size))
    }

    /// Counts what lies at `at` as if it were written; once, whether it is afterwards or not.
    fn count(&mut self, objects: &Objects<'_>, at: &Path, file: Option<(Oid, u64)>) -> Result<()> {
        if self.seen.contains_key(at) {
            return Ok(());
        }
        if !self.has(at) {
            objects.budget.take(Count::Files, 1)?;
            objects.budget.take(Count::Bytes, file.map_or(0, |(_, size)| size))?;
        }
        self.seen.insert(at.to_path_buf(), file);
        Ok(())
    }

    /// The content of a file that a look counted; `None` where it lies on disk, as a large one then does.
    pub(super) fn content(
        &mut self,
        objects: &Objects<'_>,
        root: Oid,
        path: &Path,
    ) -> Result<Option<Vec<u8>>> {
        let Some(Some((id, size))) = self.seen.get(path).copied() else { return Ok(None) };
        if size > write::LARGE as u64 {
            self.bring(objects, root, path)?;
            return Ok(None);
        }
        let blob = objects.repository.find_blob(id);
        let blob = blob.with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(Some(blob.content().to_vec()))
    }

    /// The commit of the submodule that the tree `root` has at `path`; nothing is written.
    pub(super) fn link(&mut self, objects: &Objects<'_>, root: Oid, path: &Path) -> Result<Option<Oid>> {
        let (mut folder, mut found) = (Some(root), None);
        for name in path {
            let Some(tree) = folder.take().filter(|_| is_plain(name.as_bytes())) else { return Ok(None) };
            let entry = self.listings.of(objects.repository, tree)?.get(name.as_bytes()).copied();
            let is = |kind| entry.filter(|entry| entry.kind == Some(kind)).map(|entry| entry.id);
            (folder, found) = (is(ObjectType::Tree), is(ObjectType::Commit));
        }
        Ok(found)
    }

    /// The names in the folder at `path`.
    pub(super) fn names(&mut self, objects: &Objects<'_>, root: Oid, path: &Path) -> Result<Vec<String>> {
        Ok(match self.walk(objects, root, path)? {
            Some((_, Folder::Tree(id))) => {
                let names = self.listings.of(objects.repository, id)?;
                names.keys().filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
            }
            Some((at, Folder::OnDisk)) => names_on_disk(&self.to().join(at)),
            None => Vec::new(),
        })
    }

    /// The folder that `path` leads to, and where it is in truth; `None` where it leads to none.
    fn walk(&mut self, objects: &Objects<'_>, root: Oid, path: &Path) -> Result<Option<(PathBuf, Folder)>> {
        self.walk_to(objects, root, path, &mut |_| Ok(true))
    }

    /// Likewise; a file at the end is written where `is_wanted`.
    fn walk_to(
        &mut self,
        objects: &Objects<'_>,
        root: Oid,
        path: &Path,
        is_wanted: &mut dyn FnMut(Entry) -> Result<bool>,
    ) -> Result<Option<(PathBuf, Folder)>> {
        let mut left: VecDeque<OsString> = path.iter().map(OsStr::to_os_string).collect();
        let mut above: Vec<(PathBuf, Folder)> = Vec::new();
        let (mut here, mut links) = ((PathBuf::new(), Folder::Tree(root)), 0);
        while let Some(name) = left.pop_front() {
            alive(objects.pulse)?;
            self.led += usize::from(links > 0);
            if self.led >= MOST_LED {
                let what = format!("its symlinks lead on and on: more than {MOST_LED} steps");
                return Err(fault(what, "name the files themselves, or shorten what the symlinks point at"));
            }
            if name == "." {
                continue;
            }
            if name == ".." {
                // Who leads out of the commit is refused where the path is resolved.
                let Some(parent) = above.pop() else { return Ok(None) };
                here = parent;
                continue;
            }
            if !is_plain(name.as_bytes()) {
                return Ok(None);
            }
            let at = here.0.join(&name);
            let step = match here.1 {
                Folder::Tree(tree) => self
                    .step(objects, tree, &name, &at, left.is_empty().then_some(&mut *is_wanted))
                    .with_context(|| format!("cannot write `{}`", at.display()))?,
                Folder::OnDisk => step_on_disk(&self.to().join(&at))?,
            };
            match step {
                Step::Into(folder) => above.push(std::mem::replace(&mut here, (at, folder))),
                Step::On(target) => {
                    links += 1;
                    if links > MOST_LINKS || target.is_absolute() {
                        return Ok(None);
                    }
                    for part in target.iter().rev() {
                        left.push_front(part.to_os_string());
                    }
                }
                Step::End => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    fn step(
        &mut self,
        objects: &Objects<'_>,
        folder: Oid,
        name: &OsStr,
        at: &Path,
        is_wanted: Option<&mut dyn FnMut(Entry) -> Result<bool>>,
    ) -> Result<Step> {
        let names = self.listings.of(objects.repository, folder)?;
        let Some(entry) = names.get(name.as_bytes()).copied() else { return Ok(Step::End) };
        let (kind, is_link) = (entry.kind, entry.mode == write::LINK);
        let is_file = kind == Some(ObjectType::Blob) && !is_link;
        // Behind a file a path leads nowhere.
        if is_file && !is_wanted.map_or(Ok(false), |is_wanted| is_wanted(entry))? {
            return Ok(Step::End);
        }
        if !self.has(at) {
            if !self.seen.contains_key(at) {
                take(objects, entry)?;
            }
            self.put(objects, entry, at)?;
        }
        Ok(match kind {
            Some(ObjectType::Tree) => Step::Into(Folder::Tree(entry.id)),
            Some(ObjectType::Commit) => Step::Into(Folder::OnDisk),
            _ if is_link => Step::On(target(objects, entry.id)?),
            _ => Step::End,
        })
    }
}

fn step_on_disk(path: &Path) -> Result<Step> {
    Ok(match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Step::Into(Folder::OnDisk),
        Ok(found) if found.is_symlink() => Step::On(path.read_link()?),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => Step::End,
    })
}
