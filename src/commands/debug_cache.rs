//! `debug-cache`: the repositories in the cache and when each was last watched.

use anyhow::Result;

use super::{Ending, nothing_watched};
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
    let rows = sources.into_iter().map(|row| vec![row.url.to_string(), row.last_watch]);
    report.lines(&tables::table(&["REPOSITORY", "LAST WATCH"], rows));
    Ok(Ending::Done)
}
