//! The versions of a stack that converged, how each differs from the one before, and the way back to it.

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{capital, difference_of, moment, sentence};
use crate::report::history::History;
use crate::report::status::Stack;
use crate::stack::StackName;

/// So many versions are shown.
const SHOWN: usize = 10;
/// So many lines of a difference.
const MOST_LINES: usize = 200;

/// The list, or that there is none.
pub struct Versions {
    pub is_empty: bool,
    pub markup: Markup,
}

pub fn section(page: &Page<'_>, stack: &Stack) -> Result<Versions> {
    let name = StackName::known(&stack.name);
    // The last one that is shown differs from one that is not.
    let versions = page.web.view.ask(|state| state.newest_versions(&name, &stack.source, SHOWN + 1))?;
    let history = History::told(stack, &versions);
    let failed = page.failed(stack)?;
    let lines = (0..history.versions.len().min(SHOWN)).map(|at| {
        let way_back = page.way_back(stack, &versions, failed.as_deref(), at);
        line(page, stack, &history, at, &way_back)
    });
    let markup = html! { ol.versions { @for line in lines { (line) } } };
    Ok(Versions { is_empty: history.versions.is_empty(), markup })
}

fn line(page: &Page<'_>, stack: &Stack, history: &History, at: usize, way_back: &Markup) -> Markup {
    let version = &history.versions[at];
    let images = history.new_images(at);
    html! {
        li id={ "version-" (version.id) } {
            p {
                (moment(&version.time)) " " (page.commit(&stack.source, &version.commit)) " "
                (page.commit_words(&stack.source, &version.commit))
            }
            p.muted {
                (sentence(&capital(&version.reason)))
                @if version.times > 1 { ", " (version.times) " times" }
                @if version.how != "adopt" { ", took " (version.seconds) " s" }
                @if images != "same" { ", images " code { (images) } }
            }
            @if let Some(difference) = version.difference.as_deref().filter(|it| !it.is_empty()) {
                @let shown: String = difference.split_inclusive('\n').take(MOST_LINES).collect();
                (difference_of(&html! { "What it changed" }, &shown, false))
                @if shown.len() < difference.len() {
                    p.muted { "Only the first " (MOST_LINES) " lines are shown; " code { "dockerops history " (history.stack) " --diff " (at + 1) } " shows all." }
                }
            }
            (way_back)
        }
    }
}
