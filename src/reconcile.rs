//! THE PIPELINE: makes the Swarm be what the watched sources say. Read this file and you know the product.
//!
//! source → checkout → manifest → rendered stacks → plan → docker → rows. Images are built between two deploys:
//! stacks that need none of them do not wait. Each stage has a room of its own;
//! this file only says what follows what.

mod apply;
mod bindings;
mod build;
mod builds;
mod clean;
mod fetch;
mod images;
mod key;
mod makers;
#[cfg(test)]
mod measure;
mod moves;
mod nodes;
mod objects;
mod only;
mod own;
mod planned;
mod recorder;
mod remove;
mod retire;
mod secrets;
mod survey;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::deploy::Settled;
use crate::docker::{Docker, Swarm};
use crate::git::{self, Commit};
use crate::guard::Guard;
use crate::image::ImageRef;
use crate::report::{Report, Show, Tally};
use crate::settings::{GitAccess, PullPolicy, RegistryAccess};
use crate::source::Source;
use crate::stack::StackName;
use crate::state::{SourceRow, State};
use crate::watched::{Watched, watched};

use images::Images;
use objects::Objects;

pub use bindings::remove_bindings;
pub use build::{LOCAL_TAG, lasting_tag};
pub use clean::note_digests;
pub use remove::remove_all;

/// Containers that are told to stop have so long to let go of their image.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a run works with.
#[derive(Debug)]
pub struct Session<'a> {
    /// How docker is called.
    pub docker: &'a Docker,
    /// What is remembered.
    pub state: &'a State,
    /// How git is reached.
    pub git: &'a GitAccess,
    /// How registries are asked.
    pub registry: &'a RegistryAccess,
    /// When images are pulled.
    pub pull_policy: PullPolicy,
    /// By a job of which image unused images go from the other nodes; `None` where they stay.
    pub prune_nodes: Option<&'a str>,
    /// Where checkouts may lie.
    pub checkouts: PathBuf,
    /// How long a stack may take to converge.
    pub deploy_timeout: Duration,
    /// What tells this installation from others on the same Swarm.
    pub installation: &'a str,
    /// How long a build, or a push, may take.
    pub build_timeout: Duration,
    /// Where bindings may lie, as far as the environment says.
    pub own_guard: &'a Guard,
    /// Likewise, docker's own data included; see `guard`.
    pub whole_guard: OnceCell<Guard>,
    /// Who is told.
    pub report: &'a Report,
}

/// A source to sync.
#[derive(Debug, Clone)]
pub struct Target {
    /// The source.
    pub source: Source,
    /// Its row; `None` where it is to be remembered once its manifest proved valid.
    pub row: Option<SourceRow>,
    /// A commit that failed and is not to be tried again yet; another one is.
    pub waits: Option<Commit>,
}

impl Target {
    /// A source as it is.
    pub fn new(source: Source, row: Option<SourceRow>) -> Self {
        Self { source, row, waits: None }
    }
}

/// How to sync.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Deploy every stack again.
    pub force: bool,
    /// Say what would change, and touch nothing.
    pub dry_run: bool,
    /// What a dry run shows of the rendered files.
    pub show: Option<Show>,
    /// Deal with these stacks alone, and say why; `None` stands for all.
    pub only: Option<Only>,
    /// Whether a source that cannot be remembered, being wrong, only counts as failed.
    pub go_on: bool,
}

/// Some stacks, and why they are dealt with.
#[derive(Debug, Clone)]
pub struct Only {
    /// Their names.
    pub stacks: BTreeSet<StackName>,
    /// Why each is deployed, where it is forced.
    pub reason: String,
    /// A tag that was pushed: it alone is compared with its registry, whatever the pull policy.
    pub pushed: Option<ImageRef>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In numbers.
    pub tally: Tally,
    /// Of each target: its identity, and the commit it names if its remote could be asked.
    pub heads: Vec<(String, Option<Commit>)>,
}

