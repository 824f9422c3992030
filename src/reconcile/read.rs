//! A checkout, read: what is wrong with one stack is that stack's error, what makes the whole unclear is the
//! source's. Either way every mistake is told at once.

use std::cell::OnceCell;

use anyhow::{Context, Error, Result};

use super::source::{Read, WatchedSource};
use super::{Session, builds, key};
use crate::budget::Budget;
use crate::fault::{OrHint, fault};
use crate::git::Checkout;
use crate::hash::Key;
use crate::manifest::{self, Place};
use crate::plan::{DesiredStack, Images};
use crate::reading::{self, ByDocker, Environment, Reader, Stack, Wrong};
use crate::signal;

const MEND: &str = "mend the files and push; until then this";

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
    let rules = session.rules_for(source)?;
    // Whoever fetched it verified it; nothing is read of one that somebody forgot.
    if rules.is_some_and(|rules| rules.signed().is_some()) && checkout.signed().is_none() {
        return Err(anyhow::anyhow!(
            "the signature of commit {} was not verified",
            checkout.commit().short()
        ));
    }
    // docker is asked where its data lies only for those who have bindings.
    let guard =
        if manifest::has_nfs(checkout.root(), checkout.dir()) { session.guard() } else { session.own_guard };
    let key = || match keys.get() {
        Some(key) => Ok(key),
        None => {
            let new = key::key(session, watched.wish.forced.is_some(), dry_run, row.is_none())?;
            Ok(keys.get_or_init(|| new))
        }
    };
    let beside = checkout.beside();
    let merger = ByDocker { docker: session.docker, folder: &beside };
    let reader = Reader {
        place: Place::Here { guard, try_writing: !dry_run },
        budget,
        environment: Environment::Known(session.docker.environment()),
        key: &key,
        merger: &merger,
        rules,
    };
    let mut contents = reading::read(&checkout, &reader)?;
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
    let unused: Vec<_> = contents.unused().map(|(id, problem)| (id.clone(), problem.clone())).collect();
    if contents.unclear.is_empty() {
        let images = builds::identify(&checkout, contents.images)?;
        let unused = unused.into_iter().map(|(id, problem)| (id, problem.to_string())).collect();
        let desired = contents.stacks.into_iter().map(desired).collect();
        let (layout, bindings) = (contents.layout, contents.bindings);
        return Ok(Read { bindings, images, unused, ..Read::of(checkout, layout, desired) });
    }
    let mut problems = std::mem::take(&mut contents.unclear);
    problems.extend(unused.into_iter().map(|(_, problem)| problem));
    problems.absorb(&contents.of_stacks);
    Err(problems).with_context(at).or_hint(format!("{MEND} source stays as it was deployed last"))
}

fn desired(Stack { entry, rendered, .. }: Stack) -> DesiredStack {
    let why = |wrong| match wrong {
        Wrong::Files(problems) => {
            fault(problems.to_string(), format!("{MEND} stack stays as it was deployed last"))
        }
        Wrong::Here(error) | Wrong::Unmerged(error) => error,
    };
    DesiredStack {
        entry,
        rendered: rendered.map(|rendered| rendered.map_err(why)),
        images: Images::Ready,
        past: None,
    }
}
