//! Whether the database is still the one that this daemon works with: one that vanished holds all that is watched,
//! and a new one in its place would look as if nothing were.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Error, Result};

use crate::fault::fault;
use crate::state::State;

/// The file, and which one it was when it was last worked with.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    known: Mutex<Option<Identity>>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Database {
    /// As it is now; it may not be there yet.
    pub fn new(path: &Path) -> Self {
        let new = Self { path: path.to_owned(), known: Mutex::default() };
        new.note();
        new
    }

    /// From now on this is the file to be worked with.
    pub fn note(&self) {
        if let Some(now) = fs::metadata(&self.path).ok().map(|file| (file.dev(), file.ino())) {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
    }

    /// What became of the file, if it cannot be what was worked with. Another file that knows of repositories was
    /// put there by somebody who meant it.
    pub fn lost(&self) -> Option<&'static str> {
        let known = (*self.known.lock().unwrap_or_else(PoisonError::into_inner))?;
        let file = match fs::metadata(&self.path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Some("vanished while it was in use");
            }
            // Whoever opens it tells why that fails.
            Err(_) => return None,
        };
        if file.len() == 0 {
            return Some("was emptied while it was in use");
        }
        let watches =
            || State::read(&self.path).and_then(|state| state.map_or(Ok(vec![]), |state| state.sources()));
        let is_new = (file.dev(), file.ino()) != known && watches().is_ok_and(|sources| sources.is_empty());
        is_new.then_some("was replaced, while it was in use, by one in which nothing is watched")
    }

    /// Fails while it is lost: nothing may be done as if nothing were watched.
    pub fn check(&self) -> Result<()> {
        self.lost().map_or(Ok(()), |why| Err(self.error(why)))
    }

    fn error(&self, why: &str) -> Error {
        fault(
            format!("the database `{}` {why}; nothing is synced", self.path.display()),
            "put the file back, or restart `dockerops run` to begin anew: running stacks are adopted by their labels",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_there_can_be_lost_and_it_can_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("x.db"), folder.path().join("away"));
        let database = Database::new(&path);
        assert_eq!(database.lost(), None, "it never was there");
        drop(State::open(&path).unwrap());
        database.note();
        assert!(database.check().is_ok());
        fs::rename(&path, &away).unwrap();
        assert!(database.lost().unwrap().contains("vanished"));
        assert!(format!("{:#}", database.check().unwrap_err()).contains("x.db"));
        drop(State::open(&path).unwrap());
        assert!(database.lost().unwrap().contains("nothing is watched"));
        State::open(&path).unwrap().remember(&"/repo".into()).unwrap();
        assert_eq!(database.lost(), None, "somebody watches something in it");
        fs::rename(&away, &path).unwrap();
        assert_eq!(database.lost(), None, "it is back");
        fs::write(&path, "").unwrap();
        assert!(database.lost().unwrap().contains("emptied"));
    }
}
