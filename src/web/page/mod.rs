//! The status page: one document that is whole without JavaScript, and that a script keeps up to date.
//!
//! What is open and which events are shown is in the address, so that it can be reloaded, kept and sent. All text
//! is escaped by `maud`, and loses what drives terminals and turns the reading direction before that.

mod acts;
mod events;
mod forms;
mod history;
mod holds;
mod logs;
mod parts;
mod rollback;
mod sides;
mod stacks;
mod templates;
mod wrongs;

use anyhow::Result;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::Web;
use super::access::Visitor;
use super::request::Head;
use super::response::Response;
use super::view::Snapshot;
use crate::daemon::{self, JobId, JobState, JobView};
use crate::health::Health;
use crate::report::UnderWay;
use crate::state::{EventRow, Level};
use logs::MOST_LOGS;
use parts::{sentence, text};

pub use acts::or_page;
pub use forms::{Subject, Visits, answer as form};

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
/// So many stacks are shown in full at once; each costs docker a question.
const MOST_OPEN: usize = 10;

/// What the address asks for.
#[derive(Debug, Default)]
struct Asked {
    open: Vec<String>,
    /// The services whose logs are shown.
    logs: Vec<String>,
    before: Option<i64>,
    job: Option<JobId>,
    /// The event that tells what was just done.
    told: Option<i64>,
    /// The script asks by itself, and keeps the logs that it shows.
    still: bool,
}

impl Asked {
    fn of(head: &Head) -> Self {
        let named = |key: &str, most: usize| {
            let mut names: Vec<String> = Vec::new();
            for (_, name) in head.query.iter().filter(|(known, _)| known == key) {
                if names.len() < most && !names.contains(name) {
                    names.push(name.clone());
                }
            }
            names
        };
        Self {
            open: named("stack", MOST_OPEN),
            logs: named("log", MOST_LOGS),
            before: head.parameter("before").and_then(|before| before.parse().ok()),
            job: head.parameter("job").and_then(JobId::parse),
            told: head.parameter("told").and_then(|event| event.parse().ok()),
            still: head.parameter("still").is_some(),
        }
    }

    fn is_open(&self, stack: &str) -> bool {
        self.open.iter().any(|name| name == stack)
    }

    /// The address with that stack opened, or closed.
    fn toggled(&self, stack: &str) -> String {
        let mut open: Vec<_> = self.open.iter().map(String::as_str).filter(|name| *name != stack).collect();
        if !self.is_open(stack) {
            open.push(stack);
        }
        address(&open, &self.logs, self.before)
    }

    /// The address with the log of that service, or without it; one more than are shown takes the place of the first.
    fn with_log(&self, service: &str, is_shown: bool) -> String {
        let mut logs: Vec<_> = self.logs.iter().filter(|name| *name != service).cloned().collect();
        if is_shown {
            logs.push(service.to_owned());
        }
        let surplus = logs.len().saturating_sub(MOST_LOGS);
        address(&self.open, &logs[surplus..], self.before)
    }

    /// The address with the events before that one.
    fn with_events(&self, before: Option<i64>) -> String {
        address(&self.open, &self.logs, before) + "#events"
    }
}

fn address(open: &[impl AsRef<str>], logs: &[String], before: Option<i64>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(open.iter().map(|name| ("stack", name.as_ref())));
    query.extend_pairs(logs.iter().map(|name| ("log", name)));
    query.extend_pairs(before.map(|before| ("before", before.to_string())));
    format!("./?{}", query.finish())
}

struct Page<'a> {
    web: &'a Web,
    asked: Asked,
    visitor: Visitor,
    health: daemon::Health,
    job: Option<JobView>,
    told: Option<EventRow>,
    /// What ties a form to who it is made for.
    visit: String,
    snapshot: &'a Snapshot,
}

