//! What a run is at just now: sources it fetches and syncs, images it builds or pulls, stacks it gives to docker or removes. Others
//! may see it as long as the run lives.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use rusqlite::params;
use serde::Serialize;

use super::{State, execute};
use crate::lock;
use crate::plain;
use crate::source::SourceUrl;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkKind {
    /// It is built, and pushed.
    Building,
    /// It is brought to this node.
    Pulling,
    /// A stack is being given to docker.
    Deploying,
    /// A stack is being removed.
    Removing,
    /// A source's commit is being fetched, and takes its time.
    Fetching,
    /// A source was read, and not all of it has come to rest.
    Syncing,
    /// A stack waits for what is to be known first.
    Waiting,
}

impl WorkKind {
    /// The database's word, and that of people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Pulling => "pulling",
            Self::Deploying => "deploying",
            Self::Removing => "removing",
            Self::Fetching => "fetching",
            Self::Syncing => "syncing",
            Self::Waiting => "waiting",
        }
    }
}

/// Work under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    pub kind: WorkKind,
    /// The image, the stack, or the source as it is watched.
    pub what: String,
    pub since: DateTime<Utc>,
    /// Of what waits: the stack's source as it is watched, and what for.
    pub repository: Option<SourceUrl>,
    pub why: Option<String>,
}

impl State {
    /// Notes that `run`, by the name of its folder, has begun.
    pub fn begin_work(&self, run: &str, kind: WorkKind, what: &str) -> Result<()> {
        execute(
            &self.connection,
            "INSERT OR REPLACE INTO work (run, kind, image, since) VALUES (?1, ?2, ?3, ?4)",
            params![run, kind.as_str(), what, Utc::now().timestamp_millis()],
        )
        .with_context(|| format!("cannot note what is done to `{what}`"))?;
        Ok(())
    }

    /// Notes that a stack of `repository` waits, and what for; since when stays as it was.
    pub fn note_wait(&self, run: &str, stack: &str, repository: &SourceUrl, why: &str) -> Result<()> {
        execute(
            &self.connection,
            "INSERT INTO work (run, kind, image, since, repository, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT(run, kind, image) DO UPDATE SET repository = ?5, why = ?6",
            params![
                run,
                WorkKind::Waiting.as_str(),
                stack,
                Utc::now().timestamp_millis(),
                repository,
                plain::text(why)
            ],
        )
        .with_context(|| format!("cannot note what `{stack}` waits for"))?;
        Ok(())
    }

    /// Notes that it came to its end.
    pub fn end_work(&self, run: &str, kind: WorkKind, what: &str) -> Result<()> {
        let delete = "DELETE FROM work WHERE run = ?1 AND kind = ?2 AND image = ?3";
        let done = execute(&self.connection, delete, params![run, kind.as_str(), what]);
        done.with_context(|| format!("cannot note what was done to `{what}`"))?;
        Ok(())
    }

    /// What runs that live are at.
    pub fn work(&self) -> Result<Vec<Work>> {
        let all = self.all_work()?;
        let shown = all.into_iter().filter(|(_, work)| work.kind != WorkKind::Syncing);
        Ok(shown.filter(|(run, _)| self.lives(run)).map(|(_, work)| work).collect())
    }

    /// The sources that other runs than `run`, which live, have read and not brought to rest, as they were watched.
    pub fn synced_elsewhere(&self, run: &str) -> Result<BTreeSet<String>> {
        self.elsewhere(run, |kind| kind == WorkKind::Syncing)
    }

    /// The stacks that other runs than `run`, which live, are giving to docker, or removing.
    pub fn given_elsewhere(&self, run: &str) -> Result<BTreeSet<String>> {
        self.elsewhere(run, |kind| matches!(kind, WorkKind::Deploying | WorkKind::Removing))
    }

    fn elsewhere(&self, run: &str, of: impl Fn(WorkKind) -> bool) -> Result<BTreeSet<String>> {
        let all = self.all_work()?.into_iter();
        let theirs = all.filter(|(other, work)| of(work.kind) && other != run);
        Ok(theirs.filter(|(other, _)| self.lives(other)).map(|(_, work)| work.what).collect())
    }

    /// Forgets all that a run was at.
    pub fn forget_work(&self, run: &str) -> Result<()> {
        let done = execute(&self.connection, "DELETE FROM work WHERE run = ?1", params![run]);
        done.map(drop).context("cannot forget what a run was at")
    }

    /// Forgets what runs were at that live no more.
    pub fn forget_dead_work(&self) -> Result<()> {
        let dead = self.all_work()?.into_iter().filter(|(run, _)| !self.lives(run));
        dead.into_iter().try_for_each(|(run, _)| self.forget_work(&run))
    }

    fn all_work(&self) -> Result<Vec<(String, Work)>> {
        let mut query = self.connection.prepare_cached(
            "SELECT run, kind, image, since, repository, why FROM work ORDER BY since, image",
        )?;
        let rows = query.query_map([], |row| {
            let kind = match row.get::<_, String>(1)?.as_str() {
                "building" => WorkKind::Building,
                "deploying" => WorkKind::Deploying,
                "removing" => WorkKind::Removing,
                "fetching" => WorkKind::Fetching,
                "syncing" => WorkKind::Syncing,
                "waiting" => WorkKind::Waiting,
                _ => WorkKind::Pulling,
            };
            let since = DateTime::from_timestamp_millis(row.get(3)?).unwrap_or_default();
            let (repository, why) = (row.get(4)?, row.get(5)?);
            Ok((row.get(0)?, Work { kind, what: row.get(2)?, since, repository, why }))
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read what is under way")
    }

    /// A run that lives holds the lock of its folder.
    fn lives(&self, run: &str) -> bool {
        let Some(database) = self.connection.path().filter(|path| !path.is_empty()) else { return false };
        lock::is_held(&PathBuf::from(format!("{database}.checkouts")).join(run).join(lock::OF_A_RUN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn work_shows_as_long_as_its_run_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let state = State::open(&path).unwrap();
        let folder = dir.path().join("x.db.checkouts/run-1");
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join(lock::OF_A_RUN)).unwrap();
        lock.lock().unwrap();
        state.begin_work("run-1", WorkKind::Building, "a:1").unwrap();
        state.begin_work("run-1", WorkKind::Pulling, "b:1").unwrap();
        state.begin_work("run-0", WorkKind::Building, "dead:1").unwrap();
        let images = || state.work().unwrap().into_iter().map(|work| work.what).collect::<Vec<_>>();
        assert_eq!(images(), ["a:1", "b:1"]);
        for why in ["one", "two"] {
            state.note_wait("run-1", "web", &"u".into(), why).unwrap();
        }
        let waits = state.work().unwrap().pop().unwrap();
        assert_eq!((waits.kind, waits.why.as_deref()), (WorkKind::Waiting, Some("two")));
        state.end_work("run-1", WorkKind::Waiting, "web").unwrap();
        state.forget_dead_work().unwrap();
        assert_eq!(state.all_work().unwrap().len(), 2);
        state.end_work("run-1", WorkKind::Building, "a:1").unwrap();
        assert_eq!(images(), ["b:1"]);
        drop(lock);
        // A program that another test starts has it too, from its fork until its exec.
        let gone = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            images().is_empty()
        });
        assert!(gone, "{:?}", images());
    }
}
