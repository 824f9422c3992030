//! Which jobs run with what is given to docker, and what becomes of tags that moved.

use std::collections::BTreeSet;

use super::decision::{Apply, Decision, How, RunJobs};
use super::facts::Facts;
use super::task::Task;
use crate::compose::{RenderedStack, Service};
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

/// Services follow their tags. Where a job has one of these tags, all of the stack does, in the order of its jobs; what
/// was tried so before, and failed, is tried with all of them.
pub fn roll(
    task: &Task<'_>,
    rendered: &RenderedStack,
    entry: &JobsEntry,
    rolls: &[Roll],
    drifts: Vec<Drift>,
) -> Decision {
    let how = if moves(rendered, entry, rolls) {
        let is_due = task.applied().is_some_and(|row| row.jobs_due);
        let full = |service: &str| rendered.name.scope(service);
        let moving = entry.all().filter(|job| is_due || moved(rendered, &job.service, rolls).is_some());
        let image = |service: &Service| {
            Some((full(&service.name), moved(rendered, &service.name, rolls)?.to_string()))
        };
        let jobs = RunJobs::Moved {
            jobs: moving.map(|job| full(&job.service)).collect(),
            images: rendered.services.iter().filter_map(image).collect(),
        };
        How::Deploy { resolve: ResolveImage::Changed, edited: Vec::new(), jobs }
    } else {
        How::Roll(rolls.to_vec())
    };
    Decision::Apply(Apply { how, reason: sentence(rolls), drifts })
}

/// Whether a job of the stack is to follow its tag.
pub fn moves(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll]) -> bool {
    jobs.all().any(|job| moved(rendered, &job.service, rolls).is_some())
}

/// Whether a stack that failed, and is held, may follow a tag: not where that of a job before it may be why it failed.
pub fn may_roll(rendered: &RenderedStack, jobs: &JobsEntry, rolls: &[Roll]) -> bool {
    let is_moved = |job: &NamedJob| moved(rendered, &job.service, rolls).is_some();
    !rolls.is_empty() && (jobs.before.is_empty() || jobs.before.iter().any(is_moved))
}

/// What a service gets where its tag moved. What runs of it is not asked: a hand may have removed a job, and one that
/// failed has its new image already.
fn moved<'a>(rendered: &RenderedStack, service: &str, rolls: &'a [Roll]) -> Option<&'a ImageRef> {
    let known = rendered.services.iter().find(|known| known.name == service);
    let tag = known.and_then(|known| known.image.as_ref());
    let is_its = |roll: &&Roll| {
        roll.service == rendered.name.scope(service) || tag.is_some_and(|tag| *tag == roll.image.unpinned())
    };
    rolls.iter().find(is_its).map(|roll| &roll.image)
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
