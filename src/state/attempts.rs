//! What docker was given and nobody has seen the end of: a run that is cut off leaves it to the next one.
//!
//! It goes with the record of what came of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rusqlite::params;

use super::{SourceRow, State};
use crate::stack::StackName;

/// A deploy, or a roll, that docker accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `repository_cache.id` of the source.
    pub repository_id: i64,
    /// The stack.
    pub name: StackName,
    /// The fingerprint of what docker was given.
    pub hash: String,
    /// Of a roll: its services by full name, each with its image and digest.
    pub rolls: BTreeMap<String, String>,
}

impl State {
    /// All attempts of all sources.
    pub fn attempts(&self) -> Result<Vec<Attempt>> {
        let mut query = self.connection.prepare("SELECT repository_id, name, hash, rolls FROM attempts")?;
        let rows = query.query_map([], |row| {
            Ok(Attempt {
                repository_id: row.get(0)?,
                name: StackName::known(row.get::<_, String>(1)?),
                hash: row.get(2)?,
                rolls: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read what was attempted")
    }

    /// Notes what docker accepted.
    pub fn note_attempt(&self, attempt: &Attempt) -> Result<()> {
        let Attempt { repository_id, name, hash, rolls } = attempt;
        self.connection
            .execute(
                "INSERT OR REPLACE INTO attempts (repository_id, name, hash, rolls) VALUES (?1, ?2, ?3, ?4)",
                params![repository_id, name.as_str(), hash, serde_json::to_string(rolls)?],
            )
            .with_context(|| format!("cannot record that the stack `{name}` was given to docker"))?;
        Ok(())
    }

    /// Notes that Swarm went back from the rolls of an attempt: they are not tried again.
    pub fn note_failed_rolls(&self, source: &SourceRow, name: &StackName) -> Result<()> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO failed_rolls (service, image)
                 SELECT roll.key, roll.value FROM attempts, json_each(attempts.rolls) AS roll
                 WHERE repository_id = ?1 AND name = ?2",
                params![source.id, name.as_str()],
            )
            .context("cannot note a roll that failed")?;
        Ok(())
    }

    /// Forgets an attempt whose end needs no record.
    pub fn forget_attempt(&self, source: &SourceRow, name: &StackName) -> Result<()> {
        let delete = "DELETE FROM attempts WHERE repository_id = ?1 AND name = ?2";
        let done = self.connection.execute(delete, params![source.id, name.as_str()]);
        done.with_context(|| format!("cannot forget an attempt of the stack `{name}`"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    #[test]
    fn an_attempt_lasts_until_its_end_is_recorded_and_its_rolls_outlive_it() {
        let (state, name) = (State::in_memory(), StackName::known("web"));
        let source = state.remember("u").unwrap();
        let rolls = BTreeMap::from([("web_app".to_owned(), "app:1@sha256:aa".to_owned())]);
        let attempt = Attempt { repository_id: source.id, name: name.clone(), hash: "h".into(), rolls };
        state.note_attempt(&attempt).unwrap();
        assert_eq!(state.attempts().unwrap(), vec![attempt.clone()]);
        state.note_failed_rolls(&source, &name).unwrap();
        state.record(&Record { held: true, ..Record::failed(&name, "u") }).unwrap();
        assert_eq!(state.attempts().unwrap(), []);
        assert_eq!(state.failed_roll("web_app").unwrap().as_deref(), Some("app:1@sha256:aa"));
        for forget in [
            |state: &State, _: &SourceRow| state.forget_stack(&StackName::known("web"), "u"),
            |state: &State, source: &SourceRow| state.forget_attempt(source, &StackName::known("web")),
            |state: &State, source: &SourceRow| state.forget(source),
        ] {
            state.note_attempt(&attempt).unwrap();
            forget(&state, &source).unwrap();
            assert_eq!(state.attempts().unwrap(), []);
        }
    }
}
