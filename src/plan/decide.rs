//! The decision about a stack: pure, and the order of its lines is the precedence.

use std::collections::BTreeSet;

use super::decision::{Apply, Blocked, Decision, How, Remove, Until};
use super::facts::{Dependency, Elsewhere, Facts, Handover, Tried};
use super::live::{edited, image_edited, is_labelled, is_right_again, removed_by_hand};
use super::owners::{is_of, owner, somebody_elses, taken, taken_by};
use super::task::{Desired, DesiredStack, Images, Task};
use crate::compose::{self, RenderedStack};
use crate::docker::Roll;
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::drift;
use crate::fault::{fault, with_hint};
use crate::image::ImageRef;
use crate::manifest::{Layout, names_a_stack};
use crate::stack::{DriftPolicy, StackName};
use crate::state::StackStatus;

/// Of a stack that Swarm went back from while DockerOps was not there to see it.
const UNSEEN: &str = "an earlier run deployed it, and nobody saw what came of it";

/// What is to be done about `task` now.
pub fn decide(task: &Task<'_>, facts: &Facts<'_>) -> Decision {
    if !facts.is_selected {
        let well = task.recorded.is_some_and(|row| row.status == StackStatus::Deployed);
        return Decision::blocked("this run is for others", Until::Selected { well });
    }
    if facts.is_being_given {
        return Decision::blocked("docker is being given it", Until::Given);
    }
    match task.desired {
        Desired::Unread => unread(task, facts),
        Desired::Unlisted(layout) => unlisted(task, facts, layout),
        Desired::Disabled => disabled(task, facts),
        _ if let Some(owner) = facts.owner.filter(|_| facts.owner_is_expected) => {
            Decision::blocked(format!("`{owner}` has it, and is not read so far"), Until::Others)
        }
        _ if let Some(owner) = facts.owner => Decision::refused(with_hint(&fault(
            format!("the stack `{}` belongs to `{owner}`, which is watched as well", task.name),
            "list it in one of both only, or under two names; with `enabled: false` a source keeps the name, too",
        ))),
        Desired::Wrong(error) => Decision::refused(with_hint(error)),
        Desired::Rendered(rendered, desired) => rendered_stack(task, facts, rendered, desired),
    }
}

/// What can be said of a stack whose source was not read.
fn unread(task: &Task<'_>, facts: &Facts<'_>) -> Decision {
    if let Some(failed) = failed_before(facts.tried) {
        return failed;
    }
    let Some(row) = task.recorded else { return in_motion(task) };
    if task.motion.is_some() {
        return Decision::InMotion;
    }
    let drifts = drift::compare(row, &task.live);
    match &row.error {
        Some(error) if row.held => Decision::blocked(error, Until::SourceChanges),
        _ if row.status == StackStatus::Error => {
            Decision::blocked("its source was not read", Until::Selected { well: false })
        }
        _ if row.drift == DriftPolicy::Ignore => Decision::in_sync(),
        _ => Decision::InSync { drifts },
    }
}

fn in_motion(task: &Task<'_>) -> Decision {
    if task.motion.is_some() { Decision::InMotion } else { Decision::in_sync() }
}

/// A stack that its source lists no more: known by its row, or by labels where the rows were lost.
fn unlisted(task: &Task<'_>, facts: &Facts<'_>, layout: Layout) -> Decision {
    let name = task.name;
    if let Some(Tried::Failed { why, .. }) = facts.tried {
        return Decision::refused(why);
    }
    if task.is_stopped() && task.live.is_empty() {
        return Decision::Remove(Remove::Forget);
    }
    let was_listed = task.recorded.is_some_and(|row| !names_a_stack(&row.compose_path));
    match layout {
        Layout::List => match facts.handover {
            Some(Handover::Done) => Decision::Remove(Remove::Forget),
            Some(Handover::UnderWay) => Decision::blocked("it changes hands", Until::Handover),
            Some(Handover::Stuck) => Decision::blocked("it changes hands", Until::NewOwner),
            None => remove(name, facts, "it is no longer listed in `stacks.yaml`"),
        },
        // What may be a slip removes nothing: that takes a word.
        Layout::Files if was_listed => stays(name, "`stacks.yaml`, which listed it, is gone"),
        Layout::Files => remove(name, facts, "its file is gone"),
        Layout::Nothing => stays(name, "no file of the source names a stack any more"),
    }
}

