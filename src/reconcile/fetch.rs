//! Checkouts, manifests and rendered stacks of the sources that have work.

use std::cell::OnceCell;
use std::thread;

use anyhow::{Context, Result};

use super::bindings::{self, Bindings};
use super::builds::{self, Image};
use super::survey::{Finding, Surveyed};
use super::{Options, Session, Target, key};
use crate::budget::Budget;
use crate::compose::{self, Place, Unrenderable};
use crate::fault::OrHint;
use crate::git::{self, Checkout};
use crate::hash::Key;
use crate::manifest::{self, Layout};
use crate::plan::{Desired, Images};
use crate::problem::Problems;
use crate::signal;

/// How many sources are fetched at a time.
const AT_ONCE: usize = 8;

/// A source with all that is needed to plan it.
#[derive(Debug)]
pub struct Fetched {
    /// The source and its row.
    pub target: Target,
    /// What became of it.
    pub content: Content,
}

/// What is known of a source.
#[derive(Debug)]
pub enum Content {
    /// Nothing to do.
    Idle,
    /// It failed, and is not tried again so soon.
    Waits,
    /// What it declares, whole and valid.
    Read(Box<Read>),
    /// It could not be fetched, or it is wrong: nothing of it is deployed, and nothing removed.
    Failed(anyhow::Error),
}

/// A checkout, read.
#[derive(Debug)]
pub struct Read {
    /// Holds the files until docker has read them.
    pub checkout: Checkout,
    /// What names its stacks.
    pub layout: Layout,
    /// What it wants.
    pub desired: Vec<Desired>,
    /// What is to be copied for it.
    pub bindings: Bindings,
    /// What it builds.
    pub images: Vec<Image>,
}

/// Fetches and reads every source that has work; fails only where the run is to end.
pub fn fetch(session: &Session<'_>, surveyed: Vec<Surveyed>, options: &Options) -> Result<Vec<Fetched>> {
    // Threads share the way to git, not the database.
    let (folder, access) = (&*session.checkouts, session.git);
    let mut fetched = Vec::new();
    let keys = OnceCell::new();
    let mut left = surveyed.into_iter().peekable();
    while left.peek().is_some() {
        signal::check()?;
        let batch: Vec<_> = left.by_ref().take(AT_ONCE).collect();
        let checkouts: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = batch
                .iter()
                .map(|surveyed| match &surveyed.finding {
                    Finding::Work(commit) => {
                        session.report.progress(&format!(
                            "fetching `{}` at {}",
                            surveyed.target.source,
                            commit.short()
                        ));
                        let source = &surveyed.target.source;
                        Some(scope.spawn(move || git::checkout(source, commit, folder, access)))
                    }
                    _ => None,
                })
                .collect();
            started.into_iter().map(|thread| thread.map(join)).collect()
        });
        let at_once = checkouts.iter().flatten().count();
        for (surveyed, checkout) in batch.into_iter().zip(checkouts) {
            let checkout = match (&surveyed.finding, checkout) {
                // One of those beside it took what there was; alone it may do.
                (Finding::Work(commit), Some(Err(error))) if at_once > 1 && error.is::<git::NoRoom>() => {
                    Some(git::checkout(&surveyed.target.source, commit, folder, access))
                }
                (_, checkout) => checkout,
            };
            let content = match (surveyed.finding, checkout) {
                (Finding::Failed(error), _) => Content::Failed(error),
                (Finding::Waits, _) => Content::Waits,
                (_, None) => Content::Idle,
                (_, Some(checkout)) => match checkout
                    .and_then(|checkout| read(session, &keys, &surveyed.target, checkout, options))
                {
                    Ok(read) => {
                        say_notes(session, &read);
                        Content::Read(Box::new(read))
                    }
                    Err(error) if error.is::<signal::Interrupted>() => return Err(error),
                    Err(error) => Content::Failed(error),
                },
            };
            fetched.push(Fetched { target: surveyed.target, content });
        }
    }
    Ok(fetched)
}

fn say_notes(session: &Session<'_>, read: &Read) {
    for rendered in read.desired.iter().filter_map(|desired| desired.rendered.as_ref()?.as_ref().ok()) {
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
    target: &Target,
    checkout: Checkout,
    options: &Options,
) -> Result<Read> {
    let Target { source, row, .. } = target;
    let budget = &Budget::new(session.git.limits);
    let mut desired = Vec::new();
    let mut problems = Problems::default();
    // docker is asked where its data lies only for those who have bindings.
    let guard = if manifest::has_nfs(checkout.dir()) { session.guard() } else { session.own_guard };
    let (manifest, wrong) = manifest::read(checkout.root(), checkout.dir(), guard, !options.dry_run, budget);
    problems.extend(wrong);
    let (volumes, bindings, wrong) = bindings::read(&checkout, &manifest, budget);
    problems.extend(wrong);
    for entry in manifest.stacks {
        if budget.exceeded().is_some() {
            break;
        }
        let Some(file) = entry.compose_file.clone().filter(|_| entry.enabled) else {
            desired.push(Desired { entry, rendered: None, images: Images::Ready });
            continue;
        };
        let key = match keys.get() {
            Some(key) => key,
            None => keys.get_or_init({
                let new = key::key(session, options, row.is_none())?;
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
        desired.push(Desired { entry, rendered, images: Images::Ready });
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
