//! For tests: a report that prints nothing, and what it was told.

use std::cell::RefCell;

use super::live::Live;
use super::{Report, Subject};

/// What a test heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// `deployed`, `failed`, …
    pub kind: String,
    /// Of which source.
    pub repository: Option<String>,
    /// Of which stack.
    pub stack: String,
    /// At which commit.
    pub commit: Option<String>,
    /// In words.
    pub text: String,
}

impl Report {
    /// Prints nothing, and keeps what it is told.
    pub fn silent() -> Self {
        Self { heard: Some(RefCell::default()), ..Self::of(Live::new(false), None) }
    }

    /// What was told since.
    pub fn take_heard(&self) -> Vec<Heard> {
        self.heard.as_ref().map(RefCell::take).unwrap_or_default()
    }

    pub(super) fn hears(&self, kind: &str, subject: Option<Subject<'_>>, text: &str) -> bool {
        let Some(heard) = &self.heard else { return false };
        let own = |text: &str| text.to_owned();
        heard.borrow_mut().push(Heard {
            kind: own(kind),
            repository: subject.and_then(|subject| subject.repository).map(ToString::to_string),
            stack: subject.map(|subject| subject.stack).map(own).unwrap_or_default(),
            commit: subject.and_then(|subject| subject.commit).map(own),
            text: own(text),
        });
        true
    }
}
