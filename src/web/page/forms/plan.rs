//! What a commit would do, and why one is not made, for people's eyes.

use maud::{Markup, html};

use super::sent::Sent;
use crate::compose;
use crate::validate::Mistake;
use crate::validate::diff::{Diff, StackBecomes, StackChange};
use crate::web::page::parts::{Tone, capital, difference_of, sentence, shape, text};
use crate::write::{Becomes, FileChange, Plan, Stop};

/// All of it but the subject.
pub fn shown(plan: &Plan) -> Markup {
    let is_idle =
        plan.changes.stacks.is_empty() && plan.changes.images.is_empty() && plan.changes.bindings.is_empty();
    let is_removal = plan.changes.stacks.iter().all(|stack| stack.becomes == StackBecomes::Removed);
    html! {
        section aria-labelledby="becomes" {
            h2 id="becomes" { "What the commit does" }
            ul.becomes {
                @if is_idle { li data-tone="off" { (shape(Tone::Off)) p { "Nothing that runs changes." } } }
                @for stack in &plan.changes.stacks { (of_stack(stack)) }
                (others(&plan.changes))
                @for what in &plan.stays {
                    li data-tone="off" { (shape(Tone::Off)) p { "Stays: " (sentence(what)) } }
                }
            }
        }
        @if !plan.problems.is_empty() {
            section aria-labelledby="problems" {
                h2 id="problems" { "Wrong already, and left so" }
                (mistakes(&plan.problems))
            }
        }
        @if !plan.not_checked.is_empty() {
            section aria-labelledby="unchecked" {
                h2 id="unchecked" { "Not checked" }
                ul.becomes { @for what in &plan.not_checked { li data-tone="warn" { (shape(Tone::Warn)) p { (sentence(what)) } } } }
            }
        }
        section aria-labelledby="files" {
            h2 id="files" { "Files" }
            (files(&plan.files))
        }
        @if plan.changes.differences().next().is_some() {
            section aria-labelledby="rendered" {
                h2 id="rendered" { "Rendered, with variables by name" }
                @for (stack, difference) in plan.changes.differences() {
                    (difference_of(&html! { code { (text(stack)) } }, difference, !is_removal))
                }
            }
        }
    }
}

fn of_stack(stack: &StackChange) -> Markup {
    let tone = match stack.becomes {
        StackBecomes::Deployed => Tone::Good,
        StackBecomes::Changed => Tone::Busy,
        StackBecomes::Removed | StackBecomes::Kept => Tone::Warn,
    };
    let rolls = stack.services.iter().filter(|it| it.becomes == compose::Becomes::Rolls).count();
    let verb = match stack.becomes {
        StackBecomes::Deployed => "is deployed",
        StackBecomes::Changed if rolls > 0 => "rolls",
        StackBecomes::Changed => "changes",
        StackBecomes::Removed => "is removed",
        StackBecomes::Kept => "is kept",
    };
    html! {
        li data-tone=(tone.as_str()) { (shape(tone)) p { b { (text(&stack.name)) } " " (verb) ": " (sentence(&stack.told())) } }
    }
}

fn others(changes: &Diff) -> Markup {
    html! {
        @for (kind, all) in [("Image ", &changes.images), ("Binding ", &changes.bindings)] {
            @for change in all {
                li data-tone="busy" { (shape(Tone::Busy)) p { (kind) b { (text(&change.name)) } ": " (sentence(&change.what)) } }
            }
        }
        @for what in &changes.lost { li data-tone="bad" { (shape(Tone::Bad)) p { "Lost: " (sentence(what)) } } }
        @for what in &changes.notes { li data-tone="warn" { (shape(Tone::Warn)) p { (sentence(what)) } } }
    }
}

fn files(files: &[FileChange]) -> Markup {
    html! {
        @if files.is_empty() { p.empty { "No file differs." } }
        @for file in files {
            @let what = match file.becomes {
                Becomes::New => "new",
                Becomes::Changed => "changed",
                Becomes::Gone => "gone",
            };
            (difference_of(&html! { code { (text(&file.path)) } " " span.muted { (what) } }, &file.difference, file.becomes != Becomes::Gone))
        }
    }
}

fn mistakes(all: &[Mistake]) -> Markup {
    let one = |it: &Mistake| {
        let line = it.line.map(|line| format!(":{line}")).unwrap_or_default();
        html! {
            li {
                code { (text(&it.file)) (line) } " "
                @if !it.key.is_empty() { code { (text(&it.key)) } " " }
                (sentence(&it.what))
            }
        }
    };
    html! { ul.mistakes { @for mistake in all { (one(mistake)) } } }
}

/// Why no commit was made, above a form; without the mistakes that stand at their fields, by the names of `fields`.
pub fn stopped(stop: &Stop, fields: &[String]) -> Markup {
    let told = stop.json();
    let word = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let more = match stop {
        Stop::Same | Stop::Planned => {
            return calm(
                "It is so already",
                "Nothing differs from what the repository has, so nothing is committed.",
            );
        }
        Stop::Missing { .. } | Stop::Conflict { .. } => html! {},
        Stop::Changed { ours, theirs, .. } => html! {
            @if !ours.is_empty() { h3 { "What you asked for" } (files(ours)) }
            h3 { "What was changed meanwhile" }
            (files(theirs))
        },
        Stop::Options(problems) => {
            let others = problems.iter().filter(|it| !fields.contains(&it.key));
            html! { ul.mistakes { @for it in others { li { code { (text(&it.key)) } " " (sentence(&it.what)) } } } }
        }
        Stop::Wrong { problems, .. } => mistakes(problems),
    };
    wrong(&word("error"), &word("hint"), &more)
}

/// Something that went wrong, where nobody misses it.
pub fn wrong(what: &str, hint: &str, more: &Markup) -> Markup {
    html! {
        div.note data-tone="bad" role="alert" tabindex="-1" autofocus {
            h2 { (shape(Tone::Bad)) span { (sentence(&capital(what))) } }
            (more)
            @if !hint.is_empty() { p.muted { (sentence(&capital(hint))) } }
        }
    }
}

/// Something worth knowing.
pub fn calm(what: &str, why: &str) -> Markup {
    html! {
        div.note data-tone="busy" role="status" {
            h2 { (shape(Tone::Busy)) span { (sentence(what)) } }
            p { (sentence(why)) }
        }
    }
}

/// Options that go, for the template takes them no more.
pub fn strangers(sent: &Sent, template: &crate::web::templates::TemplateView) -> Option<Markup> {
    let mut gone = sent.strangers(template).peekable();
    gone.peek()?;
    Some(html! {
        div.note data-tone="warn" role="status" {
            h2 { (shape(Tone::Warn)) span { "The template does not take all options of the stack: these go" } }
            ul.mistakes { @for (name, value) in gone { li { code { (text(name)) "=" (text(value)) } } } }
        }
    })
}
