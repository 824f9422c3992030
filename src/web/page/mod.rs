//! The status page: one document that is whole without JavaScript, and that a script keeps up to date.
//!
//! What is open and which events are shown is in the address, so that it can be reloaded, kept and sent. All text
//! is escaped by `maud`, and loses what drives terminals and turns the reading direction before that.

mod acts;
mod asked;
mod commit;
mod events;
mod forms;
mod history;
mod holds;
mod logs;
mod parts;
mod rollback;
mod sides;
mod stack;
mod stacks;
mod templates;
mod wrongs;

use anyhow::Result;
use chrono::Utc;
use maud::{DOCTYPE, Markup, html};

use super::Web;
use super::access::Visitor;
use super::request::Head;
use super::response::Response;
use super::view::Snapshot;
use crate::daemon::{self, JobState, JobView};
use crate::health::Health;
use crate::report::UnderWay;
use crate::source::SourceId;
use crate::state::{EventRow, Level};
use asked::Asked;
use parts::{capital, for_how_long, sentence, text};

pub use acts::or_page;
pub use asked::own;
pub use forms::{Subject, Visits, answer as form};

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";

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
    let page = || -> Result<Option<Markup>> {
        let snapshot = web.view.snapshot()?;
        let asked = Asked::of(head);
        let job = asked.job.and_then(|id| web.handle.job(id));
        let health = web.handle.health();
        let told = web.view.ask(|state| state.events(asked.told.and_then(|id| id.checked_add(1)), 1))?;
        let told = told.into_iter().find(|event| Some(event.id) == asked.told && acts::is_told(event));
        // A name that is not believed is told where something is sent.
        let person = web.holds.person(head).ok().flatten();
        let visit = web.visits.token(head, person.as_deref(), Utc::now().timestamp());
        let page = Page { web, asked, visitor, health, job, told, visit, snapshot: &snapshot };
        match &page.asked.own {
            None => page.render().map(Some),
            Some((name, tab)) => stack::render(&page, name, *tab),
        }
    };
    match page() {
        Ok(Some(page)) => Response::new(200, HTML, page.into_string()),
        Ok(None) => {
            let main = html! {
                section.verdict data-tone="bad" { h1 { "There is no such stack" } p { "No watched source has one of that name." } }
                p { a href="../" { "All stacks" } }
            };
            let frame = Frame { title: "No such stack · DockerOps", up: "../", ..Frame::default() };
            Response::new(404, HTML, document(&frame, &html! {}, &main).into_string())
        }
        Err(error) => {
            let what = format!("{error:#}");
            let sorry = html! {
                h1 { "The state cannot be read" }
                p.why { (text(&what)) }
            };
            let up = if own(&head.path).is_some() { "../" } else { "./" };
            let frame = Frame { title: "Trouble · DockerOps", up, ..Frame::default() };
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
        let wrongs = self.wrongs()?;
        let (headline, below) = self.headline(wrongs.len());
        let title = format!("{headline} · DockerOps");
        let main = html! {
            @if let Some(event) = &self.told { (acts::told(event)) }
            @if let Some(job) = &self.job { (acts::job_line(job)) }
            section.verdict data-tone=(if wrongs.is_empty() { "good" } else { "bad" }) {
                h1 id="headline" { (headline) }
                p { (below) }
                (self.motions())
            }
            (wrongs::section(self, &wrongs)?)
            div.columns {
                div { (stacks::section(self)?) (templates::section(self)?) (events::section(self)?) }
                aside aria-label="Repositories and images" {
                    (sides::repositories(self))
                    (sides::images(self))
                }
            }
        };
        let is_busy = |job: &JobView| matches!(job.state, JobState::Queued | JobState::Running);
        let goes_back = |stack: &String| self.web.holds.goes_back(stack);
        let again = self.job.as_ref().is_some_and(is_busy) || self.asked.open().iter().any(goes_back);
        Ok(document(&Frame { title: &title, again, ..Frame::default() }, &self.actions(), &main))
    }

    /// What needs attention, the gravest first.
    fn wrongs(&self) -> Result<Vec<wrongs::Wrong<'_>>> {
        let backs_off = |source: &SourceId| self.web.handle.backs_off(source);
        Ok(wrongs::of(self.snapshot, &self.health, &self.unwatched()?, backs_off))
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

    /// What runs are at, each with its time and what it waits for.
    fn motions(&self) -> Markup {
        const SHOWN: usize = 8;
        let all = &self.snapshot.status.under_way;
        html! {
            @if !all.is_empty() {
                ul.motions data-busy {
                    @for work in all.iter().take(SHOWN) {
                        li {
                            span.muted { (capital(work.state.as_str())) } " " b { (text(&work.what)) } " " (for_how_long(&work.since))
                            @if let Some(why) = &work.why { span.muted { ": " (sentence(why)) } }
                        }
                    }
                    @if all.len() > SHOWN { li.muted { "and " (all.len() - SHOWN) " more" } }
                }
            }
        }
    }

    /// What runs are at, in a few words: without times, so that it is not told anew every second.
    fn under_way(&self) -> String {
        const SHOWN: usize = 3;
        let all = &self.snapshot.status.under_way;
        let one = |work: &UnderWay| format!("{} {}", work.state.as_str(), work.what);
        let shown: Vec<_> = all.iter().take(SHOWN).map(one).collect();
        let more = all.len().saturating_sub(SHOWN);
        capital(&if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") })
    }
}
