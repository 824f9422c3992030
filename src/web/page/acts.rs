//! The buttons that act, and what is told of what they did.

use maud::{Markup, html};

use super::parts::{capital, moment, sentence, text};
use super::{Frame, HTML, POLICY, Page, document};
use crate::daemon::{JobState, JobView};
use crate::state::EventRow;
use crate::web::access::Visitor;
use crate::web::request::Head;
use crate::web::response::Response;

impl Page<'_> {
    pub fn actions(&self) -> Markup {
        html! {
            @if self.visitor == Visitor::Operator && self.web.access.writing.is_some() {
                a.button.quiet href={ (self.sign_in()) (if self.asked.own.is_some() { "&write" } else { "?write" }) } { "Sign in to write" }
            }
            @match (self.visitor, self.web.access.has_token()) {
                (Visitor::Operator | Visitor::Writer, _) => (self.button("do-all-sync", "Reconcile now", None, false)),
                (Visitor::Reader, true) => { a.button.quiet href=(self.sign_in()) { "Sign in" } },
                (Visitor::Reader, false) => { span.muted { "Read only: no API token is set" } },
            }
        }
    }

    /// Where to sign in, and to come back from to a stack's own page.
    pub fn sign_in(&self) -> String {
        match &self.asked.own {
            Some((name, _)) => format!("../sign-in?stack={name}"),
            None => "sign-in".to_owned(),
        }
    }

    /// What forms of a stack's own page hold: the way back to it.
    pub fn own_field(&self) -> Markup {
        html! { @if self.asked.own.is_some() { input type="hidden" name="own" value="1"; } }
    }

    /// Builds an image of a watched source again; nothing for who may not.
    pub fn build_button(&self, image: &str) -> Markup {
        html! {
            @if self.visitor != Visitor::Reader {
                form method="post" action="reconcile" {
                    input type="hidden" name="image" value=(image);
                    button.button.quiet id={ "build-" (text(image)) } type="submit" {
                        "Build" span.hidden { " " (text(image)) } " again"
                    }
                }
            }
        }
    }

    /// A button that queues a job; nothing for who may not.
    pub fn button(&self, id: &str, label: &str, stack: Option<&str>, force: bool) -> Markup {
        html! {
            @if self.visitor != Visitor::Reader {
                form method="post" action={ (self.asked.up()) "reconcile" } {
                    @if stack.is_some() { (self.own_field()) }
                    @if let Some(stack) = stack { input type="hidden" name="stack" value=(stack); }
                    @if force { input type="hidden" name="force" value="1"; }
                    button.button id=(id) type="submit" { (label) }
                }
            }
        }
    }
}

/// How far a job is.
pub fn job_line(job: &JobView) -> Markup {
    let (word, busy) = match job.state {
        JobState::Queued => ("is queued", true),
        JobState::Running => ("is under way", true),
        JobState::Done => ("is done", false),
        JobState::Failed => ("failed", false),
    };
    let tone = if job.state == JobState::Failed { "bad" } else { "calm" };
    html! {
        p.job data-tone=(tone) data-busy[busy] {
            @if busy { span.spinner aria-hidden="true" {} }
            span {
                "Reconciling " (sentence(&job.target)) " " (word)
                @if let Some(outcome) = &job.outcome { ": " (sentence(outcome)) }
            }
        }
    }
}

/// What somebody did, as the event tells it.
pub fn told(event: &EventRow) -> Markup {
    html! {
        p.job.told data-tone="calm" {
            span {
                @if let Some(subject) = &event.stack { b { (text(subject)) } " " }
                (sentence(&event.message)) ", " (moment(&event.time))
            }
        }
    }
}

/// Whether it is told so: what a person does, and not the loop.
pub fn is_told(event: &EventRow) -> bool {
    matches!(event.kind.as_str(), "hold" | "released")
}

/// A refusal as a page for who has no script: a browser says that it takes one, the script that it takes JSON.
pub fn or_page(head: &Head, response: Response) -> Response {
    let accepts = |kind: &str| head.header("accept").is_some_and(|kinds| kinds.contains(kind));
    let Some((what, hint)) = response.refused.clone().filter(|_| accepts("text/html") && !accepts("json"))
    else {
        return response;
    };
    let main = html! {
        section.verdict data-tone="bad" {
            h1 { "That cannot be done" }
            p { (sentence(&capital(&what))) }
            @if !hint.is_empty() { p { (sentence(&capital(&hint))) } }
        }
        p { a href="./" { "Back to the state" } }
    };
    let frame = Frame { title: "Refused · DockerOps", is_live: false, ..Frame::default() };
    let page = Response::new(response.status, HTML, document(&frame, &html! {}, &main).into_string());
    response.with_body_of(page).with("content-security-policy", POLICY)
}
