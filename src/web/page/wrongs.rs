//! What is wrong, and why: the part of the page that matters at night.

use std::time::Duration;

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{Tone, sentence, shape, why};
use crate::daemon;
use crate::health::Health;
use crate::report::screen::cut;
use crate::report::status::Stack;
use crate::source::SourceId;
use crate::stack::DriftPolicy;
use crate::web::access::Visitor;
use crate::web::view::Snapshot;

/// One thing that needs attention.
#[derive(Debug)]
pub struct Wrong<'a> {
    tone: Tone,
    /// What it is about, and in which state.
    title: String,
    reasons: Vec<String>,
    hint: Option<String>,
    /// The stack it is about.
    stack: Option<&'a Stack>,
}

impl Wrong<'_> {
    /// Whether it is about that stack.
    pub fn is_of(&self, stack: &Stack) -> bool {
        self.stack.is_some_and(|of| of.name == stack.name && of.source == stack.source)
    }
}

/// So many of them are told in full, with what can be done; each costs the database a question. The others are a line each.
const IN_FULL: usize = 5;

/// So many letters of the reason.
const LETTERS: usize = 160;

/// Whether a person is to look at it.
pub fn needs_attention(stack: &Stack) -> bool {
    of_stack(stack, || None).is_some()
}

/// All of them, the gravest first. `unwatched` are sources that could not be watched so far, and why.
pub fn of<'a>(
    snapshot: &'a Snapshot,
    health: &daemon::Health,
    unwatched: &[(String, Option<String>)],
    backs_off: impl Fn(&SourceId) -> Option<Duration>,
) -> Vec<Wrong<'a>> {
    let mut wrongs = Vec::new();
    let mut bad = |title: String, reasons: Vec<String>, hint: Option<String>| {
        wrongs.push(Wrong { tone: Tone::Bad, title, reasons, hint, stack: None });
    };
    if let Some(stuck) = &health.stuck {
        let hint = "restart DockerOps; what was applied so far is recorded";
        bad("The loop is stuck".into(), vec![stuck.clone()], Some(hint.into()));
    }
    if let Some(trouble) = &snapshot.trouble {
        bad("Docker cannot be asked".into(), vec![trouble.what.clone()], trouble.hint.clone());
    }
    if let Some(trouble) = &snapshot.policy {
        bad("The policy cannot be used".into(), vec![trouble.what.clone()], trouble.hint.clone());
    } else if let Some(trouble) = health.trouble.as_ref().filter(|_| snapshot.trouble.is_none()) {
        bad("The last cycle could not be done".into(), vec![trouble.clone()], None);
    }
    for repository in &snapshot.status.repositories {
        if let Some(error) = &repository.error {
            let hint = tried_again(backs_off(&repository.source));
            bad(format!("Repository {}", repository.url), vec![error.clone()], Some(hint));
        }
    }
    for (source, why) in unwatched {
        let hint = "It is tried again in every cycle.";
        bad(format!("Repository {source} is not watched"), why.iter().cloned().collect(), Some(hint.into()));
    }
    // While docker is away nothing is known of any, which is told above.
    let is_known = |stack: &&Stack| snapshot.trouble.is_none() || stack.health != Health::Unknown;
    let known = snapshot.status.stacks.iter().filter(is_known);
    let mut stacks: Vec<_> =
        known.filter_map(|stack| of_stack(stack, || backs_off(&stack.source.id()))).collect();
    // Nothing is promised of a cycle that could not be done the last time, nor of a source that cannot be read.
    let is_done = snapshot.trouble.is_none() && snapshot.policy.is_none() && health.trouble.is_none();
    if !is_done || snapshot.status.repositories.iter().any(|repository| repository.error.is_some()) {
        for wrong in stacks.iter_mut().filter(|wrong| wrong.hint.as_deref() == Some(PUT_BACK)) {
            wrong.hint = Some("It is put back once what is told above is mended.".into());
        }
    }
    stacks.sort_by_key(|wrong| wrong.tone);
    wrongs.append(&mut stacks);
    wrongs
}

/// When what failed is tried again.
fn tried_again(backs_off: Option<Duration>) -> String {
    let Some(left) = backs_off else { return "It is tried again in the next cycle.".into() };
    let minutes = left.as_secs().div_ceil(60);
    let in_time = if minutes > 1 { format!("{minutes} minutes") } else { format!("{} s", left.as_secs()) };
    format!(
        "It failed again and again: it is tried in {in_time}, at once when its repository changes or you ask for it."
    )
}

const PUT_BACK: &str = "The next cycle puts it back.";

fn of_stack(stack: &Stack, backs_off: impl Fn() -> Option<Duration>) -> Option<Wrong<'_>> {
    let drift = stack.drift.iter().map(|drift| format!("{}: {}", drift.service, drift.what));
    let (tone, state, reasons): (_, _, Vec<_>) = match (&stack.error, &stack.why, stack.drift.is_empty()) {
        (Some(error), why, _) => {
            (Tone::Bad, "failed", [error].into_iter().chain(why).cloned().chain(drift).collect())
        }
        (None, Some(why), _) => (Tone::Bad, "is degraded", [why.clone()].into_iter().chain(drift).collect()),
        (None, None, _) if stack.health == Health::Unknown => {
            (Tone::Bad, "is not known to run", vec!["nothing of it is there".to_owned()])
        }
        (None, None, false) => (Tone::Warn, "drifted", drift.collect()),
        (None, None, true) if stack.stays.is_some() => (Tone::Warn, "is listed no more", Vec::new()),
        (None, None, true) => return None,
    };
    let hint = match stack.drift_policy {
        _ if stack.held => {
            Some("Held: not tried again until the repository changes, or it is forced.".to_owned())
        }
        _ if stack.error.is_some() => Some(tried_again(backs_off())),
        _ if stack.stays.is_some() => None,
        _ if tone == Tone::Warn && stack.hold.is_some() => {
            Some("It is left so: the stack is on hold.".to_owned())
        }
        DriftPolicy::Correct if tone == Tone::Warn => Some(PUT_BACK.to_owned()),
        DriftPolicy::Report if tone == Tone::Warn => Some("It is left so: `drift: report`.".to_owned()),
        _ => None,
    };
    let reasons = reasons.into_iter().chain(stack.stays.clone()).collect();
    let title = format!("{} {state}", stack.name);
    Some(Wrong { tone, title, reasons, hint, stack: Some(stack) })
}

