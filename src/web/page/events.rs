//! The last events, newest first, a page at a time.

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{Tone, moment, sentence, shape, text};
use crate::report::events::harmless_event;
use crate::state::{EventRow, Level};

/// Events on a page.
const EVENTS: usize = 15;

pub fn section(page: &Page<'_>) -> Result<Markup> {
    let rows = page.web.view.ask(|state| state.events(page.asked.before, EVENTS))?;
    let older = (rows.len() == EVENTS).then(|| rows.last().map(|row| row.id)).flatten();
    Ok(html! {
        section aria-labelledby="events" {
            h2 id="events" { "Events" }
            @if rows.is_empty() { p.empty { "Nothing has happened yet." } }
            ol.events { @for row in rows { (line(&harmless_event(row), true)) } }
            p.pages {
                @if page.asked.before.is_some() { a id="newest" href=(page.asked.with_events(None)) data-swap { "Newest" } }
                @if older.is_some() { a id="older" href=(page.asked.with_events(older)) data-swap { "Older" } }
            }
        }
    })
}

/// One event, with the name of its stack where that is not plain already.
pub fn line(row: &EventRow, with_stack: bool) -> Markup {
    let tone = match row.level {
        Level::Info => Tone::Off,
        Level::Warn => Tone::Warn,
        Level::Error => Tone::Bad,
    };
    html! {
        li data-tone=(tone.as_str()) {
            (moment(&row.time))
            p {
                @if row.level != Level::Info { (shape(tone)) " " }
                @if let Some(stack) = row.stack.as_ref().filter(|_| with_stack) { b { (text(stack)) } " " }
                span.kind { (text(&row.kind.replace('_', " "))) }
                " " (sentence(&row.message))
            }
        }
    }
}
