//! Events as they are told: a line each for people, a JSON object each for programs.

use anstyle::Style;
use anyhow::{Context, Result};
use chrono::{DateTime, Local, Utc};

use super::screen::cut;
use super::times::{utc, when};
use super::{BAD, DIM, NOTE, harmless};
use crate::plain;
use crate::redact::without_credentials;
use crate::state::{EventRow, Level};

/// How the time of an event is told.
#[derive(Debug, Clone, Copy)]
pub enum Times {
    /// How long ago: for a person who reads now.
    Ages(DateTime<Utc>),
    /// By the clock on the wall: for one who goes on reading.
    Clock,
    /// UTC, for whoever reads it later.
    Utc,
}

/// An event in UTC, without what may have been in an older database's URLs.
pub fn harmless_event(mut row: EventRow) -> EventRow {
    row.time = utc(&row.time);
    row.repository = row.repository.as_deref().map(without_credentials);
    row.message = harmless(&row.message);
    row
}

/// One event: on one line, but for a person at a terminal.
pub fn text(row: &EventRow, times: Times) -> String {
    let style = match row.level {
        Level::Info => Style::new(),
        Level::Warn => NOTE,
        Level::Error => BAD,
    };
    let (time, message) = match times {
        Times::Ages(now) => (format!("{:>6}", when(&row.time, Some(now))), plain::text(&row.message)),
        Times::Clock => (clock(&row.time), plain::text(&row.message)),
        Times::Utc => (when(&row.time, None), plain::line(&row.message)),
    };
    let about = row.stack.as_deref().or(row.repository.as_deref()).map(plain::name);
    let about = about.map(|about| format!("  {about}")).unwrap_or_default();
    let kind = cut(&plain::name(&row.kind), 13);
    format!("{DIM}{time}{DIM:#}  {style}{kind:<13}{style:#}{about}  {message}\n")
}

/// One event as one line of JSON.
pub fn json(row: &EventRow) -> Result<String> {
    Ok(plain::json(&serde_json::to_string(row).context("cannot print an event")?) + "\n")
}

fn clock(time: &str) -> String {
    let parsed = time.parse::<DateTime<Utc>>();
    parsed.map_or_else(
        |_| time.to_owned(),
        |time| time.with_timezone(&Local).format("%b %d %H:%M:%S").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_an_age_and_lines_for_people_and_one_line_in_utc_elsewhere() {
        let row = EventRow {
            id: 7,
            time: "2026-11-23T03:00:00+01:00".into(),
            level: Level::Info,
            kind: "deployed".into(),
            repository: Some("https://u:p@h/r".into()),
            stack: Some("web".into()),
            commit: None,
            message: "one\ntwo\u{1b}".into(),
        };
        let row = harmless_event(row);
        let plain = |times| anstream::adapter::strip_str(&text(&row, times)).to_string();
        let now = "2026-11-23T02:12:00Z".parse().unwrap();
        assert_eq!(plain(Times::Ages(now)), "12 min  deployed       web  one\n  two\\u{1b}\n");
        assert_eq!(plain(Times::Utc), "2026-11-23T02:00:00Z  deployed       web  one   two\\u{1b}\n");
        let told: serde_json::Value = serde_json::from_str(&json(&row).unwrap()).unwrap();
        assert_eq!((&told["time"], &told["event"]), (&"2026-11-23T02:00:00Z".into(), &"deployed".into()));
        assert_eq!(told["repository"], "https://…@h/r");
        let source = EventRow { stack: None, ..row.clone() };
        assert!(text(&source, Times::Utc).contains("  https://…@h/r  one"));
    }
}
