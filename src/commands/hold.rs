//! `hold` and `release`: a stack, or all of a source, stays as it is.

use anyhow::Result;

use super::{Ending, Writer};
use crate::cli::{HoldArgs, ReleaseArgs};
use crate::clock;
use crate::fault::fault;
use crate::hold::{Hold, Kind};
use crate::reconcile::{forget_all_in_swarm, forget_in_swarm, keep_in_swarm};
use crate::settings::Settings;
use crate::source::Source;
use crate::span::Span;
use crate::stack::StackName;
use crate::state::{HoldRow, SourceRow};
use crate::watched::{Watched, watched};

/// What is held: a stack, or all of a source.
struct Subject {
    source: SourceRow,
    /// As labels have it.
    identity: crate::source::SourceId,
    stack: Option<StackName>,
}

/// Notes the hold, in the database and in the Swarm.
pub fn hold(settings: &Settings, arguments: &HoldArgs) -> Result<Ending> {
    let writer = Writer::open(settings, "hold")?;
    let watched = watched(&writer.state)?;
    let subject = subject(&watched, &arguments.subject, settings)?;
    let now = clock::wall();
    let until = match arguments.length {
        Span::For(length) => Some(now + length),
        Span::Ever => None,
    };
    let hold = Hold {
        kind: Kind::Hand,
        reason: arguments.reason.clone(),
        by: Some(settings.person.clone()),
        since: Some(now),
        until,
        back: None,
    };
    let before = of(&watched, &subject).filter(|row| !row.hold.is_over(now));
    if let Some(row) = before {
        writer.report.say(&format!("`{subject}` was {} already", row.hold.sentence()));
    }
    writer.state.note_hold(&subject.source, subject.stack.as_ref(), &hold)?;
    if let Err(error) = keep_in_swarm(&writer.session(), &subject.identity, subject.stack.as_ref(), &hold) {
        writer
            .report
            .warn(&format!("the Swarm does not remember it, a lost database would forget it: {error:#}"));
    }
    writer.report.on_hold(&*subject.to_string(), &hold.sentence());
    Ok(Ending::Done)
}

/// Ends the hold; the next sync deals with what it kept back.
pub fn release(settings: &Settings, arguments: &ReleaseArgs) -> Result<Ending> {
    let writer = Writer::open(settings, "release")?;
    let watched = watched(&writer.state)?;
    let subject = subject(&watched, &arguments.subject, settings)?;
    let Some(row) = of(&watched, &subject).cloned() else {
        return Err(not_held(&watched, &subject));
    };
    writer.state.forget_hold(row.repository_id, row.stack.as_ref())?;
    if let Err(error) = forget_in_swarm(&writer.session(), &subject.identity, subject.stack.as_ref()) {
        writer.report.warn(&format!("the Swarm still remembers it, for a database that is lost: {error:#}"));
    }
    let text =
        format!("no longer {}; `sudo dockerops reconcile` does now what it kept back", row.hold.sentence());
    writer.report.released(&*subject.to_string(), &text);
    Ok(Ending::Done)
}

/// What the Swarm remembers of the holds on these sources goes with them.
pub fn end_holds<'a>(writer: &Writer, watched: impl Iterator<Item = &'a Watched>) {
    for known in watched.filter(|known| !known.holds.is_empty()) {
        if let Err(error) = forget_all_in_swarm(&writer.session(), &known.identity) {
            let what = format!("the Swarm still remembers that it was held: {error:#}");
            writer.report.note(known.row.url.as_str(), &what);
        }
    }
}

fn of<'a>(watched: &'a [Watched], subject: &Subject) -> Option<&'a HoldRow> {
    let rows = watched.iter().flat_map(|known| &known.holds);
    rows.into_iter().find(|row| row.repository_id == subject.source.id && row.stack == subject.stack)
}

/// The stack or source that is named; the error says what there is.
fn subject(watched: &[Watched], name: &str, settings: &Settings) -> Result<Subject> {
    let of = |known: &Watched, stack: Option<StackName>| Subject {
        source: known.row.clone(),
        identity: known.identity.clone(),
        stack,
    };
    let stack = StackName::known(name);
    if let Some(known) = watched.iter().find(|known| known.knows(&stack)) {
        return Ok(of(known, Some(stack)));
    }
    let source = Source::parse(name).ok();
    let same = |known: &&Watched| source.as_ref().is_some_and(|source| *source.id() == known.identity);
    if let Some(known) = watched.iter().find(same) {
        return Ok(of(known, None));
    }
    if watched.is_empty() {
        return Err(super::nothing_watched(settings));
    }
    let stacks: Vec<_> = watched.iter().flat_map(Watched::names).map(|name| format!("`{name}`")).collect();
    let sources: Vec<_> = watched.iter().map(|known| format!("`{}`", known.row.url.shown())).collect();
    Err(fault(
        format!("`{name}` is neither a stack nor a source that is watched"),
        format!("stacks are {}; sources are {}", listed(&stacks), listed(&sources)),
    ))
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

fn not_held(watched: &[Watched], subject: &Subject) -> anyhow::Error {
    let of_source = watched
        .iter()
        .flat_map(|known| &known.holds)
        .find(|row| row.repository_id == subject.source.id && row.stack.is_none() && subject.stack.is_some());
    let found = watched.iter().flat_map(|known| &known.on_hold).find(|stack| {
        Some(&stack.name) == subject.stack.as_ref() && stack.repository_id == subject.source.id
    });
    if of_source.is_some() {
        let url = subject.source.url.shown();
        return fault(
            format!("`{subject}` is held with all of its source `{url}`"),
            format!("`dockerops release {url}` ends that"),
        );
    }
    if let Some(found) = found.filter(|found| found.hold.kind != Kind::Hand) {
        let what = format!("nobody holds `{subject}`: it is {}", found.hold.sentence());
        return fault(what, found.hold.way_out(&subject.to_string()));
    }
    let held: Vec<_> = watched
        .iter()
        .flat_map(|known| known.holds.iter().map(move |row| (known, row)))
        .map(|(known, row)| {
            let name = row.stack.as_ref().map_or_else(|| known.row.url.shown(), ToString::to_string);
            format!("`{name}`")
        })
        .collect();
    fault(format!("`{subject}` is not held"), format!("held by hand: {}", listed(&held)))
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.stack {
            Some(stack) => stack.fmt(f),
            None => f.write_str(&self.source.url.shown()),
        }
    }
}
