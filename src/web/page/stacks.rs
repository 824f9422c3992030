//! Every stack in a line, and in full those that the address opens.

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{Tone, badge, count, for_how_long, moment, sentence, short, state, text, why};
use super::templates::Made;
use super::wrongs::needs_attention;
use crate::docker::task::Task;
use crate::report::UnderWay;
use crate::report::events::harmless_event;
use crate::report::services::{TaskView, image_of};
use crate::report::status::{LiveService, Stack};
use crate::state::WorkKind;
use crate::web::api::{LAST, tasks_of};

/// From so many stacks on there is a filter.
const FEW: usize = 5;

/// What stacks stand below, in the order of the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// What needs a person.
    Attention,
    Moving,
    /// All others, by their source.
    Of(String),
}

impl Group {
    fn of(page: &Page<'_>, stack: &Stack) -> Self {
        if needs_attention(stack) {
            Self::Attention
        } else if page.motion(stack).is_some() || state(stack).tone == Tone::Busy {
            Self::Moving
        } else {
            Self::Of(stack.repository.clone())
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Attention => "Needs attention".to_owned(),
            Self::Moving => "Under way".to_owned(),
            Self::Of(repository) => text(repository),
        }
    }
}

/// What needs a person first, then what is under way, then by repository and by name.
pub fn section(page: &Page<'_>) -> Result<Markup> {
    let stacks = &page.snapshot.status.stacks;
    let shown = stacks.iter().filter(|stack| is_shown(page, stack));
    let mut shown: Vec<_> = shown.map(|stack| (Group::of(page, stack), stack)).collect();
    shown.sort_by(|(one, a), (other, b)| (one, &a.name).cmp(&(other, &b.name)));
    let groups: Vec<_> = shown.chunk_by(|(one, _), (other, _)| one == other).collect();
    let lists = groups.iter().map(|group| {
        let lines = group.iter().map(|(_, stack)| line(page, stack)).collect::<Result<Vec<_>>>()?;
        Ok(html! {
            @if groups.len() > 1 { p.group { (group[0].0.title()) span.muted { " " (group.len()) } } }
            ul.stacks { @for line in lines { (line) } }
        })
    });
    let lists = lists.collect::<Result<Vec<_>>>()?;
    Ok(html! {
        section aria-labelledby="stacks" {
            div.above {
                h2 id="stacks" {
                    "Stacks"
                    @if page.asked.is_filtered() { " " span.muted { (shown.len()) " of " (stacks.len()) } }
                }
                @if stacks.len() >= FEW || page.asked.is_filtered() { (filter(page)) }
            }
            @if stacks.is_empty() { p.empty { "No stack yet." } }
            @else if shown.is_empty() {
                p.empty { "No stack is like that. " a href=(page.asked.unfiltered()) data-swap { "Show all" } }
            }
            @for list in lists { (list) }
        }
    })
}

/// A form that works by itself; the script sends it as it is typed.
fn filter(page: &Page<'_>) -> Markup {
    html! {
        form.filter method="get" action="./" role="search" {
            @for name in page.asked.open() { input type="hidden" name="stack" value=(name); }
            @for name in &page.asked.logs { input type="hidden" name="log" value=(name); }
            label.hidden for="filter" { "Name, repository, image or state" }
            input id="filter" name="q" type="search" value=(page.asked.text) placeholder="Name, repository, image, state" autocomplete="off";
            label.check { input id="problems" name="problems" type="checkbox" value="1" checked[page.asked.wrong_only]; span { "Only problems" } }
            button.button.quiet id="do-filter" type="submit" { "Filter" }
            @if page.asked.is_filtered() { a id="unfiltered" href=(page.asked.unfiltered()) data-swap { "Show all" } }
        }
    }
}

fn is_shown(page: &Page<'_>, stack: &Stack) -> bool {
    let wanted = page.asked.text.to_lowercase();
    let mut texts = [&*stack.name, &*stack.repository, state(stack).word]
        .into_iter()
        .chain(stack.services.iter().map(|service| service.image.as_str()));
    (!page.asked.wrong_only || needs_attention(stack))
        && (wanted.is_empty() || texts.any(|text| text.to_lowercase().contains(&wanted)))
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
                span.said { (what_is_said(page, stack)) }
                span.facts {
                    @if let Some(commit) = &stack.commit { (page.commit(&stack.source, commit)) }
                    (tasks(stack))
                }
            }
            @if open { div.panel id=(panel) { (in_full(page, stack)?) } }
        }
    })
}

