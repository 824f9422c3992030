//! When stacks converged, and which are degraded since when: so that a run tells when that begins and ends.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{StackRow, StackStatus, State, execute, now};
use crate::source::SourceUrl;
use crate::stack::StackName;

/// What the record of a stack says of its health.
pub fn note(connection: &Connection, stack: i64, status: StackStatus) -> rusqlite::Result<()> {
    match status {
        StackStatus::Deployed => execute(
            connection,
            "INSERT INTO stack_health (stack_id, converged) VALUES (?1, ?2)
             ON CONFLICT(stack_id) DO UPDATE SET converged = ?2, words = NULL",
            params![stack, now()],
        )?,
        StackStatus::Stopped => {
            execute(connection, "DELETE FROM stack_health WHERE stack_id = ?1", params![stack])?
        }
        StackStatus::Error => 0,
    };
    Ok(())
}

/// What a task that failed said last, as lines that go on below an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// The task's id.
    pub task: String,
    /// Empty where there is nothing, or it could not be had.
    pub text: String,
}

impl State {
    /// Nobody saw when a stack converged: what its tasks went through before counts.
    pub fn forget_convergence(&self, name: &StackName, repository_url: &SourceUrl) -> Result<()> {
        let update = "UPDATE stack_health SET converged = NULL
             WHERE stack_id = (SELECT id FROM stacks WHERE name = ?1 AND repository_url = ?2)";
        let done = execute(&self.connection, update, params![name.as_str(), repository_url]);
        done.with_context(|| format!("cannot record how the stack `{name}` was found"))?;
        Ok(())
    }

    /// Notes that a stack is degraded from now on.
    pub fn note_degraded(&self, stack: &StackRow) -> Result<()> {
        execute(
            &self.connection,
            "INSERT INTO stack_health (stack_id, degraded) VALUES (?1, ?2)
                 ON CONFLICT(stack_id) DO UPDATE SET degraded = ?2",
            params![stack.id, now()],
        )
        .with_context(|| format!("cannot note that the stack `{}` is degraded", stack.name))?;
        Ok(())
    }

    /// Notes what the failed tasks of a degraded stack said last, by service.
    pub fn note_last_words(&self, stack: &StackRow, words: &BTreeMap<String, LastWords>) -> Result<()> {
        let text = serde_json::to_string(words)?;
        let update = "UPDATE stack_health SET words = ?2 WHERE stack_id = ?1";
        execute(&self.connection, update, params![stack.id, text])
            .with_context(|| format!("cannot note what the tasks of `{}` said", stack.name))?;
        Ok(())
    }

    /// Notes that a stack is degraded no more.
    pub fn note_recovered(&self, stack: &StackRow) -> Result<()> {
        execute(
            &self.connection,
            "UPDATE stack_health SET degraded = NULL, words = NULL WHERE stack_id = ?1",
            params![stack.id],
        )
        .with_context(|| format!("cannot note that the stack `{}` recovered", stack.name))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    #[test]
    fn a_stack_is_degraded_until_it_recovered_stopped_or_is_gone() {
        let (state, name) = (State::in_memory(), StackName::known("web"));
        let record = |status| state.record(&Record { status, ..Record::failed(&name, &"u".into()) }).unwrap();
        let row = || state.stacks().unwrap().remove(0);
        record(StackStatus::Error);
        assert_eq!((row().converged, row().degraded), (None, None));
        record(StackStatus::Deployed);
        assert!(row().converged.is_some());
        state.note_degraded(&row()).unwrap();
        let words = BTreeMap::from([(
            "web_app".to_owned(),
            LastWords { task: "x".into(), text: "no such host".into() },
        )]);
        state.note_last_words(&row(), &words).unwrap();
        record(StackStatus::Error);
        assert_eq!(row().words, words);
        // Another version has said nothing so far.
        record(StackStatus::Deployed);
        assert_eq!(row().words, BTreeMap::new());
        assert!(row().degraded.is_some() && row().converged.is_some());
        state.note_recovered(&row()).unwrap();
        assert!(row().degraded.is_none() && row().converged.is_some());
        state.note_degraded(&row()).unwrap();
        record(StackStatus::Stopped);
        assert_eq!((row().converged, row().degraded), (None, None));
        state.note_degraded(&row()).unwrap();
        state.forget_stack(&name, &"u".into()).unwrap();
        record(StackStatus::Error);
        assert_eq!(row().degraded, None);
    }
}
