//! Stacks and sources held and released, and stacks rolled back, over HTTP: by programs and by the page's forms.
//!
//! An answer of 200 means that it is noted: a request takes the lock of a turn itself, as a command does, and waits for it
//! no longer than one does. What a release let go is dealt with by the job that the answer names; a rollback is carried out
//! after its answer of 202.

mod back;
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
use crate::stack::StackName;
use crate::watched::{Watched, watched};
use crate::writer::Writer;
use back::Backs;
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
    RollBack,
}

impl Act {
    /// The word in addresses.
    fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::RollBack => "rollback",
        }
    }
}

/// Where programs ask for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    act: Act,
    /// `None` where the body names a repository.
    stack: Option<&'a str>,
}

impl<'a> At<'a> {
    /// `/api/v1/stacks/<name>/hold`, `/api/v1/repositories/hold`, likewise `release`, and `rollback` of a stack.
    pub fn path(path: &'a str) -> Option<Self> {
        let (about, act) = path.strip_prefix("/api/v1/")?.rsplit_once('/')?;
        let act = [Act::Hold, Act::Release, Act::RollBack].into_iter().find(|known| known.as_str() == act)?;
        let stack = match about {
            "repositories" if act != Act::RollBack => None,
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
    backs: Backs,
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
        let backs = Backs::new(settings, run.log);
        let deploy_timeout = settings.deploy_timeout.min(PATIENCE);
        let settings = Settings { deploy_timeout, ..settings.clone() };
        Self { settings, log: run.log, people: run.write.clone(), backs }
    }

    /// Whether a stack of that name is just being rolled back from here.
    pub fn goes_back(&self, stack: &str) -> bool {
        self.backs.goes_back(stack)
    }

    /// Who asks, where a proxy says so.
    pub fn person(&self, head: &Head) -> Result<Option<String>, Response> {
        let named = person(&self.people, head)?;
        Ok(named.map(|name| plain::name(&name.chars().take(MOST_LETTERS).collect::<String>())))
    }
}

/// `POST` of a program: 200, of a rollback 202, with the hold as it is now, and what was there before.
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
        if let (Act::RollBack, Some(stack)) = (at.act, &subject.stack) {
            value["url"] = address(stack, wish.repository.as_deref()).into();
            return Ok(Response::json(202, &value));
        }
        Ok(Response::json(200, &value))
    };
    answer().unwrap_or_else(|refusal| refusal)
}

/// `POST /hold`, `/release` and `/rollback`: back to the page, which tells what was done.
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
        query.extend_pairs(done.event.map(|event| ("told", event.to_string())));
        // A name that is known here needs no escapes.
        let own = done.subject.stack.as_ref().filter(|_| sent("own").is_some());
        let page = own.map_or_else(|| "./".to_owned(), |stack| format!("./stacks/{stack}"));
        query.extend_pairs(
            done.subject.stack.as_ref().filter(|_| own.is_none()).map(|stack| ("stack", stack.to_string())),
        );
        Ok(Response::new(303, "text/plain", "done\n").with("location", format!("{page}?{}", query.finish())))
    };
    answer().unwrap_or_else(|refusal| refusal)
}

impl Done {
    /// While the lock is held: nobody else notes any meanwhile.
    fn told(writer: &Writer, subject: Subject, noted: Noted) -> Result<Self, Error> {
        let hold = now(&watched(&writer.state)?, &subject);
        let events = writer.state.events_of(&plain::name(&subject.to_string()), 1)?;
        Ok(Self { subject, noted, hold, job: None, event: events.first().map(|event| event.id) })
    }
}

/// Where it is told how a stack fares.
fn address(stack: &StackName, repository: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(repository.map(|repository| ("repository", repository)));
    let query = Some(query.finish()).filter(|query| !query.is_empty());
    format!("/api/v1/stacks/{stack}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
}

fn carry_out(web: &Web, act: Act, wish: &Wish, by: &str) -> Result<Done, Response> {
    let find = |watched: &[Watched]| match (&wish.stack, &wish.repository) {
        (Some(stack), repository) => Subject::stack(watched, stack, repository.as_deref()),
        (None, repository) => Subject::source(watched, repository.as_deref().unwrap_or_default()),
    };
    // First without the lock: who names nothing that there is takes it from nobody, and makes no database.
    let known = web.view.watched().map_err(|error| refused(Refusal::Failed(error)))?;
    let subject = find(&known).map_err(refused)?;
    if act == Act::RollBack {
        return web.holds.backs.begin(&web.handle, &subject, wish, by);
    }
    let note = || -> Result<_, Refusal> {
        web.handle.has_database()?;
        let report = Rc::new(Report::of_daemon(web.holds.log, Arc::new(Pulse::new())));
        let writer = Writer::open_for(&web.holds.settings, act.as_str(), report)?;
        let before = watched(&writer.state)?;
        let subject = find(&before)?;
        let noted = if act == Act::Release {
            holding::release(&writer, &before, &subject, by)?
        } else {
            let wish = holding::Wish { length: wish.length, reason: wish.reason.clone(), by: by.to_owned() };
            holding::hold(&writer, &before, &subject, wish)?
        };
        Ok(Done::told(&writer, subject, noted)?)
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
        Refusal::Bindings(what) => {
            let hint = "`without_bindings` goes back all the same, and leaves them as they lie there; nothing was done";
            Response::refusal(422, &harmless(&what), hint)
        }
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
        assert_eq!(At::path("/api/v1/stacks/web/rollback"), at(Act::RollBack, Some("web")));
        let web = StackName::known("web");
        assert_eq!(address(&web, None), "/api/v1/stacks/web");
        assert_eq!(address(&web, Some("/a b")), "/api/v1/stacks/web?repository=%2Fa+b");
        for path in [
            "/api/v1/stacks/hold",
            "/api/v1/stacks//hold",
            "/api/v1/stacks/a/b/hold",
            "/api/v1/repositories/a/hold",
            "/api/v1/repositories/rollback",
            "/api/v1/images/a/hold",
            "/hold",
        ] {
            assert_eq!(At::path(path), None, "{path}");
        }
    }
}
