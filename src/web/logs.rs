//! What services print, for who showed a token: a log may hold anything. As text, each line as `dockerops logs` prints it,
//! or as JSON.

use serde_json::json;

use super::Web;
use super::api::find;
use super::request::Head;
use super::response::Response;
use super::view::Snapshot;
use crate::clock;
use crate::docker::service::Service;
use crate::fault::hint_of;
use crate::logs::{Bounds, Told, Wish, choose};
use crate::plain;
use crate::report::harmless;
use crate::report::status::Stack;

/// What one answer holds at most, and how long it may take to come.
const BOUNDS: Bounds = Bounds { bytes: 1 << 20, time: std::time::Duration::from_secs(15) };
const FEWER: &str = "ask for fewer with `tail`";

/// `GET /api/v1/stacks/<name>/logs`
pub fn answer(web: &Web, name: &str, head: &Head) -> Response {
    told(web, name, head).unwrap_or_else(|refusal| refusal)
}

fn told(web: &Web, name: &str, head: &Head) -> Result<Response, Response> {
    web.access.hear(head)?;
    let is_json = wants_json(head)?;
    let wish = Wish::read(head.parameter("tail"), head.parameter("since"), clock::wall());
    let wish = wish.map_err(|error| Response::refusal(400, &format!("{error:#}"), ""))?;
    let snapshot = web.view.snapshot().map_err(|error| trouble(&error))?;
    if let Some(trouble) = &snapshot.trouble {
        return Err(Response::refusal(503, &trouble.what, trouble.hint.as_deref().unwrap_or_default()));
    }
    let stack = find(&snapshot, name, head.parameter("repository")).ok_or_else(|| {
        Response::refusal(404, "no watched source has such a stack", "`/api/v1/stacks` lists them")
    })?;
    let services = choose(&stack.name, &services_of(&snapshot, stack), head.parameter("service"));
    let services = services
        .map_err(|error| Response::refusal(404, &error.to_string(), hint_of(&error).unwrap_or_default()))?;
    let told = web.view.log(&services, &wish, BOUNDS, FEWER).map_err(|error| trouble(&error))?;
    Ok(if is_json {
        Response::json(200, &json!({ "lines": told.lines, "notes": told.notes }))
    } else {
        Response::new(200, "text/plain; charset=utf-8", text(&told))
    })
}

/// The services of a stack that are its own: of a name that is another's none are.
pub fn services_of<'a>(snapshot: &'a Snapshot, stack: &Stack) -> Vec<&'a Service> {
    let is_own = |service: &&Service| stack.services.iter().any(|own| own.name == service.name);
    snapshot.services.iter().filter(is_own).collect()
}

fn wants_json(head: &Head) -> Result<bool, Response> {
    match head.parameter("format") {
        Some("json") => Ok(true),
        Some("text") => Ok(false),
        Some(_) => Err(Response::refusal(400, "`format` is `text` or `json`", "")),
        None => Ok(head.header("accept").is_some_and(|accept| accept.contains("application/json"))),
    }
}

fn text(told: &Told) -> String {
    let lines = told.lines.iter().map(|line| format!("{} | {}\n", line.mark(), line.message));
    // No mark begins so.
    let notes = told.notes.iter().map(|note| format!("note: {}\n", plain::line(note)));
    lines.chain(notes).collect()
}

fn trouble(error: &anyhow::Error) -> Response {
    Response::refusal(503, &harmless(&format!("{error:#}")), hint_of(error).unwrap_or_default())
}
