//! What DockerOps remembers, in `SQLite`: disposable, since labels on the services tell the same.
//!
//! In: facts, after they happened. Out: rows. The documented tables (`images`, `stacks`,
//! `repository_cache`) keep their columns and meaning; what more is needed lies in further tables.

mod access;
mod bindings;
mod builds;
mod events;
mod health;
mod history;
mod holds;
mod images;
mod jobs;
mod key;
mod leaving;
mod migrations;
mod motions;
mod sources;
mod stacks;
mod texts;
mod work;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Error, Result};
use chrono::{Local, SecondsFormat};
use rusqlite::{Connection, ErrorCode, OpenFlags, Params, Row};

use crate::clock;
use crate::fault::{OrHint, fault, hint_of};

pub use access::closed;
pub use bindings::{BindingFile, BindingRow};
pub use builds::BuildRow;
pub use events::{Event, EventRow, Level};
pub use health::LastWords;
pub use history::{Needed, Ran, Version};
pub use holds::{HoldRow, OnHold};
pub use images::ImageRow;
pub use jobs::{Jobs, Phase, Step};
pub use motions::{Given, GivenHow, Motion, Versions};
pub use sources::SourceRow;
pub use stacks::{AppliedService, Record, Specs, StackRow, StackStatus};
pub use texts::Texts;
pub use work::{Work, WorkKind};

/// The database, open.
#[derive(Debug)]
pub struct State {
    connection: Connection,
    /// Another one for each connection of this process.
    number: u64,
}

/// What is the same for as long as nobody writes to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition(u64, i64, u64);

impl State {
    fn of(connection: Connection) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { connection, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Opens the database at `path` for writing; makes it (folder 0700, file 0600; see `access`) and migrates it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_inner(path).map_err(|error| trouble(error, path))
    }

    fn open_inner(path: &Path) -> Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        access::restrict(path)?;
        let connection = Connection::open(path)?;
        prepare(&connection)?;
        migrations::migrate(&connection)?;
        Ok(Self::of(connection))
    }

    /// Opens the database at `path` for reading, `None` where there is none. An older one is migrated in
    /// memory: looking changes nothing.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let read = || if path.try_exists()? { Self::read_inner(path).map(Some) } else { Ok(None) };
        read().map_err(|error| trouble(error, path))
    }

    /// Opens the database at `path` for a run that writes nothing: an older one stays as old as it is, and none is made.
    pub fn preview(path: &Path) -> Result<Self> {
        match Self::read(path)? {
            Some(copy) if copy.is_copy() => Ok(copy),
            Some(_) => Self::open(path),
            None => Self::nowhere().map_err(|error| trouble(error, path)),
        }
    }

    /// An empty one, which is gone with this.
    fn nowhere() -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        prepare(&connection)?;
        migrations::migrate(&connection)?;
        Ok(Self::of(connection))
    }

    fn read_inner(path: &Path) -> Result<Self> {
        let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        prepare(&file)?;
        if migrations::is_current(&file)? {
            return Ok(Self::of(file));
        }
        let mut connection = Connection::open_in_memory()?;
        rusqlite::backup::Backup::new(&file, &mut connection)?.run_to_completion(
            100,
            Duration::ZERO,
            None,
        )?;
        prepare(&connection)?;
        migrations::migrate(&connection)?;
        Ok(Self::of(connection))
    }

    /// A number that is another one after anybody else wrote to the database.
    pub fn version(&self) -> Result<i64> {
        let version = query_row(&self.connection, "PRAGMA data_version", [], |row| row.get(0));
        version.context("cannot ask the database")
    }

    /// Which it is: another one after anybody wrote to it, this connection too.
    pub fn edition(&self) -> Result<Edition> {
        Ok(Edition(self.number, self.version()?, self.connection.total_changes()))
    }

    /// Whether this is a copy in memory, which is never another one: the file is of an older release.
    pub fn is_copy(&self) -> bool {
        self.connection.path().is_none_or(str::is_empty)
    }

    /// Forgets everything: sources, stacks, images, events and the key.
    pub fn clear(&self) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let images =
            ["images", "foreign_images", "image_digests", "failed_rolls", "kept_images", "installation"];
        for table in ["stacks", "repository_cache", "bindings", "events", "work"].into_iter().chain(images) {
            execute(&transaction, &format!("DELETE FROM {table}"), [])?;
        }
        transaction.commit().context("cannot empty the database")
    }

    #[cfg(test)]
    pub fn in_memory() -> Self {
        Self::nowhere().unwrap()
    }
}

/// Names the database, and the way out, in an error that came from it, wherever that was; leaves others alone.
pub fn explain(error: Error, database: &Path) -> Error {
    let from_database = cause(&error).is_some() && hint_of(&error).is_none();
    if from_database { trouble(error, database) } else { error }
}

fn cause(error: &Error) -> Option<&rusqlite::Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn trouble(error: Error, database: &Path) -> Error {
    let named = error.context(format!("the database `{}`", database.display()));
    if hint_of(&named).is_some() {
        return named;
    }
    let hint = match cause(&named).and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::DiskFull) => "make room on its disk and run again: the next run goes on from there",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program has it open; end that one and run again"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "the file and its folder must be writable; `DOCKEROPS_DB_PATH` says where it lies"
        }
        _ => "if the file is damaged, move it away: `dockerops watch` adopts running stacks by their labels",
    };
    fault(format!("{named:#}"), hint)
}

/// Makes the folder of the database, for root alone.
pub fn make_folder(database: &Path) -> Result<()> {
    let Some(folder) = database.parent() else { return Ok(()) };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))
        .or_hint("`DOCKEROPS_DB_PATH` says where the database lies")
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // All that a turn of the loop asks.
    connection.set_prepared_statement_cache_capacity(128);
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// A statement that is prepared once.
fn execute(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

/// Likewise, of one row.
fn query_row<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached(sql)?.query_row(params, read)
}

/// The time as rows and people read it: local, with its offset.
pub fn now() -> String {
    clock::wall().with_timezone(&Local).to_rfc3339_opts(SecondsFormat::Secs, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn folder_and_file_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/dockerops.db");
        make_folder(&path).unwrap();
        State::open(&path).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    }

    #[test]
    fn reading_an_older_database_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        migrations::tests::older_release(&path);
        let before = std::fs::read(&path).unwrap();
        let state = State::read(&path).unwrap().unwrap();
        assert_eq!(state.sources().unwrap()[0].url.as_str(), "https://github.com/org/repo.git");
        assert_eq!(state.stacks().unwrap()[0].name.as_str(), "web");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert!(State::read(&dir.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        std::fs::write(&path, "this is no database, it is a text".repeat(200)).unwrap();
        let error = State::open(&path).unwrap_err();
        assert!(format!("{error:#}").contains("x.db"), "{error:#}");
        assert!(State::read(&path).is_err());
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is no database"));
    }
}