fn remove(name: &StackName, facts: &Facts<'_>, reason: &str) -> Decision {
    if facts.is_own {
        return Decision::refused(own_stays(name));
    }
    match &facts.elsewhere {
        Elsewhere::No => Decision::Remove(Remove::FromSwarm { reason: reason.to_owned(), disabled: false }),
        Elsewhere::Asked => {
            Decision::blocked("other sources are asked whether they list it now", Until::Asked)
        }
        Elsewhere::Unclear(why) => Decision::blocked(format!("{reason}, and stays: {why}"), Until::Clear),
    }
}

fn stays(name: &StackName, why: &str) -> Decision {
    Decision::refused(format!(
        "left as it is: {why}; to remove `{name}`, list it in `stacks.yaml` with `enabled: false`, or unwatch the \
         source"
    ))
}

/// Why the stack that DockerOps runs in is not removed, and what to do.
pub fn own_stays(own: &StackName) -> String {
    format!("left as it is: this DockerOps runs in it; `docker stack rm {own}` removes both")
}

fn disabled(task: &Task<'_>, facts: &Facts<'_>) -> Decision {
    if let Some(Tried::Failed { why, .. }) = facts.tried {
        return Decision::refused(why);
    }
    let ours = task.live.iter().any(|service| is_of(service, task.source));
    match task.recorded {
        Some(row) if row.status == StackStatus::Stopped && !ours => Decision::in_sync(),
        None if !ours => Decision::Remove(Remove::NoteStopped),
        _ if facts.is_own => Decision::refused(own_stays(task.name)),
        _ => Decision::Remove(Remove::FromSwarm { reason: "`enabled: false`".into(), disabled: true }),
    }
}

fn rendered_stack(
    task: &Task<'_>,
    facts: &Facts<'_>,
    rendered: &RenderedStack,
    desired: &DesiredStack,
) -> Decision {
    match &desired.images {
        Images::Ready => {}
        Images::ToBuild(names) => {
            return Decision::blocked(
                format!("its image `{}` is to be built", names.join("`, `")),
                Until::Build,
            );
        }
        Images::Failed { image, why, is_held } => {
            return Decision::Blocked(Blocked {
                why: format!("not deployed: its image `{image}` could not be built"),
                detail: Some(why.clone()),
                until: if *is_held { Until::SourceChanges } else { Until::NextRun },
            });
        }
        Images::Refused(image, why) => {
            return Decision::refused(format!("not deployed: its image `{image}` is not built: {why}"));
        }
    }
    if let Some(why) = somebody_elses(rendered, task.recorded, &task.live) {
        return Decision::refused(why);
    }
    if let Some(failed) = failed_before(facts.tried) {
        return failed;
    }
    if let Some(other) = another_controller(task, facts).filter(|_| facts.forced.is_none()) {
        return Decision::refused(other);
    }
    let decision = difference(task, facts, rendered, desired);
    if matches!(&decision, Decision::Apply(_) | Decision::InSync { .. })
        && let Some(why) = &facts.objections.binding
    {
        return Decision::refused(why);
    }
    match decision {
        Decision::Apply(apply) => ready(facts, apply),
        other => other,
    }
}

/// What came of it in this run is its last word in it.
fn failed_before(tried: Option<&Tried>) -> Option<Decision> {
    Some(match tried? {
        Tried::Failed { why, held: true } => Decision::blocked(why, Until::SourceChanges),
        Tried::Failed { why, held: false } => Decision::refused(why),
        Tried::Unseen { why } => Decision::blocked(why, Until::Seen),
        Tried::Kept => Decision::in_sync(),
    })
}

