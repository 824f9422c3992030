//! Stacks whose secrets are not in the Swarm are not deployed.

use std::collections::BTreeSet;

use anyhow::Result;

use super::planned::{Planned, PlannedSource};
use crate::docker::Docker;
use crate::plan::{Action, Step};

/// Refuses the deploys that lack a secret; docker is asked once, and only if a deploy needs one.
pub fn refuse_missing(docker: &Docker, planned: &mut Planned) -> Result<()> {
    let mut there = None;
    for source in &mut planned.sources {
        let mut refused = Vec::new();
        for (index, step) in source.steps.iter().enumerate() {
            let Some(needed) = needed(source, step) else { continue };
            if there.is_none() {
                there = Some(docker.secret_names()?);
            }
            let missing: Vec<_> = needed
                .iter()
                .filter(|name| !there.as_ref().is_some_and(|there| there.contains(*name)))
                .collect();
            if !missing.is_empty() {
                refused.push((index, Action::Refuse(sentence(&missing))));
            }
        }
        for (index, action) in refused {
            source.steps[index].action = action;
        }
    }
    Ok(())
}

/// The secrets that a step's deploy needs.
fn needed<'a>(source: &'a PlannedSource, step: &Step) -> Option<&'a BTreeSet<String>> {
    if !matches!(step.action, Action::Deploy { .. }) {
        return None;
    }
    let rendered = source.desired(&step.name)?.rendered.as_ref()?.as_ref().ok()?;
    Some(rendered.secrets()).filter(|secrets| !secrets.is_empty())
}

fn sentence(missing: &[&String]) -> String {
    let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
    let lines: Vec<_> = missing.iter().map(|name| format!("\n  docker secret create {name} -")).collect();
    format!(
        "not deployed: `secrets.yaml` names secrets that do not exist in the Swarm: {}; make them, each with its value on \
         standard input, and run `dockerops reconcile`:{}",
        names.join(", "),
        lines.concat()
    )
}
