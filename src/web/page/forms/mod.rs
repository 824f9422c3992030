//! Stacks made, changed and removed by people: a form out of what a template takes, what a commit of it would do, and one
//! button that makes the commit.
//!
//! All of it is plain HTML: nothing is kept here between two requests, and each page holds what was typed before.

mod form;
mod plan;
mod proposed;
mod remove;
mod sent;
mod subject;
mod visit;

use std::collections::BTreeMap;

use chrono::Utc;
use maud::{Markup, html};

use super::{Frame, HTML, POLICY, document, parts};
use crate::git::push::Outcome;
use crate::stack::StackName;
use crate::web::Web;
use crate::web::access::Visitor;
use crate::web::request::{Body, Head};
use crate::web::response::Response;
use crate::web::writes::{Asked, stack_name};
use crate::write::{About, Answer, Order, Plan, Stop, Wish};
use form::Form;
use parts::sentence;
use proposed::proposed;
use sent::{EMPTY, NAME, OPTION, Sent, Step, field};
use subject::Matter;

pub use visit::Visits;

/// What a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A stack is made from this template.
    New(String),
    Edit(String),
    Remove(String),
}

impl Subject {
    /// `/new/<template>`, `/stacks/<name>/edit`, `/stacks/<name>/remove`.
    pub fn at(path: &str) -> Option<Self> {
        // Names of ours need no escapes.
        let name = |name: &str| (!name.is_empty() && !name.contains(['/', '%'])).then(|| name.to_owned());
        if let Some(template) = path.strip_prefix("/new/") {
            return name(template).map(Self::New);
        }
        let (stack, what) = path.strip_prefix("/stacks/")?.rsplit_once('/')?;
        match what {
            "edit" => name(stack).map(Self::Edit),
            "remove" => name(stack).map(Self::Remove),
            _ => None,
        }
    }

    /// The way to the state from there.
    fn up(&self) -> &'static str {
        if matches!(self, Self::New(_)) { "../" } else { "../../" }
    }
}

/// What is answered at such a path.
pub fn answer(web: &Web, subject: &Subject, head: &Head, body: &mut Body<'_>) -> Response {
    let answer = match subject {
        Subject::Remove(stack) => remove::answer(web, subject, stack, head, body),
        _ if head.only_looks() => look(web, subject, head),
        _ => act(web, subject, head, body),
    };
    answer.unwrap_or_else(|refusal| sorry(subject, refusal)).with("content-security-policy", POLICY)
}

/// A page of these.
fn page(status: u16, subject: &Subject, title: &str, main: &Markup) -> Response {
    let title = format!("{title} · DockerOps");
    let frame = Frame { title: &title, up: subject.up(), is_live: false, again: false };
    let page = Response::new(status, HTML, document(&frame, &html! {}, main).into_string());
    // Not thrown away at once: the way back leads to what was typed.
    page.with("cache-control", "private, no-cache")
}

/// A refusal as a page; a browser that is to ask for the password is told so.
fn sorry(subject: &Subject, refusal: Response) -> Response {
    let Some((what, hint)) = &refusal.refused else { return refusal };
    let main = html! {
        section.verdict data-tone="bad" { h1 { "That cannot be done" } }
        (plan::wrong(what, hint, &html! {}))
        p { a href=(subject.up()) { "Back to the state" } }
    };
    let page = page(refusal.status, subject, "Refused", &main);
    refusal.with_body_of(page)
}

/// Buttons, the first one pressed by Enter.
fn button_row(buttons: &Markup) -> Markup {
    html! { div.buttons { (buttons) } }
}

/// Lets in who may write; looking at a form is no act, wherever the link to it stood.
fn let_in<'a>(web: &'a Web, head: &Head) -> Result<Asked<'a>, Response> {
    if web.access.look(head)? != Visitor::Writer {
        web.access.write(head)?;
    }
    Asked::of(web, head)
}

fn look(web: &Web, subject: &Subject, head: &Head) -> Result<Response, Response> {
    let asked = let_in(web, head)?;
    let matter = match Matter::of(&asked, subject, head)? {
        Ok(matter) => matter,
        Err(choice) => return Ok(page(200, subject, "Choose", &choice)),
    };
    let mut room = Room::new(&asked, subject, head, &matter, matter.prefilled());
    if matter.has_moved_on() {
        let why = "What you commit takes it as it is now; the difference is shown before.";
        room.notes.push(plan::calm("The template was changed since this stack was made from it", why));
    }
    room.notes.extend(plan::strangers(&room.sent, matter.template()));
    Ok(room.form(200))
}

