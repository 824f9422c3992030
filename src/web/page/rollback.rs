//! What a person does about a version that is bad: has an earlier one run again.

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{difference_of, short, text};
use crate::clock;
use crate::holding::Kept;
use crate::reason::MOST_LETTERS;
use crate::report::history::{difference, difference_from};
use crate::report::status::{Stack, StackState};
use crate::stack::StackName;
use crate::state::Version;
use crate::web::access::Visitor;

/// So many lines of a difference.
const MOST_LINES: usize = 200;

/// A version that a stack may go back to.
struct Way<'a> {
    /// What tells its ids from others.
    id: String,
    label: Markup,
    /// Its commit; none of one that no commit tells from others.
    to: Option<&'a str>,
    /// What going back to it would change.
    change: String,
}

impl Page<'_> {
    /// From what runs, or failed, to the version at that place; nothing for who may not, nor where nothing would change.
    pub fn way_back(&self, stack: &Stack, versions: &[Version], failed: Option<&str>, at: usize) -> Markup {
        let version = &versions[at];
        let to = named(versions, version);
        if self.visitor == Visitor::Reader || to.is_none() || !differs(versions, failed, at) {
            return html! {};
        }
        let id = format!("back-{}-{}", stack.name, version.id);
        let label = html! { "Roll back to this" span.hidden { ": " (text(&stack.name)) " at " (short(&version.commit)) } };
        self.form_back(stack, &Way { id, label, to, change: change(versions, failed, version) })
    }

    /// From what is wrong to the version that a rollback means where it names none.
    pub fn usual_way_back(&self, stack: &Stack) -> Result<Markup> {
        let name = StackName::known(&stack.name);
        let watched = self.web.view.watched()?;
        let known = watched.iter().find(|known| known.row.url == stack.source);
        let row = known.and_then(|known| known.stacks.iter().find(|row| row.name == name));
        let (Some(known), Some(row)) = (known, row) else { return Ok(html! {}) };
        if self.visitor == Visitor::Reader {
            return Ok(html! {});
        }
        let mut holds = known.holds.iter().filter(|row| row.stack.as_ref() == Some(&name));
        let hold = holds.find(|row| !row.hold.is_over(clock::wall())).map(|row| &row.hold);
        let Some(kept) = self.web.view.ask(|state| Kept::read(state, row, hold).map(Some))? else {
            return Ok(html! {});
        };
        let services = &self.snapshot.services;
        let live: Vec<_> = services.iter().filter(|service| service.stack == name).collect();
        let Ok(version) = kept.course(known, row, &live).target(None) else { return Ok(html! {}) };
        let failed = self.failed(stack)?;
        let label =
            html! { "Roll back to " (short(&version.commit)) span.hidden { ": " (text(&stack.name)) } };
        let (id, to) = (format!("back-{}", stack.name), named(&kept.versions, version));
        Ok(self.form_back(
            stack,
            &Way { id, label, to, change: change(&kept.versions, failed.as_deref(), version) },
        ))
    }

    /// What was tried last of it and failed, as people may see it.
    pub fn failed(&self, stack: &Stack) -> Result<Option<String>> {
        if stack.status != StackState::Error {
            return Ok(None);
        }
        let texts =
            self.web.view.ask(|state| state.texts(&stack.source))?.remove(&StackName::known(&stack.name));
        Ok(texts.and_then(|texts| texts.attempted))
    }

    fn form_back(&self, stack: &Stack, way: &Way<'_>) -> Markup {
        let Way { id, label, to, change } = way;
        let is_double = self.snapshot.status.stacks.iter().filter(|it| it.name == stack.name).count() > 1;
        let shown: String = change.split_inclusive('\n').take(MOST_LINES).collect();
        html! {
            details.back id=(id) {
                summary { (label) }
                p.muted {
                    "It runs again by the images it ran by, and stays until its source has another version than the one that \
                     is left. Volumes are not touched."
                }
                @if !shown.is_empty() { (difference_of(&html! { "What it would change" }, &shown, true)) }
                @if shown.len() < change.len() { p.muted { "Only the first " (MOST_LINES) " lines are shown." } }
                form.hold method="post" action={ (self.asked.up()) "rollback" } {
                    (self.own_field())
                    input type="hidden" name="visit" value=(self.visit);
                    input type="hidden" name="stack" value=(stack.name);
                    @if is_double { input type="hidden" name="repository" value=(stack.repository); }
                    @if let Some(to) = to { input type="hidden" name="to" value=(to); }
                    div.reason {
                        label for={ "reason-" (id) } { "Reason" }
                        input id={ "reason-" (id) } name="reason" type="text" maxlength=(MOST_LETTERS) autocomplete="off"
                            placeholder="Why, for whoever comes to it";
                    }
                    (check(&format!("pin-{id}"), "pin", "Pin it: it stays whatever is pushed, until it is released"))
                    (check(&format!("bindings-{id}"), "without_bindings",
                        "Without bindings: also where their files have changed since; they stay as they lie there"))
                    button.button id={ "do-" (id) } type="submit" { "Roll back" span.hidden { " " (text(&stack.name)) } }
                }
            }
        }
    }
}

fn check(id: &str, name: &str, words: &str) -> Markup {
    html! {
        label.check {
            input id=(id) name=(name) type="checkbox" value="1" autocomplete="off";
            span { (words) }
        }
    }
}

/// The commit of that version, where it tells it from others: the newest of a commit is meant by it.
fn named<'a>(versions: &[Version], version: &'a Version) -> Option<&'a str> {
    let newest = versions.iter().find(|known| known.commit == version.commit)?;
    (newest.id == version.id && !version.commit.is_empty()).then_some(&version.commit)
}

/// Whether the version at that place is another than what runs, or failed.
fn differs(versions: &[Version], failed: Option<&str>, at: usize) -> bool {
    let version = &versions[at];
    failed.is_some_and(|failed| failed != version.text) || !difference(&versions[0], version).is_empty()
}

fn change(versions: &[Version], failed: Option<&str>, version: &Version) -> String {
    let of_text = failed.map(|failed| difference_from(failed, version)).filter(|change| !change.is_empty());
    of_text.unwrap_or_else(|| versions.first().map(|ran| difference(ran, version)).unwrap_or_default())
}
