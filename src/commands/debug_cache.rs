//! `debug-cache`: the repositories in the cache and when each was last watched.

use anyhow::Result;

use super::{Ending, nothing_watched};
use crate::report::screen::Reader;
use crate::report::{Report, tables};
use crate::settings::Settings;
use crate::state::State;

/// Prints the rows of `repository_cache`.
pub fn run(settings: &Settings) -> Result<Ending> {
    let report = Report::new();
    let sources = match State::read(&settings.database)? {
        Some(state) => state.sources()?,
        None => Vec::new(),
    };
    report.say(&format!("database: {}", settings.database.display()));
    if sources.is_empty() {
        return Err(nothing_watched(settings));
    }
    let reader = Reader::of_stdout();
    let text = tables::watched(sources.iter().map(|row| (row.url.shown(), &*row.last_watch)), reader);
    report.lines(&text);
    Ok(Ending::Done)
}
