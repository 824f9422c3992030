//! Which tags that moved are followed first, where some of them are tags of jobs.

use crate::compose::RenderedStack;
use crate::docker::Roll;
use crate::manifest::{JobsEntry, NamedJob};

/// Those that are due now: a job before the rest, one by one, then the rest, and then those behind it.
pub fn next(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll]) -> Vec<Roll> {
    let of = |job: &NamedJob| rolls.iter().find(|roll| roll.service == rendered.name.scope(&job.service));
    if let Some(roll) = jobs.before.iter().find_map(of) {
        return vec![roll.clone()];
    }
    let is_job = |roll: &&Roll| jobs.all().any(|job| roll.service == rendered.name.scope(&job.service));
    let rest: Vec<_> = rolls.iter().filter(|roll| !is_job(roll)).cloned().collect();
    if !rest.is_empty() {
        return rest;
    }
    jobs.after.iter().find_map(of).cloned().into_iter().collect()
}

/// Whether a stack that failed, and is held, may follow a tag: not where that of a job before it may be why it failed.
pub fn may_roll(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll]) -> bool {
    let of = |job: &NamedJob| rolls.iter().any(|roll| roll.service == rendered.name.scope(&job.service));
    !rolls.is_empty() && (jobs.before.is_empty() || jobs.before.iter().any(of))
}
