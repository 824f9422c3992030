//! Which sources have work: decided from one `ls-remote`, the rows, and what is live.

use anyhow::{Error, Result};

use super::{Options, Target};
use crate::docker::Swarm;
use crate::drift;
use crate::git::Commit;
use crate::plan;
use crate::stack::{DriftPolicy, StackName};
use crate::state::{BuildRow, StackRow, StackStatus};
use crate::watched::Watched;

/// A source after the first look.
#[derive(Debug)]
pub struct Surveyed {
    /// The source and its row.
    pub target: Target,
    /// The commit it names; `None` where it could not be asked.
    pub head: Option<Commit>,
    /// What is to be done with it.
    pub finding: Finding,
}

impl Surveyed {
    /// Its identity, and the commit it names.
    pub fn head(&self) -> (String, Option<Commit>) {
        (self.target.source.id().to_owned(), self.head.clone())
    }
}

/// What the first look at a source found.
#[derive(Debug)]
pub enum Finding {
    /// Nothing to do at this commit, which is the known one; no clone, no call.
    Idle(Commit),
    /// Nothing yet: the commit it names has failed, and is not to be tried again so soon.
    Waits,
    /// It must be fetched at this commit.
    Work(Commit),
    /// It could not be asked.
    Failed(Error),
}

/// Pairs each target with what was found of it.
pub fn survey(
    targets: Vec<Target>,
    heads: Vec<Result<Commit>>,
    watched: &[Watched],
    swarm: &Swarm,
    options: &Options,
) -> Vec<Surveyed> {
    let find = |target: &Target, head: Result<Commit>| match head {
        Err(error) => Finding::Failed(error),
        Ok(head) => {
            let known = watched.iter().find(|known| Some(&known.row) == target.row.as_ref());
            match known {
                Some(known) if !options.force && target.waits.as_ref() == Some(&head) => {
                    if is_off(known, swarm) { Finding::Work(head) } else { Finding::Waits }
                }
                Some(known) if !options.force && !has_work(known, &head, swarm) => Finding::Idle(head),
                _ => Finding::Work(head),
            }
        }
    };
    targets
        .into_iter()
        .zip(heads)
        .map(|(target, head)| {
            let commit = head.as_ref().ok().cloned();
            let finding = find(&target, head);
            Surveyed { target, head: commit, finding }
        })
        .collect()
}

fn has_work(known: &Watched, head: &Commit, swarm: &Swarm) -> bool {
    let moved = known.row.commit.as_deref() != Some(head.as_str());
    let to_retry = |stack: &StackRow| stack.status == StackStatus::Error && !stack.held;
    moved
        || known.builds.iter().any(BuildRow::was_refused)
        || known.stacks.iter().any(to_retry)
        || !known.attempts.is_empty()
        || is_off(known, swarm)
}

/// Whether the Swarm is not what was last applied of it.
fn is_off(known: &Watched, swarm: &Swarm) -> bool {
    let to_correct =
        |stack: &StackRow| stack.drift == DriftPolicy::Correct && !drift::find(stack, swarm).is_empty();
    let expected = |name: &StackName| {
        known.stacks.iter().any(|stack| stack.name == *name && stack.status != StackStatus::Stopped)
    };
    known.stacks.iter().any(to_correct)
        || swarm
            .services
            .iter()
            .any(|service| plan::owner(service) == Some(&known.identity) && !expected(&service.stack))
}
