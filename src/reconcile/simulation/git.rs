//! What servers of git say, and what is read of it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::rules::NO_WAITING;
use super::spec::Entry;
use super::world::{Shared, SimSource};
use crate::git::{Checkout, Commit};
use crate::manifest::StackEntry;
use crate::plan::{DesiredStack, Images};
use crate::reconcile::Session;
use crate::reconcile::door::{Fetcher, Heads};
use crate::source::{Source, SourceId};
use crate::stack::StackName;

/// A stack as the loop would have read it.
pub fn desired(entry: &Entry) -> DesiredStack {
    let rendered = if entry.wrong {
        Some(Err(anyhow!("`services.app.image` must be a string")))
    } else {
        entry.enabled.then(|| Ok(entry.rendered()))
    };
    let known = StackEntry {
        hold: crate::manifest::HoldEntry::default(),
        jobs: crate::manifest::JobsEntry::default(),
        line: 0,
        is_forbidden: false,
        name: StackName::known(entry.name),
        enabled: entry.enabled,
        depends_on: entry.depends_on.iter().copied().map(StackName::known).collect(),
        drift: entry.drift,
        files: None,
        compose_path: format!("{}/compose.yml", entry.name),
        template: None,
        wrong: Vec::new(),
    };
    DesiredStack { entry: known, rendered, images: Images::Ready, past: None }
}

/// All that servers answer, at once.
#[derive(Debug)]
pub struct Answers(pub Vec<(usize, Result<Commit>)>);

impl Heads for Answers {
    fn answered(&mut self, _: Option<Duration>) -> Result<Vec<(usize, Result<Commit>)>> {
        Ok(std::mem::take(&mut self.0))
    }
}

/// How what is fetched of a source comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transfer {
    /// After so many looks.
    pub looks: usize,
    pub fails: bool,
}

/// The fetches of a run.
#[derive(Debug)]
pub struct SimFetcher {
    world: Shared,
    actor: usize,
    under_way: Vec<(Source, Commit, Transfer)>,
}

impl SimFetcher {
    pub fn new(world: &Shared, actor: usize) -> Self {
        Self { world: Rc::clone(world), actor, under_way: Vec::new() }
    }
}

impl Fetcher for SimFetcher {
    fn want(&mut self, _: &Session<'_>, source: &Source, commit: &Commit) -> Result<()> {
        let mut world = self.world.borrow_mut();
        let at = world.source_of(source.id().as_str()).unwrap();
        let (place, transfer) = (SimSource::place(commit.as_str()), world.sources[at].transfer);
        let view = &mut world.views[self.actor];
        view.fetching.insert(at, place);
        if transfer == Transfer::default() {
            view.fetched.insert(at, place);
        } else {
            let actor = self.actor;
            world.tell(|| format!("  {actor}: fetches r{at} at commit {place}, {transfer:?}"));
        }
        self.under_way.push((source.clone(), commit.clone(), transfer));
        Ok(())
    }

    fn fetched(
        &mut self,
        _: &Session<'_>,
        _: &BTreeSet<SourceId>,
        most: Option<Duration>,
    ) -> Result<Vec<(SourceId, Result<Checkout>)>> {
        let mut world = self.world.borrow_mut();
        let (mut here, mut left) = (Vec::new(), Vec::new());
        for (source, commit, transfer) in self.under_way.drain(..) {
            if let Some(looks) = transfer.looks.checked_sub(1) {
                if most.is_none() {
                    world.breaks(NO_WAITING, format!("all wait until `{}` is fetched", source.id()));
                }
                left.push((source, commit, Transfer { looks, ..transfer }));
                continue;
            }
            let at = world.source_of(source.id().as_str()).unwrap();
            world.views[self.actor].fetching.remove(&at);
            let files = Checkout::at(commit);
            let lost = || anyhow!("the remote closed the connection");
            here.push((source.id().clone(), if transfer.fails { Err(lost()) } else { Ok(files) }));
        }
        self.under_way = left;
        Ok(here)
    }

    fn wait(&mut self, _: Duration) -> bool {
        false
    }
}

impl Drop for SimFetcher {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.views[self.actor].fetching.clear();
        }
    }
}
