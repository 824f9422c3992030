//! Reconcile now: all, one source, or one stack. Asked for by a program in JSON, or by the page's form.

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;

use super::request::{Body, Head};
use super::response::Response;
use super::{Web, holds};
use crate::daemon::{JobId, Scope, Trigger};
use crate::source::{Source, SourceId};

/// What to reconcile; all, if it names neither a source nor a stack.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    repository: Option<String>,
    stack: Option<String>,
    #[serde(default)]
    force: bool,
    /// One to be built again; programs have an address for it.
    #[serde(skip)]
    image: Option<String>,
    /// From the stack's own page.
    #[serde(skip)]
    own: bool,
}

/// `POST /api/v1/reconcile`: 202 with the job.
pub fn from_program(web: &Web, head: &Head, body: &mut Body<'_>) -> Response {
    let queued = in_json(web, head, body).and_then(|wish| {
        let scope = scope(web, wish.repository, wish.stack, wish.image)?;
        let on_hold = holds::of(web, std::slice::from_ref(&scope));
        let job = web.handle.trigger(Trigger { scope, force: wish.force, cause: "API".to_owned() });
        Ok(json!({ "job": job, "url": format!("/api/v1/jobs/{job}"), "on_hold": on_hold }))
    });
    queued.map_or_else(|refusal| refusal, |answer| Response::json(202, &answer))
}

/// `POST /api/v1/images/<name>/build`: 202 with the job that builds it again.
pub fn build(web: &Web, head: &Head, image: &str) -> Response {
    let queued = web.access.act(head).and_then(|()| {
        let scope = Scope::Build(built(web, image)?);
        Ok(web.handle.trigger(Trigger { scope, force: false, cause: "API".to_owned() }))
    });
    queued.map_or_else(|refusal| refusal, accepted)
}

fn built(web: &Web, image: &str) -> Result<String, Response> {
    let watched = web.view.watched().map_err(|error| unreadable(&error))?;
    let mut builds = watched.iter().flat_map(|known| &known.builds);
    builds.find(|row| row.name == image).map(|row| row.name.clone()).ok_or_else(|| {
        Response::refusal(
            404,
            "no watched source builds such an image",
            "`/api/v1/builds` lists those that are",
        )
    })
}

fn accepted(job: JobId) -> Response {
    Response::json(202, &json!({ "job": job, "url": format!("/api/v1/jobs/{job}") }))
}

/// `POST /reconcile`: back to the page, which shows the job.
pub fn from_page(web: &Web, head: &Head, body: &mut Body<'_>) -> Response {
    let queued = in_form(web, head, body).and_then(|wish| {
        let (stack, own) = (wish.stack.clone(), wish.own);
        let scope = scope(web, wish.repository, wish.stack, wish.image)?;
        let cause = "status page".to_owned();
        let job = web.handle.trigger(Trigger { scope, force: wish.force, cause });
        Ok(match stack {
            Some(name) if own => format!("./stacks/{name}?job={job}"),
            Some(name) => format!("./?job={job}&stack={name}"),
            None => format!("./?job={job}"),
        })
    });
    match queued {
        Ok(page) => Response::new(303, "text/plain", "queued\n").with("location", page),
        Err(refusal) => refusal,
    }
}

fn in_json(web: &Web, head: &Head, body: &mut Body<'_>) -> Result<Wish, Response> {
    web.access.act(head)?;
    let body = body.read()?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Wish::default());
    }
    serde_json::from_slice(&body).map_err(|error| {
        let hint = "send `{}`, or `repository` or `stack`, and `force` if need be";
        Response::refusal(400, &format!("the body is no such wish: {error}"), hint)
    })
}

fn in_form(web: &Web, head: &Head, body: &mut Body<'_>) -> Result<Wish, Response> {
    web.access.act(head)?;
    let body = body.read()?;
    let field = |name: &str| {
        let mut fields = form_urlencoded::parse(&body);
        fields.find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.into_owned())
    };
    let (stack, image) = (field("stack"), field("image"));
    let own = field("own").is_some();
    Ok(Wish { repository: None, stack, force: field("force").is_some(), image, own })
}

/// What is wished for is known here, or it is refused: so its text goes no further.
fn scope(
    web: &Web,
    repository: Option<String>,
    stack: Option<String>,
    image: Option<String>,
) -> Result<Scope, Response> {
    match (repository, stack, image) {
        (None, None, Some(image)) => built(web, &image).map(Scope::Build),
        (None, None, None) => Ok(Scope::All),
        (Some(repository), None, _) => watched(web, &repository).map(Scope::Source),
        (None, Some(stack), _) => known(web, &stack).map(Scope::Stack),
        (Some(_), Some(_), _) => Err(Response::refusal(400, "name a repository or a stack, not both", "")),
    }
}

fn watched(web: &Web, repository: &str) -> Result<SourceId, Response> {
    let sources = web.view.sources().map_err(|error| unreadable(&error))?;
    let named = Source::parse(repository).ok();
    let found = sources.into_iter().find(|source| Some(source) == named.as_ref());
    found.map(|source| source.id().clone()).ok_or_else(|| {
        Response::refusal(404, "no such repository is watched", "`/api/v1/repositories` lists those that are")
    })
}

fn known(web: &Web, stack: &str) -> Result<String, Response> {
    let names = web.view.stack_names().map_err(|error| unreadable(&error))?;
    names.into_iter().find(|name| name == stack).ok_or_else(|| {
        Response::refusal(404, "there is no such stack", "`/api/v1/stacks` lists those that are")
    })
}

fn unreadable(error: &anyhow::Error) -> Response {
    Response::refusal(503, &format!("{error:#}"), "")
}
