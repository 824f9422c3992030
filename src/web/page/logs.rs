//! What a service printed last, below its tasks: for who signed in, where it is asked for, until it is asked for anew.

use std::time::Duration;

use maud::{Markup, html};

use super::Page;
use super::parts::{sentence, text, why};
use crate::clock;
use crate::logs::{Bounds, Line, Wish};
use crate::report::status::{LiveService, Stack};
use crate::web::access::Visitor;
use crate::web::logs::services_of;

/// So many logs are shown at once; each costs docker a question.
pub const MOST_LOGS: usize = 3;
const LINES: &str = "200";
const BOUNDS: Bounds = Bounds { bytes: 256 << 10, time: Duration::from_secs(5) };
const FEWER: &str = "`dockerops logs` and the API tell more";

/// The log of a service, or what opens it.
pub fn panel(page: &Page<'_>, stack: &Stack, service: &LiveService) -> Markup {
    if page.snapshot.trouble.is_some() {
        return html! {};
    }
    if page.visitor == Visitor::Reader {
        return html! {
            p.logs {
                @if page.web.access.has_token() {
                    span.muted { a href="sign-in" { "Sign in" } " to see what it prints" }
                } @else {
                    span.muted { "What it prints is shown to who signs in, and no API token is set" }
                }
            }
        };
    }
    let is_open = page.asked.logs.contains(&service.name);
    let (id, log) = (format!("logs-{}", service.name), format!("log-{}", service.name));
    html! {
        p.logs {
            a id=(id) href=(page.asked.with_log(&service.name, !is_open)) data-swap aria-expanded=(is_open) aria-controls=[is_open.then_some(&log)] {
                @if is_open { "Hide the log" } @else { "Show the log" }
            }
            @if is_open {
                a id={ (id) "-again" } href=(page.asked.with_log(&service.name, true)) data-swap { "Refresh" }
                span.muted { "The last " (LINES) " lines, times in UTC" }
            }
        }
        @if is_open {
            // The script keeps what it has shown.
            @if page.asked.still { div id=(log) data-still {} }
            @else { div id=(log) { (lines(page, stack, service)) } }
        }
    }
}

fn lines(page: &Page<'_>, stack: &Stack, service: &LiveService) -> Markup {
    let mut services = services_of(page.snapshot, stack);
    services.retain(|live| live.name == service.name);
    let told = Wish::read(Some(LINES), None, clock::wall())
        .and_then(|wish| page.web.view.log(&services, &wish, BOUNDS, FEWER));
    let told = match told {
        Ok(told) => told,
        Err(error) => return why(&format!("{error:#}")),
    };
    let many = told.lines.iter().any(|line| line.mark() != told.lines[0].mark());
    html! {
        @for note in &told.notes { p.muted { (sentence(note)) } }
        @if told.lines.is_empty() { p.muted { "It has printed nothing." } }
        @else {
            div.log role="region" tabindex="0" id={ "lines-" (service.name) } aria-label={ "The last lines of " (service.name) } {
                ol { @for line in &told.lines { (one(line, many)) } }
            }
        }
    }
}

/// Its task and node are told where there are several.
fn one(line: &Line, many: bool) -> Markup {
    let time = line.time.get(..19).unwrap_or(&line.time).replace('T', " ");
    html! {
        li {
            span.muted title=(line.stream) { (time) @if many { " " (line.mark()) } }
            " " (text(&line.message))
        }
    }
}
