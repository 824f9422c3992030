//! The JSON API, version 1: what `dockerops status --json` tells, a stack in full and its history, events and jobs.
//! `docs/api.md` documents the fields.

use std::collections::BTreeSet;

use anyhow::{Error, Result};
use serde_json::{Value, json};

use super::request::Head;
use super::response::Response;
use super::view::Snapshot;
use super::{Web, logs, templates, writes};
use crate::daemon::JobId;
use crate::docker::task::Task;
use crate::fault::hint_of;
use crate::redact::without_credentials;
use crate::report::events::harmless_event;
use crate::report::history::{self, History};
use crate::report::services::{MOST_TASKS, TaskView, image_of};
use crate::report::status::{LiveService, Stack};
use crate::stack::StackName;

/// Events on a page, unless `limit` says otherwise.
const EVENTS: usize = 50;
const MOST_EVENTS: usize = 500;
/// Events that are told with a stack.
pub const LAST: usize = 20;

/// Answers what comes after `/api/v1/`.
pub fn answer(web: &Web, what: &str, head: &Head) -> Response {
    let answer = match what.split_once('/').unwrap_or((what, "")) {
        ("repositories", "") => live(web, |snapshot| json!({ "repositories": snapshot.status.repositories })),
        ("stacks", "") => live(web, |snapshot| json!({ "stacks": snapshot.status.stacks })),
        ("images", "") => live(web, |snapshot| json!({ "images": snapshot.status.images })),
        ("under_way", "") => live(web, |snapshot| json!({ "under_way": snapshot.status.under_way })),
        ("builds", "") => live(web, |snapshot| json!({ "builds": snapshot.status.builds })),
        ("stacks", name) if name.ends_with("/options") => {
            return writes::options(web, name.trim_end_matches("/options"), head);
        }
        ("stacks", name) if name.ends_with("/history") => {
            let told = history(web, name.trim_end_matches("/history"), head.parameter("repository"));
            if let Ok(None) = told {
                let hint = "`/api/v1/stacks` lists those that are";
                return Response::refusal(404, "there is no such stack", hint);
            }
            told
        }
        ("stacks", name) if name.ends_with("/logs") => {
            return logs::answer(web, name.trim_end_matches("/logs"), head);
        }
        ("stacks", name) => stack(web, name, head.parameter("repository")),
        ("stackDefinitions", name) => {
            return templates::answer(web, name, head).unwrap_or_else(|error| trouble(&error));
        }
        ("events", "") => return events(web, head),
        ("jobs", id) => return job(web, id),
        _ => Ok(None),
    };
    match answer {
        Ok(Some(value)) => Response::json(200, &value),
        Ok(None) => Response::refusal(
            404,
            "there is no such thing",
            concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/api.md lists what there is"),
        ),
        Err(error) => trouble(&error),
    }
}

/// What needs docker's answer, and is not told without it: half a story would be a false one.
fn live(web: &Web, tell: impl FnOnce(&Snapshot) -> Value) -> Result<Option<Value>> {
    let snapshot = web.view.snapshot()?;
    match &snapshot.trouble {
        None => Ok(Some(tell(&snapshot))),
        Some(trouble) => Err(match &trouble.hint {
            Some(hint) => crate::fault::fault(trouble.what.clone(), hint.clone()),
            None => Error::msg(trouble.what.clone()),
        }),
    }
}

fn trouble(error: &Error) -> Response {
    let what = crate::report::harmless(&format!("{error:#}"));
    Response::refusal(503, &what, hint_of(error).unwrap_or_default())
}

/// The stack of that name; of several, that which the source names, or that which runs.
pub fn find<'a>(snapshot: &'a Snapshot, name: &str, repository: Option<&str>) -> Option<&'a Stack> {
    let named = snapshot.status.stacks.iter().filter(|stack| stack.name == name);
    let mut named: Vec<_> =
        named.filter(|stack| repository.is_none_or(|repository| stack.repository == repository)).collect();
    named.sort_by_key(|stack| stack.services.is_empty());
    named.first().copied()
}

