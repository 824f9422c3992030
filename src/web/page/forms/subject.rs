//! Which stack of which source a form is about, and out of which template.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{Sent, Subject};
use crate::git::Commit;
use crate::manifest::Origin;
use crate::source::Source;
use crate::stack::StackName;
use crate::watched::Watched;
use crate::web::page::parts::{sentence, text};
use crate::web::request::Head;
use crate::web::response::Response;
use crate::web::templates::{Known, TemplateView};
use crate::web::writes::{Asked, stack_name, unreadable};

/// All that a form is made from.
pub struct Matter {
    pub source: Source,
    /// It, where several are watched.
    pub repository: Option<String>,
    known: Known,
    /// Its place among the source's.
    template: usize,
    /// The stack that is there already.
    pub stack: Option<StackName>,
    options: BTreeMap<String, String>,
    origin: Option<Origin>,
    /// Whether the address names the template.
    pub chosen: bool,
}

/// What to choose from first.
type Choice = Markup;

impl Matter {
    pub fn of(asked: &Asked<'_>, subject: &Subject, head: &Head) -> Result<Result<Self, Choice>, Response> {
        match subject {
            Subject::New(template) => Self::of_new(asked, template, head),
            Subject::Edit(stack) | Subject::Remove(stack) => Self::of_known(asked, stack, head),
        }
    }

    fn of_new(asked: &Asked<'_>, name: &str, head: &Head) -> Result<Result<Self, Choice>, Response> {
        let wanted = head.parameter("repository");
        let watched = asked.web.view.watched().map_err(|error| unreadable(&error))?;
        let (mut found, mut trouble) = (Vec::new(), None);
        for row in watched.iter().filter(|row| wanted.is_none_or(|wanted| row.row.url.shown() == wanted)) {
            let Some(source) = row.row.url.parse().ok().filter(|source| asked.may_write(source)) else {
                continue;
            };
            match asked.web.templates.of(row) {
                Ok(known) => {
                    if let Some(template) = known.templates.iter().position(|it| it.name == name) {
                        found.push((row, source, known, template));
                    }
                }
                Err(error) => trouble = Some(unreadable(&error)),
            }
        }
        if found.len() > 1 {
            let links = found.iter().map(|(row, ..)| {
                let url = row.row.url.shown();
                (address("repository", &url), url)
            });
            return Ok(Err(choice("Which repository is the stack for?", links)));
        }
        let Some((row, source, known, template)) = found.pop() else {
            let hint = "the page lists those that there are";
            return Err(trouble.unwrap_or_else(|| Response::refusal(404, "there is no such template", hint)));
        };
        let repository = (watched.len() > 1).then(|| row.row.url.shown());
        let (options, origin) = (BTreeMap::new(), None);
        Self { source, repository, known, template, stack: None, options, origin, chosen: true }
            .checked()
            .map(Ok)
    }

    fn of_known(asked: &Asked<'_>, name: &str, head: &Head) -> Result<Result<Self, Choice>, Response> {
        let stack = stack_name(name)?;
        let (source, row) = of_stack(asked, &stack, head)?;
        let known = asked.web.templates.of(&row).map_err(|error| unreadable(&error))?;
        let read = || asked.writes.desk.options_of(&source, &Commit::parse(&known.commit)?, &stack);
        let current = read().map_err(|error| unreadable(&error))?;
        let wanted = head.parameter("template");
        let wanted_name = wanted.or(current.template.as_ref().map(|origin| origin.name.as_str()));
        let template = wanted_name.and_then(|name| known.templates.iter().position(|it| it.name == name));
        let Some(template) = template else {
            let what = wanted_name.map_or_else(
                || format!("`{stack}` does not say which template it was made from"),
                |name| format!("there is no template `{}` any more", crate::plain::name(name)),
            );
            if known.templates.is_empty() {
                return Err(Response::refusal(409, &what, "change it with git"));
            }
            let names = known.templates.iter().map(|it| (address("template", &it.name), it.name.clone()));
            return Ok(Err(choice(&format!("{what}: which one is it to be of?"), names)));
        };
        let watched = asked.web.view.watched().map_err(|error| unreadable(&error))?;
        let repository = (watched.len() > 1).then(|| row.row.url.shown());
        let (stack, options, origin) = (Some(stack), current.options, current.template);
        let chosen = wanted.is_some();
        Self { source, repository, known, template, stack, options, origin, chosen }.checked().map(Ok)
    }

    /// Nothing is made from a template that is wrong.
    fn checked(self) -> Result<Self, Response> {
        let template = self.template();
        let Some(first) = template.problems.first() else { return Ok(self) };
        let line = first.line.map(|line| format!(":{line}")).unwrap_or_default();
        let what = format!("the template `{}` is wrong: {}{line}: {}", template.name, first.file, first.what);
        Err(Response::refusal(409, &what, "mend it with git; `dockerops validate` tells all that is wrong"))
    }

    pub fn template(&self) -> &TemplateView {
        &self.known.templates[self.template]
    }

    /// What stands in the form at first. What it shows of a stack was so at that commit.
    pub fn prefilled(&self) -> Sent {
        let seen = self.stack.as_ref().and_then(|_| Commit::parse(&self.known.commit).ok());
        Sent { seen, ..Sent::of(self.options.clone()) }
    }

    /// Whether the template is another one than the stack was made from.
    pub fn has_moved_on(&self) -> bool {
        let now = self.template();
        self.origin
            .as_ref()
            .is_some_and(|then| then.name == now.name && Some(&then.tree) != now.tree.as_ref())
    }
}

/// The source that has a stack, and what is known of it.
pub fn of_stack(asked: &Asked<'_>, stack: &StackName, head: &Head) -> Result<(Source, Watched), Response> {
    let source = asked.source(head.parameter("repository"), Some(stack))?;
    let watched = asked.web.view.watched().map_err(|error| unreadable(&error))?;
    let row = watched
        .iter()
        .find(|row| row.identity == *source.id() && row.stacks.iter().any(|it| it.name.collides_with(stack)));
    let row = row.cloned().ok_or_else(|| {
        Response::refusal(404, &format!("there is no stack `{stack}`"), "the page lists those that there are")
    })?;
    Ok((source, row))
}

/// This address with one parameter more.
fn address(key: &str, value: &str) -> String {
    format!("?{}", form_urlencoded::Serializer::new(String::new()).append_pair(key, value).finish())
}

fn choice(question: &str, links: impl Iterator<Item = (String, String)>) -> Choice {
    html! {
        section.verdict { h1 { (sentence(question)) } }
        ul.choices { @for (address, name) in links { li { a.button.quiet href=(address) { (text(&name)) } } } }
    }
}