fn act(web: &Web, subject: &Subject, head: &Head, body: &mut Body<'_>) -> Result<Response, Response> {
    let asked = Asked::by(web, head)?;
    let sent = Sent::parse(&body.read()?);
    let matter = match Matter::of(&asked, subject, head)? {
        Ok(matter) => matter,
        Err(choice) => return Ok(page(200, subject, "Choose", &choice)),
    };
    let mut room = Room::new(&asked, subject, head, &matter, sent);
    if !room.is_of_this_visit(&room.sent.visit) {
        room.notes.push(foreign());
        return Ok(room.form(403));
    }
    if room.sent.step == Step::Back {
        return Ok(room.form(200));
    }
    room.mistakes = room.sent.mistakes(matter.template(), matter.stack.is_none());
    if !room.mistakes.is_empty() {
        return Ok(room.form(422));
    }
    room.carry_out()
}

/// A form of another visit is not taken, and shown again with what was typed.
fn foreign() -> Markup {
    let why = "It is from another visit or older than 12 hours, or DockerOps was started anew since. Nothing was done, and \
        what was typed is still here: look it over, and send it again.";
    plan::wrong("This form is not of this visit", why, &html! {})
}

/// One form, and all that is told with it.
struct Room<'a> {
    asked: &'a Asked<'a>,
    subject: &'a Subject,
    head: &'a Head,
    matter: &'a Matter,
    sent: Sent,
    notes: Vec<Markup>,
    mistakes: BTreeMap<String, String>,
    may_overwrite: bool,
}

impl<'a> Room<'a> {
    fn new(
        asked: &'a Asked<'a>,
        subject: &'a Subject,
        head: &'a Head,
        matter: &'a Matter,
        sent: Sent,
    ) -> Self {
        let may_overwrite = sent.overwrite;
        Self {
            asked,
            subject,
            head,
            matter,
            sent,
            notes: Vec::new(),
            mistakes: BTreeMap::new(),
            may_overwrite,
        }
    }

    fn is_of_this_visit(&self, token: &str) -> bool {
        self.asked.web.visits.knows(
            token,
            self.head,
            self.asked.requested_by.as_deref(),
            Utc::now().timestamp(),
        )
    }

    fn visit(&self) -> String {
        self.asked.web.visits.token(self.head, self.asked.requested_by.as_deref(), Utc::now().timestamp())
    }

    fn form(self, status: u16) -> Response {
        let form = Form {
            subject: self.subject,
            template: self.matter.template(),
            repository: self.matter.repository.as_deref(),
            sent: &self.sent,
            visit: self.visit(),
            may_overwrite: self.may_overwrite,
            notes: self.notes,
            mistakes: self.mistakes,
        };
        page(
            status,
            self.subject,
            if self.matter.stack.is_some() { "Edit" } else { "New stack" },
            &form.render(),
        )
    }

    /// The form with this above it.
    fn told(mut self, status: u16, note: Markup) -> Response {
        self.notes.push(note);
        self.form(status)
    }

    fn carry_out(mut self) -> Result<Response, Response> {
        let (template, options) = (self.matter.template(), self.sent.given(self.matter.template()));
        let (stack, wish) = match &self.matter.stack {
            Some(stack) => {
                let (template, overwrite) =
                    (self.matter.chosen.then(|| template.name.clone()), self.sent.overwrite);
                (stack.clone(), Wish::Change { template, options, overwrite })
            }
            None => (stack_name(&self.sent.name)?, Wish::Make { template: template.name.clone(), options }),
        };
        if self.matter.stack.is_none()
            && let Err(refusal) = self.asked.is_free(&stack, &self.matter.source)
        {
            let (what, hint) = refusal.refused.unwrap_or_default();
            self.mistakes.insert(NAME.to_owned(), format!("{what}; {hint}"));
            return Ok(self.form(refusal.status));
        }
        let is_commit = self.sent.step == Step::Commit;
        let beside = self.asked.beside(&self.matter.source)?;
        let order = Order {
            source: &self.matter.source,
            stack: &stack,
            wish: &wish,
            seen: self.sent.seen.as_ref(),
            requested_by: self.asked.requested_by.as_deref(),
            beside: &beside,
            dry_run: !is_commit,
        };
        let Answer { outcome, plan, request } = match self.asked.writes.desk.carry_out(order) {
            Ok(answer) => answer,
            Err(error) => {
                let refusal = crate::web::writes::unreadable(&error);
                return Ok(self.refused(refusal));
            }
        };
        Ok(match (outcome, plan) {
            (Outcome::Pushed { commit, branch, base }, _) if branch == base => {
                done(self.asked, self.subject, &order, Some(&commit), Some(&stack))
            }
            (Outcome::Pushed { branch, base, .. }, _) => proposed(self.subject, &branch, &base, request),
            (Outcome::Stopped(Stop::Planned), Some(plan)) => self.preview(&plan),
            // Pressed twice: the second answer leads where the first one did.
            (Outcome::Same(_) | Outcome::Stopped(Stop::Same), _) if is_commit => {
                done(self.asked, self.subject, &order, None, Some(&stack))
            }
            (Outcome::Same(_), _) => self.told(200, plan::stopped(&Stop::Same, &[])),
            (Outcome::Stopped(stop), _) => self.stopped(&stop),
            (outcome, plan) => {
                let refusal = self.asked.told(&order, Answer { outcome, plan, request });
                self.refused(refusal)
            }
        })
    }

