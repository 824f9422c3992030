//! Stacks and sources held and released by people: found by name, and noted in the database and in the Swarm.
//!
//! In: who asks, for commands and over HTTP alike. Out: what was so before, for whoever comes second.

mod rollback;

use anyhow::{Error, Result};

use crate::clock;
use crate::fault::fault;
use crate::hold::{Hold, Kind};
use crate::nearest::did_you_mean;
use crate::plain;
use crate::reconcile::{forget_all_in_swarm, forget_in_swarm, forget_name_in_swarm, replace_in_swarm};
use crate::report::Subject as About;
use crate::source::{Source, SourceId};
use crate::span::Span;
use crate::stack::StackName;
use crate::state::{HoldRow, SourceRow, StackStatus};
use crate::watched::Watched;
use crate::writer::Writer;

pub use rollback::{Back, Kept, RolledBack, roll_back};

/// So many events are looked through for what the last one did.
const EVENTS: usize = 50;

/// What is held: a stack, or all of a source.
#[derive(Debug, Clone)]
pub struct Subject {
    pub source: SourceRow,
    /// As labels have it.
    pub identity: SourceId,
    pub stack: Option<StackName>,
}

/// How somebody wants it held.
#[derive(Debug, Clone)]
pub struct Wish {
    pub length: Span,
    /// Nothing, where none is given.
    pub reason: String,
    pub by: String,
}

/// What was noted.
#[derive(Debug, Clone)]
pub struct Noted {
    /// What was so until now.
    pub before: Option<Hold>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// Why nothing was done.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such stack or source; the hint says what there is.
    Unknown(String, String),
    /// Nobody holds it by hand; the hint says what ends what holds it, if anything does.
    NotHeld(String, String),
    /// Somebody has done something else about it; the hint says what ends that.
    Otherwise(String, String),
    /// What it asks for is not there, or needs another word; the hint says which.
    Unfit(Error),
    /// The files of bindings are not as they were then: it goes back without them where somebody says so.
    Bindings(String),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(what, hint) | Refusal::NotHeld(what, hint) | Refusal::Otherwise(what, hint) => {
                fault(what, hint)
            }
            Refusal::Bindings(what) => {
                fault(what, "`--without-bindings` goes back all the same, and leaves them as they lie there")
            }
            Refusal::Unfit(error) | Refusal::Failed(error) => error,
        }
    }
}

impl Subject {
    /// The stack or source of that name.
    pub fn named(watched: &[Watched], name: &str) -> Result<Self, Refusal> {
        Self::stack(watched, name, None).or_else(|_| Self::source(watched, name)).map_err(|_| {
            let what = format!("`{}` is neither a stack nor a source that is watched", shown(name));
            let near = nearest(stack_names(watched).chain(source_names(watched)), name);
            Refusal::Unknown(
                what,
                format!("{near}stacks are {}; sources are {}", stacks(watched), sources(watched)),
            )
        })
    }

    /// The stack of that name; of that source, where one is named.
    pub fn stack(watched: &[Watched], name: &str, source: Option<&str>) -> Result<Self, Refusal> {
        let stack = StackName::known(name);
        let is_its =
            |known: &&Watched| source.is_none_or(|source| is_named(known, source)) && known.knows(&stack);
        // Of several that know the name, the one that deployed it.
        let has_it = |known: &&Watched| {
            let row = known.stacks.iter().find(|row| row.name == stack);
            row.is_none_or(|row| row.status == StackStatus::Stopped || row.is_unapplied())
        };
        watched
            .iter()
            .filter(is_its)
            .min_by_key(has_it)
            .map(|known| Self::of(known, Some(stack.clone())))
            .ok_or_else(|| {
                let of = source.map(|source| format!(" of `{}`", shown(source))).unwrap_or_default();
                let what = format!("there is no stack `{}`{of}", shown(name));
                let near = nearest(stack_names(watched), name);
                Refusal::Unknown(what, format!("{near}stacks are {}", stacks(watched)))
            })
    }

    /// The source of that name.
    pub fn source(watched: &[Watched], name: &str) -> Result<Self, Refusal> {
        watched.iter().find(|known| is_named(known, name)).map(|known| Self::of(known, None)).ok_or_else(
            || {
                let what = format!("the repository `{}` is not watched", shown(name));
                let near = nearest(source_names(watched), name);
                Refusal::Unknown(what, format!("{near}watched are {}", sources(watched)))
            },
        )
    }

    fn of(known: &Watched, stack: Option<StackName>) -> Self {
        Self { source: known.row.clone(), identity: known.identity.clone(), stack }
    }

