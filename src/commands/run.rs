//! `run`: the daemon, until a signal ends it.

use anyhow::Result;

use super::Ending;
use crate::daemon::Daemon;
use crate::settings::{RunSettings, Settings};
use crate::source::Source;
use crate::state::State;
use crate::web;
use crate::write;

/// Ends with 0 when it is asked to; fails at the start alone.
pub fn run(settings: &Settings) -> Result<Ending> {
    let run = RunSettings::from_environment()?;
    let daemon = Daemon::new(settings, &run)?;
    write::sweep(settings)?;
    if let Some(address) = web::serve(settings, &run, daemon.handle())? {
        daemon.log("listening", &format!("http://{address}/"));
    }
    for what in run.idle() {
        daemon.warn(what);
    }
    for name in strangers(settings, &run)? {
        daemon.warn(&format!(
            "`DOCKEROPS_WRITE_REPOS` names `{name}`, which is not watched: write it as it is, with `#ref` and folder"
        ));
    }
    daemon.run();
    Ok(Ending::Done)
}

/// What may be written to, and is neither watched nor to be.
fn strangers(settings: &Settings, run: &RunSettings) -> Result<Vec<Source>> {
    let state = State::read(&settings.database)?;
    let watched = state.as_ref().map(State::sources).transpose()?.unwrap_or_default();
    let mut known: Vec<Source> = watched.iter().filter_map(|row| row.url.parse().ok()).collect();
    known.extend(run.repos.iter().filter_map(|name| Source::parse(name).ok()));
    let named = run.write.repos.iter().filter_map(|name| Source::parse(name).ok());
    Ok(named.filter(|source| !known.contains(source)).collect())
}
