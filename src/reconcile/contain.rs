//! What an error ends: the run, or one task of it.

use anyhow::{Error, Result};

use crate::fault::with_hint;
use crate::signal::Interrupted;

/// Tells errors that end a run from those that end one task of it.
pub trait Contain<T> {
    /// `Err` where the run is to end: a signal came, or the database is away. Else what came of the task, with the
    /// error in words, and its hint.
    fn contained(self) -> Result<Result<T, String>>;
}

impl<T> Contain<T> for Result<T> {
    fn contained(self) -> Result<Result<T, String>> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(error) if ends_the_run(&error) || is_broken!(OneErrorEndsTheRun) => Err(error),
            Err(error) => Ok(Err(with_hint(&error))),
        }
    }
}

/// Whether nothing else of the run can be done either.
pub fn ends_the_run(error: &Error) -> bool {
    error.is::<Interrupted>() || error.chain().any(<dyn std::error::Error>::is::<rusqlite::Error>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_signal_and_the_database_end_a_run_and_nothing_else_does() {
        let inner: Result<()> = Err(anyhow!("no such file")).context("the binding `conf`");
        assert_eq!(inner.contained().unwrap(), Err("the binding `conf`: no such file".to_owned()));
        let hinted: Result<()> = Err(crate::fault::fault("no room", "make some"));
        assert_eq!(hinted.contained().unwrap(), Err("no room\n  hint: make some".to_owned()));
        assert_eq!(Ok(1).contained().unwrap(), Ok(1));
        assert!(Err::<(), _>(Error::from(Interrupted(15))).contained().is_err());
        let full = rusqlite::Error::ExecuteReturnedResults;
        assert!(Err::<(), _>(Error::from(full)).context("cannot record").contained().is_err());
    }
}