    /// The hold by hand on it, if it is not over.
    pub fn held(&self, watched: &[Watched]) -> Option<Hold> {
        let now = clock::wall();
        self.row(watched).map(|row| row.hold.clone()).filter(|hold| !hold.is_over(now))
    }

    /// Where another source has the hold on a stack of this name, that one's: it counts for the stack wherever it is listed.
    fn holder(&self, watched: &[Watched]) -> Self {
        let now = clock::wall();
        let is_its = |row: &HoldRow| row.stack.is_some() && row.stack == self.stack && !row.hold.is_over(now);
        if self.row(watched).is_some_and(is_its) {
            return self.clone();
        }
        let other = watched.iter().find(|known| known.holds.iter().any(is_its));
        other.map_or_else(|| self.clone(), |known| Self::of(known, self.stack.clone()))
    }

    fn row<'a>(&self, watched: &'a [Watched]) -> Option<&'a HoldRow> {
        let mut rows = watched.iter().flat_map(|known| &known.holds);
        rows.find(|row| row.repository_id == self.source.id && row.stack == self.stack)
    }

    /// As events tell of it.
    pub fn about<'a>(&'a self, name: &'a str) -> About<'a> {
        About { repository: Some(&self.source.url), stack: name, commit: None }
    }

    fn is_moving(&self, watched: &[Watched]) -> Vec<String> {
        let own = watched.iter().filter(|known| known.row.id == self.source.id);
        let moving = own.flat_map(|known| &known.motions).map(|motion| &motion.name);
        let moving = moving.filter(|name| self.stack.as_ref().is_none_or(|stack| stack == *name));
        moving.map(|name| format!("`{name}`")).collect()
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.stack {
            Some(stack) => stack.fmt(f),
            None => f.write_str(&self.source.url.shown()),
        }
    }
}

/// Notes the hold, in place of one that is there.
pub fn hold(writer: &Writer, watched: &[Watched], subject: &Subject, wish: Wish) -> Result<Noted, Refusal> {
    let subject = &subject.holder(watched);
    let now = clock::wall();
    let until = match wish.length {
        Span::For(length) => Some(now + length),
        Span::Ever => None,
    };
    let hold = Hold {
        kind: Kind::Hand,
        reason: Some(wish.reason).filter(|reason| !reason.is_empty()),
        by: Some(wish.by),
        since: Some(now),
        until,
        back: None,
    };
    let before = subject.held(watched);
    if let Some(before) = before.as_ref().filter(|before| before.back.is_some()) {
        return Err(rolled_back(subject, before));
    }
    let mut notes = Vec::new();
    // First: whoever is killed between the two leaves none that a lost database forgets.
    if let Err(error) = replace_in_swarm(&writer.session(), &subject.identity, subject.stack.as_ref(), &hold)
    {
        notes.push(format!("the Swarm does not remember it, a lost database would forget it: {error:#}"));
    }
    writer.state.note_hold(&subject.source, subject.stack.as_ref(), &hold)?;
    let moving = subject.is_moving(watched);
    if !moving.is_empty() {
        notes.push(format!("a deploy is in motion, and is judged as ever: {}", listed(&moving)));
    }
    let was =
        before.as_ref().map(|before| format!("; it was {} before", before.sentence())).unwrap_or_default();
    writer.report.on_hold(subject.about(&subject.to_string()), &(hold.sentence() + &was));
    Ok(Noted { before, notes })
}

/// Ends the hold by hand; the next sync of the source deals with what it kept back.
pub fn release(writer: &Writer, watched: &[Watched], subject: &Subject, by: &str) -> Result<Noted, Refusal> {
    let subject = &subject.holder(watched);
    let Some(row) = subject.row(watched) else { return Err(not_held(writer, watched, subject)?) };
    let mut notes = Vec::new();
    // First: what was released comes back with no database.
    let forgotten = match &subject.stack {
        Some(stack) => forget_name_in_swarm(&writer.session(), stack),
        None => forget_in_swarm(&writer.session(), &subject.identity, None),
    };
    if let Err(error) = forgotten {
        notes.push(format!("the Swarm still remembers it, for a database that is lost: {error:#}"));
    }
    // A name is one stack, whichever source it was held of.
    let of_name = |other: &&HoldRow| row.stack.is_some() && other.stack == row.stack;
    for other in watched.iter().flat_map(|known| &known.holds).filter(of_name) {
        writer.state.forget_hold(other.repository_id, other.stack.as_ref())?;
    }
    writer.state.forget_hold(row.repository_id, row.stack.as_ref())?;
    let mut text = format!("no longer {}; released by {by}", row.hold.sentence());
    if let Some(hand) =
        row.hold.by_hand().filter(|hand| row.hold.back.is_some() && !hand.is_over(clock::wall()))
    {
        let what = format!("the hold from before that ends as well: {}", hand.sentence());
        text = format!("{text}; {what}");
        notes.push(what);
    }
    writer.report.released(subject.about(&subject.to_string()), &text);
    Ok(Noted { before: Some(row.hold.clone()), notes })
}

