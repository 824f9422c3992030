//! THE PIPELINE: makes the Swarm be what the watched sources say. Read this file and you know the product.
//!
//! source → checkout → manifest → rendered stacks → plan → docker → rows. Each stage has a room of its own;
//! this file only says what follows what.

mod apply;
mod bindings;
mod fetch;
#[cfg(test)]
mod measure;
mod planned;
mod recorder;
mod remove;
mod retire;
mod secrets;
mod survey;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::docker::Docker;
use crate::git;
use crate::report::{Report, Show, Tally};
use crate::settings::GitAccess;
use crate::source::Source;
use crate::state::{SourceRow, State};
use crate::watched::watched;

pub use bindings::remove_bindings;
pub use remove::remove_all;

/// What a run works with.
#[derive(Debug)]
pub struct Session<'a> {
    /// How docker is called.
    pub docker: &'a Docker,
    /// What is remembered.
    pub state: &'a State,
    /// How git is reached.
    pub git: &'a GitAccess,
    /// Where checkouts may lie.
    pub checkouts: PathBuf,
    /// How long a stack may take to converge.
    pub deploy_timeout: Duration,
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
}

/// How to sync.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Deploy every stack again.
    pub force: bool,
    /// Say what would change, and touch nothing.
    pub dry_run: bool,
    /// What a dry run shows of the rendered files.
    pub show: Option<Show>,
}

/// Syncs `targets`. An error means that the run as a whole could not be done; what failed in it is counted.
pub fn reconcile(session: &Session<'_>, targets: Vec<Target>, options: Options) -> Result<Tally> {
    // One ls-remote a source, all under way while docker is asked twice.
    let sources: Vec<_> = targets.iter().map(|target| target.source.clone()).collect();
    let heads = git::heads(&sources, session.git);
    let swarm = session.docker.observe()?;
    let watched = watched(session.state)?;
    session.report.state(&watched, &session.state.images()?, &swarm);
    let surveyed = survey::survey(targets, heads.wait()?, &watched, &swarm, options);

    // Only what changed, drifted or failed before is fetched and read.
    let fetched = fetch::fetch(session, surveyed, options)?;
    let mut planned = planned::plan(session, fetched, &watched, &swarm, options)?;
    secrets::refuse_missing(session.docker, &mut planned)?;
    bindings::refuse_conflicts(session.state, &mut planned)?;
    if options.dry_run {
        return planned.describe(session, options.show);
    }
    let mut tally = Tally::default();
    planned.remove(session, &swarm, &mut tally)?;
    bindings::copy(session, &mut planned)?;
    planned.deploy(session, &mut tally)?;
    bindings::clean(session, &planned)?;
    planned.record(session)?;
    Ok(tally)
}
