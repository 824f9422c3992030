//! The files of a commit, written out as they are asked for, byte for byte as git stores them.
//!
//! Every name is hostile. Each is made anew in a folder that was empty and is nobody else's, and what was made is
//! known: what a tree names twice is an error, and no file is written through a symlink.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Error, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use git2::{ObjectType, Odb, Oid, Repository, Tree};

use super::listing::{Entry, Listings, checked};
use super::size::size;
use super::worker::{Pulse, alive};
use super::{count, pack};
use crate::budget::{Budget, Count};
use crate::fault::fault;

/// Larger files are not held in memory.
pub(super) const LARGE: usize = 1 << 20;
/// Linux takes no longer target of a symlink.
const LONGEST_TARGET: usize = 4095;
pub(super) const EXECUTABLE: i32 = 0o100_755;
pub(super) const LINK: i32 = 0o120_000;

/// Where objects are read from, and at whose cost.
pub(super) struct Objects<'a> {
    pub repository: &'a Repository,
    pub odb: Odb<'a>,
    pub budget: &'a Budget,
    pub pulse: &'a Pulse,
}

impl<'a> Objects<'a> {
    pub(super) fn of(repository: &'a Repository, budget: &'a Budget, pulse: &'a Pulse) -> Result<Self> {
        Ok(Self { repository, odb: repository.odb()?, budget, pulse })
    }
}

/// What was written of a commit so far.
#[derive(Debug)]
pub(super) struct Writer {
    to: PathBuf,
    /// What lies at a path, by its id and mode.
    written: HashMap<PathBuf, (Oid, i32)>,
    /// What was counted and need not be written: the id and the size of a file, nothing of a folder.
    pub(super) seen: HashMap<PathBuf, Option<(Oid, u64)>>,
    /// Folders that are there with all that is in them.
    whole: HashSet<PathBuf>,
    /// The folders of submodules; those of any other are refused.
    submodules: HashSet<PathBuf>,
    pub(super) listings: Listings,
    /// How many steps were taken behind symlinks.
    pub(super) led: usize,
}

impl Writer {
    /// To the empty folder `to`.
    pub(super) fn new(to: &Path) -> Self {
        let to = to.to_path_buf();
        Self {
            to,
            written: HashMap::new(),
            seen: HashMap::new(),
            whole: HashSet::new(),
            submodules: HashSet::new(),
            listings: Listings::default(),
            led: 0,
        }
    }

    pub(super) fn to(&self) -> &Path {
        &self.to
    }

    /// Whether what is at `path` was written.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.written.contains_key(path) || path.ancestors().any(|above| self.whole.contains(above))
    }

    /// There is a submodule at `path`, whose files others write.
    pub(super) fn admit(&mut self, path: &Path) {
        self.submodules.insert(path.to_path_buf());
    }

    /// Writes the entry of a folder, which comes to lie at `at`; of a folder nothing that is in it. Bytes are
    /// counted before.
    pub(super) fn put(&mut self, objects: &Objects<'_>, entry: Entry, at: &Path) -> Result<()> {
        let key = (entry.id, entry.mode);
        match self.written.get(at) {
            Some(known) if *known == key => return Ok(()),
            Some(_) => bail!("it stands twice in its folder"),
            None if at.ancestors().any(|above| self.whole.contains(above)) => return Ok(()),
            None => {}
        }
        let path = self.to.join(at);
        match (entry.kind, entry.mode) {
            (Some(ObjectType::Tree), _) => DirBuilder::new().mode(0o755).create(path)?,
            (Some(ObjectType::Commit), _) if self.submodules.contains(at) => {
                DirBuilder::new().mode(0o755).create(path)?;
            }
            (Some(ObjectType::Commit), _) => {
                let hint = "add it with `git submodule add`, or remove the folder from the repository";
                let error = fault("it has no `path` and `url` in `.gitmodules`", hint);
                return Err(error).with_context(|| format!("submodule `{}`", at.display()));
            }
            (_, LINK) => symlink(target(objects, entry.id)?, path)?,
            (_, mode) => file(objects, entry.id, mode == EXECUTABLE, &path).inspect_err(|_| {
                let _ = fs::remove_file(&path);
            })?,
        }
        self.written.insert(at.to_path_buf(), key);
        Ok(())
    }

    /// Writes all of `tree`, which lies at `at`, where a folder is already.
    pub(super) fn put_all(&mut self, objects: &Objects<'_>, tree: &Tree<'_>, at: &Path) -> Result<()> {
        if at.ancestors().any(|above| self.whole.contains(above)) {
            return Ok(());
        }
        count::count(objects, tree)?;
        self.fill(objects, tree, &mut at.to_path_buf())?;
        self.written.retain(|path, _| path == at || !path.starts_with(at));
        self.whole.insert(at.to_path_buf());
        Ok(())
    }

    fn fill(&mut self, objects: &Objects<'_>, tree: &Tree<'_>, at: &mut PathBuf) -> Result<()> {
        for entry in tree {
            alive(objects.pulse)?;
            let name = OsStr::from_bytes(entry.name_bytes());
            at.push(name);
            let found = Entry { id: entry.id(), mode: entry.filemode(), kind: entry.kind() };
            self.put(objects, found, at)
                .and_then(|()| match found.kind {
                    Some(ObjectType::Tree) => self.fill(objects, &checked(objects.repository, found.id)?, at),
                    _ => Ok(()),
                })
                .with_context(|| format!("cannot write `{}`", name.display()))?;
            at.pop();
        }
        Ok(())
    }
}

