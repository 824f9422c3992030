//! Which images are to come: what registries say of tags under `always`, and what is absent on this node.
//!
//! Under `ifnotpresent` no registry is asked. Under `always` each tag is asked for once a run: those of
//! sources without work first, since one that moved is work; the others once their files were read.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use anyhow::Result;

use super::build::LOCAL_TAG;
use super::planned::Planned;
use super::survey::{Finding, Surveyed};
use super::{Only, Options, Session, Target};
use crate::compose::RenderedStack;
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::docker::spec::IMAGE_LABEL;
use crate::docker::{NodeImages, Roll, Swarm};
use crate::image::ImageRef;
use crate::plan::Action;
use crate::registry::Registries;
use crate::settings::PullPolicy;
use crate::state::{StackRow, StackStatus};
use crate::watched::Watched;

/// What is known of images in this run.
pub struct Images<'a> {
    session: &'a Session<'a>,
    swarm: &'a Swarm,
    only: Option<&'a Only>,
    registries: Registries,
    /// The repositories of images that are built here and pushed nowhere.
    local: BTreeSet<ImageRef>,
    here: OnceCell<NodeImages>,
    /// Whether what registries refused was said.
    warned: bool,
}

impl<'a> Images<'a> {
    /// Asks nobody yet.
    pub fn new(
        session: &'a Session<'a>,
        swarm: &'a Swarm,
        watched: &[Watched],
        options: &'a Options,
    ) -> Self {
        let docker = session.docker.clone();
        let insecure = Box::new(move || docker.insecure_registries());
        let registries = Registries::new(session.registry, insecure);
        let only = options.only.as_ref();
        let built = watched.iter().flat_map(|known| &known.builds).filter_map(|row| row.reference.as_ref());
        let local = built.filter_map(|text| local_repository(&ImageRef::parse(text).ok()?)).collect();
        Self { session, swarm, only, registries, local, here: OnceCell::new(), warned: false }
    }

    /// Whether a registry may know what an image's tag names: not of one with a digest, which names itself, nor
    /// of one that was built here and pushed nowhere.
    fn is_asked_for(&self, image: &ImageRef) -> bool {
        image.digest().is_none() && local_repository(image).is_none_or(|local| !self.local.contains(&local))
    }

    fn compares(&self) -> bool {
        self.session.pull_policy == PullPolicy::Always || self.pushed().is_some()
    }

    fn pushed(&self) -> Option<&ImageRef> {
        self.only?.pushed.as_ref()
    }

    /// Whether a stack's services are compared with what their tags name: in a run for some, those of no other.
    fn is_due(&self, row: &StackRow) -> bool {
        self.only.is_none_or(|only| only.stacks.contains(&row.name))
    }

    /// Images were built: what is on this node is looked at anew.
    pub fn look_again(&mut self) {
        self.here = OnceCell::new();
    }

    /// What is on this node; docker is asked at most once.
    pub fn here(&self) -> Result<&NodeImages> {
        if let Some(here) = self.here.get() {
            return Ok(here);
        }
        let here = self.session.docker.node_images()?;
        Ok(self.here.get_or_init(|| here))
    }

    /// A source without work gets some where a tag that its services run has moved.
    pub fn survey(&mut self, surveyed: &mut [Surveyed], watched: &[Watched]) -> Result<()> {
        if !self.compares() {
            return Ok(());
        }
        let rows = |target: &Target| {
            let known = watched.iter().find(|known| Some(&known.row) == target.row.as_ref());
            known.map(|known| known.stacks.as_slice()).unwrap_or_default()
        };
        let idle = surveyed.iter().filter(|surveyed| matches!(surveyed.finding, Finding::Idle(_)));
        let running: Vec<_> =
            idle.flat_map(|surveyed| rows(&surveyed.target)).map(|row| self.running(row)).collect();
        self.registries.ask(running.iter().flatten().map(|(_, image, _)| image))?;
        for surveyed in surveyed {
            let Finding::Idle(commit) = &surveyed.finding else { continue };
            for row in rows(&surveyed.target) {
                if !self.moved(row)?.is_empty() {
                    surveyed.finding = Finding::Work(commit.clone());
                    break;
                }
            }
        }
        Ok(())
    }

