//! Whom a run is for: sources by their turn or by name, stacks, or the users of an image.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Daemon;
use super::backoff::Turn;
use super::cycle::is_to_retry;
use super::queue::{Job, Scope, Trigger};
use crate::git::Commit;
use crate::image::ImageRef;
use crate::reconcile::{Selection as Stacks, Target, Wish};
use crate::source::Source;
use crate::stack::StackName;
use crate::state::{StackRow, StackStatus};
use crate::watched::Watched;

/// A source of `DOCKEROPS_REPOS` that is not watched so far.
#[derive(Debug, Clone)]
pub struct Pending {
    /// What its errors are told of: the text itself may hold what is not to be shown.
    pub label: String,
    /// As it was written.
    pub text: String,
}

impl Pending {
    /// `None` where it cannot be read.
    pub fn source(&self) -> Option<Source> {
        Source::parse(&self.text).ok()
    }
}

/// What `DOCKEROPS_REPOS` lists.
pub fn pending(repos: &[String]) -> Vec<Pending> {
    let label = |index: usize| format!("entry {} of `DOCKEROPS_REPOS`", index + 1);
    repos
        .iter()
        .enumerate()
        .map(|(index, text)| Pending { label: label(index), text: text.clone() })
        .collect()
}

/// Whom a run is for, and how it is done.
#[derive(Debug, Default)]
pub struct Selection {
    pub targets: Vec<Target>,
    pub wish: Wish,
    /// Sources that cannot even be read, by what they are told of.
    pub unreadable: Vec<(String, anyhow::Error)>,
    pub nothing: Option<String>,
}

impl Daemon {
    /// For `jobs`, which are of one kind; without one it is a cycle's turn.
    pub fn select(&self, jobs: &[Job], watched: &[Watched]) -> Selection {
        let mut selection = Selection::default();
        let forced = jobs.iter().find(|job| job.trigger.force);
        selection.wish.forced = forced.map(|_| "forced".to_owned());
        match jobs.first().map(|job| &job.trigger) {
            None => self.all(watched, false, &mut selection),
            Some(Trigger { scope: Scope::All, .. }) => self.all(watched, true, &mut selection),
            Some(Trigger { scope: Scope::Source(_) | Scope::Change { .. }, .. }) => {
                sources(jobs, watched, &mut selection);
            }
            Some(Trigger { scope: Scope::Stack(name), cause, .. }) => {
                let stacks = BTreeSet::from([StackName::known(name.as_str())]);
                some_stacks(stacks, cause, None, watched, &mut selection);
                selection.explain("no watched source has that stack");
            }
            Some(Trigger { scope: Scope::Image(reference), .. }) => {
                if let Ok(image) = ImageRef::parse(reference) {
                    let reason = format!("`{image}` was pushed");
                    some_stacks(users(&image, watched), &reason, Some(image), watched, &mut selection);
                }
                selection.explain("no watched stack uses that image");
            }
            Some(Trigger { scope: Scope::Build(reference), .. }) => {
                let builds = |known: &&Watched| known.builds.iter().any(|row| row.name == *reference);
                watched.iter().filter(builds).for_each(|known| selection.add(known, None));
                selection.wish.build = ImageRef::parse(reference).ok();
                selection.explain("no watched source builds that image");
            }
        }
        selection
    }

    /// All that are watched and have their turn, and those that are still to be watched.
    fn all(&self, watched: &[Watched], at_once: bool, selection: &mut Selection) {
        let now = Instant::now();
        for known in watched {
            // A server that is silent is found to be by the question it has not answered, and not by another one.
            if !at_once && self.reconciler.is_asked(&known.identity) {
                continue;
            }
            // A command beside the daemon may have put it right.
            let is_due = at_once || !is_to_retry(known) || !known.motions.is_empty();
            let turn = match self.reconciler.works_on(&known.identity).filter(|_| !at_once) {
                Some(commit) => Turn::IfMoved(commit),
                None if is_due => Turn::Now,
                None => self.backoff.turn(&known.identity, now),
            };
            match turn {
                Turn::Now => selection.add(known, None),
                Turn::IfMoved(commit) => selection.add(known, Some(commit)),
                Turn::Later => {}
            }
        }
        for entry in &self.pending {
            match Source::parse(&entry.text) {
                Ok(source) => {
                    let is_there = selection.targets.iter().any(|target| target.source == source)
                        || watched.iter().any(|known| known.identity == *source.id());
                    if !is_there && (at_once || !self.reconciler.is_asked(source.id())) {
                        selection.targets.push(Target::new(source, None));
                    }
                }
                Err(error) => selection.unreadable.push((entry.label.clone(), error)),
            }
        }
        let nothing = "nothing is watched: set `DOCKEROPS_REPOS`, or `sudo dockerops watch <repository>`";
        let waits = "nothing was tried: every source waits for its turn";
        selection.explain(if watched.is_empty() { nothing } else { waits });
    }
}

impl Selection {
    fn add(&mut self, known: &Watched, backing_off: Option<Commit>) {
        match known.row.url.parse() {
            Ok(source) => {
                let row = Some(known.row.clone());
                self.targets.push(Target { backing_off, ..Target::new(source, row) });
            }
            Err(error) => self.unreadable.push((known.row.url.to_string(), error)),
        }
    }

    fn explain(&mut self, why: &str) {
        if self.targets.is_empty() && self.unreadable.is_empty() {
            self.nothing = Some(why.to_owned());
        }
    }
}

fn sources(jobs: &[Job], watched: &[Watched], selection: &mut Selection) {
    let named = |known: &Watched| jobs.iter().any(|job| job.trigger.scope.source() == Some(&known.identity));
    for known in watched.iter().filter(|known| named(known)) {
        selection.add(known, None);
    }
    selection.explain("that source is not watched");
}

fn some_stacks(
    stacks: BTreeSet<StackName>,
    reason: &str,
    pushed: Option<ImageRef>,
    watched: &[Watched],
    selection: &mut Selection,
) {
    for known in watched.iter().filter(|known| known.stacks.iter().any(|stack| stacks.contains(&stack.name)))
    {
        selection.add(known, None);
    }
    let wish = &mut selection.wish;
    let forced = wish.forced.take().map(|_| reason.to_owned());
    *wish = Wish { selection: Stacks::Some(stacks), forced, pushed, build: None };
}

/// The stacks with a service of this image, as their compose files name it.
fn users(image: &ImageRef, watched: &[Watched]) -> BTreeSet<StackName> {
    let name = image.to_string();
    let uses = |stack: &&StackRow| {
        stack.status != StackStatus::Stopped
            && stack.services.values().any(|service| service.image.as_deref() == Some(&*name))
    };
    watched
        .iter()
        .flat_map(|known| known.stacks.iter().filter(uses))
        .map(|stack| stack.name.clone())
        .collect()
}