/// For how long a stack in motion is, and what it waits for; of another one its commit's words.
fn what_is_said(page: &Page<'_>, stack: &Stack) -> Markup {
    html! {
        @match page.motion(stack) {
            Some(work) => {
                span data-busy { (for_how_long(&work.since)) }
                @if let Some(why) = &work.why { ": " (sentence(why)) }
            },
            None => {
                @if let Some(commit) = &stack.commit { (page.commit_words(&stack.source, commit)) }
            },
        }
    }
}

impl Page<'_> {
    /// What a run is at with it.
    pub fn motion(&self, stack: &Stack) -> Option<&UnderWay> {
        let is_its = |work: &&UnderWay| {
            matches!(work.state, WorkKind::Deploying | WorkKind::Removing | WorkKind::Waiting)
                && work.what == stack.name
                && work.repository.as_ref().is_none_or(|repository| *repository == stack.repository)
        };
        self.snapshot.status.under_way.iter().find(is_its)
    }
}

/// How many tasks run of how many.
fn tasks(stack: &Stack) -> Markup {
    let running: u64 = stack.services.iter().map(|service| service.running.min(service.wanted)).sum();
    let wanted: u64 = stack.services.iter().map(|service| service.wanted).sum();
    let surplus: u64 = stack.services.iter().map(LiveService::surplus).sum();
    html! {
        span.tasks {
            @if !stack.services.is_empty() {
                span.hidden { "tasks " } (running) span.slash { "/" } (wanted)
                @if surplus > 0 { " · " (surplus) " surplus" }
            }
        }
    }
}

fn in_full(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let origin = page.origin(stack)?;
    let history = super::history::section(page, stack)?;
    Ok(html! {
        p.own { a id={ "own-" (stack.name) } href={ "stacks/" (stack.name) } { "Page of this stack" } }
        @if let Some(error) = &stack.error { (why(error)) }
        (about(page, stack)?)
        (services(page, stack)?)
        @if !history.is_empty {
            h4 { "History" }
            (history.markup)
        }
        (buttons(page, stack, &origin))
    })
}

/// What is so of it, and where it comes from.
pub fn about(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let origin = page.origin(stack)?;
    Ok(html! {
        @if page.web.holds.goes_back(&stack.name) {
            p.job data-tone="calm" data-busy { span.spinner aria-hidden="true" {} span { "Rolling back" } }
        }
        @if let Some(hold) = &stack.hold { div.on-hold { (why(&hold.sentence)) } }
        dl.facts {
            dt { "Repository" } dd { (text(&stack.repository)) }
            dt { "Compose file" } dd { (text(&stack.compose_path)) }
            @if let Some(commit) = &stack.commit {
                dt { "Commit" } dd { (page.commit(&stack.source, commit)) " " (page.commit_words(&stack.source, commit)) }
            }
            @if !stack.hash.is_empty() { dt { "Fingerprint" } dd { (short(&stack.hash)) } }
            @if let Some(converged) = &stack.converged { dt { "Converged" } dd { (moment(converged)) } }
            dt { "On drift" } dd { (stack.drift_policy.as_str()) }
            @if let Made::From { template, has_moved_on } = &origin {
                dt { "Template" } dd { (text(template)) @if *has_moved_on { ", which was changed since" } }
            }
        }
    })
}

/// Its services with their tasks, and its last events.
pub fn services(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let tasks = match page.snapshot.trouble {
        None => page.web.view.tasks(page.snapshot, &stack.name)?,
        Some(_) => std::sync::Arc::default(),
    };
    let events = page.web.view.ask(|state| state.events_of(&stack.name, LAST / 2))?;
    Ok(html! {
        @if stack.services.is_empty() && page.snapshot.trouble.is_none() { p.empty { "No service of it runs." } }
        @for service in &stack.services { (service_in_full(page, stack, service, &tasks)) }
        @if !events.is_empty() {
            h4 { "Last events" }
            ol.events { @for event in events { (super::events::line(&harmless_event(event), false)) } }
        }
    })
}

/// What a person may do about it.
pub fn buttons(page: &Page<'_>, stack: &Stack, origin: &Made) -> Markup {
    let id = |what: &str| format!("do-{}-{what}", stack.name);
    html! {
        div.buttons {
            (page.button(&id("sync"), "Reconcile this stack", Some(&stack.name), false))
            (page.button(&id("force"), "Deploy it again", Some(&stack.name), true))
            (page.write_links(stack, origin))
        }
        (page.holding(stack, "stack"))
    }
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