    /// Asks for the rest, makes moved tags part of the plan, and says what could not be asked.
    pub fn compare(&mut self, planned: &mut Planned) -> Result<()> {
        if !self.compares() {
            return Ok(());
        }
        let mut wanted = BTreeSet::new();
        self.local.extend(planned.built().filter_map(local_repository));
        for source in &planned.sources {
            for step in &source.steps {
                let rendered =
                    source.desired(&step.name).and_then(|desired| desired.rendered.as_ref()?.as_ref().ok());
                match (&step.action, rendered, source.stack(&step.name)) {
                    (Action::Deploy { .. }, Some(rendered), _) => {
                        wanted.extend(images(rendered).filter(|image| self.is_asked_for(image)).cloned());
                    }
                    (Action::Unchanged | Action::Report(_) | Action::Held(_), Some(_), Some(row)) => {
                        wanted.extend(self.running(row).into_iter().map(|(_, image, _)| image));
                    }
                    _ => {}
                }
            }
        }
        self.registries.ask(&wanted)?;
        for source in &mut planned.sources {
            let mut changes = Vec::new();
            for (index, step) in source.steps.iter().enumerate() {
                let rendered =
                    source.desired(&step.name).and_then(|desired| desired.rendered.as_ref()?.as_ref().ok());
                let Some(rendered) = rendered else { continue };
                let row = source.stack(&step.name).filter(|row| row.hash == rendered.fingerprint);
                let action = match (&step.action, row) {
                    (Action::Deploy { reason, .. }, _) if self.all_are_known(rendered) => {
                        let (reason, resolve) = (reason.clone(), ResolveImage::Always);
                        Some(Action::Deploy { reason, resolve, edited: Vec::new() })
                    }
                    (Action::Unchanged | Action::Held(_), Some(row)) => roll(self.moved(row)?, Vec::new()),
                    (Action::Report(drifts), Some(row)) => roll(self.moved(row)?, drifts.clone()),
                    _ => None,
                };
                changes.extend(action.map(|action| (index, action)));
            }
            for (index, action) in changes {
                source.steps[index].action = action;
            }
        }
        if !std::mem::replace(&mut self.warned, true) {
            self.warn();
        }
        Ok(())
    }

    fn warn(&self) {
        for ((registry, refusal), images) in self.registries.refusals() {
            let names: Vec<_> = images.iter().map(ToString::to_string).collect();
            let which = match names.as_slice() {
                [first, _, _, _, ..] => format!("{first} and {} more", names.len() - 1),
                few => few.join(", "),
            };
            let what = format!("its registry `{registry}` {refusal}; what is here is used");
            self.session.report.note(&which, &what);
        }
    }

    /// The services of a stack that run a tag as it was applied: name, tag, and what runs.
    fn running(&self, row: &StackRow) -> Vec<(String, ImageRef, ImageRef)> {
        let applied = (row.status == StackStatus::Deployed || row.held) && self.is_due(row);
        let services = row.services.iter().filter(|_| applied);
        services
            .filter_map(|(name, service)| {
                let image = ImageRef::parse(service.image.as_ref()?).ok();
                let image = image.filter(|image| self.is_asked_for(image))?;
                let live = self.swarm.of_stack(&row.name).find(|live| live.name == *name)?;
                if self.pushed().is_some_and(|pushed| *pushed != image) {
                    return None;
                }
                // One that was edited by hand is drift, and dealt with as such.
                let runs = ImageRef::parse(live.image()).ok().filter(|runs| runs.unpinned() == image)?;
                Some((name.clone(), image, runs))
            })
            .collect()
    }

    /// The services of a stack whose tag names another digest than they run. A digest that Swarm went back
    /// from is not tried again.
    fn moved(&self, row: &StackRow) -> Result<Vec<Roll>> {
        let mut rolls = Vec::new();
        for (service, image, runs) in self.running(row) {
            let Some(Ok(digest)) = self.registries.answer(&image) else { continue };
            let pinned = image.pinned(digest);
            let same = match runs.digest() {
                Some(running) => running == digest,
                // Swarm could not ask when it was deployed: its tasks run what their nodes had.
                None => self.has(&image, digest)?,
            };
            if !same && self.session.state.failed_roll(&service)?.as_deref() != Some(&*pinned.to_string()) {
                rolls.push(Roll { service, image: pinned });
            }
        }
        Ok(rolls)
    }

