//! Removes a stack, on evidence that it is ours, and waits until nothing of it is left.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Session;
use crate::docker::Swarm;
use crate::plan::{self, Evidence};
use crate::report::Subject;
use crate::signal;
use crate::stack::StackName;
use crate::state::{StackRow, StackStatus};
use crate::watched::Watched;

/// Networks go only after the last container has left them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a removal.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nothing of it is left; volumes stay, always.
    Gone,
    /// Services that somebody added by hand, and what they use, were left.
    Partly,
    /// Nothing proves that it is ours: left alone.
    NotOurs,
}

/// Removes the stack `name` of the source with this `identity`.
pub fn remove(
    session: &Session<'_>,
    name: &StackName,
    identity: &str,
    row: Option<&StackRow>,
    swarm: &Swarm,
) -> Result<Removal> {
    match plan::evidence(name, identity, row, swarm) {
        Evidence::None => Ok(Removal::NotOurs),
        Evidence::Services(ids) => {
            session.docker.remove_services(&ids)?;
            Ok(Removal::Partly)
        }
        Evidence::Whole => whole(session, name).map(|()| Removal::Gone),
    }
}

fn whole(session: &Session<'_>, name: &StackName) -> Result<()> {
    let until = Instant::now() + PATIENCE.min(session.deploy_timeout.max(Duration::from_secs(10)));
    loop {
        let error = match session.docker.remove_stack(name) {
            Ok(true) => return Ok(()),
            Ok(false) => None,
            Err(error) if error.is::<signal::Interrupted>() => return Err(error),
            Err(error) => Some(error),
        };
        if Instant::now() >= until {
            return Err(
                error.unwrap_or_else(|| anyhow::anyhow!("`docker stack rm {name}` leaves something behind"))
            );
        }
        session.report.waiting(name.as_str(), "is being removed");
        signal::pause(Duration::from_millis(300))?;
    }
}

/// Removes all stacks of a source, those included that only labels know of; the number that failed.
pub fn remove_all(session: &Session<'_>, known: &Watched, swarm: &Swarm) -> Result<usize> {
    let labelled = swarm.services.iter().filter(|service| plan::owner(service) == Some(&known.identity));
    let names: BTreeSet<_> =
        known.stacks.iter().map(|row| &row.name).chain(labelled.map(|service| &service.stack)).collect();
    let own = if names.is_empty() { None } else { session.docker.own_stack()? };
    let mut failures = 0;
    for name in names {
        signal::check()?;
        let row = known.stacks.iter().find(|row| row.name == *name);
        if row.is_some_and(|row| row.status == StackStatus::Stopped) && swarm.of_stack(name).next().is_none()
        {
            continue;
        }
        let subject = Subject { repository: Some(&known.row.url), stack: name.as_str(), commit: None };
        if own.as_ref() == Some(name) {
            session.report.note(subject, &plan::own_stays(name));
            continue;
        }
        match remove_and_say(session, subject, &known.identity, row, swarm) {
            Ok(_) => session.state.forget_stack(name, &known.row.url)?,
            Err(error) if error.is::<signal::Interrupted>() => return Err(error),
            Err(_) => failures += 1,
        }
    }
    Ok(failures)
}

/// Removes a stack that a command was asked to remove; what is not ours is no failure, and is said.
pub fn remove_and_say(
    session: &Session<'_>,
    subject: Subject<'_>,
    identity: &str,
    row: Option<&StackRow>,
    swarm: &Swarm,
) -> Result<Removal> {
    let name = &StackName::known(subject.stack);
    let removal = remove(session, name, identity, row, swarm);
    session.report.settle(subject.stack);
    match &removal {
        Ok(Removal::Gone) => session.report.removed(subject, "removed; its volumes stay"),
        Ok(Removal::Partly) => session
            .report
            .removed(subject, "its services were removed; those added by hand, and their networks, stay"),
        Ok(Removal::NotOurs) => session
            .report
            .note(subject, "left alone: nothing shows that DockerOps deployed it from this source"),
        Err(error) if error.is::<signal::Interrupted>() => {}
        Err(error) => {
            session.report.failed(subject, &format!("not removed: {error:#}"));
            bail!("the stack `{name}` could not be removed");
        }
    }
    removal
}
