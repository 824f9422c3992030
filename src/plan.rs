//! Decides what is to be done about each stack; touches nothing.
//!
//! In: what a source wants, what the database knows, what is live, who claims which name. Out: one
//! action a stack, with its reason in words.

mod makers;
mod owners;
mod waiting;

use std::collections::BTreeSet;

use anyhow::Error;

use crate::compose::{self, RenderedStack};
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::docker::spec::IMAGE_LABEL;
use crate::docker::{Roll, Swarm};
use crate::drift::{self, Drift};
use crate::image::ImageRef;
use crate::manifest::{Layout, StackEntry, names_a_stack};
use crate::stack::{DriftPolicy, StackName};
use crate::state::{Attempt, StackRow, StackStatus};

pub use makers::{Maker, claim as claim_image};
pub use owners::{Claims, Evidence, claim, claims, evidence, owner, release};
pub use waiting::plan_waiting;

use owners::{fold, somebody_elses};

/// What a source wants of one stack.
#[derive(Debug)]
pub struct Desired {
    /// Its entry in the manifest.
    pub entry: StackEntry,
    /// What docker would get, or why this stack alone cannot be rendered; `None` where it is disabled.
    pub rendered: Option<Result<RenderedStack, Error>>,
    /// Whether what its source builds for it is there.
    pub images: Images,
}

/// The images of a stack that its source builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Images {
    /// They are there, and the rendered stack says which.
    Ready,
    /// These are to be built first.
    ToBuild(Vec<String>),
    /// This one could not be built, and why; it is not tried again until the source changes.
    Failed(String, String),
    /// This one is not to be built by this source, and why.
    Refused(String, String),
}

/// One stack's action.
#[derive(Debug)]
pub struct Step {
    /// The stack.
    pub name: StackName,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done about a stack.
#[derive(Debug)]
pub enum Action {
    /// `docker stack deploy`, then wait.
    Deploy {
        /// Why, in words.
        reason: String,
        /// Which images docker asks for.
        resolve: ResolveImage,
        /// The services that a hand gave another image, by full name.
        edited: Vec<String>,
    },
    /// Tags of its images name other digests now: the services that run them get those, and no other service
    /// is touched.
    Roll {
        /// Which.
        rolls: Vec<Roll>,
        /// What drifted, and is only reported.
        drifts: Vec<Drift>,
    },
    /// Not before images are built: planned again then; why, in words.
    Wait(String),
    /// An image that its source builds could not be built, and why: what runs stays. It waits for the source to
    /// change.
    Unbuilt {
        /// The image.
        image: String,
        /// Why, with the last lines of the output.
        why: String,
    },
    /// It runs as wanted, by its labels: wait for it and remember it.
    Adopt,
    /// An earlier run gave it to docker and did not see its end, and Swarm went back from it: wait for that,
    /// and remember it.
    Settle,
    /// Nothing.
    Unchanged,
    /// Nothing in this run, which is for others.
    Aside {
        /// Whether those that depend on it can go on.
        well: bool,
    },
    /// Nothing but to remember it as stopped: it is disabled, and never was deployed from here.
    Off,
    /// Nothing but to forget it: it is stopped, and no longer listed.
    Forget,
    /// No longer listed here, but by another watched source, which has it from now on.
    Moved {
        /// The other source's identity.
        to: String,
    },
    /// It drifted, and the manifest says to report that only.
    Report(Vec<Drift>),
    /// It failed before and waits for the source to change.
    Held(String),
    /// It cannot be deployed, and why.
    Refuse(String),
    /// It is to go: disabled, or no longer listed.
    Remove {
        /// Why, in words.
        reason: String,
        /// Whether the manifest still lists it, as disabled.
        disabled: bool,
    },
}

/// How a source's stacks are planned.
#[derive(Debug)]
pub struct Input<'a> {
    /// The source's identity.
    pub source: &'a str,
    /// The commit that is to be deployed.
    pub commit: &'a str,
    /// What names its stacks.
    pub layout: Layout,
    /// What it wants.
    pub desired: &'a [Desired],
    /// What the database knows of its stacks.
    pub rows: &'a [StackRow],
    /// What docker was given for it, and nobody has seen the end of.
    pub attempts: &'a [Attempt],
    /// What is live.
    pub swarm: &'a Swarm,
    /// Whether every stack is deployed again.
    pub force: bool,
}

