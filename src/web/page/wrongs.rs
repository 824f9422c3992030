//! What is wrong, and why: the part of the page that matters at night.

use maud::{Markup, html};

use super::parts::{Tone, sentence, shape, why};
use crate::daemon;
use crate::health::Health;
use crate::report::status::Stack;
use crate::stack::DriftPolicy;
use crate::web::view::Snapshot;

/// One thing that needs attention.
#[derive(Debug)]
pub struct Wrong {
    tone: Tone,
    /// What it is about, and in which state.
    title: String,
    reasons: Vec<String>,
    hint: Option<String>,
}

/// All of them, the gravest first. `unwatched` are sources that could not be watched so far, and why.
pub fn of(
    snapshot: &Snapshot,
    health: &daemon::Health,
    unwatched: &[(String, Option<String>)],
) -> Vec<Wrong> {
    let mut wrongs = Vec::new();
    let mut bad = |title: String, reasons: Vec<String>, hint: Option<String>| {
        wrongs.push(Wrong { tone: Tone::Bad, title, reasons, hint });
    };
    if let Some(stuck) = &health.stuck {
        let hint = "restart DockerOps; what was applied so far is recorded";
        bad("The loop is stuck".into(), vec![stuck.clone()], Some(hint.into()));
    }
    if let Some(trouble) = &snapshot.trouble {
        bad("Docker cannot be asked".into(), vec![trouble.what.clone()], trouble.hint.clone());
    } else if let Some(trouble) = &health.trouble {
        bad("The last cycle could not be done".into(), vec![trouble.clone()], None);
    }
    for repository in &snapshot.status.repositories {
        if let Some(error) = &repository.error {
            bad(format!("Repository {}", repository.url), vec![error.clone()], None);
        }
    }
    for (source, why) in unwatched {
        let hint = "It is tried again in every cycle.";
        bad(format!("Repository {source} is not watched"), why.iter().cloned().collect(), Some(hint.into()));
    }
    // While docker is away nothing is known of any, which is told above.
    let is_known = |stack: &&Stack| snapshot.trouble.is_none() || stack.health != Health::Unknown;
    let mut stacks: Vec<_> = snapshot.status.stacks.iter().filter(is_known).filter_map(of_stack).collect();
    stacks.sort_by_key(|wrong| wrong.tone);
    wrongs.append(&mut stacks);
    wrongs
}

fn of_stack(stack: &Stack) -> Option<Wrong> {
    let drift = stack.drift.iter().map(|drift| format!("{}: {}", drift.service, drift.what));
    let (tone, state, reasons) = match (&stack.error, &stack.why, stack.drift.is_empty()) {
        (Some(error), why, _) => (Tone::Bad, "failed", [error].into_iter().chain(why).cloned().collect()),
        (None, Some(why), _) => (Tone::Bad, "is degraded", [why.clone()].into_iter().chain(drift).collect()),
        (None, None, _) if stack.health == Health::Unknown => {
            (Tone::Bad, "is not known to run", vec!["nothing of it is there".to_owned()])
        }
        (None, None, false) => (Tone::Warn, "drifted", drift.collect()),
        (None, None, true) => return None,
    };
    let hint = match stack.drift_policy {
        _ if stack.held => Some("Held: not tried again until the repository changes, or it is forced."),
        _ if stack.error.is_some() => Some("It is tried again in the next cycle."),
        DriftPolicy::Correct if tone == Tone::Warn => Some("The next cycle puts it back."),
        DriftPolicy::Report if tone == Tone::Warn => Some("It is left so: `drift: report`."),
        _ => None,
    };
    Some(Wrong { tone, title: format!("{} {state}", stack.name), reasons, hint: hint.map(str::to_owned) })
}

/// The list; nothing where nothing is wrong.
pub fn section(wrongs: &[Wrong]) -> Markup {
    html! {
        @if !wrongs.is_empty() {
            section.wrongs aria-labelledby="wrongs" {
                h2 id="wrongs" .hidden { "What is wrong" }
                ul {
                    @for wrong in wrongs {
                        li data-tone=(wrong.tone.as_str()) {
                            (shape(wrong.tone))
                            div {
                                h3 { (sentence(&wrong.title)) }
                                @for reason in &wrong.reasons { (why(reason)) }
                                @if let Some(hint) = &wrong.hint { p.muted { (sentence(hint)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