/// The page, or what keeps it from being shown.
pub fn answer(web: &Web, head: &Head, visitor: Visitor) -> Response {
    let page = || -> Result<Markup> {
        let snapshot = web.view.snapshot()?;
        let asked = Asked::of(head);
        let job = asked.job.and_then(|id| web.handle.job(id));
        let health = web.handle.health();
        let told = web.view.ask(|state| state.events(asked.told.and_then(|id| id.checked_add(1)), 1))?;
        let told = told.into_iter().find(|event| Some(event.id) == asked.told && acts::is_told(event));
        // A name that is not believed is told where something is sent.
        let person = web.holds.person(head).ok().flatten();
        let visit = web.visits.token(head, person.as_deref(), Utc::now().timestamp());
        Page { web, asked, visitor, health, job, told, visit, snapshot: &snapshot }.render()
    };
    match page() {
        Ok(page) => Response::new(200, HTML, page.into_string()),
        Err(error) => {
            let what = format!("{error:#}");
            let sorry = html! {
                h1 { "The state cannot be read" }
                p.why { (text(&what)) }
            };
            let frame = Frame { title: "Trouble · DockerOps", ..Frame::default() };
            Response::new(503, HTML, document(&frame, &html! {}, &sorry).into_string())
        }
    }
    .with("content-security-policy", POLICY)
}

/// The files of the page; there is nothing of the user's in them.
pub fn asset(head: &Head) -> Response {
    let (kind, text) = match head.path.as_str() {
        "/app.css" => ("text/css; charset=utf-8", include_str!("app.css")),
        "/app.js" => ("text/javascript; charset=utf-8", include_str!("app.js")),
        "/form.js" => ("text/javascript; charset=utf-8", include_str!("form.js")),
        _ => ("image/svg+xml", include_str!("icon.svg")),
    };
    Response::new(200, kind, text).with("cache-control", "no-cache")
}

/// What stands around the main part.
struct Frame<'a> {
    title: &'a str,
    /// The way to the state from there.
    up: &'static str,
    /// Whether the script keeps it up to date.
    is_live: bool,
    /// Whether who has no script sees it again in a moment.
    again: bool,
}

impl Default for Frame<'_> {
    fn default() -> Self {
        Self { title: "DockerOps", up: "./", is_live: true, again: false }
    }
}

fn document(frame: &Frame<'_>, actions: &Markup, main: &Markup) -> Markup {
    let Frame { title, up, is_live, again } = frame;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href={ (up) "icon.svg" } type="image/svg+xml";
                link rel="stylesheet" href={ (up) "app.css" };
                script src={ (up) (if *is_live { "app.js" } else { "form.js" }) } defer {}
                @if *again { noscript { meta http-equiv="refresh" content="3"; } }
            }
            body {
                a.skip href="#main" { @if *is_live { "To the state" } @else { "To the form" } }
                header {
                    a.brand href=(up) { img src={ (up) "icon.svg" } alt="" width="28" height="28"; "DockerOps" }
                    div.actions { (actions) }
                }
                main id="main" tabindex="-1" { (main) }
                footer {
                    p { "DockerOps " (env!("CARGO_PKG_VERSION")) " · " a href={ (up) "api/v1/stacks" } { "API" } " · " a href={ (up) "metrics" } { "Metrics" } }
                    @if *is_live { p #live { "Reload for the newest state" } }
                }
                p #say .say role="status" {}
            }
        }
    }
}

