//! What a run works with, for whom it is, and what comes of it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::door::Door;
use crate::docker::Docker;
use crate::fault::fault;
use crate::git::Commit;
use crate::guard::Guard;
use crate::image::ImageRef;
use crate::lock::{self, Held, Lock};
use crate::policy::{Policy, Rules};
use crate::report::run::{FailedSource, StackEnd};
use crate::report::{Report, Show, Tally};
use crate::settings::{GitAccess, PullPolicy};
use crate::signal;
use crate::source::Source;
use crate::stack::StackName;
use crate::state::{SourceRow, State};

/// Between two tries at a lock that another run holds for its turn.
const PATIENCE: Duration = Duration::from_millis(100);
/// After so long it is told who has it.
const LONG: Duration = Duration::from_secs(5);

/// What a run works with.
#[derive(Debug)]
pub struct Session<'a> {
    /// How the loop reaches the world.
    pub door: &'a dyn Door,
    /// How docker is called by what is no part of the loop.
    pub docker: &'a Docker,
    pub state: &'a State,
    pub git: &'a GitAccess,
    /// When images are pulled.
    pub pull_policy: PullPolicy,
    /// By a job of which image unused images go from the other nodes; `None` where they stay.
    pub prune_nodes: Option<&'a str>,
    /// So many versions of each stack are noted, and of the newest so many the images, configs and secrets stay.
    pub history: usize,
    pub keep_versions: usize,
    /// How long a stack may take to converge.
    pub deploy_timeout: Duration,
    /// What tells this installation from others on the same Swarm.
    pub installation: &'a str,
    /// How long a build, or a push, may take.
    pub build_timeout: Duration,
    /// What the operator lets sources do.
    pub policy: Option<&'a Policy>,
    /// Where bindings may lie, as far as the environment says.
    pub own_guard: &'a Guard,
    /// Likewise, docker's own data included; see `guard`.
    pub whole_guard: OnceCell<Guard>,
    pub report: &'a Report,
    /// What lies beside the database.
    pub paths: Paths<'a>,
}

/// What lies beside a database.
#[derive(Debug)]
pub struct Paths<'a> {
    /// The lock that is held for a turn.
    pub lock: PathBuf,
    /// The lock that is held while an image is built.
    pub build_lock: PathBuf,
    /// Where checkouts may lie.
    pub checkouts: PathBuf,
    /// Who holds the locks, for others.
    pub command: &'a str,
    /// The lock of the turn, which the command took when it began.
    pub held: &'a RefCell<Option<Lock>>,
}

impl Session<'_> {
    /// What tells the policy from others.
    pub fn policy_id(&self) -> &str {
        self.policy.map_or("", Policy::id)
    }

    /// What the policy lets `source` do; anything where there is none.
    pub fn rules_for(&self, source: &Source) -> Result<Option<&Rules>> {
        let Some(policy) = self.policy else { return Ok(None) };
        let rules = policy.rules_for(source).ok_or_else(|| {
            fault(
                format!("the policy `{}` has no rules for `{source}`", policy.path().display()),
                "add them to the policy, or `unwatch` the source; what runs of it stays as it is",
            )
        })?;
        Ok(Some(rules))
    }

    /// Lets other runs have a turn.
    pub fn unlock(&self) {
        self.paths.held.take();
    }

    /// Takes the lock for a further turn, as soon as other runs had theirs.
    pub fn lock_again(&self) -> Result<()> {
        let (begun, mut told) = (Instant::now(), false);
        loop {
            match lock::take(&self.paths.lock, self.paths.command) {
                Err(error) if error.is::<Held>() => {
                    if begun.elapsed() > LONG && !std::mem::replace(&mut told, true) {
                        self.report.progress(&format!("waiting: {error:#}"));
                    }
                    signal::pause(PATIENCE)?;
                }
                lock => {
                    self.paths.held.replace(Some(lock?));
                    return Ok(());
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Target {
    pub source: Source,
    /// Its row; `None` where it is to be remembered once its list of stacks was read.
    pub row: Option<SourceRow>,
    /// A commit that failed and is not to be tried again yet; another one is.
    pub backing_off: Option<Commit>,
    /// The stack for which it is read at an earlier commit, and for which alone: somebody rolls it back.
    pub back: Option<StackName>,
    /// Its stacks that somebody names; those of the wish where nobody names any.
    pub stacks: Selection,
}

impl Target {
    pub fn new(source: Source, row: Option<SourceRow>) -> Self {
        Self { source, row, backing_off: None, back: None, stacks: Selection::All }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Say what would change, and touch nothing.
    pub dry_run: bool,
    /// What a dry run shows of the rendered files.
    pub show: Option<Show>,
    /// Whether a source that cannot be remembered, being wrong, only counts as failed.
    pub go_on: bool,
    pub wish: Wish,
}

/// What is wished of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Its stacks that the wish is for.
    pub selection: Selection,
    /// Deploy each of them again, and why.
    pub forced: Option<String>,
    /// A tag that was pushed: it alone is compared with its registry, whatever the pull policy.
    pub pushed: Option<ImageRef>,
    /// An image that is built again, whatever became of it.
    pub build: Option<ImageRef>,
}

impl Wish {
    /// What is wished of that source.
    pub fn of(&self, target: &Target) -> Self {
        let selection = match &target.stacks {
            Selection::All => &self.selection,
            named @ Selection::Some(_) => named,
        };
        Self { selection: selection.clone(), ..self.clone() }
    }
}

/// The stacks of a source that a run is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    #[default]
    All,
    Some(BTreeSet<StackName>),
}

impl Selection {
    /// Whether the run is for that stack.
    pub fn holds(&self, name: &StackName) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(name),
        }
    }
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub tally: Tally,
    /// What came of each stack that the run was for.
    pub stacks: Vec<StackEnd>,
    /// The sources that failed as a whole.
    pub failed_sources: Vec<FailedSource>,
}
