//! `status --watch`: the same, drawn again and again in its place.

use std::time::Duration;

use anyhow::Result;

use super::Told;
use crate::commands::{Ending, nothing_watched};
use crate::fault::{fault, with_hint};
use crate::plain;
use crate::report::screen::Reader;
use crate::settings::Settings;
use crate::signal;
use crate::state::State;

const EVERY: Duration = Duration::from_secs(2);
/// The lines that are not the status: the time, a blank, and the cursor's.
const HEAD: usize = 3;

/// Until Ctrl-C. What cannot be read ends it at the first picture only: docker, say, may be back at the next.
pub fn run(settings: &Settings, stack: Option<&str>) -> Result<Ending> {
    let mut told = None;
    loop {
        let Some(reader) = Reader::of_stdout() else {
            return Err(fault(
                "`status --watch` draws on a terminal, and there is none",
                "`dockerops status` prints it once, with `--json` for programs",
            ));
        };
        let text = match read(settings, stack) {
            Ok(status) => told.insert(status).picture(reader, reader.screen.rows.saturating_sub(HEAD)),
            Err(_) if signal::received().is_some() => String::new(),
            Err(error) if told.is_some() => format!("error: {}", plain::text(&with_hint(&error))),
            Err(error) => return Err(error),
        };
        if let Some(interrupted) = signal::received() {
            return Ok(Ending::EndedBy(interrupted));
        }
        let time = reader.now.with_timezone(&chrono::Local).format("%H:%M:%S");
        let head = format!("{time}, every {} s until Ctrl-C", EVERY.as_secs());
        if reader.screen.draw(&format!("{head}\n\n{text}")).is_err() {
            return Ok(Ending::Done);
        }
        let _ = signal::pause(EVERY);
    }
}

fn read(settings: &Settings, stack: Option<&str>) -> Result<Told> {
    let state = State::read(&settings.database)?;
    let told = Told::read(settings, state.as_ref(), stack)?;
    if told.status().repositories.is_empty() { Err(nothing_watched(settings)) } else { Ok(told) }
}
