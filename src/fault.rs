//! Errors that say the way out.
//!
//! A fault is what went wrong and, apart from it, a hint: the next thing to do. Everywhere else
//! `anyhow` context names the repository, stack, file and key on the way up.

use std::fmt;

/// An error with a hint. `Display` is the message alone; `report` prints the hint on its own line.
#[derive(Debug)]
pub struct Fault {
    what: String,
    hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

/// An error saying `what` happened and, as a hint, what to do next.
pub fn fault(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Fault { what: what.into(), hint: hint.into() }.into()
}

/// Puts `what`, with a hint, before an error that stays what it is.
pub fn because_of(error: anyhow::Error, what: &str, hint: &str) -> anyhow::Error {
    error.context(Fault { what: what.into(), hint: hint.into() })
}

/// The first hint found from the outermost error inwards.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    let around = error.downcast_ref::<Fault>();
    let fault = around.or_else(|| error.chain().find_map(|cause| cause.downcast_ref()));
    fault.map(|fault: &Fault| fault.hint.as_str())
}

/// The whole message, with its hint on a line of its own.
pub fn with_hint(error: &anyhow::Error) -> String {
    let hint = hint_of(error).map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{error:#}{hint}")
}

/// Adds a hint to any failed result that has none.
pub trait OrHint<T> {
    /// Keeps the message, and adds `hint` where the error carries none.
    fn or_hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrHint<T> for Result<T, E> {
    fn or_hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if hint_of(&error).is_some() { error } else { fault(format!("{error:#}"), hint) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_hint_survives_context_and_is_not_overwritten() {
        let error = Err::<(), _>(fault("refused", "set a token")).context("source `x`");
        let error = error.or_hint("another").unwrap_err();
        assert_eq!(format!("{error:#}"), "source `x`: refused");
        assert_eq!(hint_of(&error), Some("set a token"));
    }

    #[test]
    fn a_plain_error_gets_the_hint() {
        let error = Err::<(), _>(anyhow!("b").context("a")).or_hint("do c").unwrap_err();
        assert_eq!(format!("{error:#}"), "a: b");
        assert_eq!(hint_of(&error), Some("do c"));
    }
}
