//! Stacks: what was applied, what failed and why.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rusqlite::params;

use super::{LastWords, Ran, State, execute, health, history, query_row};
use crate::plain;
use crate::source::SourceUrl;
use crate::stack::{DriftPolicy, StackName};

/// The documented status of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackStatus {
    /// Applied and converged.
    Deployed,
    /// `enabled: false`: removed.
    Stopped,
    /// The last attempt failed; `error` says why.
    Error,
}

impl StackStatus {
    /// The database's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "deployed" => Self::Deployed,
            "stopped" => Self::Stopped,
            _ => Self::Error,
        }
    }
}

/// By the full names of services, their specs as `docker` sums them up.
pub type Specs = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedService {
    /// The image it was asked to run.
    pub image: Option<String>,
    /// What its live spec was after convergence, as `docker` sums it up; empty before that, and of a job.
    pub spec: BTreeMap<String, String>,
}

impl AppliedService {
    /// Whether it is to be there as it was applied: a job is not once it did its work.
    pub fn is_kept(&self) -> bool {
        !self.spec.is_empty()
    }
}

impl StackRow {
    /// Whether it was known before the other.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.id < other.id
    }
}

/// One stack of one source.
#[derive(Debug, Clone)]
pub struct StackRow {
    pub(super) id: i64,
    pub name: StackName,
    /// `repository_cache.url` of its source.
    pub repository_url: SourceUrl,
    /// The compose file, from the repository's root.
    pub compose_path: String,
    /// The fingerprint that converged; empty if none did.
    pub hash: String,
    pub status: StackStatus,
    /// The commit it was last dealt with at.
    pub commit: Option<String>,
    pub drift: DriftPolicy,
    /// The stacks that its manifest says it needs; empty where that is not known.
    pub depends_on: Vec<StackName>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Whether the failure is not to be tried again until the source changes: Swarm rolled it back, or paused it.
    pub held: bool,
    /// Why it stays though its source lists it no more.
    pub stays: Option<String>,
    /// Its services by full name.
    pub services: BTreeMap<String, AppliedService>,
    /// Whether the version that converged was given anew with its jobs, since a tag moved or by force, and failed.
    pub jobs_due: bool,
    /// By full name, what docker was given of a failure that is held.
    pub given: Specs,
    /// When it converged last.
    pub converged: Option<String>,
    /// Since when it is degraded, as the last run found it.
    pub degraded: Option<String>,
    /// By service, what the task that failed last said.
    pub words: BTreeMap<String, LastWords>,
}

impl StackRow {
    /// Whether nothing of it ever converged; the older release noted a hash, and no services.
    pub fn is_unapplied(&self) -> bool {
        self.hash.is_empty() && self.services.is_empty()
    }
}

/// What is to be written about a stack, after the fact.
#[derive(Debug)]
pub struct Record<'a> {
    pub name: &'a StackName,
    /// `repository_cache.url` of its source.
    pub repository_url: &'a SourceUrl,
    /// The compose file, from the repository's root.
    pub compose_path: &'a str,
    pub status: StackStatus,
    /// The fingerprint, if it converged; `None` keeps the earlier one.
    pub hash: Option<&'a str>,
    /// The commit it was dealt with at.
    pub commit: &'a str,
    pub drift: DriftPolicy,
    /// The stacks that its manifest says it needs.
    pub depends_on: &'a [StackName],
    pub error: Option<&'a str>,
    /// Whether to leave it until the source changes.
    pub held: bool,
    /// Its services by full name; `None` keeps the earlier ones.
    pub services: Option<BTreeMap<String, AppliedService>>,
    /// Whether its jobs are to be run by the next attempt; `None` where that stays as it was.
    pub jobs_due: Option<bool>,
    /// What docker was given; kept of a failure that is held.
    pub given: Option<&'a Specs>,
    /// The version that converged.
    pub ran: Option<Ran<'a>>,
}

