//! Events: what was done and what went wrong, newest 10,000.

use anyhow::{Context, Result};
use rusqlite::{OptionalExtension, ToSql, params};
use serde::Serialize;

use super::{State, execute, now, query_row};
use crate::plain;

/// So many events are kept.
const KEPT: i64 = 10_000;
/// The columns of an `EventRow`, from whatever is asked for.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, time, level, event, repository, stack, commit_id, message FROM events WHERE ",
            $condition,
            " ORDER BY id DESC LIMIT ?2"
        )
    };
}
const BEFORE: &str = select!("id < ?1");
const AFTER: &str =
    "SELECT id, time, level, event, repository, stack, commit_id, message FROM events WHERE id > ?1
     ORDER BY id LIMIT ?2";
const OF_A_STACK: &str = select!("stack = ?1");
const NEWEST_OF: &str =
    "SELECT event, message FROM events WHERE repository IS ?1 AND stack IS ?2 ORDER BY id DESC LIMIT 1";
/// The most letters of one event's text; a compose file can make docker say a lot.
const MOST_LETTERS: usize = 4_000;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Info,
    /// Worth a look.
    Warn,
    Error,
}

impl Level {
    /// The word in the log, the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    fn parse(word: &str) -> Self {
        [Self::Info, Self::Warn].into_iter().find(|level| level.as_str() == word).unwrap_or(Self::Error)
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub level: Level,
    /// What, in one word: `deployed`, `removed`, `failed`, `note`, …
    pub kind: &'a str,
    /// The source, as it was watched.
    pub repository: Option<&'a str>,
    /// The stack; for an event about an image its name.
    pub stack: Option<&'a str>,
    /// The commit, all 40 digits.
    pub commit: Option<&'a str>,
    /// In words, the error included; may hold what a repository or docker wrote.
    pub message: &'a str,
}

/// An event as it was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    /// Grows with time; for paging.
    pub id: i64,
    /// When, RFC 3339, local.
    pub time: String,
    pub level: Level,
    /// What, in one word.
    #[serde(rename = "event")]
    pub kind: String,
    /// The source, as it was watched.
    pub repository: Option<String>,
    pub stack: Option<String>,
    pub commit: Option<String>,
    pub message: String,
}

