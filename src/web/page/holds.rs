//! What a person does about a stack or a repository: keeps it as it is, and lets it go again.

use maud::{Markup, html};

use super::Page;
use super::parts::{text, why};
use crate::clock;
use crate::reason::MOST_LETTERS;
use crate::report::status::{Repository, Stack};
use crate::stack::StackName;
use crate::watched::Watched;
use crate::web::access::Visitor;

/// For how long, as it is sent and as it is read; the second is the one where nobody says otherwise.
const LENGTHS: [(&str, &str); 4] =
    [("2h", "2 hours"), ("24h", "24 hours"), ("7d", "a week"), ("ever", "until it is released")];
const USUAL: &str = "24h";

/// What the buttons are about.
struct About<'a> {
    /// What tells their ids from others.
    id: String,
    name: &'a str,
    /// The fields that say so.
    fields: Vec<(&'static str, &'a str)>,
    /// Whether somebody holds just that by hand.
    is_held: bool,
}

impl Page<'_> {
    /// The buttons of a stack, at that place of the page; nothing for who may not.
    pub fn holding(&self, stack: &Stack, place: &str) -> Markup {
        if self.visitor == Visitor::Reader {
            return html! {};
        }
        let watched = self.web.view.watched().unwrap_or_default();
        let known = watched.iter().find(|known| known.row.url == stack.source);
        let is_double = self.snapshot.status.stacks.iter().filter(|it| it.name == stack.name).count() > 1;
        let repository = is_double.then_some(("repository", &*stack.repository));
        self.buttons(&About {
            id: format!("{place}-{}", stack.name),
            name: &stack.name,
            fields: [("stack", &*stack.name)].into_iter().chain(repository).collect(),
            is_held: known.is_some_and(|known| is_held(known, &stack.name)),
        })
    }

    /// Why all of a repository stays as it is, and its buttons.
    pub fn holding_of_all(&self, repository: &Repository) -> Markup {
        let sources = &self.snapshot.status.repositories;
        let place = sources.iter().position(|it| it.source == repository.source).unwrap_or_default();
        let about = About {
            id: format!("repository-{place}"),
            name: &repository.url,
            fields: vec![("repository", &*repository.url)],
            is_held: repository.hold.is_some(),
        };
        html! {
            @if let Some(hold) = &repository.hold { div.on-hold { (why(&hold.sentence)) } }
            @if self.visitor != Visitor::Reader { (self.buttons(&about)) }
        }
    }

    fn buttons(&self, about: &About<'_>) -> Markup {
        let About { id, name, fields, is_held } = about;
        let hidden = html! {
            input type="hidden" name="visit" value=(self.visit);
            (self.own_field())
            @for (field, value) in fields { input type="hidden" name=(field) value=(value); }
        };
        let label = |what: &str| format!("{what}-{id}");
        html! {
            div.holding {
                @if *is_held {
                    form method="post" action={ (self.asked.up()) "release" } {
                        (hidden)
                        button.button id=(label("release")) type="submit" { "Release" span.hidden { " " (text(name)) } }
                    }
                }
                details id=(label("hold")) {
                    summary { @if *is_held { "Hold it otherwise" } @else { "Hold it as it is" } span.hidden { ": " (text(name)) } }
                    form.hold method="post" action={ (self.asked.up()) "hold" } {
                        (hidden)
                        div {
                            label for=(label("for")) { "For" }
                            select id=(label("for")) name="for" {
                                @for (length, words) in LENGTHS { option value=(length) selected[length == USUAL] { (words) } }
                            }
                        }
                        div.reason {
                            label for=(label("reason")) { "Reason" }
                            input id=(label("reason")) name="reason" type="text" maxlength=(MOST_LETTERS) autocomplete="off"
                                placeholder="Why, for whoever comes to it";
                        }
                        button.button id=(label("do-hold")) type="submit" { "Hold" span.hidden { " " (text(name)) } }
                    }
                }
            }
        }
    }
}

/// Whether somebody holds just that stack by hand.
fn is_held(known: &Watched, stack: &str) -> bool {
    let is_its = |name: &StackName| name.as_str() == stack;
    let mut rows = known.holds.iter().filter(|row| row.stack.as_ref().is_some_and(is_its));
    rows.any(|row| !row.hold.is_over(clock::wall()))
}
