//! One writer: an advisory lock beside the database.
//!
//! The kernel drops the lock with its holder, so a dead holder's lock is no obstacle. The file's text
//! (pid and start) only tells others who holds it.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{Local, SecondsFormat};

use crate::fault::{OrHint, fault};

const WRITABLE: &str =
    "the folder must be writable and have room; `DOCKEROPS_DB_PATH` says where the database and its lock lie";

/// Held until dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding the file is holding the lock")] File);

/// Another run holds the lock. `main` turns it into exit code 4.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "another run holds the lock `{}`", self.path.display())
    }
}

/// Takes the lock at `path` or fails at once with `Held`.
///
/// The file tells others the pid, since when, which command it is and on which host: in a container a pid alone
/// says little.
pub fn take(path: &Path, command: &str) -> Result<Lock> {
    let what = || format!("cannot lock `{}`", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).with_context(what).or_hint(WRITABLE)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            let holder = if text.trim().is_empty() { "a run that has just begun" } else { text.trim() };
            let hint = "run again when it has ended; `dockerops status` works meanwhile";
            return Err(fault(holder, hint).context(Held { path: path.into() }));
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(what),
    }
    let since = Local::now().to_rfc3339_opts(SecondsFormat::Secs, false);
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let text = format!("pid {} since {since}, `dockerops {command}` on {host}\n", std::process::id());
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
    written.with_context(what).or_hint(WRITABLE)?;
    Ok(Lock(file))
}

/// The file in the folder of a run that is locked as long as it lives.
pub const OF_A_RUN: &str = "lock";

/// Whether somebody holds the lock at `path`. Who may not look there takes it for held: the next run knows, and clears away.
pub fn is_held(path: &Path) -> bool {
    match File::open(path) {
        Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it_and_a_dropped_lock_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let lock = take(&path, "watch").unwrap();
        let error = take(&path, "watch").unwrap_err();
        assert!(error.downcast_ref::<Held>().is_some());
        assert!(format!("{error:#}").contains(&format!("pid {} since 2", std::process::id())), "{error}");
        assert!(format!("{error:#}").contains("`dockerops watch` on "), "{error:#}");
        drop(lock);
        take(&path, "watch").unwrap();
    }
}
