//! A stack's own page, to be sent to a colleague: how it is, and in tabs all that is known of it.

use anyhow::Result;
use maud::{Markup, html};

use super::asked::Tab;
use super::parts::{badge, difference_of, for_how_long, sentence, state, text};
use super::{Frame, Page, acts, document, history, logs, stacks, wrongs};
use crate::daemon::JobState;
use crate::plain;
use crate::redact::without_credentials;
use crate::report::history::{History, difference_to};
use crate::report::status::{Stack, StackState};
use crate::stack::StackName;
use crate::state::Texts;
use crate::web::api::find;

/// So many lines of a difference.
const MOST_LINES: usize = 1_000;

/// `None` where there is no such stack.
pub fn render(page: &Page<'_>, name: &str, tab: Tab) -> Result<Option<Markup>> {
    let Some(stack) = find(page.snapshot, name, page.asked.repository.as_deref()) else { return Ok(None) };
    let mut wrongs = page.wrongs()?;
    wrongs.retain(|wrong| wrong.is_of(stack));
    let state = state(stack);
    let title = format!("{}: {} · DockerOps", stack.name, state.word.to_lowercase());
    let main = html! {
        @if let Some(event) = &page.told { (acts::told(event)) }
        @if let Some(job) = &page.job { (acts::job_line(job)) }
        p.back-to-all { a href="../" { "All stacks" } }
        section.verdict {
            h1 id="headline" { (text(&stack.name)) " " (badge(state)) }
            @if let Some(work) = page.motion(stack) {
                p data-busy {
                    (for_how_long(&work.since))
                    @if let Some(why) = &work.why { ": " (sentence(why)) }
                }
            }
        }
        (wrongs::section(page, &wrongs)?)
        (stacks::about(page, stack)?)
        nav.tabs aria-label="About this stack" {
            @for one in Tab::ALL {
                a id={ "tab-" (one.as_str()) } href=(page.asked.with_tab(one)) data-swap aria-current=[(one == tab).then_some("page")] {
                    (one.title())
                }
            }
        }
        section.tab aria-labelledby={ "tab-" (tab.as_str()) } {
            @match tab {
                Tab::Services => (stacks::services(page, stack)?),
                Tab::Logs => (logs::tab(page, stack)),
                Tab::Difference => (difference(page, stack)?),
                Tab::History => (versions(page, stack)?),
                Tab::Compose => (compose(page, stack)?),
            }
        }
        (stacks::buttons(page, stack, &page.origin(stack)?))
    };
    let is_busy =
        page.job.as_ref().is_some_and(|job| matches!(job.state, JobState::Queued | JobState::Running));
    let again = is_busy || page.web.holds.goes_back(name);
    let frame = Frame { title: &title, up: "../", again, ..Frame::default() };
    Ok(Some(document(&frame, &page.actions(), &main)))
}

fn texts(page: &Page<'_>, stack: &Stack) -> Result<Texts> {
    let mut texts = page.web.view.ask(|state| state.texts(&stack.source))?;
    Ok(texts.remove(&StackName::known(&stack.name)).unwrap_or_default())
}

/// What is not as it was applied, what failed and how that differs, or what the version that runs changed.
fn difference(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let name = StackName::known(&stack.name);
    let versions = page.web.view.ask(|state| state.newest_versions(&name, &stack.source, 2))?;
    let failed = texts(page, stack)?.attempted.filter(|_| stack.status == StackState::Error);
    let (title, difference) = match (failed, versions.first()) {
        (Some(failed), Some(ran)) => {
            ("What failed, beside the version before it", difference_to(ran, &failed))
        }
        (Some(failed), None) => {
            let lines = failed.lines().map(|line| format!("+{line}\n"));
            ("What failed; no version of it has converged so far", lines.collect())
        }
        (None, _) => {
            let history = History::told(stack, &versions);
            let newest = history.versions.into_iter().next().and_then(|version| version.difference);
            ("What the version that runs changed", newest.unwrap_or_default())
        }
    };
    let shown: String = difference.split_inclusive('\n').take(MOST_LINES).collect();
    Ok(html! {
        @if !stack.drift.is_empty() {
            h4 { "Not as it was applied" }
            ul { @for drift in &stack.drift { li { code { (text(&drift.service)) } " " (sentence(&drift.what)) } } }
        }
        @if difference.is_empty() { p.empty { "There is no earlier version to compare with, or it says the same." } }
        @else {
            (difference_of(&html! { (title) }, &shown, true))
            @if shown.len() < difference.len() { p.muted { "Only the first " (MOST_LINES) " lines are shown." } }
        }
    })
}

fn versions(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let history = history::section(page, stack)?;
    Ok(html! {
        @if history.is_empty { p.empty { "No version of it has converged so far." } } @else { (history.markup) }
    })
}

/// What docker was given last, without what looks like a secret.
fn compose(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let texts = texts(page, stack)?;
    let has_failed = texts.attempted.is_some();
    Ok(match texts.attempted.or(texts.applied) {
        None => html! { p.empty { "Docker was given nothing of it so far." } },
        Some(whole) => html! {
            p.muted {
                @if has_failed { "What docker was given last, which failed" } @else { "What docker was given, and runs" }
                "; values that look like secrets are left out."
            }
            pre.file tabindex="0" {
                @for line in whole.lines() { (plain::line(&without_credentials(line))) "\n" }
            }
        },
    })
}
