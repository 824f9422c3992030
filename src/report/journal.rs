//! What is told also becomes an event: a row in the database, and a JSON object in the daemon's log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use super::harmless;
use crate::plain;
use crate::redact::without_credentials;
use crate::source::SourceUrl;
use crate::state::{Event, Level, State, now};

/// What a line is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The source, as it was watched.
    pub repository: Option<&'a SourceUrl>,
    /// The stack, or what stands in its place.
    pub stack: &'a str,
    /// The commit, all 40 digits.
    pub commit: Option<&'a str>,
}

impl<'a> From<&'a str> for Subject<'a> {
    fn from(stack: &'a str) -> Self {
        Self { repository: None, stack, commit: None }
    }
}

impl<'a> From<&'a String> for Subject<'a> {
    fn from(stack: &'a String) -> Self {
        stack.as_str().into()
    }
}

/// Where events go, and what was told already.
#[derive(Debug, Default)]
pub struct Journal {
    state: RefCell<Option<Rc<State>>>,
    recent: RefCell<[BTreeMap<String, String>; 2]>,
    /// What was told for as long as it is the same.
    latest: RefCell<BTreeMap<String, String>>,
}

impl Journal {
    /// From now on into this database; `None` closes the journal.
    pub fn set(&self, state: Option<Rc<State>>) {
        *self.state.borrow_mut() = state;
    }

    /// Notes an event where there is a database.
    pub fn note(&self, event: &Event<'_>, lasting: bool) {
        if let Some(state) = &*self.state.borrow() {
            // What the older release remembered may hold a password.
            let (repository, stack) =
                (event.repository.map(without_credentials), event.stack.map(plain::name));
            let message = harmless(event.message);
            let event = &Event {
                repository: repository.as_deref(),
                stack: stack.as_deref(),
                message: &message,
                ..*event
            };
            // A database that fails says so by the row that is written next, and that ends the run.
            let _ = if lasting { state.note_lasting_event(event) } else { state.note_event(event) };
        }
    }

    /// Whether `key` has another text than in this cycle or the one before.
    pub fn is_new(&self, key: &str, text: &str) -> bool {
        let mut recent = self.recent.borrow_mut();
        let known = recent.iter().any(|texts| texts.get(key).is_some_and(|known| known == text));
        recent[0].insert(key.to_owned(), text.to_owned());
        !known
    }

    /// Whether `key` had another text, or none, when it was told last, however long ago.
    pub fn is_another(&self, key: &str, text: &str) -> bool {
        self.latest.borrow_mut().insert(key.to_owned(), text.to_owned()).is_none_or(|known| known != text)
    }

    /// What was told of `key` counts as told in this cycle too.
    pub fn keep(&self, key: &str) {
        let mut recent = self.recent.borrow_mut();
        if let Some(text) = recent[1].get(key).cloned() {
            recent[0].entry(key.to_owned()).or_insert(text);
        }
    }

    /// A new cycle: what was told two cycles ago and not since is forgotten.
    pub fn turn(&self) {
        let mut recent = self.recent.borrow_mut();
        recent[1] = std::mem::take(&mut recent[0]);
    }
}

/// One line of the daemon's JSON log, in the order it is read; docs/daemon.md documents the fields.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: Level,
    event: &'a str,
    repository: Option<&'a str>,
    stack: Option<&'a str>,
    commit: Option<&'a str>,
    message: &'a str,
    error: Option<&'a str>,
}

pub fn json_line(event: &Event<'_>) -> String {
    let Event { level, kind, stack, commit, .. } = *event;
    let (repository, message) = (event.repository.map(without_credentials), harmless(event.message));
    let (repository, message) = (repository.as_deref(), &*message);
    let error = (level == Level::Error).then_some(message);
    let line = Line { time: now(), level, event: kind, repository, stack, commit, message, error };
    // A text of plain fields cannot fail to become JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

/// An event still without its name.
pub fn about<'a>(subject: Option<Subject<'a>>, level: Level, message: &'a str) -> Event<'a> {
    Event {
        level,
        kind: "",
        repository: subject.and_then(|subject| subject.repository).map(SourceUrl::as_str),
        stack: subject.map(|subject| subject.stack),
        commit: subject.and_then(|subject| subject.commit),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_new_once_and_again_after_it_had_gone() {
        let journal = Journal::default();
        assert!(journal.is_new("web", "held"));
        journal.turn();
        assert!(!journal.is_new("web", "held"));
        journal.turn();
        assert!(journal.is_new("web", "other"));
        journal.turn();
        journal.turn();
        assert!(journal.is_new("web", "other"));
    }

    #[test]
    fn what_is_kept_is_not_new_however_many_cycles_later() {
        let journal = Journal::default();
        assert!(journal.is_new("web", "wrong") && journal.is_another("web", "a note"));
        for _ in 0..5 {
            journal.turn();
            journal.keep("web");
            journal.keep("none");
        }
        journal.turn();
        assert!(!journal.is_new("web", "wrong") && !journal.is_another("web", "a note"));
        assert!(journal.is_new("none", "") && journal.is_another("web", "another note"));
    }

    #[test]
    fn an_event_holds_no_password_of_an_address() {
        let (journal, state) = (Journal::default(), Rc::new(State::in_memory()));
        journal.set(Some(Rc::clone(&state)));
        let address = "https://u:hunter2@h/r";
        let event = Event {
            level: Level::Error,
            kind: "source_failed",
            repository: Some(address),
            stack: None,
            commit: None,
            message: address,
        };
        journal.note(&event, true);
        journal.note(&event, true);
        let rows = state.events(None, 9).unwrap();
        assert_eq!((rows.len(), rows[0].repository.as_deref()), (1, Some("https://…@h/r")));
        assert_eq!(rows[0].message, "https://…@h/r");
    }

    #[test]
    fn a_line_has_every_field_whether_known_or_not() {
        let event = Event {
            level: Level::Error,
            kind: "failed",
            repository: Some("https://u:hunter2@h/r"),
            stack: None,
            commit: None,
            message: "one\n\u{1b}two",
        };
        let line = json_line(&event);
        assert!(!line.contains("hunter2"), "{line}");
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["commit", "error", "event", "level", "message", "repository", "stack", "time"]);
        assert!(
            value["error"] == "one\n  \\u{1b}two" && value["level"] == "error" && value["stack"].is_null()
        );
    }
}