fn stack(web: &Web, name: &str, repository: Option<&str>) -> Result<Option<Value>> {
    let mut found = None;
    live(web, |snapshot| {
        found = find(snapshot, name, repository).map(|stack| in_full(web, snapshot, stack));
        Value::Null
    })?;
    found.transpose()
}

fn in_full(web: &Web, snapshot: &Snapshot, stack: &Stack) -> Result<Value> {
    let tasks = web.view.tasks(snapshot, &stack.name)?;
    let mut value = json!(stack);
    for (view, service) in value["services"].as_array_mut().into_iter().flatten().zip(&stack.services) {
        view["tasks"] = json!(tasks_of(snapshot, service, &tasks));
    }
    let images: BTreeSet<_> =
        stack.services.iter().map(|service| image_of(&snapshot.services, service)).collect();
    value["images"] =
        images.into_iter().map(|(name, digest)| json!({ "name": name, "digest": digest })).collect();
    let events = web.view.ask(|state| state.events_of(&stack.name, LAST))?;
    value["events"] = json!(events.into_iter().map(harmless_event).collect::<Vec<_>>());
    let watched = web.view.watched()?;
    let source = watched.iter().find(|known| known.row.url == stack.source);
    value["template"] = json!(source.and_then(|source| web.templates.origin(source, &stack.name)));
    let texts = web.view.ask(|state| state.texts(&stack.source))?;
    let texts = texts.get(&StackName::known(&stack.name)).cloned().unwrap_or_default();
    value["compose"] = json!(texts.attempted.or(texts.applied).as_deref().map(without_credentials));
    Ok(value)
}

/// The versions of a stack that converged; docker is not asked for that.
fn history(web: &Web, name: &str, repository: Option<&str>) -> Result<Option<Value>> {
    let watched = web.view.watched()?;
    let Some(row) = history::find(&watched, name, repository) else { return Ok(None) };
    let versions = web.view.ask(|state| state.history(&row.name, &row.repository_url))?;
    Ok(Some(json!(History::of(row, &versions))))
}

/// A service's tasks, newest first.
pub fn tasks_of(snapshot: &Snapshot, service: &LiveService, tasks: &[Task]) -> Vec<TaskView> {
    let id = snapshot.services.iter().find(|live| live.name == service.name).map(|live| live.id.as_str());
    let own = tasks.iter().filter(|task| Some(task.service.as_str()) == id).take(MOST_TASKS);
    own.map(TaskView::of).collect()
}

fn events(web: &Web, head: &Head) -> Response {
    let number = |name: &str| head.parameter(name).map(str::parse::<i64>).transpose();
    let (Ok(before), Ok(limit)) = (number("before"), number("limit")) else {
        return Response::refusal(400, "`before` and `limit` are numbers", "");
    };
    let limit = limit.map_or(EVENTS, |limit| usize::try_from(limit).unwrap_or(1).clamp(1, MOST_EVENTS));
    match web.view.ask(|state| state.events(before, limit)) {
        Ok(rows) => {
            let next = (rows.len() == limit).then(|| rows.last().map(|row| row.id)).flatten();
            let rows: Vec<_> = rows.into_iter().map(harmless_event).collect();
            Response::json(200, &json!({ "events": rows, "next": next }))
        }
        Err(error) => trouble(&error),
    }
}

fn job(web: &Web, id: &str) -> Response {
    match JobId::parse(id).and_then(|id| web.handle.job(id)) {
        Some(mut view) => {
            view.outcome = view.outcome.as_deref().map(crate::report::harmless);
            Response::json(200, &view)
        }
        None => Response::refusal(
            404,
            "there is no such job",
            "jobs are remembered until 1,000 others have ended",
        ),
    }
}
