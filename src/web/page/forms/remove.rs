//! A stack taken away: what goes and what stays first, then one button.

use maud::{Markup, html};

use super::sent::{Sent, Step};
use super::subject::of_stack;
use super::{Subject, button_row, done, foreign, page, plan, proposed};
use crate::git::push::Outcome;
use crate::stack::StackName;
use crate::web::Web;
use crate::web::page::parts::text;
use crate::web::request::{Body, Head};
use crate::web::response::Response;
use crate::web::writes::{Asked, stack_name, unreadable};
use crate::write::{Answer, Order, Stop, Wish};

pub fn answer(
    web: &Web,
    subject: &Subject,
    name: &str,
    head: &Head,
    body: &mut Body<'_>,
) -> Result<Response, Response> {
    // Looking takes a fetch, which no page of others is to cause.
    let asked = Asked::by(web, head)?;
    let stack = stack_name(name)?;
    let sent = if head.only_looks() { Sent::default() } else { Sent::parse(&body.read()?) };
    let (source, _) = match of_stack(&asked, &stack, head) {
        // Pressed twice, or somebody was faster: it is what was asked for.
        Err(refusal) if refusal.status == 404 && sent.step == Step::Commit => {
            return Ok(gone(subject, &stack));
        }
        found => found?,
    };
    let (user, now) = (asked.requested_by.as_deref(), chrono::Utc::now().timestamp());
    let beside = asked.beside(&source)?;
    let order = Order {
        source: &source,
        stack: &stack,
        wish: &Wish::Remove,
        seen: None,
        requested_by: user,
        beside: &beside,
        dry_run: true,
    };
    let show = |status, note| shown(&asked, subject, order, &web.visits.token(head, user, now), status, note);
    if head.only_looks() {
        return show(200, None);
    }
    if !web.visits.knows(&sent.visit, head, user, now) || sent.step != Step::Commit {
        return show(403, Some(foreign()));
    }
    let order = Order { seen: sent.seen.as_ref(), dry_run: false, ..order };
    let Answer { outcome, plan, request } =
        asked.writes.desk.carry_out(order).map_err(|error| unreadable(&error))?;
    match outcome {
        Outcome::Pushed { commit, branch, base } if branch == base => {
            Ok(done(&asked, subject, &order, Some(&commit), None))
        }
        Outcome::Pushed { branch, base, .. } => Ok(proposed(subject, &branch, &base, request)),
        Outcome::Stopped(Stop::Missing { .. }) => Ok(gone(subject, &stack)),
        // Seen again as it is now, for what was seen is so no more.
        Outcome::Stopped(stop @ Stop::Changed { .. }) => show(409, Some(plan::stopped(&stop, &[]))),
        Outcome::Same(_) => Ok(stopped(subject, &stack, &Stop::Same)),
        Outcome::Stopped(stop) => Ok(stopped(subject, &stack, &stop)),
        outcome => Err(asked.told(&order, Answer { outcome, plan, request })),
    }
}

/// What goes and what stays, with the button.
fn shown(
    asked: &Asked<'_>,
    subject: &Subject,
    order: Order<'_>,
    visit: &str,
    status: u16,
    note: Option<Markup>,
) -> Result<Response, Response> {
    let Answer { outcome, plan, request } =
        asked.writes.desk.carry_out(order).map_err(|error| unreadable(&error))?;
    let plan = match (outcome, plan) {
        (Outcome::Stopped(Stop::Planned), Some(plan)) => plan,
        (Outcome::Stopped(stop), _) => return Ok(stopped(subject, order.stack, &stop)),
        (outcome, plan) => return Err(asked.told(&order, Answer { outcome, plan, request })),
    };
    let main = html! {
        section.verdict {
            h1 { "Remove " (text(order.stack.as_str())) "?" }
            p { "One commit after " (super::parts::short(&plan.base)) " takes it out of the repository. Volumes are never removed." }
        }
        @if let Some(note) = note { (note) }
        (plan::shown(&plan))
        form.form.stays method="post" {
            input type="hidden" name="visit" value=(visit);
            input type="hidden" name="seen" value=(plan.base);
            (button_row(&html! {
                button.button.grave name="step" value="commit" type="submit" { "Remove it" }
                a.button.quiet href=(subject.up()) { "Cancel" }
            }))
        }
    };
    Ok(page(status, subject, "Remove", &main))
}

fn gone(subject: &Subject, stack: &StackName) -> Response {
    let main = html! {
        section.verdict { h1 { (text(stack.as_str())) " is gone" } p { "The repository has no such stack any more. Nothing was done now." } }
        p { a href=(subject.up()) { "Back to the state" } }
    };
    page(200, subject, "Removed", &main)
}

fn stopped(subject: &Subject, stack: &StackName, stop: &Stop) -> Response {
    let main = html! {
        section.verdict { h1 { "Remove " (text(stack.as_str())) "?" } }
        (plan::stopped(stop, &[]))
        p { a href=(subject.up()) { "Back to the state" } }
    };
    page(stop.status(), subject, "Remove", &main)
}
