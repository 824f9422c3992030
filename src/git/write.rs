//! The files of a commit, written out byte for byte as git stores them.
//!
//! Every name is hostile. All is made anew in a folder that was empty and is nobody else's: what a tree names twice,
//! or puts behind a symlink, is there already and so an error.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Error, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use git2::{ObjectType, Odb, Oid, Repository, Tree, TreeEntry};

use super::pack;
use super::worker::{Pulse, alive};

/// Larger files are not held in memory.
const LARGE: usize = 1 << 20;
/// Linux takes no longer target of a symlink.
const LONGEST_TARGET: usize = 4095;
const EXECUTABLE: i32 = 0o100_755;
const LINK: i32 = 0o120_000;

/// Writes `tree` to the empty folder `to`. Submodules are empty folders.
pub(super) fn write(repository: &Repository, tree: &Tree<'_>, to: &Path, pulse: &Pulse) -> Result<()> {
    Writer { repository, odb: repository.odb()?, pulse }.folder(tree, &mut to.to_path_buf())
}

struct Writer<'a> {
    repository: &'a Repository,
    odb: Odb<'a>,
    pulse: &'a Pulse,
}

impl Writer<'_> {
    fn folder(&self, tree: &Tree<'_>, to: &mut PathBuf) -> Result<()> {
        for entry in tree {
            alive(self.pulse)?;
            let name = OsStr::from_bytes(entry.name_bytes());
            ensure!(is_plain(entry.name_bytes()), "`{}` is no name of a file", name.display());
            to.push(name);
            self.entry(&entry, to).with_context(|| format!("cannot write `{}`", name.display()))?;
            to.pop();
        }
        Ok(())
    }

    fn entry(&self, entry: &TreeEntry<'_>, to: &mut PathBuf) -> Result<()> {
        match (entry.kind(), entry.filemode()) {
            (Some(ObjectType::Tree), _) => {
                DirBuilder::new().mode(0o755).create(&to)?;
                self.folder(&self.repository.find_tree(entry.id())?, to)
            }
            (Some(ObjectType::Commit), _) => Ok(DirBuilder::new().mode(0o755).create(to)?),
            (_, LINK) => self.link(entry, to),
            (_, mode) => self.file(entry, mode == EXECUTABLE, to),
        }
    }

    fn link(&self, entry: &TreeEntry<'_>, to: &Path) -> Result<()> {
        let (size, _) = self.odb.read_header(entry.id())?;
        ensure!(size <= LONGEST_TARGET, "the target of the symlink is {size} bytes long");
        let target = self.repository.find_blob(entry.id())?;
        Ok(symlink(OsStr::from_bytes(target.content()), to)?)
    }

    fn file(&self, entry: &TreeEntry<'_>, executable: bool, to: &Path) -> Result<()> {
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
        let (size, _) = self.odb.read_header(entry.id())?;
        let mut out = Beating { file: &mut file, pulse: self.pulse };
        if size > LARGE {
            if pack::copy(self.repository.path(), entry.id(), &mut out)? {
                // libgit2 checks what it reads itself.
                let is_whole = Oid::hash_file(ObjectType::Blob, to)? == entry.id();
                ensure!(is_whole, Error::new(ErrorKind::InvalidData, "what git keeps of it is damaged"));
                return Ok(());
            }
            // Only what lies in a file of its own can be read so.
            if let Ok((mut content, _, _)) = self.odb.reader(entry.id()) {
                io::copy(&mut content, &mut out)?;
                return Ok(());
            }
        }
        let blob = self.repository.find_blob(entry.id())?;
        Ok(out.write_all(blob.content())?)
    }
}

/// Neither a step elsewhere nor git's own folder, as a file system without case may read it.
fn is_plain(name: &[u8]) -> bool {
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.eq_ignore_ascii_case(b".git")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
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

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn hostile_names_are_none() {
        for name in ["", ".", "..", ".git", ".GIT", "a/b", "a\0"] {
            assert!(!is_plain(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", "...", "a b", "é"] {
            assert!(is_plain(name.as_bytes()), "{name:?}");
        }
    }
}
