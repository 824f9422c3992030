//! A run for some stacks alone: the others are left as they stand, whatever their source says by now.

use super::Only;
use super::planned::PlannedSource;
use crate::plan::{Action, Step};
use crate::state::StackStatus;

/// Leaves the steps of `only`, and gives its reason to those that are forced.
pub fn keep_to(only: &Only, source: &PlannedSource, steps: &mut [Step]) {
    for step in steps {
        if only.stacks.contains(&step.name) {
            if let Action::Deploy { reason, .. } = &mut step.action
                && reason == "forced"
            {
                reason.clone_from(&only.reason);
            }
            continue;
        }
        // Those that depend on it learn how it stands.
        let row = source.stack(&step.name);
        step.action = Action::Aside { well: row.is_some_and(|row| row.status == StackStatus::Deployed) };
    }
}
