//! The images of this node: what is to come before a stack is deployed, and what was here before DockerOps.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::builds::ImageState;
use super::door::Door;
use super::pulls::{is_denied, is_for_other_platforms};
use super::rolls::live;
use super::source::WatchedSource;
use super::versions::ran_by;
use super::{Key, Reconciler, Session};
use crate::compose::{FINGERPRINT, RenderedStack};
use crate::convergence;
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::docker::spec::IMAGE_LABEL;
use crate::docker::task::Task;
use crate::docker::{NodeImages, Roll, SeenTasks, Swarm};
use crate::fault::fault;
use crate::image::ImageRef;
use crate::plan::{RunJobs, image_edited};
use crate::state::{Jobs, WorkKind};

/// What is on this node; docker is asked once a run, and again after builds and pulls.
pub fn here<'a>(known: &'a mut Option<NodeImages>, door: &dyn Door) -> Result<&'a NodeImages> {
    match known {
        Some(here) => Ok(here),
        None => Ok(known.insert(door.node_images()?)),
    }
}

/// Whether the images of a stack are here.
pub enum Pulled {
    /// They are, or could not be had: the nodes may have better luck.
    Done,
    /// They are being pulled.
    UnderWay,
    /// This one could not be, and why.
    Failed(String, String),
}

impl Reconciler {
    /// Brings what `rendered` lacks here, in the background. A tag that its registry denies is an error.
    pub fn bring(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        (rendered, jobs): (&RenderedStack, Option<&Jobs>),
        resolve: ResolveImage,
        swarm: &Swarm,
    ) -> Result<Pulled> {
        if !self.memory.pulls.contains_key(key) {
            self.note_foreign_images(session, rendered)?;
            let absent = self.absent(session, (rendered, jobs), resolve, swarm)?;
            self.pull(session, key, absent)?;
        }
        Ok(match self.pulled(key) {
            Pulled::Failed(image, why) if is_denied(&why) && !is_broken!(DeploysWhatIsDenied) => {
                bail!("not deployed: `{image}` cannot be pulled: {why}")
            }
            // Given again it would be gone back from again, with the tasks it stops on the way.
            Pulled::Failed(image, why) if self.went_back(key, swarm) => {
                return Err(fault(
                    format!(
                        "not deployed: Swarm went back from its last update, and `{image}` cannot be pulled now either: \
                         {why}"
                    ),
                    "the next run tries again; `dockerops reconcile --force` does not wait for the image",
                ));
            }
            Pulled::Failed(..) => Pulled::Done,
            other => other,
        })
    }

    /// What each tag of a stack names, by the full names of its services, for all steps of a deploy. What docker keeps
    /// stays: of a tag that a job ran, the image it ran by, since no service is to pass its migration. Registries are
    /// asked for the others.
    pub fn named(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        rendered: &RenderedStack,
        jobs: &Jobs,
        (run, resolve): (&RunJobs, ResolveImage),
        swarm: &Swarm,
    ) -> Result<BTreeMap<String, String>> {
        let tags = rendered.services.iter().filter_map(|service| {
            let tag = service.image.as_ref().filter(|image| self.memory.rolls.is_asked_for(image))?;
            Some((rendered.name.scope(&service.name), tag.clone()))
        });
        let tags: Vec<_> = tags.collect();
        let live: Vec<_> = swarm.of_stack(&rendered.name).collect();
        let runs = |service: &Service, tag: &ImageRef| {
            let image = ImageRef::parse(&service.image).ok()?;
            (image.digest().is_some() && image.unpinned() == *tag && !image_edited(service)).then_some(image)
        };
        // What is put back runs by what its version ran by.
        let ran = match run {
            RunJobs::No => ran_by(session, (&key.stack, &self.source(key)?.url), &rendered.fingerprint)?,
            _ => BTreeMap::new(),
        };
        let ran = |name: &String, tag: &ImageRef| {
            let image = ImageRef::parse(ran.get(name)?.as_deref()?).ok()?;
            (image.digest().is_some() && image.unpinned() == *tag).then_some(image)
        };
        let kept = |name: &String, tag: &ImageRef| {
            let own = live.iter().find(|live| live.name == *name).and_then(|live| runs(live, tag));
            let of = |is_job: bool| {
                let mut its = live.iter().filter(|live| jobs.has(&live.name) == is_job);
                its.find_map(|live| runs(live, tag))
            };
            match run {
                RunJobs::No => own.or_else(|| ran(name, tag)).or_else(|| of(true)),
                _ if resolve == ResolveImage::Always => None,
                _ => of(true).or(own).or_else(|| of(false)),
            }
        };
        let kept: BTreeMap<_, _> =
            tags.iter().filter_map(|(name, tag)| Some((name.clone(), kept(name, tag)?))).collect();
        let rest = tags.iter().filter(|(name, _)| !kept.contains_key(name)).map(|(_, tag)| tag);
        self.memory.rolls.ask(session, rest)?;
        let image = |(name, tag): (String, ImageRef)| {
            let asked = || Some(tag.pinned(self.memory.rolls.digest(&tag)?));
            let image = kept.get(&name).cloned().or_else(asked)?;
            Some((name, image.to_string()))
        };
        Ok(tags.into_iter().filter_map(image).collect())
    }