    fn refused(self, refusal: Response) -> Response {
        let (what, hint) = refusal.refused.unwrap_or_default();
        self.told(refusal.status, plan::wrong(&what, &hint, &html! {}))
    }

    /// Why there is no commit, each mistake at its field where it has one.
    fn stopped(mut self, stop: &Stop) -> Response {
        let names: Vec<_> = self.matter.template().parameters.iter().map(|it| it.name.clone()).collect();
        match stop {
            Stop::Options(problems) => {
                for problem in problems.iter().filter(|it| names.contains(&it.key)) {
                    self.mistakes.insert(field(&problem.key), format!("`{}` {}", problem.key, problem.what));
                }
            }
            Stop::Conflict { what, hint, about: About::Name } if self.matter.stack.is_none() => {
                self.mistakes.insert(NAME.to_owned(), format!("{what}; {hint}"));
                return self.form(stop.status());
            }
            // What is shown of it is seen from now on.
            Stop::Changed { tip, .. } => self.sent.seen = Some(tip.clone()),
            Stop::Conflict { about, .. } => {
                self.may_overwrite |= self.matter.stack.is_some() && *about == About::Overwrite;
                // The commit of before may be forgotten; the one that is known now is not.
                self.sent.seen = self.matter.prefilled().seen;
            }
            _ => {}
        }
        let is_at_fields =
            matches!(stop, Stop::Options(problems) if problems.iter().all(|it| names.contains(&it.key)));
        if is_at_fields { self.form(422) } else { self.told(stop.status(), plan::stopped(stop, &names)) }
    }

    /// What would come of it, and all that was typed, hidden.
    fn preview(&self, plan: &Plan) -> Response {
        let main = html! {
            section.verdict { h1 { (sentence(&plan.subject)) } p { "This is what one commit after " (parts::short(&plan.base)) " would do. Nothing is done yet." } }
            (plan::shown(plan))
            form.form.stays method="post" {
                input type="hidden" name="visit" value=(self.visit());
                input type="hidden" name="seen" value=(plan.base);
                input type="hidden" name=(NAME) value=(self.sent.name);
                @if self.sent.overwrite { input type="hidden" name="overwrite" value="1"; }
                @for (name, value) in &self.sent.options { input type="hidden" name={ (OPTION) (name) } value=(value); }
                @for name in &self.sent.empty { input type="hidden" name={ (EMPTY) (name) } value="1"; }
                (button_row(&html! {
                    button.button name="step" value="commit" type="submit" { "Commit" }
                    button.button.quiet name="step" value="back" type="submit" { "Change" }
                    a.button.quiet href=(self.subject.up()) { "Cancel" }
                }))
            }
        };
        page(200, self.subject, "Preview", &main)
    }
}

/// The page shows how the sync for a commit goes.
fn done(
    asked: &Asked<'_>,
    subject: &Subject,
    order: &Order<'_>,
    commit: Option<&crate::git::Commit>,
    open: Option<&StackName>,
) -> Response {
    let job = asked.sync(order.source, order.stack, commit);
    let open = open.map(|stack| format!("&stack={stack}")).unwrap_or_default();
    Response::new(303, "text/plain", "committed\n")
        .with("location", format!("{}?job={job}{open}", subject.up()))
}

#[cfg(test)]
mod tests;
