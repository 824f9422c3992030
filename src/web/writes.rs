//! Stacks made, changed and removed by programs: checked here, then written into the repository. What deploys them is
//! the sync that is asked for behind it.

mod asked;
mod body;

use anyhow::Result;
use serde_json::{Value, json};

use super::Web;
use super::request::{Body, Head};
use super::response::Response;
use crate::daemon::{JobId, Scope, Trigger};
use crate::fault::hint_of;
use crate::forge::Request;
use crate::git::Commit;
use crate::git::push::Outcome;
use crate::report::harmless;
use crate::settings::{RunSettings, Settings, WriteSettings};
use crate::source::Source;
use crate::stack::StackName;
use crate::write::{Answer, Current, Desk, Order, Stop, Wish};
use body::{Changed, New, in_json};

pub use asked::Asked;
pub use body::stack_name;

/// What writes; there where a token for it is set.
#[derive(Debug)]
pub struct Writes {
    pub desk: Desk,
    settings: WriteSettings,
}

impl Writes {
    pub fn new(settings: &Settings, run: &RunSettings) -> Result<Option<Self>> {
        let make = |_| Ok(Self { desk: Desk::new(settings, run)?, settings: run.write.clone() });
        run.write.token.as_ref().map(make).transpose()
    }
}

pub fn make(web: &Web, head: &Head, body: &mut Body<'_>) -> Response {
    or_refusal(|| {
        let asked = Asked::by_program(web, head)?;
        let New { repository, name, stack_definition, options } =
            in_json(body, "`{\"name\": …, \"stackDefinition\": …, \"options\": {…}}`")?;
        let stack = stack_name(&name)?;
        let source = asked.source(repository.as_deref().or_else(|| head.parameter("repository")), None)?;
        asked.is_free(&stack, &source)?;
        Ok(asked.carry_out(&source, &stack, &Wish::Make { template: stack_definition, options }))
    })
}

pub fn change(web: &Web, name: &str, head: &Head, body: &mut Body<'_>) -> Response {
    or_refusal(|| {
        let asked = Asked::by_program(web, head)?;
        let Changed { stack_definition, options, overwrite } =
            in_json(body, "`{\"options\": {…}}` with all options")?;
        let stack = stack_name(name)?;
        let source = asked.source(head.parameter("repository"), Some(&stack))?;
        Ok(asked.carry_out(&source, &stack, &Wish::Change { template: stack_definition, options, overwrite }))
    })
}

pub fn remove(web: &Web, name: &str, head: &Head) -> Response {
    or_refusal(|| {
        let asked = Asked::by_program(web, head)?;
        let stack = stack_name(name)?;
        let source = asked.source(head.parameter("repository"), Some(&stack))?;
        Ok(asked.carry_out(&source, &stack, &Wish::Remove))
    })
}

/// `GET /api/v1/stacks/<name>/options`: what a change would have to send, for who may send it.
pub fn options(web: &Web, name: &str, head: &Head) -> Response {
    or_refusal(|| {
        let asked = Asked::by(web, head)?;
        let stack = stack_name(name)?;
        let source = asked.source(head.parameter("repository"), Some(&stack))?;
        let desk = &asked.writes.desk;
        // What was written just now is there before any sync has seen it.
        let newest = desk.newest_options(&source, &stack).map_err(|error| unreadable(&error))?;
        let (commit, current) = newest.map_or_else(|| synced(web, desk, &source, &stack), Ok)?;
        let Current { is_there, is_file, template, options } = current;
        if !is_there {
            let what = format!("`{source}` has no stack `{stack}` at commit `{}`", commit.short());
            return Err(Response::refusal(404, &what, "`/api/v1/stacks` lists those that were synced"));
        }
        if template.is_none() && !is_file {
            let hint = "a `PUT` with `stackDefinition`, all `options` and `\"overwrite\": true` makes it one of a template";
            let what = format!("`{stack}` was made by hand, and of no template");
            return Err(Response::refusal(404, &what, hint));
        }
        let (name, tree) = template.map(|origin| (origin.name, origin.tree)).unzip();
        Ok(Response::json(
            200,
            &json!({
                "repository": source.to_string(), "commit": commit.as_str(), "stackDefinition": name,
                "tree": tree, "options": options,
            }),
        ))
    })
}

/// The options as the last sync saw them, where nobody can tell what is newer.
fn synced(web: &Web, desk: &Desk, source: &Source, stack: &StackName) -> Result<(Commit, Current), Response> {
    let watched = web.view.watched().map_err(|error| unreadable(&error))?;
    let known = watched.iter().find(|known| known.identity == *source.id());
    let commit = known.and_then(|known| known.row.commit.as_deref()).ok_or_else(|| {
        Response::refusal(503, &format!("source `{source}` was not read yet"), "ask again when it was")
    })?;
    let read = || {
        let commit = Commit::parse(commit)?;
        let current = desk.options_of(source, &commit, stack)?;
        Ok((commit, current))
    };
    read().map_err(|error| unreadable(&error))
}

