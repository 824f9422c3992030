//! Every stack in a line, and in full those that the address opens.

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{badge, count, moment, sentence, short, state, text, why};
use super::templates::Made;
use crate::docker::task::Task;
use crate::report::events::harmless_event;
use crate::report::services::{TaskView, image_of};
use crate::report::status::{LiveService, Stack};
use crate::web::api::{LAST, tasks_of};

pub fn section(page: &Page<'_>) -> Result<Markup> {
    let stacks = &page.snapshot.status.stacks;
    let lines = stacks.iter().map(|stack| line(page, stack)).collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section aria-labelledby="stacks" {
            h2 id="stacks" { "Stacks" }
            @if lines.is_empty() { p.empty { "No stack yet." } }
            ul.stacks { @for line in lines { (line) } }
        }
    })
}

fn line(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let open = page.asked.is_open(&stack.name);
    let id = format!("stack-{}", stack.name);
    let panel = format!("in-{id}");
    Ok(html! {
        li.stack data-open[open] {
            div.line {
                (badge(state(stack)))
                h3 {
                    a id=(id) href=(page.asked.toggled(&stack.name)) data-swap aria-expanded=(open) aria-controls=[open.then_some(&panel)] {
                        (text(&stack.name))
                    }
                }
                span.facts {
                    @if let Some(commit) = &stack.commit { (short(commit)) }
                    (tasks(stack))
                }
            }
            @if open { div.panel id=(panel) { (in_full(page, stack)?) } }
        }
    })
}

/// How many tasks run of how many.
fn tasks(stack: &Stack) -> Markup {
    let running: u64 = stack.services.iter().map(|service| service.running.min(service.wanted)).sum();
    let wanted: u64 = stack.services.iter().map(|service| service.wanted).sum();
    let surplus: u64 = stack.services.iter().map(LiveService::surplus).sum();
    html! {
        @if !stack.services.is_empty() {
            span.tasks {
                span.hidden { "tasks " } (running) span.slash { "/" } (wanted)
                @if surplus > 0 { " · " (surplus) " surplus" }
            }
        }
    }
}

fn in_full(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let tasks = match page.snapshot.trouble {
        None => page.web.view.tasks(page.snapshot, &stack.name)?,
        Some(_) => std::sync::Arc::default(),
    };
    let events = page.web.view.ask(|state| state.events_of(&stack.name, LAST / 2))?;
    let origin = page.origin(stack)?;
    let history = super::history::section(page, stack)?;
    Ok(html! {
        @if page.web.holds.goes_back(&stack.name) {
            p.job data-tone="calm" data-busy { span.spinner aria-hidden="true" {} span { "Rolling back" } }
        }
        @if let Some(error) = &stack.error { (why(error)) }
        @if let Some(hold) = &stack.hold { div.on-hold { (why(&hold.sentence)) } }
        dl.facts {
            dt { "Repository" } dd { (text(&stack.repository)) }
            dt { "Compose file" } dd { (text(&stack.compose_path)) }
            @if let Some(commit) = &stack.commit { dt { "Commit" } dd { code { (text(commit)) } } }
            @if !stack.hash.is_empty() { dt { "Fingerprint" } dd { code { (text(&stack.hash)) } } }
            dt { "On drift" } dd { (stack.drift_policy.as_str()) }
            @if let Made::From { template, has_moved_on } = &origin {
                dt { "Template" } dd { (text(template)) @if *has_moved_on { ", which was changed since" } }
            }
        }
        @if stack.services.is_empty() && page.snapshot.trouble.is_none() { p.empty { "No service of it runs." } }
        @for service in &stack.services { (service_in_full(page, stack, service, &tasks)) }
        @if !events.is_empty() {
            h4 { "Last events" }
            ol.events { @for event in events { (super::events::line(&harmless_event(event), false)) } }
        }
        (history)
        div.buttons {
            (page.button("Reconcile this stack", Some(&stack.name), false))
            (page.button("Deploy it again", Some(&stack.name), true))
            (page.write_links(stack, &origin))
        }
        (page.holding(stack))
    })
}

fn service_in_full(page: &Page<'_>, stack: &Stack, service: &LiveService, tasks: &[Task]) -> Markup {
    let (image, digest) = image_of(&page.snapshot.services, service);
    let tasks = tasks_of(page.snapshot, service, tasks);
    let drift = stack.drift.iter().filter(|drift| drift.service == service.name);
    html! {
        div.service {
            h4 {
                span { (text(&service.name)) }
                span.tasks {
                    span.hidden { "tasks " } (service.running) span.slash { "/" } (service.wanted)
                    @if service.completed > 0 { " · " (service.completed) " completed" }
                }
            }
            p.image {
                (text(&image))
                @if let Some(digest) = &digest { " " (short(digest.strip_prefix("sha256:").unwrap_or(digest))) }
            }
            @for drift in drift { p.why { "Drifted: " (sentence(&drift.what)) } }
            @if let Some(error) = &service.error { (why(error)) }
            @if !tasks.is_empty() { (task_list(&tasks)) }
            (super::logs::panel(page, stack, service))
        }
    }
}

fn task_list(tasks: &[TaskView]) -> Markup {
    let (now, before): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| !task.desired.is_over());
    let lines = |tasks: &[&TaskView]| {
        html! {
            ul.tasklist {
                @for task in tasks {
                    li {
                        span.where { (text(if task.node.is_empty() { "no node" } else { &task.node })) }
                        span { (text(task.state.as_str())) }
                        @if let Some(since) = &task.since { span.muted { (moment(since)) } }
                        @if let Some(error) = &task.error { (why(error)) }
                    }
                }
            }
        }
    };
    html! {
        (lines(&now))
        @if !before.is_empty() {
            details { summary { (count(before.len(), "earlier task", "earlier tasks")) } (lines(&before)) }
        }
    }
}
