//! Stacks made, changed and removed by programs: checked here, then written into the repository. What deploys them is
//! the sync that is asked for behind it.

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

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

/// `POST /api/v1/stacks`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct New {
    repository: Option<String>,
    name: String,
    stack_definition: String,
    #[serde(default)]
    options: Map<String, Value>,
}

/// `PUT /api/v1/stacks/<name>`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Changed {
    stack_definition: Option<String>,
    options: Map<String, Value>,
    #[serde(default)]
    overwrite: bool,
}

pub fn make(web: &Web, head: &Head, body: &mut Body<'_>) -> Response {
    or_refusal(|| {
        let asked = Asked::by(web, head)?;
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
        let asked = Asked::by(web, head)?;
        let Changed { stack_definition, options, overwrite } =
            in_json(body, "`{\"options\": {…}}` with all options")?;
        let stack = stack_name(name)?;
        let source = asked.source(head.parameter("repository"), Some(&stack))?;
        Ok(asked.carry_out(&source, &stack, &Wish::Change { template: stack_definition, options, overwrite }))
    })
}

pub fn remove(web: &Web, name: &str, head: &Head) -> Response {
    or_refusal(|| {
        let asked = Asked::by(web, head)?;
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
        let watched = web.view.watched().map_err(|error| unreadable(&error))?;
        let known = watched.iter().find(|known| known.identity == *source.id());
        let commit = known.and_then(|known| known.row.commit.as_deref()).ok_or_else(|| {
            Response::refusal(503, &format!("source `{source}` was not read yet"), "ask again when it was")
        })?;
        let read = || asked.writes.desk.options_of(&source, &Commit::parse(commit)?, &stack);
        let Current { template, options } = read().map_err(|error| unreadable(&error))?;
        let template = template
            .ok_or_else(|| Response::refusal(404, &format!("`{stack}` was not made from a template"), ""))?;
        Ok(Response::json(
            200,
            &json!({
                "repository": source.to_string(), "commit": commit, "stackDefinition": template.name,
                "tree": template.tree, "options": options,
            }),
        ))
    })
}

fn or_refusal(answer: impl FnOnce() -> Result<Response, Response>) -> Response {
    answer().unwrap_or_else(|refusal| refusal)
}

fn in_json<T: DeserializeOwned>(body: &mut Body<'_>, form: &str) -> Result<T, Response> {
    let body = body.read()?;
    serde_json::from_slice(&body).map_err(|error| {
        Response::refusal(
            400,
            &format!("the body is not what is asked for: {error}"),
            &format!("send {form}"),
        )
    })
}

/// A name that is the stack's and its folder's alike.
pub fn stack_name(name: &str) -> Result<StackName, Response> {
    let shown = || crate::plain::name(&name.chars().take(100).collect::<String>());
    let hint = "letters, digits, `-` and `_`, at most 61, the first and the last one a letter or a digit";
    match StackName::from_folder(name) {
        Ok(stack) if stack.as_str() == name => Ok(stack),
        Ok(stack) => {
            let what = format!("`{}` is no name that Swarm takes as it is; `{stack}` is", shown());
            Err(Response::refusal(422, &what, hint))
        }
        Err(error) => Err(Response::refusal(422, &format!("`{}`, as a name, {error}", shown()), hint)),
    }
}

/// A request that may write.
pub struct Asked<'a> {
    pub web: &'a Web,
    pub writes: &'a Writes,
    pub requested_by: Option<String>,
    pub seen: Option<Commit>,
    pub dry_run: bool,
}

impl<'a> Asked<'a> {
    pub fn by(web: &'a Web, head: &Head) -> Result<Self, Response> {
        web.access.write(head)?;
        Self::of(web, head)
    }

    /// Of somebody who was let in.
    pub fn of(web: &'a Web, head: &Head) -> Result<Self, Response> {
        // Whoever may write has shown the token, so there is one.
        let writes =
            web.writes.as_ref().ok_or_else(|| Response::refusal(503, "nothing is written here", ""))?;
        let requested_by = user(&writes.settings, head)?;
        let dry_run = match head.parameter("dry_run") {
            None | Some("false") => false,
            Some("true" | "") => true,
            Some(_) => return Err(Response::refusal(400, "`dry_run` is `true` or `false`", "")),
        };
        let seen = match head.header("if-match").map(|value| value.trim().trim_matches('"')) {
            None | Some("*") => None,
            Some(commit) => Some(Commit::parse(commit).map_err(|error| {
                Response::refusal(400, &format!("`if-match`: {error:#}"), hint_of(&error).unwrap_or_default())
            })?),
        };
        Ok(Self { web, writes, requested_by, seen, dry_run })
    }

