//! `events`: what happened, newest last; read only, of the database alone, and while another run holds the lock.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::{Ending, nothing_watched, usage};
use crate::cli::EventsArgs;
use crate::clock;
use crate::holding::Subject;
use crate::logs::Wish;
use crate::report::Report;
use crate::report::events::{self, Times, harmless_event};
use crate::settings::Settings;
use crate::signal;
use crate::state::{EventRow, State};
use crate::watched::watched;

/// So many are told where no time is asked for.
const USUAL: usize = 50;
/// More than are kept.
const ALL: usize = 1_000_000;
const EVERY: Duration = Duration::from_secs(1);

/// Whose events are told.
enum Whose {
    All,
    /// Of this stack, or image, whoever's it was.
    Stack(String),
    /// Of a source, as it is shown, and of its stacks.
    Source(String),
}

/// Prints a line for each, or a JSON object.
pub fn run(settings: &Settings, arguments: &EventsArgs) -> Result<Ending> {
    let since = match Wish::read(None, arguments.since.as_deref(), clock::wall()) {
        Ok(wish) => wish.since,
        Err(error) => return usage("events", &format!("--{error:#}")),
    };
    let Some(state) = State::read(&settings.database)? else { return Err(nothing_watched(settings)) };
    let told: Vec<_> = state.events(None, ALL)?.into_iter().map(harmless_event).collect();
    let whose = whose(settings, &state, arguments.subject.as_deref(), &told)?;
    let mut last = told.first().map_or(0, |row| row.id);
    let mut told: Vec<_> = told.into_iter().filter(|row| whose.has(row) && is_since(row, since)).collect();
    if since.is_none() {
        told.truncate(USUAL);
    }
    told.reverse();
    let form = Form::of(arguments);
    if told.is_empty() && !arguments.follow {
        Report::new().warn("nothing of that is noted");
    }
    let mut is_read = form.print(&told)?;
    while arguments.follow && is_read {
        if let Err(error) = signal::pause(EVERY) {
            return signal::received().map(Ending::EndedBy).ok_or(error);
        }
        let new = newer(settings, &mut last)?.into_iter().map(harmless_event);
        is_read = form.print(&new.filter(|row| whose.has(row)).collect::<Vec<_>>())?;
    }
    Ok(Ending::Done)
}

/// Those after the event `last`. A database that was emptied, or made anew, begins anew.
fn newer(settings: &Settings, last: &mut i64) -> Result<Vec<EventRow>> {
    let Some(state) = State::read(&settings.database)? else {
        *last = 0;
        return Ok(Vec::new());
    };
    let newest = state.events(None, 1)?.first().map_or(0, |row| row.id);
    let after = if newest < *last { 0 } else { *last };
    *last = newest;
    if newest == after { Ok(Vec::new()) } else { state.events_after(after) }
}

/// What is watched no more has events still; a name that nothing ever had is an error with the nearest.
fn whose(settings: &Settings, state: &State, name: Option<&str>, told: &[EventRow]) -> Result<Whose> {
    let Some(name) = name else { return Ok(Whose::All) };
    let watched = watched(state)?;
    match Subject::named(&watched, name) {
        Ok(Subject { stack: Some(stack), .. }) => Ok(Whose::Stack(stack.to_string())),
        Ok(Subject { source, .. }) => Ok(Whose::Source(source.url.shown())),
        Err(_) if told.iter().any(|row| row.stack.as_deref() == Some(name)) => {
            Ok(Whose::Stack(name.to_owned()))
        }
        Err(_) if told.iter().any(|row| row.repository.as_deref() == Some(name)) => {
            Ok(Whose::Source(name.to_owned()))
        }
        Err(_) if watched.is_empty() => Err(nothing_watched(settings)),
        Err(refusal) => Err(refusal.into()),
    }
}

impl Whose {
    fn has(&self, row: &EventRow) -> bool {
        match self {
            Self::All => true,
            Self::Stack(name) => row.stack.as_ref() == Some(name),
            Self::Source(url) => row.repository.as_ref() == Some(url),
        }
    }
}

fn is_since(row: &EventRow, since: Option<DateTime<Utc>>) -> bool {
    let time = row.time.parse::<DateTime<Utc>>();
    since.is_none_or(|since| time.is_ok_and(|time| time >= since))
}

/// How they are told.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Text(Times),
}

impl Form {
    fn of(arguments: &EventsArgs) -> Self {
        match (arguments.json, stdout().is_terminal(), arguments.follow) {
            (true, ..) => Self::Json,
            (false, false, _) => Self::Text(Times::Utc),
            // An age that was printed a while ago is none.
            (false, true, true) => Self::Text(Times::Clock),
            (false, true, false) => Self::Text(Times::Ages(clock::wall())),
        }
    }

    /// Whether anybody reads it.
    fn print(self, rows: &[EventRow]) -> Result<bool> {
        let text = |row: &EventRow| match self {
            Self::Json => events::json(row),
            Self::Text(times) => Ok(events::text(row, times)),
        };
        let text = rows.iter().map(text).collect::<Result<String>>()?;
        let mut stdout = anstream::stdout();
        Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok())
    }
}
