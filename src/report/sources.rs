//! What is told of a source as a whole.

use anyhow::Error;

use super::journal::about;
use super::{BAD, Report, harmless};
use crate::fault::hint_of;
use crate::plain;
use crate::source::SourceUrl;
use crate::state::{Event, Level};

impl Report {
    /// A source, as it was watched, failed as a whole; the error names it.
    pub fn source_failed(&self, repository: &str, error: &Error) {
        let (text, hint) = (format!("{error:#}"), hint_of(error));
        if self.hears("source_failed", Some(repository.into()), &text) {
            return;
        }
        if !self.is_new(repository, &text) {
            return;
        }
        let whole = hint.map_or_else(|| text.clone(), |hint| format!("{text}; {hint}"));
        let event = Event {
            kind: "source_failed",
            repository: Some(repository),
            ..about(None, Level::Error, &whole)
        };
        self.journal.note(&event, true);
        if self.logged(&event) {
            return;
        }
        self.trouble(&format!("{BAD}failed   {BAD:#} {}", harmless(&text)));
        if let Some(hint) = hint {
            self.trouble(&format!("hint: {}", plain::text(hint)));
        }
    }

    /// A source is watched from now on: an event, and a line of the daemon's log.
    pub fn watched(&self, repository: &SourceUrl) {
        let message = format!("`{repository}` is watched from now on");
        let event = Event {
            kind: "watched",
            repository: Some(repository.as_str()),
            ..about(None, Level::Info, &message)
        };
        if self.daemon.is_some() {
            self.log(&event, true);
        } else {
            self.journal.note(&event, false);
        }
    }

    /// A source is not watched any more: an event.
    pub fn unwatched(&self, repository: &SourceUrl) {
        let message = format!("`{repository}` is no longer watched");
        let event = Event {
            kind: "unwatched",
            repository: Some(repository.as_str()),
            ..about(None, Level::Info, &message)
        };
        self.journal.note(&event, false);
    }
}
