//! A source that is looked after: as it is wished, recorded and read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::builds::Image;
use super::session::{Selection, Wish};
use crate::docker::Swarm;
use crate::git::{Checkout, Commit};
use crate::image::ImageRef;
use crate::manifest::Layout;
use crate::plan::{self, Desired, DesiredStack, Task};
use crate::reading::Bindings;
use crate::report::Subject;
use crate::source::{Source, SourceId, SourceUrl};
use crate::stack::StackName;
use crate::state::{BuildRow, HoldRow, Motion, OnHold, Record, SourceRow, StackRow, StackStatus};
use crate::watched::Watched;

/// A source that is looked after.
#[derive(Debug)]
pub struct WatchedSource {
    /// Its identity, as labels have it.
    pub id: SourceId,
    /// Where it is.
    pub source: Source,
    /// As it was, or is to be, watched.
    pub url: SourceUrl,
    /// `None` only of a source that is not watched: in a dry run, or if it failed.
    pub row: Option<SourceRow>,
    /// What the database knows of its stacks.
    pub stacks: Vec<StackRow>,
    /// What the database knows of the images it builds.
    pub builds: Vec<BuildRow>,
    pub motions: Vec<Motion>,
    /// The holds by hand on it and its stacks, and which of these were on hold when they were looked at last.
    pub holds: Vec<HoldRow>,
    pub on_hold: Vec<OnHold>,
    /// The commit it names; `None` where it could not be asked.
    pub head: Option<Commit>,
    /// The stack that goes back to an earlier version: what was read may be that one's commit.
    pub back: Option<StackName>,
    /// What was read of it.
    pub reading: Reading,
    pub wish: Wish,
    /// The stacks that are still to be deployed by force, and why.
    pub forced: BTreeMap<StackName, String>,
    /// The bindings that were copied since it was read, or why not.
    pub copied: BTreeMap<String, Result<(), String>>,
    /// How often it had been read when this run read it; see `SourceRow::asked`.
    pub asked: i64,
    /// Why its remote could not be asked since it was read.
    pub unreachable: Option<anyhow::Error>,
    /// Whether another run has read it since, and decides about it.
    pub is_overtaken: bool,
    /// When this run learnt of that.
    pub overtaken_at: Option<Instant>,
    /// Whether what became of it was recorded.
    pub is_settled: bool,
    /// Whether it was looked after already, and was asked for again only by its turn.
    pub goes_on: bool,
}

/// What is known of a source.
#[derive(Debug)]
pub enum Reading {
    /// It names the commit that is known, and nothing is to be done.
    Unchanged,
    /// The commit it names has failed, and is not tried again so soon.
    BackingOff,
    /// What it declares: all of it is known, single stacks may be wrong.
    Read(Box<Read>),
    /// It could not be fetched, or it is unclear as a whole: nothing of it is deployed, and nothing removed.
    Failed(anyhow::Error),
}

#[derive(Debug)]
pub struct Read {
    /// Holds the files until docker has read them.
    pub checkout: Checkout,
    /// What names its stacks.
    pub layout: Layout,
    /// What it wants.
    pub desired: Vec<DesiredStack>,
    /// What is to be copied for it.
    pub bindings: Bindings,
    pub images: Vec<Image>,
    /// The stacks that were rolled back, since when, and of which it has another version than those they fled.
    pub mended: BTreeSet<(StackName, Option<DateTime<Utc>>)>,
    /// Whether it was read for one stack alone, at the commit of an earlier version of that.
    pub is_past: bool,
    /// Bindings that are wrong and that no stack was seen to mount, each with what is wrong.
    pub unused: Vec<(String, String)>,
}

impl Read {
    /// Of what was read: these stacks, and nothing beside them.
    pub fn of(checkout: Checkout, layout: Layout, desired: Vec<DesiredStack>) -> Self {
        let (bindings, images, mended, unused) = Default::default();
        Self { checkout, layout, desired, bindings, images, mended, is_past: false, unused }
    }

    /// Whether the files of a stack are wrong: what it would use is not known.
    pub fn is_incomplete(&self) -> bool {
        self.desired.iter().any(|desired| matches!(desired.rendered, Some(Err(_))))
    }

    pub fn image_names(&self) -> BTreeSet<String> {
        self.images.iter().map(|image| image.source.name.to_string()).collect()
    }
}

impl WatchedSource {
    pub fn read(&self) -> Option<&Read> {
        if let Reading::Read(read) = &self.reading { Some(read) } else { None }
    }

    /// Builds this image once more, where it was built since it was read.
    pub fn build_again(&mut self, image: Option<&ImageRef>) {
        let Reading::Read(read) = &mut self.reading else { return };
        for known in read.images.iter_mut().filter(|known| Some(&known.source.name) == image) {
            known.is_done = false;
        }
    }

    /// What it wants of a stack; `None` where it was not read or does not list it.
    pub fn desired(&self, name: &StackName) -> Option<&DesiredStack> {
        self.read()?.desired.iter().find(|desired| desired.entry.name == *name)
    }

    /// What the database knows of a stack.
    pub fn stack(&self, name: &StackName) -> Option<&StackRow> {
        self.stacks.iter().find(|row| row.name == *name)
    }

