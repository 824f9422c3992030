//! `hold` and `release`: a stack, or all of a source, stays as it is.

use anyhow::Result;

use super::{Ending, Writer};
use crate::cli::{HoldArgs, ReleaseArgs};
use crate::holding::{self, Noted, Subject, Wish};
use crate::report::Voice;
use crate::settings::Settings;
use crate::watched::{Watched, watched};

/// Notes the hold, in the database and in the Swarm.
pub fn hold(settings: &Settings, arguments: &HoldArgs) -> Result<Ending> {
    let writer = Writer::open(settings, "hold", Voice::from_options(false, arguments.quiet))?;
    let watched = watched(&writer.state)?;
    let subject = subject(&watched, &arguments.subject, settings)?;
    let wish = Wish {
        length: arguments.length,
        reason: arguments.reason.clone().unwrap_or_default(),
        by: settings.person.clone(),
    };
    tell(&writer, &holding::hold(&writer, &watched, &subject, wish)?);
    Ok(Ending::Done)
}

/// Ends the hold; the next sync deals with what it kept back.
pub fn release(settings: &Settings, arguments: &ReleaseArgs) -> Result<Ending> {
    let writer = Writer::open(settings, "release", Voice::from_options(false, arguments.quiet))?;
    let watched = watched(&writer.state)?;
    let subject = subject(&watched, &arguments.subject, settings)?;
    tell(&writer, &holding::release(&writer, &watched, &subject, &settings.person)?);
    writer.report.say("`sudo dockerops reconcile` does now what it kept back");
    Ok(Ending::Done)
}

fn subject(watched: &[Watched], name: &str, settings: &Settings) -> Result<Subject> {
    if watched.is_empty() {
        return Err(super::nothing_watched(settings));
    }
    Ok(Subject::named(watched, name)?)
}

/// What else is to be known of it.
pub fn tell(writer: &Writer, noted: &Noted) {
    noted.notes.iter().for_each(|note| writer.report.warn(note));
}