    /// Whether Swarm went back from what failed last, and nobody wishes for more of it by force.
    fn went_back(&self, key: &Key, swarm: &Swarm) -> bool {
        let has_failed = |source: &WatchedSource| {
            !source.forced.contains_key(&key.stack)
                && source.stack(&key.stack).is_some_and(|row| row.error.is_some())
        };
        self.source(key).is_ok_and(has_failed) && swarm.of_stack(&key.stack).any(Service::goes_back)
    }

    /// Whether one of its images could not be had here in this run: what its nodes made of that says little of it.
    pub fn lacks_an_image(&self, key: &Key) -> bool {
        matches!(self.pulled(key), Pulled::Failed(..))
    }

    /// What Swarm paused for want of an image is not given again as long as a node lacks it: of the tasks that still run
    /// as before Swarm would take the next.
    pub fn nodes_can_pull(
        &self,
        session: &Session<'_>,
        key: &Key,
        rendered: &RenderedStack,
        resolve: ResolveImage,
        swarm: &Swarm,
    ) -> Result<()> {
        let is_same = |live: &&Service| live.labels.get(FINGERPRINT) == Some(&rendered.fingerprint);
        let paused = swarm.of_stack(&key.stack).filter(|live| live.is_paused()).filter(is_same);
        let paused: BTreeSet<_> = paused.map(|live| live.name.as_str()).collect();
        if paused.is_empty() || self.source(key)?.forced.contains_key(&key.stack) {
            return Ok(());
        }
        let mut seen = SeenTasks::default();
        let (swarm, tasks) = session.door.observe_tasks(&BTreeSet::from([&key.stack]), &paused, &mut seen)?;
        // Its tag may name one by now that can be had, and that docker asks for.
        let has_moved = |live: &Service| {
            let wanted = ImageRef::parse(&live.image).ok();
            let named = wanted.as_ref().and_then(|wanted| self.memory.rolls.digest(&wanted.unpinned()));
            resolve == ResolveImage::Always
                && named.is_some()
                && named != wanted.as_ref().and_then(ImageRef::digest)
        };
        let lacking = swarm.services.iter().filter(|live| paused.contains(live.name.as_str()));
        for live in lacking.filter(|live| !has_moved(live)) {
            let own: Vec<_> = tasks.iter().filter(|task| task.service == live.id).collect();
            if let Some(why) = convergence::lacks_image(live, &own).and_then(Task::complaint) {
                bail!(
                    "`{}`: Swarm paused its update, which goes on when its nodes have the image: {why}",
                    live.name
                );
            }
        }
        Ok(())
    }

    /// As `bring`, before services roll: by tag, so that the tag moves here as well.
    pub fn bring_rolls(&mut self, session: &Session<'_>, key: &Key, rolls: &[Roll]) -> Result<Pulled> {
        if !self.memory.pulls.contains_key(key) {
            let here = here(&mut self.memory.here, session.door)?;
            let absent = |roll: &&Roll| roll.image.pulled().is_some_and(|pulled| !here.has(&pulled));
            let absent = rolls.iter().filter(absent).map(|roll| roll.image.unpinned().to_string()).collect();
            self.pull(session, key, absent)?;
        }
        let pulled = self.pulled(key);
        if matches!(pulled, Pulled::Done) {
            let here = here(&mut self.memory.here, session.door)?;
            let tag = |roll: &Roll| roll.image.unpinned().to_string();
            let lacks = |roll: &&Roll| {
                roll.image.pulled().is_some_and(|pulled| !here.has(&pulled))
                    && self.pulls.failure(&tag(roll)).is_none()
            };
            if let Some(roll) = rolls.iter().find(lacks) {
                let why = format!("its registry named `{}`, and gave another image for it", roll.image);
                return Ok(Pulled::Failed(tag(roll), why));
            }
        }
        Ok(pulled)
    }

    fn pull(&mut self, session: &Session<'_>, key: &Key, absent: BTreeSet<String>) -> Result<()> {
        for image in absent.iter().filter(|image| !self.pulls.is_under_way(image)) {
            session.state.begin_work(&self.run(), WorkKind::Pulling, image)?;
        }
        self.pulls.want(session.door, &key.source, &absent);
        self.memory.pulls.insert(key.clone(), absent);
        Ok(())
    }

    fn pulled(&self, key: &Key) -> Pulled {
        let images = self.memory.pulls.get(key).into_iter().flatten();
        if images.clone().any(|image| self.pulls.is_under_way(image)) {
            return Pulled::UnderWay;
        }
        let mut failed = images.filter_map(|image| Some((image, self.pulls.failure(image)?)));
        match failed.find(|(_, why)| !is_for_other_platforms(why)) {
            Some((image, why)) => Pulled::Failed(image.clone(), why.to_owned()),
            None => Pulled::Done,
        }
    }

