//! Watched sources: `repository_cache`, and what was last synced of each.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use rusqlite::params;

use super::{State, execute, now, query_row};
use crate::hold::Hold;
use crate::plain;
use crate::source::SourceUrl;
use crate::stack::StackName;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// `repository_cache.id`.
    pub id: i64,
    /// The source as it was watched.
    pub url: SourceUrl,
    pub last_watch: String,
    /// The commit whose every stack was dealt with; `None` before that.
    pub commit: Option<String>,
    /// Why the last sync of it failed as a whole, if it did.
    pub error: Option<String>,
    /// How often its files were read: the run that read them last decides about its stacks.
    pub asked: i64,
    /// Whether a commit was begun, and not brought to its end: the stacks may be those of another one than `commit`.
    pub is_begun: bool,
    /// What tells the policy that `commit` was read under; empty without one.
    pub policy: String,
}

impl State {
    /// All watched sources, in the order they were watched.
    pub fn sources(&self) -> Result<Vec<SourceRow>> {
        let mut query = self.connection.prepare_cached(
            "SELECT r.id, r.url, r.last_watch, s.commit_id, s.error, coalesce(s.asked, 0), coalesce(s.begun, 0),
                 coalesce(s.policy, '')
             FROM repository_cache r LEFT JOIN source_states s ON s.repository_id = r.id ORDER BY r.id",
        )?;
        let rows = query.query_map([], |row| {
            Ok(SourceRow {
                id: row.get(0)?,
                url: row.get(1)?,
                last_watch: row.get(2)?,
                commit: row.get(3)?,
                error: row.get(4)?,
                asked: row.get(5)?,
                is_begun: row.get(6)?,
                policy: row.get(7)?,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the watched sources")
    }

    /// Remembers a source; its stacks are recorded as they are dealt with.
    pub fn remember(&self, url: &SourceUrl) -> Result<SourceRow> {
        let last_watch = now();
        execute(
            &self.connection,
            "INSERT INTO repository_cache (url, last_watch) VALUES (?1, ?2)",
            params![url, last_watch],
        )
        .with_context(|| format!("cannot remember `{url}`"))?;
        let id = self.connection.last_insert_rowid();
        Ok(SourceRow {
            id,
            url: url.clone(),
            last_watch,
            commit: None,
            error: None,
            asked: 0,
            is_begun: false,
            policy: String::new(),
        })
    }

    /// As `remember`, with the holds by hand on it and its stacks that the Swarm knows of.
    pub fn remember_held(&self, url: &SourceUrl, holds: &[(Option<StackName>, Hold)]) -> Result<SourceRow> {
        let transaction = self.connection.unchecked_transaction()?;
        let row = self.remember(url)?;
        for (stack, hold) in holds {
            self.note_hold(&row, stack.as_ref(), hold)?;
        }
        transaction.commit().with_context(|| format!("cannot remember `{url}`"))?;
        Ok(row)
    }

    /// Notes that a run has read the files of a source, and from now on decides about its stacks: the number of
    /// such runs.
    pub fn note_asked(&self, source: &SourceRow) -> Result<i64> {
        let insert = "INSERT INTO source_states (repository_id, asked, begun) VALUES (?1, 1, 1)
             ON CONFLICT(repository_id) DO UPDATE SET asked = asked + 1, begun = 1 RETURNING asked";
        let asked = query_row(&self.connection, insert, params![source.id], |row| row.get(0));
        asked.with_context(|| format!("cannot record that `{}` is synced", source.url))
    }

    /// Notes a sync: the commit, and the policy it was read under, if every stack of it was dealt with, `error` if the
    /// source failed whole.
    pub fn note_sync(
        &self,
        source: &SourceRow,
        whole: Option<(&str, &str)>,
        error: Option<&str>,
    ) -> Result<()> {
        let (commit, policy) = whole.unzip();
        let transaction = self.connection.unchecked_transaction()?;
        if error.is_none() {
            execute(
                &transaction,
                "UPDATE repository_cache SET last_watch = ?2 WHERE id = ?1",
                params![source.id, now()],
            )?;
        }
        execute(
            &transaction,
            "INSERT INTO source_states (repository_id, commit_id, error, policy)
                 VALUES (?1, ?2, ?3, coalesce(?4, ''))
             ON CONFLICT(repository_id) DO UPDATE SET commit_id = coalesce(?2, commit_id), error = ?3,
                 policy = coalesce(?4, policy), begun = CASE WHEN ?2 IS NULL THEN begun ELSE 0 END",
            params![source.id, commit, error.map(plain::text), policy],
        )?;
        transaction.commit().with_context(|| format!("cannot record the sync of `{}`", source.url))
    }

    /// Notes that nothing had changed in these sources, in one transaction.
    pub fn note_unchanged(&self, sources: &[&SourceRow]) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let now = now();
        for source in sources {
            execute(
                &transaction,
                "UPDATE repository_cache SET last_watch = ?2 WHERE id = ?1",
                params![source.id, now],
            )?;
            execute(
                &transaction,
                "UPDATE source_states SET error = NULL WHERE repository_id = ?1",
                params![source.id],
            )?;
        }
        transaction.commit().context("cannot record the sync")
    }

    /// Forgets a source, the rows of its stacks, and what it built.
    pub fn forget(&self, source: &SourceRow) -> Result<()> {
        self.forget_builds(source, &BTreeSet::new())?;
        let transaction = self.connection.unchecked_transaction()?;
        execute(&transaction, "DELETE FROM stacks WHERE repository_url = ?1", params![source.url])?;
        execute(&transaction, "DELETE FROM bindings WHERE repository_url = ?1", params![source.url])?;
        execute(&transaction, "DELETE FROM repository_cache WHERE id = ?1", params![source.id])?;
        transaction.commit().with_context(|| format!("cannot forget `{}`", source.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_keeps_the_commit_and_the_date() {
        let state = State::in_memory();
        let source = state.remember(&"https://x/y".into()).unwrap();
        state.note_sync(&source, Some(("c1", "")), None).unwrap();
        state.note_sync(&source, None, Some("unreachable")).unwrap();
        let row = &state.sources().unwrap()[0];
        assert_eq!((row.commit.as_deref(), row.error.as_deref()), (Some("c1"), Some("unreachable")));
        state.note_sync(&source, Some(("c2", "p")), None).unwrap();
        let row = &state.sources().unwrap()[0];
        assert_eq!((row.commit.as_deref(), row.error.as_deref()), (Some("c2"), None));
        state.forget(&source).unwrap();
        assert!(state.sources().unwrap().is_empty());
    }
}