/// Plans one source; names it takes are added to `claims`.
pub fn plan(input: &Input<'_>, claims: &mut Claims) -> Vec<Step> {
    let mut steps: Vec<Step> = leftovers(input);
    for desired in input.desired {
        let name = desired.entry.name.clone();
        let action = match claims.get(&fold(&name)) {
            Some(other) if other != input.source && desired.entry.enabled => {
                Action::Refuse(format!("the stack `{name}` belongs to `{other}`, which is watched as well"))
            }
            _ => {
                if desired.entry.enabled {
                    claims.insert(fold(&name), input.source.to_owned());
                }
                decide(input, desired)
            }
        };
        steps.push(Step { name, action });
    }
    waiting::let_dependents_wait(input, &mut steps);
    steps
}

/// Stacks of this source that it no longer lists: by its rows, or by labels where the rows were lost.
fn leftovers(input: &Input<'_>) -> Vec<Step> {
    let listed: BTreeSet<_> = input.desired.iter().map(|desired| &desired.entry.name).collect();
    let labelled = input.swarm.services.iter().filter(|service| owner(service) == Some(input.source));
    let known: BTreeSet<_> =
        input.rows.iter().map(|row| &row.name).chain(labelled.map(|service| &service.stack)).collect();
    let gone = known.difference(&listed);
    let action = |name: &StackName| {
        let row = input.rows.iter().find(|row| row.name == *name);
        let was_listed = row.is_some_and(|row| !names_a_stack(&row.compose_path));
        match input.layout {
            _ if is_stopped(row) && input.swarm.of_stack(name).next().is_none() => Action::Forget,
            Layout::List => remove("it is no longer listed in `stacks.yaml`"),
            // What may be a slip removes nothing: that takes a word.
            Layout::Files if was_listed => leave(name, "`stacks.yaml`, which listed it, is gone"),
            Layout::Files => remove("its file is gone"),
            Layout::Nothing => leave(name, "no file of the source names a stack any more"),
        }
    };
    gone.map(|name| Step { name: (*name).clone(), action: action(name) }).collect()
}

fn is_stopped(row: Option<&StackRow>) -> bool {
    row.is_some_and(|row| row.status == StackStatus::Stopped)
}

fn remove(reason: &str) -> Action {
    Action::Remove { reason: reason.to_owned(), disabled: false }
}

fn leave(name: &StackName, why: &str) -> Action {
    Action::Refuse(format!(
        "left as it is: {why}; to remove `{name}`, list it in `stacks.yaml` with `enabled: false`, or unwatch the \
         source"
    ))
}

