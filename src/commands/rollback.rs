//! `rollback`: an earlier version of a stack runs again, and stays.

use anyhow::Result;

use super::{Ending, Writer, hold, nothing_watched};
use crate::cli::RollbackArgs;
use crate::holding::{Back, Subject, roll_back};
use crate::report::Voice;
use crate::settings::Settings;
use crate::watched::watched;

/// Reads the version, notes that it is to stay, deploys it, and waits until it runs.
pub fn run(settings: &Settings, arguments: &RollbackArgs) -> Result<Ending> {
    let writer = Writer::open(settings, "rollback", Voice::from_options(false, arguments.quiet))?;
    let watched = watched(&writer.state)?;
    if watched.is_empty() {
        return Err(nothing_watched(settings));
    }
    let subject = Subject::stack(&watched, &arguments.stack, None)?;
    let wish = Back {
        to: arguments.to.clone(),
        reason: arguments.reason.clone().unwrap_or_default(),
        by: settings.person.clone(),
        pin: arguments.pin,
        without_bindings: arguments.without_bindings,
    };
    let back = roll_back(&writer, &watched, &subject, wish)?;
    hold::tell(&writer, &back.noted);
    let tally = back.carry_out(&writer)?;
    writer.report.summary(&tally, false);
    Ok(tally.into())
}