    /// What is to be on this node before `rendered` is deployed, and is not.
    fn absent(
        &mut self,
        session: &Session<'_>,
        (rendered, jobs): (&RenderedStack, Option<&Jobs>),
        resolve: ResolveImage,
        swarm: &Swarm,
    ) -> Result<BTreeSet<String>> {
        let mut absent = BTreeSet::new();
        for service in &rendered.services {
            let Some(image) = &service.image else { continue };
            let live = live(rendered, &service.name, swarm);
            let noted = live.and_then(|live| ImageRef::parse(live.labels.get(IMAGE_LABEL)?).ok());
            let runs = live.and_then(|live| ImageRef::parse(&live.image).ok());
            let stays =
                noted.as_ref() == Some(image) && runs.is_some_and(|runs| runs.unpinned() == image.unpinned());
            let here = here(&mut self.memory.here, session.door)?;
            let named = jobs.and_then(|jobs| jobs.image(&rendered.name.scope(&service.name)));
            let named = named.and_then(|named| ImageRef::parse(named).ok());
            let other = named.as_ref().is_some_and(|named| {
                live.is_none_or(|live| ImageRef::parse(&live.image).ok().as_ref() != Some(named))
            });
            let pulled = named.and_then(|named| named.pulled()).or_else(|| image.pulled());
            let is_here = match (pulled, self.memory.rolls.digest(image)) {
                (Some(pulled), _) => here.has(&pulled),
                (None, Some(digest)) => here.has(&image.repository().pinned(digest)),
                (None, None) => here.has(image),
            };
            // docker keeps what such a service runs.
            let kept = stays && !other && resolve == ResolveImage::Changed;
            if !is_here && !kept {
                absent.insert(image.to_string());
            }
        }
        Ok(absent)
    }

    /// Images that lie here before DockerOps first deploys them are somebody else's. Those that are built here are
    /// our own.
    pub fn note_foreign_images(&mut self, session: &Session<'_>, rendered: &RenderedStack) -> Result<()> {
        let tracked: BTreeSet<_> = session.state.images()?.into_iter().map(|row| row.name).collect();
        let new = self.unnoted(rendered, &tracked);
        if new.is_empty() {
            return Ok(());
        }
        // Of a repository that is tracked already, the digests on this node may be our own.
        let repositories = |names: &BTreeSet<String>| -> BTreeSet<_> {
            names.iter().filter_map(|name| Some(ImageRef::parse(name).ok()?.repository())).collect()
        };
        let (known, first) = (repositories(&tracked), repositories(&new));
        let ours: BTreeSet<_> = session.state.image_digests()?.into_values().flatten().collect();
        let here = here(&mut self.memory.here, session.door)?;
        // What somebody gave one of these tags is his by its digest as well, which is all that is left when the tag moves.
        let ids: BTreeSet<_> = new.iter().filter_map(|name| here.id(name)).collect();
        let is_theirs =
            |name: &String| here.id(name).is_some_and(|id| ids.contains(id)) && !ours.contains(name);
        let is_foreign = |name: &String| {
            let pulled = ImageRef::parse(name).ok().and_then(|image| image.pulled());
            let repository = pulled.map(|image| image.repository());
            new.contains(name)
                || repository.is_some_and(|repository| {
                    first.contains(&repository) && (!known.contains(&repository) || is_theirs(name))
                })
        };
        session
            .state
            .note_foreign_images(&here.names().filter(|name| is_foreign(name)).cloned().collect())?;
        self.memory.first_used.extend(new);
        Ok(())
    }

    /// Whether it is known whose its images are: only then they may be tracked.
    pub fn knows_images(&self, session: &Session<'_>, rendered: &RenderedStack) -> Result<bool> {
        let tracked = session.state.images()?.into_iter().map(|row| row.name).collect();
        Ok(self.unnoted(rendered, &tracked).is_empty())
    }

    /// Its images of which nobody looked yet whose they are. What this run brought is our own.
    fn unnoted(&self, rendered: &RenderedStack, tracked: &BTreeSet<String>) -> BTreeSet<String> {
        let built = self.built_names();
        let wanted = rendered.services.iter().filter_map(|service| Some(service.image.as_ref()?.to_string()));
        let is_known = |name: &String| {
            tracked.contains(name) || built.contains(name) || self.memory.first_used.contains(name)
        };
        wanted.filter(|name| !is_known(name)).collect()
    }

    /// All that is built here, by name and by what services run of it.
    fn built_names(&self) -> BTreeSet<String> {
        let images = self.sources.iter().filter_map(WatchedSource::read).flat_map(|read| &read.images);
        let mut names = BTreeSet::new();
        for image in images {
            names.insert(image.source.name.to_string());
            if let ImageState::Ready(reference) = &image.state {
                names.insert(reference.to_string());
            }
        }
        names
    }
}
