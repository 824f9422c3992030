//! A checkout, read: what is wrong with one stack is that stack's error, what makes the whole unclear is the
//! source's. Either way every mistake is told at once.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use anyhow::{Context, Error, Result};

use super::merging::ByDocker;
use super::source::{Read, WatchedSource};
use super::{Session, bindings, builds, key};
use crate::budget::Budget;
use crate::compose::{self, Mount, Origin, RenderedStack, Unrenderable, Volumes};
use crate::fault::{OrHint, fault};
use crate::git::Checkout;
use crate::hash::Key;
use crate::manifest::{self, StackEntry};
use crate::plan::{DesiredStack, Images};
use crate::problem::{Problem, Problems, Room};
use crate::signal;

const MEND: &str = "mend the files and push; until then this";

/// What is wrong with the stacks of one source.
#[derive(Default)]
struct Wrong {
    room: Room,
    /// Of all stacks together.
    all: Problems,
    /// The wrong bindings that a stack mounts.
    used: BTreeSet<String>,
}

impl Wrong {
    fn stack(&mut self, problems: Vec<Problem>, volumes: &Volumes) -> Error {
        let used = volumes
            .iter()
            .filter(|(_, mount)| matches!(mount, Mount::Wrong(problem) if problems.contains(problem)));
        self.used.extend(used.map(|(id, _)| id.clone()));
        let problems = Problems::of_stack(problems, &mut self.room);
        self.all.absorb(&problems);
        fault(problems.to_string(), format!("{MEND} stack stays as it was deployed last"))
    }

    /// The wrong bindings that no stack was seen to mount.
    fn unused<'a>(&self, volumes: &'a Volumes) -> impl Iterator<Item = (&'a String, &'a Problem)> {
        volumes.iter().filter_map(|(id, mount)| match mount {
            Mount::Wrong(problem) if !self.used.contains(id) => Some((id, problem)),
            _ => None,
        })
    }
}

/// Reads the manifest and renders its stacks.
pub fn read(
    session: &Session<'_>,
    keys: &OnceCell<Key>,
    watched: &WatchedSource,
    checkout: Checkout,
    dry_run: bool,
) -> Result<Read> {
    let WatchedSource { source, row, .. } = watched;
    let budget = &Budget::new(session.git.limits);
    let mut problems = Problems::default();
    // docker is asked where its data lies only for those who have bindings.
    let guard =
        if manifest::has_nfs(checkout.root(), checkout.dir()) { session.guard() } else { session.own_guard };
    let (manifest, unclear) = manifest::read(checkout.root(), checkout.dir(), guard, !dry_run, budget);
    problems.extend(unclear);
    let (volumes, bindings) = bindings::read(&checkout, &manifest, budget);
    let beside = checkout.beside();
    let merger = &ByDocker { docker: session.docker, folder: &beside };
    let (mut desired, mut wrong) = (Vec::new(), Wrong::default());
    for mut entry in manifest.stacks {
        if budget.exceeded().is_some() {
            break;
        }
        let mut found = std::mem::take(&mut entry.wrong);
        let rendered = match entry.files.as_deref().filter(|_| entry.enabled) {
            None if found.is_empty() => None,
            None => Some(Err(wrong.stack(found, &volumes))),
            Some(files) => {
                let key = match keys.get() {
                    Some(key) => key,
                    None => keys.get_or_init({
                        let new = key::key(session, watched.wish.forced.is_some(), dry_run, row.is_none())?;
                        || new
                    }),
                };
                let origin = Origin { root: checkout.root(), files, budget, merger };
                Some(match load(session, &entry, origin, &volumes, key, &mut found) {
                    Ok(rendered) if found.is_empty() => Ok(rendered),
                    Err(Some(error)) if found.is_empty() => Err(error),
                    _ => Err(wrong.stack(found, &volumes)),
                })
            }
        };
        desired.push(DesiredStack { entry, rendered, images: Images::Ready });
    }
    let at = || format!("source `{source}` at {}", checkout.commit().short());
    signal::check()?;
    // Files that could not be had were taken for wrong or missing ones.
    if let Some(failure) = checkout.take_failure() {
        return Err(failure).with_context(at);
    }
    // What else is wrong was not read to its end.
    if let Some(exceeded) = budget.exceeded() {
        return Err(Error::from(exceeded)).with_context(at);
    }
    if problems.is_empty() {
        let images = builds::identify(&checkout, manifest.images)?;
        let unused = wrong.unused(&volumes).map(|(id, problem)| (id.clone(), problem.to_string())).collect();
        return Ok(Read { checkout, layout: manifest.layout, desired, bindings, images, unused });
    }
    problems.extend(wrong.unused(&volumes).map(|(_, problem)| problem.clone()));
    problems.absorb(&wrong.all);
    Err(problems).with_context(at).or_hint(format!("{MEND} source stays as it was deployed last"))
}

/// The stack as docker will get it; else mistakes are added to `found`, and what is no mistake is the error.
fn load(
    session: &Session<'_>,
    entry: &StackEntry,
    origin: Origin<'_>,
    volumes: &Volumes,
    key: &Key,
    found: &mut Vec<Problem>,
) -> Result<RenderedStack, Option<Error>> {
    compose::load(&entry.name, origin, session.docker.environment(), volumes, key).map_err(|why| match why {
        Unrenderable::Stack(error) | Unrenderable::Unmerged(error) => Some(error),
        Unrenderable::Invalid(more) => {
            found.extend(more);
            None
        }
    })
}
