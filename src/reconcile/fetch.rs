//! Checkouts, manifests and rendered stacks of the sources that have work.

use std::cell::OnceCell;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};

use super::contain::ends_the_run;
use super::source::{Content, Read, WatchedSource};
use super::{Session, bindings, builds, key};
use crate::budget::Budget;
use crate::compose::{self, Place, Unrenderable};
use crate::fault::OrHint;
use crate::git::{self, Checkout, Commit, Workplace};
use crate::hash::Key;
use crate::manifest;
use crate::plan::{DesiredStack, Images};
use crate::problem::Problems;
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
        None => workplace.insert(Workplace::new(&session.places.checkouts)?).path(),
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
                let read = checkout.and_then(|checkout| read(session, &keys, &source, checkout, dry_run));
                source.content = match read {
                    Ok(read) => Content::Read(Box::new(read)),
                    Err(error) if ends_the_run(&error) => return Err(error),
                    Err(error) => Content::Failed(error),
                };
                say_notes(session, &source);
            }
            fetched.push((source, is_new));
        }
    }
    Ok(fetched)
}

fn say_notes(session: &Session<'_>, source: &WatchedSource) {
    let desired = source.read().into_iter().flat_map(|read| &read.desired);
    for rendered in desired.filter_map(DesiredStack::rendered) {
        rendered.notes.iter().for_each(|note| session.report.note(rendered.name.as_str(), note));
    }
}

fn join(thread: thread::ScopedJoinHandle<'_, Result<Checkout>>) -> Result<Checkout> {
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the fetch came to an unexpected end")))
}

/// Reads the manifest and renders its stacks; all mistakes of all files together.
fn read(
    session: &Session<'_>,
    keys: &OnceCell<Key>,
    watched: &WatchedSource,
    checkout: Checkout,
    dry_run: bool,
) -> Result<Read> {
    let WatchedSource { source, row, .. } = watched;
    let budget = &Budget::new(session.git.limits);
    let mut desired = Vec::new();
    let mut problems = Problems::default();
    // docker is asked where its data lies only for those who have bindings.
    let guard = if manifest::has_nfs(checkout.dir()) { session.guard() } else { session.own_guard };
    let (manifest, wrong) = manifest::read(checkout.root(), checkout.dir(), guard, !dry_run, budget);
    problems.extend(wrong);
    let (volumes, bindings, wrong) = bindings::read(&checkout, &manifest, budget);
    problems.extend(wrong);
    for entry in manifest.stacks {
        if budget.exceeded().is_some() {
            break;
        }
        let Some(file) = entry.compose_file.clone().filter(|_| entry.enabled) else {
            desired.push(DesiredStack { entry, rendered: None, images: Images::Ready });
            continue;
        };
        let key = match keys.get() {
            Some(key) => key,
            None => keys.get_or_init({
                let new = key::key(session, watched.wish.forced.is_some(), dry_run, row.is_none())?;
                || new
            }),
        };
        let place = Place { root: checkout.root(), file: &file, path: &entry.compose_path, budget };
        let rendered = match compose::load(&entry.name, place, session.docker.environment(), &volumes, key) {
            Ok(rendered) => Some(Ok(rendered)),
            Err(Unrenderable::Stack(error)) => Some(Err(error)),
            Err(Unrenderable::Invalid(found)) => {
                problems.extend(found);
                continue;
            }
        };
        desired.push(DesiredStack { entry, rendered, images: Images::Ready });
    }
    let at = || format!("source `{source}` at {}", checkout.commit().short());
    // What else is wrong was not read to its end.
    if let Some(exceeded) = budget.exceeded() {
        return Err(anyhow::Error::from(exceeded)).with_context(at);
    }
    if problems.is_empty() {
        let images = builds::identify(&checkout, manifest.images)?;
        return Ok(Read { checkout, layout: manifest.layout, desired, bindings, images });
    }
    Err(problems)
        .with_context(at)
        .or_hint("mend the files and push; until then this source stays as it was deployed last")
}
