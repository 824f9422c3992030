//! What live services tell of a stack beside what its source says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::facts::Tags;
use super::owners::is_of;
use super::task::Task;
use super::wanted::{as_wanted, wanted};
use crate::compose::{self, RenderedStack};
use crate::docker::service::{Restart, Service};
use crate::docker::spec::{IMAGE_LABEL, Summary};
use crate::docker::state::UpdateState;
use crate::image::ImageRef;
use crate::manifest::JobsEntry;
use crate::source::SourceId;
use crate::state::{AppliedService, StackRow};

/// A service that was there once, and is not any more: nothing is kept by leaving that as it is.
pub fn removed_by_hand(rendered: &RenderedStack, task: &Task<'_>) -> Option<String> {
    let row = task.recorded.filter(|row| !row.hash.is_empty())?;
    let names = rendered.services.iter().map(|service| rendered.name.scope(&service.name));
    let was_kept = |name: &String| row.services.get(name).is_some_and(AppliedService::is_kept);
    names.into_iter().find(|name| was_kept(name) && !task.live.iter().any(|live| live.name == *name))
}

/// Whether it runs another image than the one docker noted when the stack was deployed. Where the note is gone,
/// a deploy that was to put one back was cut off.
pub fn image_edited(service: &Service) -> bool {
    let parsed = |text: Option<&String>| ImageRef::parse(text?).ok();
    match (parsed(service.labels.get(IMAGE_LABEL)), parsed(service.summary.get("image"))) {
        (Some(noted), Some(live)) => noted != live,
        (None, _) => service.labels.contains_key(compose::FINGERPRINT),
        (Some(_), None) => false,
    }
}

/// What a hand edited since it was deployed, as far as the compose file tells: labels do not.
pub fn edited(rendered: &RenderedStack, live: &[&Service]) -> Option<String> {
    wanted(rendered).iter().find_map(|(name, parts)| {
        let live = live.iter().find(|live| live.name == *name)?;
        let mut differences = live.differences_from(&as_wanted(parts, &live.summary));
        differences.extend(other_mounts(rendered, live));
        (!differences.is_empty()).then(|| format!("`{name}` by hand: {}", differences.join(", ")))
    })
}

/// What a live service of this version would be but for a hand: so that what that edited shows as drift.
pub fn as_given(rendered: &RenderedStack, live: &Service) -> Summary {
    let mut summary = match wanted(rendered).get(&live.name) {
        Some(parts) => as_wanted(parts, &live.summary),
        None => live.summary.clone(),
    };
    if other_mounts(rendered, live).is_some() {
        summary.remove("volumes");
    }
    summary
}

/// Whether other things are mounted, or elsewhere, than the compose file tells.
fn other_mounts(rendered: &RenderedStack, live: &Service) -> Option<String> {
    let service = rendered.services.iter().find(|it| rendered.name.scope(&it.name) == live.name)?;
    let wanted = rendered.declared(&service.name).mounts?;
    let text = |value: &Value| compose::without_slash(value.as_str().unwrap_or_default());
    let template = live.template.value();
    let mounts = template["ContainerSpec"]["Mounts"].as_array();
    let mounts: BTreeMap<_, _> =
        mounts.into_iter().flatten().map(|it| (text(&it["Target"]), text(&it["Source"]))).collect();
    (mounts != wanted).then(|| "`volumes` edited".to_owned())
}

/// Whether the labels of all its services, and of no other, say that exactly this was deployed. A job before the rest may
/// have run for another version since; one behind it tells that all of this was there.
pub fn is_labelled(rendered: &RenderedStack, jobs: &JobsEntry, live: &[&Service], source: &SourceId) -> bool {
    let wanted: BTreeSet<_> =
        rendered.services.iter().map(|service| rendered.name.scope(&service.name)).collect();
    let found: BTreeSet<_> = live.iter().map(|service| service.name.clone()).collect();
    let is_as_given = |service: &&&Service| {
        let version = service.labels.get(compose::FINGERPRINT);
        !image_edited(service) && version == Some(&rendered.fingerprint)
    };
    let runs_before =
        |service: &Service| jobs.before.iter().any(|job| rendered.name.scope(&job.service) == service.name);
    // Of a stack of nothing else, its jobs alone tell.
    let has_rest = live.iter().any(|service| !runs_before(service));
    wanted == found
        && live.iter().all(|service| {
            is_of(service, source) && (has_rest && runs_before(service) || is_as_given(&service))
        })
}

/// Whether a live service is a job of the stack.
pub fn is_job(rendered: &RenderedStack, jobs: &JobsEntry, live: &Service) -> bool {
    jobs.all().any(|job| rendered.name.scope(&job.service) == live.name)
}

/// Whether a stack that is held runs as it should: an update that Swarm had paused was brought to its end by hand, or
/// a tag names again what Swarm went back to. Nothing of it may have been edited.
pub fn is_right_again(row: &StackRow, live: &[&Service], tags: Tags) -> bool {
    let is_as_given = |service: &Service| row.given.get(&service.name) == Some(&service.summary);
    let is_as_before =
        |service: &Service| row.services.get(&service.name).is_some_and(|it| it.spec == service.summary);
    !live.is_empty()
        && live.iter().all(|service| {
            let state = service.update.as_ref().map(|update| &update.state);
            let is_right = match state {
                Some(UpdateState::RollbackCompleted) => tags == Tags::Live && is_as_before(service),
                // Of a one-shot that is how it ends.
                Some(UpdateState::Paused) => service.restart == Restart::Never && is_as_given(service),
                None | Some(UpdateState::Completed) => tags != Tags::Other && is_as_given(service),
                Some(_) => false,
            };
            is_right && runs(service)
        })
}

fn runs(service: &Service) -> bool {
    let (running, wanted) = service.completed.unwrap_or((service.running, service.wanted));
    running >= wanted || service.restart == Restart::Never
}
