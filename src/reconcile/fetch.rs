//! Checkouts, manifests and rendered stacks of the sources that have work.

use std::cell::OnceCell;
use std::path::Path;
use std::thread;

use anyhow::Result;

use super::Session;
use super::contain::ends_the_run;
use super::read::read;
use super::source::{Reading, WatchedSource};
use crate::git::{self, Checkout, Commit, Workplace};
use crate::signal;

/// How many sources are fetched at a time.
const AT_ONCE: usize = 8;

/// Fetches and reads every source that has work, given with the commit; fails only where the run is to end. Each comes
/// back with whether it was read now.
pub fn fetch(
    session: &Session<'_>,
    asked: Vec<(WatchedSource, Option<Commit>)>,
    workplace: &mut Option<Workplace>,
    dry_run: bool,
) -> Result<Vec<(WatchedSource, bool)>> {
    // Threads share the way to git, not the database.
    let folder = match workplace {
        Some(known) => known.path(),
        None if asked.iter().all(|(_, work)| work.is_none()) => Path::new(""),
        None => workplace.insert(Workplace::new(&session.paths.checkouts)?).path(),
    };
    let access = session.git;
    let mut fetched = Vec::new();
    let keys = OnceCell::new();
    let mut left = asked.into_iter().peekable();
    while left.peek().is_some() {
        signal::check()?;
        let batch: Vec<_> = left.by_ref().take(AT_ONCE).collect();
        let checkouts: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = batch
                .iter()
                .map(|(source, work)| {
                    let commit = work.as_ref()?;
                    let text = format!("fetching `{}` at {}", source.source, commit.short());
                    session.report.progress(&text);
                    let source = &source.source;
                    Some(scope.spawn(move || git::checkout(source, commit, folder, access)))
                })
                .collect();
            started.into_iter().map(|thread| thread.map(join)).collect()
        });
        let at_once = checkouts.iter().flatten().count();
        for ((mut source, work), checkout) in batch.into_iter().zip(checkouts) {
            let checkout = match (&work, checkout) {
                // One of those beside it took what there was; alone it may do.
                (Some(commit), Some(Err(error))) if at_once > 1 && error.is::<git::NoRoom>() => {
                    Some(git::checkout(&source.source, commit, folder, access))
                }
                (_, checkout) => checkout,
            };
            let is_new = checkout.is_some();
            if let Some(checkout) = checkout {
                for note in checkout.as_ref().map(Checkout::take_notes).unwrap_or_default() {
                    session.report.note(source.url.as_str(), &note);
                }
                let read = checkout.and_then(|checkout| read(session, &keys, &source, checkout, dry_run));
                source.reading = match read {
                    Ok(read) => Reading::Read(Box::new(read)),
                    Err(error) if ends_the_run(&error) => return Err(error),
                    Err(error) => Reading::Failed(error),
                };
                say_notes(session, &source);
            }
            fetched.push((source, is_new));
        }
    }
    Ok(fetched)
}

fn say_notes(session: &Session<'_>, source: &WatchedSource) {
    let Some(read) = source.read() else { return };
    for rendered in read.desired.iter().filter_map(|desired| desired.rendered()) {
        for (index, note) in rendered.notes.iter().enumerate() {
            session.report.noted_until_changed(rendered.name.as_str(), index, note);
        }
    }
    for (id, problem) in &read.unused {
        session.report.noted_until_changed(id, 0, problem);
    }
}

fn join(thread: thread::ScopedJoinHandle<'_, Result<Checkout>>) -> Result<Checkout> {
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the fetch came to an unexpected end")))
}