fn decide(input: &Input<'_>, desired: &Desired) -> Action {
    let name = &desired.entry.name;
    let row = input.rows.iter().find(|row| row.name == *name);
    let rendered = match &desired.rendered {
        Some(Ok(rendered)) => rendered,
        Some(Err(error)) => return Action::Refuse(format!("{error:#}")),
        None => return disabled(input, name, row),
    };
    match &desired.images {
        Images::Ready => {}
        Images::ToBuild(names) => {
            return Action::Wait(format!("its image `{}` is to be built", names.join("`, `")));
        }
        Images::Failed(image, why) => {
            return Action::Unbuilt { image: image.clone(), why: why.clone() };
        }
        Images::Refused(image, why) => {
            return Action::Refuse(format!("not deployed: its image `{image}` is not built: {why}"));
        }
    }
    let live: Vec<_> = input.swarm.of_stack(name).collect();
    if let Some(why) = somebody_elses(rendered, row, &live) {
        return Action::Refuse(why);
    }
    let edited: Vec<_> =
        live.iter().filter(|service| image_edited(service)).map(|service| service.name.clone()).collect();
    let resolve = ResolveImage::Changed;
    let deploy = |reason: String| Action::Deploy { reason, resolve, edited: edited.clone() };
    if input.force {
        return deploy("forced".into());
    }
    if went_back(input, rendered, &live) {
        return Action::Settle;
    }
    let Some(row) = row.filter(|row| row.status != StackStatus::Stopped) else {
        return if runs_as_rendered(rendered, &live, input.source) {
            Action::Adopt
        } else {
            deploy(first_reason(&live, input.source))
        };
    };
    if row.status == StackStatus::Error {
        return match &row.error {
            Some(error) if row.held && row.commit.as_deref() == Some(input.commit) => {
                Action::Held(error.clone())
            }
            _ => deploy("the last attempt failed".into()),
        };
    }
    if row.hash != rendered.fingerprint {
        return if runs_as_rendered(rendered, &live, input.source) {
            Action::Adopt
        } else {
            deploy("changed".into())
        };
    }
    match (drift::find(row, input.swarm), desired.entry.drift) {
        (drifts, _) if drifts.is_empty() => Action::Unchanged,
        (_, DriftPolicy::Ignore) => Action::Unchanged,
        (drifts, DriftPolicy::Report) => Action::Report(drifts),
        (drifts, DriftPolicy::Correct) => deploy(format!("drifted: {}", drift::sentence(&drifts))),
    }
}

/// Whether Swarm went back from exactly this, while nobody looked.
fn went_back(input: &Input<'_>, rendered: &RenderedStack, live: &[&Service]) -> bool {
    let attempted = |attempt: &Attempt| attempt.name == rendered.name && attempt.hash == rendered.fingerprint;
    input.attempts.iter().any(attempted) && live.iter().any(|service| service.goes_back())
}

/// Whether it runs another image than the one docker noted when the stack was deployed. Where the note is gone,
/// a deploy that was to put one back was cut off.
fn image_edited(service: &Service) -> bool {
    let parsed = |text: Option<&String>| ImageRef::parse(text?).ok();
    match (parsed(service.labels.get(IMAGE_LABEL)), parsed(service.summary.get("image"))) {
        (Some(noted), Some(live)) => noted != live,
        (None, _) => service.labels.contains_key(compose::FINGERPRINT),
        (Some(_), None) => false,
    }
}

fn disabled(input: &Input<'_>, name: &StackName, row: Option<&StackRow>) -> Action {
    let ours = input.swarm.of_stack(name).any(|service| owner(service) == Some(input.source));
    match row {
        Some(row) if row.status == StackStatus::Stopped && !ours => Action::Unchanged,
        None if !ours => Action::Off,
        _ => Action::Remove { reason: "`enabled: false`".into(), disabled: true },
    }
}

/// Whether the labels of all its services, and of no other, say that exactly this was deployed. What else a
/// hand edited since does not show: labels do not tell.
fn runs_as_rendered(rendered: &RenderedStack, live: &[&Service], source: &str) -> bool {
    let wanted: BTreeSet<_> =
        rendered.services.iter().map(|service| rendered.name.scope(&service.name)).collect();
    let found: BTreeSet<_> = live.iter().map(|service| service.name.clone()).collect();
    wanted == found
        && live.iter().all(|service| {
            owner(service) == Some(source)
                && !image_edited(service)
                && service.labels.get(compose::FINGERPRINT) == Some(&rendered.fingerprint)
        })
}

fn first_reason(live: &[&Service], source: &str) -> String {
    match live.first().map(|service| owner(service)) {
        None => "new".into(),
        Some(None) => "adopted: it was deployed by hand before".into(),
        Some(Some(owner)) if owner == source => "changed".into(),
        Some(Some(owner)) => format!("taken over from `{owner}`"),
    }
}
