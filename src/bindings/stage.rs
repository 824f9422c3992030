//! A private folder beside the bindings, in which files are made before anybody sees them.
//!
//! Its name is random, and noted before it is made: what has that name was made by DockerOps, and goes when a
//! sync was cut off. It lies at the top of `nfs.path`, where no container looks; where another file system is
//! mounted below that, files are made in such a folder beside the place they are to have.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::Stat;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::folder::{Folder, Found, Owner};

/// What the names of such folders begin with.
const PREFIX: &str = ".dockerops-sync-";

/// A name was taken so often: somebody takes them all.
const TRIES: usize = 16;

/// So many random hexadecimal digits.
pub fn random(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    getrandom(&mut random, GetRandomFlags::empty()).context("the system gives no random numbers")?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// What the names of one sync's folders begin with; nobody can guess it.
pub fn name() -> Result<String> {
    Ok(format!("{PREFIX}{}", random(16)?))
}

/// Removed when dropped, with what is in it.
#[derive(Debug)]
pub struct Stage<'a> {
    parent: &'a Folder,
    folder: Folder,
    name: OsString,
    owner: Owner,
}

/// A file or symlink that nobody has seen yet.
#[derive(Debug)]
pub struct Staged {
    name: OsString,
    found: Found,
}

impl<'a> Stage<'a> {
    /// Makes a folder in `parent` whose name begins with `name`; what is made in it will be the owner's.
    pub fn make(parent: &'a Folder, name: &str, owner: Owner) -> Result<Self> {
        let (name, folder) = untaken(|random| {
            let name = OsString::from(format!("{name}-{random}"));
            let folder = parent.make_folder(&name, None, 0o700)?;
            Ok((name, folder))
        })?;
        Ok(Self { parent, folder, name, owner })
    }

    /// A new file, for writing, and its name here.
    pub fn file(&self) -> Result<(File, OsString)> {
        untaken(|random| {
            let name = OsString::from(random);
            Ok((self.folder.new_file(&name)?, name))
        })
    }

    pub fn link(&self, target: &Path) -> Result<Staged> {
        let name = untaken(|random| {
            let name = OsString::from(random);
            self.folder.new_link(&name, target, self.owner)?;
            Ok(name)
        })?;
        self.finished(name)
    }

    /// A file whose content is written.
    pub fn finished(&self, name: OsString) -> Result<Staged> {
        let found = self.folder.look(&name)?.context("it went while it was made")?;
        Ok(Staged { name, found })
    }

    /// What a new file is: with the file system's time, and the owner that new files get.
    pub fn trial(&self) -> Result<Stat> {
        let (file, name) = self.file()?;
        drop(file);
        let stat = self.finished(name.clone())?.found.stat;
        self.folder.unlink(&name)?;
        Ok(stat)
    }

    /// Puts it in the place of `name`, at once, and returns what is known of it since: `None` where somebody wrote
    /// to it already. It stays here where the place is in another file system.
    pub fn put(&self, staged: &Staged, place: &Folder, name: &OsStr) -> Result<Option<Stat>, Errno> {
        self.folder.move_to(&staged.name, place, name)?;
        let (before, now) = (&staged.found.stat, staged.found.now()?);
        let written = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        Ok(Some(now).filter(|now| written(now) == written(before)))
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // What cannot go now goes before the next sync: the name is noted.
        let _ = empty(&self.folder);
        let _ = self.parent.remove_folder(&self.name);
    }
}

/// Removes what a sync that was cut off left in `place`: the folders whose names begin with one of `names`.
pub fn sweep(place: &Folder, names: &[&OsStr]) -> Result<()> {
    for name in place.names()?.into_iter().map(OsString::from_vec) {
        let begins = |start: &&OsStr| name.as_encoded_bytes().starts_with(start.as_encoded_bytes());
        if names.iter().any(begins)
            && let Ok(folder) = place.enter(&name)
        {
            empty(&folder)?;
            place.remove_folder(&name)?;
        }
    }
    Ok(())
}

fn empty(folder: &Folder) -> Result<(), Errno> {
    for name in folder.names()? {
        match folder.unlink(&OsString::from_vec(name)) {
            // DockerOps makes no folders in it.
            Err(Errno::ISDIR | Errno::PERM) => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// Makes something under a random name that nothing has.
fn untaken<T>(mut make: impl FnMut(String) -> Result<T, Errno>) -> Result<T> {
    for _ in 1..TRIES {
        match make(random(8)?) {
            Err(Errno::EXIST) => {}
            done => return Ok(done?),
        }
    }
    Ok(make(random(8)?)?)
}
