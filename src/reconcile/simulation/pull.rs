//! How one who acts asks registries, and pulls.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::clock::Millis;
use super::registry::tag_of;
use super::rules::IDLE;
use super::spec::pinned;
use super::world::{Shared, controller};
use crate::image::ImageRef;
use crate::reconcile::door::{News, Puller, Registries};
use crate::registry::{Answer, Refusal};
use crate::source::SourceId;

/// The registries of a run.
#[derive(Debug)]
pub struct SimRegistries {
    world: Shared,
    actor: usize,
}

impl SimRegistries {
    pub fn new(world: &Shared, actor: usize) -> Self {
        Self { world: Rc::clone(world), actor }
    }
}

impl Registries for SimRegistries {
    fn ask(&mut self, images: BTreeSet<ImageRef>) -> Result<BTreeMap<ImageRef, Answer>> {
        let mut world = self.world.borrow_mut();
        if !world.always[controller(self.actor)] {
            world.breaks(IDLE, format!("{} registries are asked, and no tags are compared", images.len()));
        }
        let answer = |image: ImageRef| {
            let tag = tag_of(&image);
            let named = world.swarm.nodes.registry.named(tag).map_err(Refusal);
            let digest = |content| pinned(tag, content).split_once('@').unwrap().1.to_owned();
            (image, named.map(digest))
        };
        Ok(images.into_iter().map(answer).collect())
    }
}

/// The pulls of a run: each takes as long as its tag says.
#[derive(Debug)]
pub struct SimPuller {
    world: Shared,
    actor: usize,
    under_way: Vec<(String, u16, Millis)>,
}

impl SimPuller {
    pub fn new(world: &Shared, actor: usize) -> Self {
        Self { world: Rc::clone(world), actor, under_way: Vec::new() }
    }
}

impl Puller for SimPuller {
    fn want(&mut self, _: &SourceId, image: &str) {
        let mut world = self.world.borrow_mut();
        let (actor, tag) = (self.actor, tag_of(&ImageRef::parse(image).unwrap()));
        let until = world.now + [0, 1_500, 12_000][usize::from(tag % 3)];
        world.views[actor].acts += 1;
        world.tell(|| format!("  {actor}: pulls `{image}`"));
        self.under_way.push((image.to_owned(), tag, until));
    }

    fn begin_more(&mut self) {}

    fn news(&mut self) -> Vec<(String, News)> {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let ended = self.under_way.extract_if(.., |(.., until)| *until <= now);
        let news = ended.map(|(image, tag, _)| (image, News::Ended(world.swarm.nodes.registry.pull(tag))));
        news.collect()
    }

    fn wait(&mut self, _: Duration) {}
}