    /// Whether `image` on this node is what `digest` names: its `RepoDigests` hold it.
    fn has(&self, image: &ImageRef, digest: &str) -> Result<bool> {
        let (here, pulled) = (self.here()?, image.repository().pinned(digest));
        let tagged = here.id(&image.to_string());
        Ok(tagged.is_some() && tagged == here.id(&pulled.to_string()))
    }

    /// Whether docker may ask for every tag of a stack anew. For one that its registry does not answer docker
    /// would drop the digest that runs, and so restart a service that did not change.
    fn all_are_known(&self, rendered: &RenderedStack) -> bool {
        rendered.services.iter().all(|service| {
            let Some(image) = service.image.as_ref().filter(|image| image.digest().is_none()) else {
                return true;
            };
            let live = self.live(rendered, &service.name);
            let pinned = live.is_some_and(|live| live.image().contains('@'));
            !pinned || self.registries.answer(image).is_some_and(Result::is_ok)
        })
    }

    fn live<'b>(&'b self, rendered: &'b RenderedStack, service: &str) -> Option<&'b Service> {
        let name = rendered.name.scope(service);
        self.swarm.of_stack(&rendered.name).find(|live| live.name == name)
    }

    /// What is to be on this node before `rendered` is deployed, and is not.
    pub fn absent(&self, rendered: &RenderedStack, resolve: ResolveImage) -> Result<BTreeSet<String>> {
        let mut absent = BTreeSet::new();
        for service in &rendered.services {
            let Some(image) = &service.image else { continue };
            let live = self.live(rendered, &service.name);
            let noted = live.and_then(|live| ImageRef::parse(live.labels.get(IMAGE_LABEL)?).ok());
            let runs = live.and_then(|live| ImageRef::parse(live.image()).ok());
            let stays =
                noted.as_ref() == Some(image) && runs.is_some_and(|runs| runs.unpinned() == image.unpinned());
            let here = match (image.pulled(), self.registries.answer(image)) {
                (Some(pulled), _) => self.here()?.has(&pulled),
                (None, Some(Ok(digest))) => self.here()?.has(&image.repository().pinned(digest)),
                (None, _) => self.here()?.has(image),
            };
            // docker keeps what such a service runs.
            let kept = stays && resolve == ResolveImage::Changed;
            if !here && !kept {
                absent.insert(image.to_string());
            }
        }
        Ok(absent)
    }

    /// Likewise before services roll: by tag, so that the tag moves here as well.
    pub fn absent_of(&self, rolls: &[Roll]) -> Result<BTreeSet<String>> {
        let here = self.here()?;
        let absent = |roll: &&Roll| roll.image.pulled().is_some_and(|pulled| !here.has(&pulled));
        Ok(rolls.iter().filter(absent).map(|roll| roll.image.unpinned().to_string()).collect())
    }
}

fn images(rendered: &RenderedStack) -> impl Iterator<Item = &ImageRef> {
    rendered.services.iter().filter_map(|service| service.image.as_ref())
}

/// The repository of an image that bears the tag of one which is not pushed.
fn local_repository(image: &ImageRef) -> Option<ImageRef> {
    let is_local = image.digest().is_none() && image.tag().is_some_and(|tag| tag.starts_with(LOCAL_TAG));
    is_local.then(|| image.repository())
}

fn roll(rolls: Vec<Roll>, drifts: Vec<crate::drift::Drift>) -> Option<Action> {
    (!rolls.is_empty()).then_some(Action::Roll { rolls, drifts })
}

/// A roll in words.
pub fn sentence(rolls: &[Roll]) -> String {
    let images: BTreeSet<_> = rolls.iter().map(|roll| &roll.image).collect();
    let line = |image: &&ImageRef| {
        let services =
            rolls.iter().filter(|roll| roll.image == **image).map(|roll| format!("`{}`", roll.service));
        let digest: String = image.digest().unwrap_or_default().chars().take("sha256:".len() + 12).collect();
        format!("`{}` is `{digest}` now, for {}", image.unpinned(), services.collect::<Vec<_>>().join(", "))
    };
    images.iter().map(line).collect::<Vec<_>>().join("; ")
}