#[cfg(test)]
impl StackRow {
    /// One of no services, for tests to fill in.
    pub fn of(name: &str, status: StackStatus) -> Self {
        Self {
            id: 1,
            name: StackName::known(name),
            repository_url: "u".into(),
            compose_path: format!("{name}/compose.yml"),
            hash: String::new(),
            status,
            commit: Some("c1".into()),
            drift: DriftPolicy::Correct,
            depends_on: Vec::new(),
            error: None,
            held: false,
            jobs_due: false,
            stays: None,
            services: BTreeMap::new(),
            given: Specs::new(),
            converged: None,
            degraded: None,
            words: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
impl<'a> Record<'a> {
    /// One that failed, for tests to fill in.
    pub fn failed(name: &'a StackName, repository_url: &'a SourceUrl) -> Self {
        Self {
            name,
            repository_url,
            compose_path: "web/compose.yml",
            status: StackStatus::Error,
            hash: None,
            commit: "c",
            drift: DriftPolicy::Correct,
            depends_on: &[],
            error: None,
            held: false,
            jobs_due: None,
            services: None,
            given: None,
            ran: None,
        }
    }
}

/// A JSON list of stack names; what cannot be read is as good as unknown.
fn names(text: &str) -> Vec<StackName> {
    serde_json::from_str::<Vec<String>>(text).unwrap_or_default().into_iter().map(StackName::known).collect()
}

/// What cannot be read is as good as unknown.
fn specs(text: &str) -> Specs {
    serde_json::from_str(text).unwrap_or_default()
}

fn last_words(text: &str) -> BTreeMap<String, LastWords> {
    serde_json::from_str(text).unwrap_or_default()
}

/// What came of it is known.
pub(super) const FORGET_ATTEMPT: &str = "DELETE FROM attempts WHERE name = ?1
     AND repository_id = (SELECT id FROM repository_cache WHERE url = ?2)";

impl State {
    /// All stacks of all sources, by name.
    pub fn stacks(&self) -> Result<Vec<StackRow>> {
        let mut query = self.connection.prepare_cached(
            "SELECT s.id, s.name, s.repository_url, s.compose_path, s.hash, s.status, t.commit_id, t.drift, t.error,
                    coalesce(t.held, 0), coalesce(t.depends_on, '[]'), h.converged, h.degraded, h.words, t.given,
                    t.stays, coalesce(t.jobs_due, 0)
             FROM stacks s LEFT JOIN stack_states t ON t.stack_id = s.id
             LEFT JOIN stack_health h ON h.stack_id = s.id ORDER BY s.name, s.repository_url",
        )?;
        let rows = query.query_map([], |row| {
            let drift: Option<String> = row.get(7)?;
            Ok(StackRow {
                id: row.get(0)?,
                name: StackName::known(row.get::<_, String>(1)?),
                repository_url: row.get(2)?,
                compose_path: row.get(3)?,
                hash: row.get(4)?,
                status: StackStatus::parse(&row.get::<_, String>(5)?),
                commit: row.get(6)?,
                drift: drift.as_deref().and_then(DriftPolicy::parse).unwrap_or_default(),
                error: row.get(8)?,
                held: row.get(9)?,
                jobs_due: row.get(16)?,
                depends_on: names(&row.get::<_, String>(10)?),
                stays: row.get(15)?,
                services: BTreeMap::new(),
                given: row.get::<_, Option<String>>(14)?.map(|given| specs(&given)).unwrap_or_default(),
                converged: row.get(11)?,
                degraded: row.get(12)?,
                words: row.get::<_, Option<String>>(13)?.map(|words| last_words(&words)).unwrap_or_default(),
            })
        })?;
        let mut stacks = rows.collect::<rusqlite::Result<Vec<_>>>().context("cannot read the stacks")?;
        let mut services = self.services()?;
        for stack in &mut stacks {
            stack.services = services.remove(&stack.id).unwrap_or_default();
        }
        Ok(stacks)
    }

    fn services(&self) -> Result<BTreeMap<i64, BTreeMap<String, AppliedService>>> {
        let mut query =
            self.connection.prepare_cached("SELECT stack_id, name, image, spec FROM stack_services")?;
        let mut rows = query.query([])?;
        let mut services: BTreeMap<i64, BTreeMap<String, AppliedService>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            // A spec that cannot be read is as good as none: the next run finds drift and applies again.
            let spec = serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default();
            services
                .entry(row.get(0)?)
                .or_default()
                .insert(row.get(1)?, AppliedService { image: row.get(2)?, spec });
        }
        Ok(services)
    }

    /// Writes what became of a stack, in one transaction.
    pub fn record(&self, record: &Record<'_>) -> Result<()> {
        self.record_inner(record).with_context(|| format!("cannot record the stack `{}`", record.name))
    }

    fn record_inner(&self, record: &Record<'_>) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        execute(&transaction,
            "INSERT INTO stacks (name, repository_url, compose_path, hash, status) VALUES (?1, ?2, ?3, coalesce(?4, ''), ?5)
             ON CONFLICT(name, repository_url)
             DO UPDATE SET compose_path = ?3, hash = coalesce(?4, hash), status = ?5",
            params![
                record.name.as_str(),
                record.repository_url,
                plain::name(record.compose_path),
                record.hash,
                record.status.as_str()
            ],
        )?;
        let id: i64 = query_row(
            &transaction,
            "SELECT id FROM stacks WHERE name = ?1 AND repository_url = ?2",
            params![record.name.as_str(), record.repository_url],
            |row| row.get(0),
        )?;
        execute(
            &transaction,
            "INSERT INTO stack_states (stack_id, commit_id, drift, error, held, depends_on, given, jobs_due)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, 0))
             ON CONFLICT(stack_id) DO UPDATE SET commit_id = ?2, drift = ?3, error = ?4, held = ?5, depends_on = ?6,
                 given = CASE WHEN ?5 THEN coalesce(?7, given) END, stays = NULL,
                 jobs_due = coalesce(?8, jobs_due)",
            params![
                id,
                record.commit,
                record.drift.as_str(),
                record.error.map(plain::text),
                record.held,
                serde_json::to_string(&record.depends_on.iter().map(StackName::as_str).collect::<Vec<_>>())?,
                record.given.filter(|_| record.held).map(serde_json::to_string).transpose()?,
                record.jobs_due,
            ],
        )?;
        health::note(&transaction, id, record.status)?;
        if let Some(ran) = &record.ran {
            history::note(&transaction, id, ran)?;
        }
        if record.status == StackStatus::Stopped {
            history::forget(&transaction, id)?;
        }
        if let Some(services) = &record.services {
            execute(&transaction, "DELETE FROM stack_services WHERE stack_id = ?1", params![id])?;
            for (name, service) in services {
                execute(
                    &transaction,
                    "INSERT INTO stack_services (stack_id, name, image, spec) VALUES (?1, ?2, ?3, ?4)",
                    params![id, name, service.image, serde_json::to_string(&service.spec)?],
                )?;
            }
        }
        execute(&transaction, FORGET_ATTEMPT, params![record.name.as_str(), record.repository_url])?;
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(
        (name, url): (&'a StackName, &'a SourceUrl),
        hash: Option<&'a str>,
        status: StackStatus,
    ) -> Record<'a> {
        let service = AppliedService {
            image: Some("a:1".into()),
            spec: BTreeMap::from([("image".into(), "x".into())]),
        };
        Record {
            status,
            hash,
            drift: DriftPolicy::Report,
            services: hash.map(|_| BTreeMap::from([("web_a".to_owned(), service)])),
            ..Record::failed(name, url)
        }
    }

    #[test]
    fn a_failed_attempt_keeps_the_hash_and_services_that_converged() {
        let (state, name, url) = (State::in_memory(), StackName::known("web"), "u".into());
        let needs = [StackName::known("db"), StackName::known("a-queue")];
        let deployed =
            Record { depends_on: &needs, ..record((&name, &url), Some("h1"), StackStatus::Deployed) };
        state.record(&deployed).unwrap();
        assert_eq!(state.stacks().unwrap()[0].depends_on, needs);
        let given =
            Specs::from([("web_a".to_owned(), BTreeMap::from([("image".to_owned(), "y".to_owned())]))]);
        let failed = Record {
            error: Some("why"),
            held: true,
            given: Some(&given),
            ..record((&name, &url), None, StackStatus::Error)
        };
        state.record(&failed).unwrap();
        // Told again, it is the same failure.
        state.record(&Record { given: None, ..failed }).unwrap();
        assert_eq!(state.stacks().unwrap()[0].given, given);
        let rows = state.stacks().unwrap();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((&*row.hash, row.status, row.held), ("h1", StackStatus::Error, true));
        assert_eq!((row.error.as_deref(), row.drift), (Some("why"), DriftPolicy::Report));
        assert_eq!(row.services["web_a"].image.as_deref(), Some("a:1"));
        state.record(&record((&name, &url), Some("h2"), StackStatus::Deployed)).unwrap();
        assert!(state.stacks().unwrap()[0].given.is_empty());
        state.note_stays(&state.stacks().unwrap()[0], Some("it stays")).unwrap();
        assert_eq!(state.stacks().unwrap()[0].stays.as_deref(), Some("it stays"));
        state.record(&record((&name, &url), None, StackStatus::Deployed)).unwrap();
        assert_eq!(state.stacks().unwrap()[0].stays, None);
        state.forget_stack(&name, &url).unwrap();
        assert!(state.stacks().unwrap().is_empty());
        assert!(state.services().unwrap().is_empty());
    }
}
