//! Stacks that go, and those that stay though their source lists them no more.

use anyhow::{Context, Result};
use rusqlite::params;

use super::stacks::FORGET_ATTEMPT;
use super::{StackRow, StackStatus, State, execute};
use crate::plain;
use crate::source::SourceUrl;
use crate::stack::StackName;

impl State {
    /// Notes that a stack is being removed at an operator's word, or why that failed: what is gone of it no hand took.
    pub fn note_leaving(&self, row: &StackRow, error: &str) -> Result<()> {
        let note = || {
            let transaction = self.connection.unchecked_transaction()?;
            let status = StackStatus::Error.as_str();
            execute(&transaction, "UPDATE stacks SET status = ?2 WHERE id = ?1", params![row.id, status])?;
            let note = "INSERT INTO stack_states (stack_id, commit_id, drift, error, held) VALUES (?1, ?2, ?3, ?4, 0)
                 ON CONFLICT(stack_id) DO UPDATE SET error = ?4, held = 0";
            let commit = row.commit.as_deref().unwrap_or_default();
            execute(&transaction, note, params![row.id, commit, row.drift.as_str(), plain::text(error)])?;
            transaction.commit()
        };
        note().with_context(|| format!("cannot note that the stack `{}` is being removed", row.name))
    }

    /// Notes why a stack stays that its source lists no more, or that this is over.
    pub fn note_stays(&self, row: &StackRow, why: Option<&str>) -> Result<()> {
        let note = "INSERT INTO stack_states (stack_id, commit_id, drift, stays) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT(stack_id) DO UPDATE SET stays = ?4";
        let commit = row.commit.as_deref().unwrap_or_default();
        let done = execute(
            &self.connection,
            note,
            params![row.id, commit, row.drift.as_str(), why.map(plain::text)],
        );
        done.map(drop).with_context(|| format!("cannot note why the stack `{}` stays", row.name))
    }

    /// Forgets a stack that was removed.
    pub fn forget_stack(&self, name: &StackName, repository_url: &SourceUrl) -> Result<()> {
        let forget = || {
            let transaction = self.connection.unchecked_transaction()?;
            let delete = "DELETE FROM stacks WHERE name = ?1 AND repository_url = ?2";
            for delete in [delete, FORGET_ATTEMPT] {
                execute(&transaction, delete, params![name.as_str(), repository_url])?;
            }
            transaction.commit()
        };
        forget().with_context(|| format!("cannot forget the stack `{name}`"))
    }
}
