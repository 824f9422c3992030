//! Deploys in motion: what docker was given and nobody has seen the end of. Whoever looks next judges them.
//!
//! A motion goes with the record of what came of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Jobs, Phase, SourceRow, Specs, State, Step, execute};
use crate::stack::{DriftPolicy, StackName};

/// A deploy, or a roll, that docker accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Motion {
    /// `repository_cache.id` of the source.
    pub repository_id: i64,
    pub name: StackName,
    /// The fingerprint of what docker was given.
    pub hash: String,
    /// Of a roll: its services by full name, each with its image and digest.
    pub rolls: BTreeMap<String, String>,
    /// When docker accepted it.
    pub since: DateTime<Utc>,
    /// What is to be recorded when it converged; `None` where an earlier release noted it.
    pub given: Option<Given>,
}

/// What docker was given, as it is recorded when its end was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub how: GivenHow,
    pub reason: String,
    pub commit: String,
    /// The compose file, from the repository's root.
    pub compose_path: String,
    pub drift: DriftPolicy,
    /// The stacks that its manifest says it needs.
    #[serde(default)]
    pub depends_on: Vec<StackName>,
    /// Its services by full name, each with the image it was asked to run.
    pub services: BTreeMap<String, Option<String>>,
    /// What was asked of them, in those parts of their specs that tell.
    #[serde(default)]
    pub wanted: BTreeMap<String, BTreeMap<String, Option<String>>>,
    /// Their specs as they were at the first look, less what a hand had edited by then; none before that.
    #[serde(default)]
    pub specs: Specs,
    /// Its configs and secrets that have a content in their name, and its scripts.
    pub versions: Versions,
    /// Of an earlier version that runs by other images than its files say: the fingerprint of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<String>,
    /// The text, as people may see it.
    pub text: String,
    /// Its jobs, where it has some, and which of its services are looked at therefore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Jobs>,
}

impl Given {
    /// The job that runs by itself just now.
    pub fn job(&self) -> Option<&str> {
        self.jobs.as_ref().and_then(Jobs::job)
    }

    /// Whether a service of it is a job.
    pub fn is_job(&self, service: &str) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.has(service))
    }

    /// The services whose end is waited for.
    pub fn at_stake(&self) -> impl Iterator<Item = &str> {
        let is_one = |name: &&str| match self.job() {
            Some(job) => *name == job,
            None => !self.is_job(name),
        };
        self.services.keys().map(String::as_str).filter(is_one)
    }

    /// What is given behind this, once it came to a good end.
    pub fn next(&self) -> Option<Step> {
        self.jobs.as_ref().filter(|_| self.how == GivenHow::Deploy).and_then(Jobs::next)
    }
}

impl Motion {
    /// Whether nothing of it is under way: its next step is to be given.
    pub fn is_between_steps(&self) -> bool {
        self.phase() == Some(Phase::Done)
    }

    /// Whether a job of it is under way, which nothing else is to cut off.
    pub fn runs_a_job(&self) -> bool {
        self.given.as_ref().is_some_and(|given| given.job().is_some()) && !self.is_between_steps()
    }

    fn phase(&self) -> Option<Phase> {
        Some(self.given.as_ref()?.jobs.as_ref()?.phase)
    }
}

/// By what docker was given a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GivenHow {
    /// `docker stack deploy`.
    Deploy,
    /// New images of some services.
    Roll,
    /// Nothing: it was there.
    Adopt,
    /// `docker stack deploy` of an earlier version, because somebody said so.
    Rollback,
}

impl GivenHow {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Roll => "roll",
            Self::Adopt => "adopt",
            Self::Rollback => "rollback",
        }
    }

    pub(super) fn parse(word: &str) -> Self {
        [Self::Roll, Self::Adopt, Self::Rollback]
            .into_iter()
            .find(|how| how.as_str() == word)
            .unwrap_or(Self::Deploy)
    }
}

/// The configs and secrets of a stack that have another name with each content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Configs: name, and what it would be called without its content.
    pub configs: Vec<(String, String)>,
    /// Secrets, likewise.
    pub secrets: Vec<(String, String)>,
    /// Configs that hold a generated entrypoint.
    pub scripts: Vec<String>,
}

