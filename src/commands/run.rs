//! `run`: the daemon, until a signal ends it.

use anyhow::Result;

use super::Ending;
use crate::daemon::Daemon;
use crate::settings::{RunSettings, Settings};
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
    daemon.run();
    Ok(Ending::Done)
}
