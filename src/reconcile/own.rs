//! The stack that this DockerOps itself runs in: its deploy may end the run, so it comes after all others, and
//! nothing that a repository says removes it.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Session;
use super::planned::{Planned, PlannedSource};
use crate::plan::Action;
use crate::stack::StackName;

/// Puts it last, with what depends on it.
pub fn set_apart(session: &Session<'_>, planned: &mut Planned) -> Result<()> {
    let waits = planned.sources.iter().any(|source| !source.waiting.is_empty());
    if !planned.has_work() && !waits {
        return Ok(());
    }
    let Some(own) = session.docker.own_stack()? else { return Ok(()) };
    for source in &mut planned.sources {
        if source.desired(&own).is_some() {
            source.last = dependents(source, &own);
        }
        for step in source.steps.iter_mut().filter(|step| step.name == own) {
            match step.action {
                Action::Remove { .. } => step.action = Action::Refuse(stays(&own)),
                Action::Deploy { .. } | Action::Roll { .. } => session.report.progress(&format!(
                    "`{own}` is the stack that this DockerOps runs in: it comes last; where Swarm ends this run \
                     for it, the next one goes on"
                )),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Why the own stack is not removed, and what to do.
pub fn stays(own: &StackName) -> String {
    format!("left as it is: this DockerOps runs in it; `docker stack rm {own}` removes both")
}

fn dependents(source: &PlannedSource, own: &StackName) -> BTreeSet<StackName> {
    let mut last = BTreeSet::from([own.clone()]);
    loop {
        let names = source.steps.iter().map(|step| &step.name).filter(|name| !last.contains(*name));
        let depends = |name: &&StackName| {
            source
                .desired(name)
                .is_some_and(|desired| desired.entry.depends_on.iter().any(|on| last.contains(on)))
        };
        let Some(name) = names.clone().find(depends).cloned() else { return last };
        last.insert(name);
    }
}
