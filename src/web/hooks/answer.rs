//! A hook's answer, always at once: what is to be done is queued, and the answer names its jobs.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::json;

use super::signature::Proof;
use super::{Delivery, Event, Hook, select};
use crate::daemon::{JobId, Scope, Trigger};
use crate::plain;
use crate::redact::Secret;
use crate::web::Web;
use crate::web::holds;
use crate::web::request::{Body, Head};
use crate::web::response::Response;

/// What became of a delivery, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Work was queued.
    Accepted,
    /// It had been taken before.
    Repeated,
    /// It concerns nothing here.
    Ignored,
    Ping,
    /// The sender is not believed, or there is no secret to believe by.
    Refused,
    /// It is not what the sender is known to send.
    Malformed,
}

impl Outcome {
    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Repeated => "repeated",
            Self::Ignored => "ignored",
            Self::Ping => "ping",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}

/// Answers a delivery.
pub fn answer(web: &Web, hook: &Hook, head: &Head, body: &mut Body<'_>) -> Response {
    let (outcome, response) = decide(web, hook, head, body).unwrap_or_else(|refusal| *refusal);
    web.counts.note(hook.name, outcome);
    response
}

type Decision = (Outcome, Response);

fn decide(web: &Web, hook: &Hook, head: &Head, body: &mut Body<'_>) -> Result<Decision, Box<Decision>> {
    let Some(secret) = &web.secret else {
        let hint = "set `DOCKEROPS_WEBHOOK_SECRET` (or `…_FILE`) for DockerOps, and the same at the sender";
        return Ok((
            Outcome::Refused,
            Response::refusal(403, "webhooks need a secret, and none is set", hint),
        ));
    };
    if hook.secret_in_head {
        believe(hook, head, b"", secret)?;
    }
    let body = body.read().map_err(|refusal| Box::new((Outcome::Malformed, refusal)))?;
    if !hook.secret_in_head {
        believe(hook, head, &body, secret)?;
    }
    let delivery = (hook.read)(head, &body).map_err(|error| {
        let what = format!("the body {error:#}");
        Box::new((Outcome::Malformed, Response::refusal(400, &what, "let it send JSON")))
    })?;
    Ok(act(web, hook, delivery, &body))
}

fn believe(hook: &Hook, head: &Head, body: &[u8], secret: &Secret) -> Result<(), Box<Decision>> {
    let what = match (hook.verify)(head, body, secret) {
        Proof::Right => return Ok(()),
        Proof::Wrong => "the sender has another secret",
        Proof::Missing => "the sender shows no secret",
    };
    let hint = "the secret at the sender must be that of `DOCKEROPS_WEBHOOK_SECRET`";
    Err(Box::new((Outcome::Refused, Response::refusal(403, what, hint))))
}

fn act(web: &Web, hook: &Hook, delivery: Delivery, body: &[u8]) -> Decision {
    let ignored =
        |why: &str| (Outcome::Ignored, Response::json(202, &json!({ "ignored": plain::text(why) })));
    let (wanted, callback) = match delivery.event {
        Event::Ping => return (Outcome::Ping, Response::json(200, &json!({ "ok": true }))),
        Event::Other(why) => return ignored(&why),
        Event::Push(push) => {
            let watched = match web.view.sources() {
                Ok(watched) => watched,
                Err(error) => return failed(&error),
            };
            match select::sources(&watched, &push) {
                Ok(sources) => (sources.iter().map(|it| Scope::Source(it.id().clone())).collect(), None),
                Err(why) => return ignored(&why),
            }
        }
        Event::Images { images, callback } => {
            let running = match web.view.images_in_use() {
                Ok(running) => running,
                Err(error) => return failed(&error),
            };
            let found = select::images(running.iter().map(String::as_str), &images);
            if found.is_empty() {
                return ignored("no service of a watched stack uses this image and tag");
            }
            (scopes(found), callback)
        }
    };
    let on_hold = holds::of(web, &wanted);
    let work = || trigger(web, hook, wanted);
    let (jobs, repeated) = match &delivery.id {
        Some(id) => web.deliveries.once(hook.name, id, body, work),
        None => (work(), false),
    };
    if let Some(url) = callback.filter(|_| !repeated) {
        web.callbacks.add(&url, &jobs);
    }
    let value = json!({ "job": jobs.first(), "jobs": jobs, "repeated": repeated, "on_hold": on_hold });
    (if repeated { Outcome::Repeated } else { Outcome::Accepted }, Response::json(202, &value))
}

fn failed(error: &anyhow::Error) -> Decision {
    let hint = "the next cycle looks at everything anyway";
    (Outcome::Ignored, Response::refusal(503, &format!("{error:#}"), hint))
}

fn scopes(images: BTreeSet<String>) -> Vec<Scope> {
    images.into_iter().map(Scope::Image).collect()
}

fn trigger(web: &Web, hook: &Hook, wanted: Vec<Scope>) -> Vec<JobId> {
    let cause = format!("webhook of {}", hook.name);
    let trigger = |scope| web.handle.trigger(Trigger { scope, force: false, cause: cause.clone() });
    wanted.into_iter().map(trigger).collect()
}
