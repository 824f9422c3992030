//! What git may read on this machine's own disk of one repository: what lies in it, and what its owner has elsewhere.
//!
//! Root does the reading. Whoever writes there could lead it elsewhere: by a symlink, by a line of
//! `objects/info/alternates`, by a hard link to a file that is not theirs to read.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use git2::Repository;

use crate::fault::fault;
use crate::plain;

/// What libgit2 opens below git's own folder, other than objects.
const NAMES: [&str; 8] =
    ["HEAD", "commondir", "config", "config.worktree", "info", "packed-refs", "refs", "shallow"];
/// The longest list of borrowed folders taken, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Bounds<'a> {
    /// What a symlink or a line leads to belongs to this user.
    pub owner: u32,
    /// And lies in here, where that is bounded.
    pub folder: Option<&'a Path>,
}

impl Bounds<'_> {
    /// Fails where what tells the names of commits in `repository` leads out.
    pub(super) fn check_names(&self, repository: &Repository) -> Result<()> {
        for git in [repository.path(), repository.commondir()] {
            for name in NAMES {
                self.walk(git.join(name))?;
            }
        }
        Ok(())
    }

    /// Fails where anything that is read of `repository` leads out: its objects, and those it borrows, too.
    pub(super) fn check(&self, repository: &Repository) -> Result<()> {
        self.check_names(repository)?;
        let (mut left, mut known) = (vec![repository.commondir().join("objects")], BTreeSet::new());
        while let Some(objects) = left.pop() {
            if known.insert(objects.clone()) {
                self.walk(objects.clone())?;
                left.extend(self.borrowed(&objects)?);
            }
        }
        Ok(())
    }

    /// Whether what lies at `path`, which has no symlink in it, may be read.
    pub(super) fn hold(&self, path: &Path) -> bool {
        self.folder.is_none_or(|folder| path.starts_with(folder))
            && path.metadata().is_ok_and(|found| found.uid() == self.owner)
    }

    fn walk(&self, path: PathBuf) -> Result<()> {
        let (mut left, mut known) = (vec![path], BTreeSet::new());
        while let Some(path) = left.pop() {
            let what = || format!("`{}` cannot be read", name(&path));
            let Some(found) = existing(path.symlink_metadata()).with_context(what)? else { continue };
            if found.is_symlink() {
                let Some(real) = existing(path.canonicalize()).with_context(what)? else { continue };
                if !self.hold(&real) {
                    return Err(refusal(&path));
                }
                left.push(real);
            } else if found.is_dir() {
                if !known.insert(path.clone()) {
                    continue;
                }
                for entry in existing(fs::read_dir(&path)).with_context(what)?.into_iter().flatten() {
                    left.push(entry.with_context(what)?.path());
                }
            } else if !found.is_file() || (found.uid() != self.owner && found.nlink() > 1) {
                return Err(refusal(&path));
            }
        }
        Ok(())
    }

    /// The folders that are borrowed by the one of `objects`, each line as libgit2 reads it.
    fn borrowed(&self, objects: &Path) -> Result<Vec<PathBuf>> {
        let list = objects.join("info/alternates");
        let what = || format!("`{}` cannot be read", name(&list));
        let Some(file) = existing(File::open(&list)).with_context(what)? else { return Ok(Vec::new()) };
        // Its lines are told: they are of the file that is open, whatever lies there by now.
        let found = file.metadata().with_context(what)?;
        if found.uid() != self.owner || found.len() > MOST_BYTES {
            return Err(refusal(&list));
        }
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text).with_context(what)?;
        let lines =
            text.split(|byte| b"\r\n".contains(byte)).filter(|line| !line.is_empty() && line[0] != b'#');
        let led = lines.map(|line| {
            // Anything else begins where this program happens to have been started.
            let is_path = line[0] == b'/' || line[0] == b'.';
            let real = objects.join(OsStr::from_bytes(line)).canonicalize();
            real.ok().filter(|real| is_path && self.hold(real)).ok_or_else(|| {
                fault(
                    format!(
                        "it borrows objects from `{}`, which is refused: that is not its owner's, or not within reach",
                        plain::name(&String::from_utf8_lossy(line))
                    ),
                    "`git repack -a -d` copies them; then remove `objects/info/alternates`",
                )
            })
        });
        led.collect()
    }
}

/// git removes files while it works.
fn existing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

pub(super) fn refusal(path: &Path) -> anyhow::Error {
    fault(
        format!("`{}` leads to what this source does not reach, which is refused", name(path)),
        "a repository on this machine holds its files itself, and its symlinks lead to what its owner has: copy there \
         what they lead to, and `chown` it",
    )
}

fn name(path: &Path) -> String {
    plain::name(&path.display().to_string())
}