/// How far it is from what Git says.
fn difference(
    task: &Task<'_>,
    facts: &Facts<'_>,
    rendered: &RenderedStack,
    desired: &DesiredStack,
) -> Decision {
    let other_images = || {
        let edited = task.live.iter().filter(|service| image_edited(service));
        edited.map(|service| service.name.clone()).collect()
    };
    let deploy = |reason: String| {
        // docker asks for all images anyway.
        let edited = if facts.resolve == ResolveImage::Always { Vec::new() } else { other_images() };
        let how = How::Deploy { resolve: facts.resolve, edited };
        Decision::Apply(Apply { how, reason, drifts: Vec::new() })
    };
    let without_docker =
        |how: How, reason: &str| Decision::Apply(Apply { how, reason: reason.into(), drifts: Vec::new() });
    let adopt_or = |reason: String| {
        // What Swarm went back to is this version again, but as the last word on another one.
        let goes_back = task.live.iter().any(|service| service.goes_back());
        if goes_back || !is_labelled(rendered, &task.live, task.source) {
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
            Some(what) => {
                let text = format!("adopted; drifted while nobody looked, left as it is: {what}");
                without_docker(How::Adopt, &text)
            }
        }
    };
    let roll = |drifts| {
        let (rolls, reason) = (facts.rolls.clone(), sentence(&facts.rolls));
        Decision::Apply(Apply { how: How::Roll(rolls), reason, drifts })
    };
    if let Some(reason) = facts.forced {
        return deploy(reason.to_owned());
    }
    match task.motion {
        Some(motion) if motion.hash != rendered.fingerprint => {
            // A run that was cut off may have given it to docker already.
            return adopt_or(if task.recorded.is_some() { "changed" } else { "new" }.into());
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
            Some(_) if row.held && removed_by_hand(rendered, task).is_some() => {
                let service = removed_by_hand(rendered, task).unwrap_or_default();
                deploy(format!("the last attempt failed, and `{service}` was removed by hand"))
            }
            Some(error) if row.held && row.commit.as_deref() == Some(facts.commit) => {
                if row.hash == rendered.fingerprint && !facts.rolls.is_empty() {
                    roll(Vec::new())
                } else if is_labelled(rendered, &task.live, task.source)
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
    if row.hash != rendered.fingerprint {
        return adopt_or("changed".into());
    }
    if let Some(other) = facts.predecessor.filter(|other| task.live.iter().any(|live| is_of(live, other))) {
        return deploy(format!("it comes back from `{other}`"));
    }
    if has_another_version(rendered, task) {
        return deploy("another version of it was given to docker meanwhile".into());
    }
    let drifts = match desired.entry.drift {
        DriftPolicy::Ignore => Vec::new(),
        DriftPolicy::Report | DriftPolicy::Correct => drift::compare(row, &task.live),
    };
    if !drifts.is_empty() && desired.entry.drift == DriftPolicy::Correct {
        return deploy(format!("drifted: {}", drift::sentence(&drifts)));
    }
    if facts.rolls.is_empty() { Decision::InSync { drifts } } else { roll(drifts) }
}

/// Whether docker has another version of it than the one that the database tells of: a run was cut off, or overtaken,
/// before it could note that. What Swarm went back to by itself or at an operator's word is none.
fn has_another_version(rendered: &RenderedStack, task: &Task<'_>) -> bool {
    task.live.iter().any(|service| {
        let version = service.labels.get(compose::FINGERPRINT);
        is_of(service, task.source)
            && !service.goes_back()
            && version.is_some_and(|version| *version != rendered.fingerprint)
    })
}

/// Whether what is to be applied can be now.
fn ready(facts: &Facts<'_>, apply: Apply) -> Decision {
    let objections = &facts.objections;
    if matches!(apply.how, How::Deploy { .. })
        && let Some(why) = objections.secret.as_ref().or(objections.object.as_ref())
    {
        return Decision::refused(why);
    }
    let failed = facts.dependencies.iter().find_map(|(name, state)| match state {
        Dependency::Failed { held } => Some((name, *held)),
        Dependency::Moving | Dependency::Building => None,
    });
    if let Some((name, held)) = failed {
        let until = if held { Until::DependencyHeld } else { Until::NextRun };
        return Decision::blocked(format!("not deployed: it depends on `{name}`, which failed"), until);
    }
    match facts.dependencies.first() {
        Some((name, Dependency::Building)) => {
            return Decision::blocked(
                format!("it depends on `{name}`, whose image is to be built"),
                Until::Dependency,
            );
        }
        Some((name, _)) => {
            return Decision::blocked(format!("it waits for `{name}`"), Until::Dependency);
        }
        None => {}
    }
    if facts.comes_later {
        return Decision::blocked("this DockerOps runs in it, or it depends on that", Until::Others);
    }
    if facts.waits_for_room {
        return Decision::blocked(
            "its source drops a stack that may change hands: names and ports may be taken",
            Until::Others,
        );
    }
    match facts.pulling {
        Some(image) => Decision::blocked(format!("`{image}` is being pulled"), Until::Pull),
        None => Decision::Apply(apply),
    }
}

fn first_reason(live: &[&Service]) -> String {
    match live.first().map(|service| owner(service)) {
        None => "new".into(),
        Some(None) => "adopted: it was deployed by hand before".into(),
        Some(Some(_)) => "changed".into(),
    }
}

/// That another DockerOps deploys the stack.
fn another_controller(task: &Task<'_>, facts: &Facts<'_>) -> Option<String> {
    let other = taken_by(task.recorded, task.source, &task.live, facts.predecessor)?;
    Some(taken(task.name, other))
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