/// The list, each with what can be done about it; nothing where nothing is wrong.
pub fn section(page: &Page<'_>, wrongs: &[Wrong<'_>]) -> Result<Markup> {
    let (full, rest) = wrongs.split_at(wrongs.len().min(IN_FULL));
    let cards = full.iter().map(|wrong| card(page, wrong)).collect::<Result<Vec<_>>>()?;
    Ok(html! {
        @if !wrongs.is_empty() {
            section.wrongs aria-labelledby="wrongs" {
                h2 id="wrongs" .hidden { "What is wrong" }
                ul { @for card in cards { (card) } }
                @if !rest.is_empty() {
                    details.more id="more-wrongs" {
                        summary { "and " (rest.len()) " more" }
                        ul { @for wrong in rest { (brief(wrong)) } }
                    }
                }
            }
        }
    })
}

fn card(page: &Page<'_>, wrong: &Wrong<'_>) -> Result<Markup> {
    let title = html! { (sentence(&wrong.title)) };
    Ok(html! {
        li data-tone=(wrong.tone.as_str()) {
            (shape(wrong.tone))
            div {
                h3 {
                    @match wrong.stack.filter(|_| page.asked.own.is_none()) {
                        Some(stack) => { a href={ "stacks/" (stack.name) } { (title) } },
                        None => { (title) },
                    }
                }
                @for reason in &wrong.reasons { (why(reason)) }
                @if let Some(hint) = &wrong.hint { p.muted { (sentence(hint)) } }
                @if let Some(stack) = wrong.stack { (acts(page, stack)?) }
            }
        }
    })
}

/// What can be done about a stack, in its card.
fn acts(page: &Page<'_>, stack: &Stack) -> Result<Markup> {
    let fails = stack.error.is_some() || stack.is_degraded();
    let again = format!("again-{}", stack.name);
    Ok(html! {
        @if page.visitor != Visitor::Reader {
            div.acts {
                // What is held is tried again by force only.
                (page.button(&again, "Try again", Some(&stack.name), stack.held))
                @if page.asked.own.is_none() { a href={ "stacks/" (stack.name) "?tab=logs" } { "Logs" } }
            }
            @if fails { (page.usual_way_back(stack)?) }
            (page.holding(stack, "card"))
        }
    })
}

fn brief(wrong: &Wrong<'_>) -> Markup {
    let reason = wrong.reasons.first().and_then(|reason| reason.lines().next()).unwrap_or_default();
    html! {
        li data-tone=(wrong.tone.as_str()) {
            (shape(wrong.tone))
            p {
                @match wrong.stack {
                    Some(stack) => { a href={ "stacks/" (stack.name) } { (sentence(&wrong.title)) } },
                    None => { (sentence(&wrong.title)) },
                }
                span.muted { " " (sentence(&cut(reason, LETTERS))) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drifts_on_hold_is_not_promised_to_be_put_back() {
        let drift =
            vec![crate::report::status::DriftedService { service: "web_app".into(), what: "scaled".into() }];
        let drifted = Stack { drift, ..Stack::of("web") };
        let hint = |stack: &Stack| of_stack(stack, || None).unwrap().hint.unwrap();
        assert_eq!(hint(&drifted), PUT_BACK);
        let hold = Some(crate::report::holds::StackHold::of_hand("held by alice"));
        assert_eq!(hint(&Stack { hold, ..drifted }), "It is left so: the stack is on hold.");
    }

    #[test]
    fn what_waits_for_its_turn_is_not_promised_for_the_next_cycle() {
        let failed = Stack { error: Some("no".into()), ..Stack::of("web") };
        let hint = |stack: &Stack, left: Option<u64>| {
            of_stack(stack, || left.map(Duration::from_secs)).unwrap().hint.unwrap()
        };
        assert_eq!(hint(&failed, None), "It is tried again in the next cycle.");
        assert!(hint(&failed, Some(601)).contains("it is tried in 11 minutes, at once when its repository"));
        assert!(hint(&failed, Some(40)).contains("it is tried in 40 s"));
        let held = Stack { held: true, ..failed };
        assert!(hint(&held, Some(601)).starts_with("Held: "));
    }

    #[test]
    fn a_stack_that_its_source_lists_no_more_says_why_it_stays() {
        let stays = Stack { stays: Some("it stays, for a reason".into()), ..Stack::of("web") };
        let wrong = of_stack(&stays, || None).unwrap();
        assert_eq!((&*wrong.title, wrong.tone, wrong.hint), ("web is listed no more", Tone::Warn, None));
        assert_eq!(wrong.reasons, ["it stays, for a reason"]);
        let failed = Stack { error: Some("no".into()), ..stays };
        assert_eq!(of_stack(&failed, || None).unwrap().reasons, ["no", "it stays, for a reason"]);
        assert!(of_stack(&Stack::of("web"), || None).is_none());
    }
}
