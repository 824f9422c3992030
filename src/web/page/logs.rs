//! What a service printed last, below its tasks: for who signed in, where it is asked for, until it is asked for anew.

use std::time::Duration;

use maud::{Markup, html};

use super::Page;
use super::asked::Tab;
use super::parts::{sentence, text, why};
use crate::clock;
use crate::docker::service::Service;
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
        return closed(page);
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
            @else { div id=(log) { (of_one(page, stack, &service.name)) } }
        }
    }
}

fn of_one(page: &Page<'_>, stack: &Stack, service: &str) -> Markup {
    let mut services = services_of(page.snapshot, stack);
    services.retain(|live| live.name == service);
    lines(page, &services, service)
}

/// What who may not see it is told.
fn closed(page: &Page<'_>) -> Markup {
    html! {
        p.logs {
            @if page.web.access.has_token() {
                span.muted { a href=(page.sign_in()) { "Sign in" } " to see what it prints" }
            } @else {
                span.muted { "What it prints is shown to who signs in, and no API token is set" }
            }
        }
    }
}

/// What all services of a stack print, or those that the address names; on its own page.
pub fn tab(page: &Page<'_>, stack: &Stack) -> Markup {
    if page.visitor == Visitor::Reader {
        return closed(page);
    }
    let all = services_of(page.snapshot, stack);
    if all.is_empty() {
        return html! { p.empty { "No service of it runs." } };
    }
    let asked = &page.asked;
    let chosen: Vec<_> =
        all.iter().copied().filter(|live| asked.logs.is_empty() || asked.logs.contains(&live.name)).collect();
    html! {
        p.logs {
            a id="logs-all" href=(asked.with_tab(Tab::Logs)) data-swap aria-current=[asked.logs.is_empty().then_some("true")] { "All services" }
            @if all.len() > 1 {
                @for live in &all {
                    @let is_chosen = asked.logs.contains(&live.name);
                    a id={ "logs-" (live.name) } href=(asked.with_log(&live.name, !is_chosen)) data-swap aria-current=[is_chosen.then_some("true")] { (text(&live.name)) }
                }
            }
            span.muted { "The last " (LINES) " lines of each, times in UTC" }
        }
        @if asked.still { div id="log-of-all" data-still {} }
        @else { div id="log-of-all" { (lines(page, &chosen, &stack.name)) } }
        p.logs { a id="logs-again" href=(asked.with_same()) data-swap { "Refresh" } }
    }
}

fn lines(page: &Page<'_>, services: &[&Service], name: &str) -> Markup {
    let told = Wish::read(Some(LINES), None, clock::wall())
        .and_then(|wish| page.web.view.log(services, &wish, BOUNDS, FEWER));
    let told = match told {
        Ok(told) => told,
        Err(error) => return why(&format!("{error:#}")),
    };
    let many = told.lines.iter().any(|line| line.mark() != told.lines[0].mark());
    html! {
        @for note in &told.notes { p.muted { (sentence(note)) } }
        @if told.lines.is_empty() { p.muted { "It has printed nothing." } }
        @else {
            div.log role="region" tabindex="0" id={ "lines-" (name) } aria-label={ "The last lines of " (name) } {
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