impl Page<'_> {
    fn render(&self) -> Result<Markup> {
        let wrongs = wrongs::of(self.snapshot, &self.health, &self.unwatched()?, |source| {
            self.web.handle.backs_off(source)
        });
        let (headline, below) = self.headline(wrongs.len());
        let title = format!("{headline} · DockerOps");
        let main = html! {
            @if let Some(event) = &self.told { (acts::told(event)) }
            @if let Some(job) = &self.job { (acts::job_line(job)) }
            section.verdict data-tone=(if wrongs.is_empty() { "good" } else { "bad" }) {
                h1 id="headline" { (headline) }
                p { (below) }
                @for (stack, why) in self.waits() { p.muted { (text(stack)) " waits: " (sentence(why)) } }
            }
            (wrongs::section(&wrongs, |stack| self.usual_way_back(stack))?)
            div.columns {
                div { (stacks::section(self)?) (templates::section(self)?) (events::section(self)?) }
                aside aria-label="Repositories and images" {
                    (sides::repositories(self.snapshot, |repository| self.holding_of_all(repository)))
                    (sides::images(self.snapshot, |name| self.build_button(name)))
                }
            }
        };
        let is_busy = |job: &JobView| matches!(job.state, JobState::Queued | JobState::Running);
        let goes_back = |stack: &String| self.web.holds.goes_back(stack);
        let again = self.job.as_ref().is_some_and(is_busy) || self.asked.open.iter().any(goes_back);
        Ok(document(&Frame { title: &title, again, ..Frame::default() }, &self.actions(), &main))
    }

    /// The sources that could not be watched so far, and the newest error of each.
    fn unwatched(&self) -> Result<Vec<(String, Option<String>)>> {
        let sources = self.web.handle.unwatched();
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        let events = self.web.view.ask(|state| state.events(None, 200))?;
        let why = |source: &String| {
            let about =
                |row: &&EventRow| row.level == Level::Error && row.repository.as_ref() == Some(source);
            events.iter().find(about).map(|row| row.message.clone())
        };
        Ok(sources.iter().map(|source| (source.clone(), why(source))).collect())
    }

    fn headline(&self, wrongs: usize) -> (String, String) {
        let status = &self.snapshot.status;
        let running: u64 = status
            .stacks
            .iter()
            .flat_map(|it| &it.services)
            .map(|it| it.running.saturating_sub(it.completed))
            .sum();
        let below = format!(
            "{}, {}, {}.",
            parts::count(status.repositories.len(), "repository", "repositories"),
            parts::count(status.stacks.len(), "stack", "stacks"),
            parts::count(usize::try_from(running).unwrap_or_default(), "task runs", "tasks run"),
        );
        let known = "What follows is what was last recorded.";
        if self.health.stuck.is_some() {
            ("The loop is stuck".into(), below)
        } else if self.snapshot.trouble.is_some() {
            ("Docker cannot be asked".into(), known.into())
        } else if status.repositories.is_empty() && wrongs == 0 {
            (
                "Nothing is watched yet".into(),
                "Name repositories in DOCKEROPS_REPOS, or: sudo dockerops watch <repository>".into(),
            )
        } else if wrongs > 0 {
            (parts::count(wrongs, "thing needs attention", "things need attention"), below)
        } else if !status.under_way.is_empty() {
            (self.under_way(), below)
        } else if status.stacks.iter().any(|stack| stack.updating || stack.health == Health::Deploying) {
            ("A deploy is under way".into(), below)
        } else if status.differs() {
            ("Everything runs, and some is kept as it is".into(), below)
        } else {
            ("Everything runs as Git says".into(), below)
        }
    }

    /// Who waits, and what for.
    fn waits(&self) -> impl Iterator<Item = (&str, &str)> {
        let under_way = &self.snapshot.status.under_way;
        under_way.iter().filter_map(|work| Some((work.what.as_str(), work.why.as_deref()?)))
    }

    /// What runs are at, in one line.
    fn under_way(&self) -> String {
        const SHOWN: usize = 3;
        let all = &self.snapshot.status.under_way;
        let age = |since: &str| {
            let since = since.parse::<DateTime<Utc>>().unwrap_or_default();
            (Utc::now() - since).num_seconds().max(0)
        };
        let one =
            |work: &UnderWay| format!("{} {} for {} s", work.state.as_str(), work.what, age(&work.since));
        let shown: Vec<_> = all.iter().take(SHOWN).map(one).collect();
        let more = all.len().saturating_sub(SHOWN);
        let text = if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") };
        // `state` is one of our own words.
        let (first, rest) = text.split_at_checked(1).unwrap_or_default();
        first.to_uppercase() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_what_is_open() {
        let query = [("stack", "a"), ("stack", "b"), ("stack", "a"), ("before", "7"), ("job", "x")];
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let asked = Asked::of(&Head { query, ..Head::default() });
        assert_eq!((asked.open.len(), asked.before, asked.job), (2, Some(7), None));
        assert_eq!(asked.toggled("a"), "./?stack=b&before=7");
        assert_eq!(asked.toggled("c&d"), "./?stack=a&stack=b&stack=c%26d&before=7");
        assert_eq!(asked.with_events(None), "./?stack=a&stack=b#events");
    }

    #[test]
    fn the_address_says_whose_logs_are_shown_and_no_more_than_are() {
        let query = ["a_1", "a_2", "a_3", "a_4"].map(|name| ("log".to_owned(), name.to_owned())).to_vec();
        let asked = Asked::of(&Head { query, ..Head::default() });
        assert_eq!(asked.logs, ["a_1", "a_2", "a_3"]);
        assert_eq!(asked.with_log("a_2", false), "./?log=a_1&log=a_3");
        assert_eq!(asked.with_log("a_9", true), "./?log=a_2&log=a_3&log=a_9");
        assert_eq!(asked.toggled("a"), "./?stack=a&log=a_1&log=a_2&log=a_3");
    }
}