    /// The deploy of a stack that is in motion.
    pub fn motion(&self, name: &StackName) -> Option<&Motion> {
        self.motions.iter().find(|motion| motion.name == *name)
    }

    /// The commit that was read.
    pub fn commit(&self) -> Option<&str> {
        Some(self.read()?.checkout.commit().as_str())
    }

    /// The commit that a stack is wanted at: an earlier one, where somebody rolled it back.
    pub fn commit_of(&self, name: &StackName) -> Option<&str> {
        let past = self.desired(name).and_then(|desired| desired.past.as_ref());
        past.map(|past| past.commit.as_str()).or_else(|| self.commit())
    }

    /// Takes over what the database knows by now; what was in motion before. Where another run has read it since, that
    /// one decides, and this one only looks on.
    pub fn recorded(&mut self, known: &Watched) -> Vec<Motion> {
        let before = std::mem::replace(&mut self.motions, known.motions.clone());
        if known.row.asked > self.asked && self.asked > 0 {
            (self.reading, self.is_overtaken) = (Reading::Unchanged, true);
            self.overtaken_at.get_or_insert_with(Instant::now);
        }
        self.url.clone_from(&known.row.url);
        self.row = Some(known.row.clone());
        self.stacks.clone_from(&known.stacks);
        self.builds.clone_from(&known.builds);
        self.holds.clone_from(&known.holds);
        self.on_hold.clone_from(&known.on_hold);
        if self.is_overtaken {
            // What the other run sets in motion from now on is its own to wait for.
            let was =
                |motion: &Motion| before.iter().any(|was| was.name == motion.name && was.hash == motion.hash);
            self.motions.retain(was);
        }
        before
    }

    /// All stacks that it lists, that the database knows of it, or whose labels name it.
    pub fn names(&self, swarm: &Swarm) -> Vec<StackName> {
        let listed =
            self.read().into_iter().flat_map(|read| &read.desired).map(|desired| &desired.entry.name);
        let recorded = self.stacks.iter().map(|row| &row.name);
        let moving = self.motions.iter().map(|motion| &motion.name);
        let is_ours = |service: &&crate::docker::service::Service| plan::is_of(service, &self.id);
        let labelled = swarm.services.iter().filter(is_ours).map(|service| &service.stack);
        // A source that was not read says nothing of stacks that only labels know.
        let labelled = labelled.filter(|_| self.read().is_some());
        // Nor does it of what is on hold and never ran: an earlier run found that.
        let held = self.on_hold.iter().map(|stack| &stack.name).filter(|_| self.read().is_none());
        let unlisted: BTreeSet<_> = recorded.chain(moving).chain(labelled).chain(held).collect();
        let listed: Vec<_> = listed.collect();
        let gone = unlisted.into_iter().filter(|name| !listed.contains(name));
        gone.chain(listed.iter().copied()).cloned().collect()
    }

    /// One of its stacks, as it is desired, recorded and live.
    pub fn task<'a>(&'a self, name: &'a StackName, swarm: &'a Swarm) -> Task<'a> {
        let desired = match self.read() {
            Some(read) => Desired::of(self.desired(name), read.layout),
            None => Desired::Unread,
        };
        let (recorded, motion) = (self.stack(name), self.motion(name));
        Task { source: &self.id, name, desired, recorded, motion, live: swarm.of_stack(name).collect() }
    }

    /// One of its stacks, for whoever is told of it.
    pub fn subject<'a>(&'a self, name: &'a StackName) -> Subject<'a> {
        Subject { repository: Some(&self.url), stack: name.as_str(), commit: self.commit_of(name) }
    }

    /// A record of one of its stacks: the error status unless the caller says better.
    pub fn record<'a>(&'a self, name: &'a StackName, error: Option<&'a str>) -> Option<Record<'a>> {
        let entry = self.desired(name).map(|desired| &desired.entry);
        let row = self.stack(name);
        Some(Record {
            name,
            repository_url: &self.row.as_ref()?.url,
            // Of a folder that is missing the last known file says more.
            compose_path: entry
                .filter(|entry| entry.files.is_some() || row.is_none())
                .map(|entry| &*entry.compose_path)
                .or(row.map(|row| &*row.compose_path))
                .unwrap_or_default(),
            status: StackStatus::Error,
            hash: None,
            commit: self.commit_of(name).or(row.and_then(|row| row.commit.as_deref())).unwrap_or_default(),
            drift: entry.map(|entry| entry.drift).or(row.map(|row| row.drift)).unwrap_or_default(),
            depends_on: entry
                .map(|entry| &*entry.depends_on)
                .or(row.map(|row| &*row.depends_on))
                .unwrap_or_default(),
            error,
            held: false,
            jobs_due: None,
            services: None,
            given: None,
            ran: None,
        })
    }

    /// The images that are dealt with: all, or for a run for some stacks those which they use.
    pub fn concerned(&self) -> BTreeSet<ImageRef> {
        let Some(read) = self.read() else { return BTreeSet::new() };
        let Selection::Some(stacks) = &self.wish.selection else {
            return read.images.iter().map(|image| image.source.name.clone()).collect();
        };
        let stacks = read.desired.iter().filter(|desired| stacks.contains(&desired.entry.name));
        let services = stacks.filter_map(DesiredStack::rendered).flat_map(|rendered| &rendered.services);
        services.filter_map(|service| service.image.clone()).collect()
    }
}
