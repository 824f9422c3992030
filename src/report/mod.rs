//! What people and scripts read: results on stdout, progress and errors on stderr.
//!
//! On a terminal: colour, and a live line for every service that is waited for. Elsewhere: plain, whole
//! lines. What somebody else wrote is made plain here (see `plain`). What happened is also noted as an event.

pub mod events;
#[cfg(test)]
mod example;
#[cfg(test)]
mod heard;
pub mod history;
pub mod holds;
mod journal;
mod live;
pub mod one;
mod pulse;
mod rendered;
pub mod run;
pub mod screen;
pub mod services;
mod sources;
pub mod status;
pub mod tables;
mod tally;
pub mod times;
mod under_way;
mod voice;

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use anyhow::Error;

use crate::fault::hint_of;
use crate::plain;
use crate::redact::without_credentials;
use crate::settings::LogFormat;
use crate::state::{Event, Level, State};
use journal::{Journal, about};
use live::Live;
use screen::Reader;
use status::Status;

pub use journal::Subject;
pub use pulse::Pulse;
pub use rendered::Show;
pub use tables::with_held;
pub use tally::Tally;
pub use under_way::UnderWay;
pub use voice::Voice;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// Where a run tells what it does.
#[derive(Debug)]
pub struct Report {
    live: Live,
    journal: Journal,
    /// The daemon's own: how it logs, and who watches that it lives.
    daemon: Option<(LogFormat, Arc<Pulse>)>,
    voice: Voice,
    /// Whether anything was told.
    said: Cell<bool>,
    /// In tests that want no output: what was told, and of whom.
    #[cfg(test)]
    heard: Option<std::cell::RefCell<Vec<heard::Heard>>>,
}

impl Report {
    /// Live lines if stderr is a terminal.
    pub fn new() -> Self {
        Self::with(Voice::Plain)
    }

    /// Likewise, where not everything is to be said, or elsewhere.
    pub fn with(voice: Voice) -> Self {
        let live = Live::new(std::io::stderr().is_terminal() && !voice.is_quiet());
        Self { voice, ..Self::of(live, None) }
    }

    /// For many cycles: no live lines, no tables, and nothing twice that only stays as it was.
    pub fn of_daemon(log: LogFormat, pulse: Arc<Pulse>) -> Self {
        Self::of(Live::new(false), Some((log, pulse)))
    }

    fn of(live: Live, daemon: Option<(LogFormat, Arc<Pulse>)>) -> Self {
        Self {
            live,
            journal: Journal::default(),
            daemon,
            voice: Voice::default(),
            said: Cell::default(),
            #[cfg(test)]
            heard: None,
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn hears(&self, _: &str, _: Option<Subject<'_>>, _: &str) -> bool {
        false
    }

    /// Notes what it tells as events in `state`, until it is given `None`.
    pub fn keep_events(&self, state: Option<Rc<State>>) {
        self.journal.set(state);
    }

    /// A cycle over all sources begins: what stands as it did in the last one is not told again.
    pub fn begin_cycle(&self) {
        self.journal.turn();
    }

    /// Something is under way.
    pub fn progress(&self, text: &str) {
        if self.hears("progress", None, text) {
            return;
        }
        self.beat();
        let event = Event { kind: "progress", ..about(None, Level::Info, text) };
        if !self.logged(&event) && !self.voice.is_quiet() {
            self.stderr(&format!("{DIM}{}{DIM:#}", harmless(text)));
        }
    }

    /// Beside results, which may be JSON.
    pub fn warn(&self, what: &str) {
        self.stderr(&format!("{NOTE}warning:{NOTE:#} {}", harmless(what)));
    }

    /// What a stack is waited for: its live line, on a terminal.
    pub fn waiting(&self, stack: &str, what: &str) {
        self.waiting_for(stack, &[what.to_owned()]);
    }

    /// Likewise, a line for each of its services that is not ready.
    pub fn waiting_for(&self, stack: &str, services: &[String]) {
        self.beat();
        if self.live.is_on_a_terminal() {
            let line = |what: &String| plain::line(&format!("{stack}  {what}"));
            self.live.set(stack, services.iter().map(line).collect());
        }
    }

    /// A stack is waited for no more.
    pub fn stop_waiting(&self, stack: &str) {
        self.live.clear(stack);
    }

    /// A stack converged.
    pub fn deployed<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.happened("deployed", Level::Info, subject.into(), text, false);
    }

    /// A stack converged, as another run saw and noted.
    pub fn deployed_elsewhere<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.beat();
        let subject = subject.into();
        let event = Event { kind: "deployed", ..about(Some(subject), Level::Info, text) };
        if !self.logged(&event) {
            self.line(GOOD, "deployed", subject.stack, text);
        }
    }

