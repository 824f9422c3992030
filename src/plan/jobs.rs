//! Which jobs run with what is given to docker, and what becomes of tags that moved.

use std::collections::BTreeSet;

use super::decision::{Apply, Decision, How, RunJobs};
use super::facts::Facts;
use super::task::Task;
use crate::compose::RenderedStack;
use crate::docker::Roll;
use crate::docker::command::ResolveImage;
use crate::drift::Drift;
use crate::image::ImageRef;
use crate::manifest::{JobsEntry, NamedJob};

/// Which jobs a deploy runs.
pub fn due(task: &Task<'_>, facts: &Facts<'_>, rendered: &RenderedStack) -> RunJobs {
    match task.applied() {
        // What goes back runs none: its database does not go back.
        _ if facts.back.is_some() => RunJobs::No,
        Some(row) if row.hash != rendered.fingerprint => RunJobs::New,
        Some(row) if row.jobs_due => RunJobs::Again,
        Some(_) => RunJobs::No,
        None => RunJobs::New,
    }
}

/// Whether docker asks registries: a tag that moved meanwhile waits for the jobs.
pub fn resolve(wanted: ResolveImage, entry: &JobsEntry, jobs: &RunJobs) -> ResolveImage {
    match wanted {
        ResolveImage::Always if !entry.is_empty() && *jobs == RunJobs::No => ResolveImage::Changed,
        wanted => wanted,
    }
}

/// Services follow their tags. Where one of them is a job, all of the stack does, in the order of its jobs.
pub fn roll(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll], drifts: Vec<Drift>) -> Decision {
    let how = if moves(rendered, jobs, rolls) {
        let moved = jobs.all().filter(|job| is_moved(rendered, job, rolls));
        let jobs = RunJobs::Moved(moved.map(|job| rendered.name.scope(&job.service)).collect());
        How::Deploy { resolve: ResolveImage::Always, edited: Vec::new(), jobs }
    } else {
        How::Roll(rolls.to_vec())
    };
    Decision::Apply(Apply { how, reason: sentence(rolls), drifts })
}

/// Whether a job of the stack is to follow its tag.
pub fn moves(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll]) -> bool {
    jobs.all().any(|job| is_moved(rendered, job, rolls))
}

/// Whether a stack that failed, and is held, may follow a tag: not where that of a job before it may be why it failed.
pub fn may_roll(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll]) -> bool {
    !rolls.is_empty()
        && (jobs.before.is_empty() || jobs.before.iter().any(|job| is_moved(rendered, job, rolls)))
}

fn is_moved(rendered: &RenderedStack, job: &NamedJob, rolls: &[Roll]) -> bool {
    rolls.iter().any(|roll| roll.service == rendered.name.scope(&job.service))
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
