//! Stacks that wait for images to be built, and what depends on them.

use std::collections::BTreeSet;

use super::{Action, Input, Step, decide};

/// Plans again what waited for images, which are built by now, or could not be.
pub fn plan_waiting(input: &Input<'_>, steps: &[Step]) -> Vec<Step> {
    let waiting = steps.iter().filter(|step| matches!(step.action, Action::Wait(_)));
    waiting
        .filter_map(|step| {
            let desired = input.desired.iter().find(|desired| desired.entry.name == step.name)?;
            Some(Step { name: step.name.clone(), action: decide(input, desired) })
        })
        .collect()
}

/// What depends on a stack that waits for an image waits too.
pub fn let_dependents_wait(input: &Input<'_>, steps: &mut [Step]) {
    loop {
        let waiting: BTreeSet<_> = steps
            .iter()
            .filter(|step| matches!(step.action, Action::Wait(_)))
            .map(|step| step.name.clone())
            .collect();
        let dependent = steps.iter_mut().find_map(|step| {
            let ready = matches!(step.action, Action::Deploy { .. } | Action::Adopt | Action::Settle);
            let desired = input.desired.iter().find(|desired| ready && desired.entry.name == step.name)?;
            let on = desired.entry.depends_on.iter().find(|name| waiting.contains(*name))?;
            Some((step, on))
        });
        let Some((step, on)) = dependent else { return };
        step.action = Action::Wait(format!("it depends on `{on}`, whose image is to be built"));
    }
}
