//! Bindings: what was copied where, so that only that is ever removed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::params;

use super::{State, execute};
use crate::source::SourceUrl;

/// A folder or file that a source had copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingRow {
    id: i64,
    /// `repository_cache.url` of its source.
    pub repository_url: SourceUrl,
    /// `nfs.path`.
    pub root: PathBuf,
    /// Below it.
    pub path: PathBuf,
}

/// A file, folder or symlink that a sync put into a binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindingFile {
    /// Below the binding.
    pub path: PathBuf,
    /// What it is, in the words of the sync.
    pub content: Vec<u8>,
    /// By what the sync sees that nobody touched it; empty where it must look.
    pub stamp: Vec<u8>,
}

fn path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

impl State {
    /// All bindings of all sources.
    pub fn bindings(&self) -> Result<Vec<BindingRow>> {
        let mut query = self
            .connection
            .prepare_cached("SELECT id, repository_url, root, path FROM bindings ORDER BY root, path")?;
        let rows = query.query_map([], |row| {
            Ok(BindingRow {
                id: row.get(0)?,
                repository_url: row.get(1)?,
                root: path(row.get(2)?),
                path: path(row.get(3)?),
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the bindings")
    }

    /// What syncs put into a binding.
    pub fn binding_files(&self, binding: &BindingRow) -> Result<BTreeSet<BindingFile>> {
        let mut query = self
            .connection
            .prepare_cached("SELECT path, content, stamp FROM binding_files WHERE binding_id = ?1")?;
        let rows = query.query_map(params![binding.id], |row| {
            Ok(BindingFile { path: path(row.get(0)?), content: row.get(1)?, stamp: row.get(2)? })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the files of a binding")
    }

    /// Claims a place for a source, if it is not its own already.
    pub fn claim_binding(&self, repository_url: &SourceUrl, root: &Path, below: &Path) -> Result<BindingRow> {
        let (root_bytes, path_bytes) = (root.as_os_str().as_bytes(), below.as_os_str().as_bytes());
        execute(
            &self.connection,
            "INSERT OR IGNORE INTO bindings (repository_url, root, path) VALUES (?1, ?2, ?3)",
            params![repository_url, root_bytes, path_bytes],
        )?;
        let id = self.connection.query_row(
            "SELECT id FROM bindings WHERE root = ?1 AND path = ?2",
            params![root_bytes, path_bytes],
            |row| row.get(0),
        )?;
        Ok(BindingRow { id, repository_url: repository_url.clone(), root: root.into(), path: below.into() })
    }

    /// Makes `files` the list of what lies in a binding, in one transaction that writes what differs.
    pub fn note_binding_files(
        &self,
        binding: &BindingRow,
        before: &BTreeSet<BindingFile>,
        files: &BTreeSet<BindingFile>,
    ) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        {
            let mut drop = transaction.prepare_cached(
                "DELETE FROM binding_files WHERE binding_id = ?1 AND path = ?2 AND content = ?3",
            )?;
            for BindingFile { path, content, .. } in before.difference(files) {
                drop.execute(params![binding.id, path.as_os_str().as_bytes(), content])?;
            }
            let mut add = transaction.prepare_cached("INSERT INTO binding_files VALUES (?1, ?2, ?3, ?4)")?;
            for BindingFile { path, content, stamp } in files.difference(before) {
                add.execute(params![binding.id, path.as_os_str().as_bytes(), content, stamp])?;
            }
        }
        transaction.commit().context("cannot record the files of a binding")
    }

    /// Forgets a binding and the list of its files.
    pub fn forget_binding(&self, binding: &BindingRow) -> Result<()> {
        execute(&self.connection, "DELETE FROM bindings WHERE id = ?1", params![binding.id])
            .context("cannot forget a binding")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_files_follows_and_goes_with_its_binding() {
        let state = State::in_memory();
        let row = state.claim_binding(&"u".into(), Path::new("/nfs"), Path::new("conf")).unwrap();
        assert_eq!(state.claim_binding(&"u".into(), Path::new("/nfs"), Path::new("conf")).unwrap(), row);
        let file = |path: &[u8], content: &[u8], stamp: &[u8]| BindingFile {
            path: OsString::from_vec(path.to_vec()).into(),
            content: content.into(),
            stamp: stamp.into(),
        };
        let one =
            BTreeSet::from([file(b"", b"d", b""), file(b"a\n\xff", b"f1", b""), file(b"b", b"f2", b"s")]);
        state.note_binding_files(&row, &BTreeSet::new(), &one).unwrap();
        assert_eq!(state.binding_files(&row).unwrap(), one);
        let two = BTreeSet::from([file(b"a\n\xff", b"f1", b"s"), file(b"a\n\xff", b"f2", b"")]);
        state.note_binding_files(&row, &one, &two).unwrap();
        assert_eq!(state.binding_files(&row).unwrap(), two);
        state.forget_binding(&row).unwrap();
        assert!(state.bindings().unwrap().is_empty() && state.binding_files(&row).unwrap().is_empty());
    }
}