    /// The source that is named, or has the stack, or is the only one that may be written to.
    pub fn source(&self, named: Option<&str>, stack: Option<&StackName>) -> Result<Source, Response> {
        let watched = self.web.view.watched().map_err(|error| unreadable(&error))?;
        let sources: Vec<(Source, bool)> = watched
            .iter()
            .filter_map(|known| {
                let has_it =
                    stack.is_some_and(|stack| known.stacks.iter().any(|it| it.name.collides_with(stack)));
                Some((known.row.url.parse().ok()?, has_it))
            })
            .collect();
        if let Some(named) = named {
            let wanted = Source::parse(named).ok();
            let found = sources.into_iter().map(|(source, _)| source).find(|it| Some(it) == wanted.as_ref());
            let source = found.ok_or_else(|| {
                Response::refusal(
                    404,
                    "no such repository is watched",
                    "`/api/v1/repositories` lists those that are",
                )
            })?;
            return self.may_write(&source).then_some(source).ok_or_else(|| {
                Response::refusal(
                    403,
                    "that repository is not one that is written to",
                    "`DOCKEROPS_WRITE_REPOS` lists them",
                )
            });
        }
        let mut having: Vec<_> =
            sources.iter().filter(|(_, has_it)| *has_it).map(|(source, _)| source).collect();
        if having.is_empty() {
            having =
                sources.iter().map(|(source, _)| source).filter(|source| self.may_write(source)).collect();
        }
        match having[..] {
            [source] if self.may_write(source) => Ok(source.clone()),
            [_] => {
                let hint = "`DOCKEROPS_WRITE_REPOS` lists those that are";
                Err(Response::refusal(403, "the stack's repository is not one that is written to", hint))
            }
            [] => Err(Response::refusal(409, "no repository is watched that may be written to", "")),
            _ => {
                let hint = "say which one: `?repository=`, or `repository` in the body of a `POST`";
                Err(Response::refusal(409, "several repositories could be meant", hint))
            }
        }
    }

    pub fn may_write(&self, source: &Source) -> bool {
        self.writes.desk.may_write(source)
    }

    /// Whether nobody else has a stack of that name: another source, or somebody in the Swarm.
    pub fn is_free(&self, stack: &StackName, source: &Source) -> Result<(), Response> {
        let watched = self.web.view.watched().map_err(|error| unreadable(&error))?;
        let has_it =
            |known: &crate::watched::Watched| known.stacks.iter().any(|it| it.name.collides_with(stack));
        if watched.iter().any(|known| known.identity == *source.id() && has_it(known)) {
            return Ok(());
        }
        let taken = |whose: String| {
            Err(Response::refusal(
                409,
                &format!("there is a stack `{stack}` already: {whose}"),
                "choose another name",
            ))
        };
        if let Some(other) = watched.iter().find(|known| known.identity != *source.id() && has_it(known)) {
            return taken(format!("source `{}` has it", other.row.url.shown()));
        }
        // Where docker cannot be asked the sync will say the same.
        match self.web.view.snapshot() {
            Ok(snapshot) if snapshot.services.iter().any(|service| service.stack.collides_with(stack)) => {
                taken("it runs in the Swarm, and is of no source that is watched".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn carry_out(&self, source: &Source, stack: &StackName, wish: &Wish) -> Response {
        let order = Order {
            source,
            stack,
            wish,
            seen: self.seen.as_ref(),
            requested_by: self.requested_by.as_deref(),
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
                let plan = plan.map(|plan| json!({ "stays": plan.stays, "problems": plan.problems }));
                let mut value = plan.unwrap_or_else(|| json!({}));
                value["commit"] = commit.as_str().into();
                value["branch"] = branch.as_str().into();
                if branch != base {
                    return proposed(value, request);
                }
                let job = self.sync(order.source, &commit);
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

    /// As a webhook for the commit would.
    pub fn sync(&self, source: &Source, commit: &Commit) -> JobId {
        let by = self.requested_by.as_deref().map(|name| format!(" for {}", crate::plain::name(name)));
        let cause = format!("commit {}{}", commit.short(), by.unwrap_or_default());
        self.web.handle.trigger(Trigger { scope: Scope::Source(source.id().clone()), force: false, cause })
    }
}

/// What was pushed to a branch of its own is deployed once somebody has merged it.
fn proposed(mut value: Value, request: Option<Result<Request>>) -> Response {
    match request {
        None => Response::json(202, &value),
        Some(Ok(Request { url, number, opened })) => {
            value["request"] = json!({ "url": url, "number": number, "opened": opened });
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

/// Who asks, by the word of a proxy; whoever else says so is refused.
fn user(settings: &WriteSettings, head: &Head) -> Result<Option<String>, Response> {
    let Some(name) = &settings.user_header else { return Ok(None) };
    let mut values = head.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Response::refusal(400, &format!("`{name}` is there more than once"), ""));
    }
    if !head.peer.is_some_and(|peer| settings.trusts(peer)) {
        let what = format!("`{name}` says who asks, and the request is from no proxy that is believed");
        return Err(Response::refusal(
            403,
            &what,
            "`DOCKEROPS_TRUSTED_PROXY` names the addresses of the proxy",
        ));
    }
    Ok(Some(value.clone()).filter(|value| !value.is_empty()))
}

pub fn unreadable(error: &anyhow::Error) -> Response {
    let response =
        Response::refusal(503, &harmless(&format!("{error:#}")), hint_of(error).unwrap_or_default());
    response.with("retry-after", "10")
}
