//! What is to be done about a stack now.

use std::collections::{BTreeMap, BTreeSet};

use crate::docker::Roll;
use crate::docker::command::ResolveImage;
use crate::drift::Drift;

/// What is to be done about a stack now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is as Git says, but for drift that the manifest wants left.
    InSync {
        /// What is only reported.
        drifts: Vec<Drift>,
    },
    /// It becomes what Git says.
    Apply(Apply),
    /// It goes.
    Remove(Remove),
    /// docker was given what Git says; what comes of it is looked for.
    InMotion,
    /// Nothing can be done now.
    Blocked(Blocked),
}

/// How a stack becomes what Git says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apply {
    pub how: How,
    pub reason: String,
    /// What drifted, and is only reported.
    pub drifts: Vec<Drift>,
}

/// By what a stack becomes what Git says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// `docker stack deploy`.
    Deploy {
        /// Which images docker asks for.
        resolve: ResolveImage,
        /// The services that a hand gave another image, by full name.
        edited: Vec<String>,
        jobs: RunJobs,
    },
    /// These services get what their tags name now, and no other service is touched.
    Roll(Vec<Roll>),
    /// Nothing is given to docker: by its labels it runs already, or is about to.
    Adopt,
    /// Nothing is given to docker: an earlier release did, and nobody saw what came of it.
    Judge,
}

/// What becomes of the jobs of a stack that is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunJobs {
    /// They stay as they are: the version is the one that ran before.
    No,
    /// They run, but for those that did for this version.
    New,
    /// They run, whatever they did before.
    Again,
    /// These run, by full name, since their tags moved: of the services with such a tag, the images they name now.
    Moved { jobs: BTreeSet<String>, images: BTreeMap<String, String> },
    /// A step came to a good end: the next one.
    GoOn,
}

/// How a stack goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remove {
    FromSwarm {
        reason: String,
        /// Whether the manifest still lists it, as disabled.
        disabled: bool,
    },
    /// It is disabled and does not run: remembered as stopped.
    NoteStopped,
    /// It does not run, or is another source's by now: forgotten.
    Forget,
}

/// Why nothing can be done now, and until what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Why, in words; as an error it is recorded and told.
    pub why: String,
    /// More of it, for the record alone: it was told elsewhere.
    pub detail: Option<String>,
    pub until: Until,
}

/// What ends a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// docker has taken it, in this run.
    Given,
    /// Its images are built, in this run.
    Build,
    /// Its images are pulled, in this run.
    Pull,
    /// What it depends on is done, in this run.
    Dependency,
    /// All others are done, in this run.
    Others,
    /// Its new source has it, in this run.
    Handover,
    /// All other sources were asked whether they list it now, in this run.
    Asked,
    /// The next run, which tries it again.
    NextRun,
    /// A change of its source, or a run by force.
    SourceChanges,
    /// What it depends on being right again, which waits for a change of its source.
    DependencyHeld,
    /// A look at what came of it, which docker does not allow just now. Nothing is recorded: it is in motion.
    Seen,
    /// A run that is for it.
    Selected {
        /// Whether it was well when it was looked at last.
        well: bool,
    },
    /// Somebody else: its new source could not take it.
    NewOwner,
    /// A run that can read every source which may list it now.
    Clear,
    /// The end of a hold.
    Released(OnHold),
}

/// How a stack is that stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHold {
    /// It converged.
    Well,
    /// The last attempt failed.
    Failed,
    /// It was not deployed so far.
    Absent,
}

impl Until {
    /// Whether a later turn of this run may find the reason gone.
    pub fn passes(self) -> bool {
        matches!(
            self,
            Self::Given
                | Self::Build
                | Self::Pull
                | Self::Dependency
                | Self::Others
                | Self::Handover
                | Self::Asked
        )
    }

    /// Whether the stack has failed until then.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::NextRun
                | Self::SourceChanges
                | Self::DependencyHeld
                | Self::Seen
                | Self::Released(OnHold::Failed)
        )
    }
}

impl Decision {
    /// Whether a later turn of this run has something to do about it.
    pub fn is_under_way(&self) -> bool {
        match self {
            Self::Apply(_) | Self::InMotion | Self::Remove(_) => true,
            Self::Blocked(blocked) => blocked.until.passes(),
            Self::InSync { .. } => false,
        }
    }

    /// Nothing can be done until `until`.
    pub fn blocked(why: impl Into<String>, until: Until) -> Self {
        Self::Blocked(Blocked { why: why.into(), detail: None, until })
    }

    /// It cannot be deployed, and the next run looks again.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::blocked(why, Until::NextRun)
    }

    /// It runs as Git says.
    pub fn in_sync() -> Self {
        Self::InSync { drifts: Vec::new() }
    }
}
