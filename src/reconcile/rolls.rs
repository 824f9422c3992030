//! What registries say of tags, under `always` or where one was pushed: the services that are to roll.
//!
//! Each tag is asked for once a run: those of sources without work first, since one that moved is work; the
//! others once their files were read. Under `ifnotpresent` no registry is asked,
//! but for a tag of a stack with jobs that nothing of it runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::builds::{ImageState, LOCAL_TAG};
use super::door::Registries;
use super::images::here;
use super::source::{Reading, WatchedSource};
use super::{Key, Reconciler, Session};
use crate::compose::{self, RenderedStack};
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::docker::{NodeImages, Roll, Swarm};
use crate::git::Commit;
use crate::image::ImageRef;
use crate::plan::{Decision, Facts, How, Tags};
use crate::registry::Answer;
use crate::settings::PullPolicy;
use crate::state::{StackRow, StackStatus};
use crate::watched::Watched;

/// What registries said in this run.
#[derive(Debug, Default)]
pub struct Rolls {
    registries: Option<Box<dyn Registries>>,
    /// By tag: each is asked for once.
    answers: BTreeMap<ImageRef, Answer>,
    /// The repositories of images that are built here and pushed nowhere.
    local: BTreeSet<ImageRef>,
    /// Whether what registries refused was said.
    warned: bool,
}

/// A service that runs a tag as it was applied.
struct Running {
    service: String,
    tag: ImageRef,
    runs: ImageRef,
}

impl Rolls {
    /// What the registry said of a tag; `None` where it was not asked, or did not answer.
    pub fn digest(&self, image: &ImageRef) -> Option<&str> {
        self.answers.get(image)?.as_ref().ok().map(String::as_str)
    }