/// Which stacks are dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// Those that need no image which is to be built.
    First,
    /// Those that waited for one.
    Built,
    /// Those whose deploy may end this program: the stack it runs in, and what depends on that.
    Last,
}

/// Syncs `targets`. An error means that the run as a whole could not be done; what failed in it is counted.
pub fn reconcile(session: &Session<'_>, targets: Vec<Target>, options: &Options) -> Result<Outcome> {
    // One ls-remote a source, all under way while docker is asked twice.
    let sources: Vec<_> = targets.iter().map(|target| target.source.clone()).collect();
    let heads = git::heads(&sources, session.git);
    let swarm = session.docker.observe()?;
    let watched = watched(session.state)?;
    session.report.state(&watched, &session.state.images()?, &swarm);
    let mut surveyed = survey::survey(targets, heads.wait()?, &watched, &swarm, options);
    let heads = surveyed.iter().map(survey::Surveyed::head).collect();
    let mut images = Images::new(session, &swarm, &watched, options);
    images.survey(&mut surveyed, &watched)?;

    // Only what changed, drifted or failed before is fetched and read.
    let mut fetched = fetch::fetch(session, surveyed, options)?;
    builds::survey(session, &mut fetched, &watched, &swarm, options)?;
    let mut planned = planned::plan(session, fetched, &watched, &swarm, options)?;
    secrets::refuse_missing(session.docker, &mut planned)?;
    bindings::refuse_conflicts(session.state, &mut planned)?;
    images.compare(&mut planned)?;
    own::set_apart(session, &mut planned)?;
    let mut objects = Objects::new(session, &swarm);
    if options.dry_run {
        let leaving = planned.leaving();
        objects.refuse(&mut planned, &leaving)?;
        return Ok(Outcome { tally: planned.describe(session, options)?, heads });
    }
    let mut tally = Tally::default();
    planned.remove(session, &swarm, &mut tally)?;
    objects.refuse(&mut planned, &BTreeSet::new())?;
    planned.say_failed(session, &mut tally);
    planned.say_builds(session.report, options, &mut tally);
    bindings::copy(session, &mut planned, Round::First)?;
    let mut settled = planned.deploy(session, &images, Round::First, Settled::new(), &mut tally)?;
    if planned.build(session, &swarm, options, &mut tally)? {
        images.look_again();
        images.compare(&mut planned)?;
        secrets::refuse_missing(session.docker, &mut planned)?;
        objects.refuse(&mut planned, &BTreeSet::new())?;
        bindings::copy(session, &mut planned, Round::Built)?;
        settled = planned.deploy(session, &images, Round::Built, settled, &mut tally)?;
    }
    bindings::copy(session, &mut planned, Round::Last)?;
    planned.deploy(session, &images, Round::Last, settled, &mut tally)?;
    planned.hand_over(session)?;
    // Stacks that were left aside may mount what their source has dropped.
    if options.only.is_none() {
        bindings::clean(session, &planned)?;
    }
    planned.record(session, options)?;
    clean(session, &watched, &swarm, planned.has_work())?;
    Ok(Outcome { tally, heads })
}

/// Images that nothing uses go after stacks were removed, whose containers may still be stopping.
pub fn clean_after_removal(session: &Session<'_>) -> Result<()> {
    if clean::has_candidates(session)? {
        clean::clean(session, &session.docker.observe()?, PATIENCE)?;
    }
    Ok(())
}

/// Unused images go; the Swarm is looked at anew where the run may have changed it.
fn clean(session: &Session<'_>, watched: &[Watched], before: &Swarm, changed: bool) -> Result<()> {
    clean::note_digests(session, watched, before)?;
    if !changed {
        return clean::clean(session, before, Duration::ZERO);
    }
    if clean::has_candidates(session)? {
        clean::clean(session, &session.docker.observe()?, Duration::ZERO)?;
    }
    Ok(())
}