/// What the Swarm remembers of the holds on these sources goes with them.
pub fn end_holds<'a>(writer: &Writer, watched: impl Iterator<Item = &'a Watched>) {
    let (now, watched) = (clock::wall(), watched.collect::<Vec<_>>());
    for known in &watched {
        for row in known.holds.iter().filter(|row| !row.hold.is_over(now)) {
            let subject = row.stack.as_ref().map_or_else(|| known.row.url.shown(), ToString::to_string);
            writer.report.released(&*subject, &format!("{}: that is over with it", row.hold.sentence()));
        }
    }
    let sources: Vec<_> = watched.iter().map(|known| &known.identity).collect();
    if let Err(error) = forget_all_in_swarm(&writer.session(), &sources) {
        writer.report.warn(&format!("the Swarm still remembers what was held: {error:#}"));
    }
}

/// Its version would come back once the hold ends.
fn rolled_back(subject: &Subject, before: &Hold) -> Refusal {
    Refusal::Otherwise(
        format!("`{subject}` stays already: it was {}", before.sentence()),
        format!(
            "`dockerops rollback {subject} --pin --to …` keeps it whatever is pushed, `dockerops release {subject}` ends it"
        ),
    )
}

fn not_held(writer: &Writer, watched: &[Watched], subject: &Subject) -> Result<Refusal> {
    let mut rows = watched.iter().flat_map(|known| &known.holds);
    let is_all = |row: &&HoldRow| row.repository_id == subject.source.id && row.stack.is_none();
    if rows.any(|row| subject.stack.is_some() && is_all(&row)) {
        let url = subject.source.url.shown();
        return Ok(Refusal::NotHeld(
            format!("`{subject}` is held with all of its source `{url}`"),
            format!("`dockerops release {url}` ends that"),
        ));
    }
    let found = watched.iter().flat_map(|known| &known.on_hold).find(|stack| {
        Some(&stack.name) == subject.stack.as_ref() && stack.repository_id == subject.source.id
    });
    let is_by_file = |kind| matches!(kind, Kind::Manifest | Kind::Window);
    if let Some(found) = found.filter(|found| is_by_file(found.hold.kind)) {
        let what = format!("nobody holds `{subject}`: it is {}", found.hold.sentence());
        return Ok(Refusal::NotHeld(what, found.hold.way_out(&subject.to_string())));
    }
    // Somebody may just have been faster.
    let events = writer.state.events_of(&plain::name(&subject.to_string()), EVENTS)?;
    let last = events.into_iter().find(|event| event.kind == "released" || event.kind == "hold");
    let last = last.filter(|event| event.kind == "released");
    let last = last.map(|event| format!("; at {}: {}", event.time, event.message)).unwrap_or_default();
    let held: Vec<_> = watched
        .iter()
        .flat_map(|known| known.holds.iter().map(move |row| (known, row)))
        .map(|(known, row)| {
            let name = row.stack.as_ref().map_or_else(|| known.row.url.shown(), ToString::to_string);
            format!("`{name}`")
        })
        .collect();
    Ok(Refusal::NotHeld(format!("`{subject}` is not held{last}"), format!("held by hand: {}", listed(&held))))
}

/// Whether that names the source, as it was watched or in another spelling.
fn is_named(known: &Watched, name: &str) -> bool {
    known.row.url.shown() == name || Source::parse(name).is_ok_and(|source| *source.id() == known.identity)
}

/// What somebody typed may be long.
fn shown(name: &str) -> String {
    plain::name(&name.chars().take(200).collect::<String>())
}

/// What they may have meant.
fn nearest(known: impl Iterator<Item = String>, name: &str) -> String {
    let known: Vec<_> = known.collect();
    did_you_mean(name, known.iter().map(String::as_str))
}

fn stack_names(watched: &[Watched]) -> impl Iterator<Item = String> {
    watched.iter().flat_map(Watched::names).map(ToString::to_string)
}

fn source_names(watched: &[Watched]) -> impl Iterator<Item = String> {
    watched.iter().map(|known| known.row.url.shown())
}

fn stacks(watched: &[Watched]) -> String {
    listed(&stack_names(watched).map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

fn sources(watched: &[Watched]) -> String {
    listed(&source_names(watched).map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// The first of them, and how many more there are.
fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    match names.len() {
        0 => "none".to_owned(),
        count if count > MOST => format!("{} and {} more", names[..MOST].join(", "), count - MOST),
        _ => names.join(", "),
    }
}