/// Writes all of `tree` to the empty folder `to`; the folders of submodules are made, and stay empty.
pub(super) fn write(objects: &Objects<'_>, tree: &Tree<'_>, to: &Path) -> Result<()> {
    let mut writer = Writer::new(to);
    for (path, _) in super::submodules::links(objects, tree)? {
        writer.admit(&path);
    }
    writer.put_all(objects, tree, Path::new(""))
}

/// Where a symlink points.
pub(super) fn target(objects: &Objects<'_>, id: Oid) -> Result<PathBuf> {
    let size = size(&objects.odb, id)?;
    ensure!(size <= LONGEST_TARGET, "the target of the symlink is {size} bytes long");
    let target = objects.repository.find_blob(id)?;
    Ok(OsStr::from_bytes(target.content()).into())
}

/// Counts a file and its bytes before it is written.
pub(super) fn take(objects: &Objects<'_>, entry: Entry) -> Result<()> {
    objects.budget.take(Count::Files, 1)?;
    if entry.kind == Some(ObjectType::Blob) {
        let size = size(&objects.odb, entry.id)?;
        objects.budget.take(Count::Bytes, size as u64)?;
    }
    Ok(())
}

fn file(objects: &Objects<'_>, id: Oid, executable: bool, to: &Path) -> Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    let size = size(&objects.odb, id)?;
    let mut out = Beating { file: &mut file, pulse: objects.pulse };
    if size <= LARGE || !copy(objects, id, size as u64, &mut out)? {
        let blob = objects.repository.find_blob(id)?;
        return Ok(out.write_all(blob.content())?);
    }
    // What libgit2 reads itself it checks itself.
    let is_whole = Oid::hash_file(ObjectType::Blob, to)? == id;
    ensure!(is_whole, Error::new(ErrorKind::InvalidData, "what git keeps of it is damaged"));
    Ok(())
}

/// Copies a large file piece by piece, never more than the `size` that was counted; `false` where it lies in no form
/// that can be read so, and nothing was written.
fn copy(objects: &Objects<'_>, id: Oid, size: u64, out: &mut impl Write) -> Result<bool> {
    if pack::copy(objects.repository.path(), id, size, out)? {
        return Ok(true);
    }
    // Only what lies in a file of its own can be read so.
    let Ok((content, _, _)) = objects.odb.reader(id) else { return Ok(false) };
    io::copy(&mut content.take(size), out)?;
    Ok(true)
}

/// A file whose writer shows that it is alive: one file may take long.
struct Beating<'a> {
    file: &'a mut fs::File,
    pulse: &'a Pulse,
}

impl Write for Beating<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.pulse.beat() {
            return Err(io::Error::other("it was told to stop"));
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
