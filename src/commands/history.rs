//! `history`: the versions of a stack that converged; read only, and of the database alone.

use std::io::{IsTerminal, stdout};

use anyhow::{Context, Result};

use super::{Ending, nothing_watched};
use crate::cli::HistoryArgs;
use crate::clock;
use crate::fault::fault;
use crate::plain;
use crate::report::Report;
use crate::report::history::{self, History};
use crate::settings::Settings;
use crate::state::State;
use crate::watched::{Watched, watched};

/// Prints a table, one difference, or JSON.
pub fn run(settings: &Settings, arguments: &HistoryArgs) -> Result<Ending> {
    let report = Report::new();
    let Some(state) = State::read(&settings.database)? else { return Err(nothing_watched(settings)) };
    let watched = watched(&state)?;
    if watched.is_empty() {
        return Err(nothing_watched(settings));
    }
    let Some(row) = history::find(&watched, &arguments.stack, None) else {
        return Err(unknown(&watched, &arguments.stack));
    };
    let history = History::of(row, &state.history(&row.name, &row.repository_url)?);
    if arguments.json {
        report.json(&serde_json::to_string_pretty(&history).context("cannot print the history")?);
    } else if let Some(at) = arguments.diff {
        difference(&report, &history, at.into())?;
    } else if history.versions.is_empty() {
        report.note(row.name.as_str(), "no version of it has converged since DockerOps notes them");
    } else {
        report.lines(&history.table(stdout().is_terminal().then(clock::wall)));
    }
    Ok(Ending::Done)
}

/// How a version, counted from the newest, differs from the one before.
fn difference(report: &Report, history: &History, at: usize) -> Result<()> {
    let Some(version) = at.checked_sub(1).and_then(|at| history.versions.get(at)) else {
        let (stack, kept) = (plain::name(&history.stack), history.versions.len());
        let hint = match kept {
            0 => "no version of it has converged since DockerOps notes them".to_owned(),
            kept => format!(
                "name one from 1, the newest, to {kept}, the oldest; `dockerops history {stack}` lists them"
            ),
        };
        return Err(fault(format!("`{stack}` has no version {at} that is kept"), hint));
    };
    report.say(&history::title(history, at - 1));
    match version.difference.as_deref() {
        None => report.note(&history.stack, "nothing to compare with: it is the oldest version that is kept"),
        Some("") => report.note(
            &history.stack,
            "what is shown is as in the version before; a value that is not is another",
        ),
        Some(difference) => report.difference(difference),
    }
    Ok(())
}

fn unknown(watched: &[Watched], stack: &str) -> anyhow::Error {
    let mut names: Vec<_> =
        watched.iter().flat_map(|known| &known.stacks).map(|row| row.name.as_str()).collect();
    names.dedup();
    let hint = match names.as_slice() {
        [] => "no stack of what is watched was deployed so far".to_owned(),
        names => format!("stacks are `{}`", names.join("`, `")),
    };
    fault(format!("there is no stack `{}`", plain::name(stack)), hint)
}
