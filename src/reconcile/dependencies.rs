//! How the stacks are that a stack depends on.

use std::collections::BTreeMap;

use super::Reconciler;
use super::source::WatchedSource;
use crate::plan::{Decision, Dependency, OnHold, Until};
use crate::stack::StackName;

impl Reconciler {
    /// The stacks that `name` depends on and that are not as they should be.
    pub fn dependencies<'a>(
        &self,
        source: &'a WatchedSource,
        name: &StackName,
        states: &BTreeMap<StackName, Decision>,
    ) -> Vec<(&'a StackName, Dependency)> {
        let desired = source.desired(name);
        let on = desired.into_iter().flat_map(|desired| &desired.entry.depends_on);
        let state = |decision: &Decision| match decision {
            Decision::InSync { .. } | Decision::Remove(_) => None,
            // A preview takes it that what would be deployed converges.
            Decision::Apply(_) | Decision::InMotion => (!self.options.dry_run).then_some(Dependency::Moving),
            Decision::Blocked(blocked) => match blocked.until {
                Until::Build => Some(Dependency::Building),
                Until::Released(OnHold::Absent) => Some(Dependency::OnHold),
                Until::Dependency if self.options.dry_run => Some(Dependency::Building),
                Until::NextRun | Until::Seen | Until::Selected { well: false } => {
                    Some(Dependency::Failed { held: false })
                }
                Until::SourceChanges | Until::DependencyHeld | Until::Released(OnHold::Failed) => {
                    Some(Dependency::Failed { held: true })
                }
                Until::Selected { well: true }
                | Until::NewOwner
                | Until::Clear
                | Until::Released(OnHold::Well) => None,
                Until::Given
                | Until::Pull
                | Until::Dependency
                | Until::Others
                | Until::Handover
                | Until::Asked => Some(Dependency::Moving),
            },
        };
        on.filter_map(|on| Some((on, state(states.get(on)?)?))).collect()
    }
}