impl State {
    /// All motions of all sources.
    pub fn motions(&self) -> Result<Vec<Motion>> {
        let mut query = self
            .connection
            .prepare_cached("SELECT repository_id, name, hash, rolls, since, given FROM attempts")?;
        let rows = query.query_map([], |row| {
            let since = row.get::<_, Option<i64>>(4)?.and_then(DateTime::from_timestamp_millis);
            Ok(Motion {
                repository_id: row.get(0)?,
                name: StackName::known(row.get::<_, String>(1)?),
                hash: row.get(2)?,
                rolls: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
                since: since.unwrap_or_default(),
                given: row.get::<_, Option<String>>(5)?.and_then(|text| serde_json::from_str(&text).ok()),
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the deploys in motion")
    }

    /// Notes what docker accepted.
    pub fn note_motion(&self, motion: &Motion) -> Result<()> {
        if is_broken!(ForgetsMotion) {
            return Ok(());
        }
        let Motion { repository_id, name, hash, rolls, since, given } = motion;
        let given = given.as_ref().map(serde_json::to_string).transpose()?;
        execute(
            &self.connection,
            "INSERT OR REPLACE INTO attempts (repository_id, name, hash, rolls, since, given)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                repository_id,
                name.as_str(),
                hash,
                serde_json::to_string(rolls)?,
                since.timestamp_millis(),
                given
            ],
        )
        .with_context(|| format!("cannot record that the stack `{name}` was given to docker"))?;
        Ok(())
    }

    /// Notes that Swarm went back from the rolls of a motion: they are not tried again.
    pub fn note_failed_rolls(&self, repository_id: i64, name: &StackName) -> Result<()> {
        execute(
            &self.connection,
            "INSERT OR REPLACE INTO failed_rolls (service, image)
                 SELECT roll.key, roll.value FROM attempts, json_each(attempts.rolls) AS roll
                 WHERE repository_id = ?1 AND name = ?2",
            params![repository_id, name.as_str()],
        )
        .context("cannot note a roll that failed")?;
        Ok(())
    }

    /// Forgets a motion whose end needs no record.
    pub fn forget_motion(&self, source: &SourceRow, name: &StackName) -> Result<()> {
        let delete = "DELETE FROM attempts WHERE repository_id = ?1 AND name = ?2";
        let done = execute(&self.connection, delete, params![source.id, name.as_str()]);
        done.with_context(|| format!("cannot forget the deploy of the stack `{name}`"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    fn given() -> Given {
        Given {
            how: GivenHow::Roll,
            reason: "changed".into(),
            commit: "c".into(),
            compose_path: "web/compose.yml".into(),
            drift: DriftPolicy::Report,
            depends_on: vec![StackName::known("db")],
            services: BTreeMap::from([("web_app".to_owned(), Some("app:1".to_owned()))]),
            wanted: BTreeMap::new(),
            specs: BTreeMap::new(),
            versions: Versions { configs: vec![("a-1".into(), "a".into())], ..Versions::default() },
            plain: None,
            text: "services: {}".into(),
            jobs: None,
        }
    }

    #[test]
    fn a_motion_lasts_until_its_end_is_recorded_and_its_rolls_outlive_it() {
        let (state, name) = (State::in_memory(), StackName::known("web"));
        let source = state.remember(&"u".into()).unwrap();
        let rolls = BTreeMap::from([("web_app".to_owned(), "app:1@sha256:aa".to_owned())]);
        let since = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let (repository_id, given) = (source.id, Some(given()));
        let motion = Motion { repository_id, name: name.clone(), hash: "h".into(), rolls, since, given };
        state.note_motion(&motion).unwrap();
        assert_eq!(state.motions().unwrap(), vec![motion.clone()]);
        state.note_failed_rolls(source.id, &name).unwrap();
        state.record(&Record { held: true, ..Record::failed(&name, &"u".into()) }).unwrap();
        assert_eq!(state.motions().unwrap(), []);
        assert_eq!(state.failed_roll("web_app").unwrap().as_deref(), Some("app:1@sha256:aa"));
        for forget in [
            |state: &State, _: &SourceRow| state.forget_stack(&StackName::known("web"), &"u".into()),
            |state: &State, source: &SourceRow| state.forget_motion(source, &StackName::known("web")),
            |state: &State, source: &SourceRow| state.forget(source),
        ] {
            state.note_motion(&motion).unwrap();
            forget(&state, &source).unwrap();
            assert_eq!(state.motions().unwrap(), []);
        }
    }

    #[test]
    fn what_an_earlier_release_noted_is_a_motion_without_what_was_given() {
        let state = State::in_memory();
        let source = state.remember(&"u".into()).unwrap();
        let insert = "INSERT INTO attempts (repository_id, name, hash, rolls) VALUES (?1, 'web', 'h', '{}')";
        state.connection.execute(insert, params![source.id]).unwrap();
        let motions = state.motions().unwrap();
        assert_eq!((motions.len(), &*motions[0].hash, &motions[0].given), (1, "h", &None));
    }
}
