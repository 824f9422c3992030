//! Stacks and sources held and released over HTTP, by programs and by the page's forms.
//!
//! An answer of 200 means that it is noted: a request takes the lock of a turn itself, as a command does, and waits for it
//! no longer than one does. What a release let go is dealt with by the job that the answer names.

mod wish;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use serde_json::json;

use super::Web;
use super::person::person;
use super::request::{Body, Head};
use super::response::Response;
use crate::clock;
use crate::daemon::{JobId, Scope, Trigger};
use crate::fault::hint_of;
use crate::holding::{self, Noted, Refusal, Subject};
use crate::lock::Held;
use crate::plain;
use crate::report::holds::{StackHold, of_source, of_stack};
use crate::report::{Pulse, Report, harmless};
use crate::settings::{LogFormat, RunSettings, Settings, WriteSettings};
use crate::source::SourceId;
use crate::watched::{Watched, watched};
use crate::writer::Writer;
use wish::Wish;

/// A request is not worth waiting longer for one call of docker.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most letters of who asks.
const MOST_LETTERS: usize = 100;
/// So many stacks are told of.
const MOST_TOLD: usize = 100;

/// What somebody wants of a stack or source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Hold,
    Release,
}

/// Where programs ask for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    act: Act,
    /// `None` where the body names a repository.
    stack: Option<&'a str>,
}

impl<'a> At<'a> {
    /// `/api/v1/stacks/<name>/hold`, `/api/v1/repositories/hold`, and likewise `release`.
    pub fn path(path: &'a str) -> Option<Self> {
        let (about, act) = path.strip_prefix("/api/v1/")?.rsplit_once('/')?;
        let act = match act {
            "hold" => Act::Hold,
            "release" => Act::Release,
            _ => return None,
        };
        let stack = match about {
            "repositories" => None,
            _ => Some(about.strip_prefix("stacks/").filter(|name| !name.is_empty() && !name.contains('/'))?),
        };
        Some(Self { act, stack })
    }
}

/// What notes a hold.
#[derive(Debug)]
pub struct Holds {
    settings: Settings,
    log: LogFormat,
    people: WriteSettings,
}

/// What is so from now on.
struct Done {
    subject: Subject,
    noted: Noted,
    hold: Option<StackHold>,
    /// What deals with all that a release let go.
    job: Option<JobId>,
    /// The event that tells of it.
    event: Option<i64>,
}

impl Holds {
    pub fn new(settings: &Settings, run: &RunSettings) -> Self {
        let deploy_timeout = settings.deploy_timeout.min(PATIENCE);
        let settings = Settings { deploy_timeout, ..settings.clone() };
        Self { settings, log: run.log, people: run.write.clone() }
    }

    /// Who asks, where a proxy says so.
    pub fn person(&self, head: &Head) -> Result<Option<String>, Response> {
        let named = person(&self.people, head)?;
        Ok(named.map(|name| plain::name(&name.chars().take(MOST_LETTERS).collect::<String>())))
    }
}

/// `POST` of a program: 200 with the hold as it is now, and what was there before.
pub fn from_program(web: &Web, at: At<'_>, head: &Head, body: &mut Body<'_>) -> Response {
    let mut answer = || {
        web.access.act(head)?;
        let by = web.holds.person(head)?.unwrap_or_else(|| "API".to_owned());
        let wish = Wish::of_program(at.act, at.stack, head, &body.read()?)?;
        let Done { subject, noted, hold, job, .. } = carry_out(web, at.act, &wish, &by)?;
        let before = noted.before.map(|before| StackHold::of(&before, None));
        let notes: Vec<_> = noted.notes.iter().map(|note| harmless(note)).collect();
        let mut value = json!({
            "stack": subject.stack.as_ref().map(ToString::to_string), "repository": subject.source.url.shown(),
            "hold": hold, "before": before, "notes": notes,
        });
        if let Some(job) = job {
            value["job"] = json!(job);
            value["url"] = format!("/api/v1/jobs/{job}").into();
        }
        Ok(Response::json(200, &value))
    };
    answer().unwrap_or_else(|refusal| refusal)
}