    /// Asks for the tags that were not asked for so far in this run.
    pub fn ask<'a>(
        &mut self,
        session: &Session<'_>,
        images: impl IntoIterator<Item = &'a ImageRef>,
    ) -> Result<()> {
        let images = images.into_iter();
        let new = images.filter(|image| image.digest().is_none() && !self.answers.contains_key(image));
        let new: BTreeSet<_> = new.cloned().collect();
        if !new.is_empty() {
            let registries = self.registries.get_or_insert_with(|| session.door.registries());
            self.answers.extend(registries.ask(new)?);
        }
        Ok(())
    }

    /// Whether a registry may know what an image's tag names: not of one with a digest, which names itself, nor
    /// of one that was built here and pushed nowhere.
    pub fn is_asked_for(&self, image: &ImageRef) -> bool {
        image.digest().is_none() && local_repository(image).is_none_or(|local| !self.local.contains(&local))
    }

    fn know_built<'a>(&mut self, built: impl Iterator<Item = &'a ImageRef>) {
        self.local.extend(built.filter_map(local_repository));
    }

    /// The services of a stack that run a tag as it was applied.
    fn running(&self, source: &WatchedSource, row: &StackRow, swarm: &Swarm) -> Vec<Running> {
        let is_due = source.wish.selection.holds(&row.name);
        let applied = (row.status == StackStatus::Deployed || row.held) && is_due;
        let services = row.services.iter().filter(|_| applied);
        services
            .filter_map(|(name, service)| {
                let tag = ImageRef::parse(service.image.as_ref()?).ok();
                let tag = tag.filter(|image| self.is_asked_for(image))?;
                let live = swarm.of_stack(&row.name).find(|live| live.name == *name)?;
                if source.wish.pushed.as_ref().is_some_and(|pushed| *pushed != tag) {
                    return None;
                }
                // One that was edited by hand is drift, and dealt with as such.
                let runs = ImageRef::parse(&live.image).ok().filter(|runs| runs.unpinned() == tag)?;
                Some(Running { service: name.clone(), tag, runs })
            })
            .collect()
    }

    /// The services of a stack whose tag names another digest than they run. A digest that Swarm went back
    /// from is not tried again.
    fn moved(
        &self,
        session: &Session<'_>,
        known: &mut Option<NodeImages>,
        source: &WatchedSource,
        row: &StackRow,
        swarm: &Swarm,
    ) -> Result<Vec<Roll>> {
        let mut rolls = Vec::new();
        for Running { service, tag, runs } in self.running(source, row, swarm) {
            let Some(digest) = self.digest(&tag) else { continue };
            let pinned = tag.pinned(digest);
            let same = match runs.digest() {
                Some(running) => running == digest,
                // Swarm could not ask when it was deployed: its tasks run what their nodes had.
                None => has(here(known, session.door)?, &tag, digest),
            };
            if !same && session.state.failed_roll(&service)?.as_deref() != Some(&*pinned.to_string()) {
                rolls.push(Roll { service, image: pinned });
            }
        }
        Ok(rolls)
    }

    /// Whether all services that Swarm went back to run what their tags name by now.
    fn are_live_again(
        &self,
        session: &Session<'_>,
        source: &WatchedSource,
        row: &StackRow,
        swarm: &Swarm,
    ) -> Result<bool> {
        let mut went_back = false;
        for Running { service, tag, runs } in
            self.running(source, row, swarm).into_iter().filter(|_| row.held)
        {
            if session.state.failed_roll(&service)?.is_some() {
                went_back = true;
                if runs.digest().is_none_or(|digest| self.digest(&tag) != Some(digest)) {
                    return Ok(false);
                }
            }
        }
        Ok(went_back)
    }

    /// What registries said of the tags of a stack, beside what its services run.
    fn tags(&self, rendered: &RenderedStack, swarm: &Swarm) -> Tags {
        let names_what_runs = |service: &compose::Service| {
            let Some(image) = service.image.as_ref().filter(|image| self.is_asked_for(image)) else {
                return true;
            };
            let runs =
                live(rendered, &service.name, swarm).and_then(|live| ImageRef::parse(&live.image).ok());
            let runs = runs.as_ref().and_then(ImageRef::digest);
            runs.is_some_and(|digest| self.digest(image) == Some(digest))
        };
        if rendered.services.iter().all(names_what_runs) { Tags::Live } else { Tags::Other }
    }

    /// Whether docker may ask for every tag of a stack anew. For one that its registry does not answer docker
    /// would drop the digest that runs, and so restart a service that did not change.
    fn all_are_known(&self, rendered: &RenderedStack, swarm: &Swarm) -> bool {
        rendered.services.iter().all(|service| {
            let Some(image) = service.image.as_ref().filter(|image| image.digest().is_none()) else {
                return true;
            };
            let live = live(rendered, &service.name, swarm);
            let pinned = live.is_some_and(|live| live.image.contains('@'));
            !pinned || self.digest(image).is_some()
        })
    }

    fn warn(&mut self, session: &Session<'_>) {
        if std::mem::replace(&mut self.warned, true) {
            return;
        }
        let mut refusals: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (image, answer) in &self.answers {
            if let Err(refusal) = answer {
                refusals.entry((image.registry(), refusal)).or_default().push(image);
            }
        }
        for ((registry, refusal), images) in refusals {
            let names: Vec<_> = images.iter().map(ToString::to_string).collect();
            let which = match names.as_slice() {
                [first, _, _, _, ..] => format!("{first} and {} more", names.len() - 1),
                few => few.join(", "),
            };
            let what = format!("its registry `{registry}` {refusal}; what is here is used");
            session.report.note(&which, &what);
        }
    }
}

/// A service of a stack as Swarm has it.
pub fn live<'a>(rendered: &RenderedStack, service: &str, swarm: &'a Swarm) -> Option<&'a Service> {
    let name = rendered.name.scope(service);
    swarm.services.iter().find(|live| live.stack == rendered.name && live.name == name)
}

/// Whether `image` on this node is what `digest` names: its `RepoDigests` hold it.
fn has(here: &NodeImages, image: &ImageRef, digest: &str) -> bool {
    let pulled = image.repository().pinned(digest);
    let tagged = here.id(&image.to_string());
    tagged.is_some() && tagged == here.id(&pulled.to_string())
}

/// The repository of an image that bears the tag of one which is not pushed.
fn local_repository(image: &ImageRef) -> Option<ImageRef> {
    let is_local = image.digest().is_none() && image.tag().is_some_and(|tag| tag.starts_with(LOCAL_TAG));
    is_local.then(|| image.repository())
}

/// Whether the tags of a source's services are compared with their registries.
pub fn compares(session: &Session<'_>, source: &WatchedSource) -> bool {
    session.pull_policy == PullPolicy::Always || source.wish.pushed.is_some()
}