fn or_refusal(answer: impl FnOnce() -> Result<Response, Response>) -> Response {
    answer().unwrap_or_else(|refusal| refusal)
}

impl Asked<'_> {
    fn carry_out(&self, source: &Source, stack: &StackName, wish: &Wish) -> Response {
        let beside = match self.beside(source) {
            Ok(beside) => beside,
            Err(refusal) => return refusal,
        };
        let order = Order {
            source,
            stack,
            wish,
            seen: self.seen.as_ref(),
            requested_by: self.requested_by.as_deref(),
            beside: &beside,
            dry_run: self.dry_run,
        };
        match self.writes.desk.carry_out(order) {
            Ok(answer) => self.told(&order, answer),
            Err(error) => unreadable(&error),
        }
    }

    pub fn told(&self, order: &Order<'_>, Answer { outcome, plan, request }: Answer) -> Response {
        let refused = |status, what: String, hint: &str| Response::refusal(status, &harmless(&what), hint);
        match outcome {
            Outcome::Pushed { commit, branch, base } => {
                let plan = plan.map(|plan| {
                    json!({
                        "stays": plan.stays, "problems": plan.problems, "not_checked": plan.not_checked,
                        "notes": plan.changes.notes,
                    })
                });
                let mut value = plan.unwrap_or_else(|| json!({}));
                value["commit"] = commit.as_str().into();
                value["branch"] = branch.as_str().into();
                if branch != base {
                    return proposed(value, request);
                }
                let job = self.sync(order.source, order.stack, Some(&commit));
                value["job"] = json!(job);
                value["url"] = format!("/api/v1/jobs/{job}").into();
                let is_new = matches!(order.wish, Wish::Make { .. });
                let address = format!("/api/v1/stacks/{}", order.stack);
                let response = Response::json(if is_new { 201 } else { 200 }, &value);
                if is_new { response.with("location", address) } else { response }
            }
            Outcome::Same(commit) => {
                Response::json(200, &json!({ "commit": commit.as_str(), "unchanged": true }))
            }
            Outcome::Stopped(Stop::Same) => Response::json(200, &json!({ "unchanged": true })),
            Outcome::Stopped(stop) => {
                let mut value = stop.json();
                if matches!(stop, Stop::Planned) && plan.as_ref().is_some_and(|plan| plan.files.is_empty()) {
                    value["unchanged"] = true.into();
                }
                if let Some(plan) = plan.filter(|_| self.dry_run) {
                    value["plan"] = json!(plan);
                }
                Response::json(stop.status(), &value)
            }
            Outcome::NoBranch(what) => {
                let what = format!("the source follows {what}: nothing can be written to it");
                refused(409, what, "watch a branch of it, `URL#branch`, or write with git")
            }
            Outcome::Taken { branch, commit } => refused(
                409,
                format!(
                    "the branch `{branch}` holds the commit `{}`, which somebody else made",
                    commit.short()
                ),
                "merge that branch, or delete it, and ask again",
            ),
            Outcome::Moved => refused(
                409,
                "others pushed to the branch meanwhile, three times".into(),
                "ask again in a moment",
            ),
            Outcome::Rejected(words) => {
                let hint = "a hook or a protected branch of the server says so; `DOCKEROPS_WRITE_BRANCH` pushes to another branch";
                refused(502, format!("the git server refused it: {words}"), hint)
            }
            Outcome::Unreachable(error) => {
                refused(502, format!("{error:#}"), hint_of(&error).unwrap_or_default())
            }
        }
    }

    /// As a webhook for the commit would; its outcome is that of the stack.
    pub fn sync(&self, source: &Source, stack: &StackName, commit: Option<&Commit>) -> JobId {
        let by = self.requested_by.as_deref().map(|name| format!(" for {}", crate::plain::name(name)));
        let what = commit
            .map_or_else(|| "asked for again".to_owned(), |commit| format!("commit {}", commit.short()));
        let cause = format!("{what}{}", by.unwrap_or_default());
        let scope = Scope::Change { source: source.id().clone(), stack: stack.clone() };
        self.web.handle.trigger(Trigger { scope, force: false, cause })
    }
}

/// What was pushed to a branch of its own is deployed once somebody has merged it.
fn proposed(mut value: Value, request: Option<Result<Request>>) -> Response {
    match request {
        None => Response::json(202, &value),
        Some(Ok(Request { url, number, opened, outdated })) => {
            value["request"] = json!({ "url": url, "number": number, "opened": opened, "outdated": outdated.as_deref().map(harmless) });
            Response::json(202, &value).with("location", url)
        }
        Some(Err(error)) => {
            let branch = value["branch"].as_str().unwrap_or_default();
            let what = format!("`{branch}` was pushed, and {error:#}");
            value["error"] = harmless(&what).into();
            value["hint"] = hint_of(&error).unwrap_or("ask again, or open it by hand").into();
            Response::json(502, &value)
        }
    }
}

pub fn unreadable(error: &anyhow::Error) -> Response {
    let response =
        Response::refusal(503, &harmless(&format!("{error:#}")), hint_of(error).unwrap_or_default());
    response.with("retry-after", "10")
}
