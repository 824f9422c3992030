//! How far a stack is from what Git says, whatever keeps it from being applied.

use super::decision::{Apply, Decision, How, RunJobs, Until};
use super::facts::Facts;
use super::jobs;
use super::live::{edited, image_edited, is_job, is_labelled, is_right_again, removed_by_hand};
use super::owners::{is_of, owner};
use super::task::{DesiredStack, Task};
use crate::compose::{self, RenderedStack};
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::drift;
use crate::stack::DriftPolicy;
use crate::state::{StackRow, StackStatus};

/// Of a stack that Swarm went back from while DockerOps was not there to see it.
const UNSEEN: &str = "an earlier run deployed it, and nobody saw what came of it";

/// How far it is from what Git says; as far as can be where it is deployed whether or not anything changed.
pub fn difference(
    task: &Task<'_>,
    facts: &Facts<'_>,
    forced: Option<&str>,
    rendered: &RenderedStack,
    desired: &DesiredStack,
) -> Decision {
    let other_images = || {
        let is_job = |live: &&&Service| is_job(rendered, &desired.entry.jobs, live);
        let edited = task.live.iter().filter(|service| image_edited(service) && !is_job(service));
        edited.map(|service| service.name.clone()).collect()
    };
    let deploy_by = |reason: String, jobs: RunJobs| {
        let resolve = jobs::resolve(facts.resolve, &desired.entry.jobs, &jobs);
        // docker asks for all images anyway.
        let edited = if resolve == ResolveImage::Always { Vec::new() } else { other_images() };
        Decision::Apply(Apply { how: How::Deploy { resolve, edited, jobs }, reason, drifts: Vec::new() })
    };
    // What goes back runs none: its database does not go back.
    let jobs = jobs::due(task, facts, rendered);
    let deploy = |reason: String| deploy_by(reason, jobs.clone());
    let without_docker =
        |how: How, reason: &str| Decision::Apply(Apply { how, reason: reason.into(), drifts: Vec::new() });
    let adopt_or = |reason: String| {
        // What Swarm went back to is this version again, but as the last word on another one.
        let goes_back = task.live.iter().any(|service| service.goes_back());
        if goes_back || !is_labelled(rendered, &desired.entry.jobs, &task.live, task.source) {
            return deploy(reason);
        }
        match edited(rendered, &task.live) {
            None => without_docker(
                How::Adopt,
                "adopted: images, replicas, environment and mounts are as the source says",
            ),
            Some(what) if desired.entry.drift == DriftPolicy::Correct => {
                deploy(format!("drifted while nobody looked: {what}"))
            }
            Some(what) => without_docker(How::Adopt, &adopted_with(&what)),
        }
    };
    let roll = |drifts| jobs::roll(task, rendered, &desired.entry.jobs, &facts.rolls, drifts);
    if let Some(reason) = forced {
        let again = if facts.back.is_none() { RunJobs::Again } else { RunJobs::No };
        return deploy_by(reason.to_owned(), again);
    }
    match task.motion {
        // A job is not cut off, but by who goes back.
        Some(motion)
            if facts.back.is_none() && motion.hash != rendered.fingerprint && motion.runs_a_job() =>
        {
            return Decision::InMotion;
        }
        Some(motion) if motion.hash != rendered.fingerprint => {
            // A run that was cut off may have given it to docker already.
            return adopt_or(if task.recorded.is_some() { "changed" } else { "new" }.into());
        }
        Some(motion) if motion.is_between_steps() => {
            let reason = motion.given.as_ref().map(|given| given.reason.clone());
            return deploy_by(reason.unwrap_or_default(), RunJobs::GoOn);
        }
        Some(motion) if motion.given.is_some() => return Decision::InMotion,
        // An earlier release did not note enough to judge it.
        Some(_) if task.live.iter().any(|service| service.goes_back()) => {
            return without_docker(How::Judge, UNSEEN);
        }
        Some(_) | None => {}
    }
    let Some(row) = task.applied() else { return adopt_or(first_reason(&task.live)) };
    if row.status == StackStatus::Error {
        return match &row.error {
            Some(_) if may_put_back(row, rendered, desired) && removed_by_hand(rendered, task).is_some() => {
                let service = removed_by_hand(rendered, task).unwrap_or_default();
                deploy(format!("the last attempt failed, and `{service}` was removed by hand"))
            }
            Some(error) if row.held && row.commit.as_deref() == Some(facts.commit) => {
                let may_roll = jobs::may_roll(rendered, &desired.entry.jobs, &facts.rolls);
                if row.hash == rendered.fingerprint && may_roll {
                    roll(Vec::new())
                } else if is_labelled(rendered, &desired.entry.jobs, &task.live, task.source)
                    && is_right_again(row, &task.live, facts.tags)
                {
                    deploy("the last attempt failed, and by now all runs as the source says".into())
                } else {
                    Decision::blocked(error, Until::SourceChanges)
                }
            }
            _ => deploy("the last attempt failed".into()),
        };
    }
    if is_broken!(DeploysTwice) {
        return deploy("once more".into());
    }
    if row.hash != rendered.fingerprint {
        return adopt_or("changed".into());
    }
    if let Some(other) = facts.predecessor.filter(|other| task.live.iter().any(|live| is_of(live, other))) {
        return deploy(format!("it comes back from `{other}`"));
    }
    if has_another_version(rendered, task, desired) {
        return deploy("another version of it was given to docker meanwhile".into());
    }
    let drifts = match desired.entry.drift {
        DriftPolicy::Ignore => Vec::new(),
        DriftPolicy::Report | DriftPolicy::Correct => drift::compare(row, &task.live),
    };
    if !drifts.is_empty() && desired.entry.drift == DriftPolicy::Correct {
        if jobs::moves(rendered, &desired.entry.jobs, &facts.rolls) {
            // One deploy does both.
            return roll(Vec::new());
        }
        return deploy(format!("drifted: {}", drift::sentence(&drifts)));
    }
    if facts.rolls.is_empty() { Decision::InSync { drifts } } else { roll(drifts) }
}

/// Whether docker has another version of it than the one that the database tells of: a run was cut off, or overtaken,
/// before it could note that. What Swarm went back to by itself or at an operator's word is none.
fn has_another_version(rendered: &RenderedStack, task: &Task<'_>, desired: &DesiredStack) -> bool {
    task.live.iter().any(|service| {
        let version = service.labels.get(compose::FINGERPRINT);
        is_of(service, task.source)
            && !is_job(rendered, &desired.entry.jobs, service)
            && !service.goes_back()
            && version.is_some_and(|version| *version != rendered.fingerprint)
    })
}

/// Of what runs already, and what a hand made of it.
pub fn adopted_with(drift: &str) -> String {
    format!("adopted; drifted while nobody looked, left as it is: {drift}")
}

/// Whether a service of a stack that is held may be put back: the jobs of a version that failed would run once more, and
/// fail as they did.
fn may_put_back(row: &StackRow, rendered: &RenderedStack, desired: &DesiredStack) -> bool {
    let runs_no_job = desired.entry.jobs.is_empty() || row.hash == rendered.fingerprint && !row.jobs_due;
    row.held && runs_no_job
}

fn first_reason(live: &[&Service]) -> String {
    match live.first().map(|service| owner(service)) {
        None => "new".into(),
        Some(None) => "adopted: it was deployed by hand before".into(),
        Some(Some(_)) => "changed".into(),
    }
}
