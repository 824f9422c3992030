//! What stacks can be made from, as cards, for who may make them; and what stacks were made from.

use anyhow::Result;
use maud::{Markup, html};

use super::Page;
use super::parts::{count, sentence, text, why};
use crate::report::status::Stack;
use crate::watched::Watched;
use crate::web::access::Visitor;
use crate::web::templates::{Known, TemplateView};
use crate::web::writes::Writes;

/// What a stack was made from.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    From {
        template: String,
        has_moved_on: bool,
    },
    /// Its source does not say that of any.
    Unsaid,
    /// It says so of others, and not of this one.
    ByHand,
}

pub fn section(page: &Page<'_>) -> Result<Markup> {
    let Some(writes) = page.writes() else { return Ok(html! {}) };
    let watched = page.web.view.watched()?;
    let sources: Vec<_> = watched.iter().filter(|row| may_write(writes, row)).collect();
    let known: Vec<_> = sources.iter().map(|row| (row.row.url.shown(), page.web.templates.of(row))).collect();
    let is_bare = known.iter().all(|(_, known)| known.as_ref().is_ok_and(|known| known.templates.is_empty()));
    let is_one_of_many = watched.len() > 1;
    Ok(html! {
        section aria-labelledby="templates" {
            h2 id="templates" { "Make a stack from a template" }
            @if sources.is_empty() { p.empty { "No repository is watched that may be written to." } }
            @else if is_bare { p.empty { "There is none yet: a folder of templates/ with a compose file is one." } }
            ul.cards {
                @for (repository, known) in &known {
                    @match known {
                        Ok(known) => {
                            @for template in &*known.templates {
                                (card(template, known, is_one_of_many.then_some(repository)))
                            }
                        },
                        Err(error) => { li.card { h3 { (text(repository)) } (why(&format!("{error:#}"))) } },
                    }
                }
            }
        }
    })
}

fn card(template: &TemplateView, known: &Known, repository: Option<&String>) -> Markup {
    let title = template.title.as_deref().unwrap_or(&template.name);
    let mut address = format!("new/{}", template.name);
    if let Some(repository) = repository {
        let mut query = form_urlencoded::Serializer::new(String::new());
        address += &format!("?{}", query.append_pair("repository", repository).finish());
    }
    let origins = known.origins.as_ref();
    let made = origins.map(|all| all.values().filter(|origin| origin.name == template.name).count());
    html! {
        li.card {
            h3 { @if template.problems.is_empty() { a href=(address) { (text(title)) } } @else { (text(title)) } }
            @if let Some(description) = &template.description { p { (text(description)) } }
            @if let Some(problem) = template.problems.first() {
                p.wrong { "No stack can be made from it: " code { (text(&problem.file)) } ": " (sentence(&problem.what)) }
            }
            p.made {
                code { (text(&template.name)) }
                @match made {
                    _ if !template.problems.is_empty() => {},
                    Some(0) => { " · no stack is made from it" },
                    Some(made) => { " · " (count(made, "stack is made from it", "stacks are made from it")) },
                    None => {},
                }
                @if let Some(repository) = repository { " · " (text(repository)) }
            }
        }
    }
}

fn may_write(writes: &Writes, row: &Watched) -> bool {
    row.row.url.parse().is_ok_and(|source| writes.desk.may_write(&source))
}

impl Page<'_> {
    /// What writes, for a visitor who may.
    fn writes(&self) -> Option<&Writes> {
        self.web.writes.as_ref().filter(|_| self.visitor == Visitor::Writer)
    }

    /// What its source says that a stack was made from. One that cannot be read says nothing.
    pub fn origin(&self, stack: &Stack) -> Result<Made> {
        let watched = self.web.view.watched()?;
        let row = watched.iter().find(|row| row.row.url == stack.source);
        let Some(known) = row.and_then(|row| self.web.templates.of(row).ok()) else {
            return Ok(Made::ByHand);
        };
        let Some(origins) = &known.origins else { return Ok(Made::Unsaid) };
        Ok(origins.get(&stack.name).map_or(Made::ByHand, |origin| {
            let now = known.templates.iter().find(|it| it.name == origin.name);
            let has_moved_on = now.is_none_or(|now| now.tree.as_ref() != Some(&origin.tree));
            Made::From { template: origin.name.clone(), has_moved_on }
        }))
    }

    /// Where a stack is changed and removed, for who may; what was not made from a template is changed with git.
    pub fn write_links(&self, stack: &Stack, origin: &Made) -> Markup {
        let watched = self.web.view.watched().unwrap_or_default();
        let mut rows = watched.iter().filter(|row| row.row.url == stack.source);
        let may = self.writes().is_some_and(|writes| rows.any(|row| may_write(writes, row)));
        let is_double = self.snapshot.status.stacks.iter().filter(|it| it.name == stack.name).count() > 1;
        let address = |act: &str| {
            let mut address = format!("{}stacks/{}/{act}", self.asked.up(), stack.name);
            if is_double {
                let mut query = form_urlencoded::Serializer::new(String::new());
                address += &format!("?{}", query.append_pair("repository", &stack.repository).finish());
            }
            address
        };
        html! {
            @if may && stack.stays.is_none() {
                @if *origin != Made::ByHand { a.button href=(address("edit")) { "Edit" } }
                a.button href=(address("remove")) { "Remove" }
            }
        }
    }
}