    pub fn built(&self, image: &str, text: &str) {
        self.happened("built", Level::Info, image.into(), text, false);
    }

    /// A line that a build said: for a terminal only, a log has it when it failed.
    pub fn output(&self, line: &str) {
        self.beat();
        if self.live.is_on_a_terminal() {
            self.stderr(&format!("{DIM}  {}{DIM:#}", plain::line(line)));
        }
    }

    /// A stack was removed.
    pub fn removed<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.happened("removed", Level::Info, subject.into(), text, false);
    }

    /// Something worth knowing of a stack.
    pub fn note<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.happened("note", Level::Warn, subject.into(), text, false);
    }

    /// A stack failed.
    pub fn failed<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.happened("failed", Level::Error, subject.into(), text, false);
    }

    /// Something worth knowing of a stack that is so until somebody does something.
    pub fn stays_noted<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        let subject = subject.into();
        // By whatever commit it is told.
        if self.is_new(&format!("note {:?}", Subject { commit: None, ..subject }), text) {
            self.happened("note", Level::Warn, subject, text, true);
        }
    }

    /// Something worth knowing of what the files of a stack say: `index` tells its notes apart. A daemon says each
    /// once, however often it reads the files, until it is another.
    pub fn noted_until_changed<'a>(&self, subject: impl Into<Subject<'a>>, index: usize, text: &str) {
        let subject = subject.into();
        if self.daemon.is_none() || self.journal.is_another(&format!("{index} {subject:?}"), text) {
            self.happened("note", Level::Warn, subject, text, true);
        }
    }

    /// A stack that failed before and was not looked at: what was told of it stays told.
    pub fn still_failed<'a>(&self, subject: impl Into<Subject<'a>>) {
        self.journal.keep(&format!("failed {:?}", subject.into()));
    }

    /// A stack that was not tried, since it fails until somebody does something.
    pub fn stays_failed<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        let subject = subject.into();
        if self.is_new(&format!("failed {subject:?}"), text) {
            self.happened("failed", Level::Error, subject, text, true);
        }
    }

    /// A stack is degraded; an event if that `begins`. `what` says what is, without how often and when: a daemon
    /// repeats it only where that changes.
    pub fn degraded<'a>(&self, subject: impl Into<Subject<'a>>, text: &str, what: &str, begins: bool) {
        let subject = subject.into();
        if self.hears("degraded", Some(subject), text) {
            return;
        }
        let is_new = self.is_new(&format!("degraded {subject:?}"), what);
        self.beat();
        let event = Event { kind: "degraded", ..about(Some(subject), Level::Error, text) };
        if begins {
            self.journal.note(&event, false);
        }
        if (is_new || begins) && !self.logged(&event) {
            self.line(BAD, "degraded", subject.stack, text);
        }
    }

    /// A stack is degraded no more.
    pub fn recovered<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.happened("recovered", Level::Info, subject.into(), text, false);
    }

    /// What would be done to a stack; counted in `count`.
    pub fn would(&self, stack: &str, text: &str, count: &mut usize) {
        *count += 1;
        self.line(NOTE, "would", stack, text);
    }

    /// Something of the daemon itself: a line of its log and, where it is to be `kept`, an event.
    pub fn log(&self, event: &Event<'_>, kept: bool) {
        self.beat();
        if kept {
            self.journal.note(event, false);
        }
        if !self.logged(event) {
            let style = if event.level == Level::Error { BAD } else { DIM };
            self.stdout(&format!("{style}{:<9}{style:#} {}", event.kind, harmless(event.message)));
        }
    }

    /// Whether a lasting state of `key` is news; without a daemon everything is.
    pub fn is_new(&self, key: &str, text: &str) -> bool {
        self.daemon.is_none() || self.journal.is_new(key, text)
    }

    /// A result line; one that goes on does so behind a margin.
    pub fn say(&self, text: &str) {
        self.stdout(&plain::text(text));
    }

    /// Lines of a result, a table say, made plain already.
    pub fn lines(&self, text: &str) {
        self.stdout(text.trim_end());
    }

    /// Lines for who runs this: beside the result, which may be read by a program.
    pub fn commands(&self, lines: &str) {
        lines.lines().for_each(|line| self.stderr(line));
    }

    /// A JSON text, as JSON: what is spelled out is so that a parser reads it back.
    pub fn json(&self, text: &str) {
        self.live.suspend(|| drop(writeln!(anstream::stdout(), "{}", plain::json(text))));
    }

    /// How things are after a run: sources, stacks, images.
    pub fn state(&self, status: &Status) {
        if !status.repositories.is_empty() && self.daemon.is_none() && !self.hears("state", None, "") {
            if self.said.get() {
                self.stdout("");
            }
            self.lines(&tables::brief(status, Reader::of_stdout()));
            self.stdout("");
        }
    }

    /// The last line of a run.
    pub fn summary(&self, tally: &Tally, dry_run: bool) {
        let text = tally.words(dry_run);
        self.stdout(&if dry_run { format!("dry run, nothing was changed: {text}") } else { text });
    }

    fn happened(&self, word: &str, level: Level, subject: Subject<'_>, text: &str, lasting: bool) {
        if self.hears(word, Some(subject), text) {
            return;
        }
        self.beat();
        let event = Event { kind: word, ..about(Some(subject), level, text) };
        self.journal.note(&event, lasting);
        if !self.logged(&event) {
            let style = match level {
                Level::Info => GOOD,
                Level::Warn => NOTE,
                Level::Error => BAD,
            };
            self.line(style, word, subject.stack, text);
        }
    }

    /// Whether the event went to a JSON log, and so is not to be printed for people.
    fn logged(&self, event: &Event<'_>) -> bool {
        let json = matches!(self.daemon, Some((LogFormat::Json, _)));
        if json {
            self.json(&journal::json_line(event));
        }
        json
    }

    fn beat(&self) {
        if let Some((_, pulse)) = &self.daemon {
            pulse.beat();
        }
    }

    fn line(&self, style: Style, word: &str, subject: &str, text: &str) {
        let line = format!("{style}{word:<9}{style:#} {}  {}", plain::name(subject), harmless(text));
        if style == BAD { self.trouble(&line) } else { self.stdout(&line) }
    }

    /// A line that is told whatever the voice is.
    fn trouble(&self, text: &str) {
        #[cfg(test)]
        if self.heard.is_some() {
            return;
        }
        self.said.set(true);
        match self.voice {
            // A closed pipe is no reason to leave a stack half-way.
            Voice::Plain | Voice::Quiet => {
                self.live.suspend(|| drop(writeln!(anstream::stdout(), "{text}")));
            }
            Voice::Json | Voice::QuietJson => self.stderr(text),
        }
    }

    fn stdout(&self, text: &str) {
        if !self.voice.is_quiet() {
            self.trouble(text);
        }
    }

    fn stderr(&self, text: &str) {
        self.live.suspend(|| drop(writeln!(anstream::stderr(), "{text}")));
    }
}

/// The one way an error is printed: `error:`, then its `hint:`.
pub fn print_error(error: &Error) {
    let mut stderr = anstream::stderr();
    let _ = writeln!(stderr, "{BAD}error:{BAD:#} {}", harmless(&format!("{error:#}")));
    if let Some(hint) = hint_of(error) {
        let _ = writeln!(stderr, "{NOTE}hint:{NOTE:#} {}", plain::text(hint));
    }
}

/// What somebody else may have written, as it is told: without the credentials of addresses, which docker's own
/// words may hold, and such that no line of it looks like one of ours.
pub fn harmless(text: &str) -> String {
    plain::text(&without_credentials(text))
}
