//! What docker was given, as the first look at it shows: what is not as it was asked for, a hand edited meanwhile.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Key, Reconciler, Session};
use crate::compose::RenderedStack;
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::drift::Drift;
use crate::plan;
use crate::stack::{DriftPolicy, StackName};
use crate::state::{AppliedService, Given};

impl Reconciler {
    /// Notes the specs of what docker was given at the first look at all of it.
    pub fn first_seen(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        mut given: Given,
        swarm: &Swarm,
    ) -> Result<Given> {
        if given.at_stake().all(|name| given.specs.contains_key(name)) {
            return Ok(given);
        }
        let seen = specs(&given, &key.stack, swarm);
        if seen.is_empty() {
            return Ok(given);
        }
        given.specs.extend(seen);
        let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) else {
            return Ok(given);
        };
        if let Some(motion) = source.motions.iter_mut().find(|motion| motion.name == key.stack) {
            motion.given = Some(given.clone());
            session.state.note_motion(motion)?;
        }
        Ok(given)
    }
}

/// The specs of all that was given, as they were before anybody edited them; none where some of it is not there yet.
pub fn specs(given: &Given, stack: &StackName, swarm: &Swarm) -> BTreeMap<String, BTreeMap<String, String>> {
    let spec = |live: &Service| match given.wanted.get(&live.name) {
        Some(parts) => plan::as_wanted(parts, &live.summary),
        None => live.summary.clone(),
    };
    let live = swarm.of_stack(stack).filter(|live| !given.is_job(&live.name));
    let specs: BTreeMap<_, _> = live.map(|live| (live.name.clone(), spec(live))).collect();
    let is_whole = given.at_stake().all(|name| specs.contains_key(name));
    if is_whole { specs } else { BTreeMap::new() }
}

/// Whether a hand edited any of it since.
pub fn is_edited(given: &Given, live: &[Service]) -> bool {
    live.iter().any(|live| given.specs.get(&live.name).is_some_and(|spec| *spec != live.summary))
}

/// What a hand made of it since, in words.
pub fn edits(given: &Given, live: &[Service]) -> Vec<Drift> {
    let drift = |live: &Service| {
        let differences = live.differences_from(given.specs.get(&live.name)?);
        let what = format!("by hand: {}", differences.join(", "));
        (!differences.is_empty()).then(|| Drift { service: live.name.clone(), what })
    };
    live.iter().filter_map(drift).collect()
}

/// Whether what failed is what a hand made of it, and not what was given.
pub fn is_edited_and_paused(given: &Given, key: &Key, swarm: &Swarm) -> bool {
    let all_ours = swarm.of_stack(&key.stack).all(|live| plan::is_of(live, &key.source));
    let mut paused = swarm.of_stack(&key.stack).filter(|live| live.is_paused()).peekable();
    // How many tasks there are, and what labels say, fails no task.
    let is_edited = |live: &Service| {
        given.specs.get(&live.name).is_some_and(|spec| {
            let parts = spec.keys().chain(live.summary.keys());
            let mut others = parts.filter(|part| !["replicas", "service labels"].contains(&part.as_str()));
            others.any(|part| spec.get(part) != live.summary.get(part))
        })
    };
    given.drift == DriftPolicy::Correct && all_ours && paused.peek().is_some() && paused.all(is_edited)
}

/// What is recorded of the services that were given; of what did not converge the images alone.
pub fn applied(given: &Given, live: &[Service]) -> BTreeMap<String, AppliedService> {
    let service = |(name, image): (&String, &Option<String>)| {
        // What a hand edited since it was given is drift.
        let seen = given.specs.get(name).filter(|_| !live.is_empty()).cloned();
        let now = || live.iter().find(|live| live.name == *name).map(|live| live.summary.clone());
        // A job is left as it ran.
        let spec = seen.or_else(now).filter(|_| !given.is_job(name)).unwrap_or_default();
        (name.clone(), AppliedService { image: image.clone(), spec })
    };
    given.services.iter().map(service).collect()
}

/// The services of a stack that did not converge so far.
pub fn unapplied(rendered: &RenderedStack) -> BTreeMap<String, AppliedService> {
    let service = |service: &crate::compose::Service| {
        let image = service.image.as_ref().map(ToString::to_string);
        (rendered.name.scope(&service.name), AppliedService { image, spec: BTreeMap::new() })
    };
    rendered.services.iter().map(service).collect()
}
