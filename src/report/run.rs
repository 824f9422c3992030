//! What a run came to, as JSON tells it: each stack, each source that failed, and how many of what.

use anyhow::{Context, Error, Result};
use serde::Serialize;

use super::{Report, Tally, harmless};
use crate::fault::hint_of;
use crate::source::SourceUrl;

/// What `--json` prints of a run; the documents name the fields.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "each is a field of the JSON")]
pub struct Run<'a> {
    /// Whether it only says what would happen.
    pub dry_run: bool,
    pub stacks: &'a [StackEnd],
    /// Those that failed as a whole, as they were watched.
    pub failed_sources: &'a [FailedSource],
    pub tally: Tally,
    pub exit_code: u8,
}

/// What happened to a stack in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackEnd {
    pub name: String,
    /// Its source, as it is shown.
    pub repository: String,
    pub outcome: End,
    /// Whether it runs less than Git says, or does not keep running.
    pub degraded: bool,
    /// The commit it was dealt with at.
    pub commit: Option<String>,
    /// Why that was done, or is to be, or is not.
    pub reason: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took to converge, where it was deployed.
    pub seconds: Option<u64>,
}

/// In one word, what happened to a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was deployed, rolled or adopted, and converged.
    Deployed,
    Removed,
    Unchanged,
    /// A hold keeps it from what Git says.
    OnHold,
    /// It drifted, and that is only reported.
    Drifted,
    Failed,
    /// Nothing was done about it so far: it waits for another run, or source.
    Waiting,
    /// A dry run: it would be deployed, rolled or adopted.
    ToDeploy,
    /// Likewise.
    ToRemove,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedSource {
    pub repository: String,
    pub error: String,
    pub hint: Option<String>,
}

impl FailedSource {
    pub fn of(url: &SourceUrl, error: &Error) -> Self {
        let (repository, hint) = (url.shown(), hint_of(error).map(harmless));
        Self { repository, error: harmless(&format!("{error:#}")), hint }
    }
}

impl Report {
    /// Prints the one object.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        self.json(&serde_json::to_string_pretty(run).context("cannot print what came of the run")?);
        Ok(())
    }
}
