//! The decision about a stack: pure, and the order of its lines is the precedence.

use super::decision::{Apply, Blocked, Decision, How, OnHold, Remove, Until};
use super::difference::difference;
use super::facts::{Dependency, Elsewhere, Facts, Handover, Tried};
use super::owners::{is_of, somebody_elses, taken, taken_by};
use super::task::{Desired, DesiredStack, Images, Task};
use crate::compose::RenderedStack;
use crate::drift;
use crate::fault::{fault, with_hint};
use crate::hold::Hold;
use crate::manifest::{Layout, names_a_stack};
use crate::stack::{DriftPolicy, StackName};
use crate::state::{Motion, StackRow, StackStatus};

/// What is to be done about `task` now.
pub fn decide(task: &Task<'_>, facts: &Facts<'_>) -> Decision {
    if !facts.is_selected {
        let well = task.recorded.is_some_and(|row| row.status == StackStatus::Deployed);
        return Decision::blocked("this run is for others", Until::Selected { well });
    }
    if facts.is_being_given {
        return Decision::blocked("docker is being given it", Until::Given);
    }
    let decision = match task.desired {
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
        Desired::Wrong(error) => match facts.hold {
            Some(hold) => on_hold(task, hold, format!("cannot be deployed: {}", with_hint(error))),
            None => Decision::refused(with_hint(error)),
        },
        Desired::Rendered(rendered, desired) => rendered_stack(task, facts, rendered, desired),
    };
    match (decision, facts.hold) {
        (Decision::Remove(Remove::FromSwarm { reason, .. }), Some(hold)) => {
            on_hold(task, hold, format!("would be removed: {reason}"))
        }
        (decision, _) => decision,
    }
}

/// It stays as it is, whatever would be done to it.
fn on_hold(task: &Task<'_>, hold: &Hold, change: impl Into<Option<String>>) -> Decision {
    let how = match task.applied().map(|row| row.status) {
        Some(StackStatus::Error) => OnHold::Failed,
        Some(_) if lacks_its_version(task, hold) => OnHold::Failed,
        Some(_) => OnHold::Well,
        // The database that knew of it was lost.
        None if task.live.iter().any(|live| is_of(live, task.source)) => OnHold::Well,
        None => OnHold::Absent,
    };
    let (why, until) = (hold.sentence(), Until::Released(how));
    Decision::Blocked(Blocked { why, detail: change.into(), until })
}

/// Whether it was rolled back to what has not come to run so far.
fn lacks_its_version(task: &Task<'_>, hold: &Hold) -> bool {
    let runs = |hash: &str| {
        task.applied().is_some_and(|row| row.status == StackStatus::Deployed && row.hash == hash)
    };
    hold.back.as_ref().is_some_and(|back| !runs(&back.hash))
}

/// What can be said of a stack whose source was not read.
fn unread(task: &Task<'_>, facts: &Facts<'_>) -> Decision {
    if let Some(failed) = failed_before(facts.tried) {
        return failed;
    }
    let Some(row) = task.recorded else {
        return match (facts.hold, facts.kept_back) {
            (Some(hold), Some(change)) if task.motion.is_none() => on_hold(task, hold, change.to_owned()),
            _ => in_motion(task),
        };
    };
    if task.motion.is_some() {
        return Decision::InMotion;
    }
    let drifts = drift::compare(row, &task.live);
    if let Some(hold) = facts.hold {
        let drifted = || format!("would be deployed: drifted: {}", drift::sentence(&drifts));
        let to_correct = row.drift == DriftPolicy::Correct && !drifts.is_empty();
        let to_retry = row.status == StackStatus::Error && !row.held;
        let failed = || to_retry.then(|| "would be deployed: the last attempt failed".to_owned());
        let lacks = lacks_its_version(task, hold).then(|| "that version does not run so far".to_owned());
        let change = lacks
            .or_else(|| facts.kept_back.map(str::to_owned))
            .or_else(|| to_correct.then(drifted))
            .or_else(failed);
        if let Some(change) = change {
            return on_hold(task, hold, change);
        }
    }
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
    // Of one that was taken over while it was on hold nobody knows.
    let is_of_a_list = |row: &StackRow| !row.compose_path.is_empty() && !names_a_stack(&row.compose_path);
    let was_listed = task.recorded.is_some_and(is_of_a_list);
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
    // Between two steps of a deploy there is half of it: what was begun goes on.
    let goes_on = |motion: &Motion| motion.hash == rendered.fingerprint && motion.is_between_steps();
    let is_ours = || somebody_elses(rendered, task.recorded, &task.live).is_none();
    if let Some(hold) = facts.hold.filter(|_| !task.motion.is_some_and(goes_on)) {
        let change = change(task, facts, rendered, desired);
        // What is in sync is not deployed by force either.
        if change.is_some() || facts.forced.is_some() && is_ours() {
            return on_hold(task, hold, change);
        }
    }
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
    if let Some(other) = another_controller(task, facts)
        .filter(|_| facts.forced.is_none() && !is_broken!(TakesFromAnotherDockerOps))
    {
        return Decision::refused(other);
    }
    let decision = difference(task, facts, facts.forced, rendered, desired);
    if matches!(&decision, Decision::Apply(_) | Decision::InSync { .. })
        && let Some(why) = &facts.objections.binding
    {
        return Decision::refused(why);
    }
    match (decision, facts.back) {
        (Decision::Apply(apply), Some(why)) if matches!(apply.how, How::Deploy { .. }) => {
            ready(facts, Apply { reason: why.to_owned(), ..apply })
        }
        (Decision::Apply(apply), _) => ready(facts, apply),
        (other, _) => other,
    }
}

/// What docker would be given of a stack that is on hold, but by force.
fn change(
    task: &Task<'_>,
    facts: &Facts<'_>,
    rendered: &RenderedStack,
    desired: &DesiredStack,
) -> Option<String> {
    if desired.images != Images::Ready {
        return Some("an image of it would be built, and it be deployed".to_owned());
    }
    if somebody_elses(rendered, task.recorded, &task.live).is_some() {
        return None;
    }
    match difference(task, facts, None, rendered, desired) {
        Decision::Apply(Apply { how: How::Deploy { .. } | How::Roll(_), reason, .. }) => {
            Some(format!("would be deployed: {reason}"))
        }
        _ => None,
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
        Dependency::Moving | Dependency::Building | Dependency::OnHold => None,
    });
    if let Some((name, held)) = failed {
        let until = if held { Until::DependencyHeld } else { Until::NextRun };
        return Decision::blocked(format!("not deployed: it depends on `{name}`, which failed"), until);
    }
    let is_on_hold = |(_, state): &&(&StackName, Dependency)| *state == Dependency::OnHold;
    if let Some((name, _)) = facts.dependencies.iter().find(is_on_hold) {
        let why = format!("it depends on `{name}`, which is on hold and does not run");
        return Decision::blocked(why, Until::Released(OnHold::Absent));
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

/// That another DockerOps deploys the stack.
fn another_controller(task: &Task<'_>, facts: &Facts<'_>) -> Option<String> {
    let other = taken_by(task.recorded, task.source, &task.live, facts.predecessor)?;
    Some(taken(task.name, other))
}