/// `POST /hold` and `/release`: back to the page, which tells what was done.
pub fn from_page(web: &Web, act: Act, head: &Head, body: &mut Body<'_>) -> Response {
    let mut answer = || {
        web.access.act(head)?;
        let person = web.holds.person(head)?;
        let body = body.read()?;
        let sent = |name: &str| {
            let mut fields = form_urlencoded::parse(&body);
            fields.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let visit = sent("visit").unwrap_or_default();
        if !web.visits.knows(&visit, head, person.as_deref(), clock::wall().timestamp()) {
            let hint = "it is from another visit or older than 12 hours, or DockerOps was started anew since; load the page \
                 again and press it there, nothing was done";
            return Err(Response::refusal(403, "this button is not of this visit", hint));
        }
        let wish = Wish::of_form(act, sent)?;
        let by = person.unwrap_or_else(|| "status page".to_owned());
        let done = carry_out(web, act, &wish, &by)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(done.job.map(|job| ("job", job.to_string())));
        query.extend_pairs(done.subject.stack.as_ref().map(|stack| ("stack", stack.to_string())));
        query.extend_pairs(done.event.map(|event| ("told", event.to_string())));
        Ok(Response::new(303, "text/plain", "done\n").with("location", format!("./?{}", query.finish())))
    };
    answer().unwrap_or_else(|refusal| refusal)
}

fn carry_out(web: &Web, act: Act, wish: &Wish, by: &str) -> Result<Done, Response> {
    let find = |watched: &[Watched]| match (&wish.stack, &wish.repository) {
        (Some(stack), repository) => Subject::stack(watched, stack, repository.as_deref()),
        (None, repository) => Subject::source(watched, repository.as_deref().unwrap_or_default()),
    };
    // First without the lock: who names nothing that there is takes it from nobody, and makes no database.
    let known = web.view.watched().map_err(|error| refused(Refusal::Failed(error)))?;
    find(&known).map_err(refused)?;
    let note = || -> Result<_, Refusal> {
        web.handle.has_database()?;
        let name = match act {
            Act::Hold => "hold",
            Act::Release => "release",
        };
        let report = Rc::new(Report::of_daemon(web.holds.log, Arc::new(Pulse::new())));
        let writer = Writer::open_for(&web.holds.settings, name, report)?;
        let before = watched(&writer.state)?;
        let subject = find(&before)?;
        let noted = match act {
            Act::Hold => {
                let (length, reason) = (wish.length, wish.reason.clone());
                holding::hold(
                    &writer,
                    &before,
                    &subject,
                    holding::Wish { length, reason, by: by.to_owned() },
                )?
            }
            Act::Release => holding::release(&writer, &before, &subject, by)?,
        };
        let hold = now(&watched(&writer.state)?, &subject);
        // Nobody else notes any meanwhile.
        let events = writer.state.events_of(&plain::name(&subject.to_string()), 1)?;
        Ok(Done { subject, noted, hold, job: None, event: events.first().map(|event| event.id) })
    };
    let mut done = note().map_err(refused)?;
    if act == Act::Release {
        let scope = Scope::Source(done.subject.identity.clone());
        let cause = format!("`{}` released by {by}", done.subject);
        done.job = Some(web.handle.trigger(Trigger { scope, force: false, cause }));
    }
    Ok(done)
}

/// What holds it now, as it is told.
fn now(watched: &[Watched], subject: &Subject) -> Option<StackHold> {
    let known = watched.iter().find(|known| known.row.id == subject.source.id)?;
    match &subject.stack {
        Some(stack) => of_stack(watched, known, stack, clock::wall()),
        None => of_source(known, clock::wall()),
    }
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unknown(what, hint) => Response::refusal(404, &harmless(&what), &harmless(&hint)),
        Refusal::NotHeld(what, hint) | Refusal::Otherwise(what, hint) => {
            Response::refusal(409, &harmless(&what), &harmless(&hint))
        }
        Refusal::Unfit(error) => Response::refusal(
            422,
            &harmless(&format!("{error:#}")),
            &harmless(hint_of(&error).unwrap_or_default()),
        ),
        Refusal::Failed(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Response {
    let held = error.is::<Held>().then_some("nothing was noted: ask again in a moment");
    let hint = held.or(hint_of(error)).unwrap_or_default();
    Response::refusal(503, &harmless(&format!("{error:#}")), hint).with("retry-after", "5")
}

/// The stacks on hold of those that a run is for. By name alone: a webhook's answer is read elsewhere.
pub fn of(web: &Web, scopes: &[Scope]) -> Vec<String> {
    let Ok(watched) = web.view.watched() else { return Vec::new() };
    on_hold(&watched, scopes)
}

fn on_hold(watched: &[Watched], scopes: &[Scope]) -> Vec<String> {
    let now = clock::wall();
    let concerns = |known: &Watched, name: &str| {
        let uses = |image: &str| {
            let stack = known.stacks.iter().find(|stack| stack.name.as_str() == name);
            stack
                .is_some_and(|it| it.services.values().any(|service| service.image.as_deref() == Some(image)))
        };
        let is_source = |source: &SourceId| *source == known.identity;
        scopes.iter().any(|scope| match scope {
            Scope::All => true,
            Scope::Source(source) | Scope::Change { source, .. } => is_source(source),
            Scope::Stack(stack) => stack == name,
            Scope::Image(image) => uses(image),
            Scope::Build(_) => false,
        })
    };
    let names = watched.iter().flat_map(|known| known.names().into_iter().map(move |name| (known, name)));
    let held = names.filter(|(known, name)| {
        concerns(known, name.as_str()) && of_stack(watched, known, name, now).is_some()
    });
    held.map(|(_, name)| name.to_string()).take(MOST_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let at = |act, stack| Some(At { act, stack });
        assert_eq!(At::path("/api/v1/stacks/web/hold"), at(Act::Hold, Some("web")));
        assert_eq!(At::path("/api/v1/stacks/hold/release"), at(Act::Release, Some("hold")));
        assert_eq!(At::path("/api/v1/repositories/release"), at(Act::Release, None));
        for path in [
            "/api/v1/stacks/hold",
            "/api/v1/stacks//hold",
            "/api/v1/stacks/a/b/hold",
            "/api/v1/repositories/a/hold",
            "/api/v1/images/a/hold",
            "/hold",
        ] {
            assert_eq!(At::path(path), None, "{path}");
        }
    }
}