impl Reconciler {
    /// A source without work gets some where a tag that its services run has moved.
    pub fn survey_tags(
        &mut self,
        session: &Session<'_>,
        asked: &mut [(WatchedSource, Option<Commit>)],
        watched: &[Watched],
        swarm: &Swarm,
    ) -> Result<()> {
        if !asked.iter().any(|(source, _)| compares(session, source)) {
            return Ok(());
        }
        let memory = &mut self.memory;
        let built = watched.iter().flat_map(|known| &known.builds).filter_map(|row| row.reference.as_ref());
        let built: Vec<_> = built.filter_map(|text| ImageRef::parse(text).ok()).collect();
        memory.rolls.know_built(built.iter());
        let is_idle = |(source, work): &&mut (WatchedSource, Option<Commit>)| {
            work.is_none() && matches!(source.reading, Reading::Unchanged) && compares(session, source)
        };
        let mut idle: Vec<_> = asked.iter_mut().filter(is_idle).collect();
        let running = idle.iter().flat_map(|(source, _)| {
            source.stacks.iter().flat_map(|row| memory.rolls.running(source, row, swarm))
        });
        let tags: Vec<_> = running.map(|running| running.tag).collect();
        memory.rolls.ask(session, &tags)?;
        for (source, work) in &mut idle {
            for row in &source.stacks {
                if memory.rolls.are_live_again(session, source, row, swarm)?
                    || !memory.rolls.moved(session, &mut memory.here, source, row, swarm)?.is_empty()
                {
                    work.clone_from(&source.head);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Asks for the tags of what is to be deployed, and of what runs as it should; says what could not be asked.
    pub fn ask_registries(
        &mut self,
        session: &Session<'_>,
        decisions: &[(Key, Decision)],
        swarm: &Swarm,
    ) -> Result<()> {
        if !self.sources.iter().any(|source| compares(session, source)) {
            return Ok(());
        }
        let images = self.sources.iter().filter_map(WatchedSource::read).flat_map(|read| &read.images);
        let built: Vec<_> = images
            .filter_map(|image| match &image.state {
                ImageState::Ready(reference) => Some(reference.clone()),
                _ => None,
            })
            .collect();
        self.memory.rolls.know_built(built.iter());
        let mut wanted = BTreeSet::new();
        for (key, decision) in decisions {
            let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { continue };
            let Some(rendered) = source.desired(&key.stack).and_then(|desired| desired.rendered()) else {
                continue;
            };
            if !compares(session, source) {
                continue;
            }
            let images = rendered.services.iter().filter_map(|service| service.image.as_ref());
            match (decision, source.stack(&key.stack)) {
                (Decision::Apply(apply), _) if matches!(apply.how, How::Deploy { .. }) => {
                    wanted.extend(images.filter(|image| self.memory.rolls.is_asked_for(image)).cloned());
                }
                (Decision::InSync { .. } | Decision::Blocked(_), Some(row)) => {
                    wanted.extend(
                        images.filter(|image| row.held && self.memory.rolls.is_asked_for(image)).cloned(),
                    );
                    let running = self.memory.rolls.running(source, row, swarm);
                    wanted.extend(running.into_iter().map(|running| running.tag));
                }
                _ => {}
            }
        }
        self.memory.rolls.ask(session, &wanted)?;
        self.memory.rolls.warn(session);
        Ok(())
    }

    /// What registries said that matters to a stack.
    pub fn note_tags(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        swarm: &Swarm,
        facts: &mut Facts<'_>,
    ) -> Result<()> {
        let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { return Ok(()) };
        let Some(rendered) = source.desired(&key.stack).and_then(|desired| desired.rendered()) else {
            return Ok(());
        };
        if !compares(session, source) {
            return Ok(());
        }
        let memory = &mut self.memory;
        facts.tags = memory.rolls.tags(rendered, swarm);
        if memory.rolls.all_are_known(rendered, swarm) || is_broken!(LosesDigests) {
            facts.resolve = ResolveImage::Always;
        }
        if let Some(row) = source.stack(&key.stack).filter(|row| row.hash == rendered.fingerprint) {
            facts.rolls = memory.rolls.moved(session, &mut memory.here, source, row, swarm)?;
        }
        Ok(())
    }
}
