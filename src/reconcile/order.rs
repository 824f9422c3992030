//! In which order the stacks of a source are decided about.

use std::collections::BTreeSet;

use super::source::WatchedSource;
use crate::docker::Swarm;
use crate::plan::DesiredStack;
use crate::stack::StackName;

/// The stacks of a source: those that are to go, then each after what it depends on.
pub fn in_order(source: &WatchedSource, swarm: &Swarm) -> Vec<StackName> {
    let mut left = source.names(swarm);
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |name: &StackName| {
            let on = source.desired(name).into_iter().flat_map(|desired| &desired.entry.depends_on);
            on.into_iter().any(|on| left.contains(on))
        };
        // A circle is refused with the manifest; none of it may hang this.
        let next = left.iter().position(|name| !waits(name)).unwrap_or_default();
        ordered.push(left.remove(next));
    }
    ordered
}

/// A stack of the source, and all that depend on it.
pub fn dependents(source: &WatchedSource, own: &StackName) -> BTreeSet<StackName> {
    let mut last = BTreeSet::from([own.clone()]);
    loop {
        let desired = source.read().into_iter().flat_map(|read| &read.desired);
        let next = desired.filter(|desired| !last.contains(&desired.entry.name));
        let depends = |desired: &&DesiredStack| desired.entry.depends_on.iter().any(|on| last.contains(on));
        let Some(next) = next.clone().find(depends).map(|desired| desired.entry.name.clone()) else {
            return last;
        };
        last.insert(next);
    }
}