impl State {
    /// Notes an event and forgets the oldest beyond 10,000.
    pub fn note_event(&self, event: &Event<'_>) -> Result<()> {
        let message = shortened(event.message);
        let note = || -> rusqlite::Result<()> {
            let transaction = self.connection.unchecked_transaction()?;
            execute(
                &transaction,
                "INSERT INTO events (time, level, event, repository, stack, commit_id, message)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    now(),
                    event.level.as_str(),
                    event.kind,
                    event.repository,
                    event.stack,
                    event.commit,
                    message
                ],
            )?;
            let oldest = transaction.last_insert_rowid() - KEPT;
            execute(&transaction, "DELETE FROM events WHERE id <= ?1", params![oldest])?;
            transaction.commit()
        };
        note().context("cannot note an event")
    }

    /// Notes what lasts, unless the newest event of its stack, or source, says the same already.
    pub fn note_lasting_event(&self, event: &Event<'_>) -> Result<()> {
        let newest: Option<(String, String)> =
            query_row(&self.connection, NEWEST_OF, params![event.repository, event.stack], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .context("cannot read the events")?;
        match newest {
            Some((word, message)) if word == event.kind && message == shortened(event.message) => Ok(()),
            _ => self.note_event(event),
        }
    }

    /// At most `limit` events, newest first: those older than the event `before`, or the newest of all.
    pub fn events(&self, before: Option<i64>, limit: usize) -> Result<Vec<EventRow>> {
        self.some_events(BEFORE, before.unwrap_or(i64::MAX), limit)
    }

    /// Those newer than the event `after`, newest last.
    pub fn events_after(&self, after: i64) -> Result<Vec<EventRow>> {
        self.some_events(AFTER, after, usize::MAX)
    }

    pub fn events_of(&self, stack: &str, limit: usize) -> Result<Vec<EventRow>> {
        self.some_events(OF_A_STACK, stack, limit)
    }

    fn some_events(&self, sql: &str, which: impl ToSql, limit: usize) -> Result<Vec<EventRow>> {
        let mut query = self.connection.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(KEPT);
        let rows = query.query_map(params![which, limit], |row| {
            Ok(EventRow {
                id: row.get(0)?,
                time: row.get(1)?,
                level: Level::parse(&row.get::<_, String>(2)?),
                kind: row.get(3)?,
                repository: row.get(4)?,
                stack: row.get(5)?,
                commit: row.get(6)?,
                message: row.get(7)?,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the events")
    }
}

fn shortened(message: &str) -> String {
    plain::text(message).chars().take(MOST_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(stack: &'a str, message: &'a str) -> Event<'a> {
        Event {
            level: Level::Warn,
            kind: "note",
            repository: Some("https://x/y"),
            stack: Some(stack),
            commit: None,
            message,
        }
    }

    #[test]
    fn events_come_newest_first_a_page_at_a_time() {
        let state = State::in_memory();
        for number in 1..=5 {
            state.note_event(&event(if number == 2 { "db" } else { "web" }, &number.to_string())).unwrap();
        }
        let messages = |rows: Vec<EventRow>| rows.into_iter().map(|row| row.message).collect::<Vec<_>>();
        let first = state.events(None, 2).unwrap();
        assert_eq!((first[0].level, first[0].repository.as_deref()), (Level::Warn, Some("https://x/y")));
        let last = first[1].id;
        assert_eq!(messages(first), ["5", "4"]);
        assert_eq!(messages(state.events(Some(last), 9).unwrap()), ["3", "2", "1"]);
        assert_eq!(messages(state.events_of("db", 9).unwrap()), ["2"]);
        assert_eq!(messages(state.events_after(last).unwrap()), ["5"]);
    }

    #[test]
    fn nobody_asks_by_reading_all_events_or_all_stacks() {
        let state = State::in_memory();
        let stack = "SEARCH events USING INDEX events_of_a_stack (stack=?)";
        for (sql, plan) in [
            (BEFORE, "SEARCH events USING INTEGER PRIMARY KEY (rowid<?)"),
            (AFTER, "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"),
            (OF_A_STACK, stack),
            (NEWEST_OF, stack),
            (crate::state::texts::OF_A_SOURCE, "SEARCH s USING INDEX stacks_of_a_source (repository_url=?)"),
        ] {
            let mut query = state.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps: Vec<String> =
                query.raw_query().mapped(|row| row.get("detail")).map(Result::unwrap).collect();
            assert_eq!(steps[0], plan, "{sql}");
            assert!(steps[1..].iter().all(|step| step.starts_with("SEARCH")), "{sql}: {steps:?}");
        }
    }

    #[test]
    fn what_lasts_is_noted_once_until_something_else_happened() {
        let state = State::in_memory();
        for message in ["held", "held", "other", "held", "held"] {
            state.note_lasting_event(&event("web", message)).unwrap();
        }
        state.note_lasting_event(&event("db", "held")).unwrap();
        assert_eq!(state.events(None, 9).unwrap().len(), 4);
    }

    #[test]
    fn only_the_newest_are_kept_and_none_is_endless() {
        let state = State::in_memory();
        state.note_event(&event("web", "first")).unwrap();
        let skip = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'events'";
        state.connection.execute(skip, params![KEPT - 1]).unwrap();
        state.note_event(&event("web", "still there")).unwrap();
        assert_eq!(state.events(None, 9).unwrap().len(), 2);
        state.note_event(&event("web", &"x".repeat(MOST_LETTERS * 2))).unwrap();
        let rows = state.events(None, 9).unwrap();
        assert_eq!((rows.len(), rows[0].message.len()), (2, MOST_LETTERS));
        assert_eq!(rows[1].message, "still there");
    }
}
