//! Holds by hand, and the stacks that a hold keeps from something.

use anyhow::{Context, Result};
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::{SourceRow, State, execute};
use crate::hold::Hold;
use crate::plain;
use crate::stack::StackName;

/// A hold by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// `repository_cache.id` of the source.
    pub repository_id: i64,
    /// The stack; `None` for all of the source.
    pub stack: Option<StackName>,
    pub hold: Hold,
}

/// A stack that a hold keeps as it is, as the last run found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnHold {
    /// `repository_cache.id` of the source.
    pub repository_id: i64,
    pub name: StackName,
    pub hold: Hold,
    /// What would be done to it; `None` where it is as Git says.
    pub change: Option<String>,
    /// The commit that it was held back at last.
    pub commit: String,
    /// How many commits were seen that changed it since.
    pub behind: u32,
}

impl State {
    /// All holds by hand.
    pub fn holds(&self) -> Result<Vec<HoldRow>> {
        let mut query =
            self.connection.prepare_cached("SELECT repository_id, stack, hold FROM holds ORDER BY rowid")?;
        let rows = query.query_map([], |row| {
            let stack: String = row.get(1)?;
            let stack = (!stack.is_empty()).then(|| StackName::known(stack));
            Ok(HoldRow { repository_id: row.get(0)?, stack, hold: hold(row, 2)? })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the holds")
    }

    /// Notes a hold by hand, in place of one that was there.
    pub fn note_hold(&self, source: &SourceRow, stack: Option<&StackName>, hold: &Hold) -> Result<()> {
        let stack = stack.map(StackName::as_str).unwrap_or_default();
        let insert = "INSERT OR REPLACE INTO holds (repository_id, stack, hold) VALUES (?1, ?2, ?3)";
        let done = execute(&self.connection, insert, params![source.id, stack, serde_json::to_string(hold)?]);
        done.context("cannot record the hold")?;
        if hold.back.is_some() {
            // What failed is not what is tried next.
            let again = "UPDATE stack_states SET held = 0
                 WHERE stack_id = (SELECT id FROM stacks WHERE name = ?1 AND repository_url = ?2)";
            execute(&self.connection, again, params![stack, source.url]).context("cannot record the hold")?;
        }
        Ok(())
    }

    /// Ends a hold by hand.
    pub fn forget_hold(&self, repository_id: i64, stack: Option<&StackName>) -> Result<()> {
        let stack = stack.map(StackName::as_str).unwrap_or_default();
        let delete = "DELETE FROM holds WHERE repository_id = ?1 AND stack = ?2";
        execute(&self.connection, delete, params![repository_id, stack]).context("cannot end the hold")?;
        Ok(())
    }

    /// The stacks that were on hold when they were looked at last.
    pub fn on_hold(&self) -> Result<Vec<OnHold>> {
        let mut query = self.connection.prepare_cached(
            "SELECT repository_id, name, hold, change, commit_id, behind FROM on_hold ORDER BY repository_id, name",
        )?;
        let rows = query.query_map([], |row| {
            Ok(OnHold {
                repository_id: row.get(0)?,
                name: StackName::known(row.get::<_, String>(1)?),
                hold: hold(row, 2)?,
                change: row.get(3)?,
                commit: row.get(4)?,
                behind: row.get(5)?,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read which stacks are on hold")
    }

    /// Notes that a stack is on hold.
    pub fn note_on_hold(&self, held: &OnHold) -> Result<()> {
        execute(
            &self.connection,
            "INSERT OR REPLACE INTO on_hold (repository_id, name, hold, change, commit_id, behind)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                held.repository_id,
                held.name.as_str(),
                serde_json::to_string(&held.hold)?,
                held.change.as_deref().map(plain::text),
                held.commit,
                held.behind
            ],
        )
        .with_context(|| format!("cannot record that the stack `{}` is on hold", held.name))?;
        Ok(())
    }

    /// Notes that a stack is on hold no more.
    pub fn forget_on_hold(&self, repository_id: i64, name: &StackName) -> Result<()> {
        let delete = "DELETE FROM on_hold WHERE repository_id = ?1 AND name = ?2";
        let done = execute(&self.connection, delete, params![repository_id, name.as_str()]);
        done.with_context(|| format!("cannot record that the stack `{name}` is not on hold"))?;
        Ok(())
    }
}

fn hold(row: &Row<'_>, at: usize) -> rusqlite::Result<Hold> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::Kind;

    #[test]
    fn holds_last_until_they_are_ended_and_go_with_their_source() {
        let (state, web) = (State::in_memory(), StackName::known("web"));
        let source = state.remember(&"u".into()).unwrap();
        let hold = Hold {
            kind: Kind::Hand,
            reason: Some("why".into()),
            by: Some("alice".into()),
            since: "2026-11-23T02:00:00Z".parse().ok(),
            until: None,
            back: None,
        };
        let other = Hold { by: Some("bob".into()), ..hold.clone() };
        for (stack, hold) in [(Some(&web), &hold), (None, &hold), (Some(&web), &other)] {
            state.note_hold(&source, stack, hold).unwrap();
        }
        let found =
            || state.holds().unwrap().into_iter().map(|row| (row.stack, row.hold)).collect::<Vec<_>>();
        assert_eq!(found(), [(None, hold.clone()), (Some(web.clone()), other)]);
        state.forget_hold(source.id, None).unwrap();
        assert_eq!(found().len(), 1);
        let on_hold = OnHold {
            repository_id: source.id,
            name: web.clone(),
            hold,
            change: Some("changed".into()),
            commit: "c".into(),
            behind: 2,
        };
        state.note_on_hold(&on_hold).unwrap();
        assert_eq!(state.on_hold().unwrap(), std::slice::from_ref(&on_hold));
        state.forget_on_hold(source.id, &web).unwrap();
        assert_eq!(state.on_hold().unwrap(), []);
        state.note_on_hold(&on_hold).unwrap();
        state.forget(&source).unwrap();
        assert!(found().is_empty() && state.on_hold().unwrap().is_empty());
    }
}
