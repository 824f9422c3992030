//! Removes stacks, on evidence that they are ours, and waits until nothing of them is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Error, Result};

use super::Session;
use super::removals::order::order;
use super::removals::{self, Leaving};
use crate::docker::Swarm;
use crate::fault::hint_of;
use crate::git::Workplace;
use crate::plan::{self, Evidence};
use crate::report::Subject;
use crate::signal;
use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{StackRow, StackStatus, WorkKind};
use crate::watched::Watched;

/// Between two looks at what other runs are at.
const BESIDE_OTHERS: Duration = Duration::from_millis(250);
/// Networks go only after the last container has left them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of a stack whose removal began, unless it ended.
const UNFINISHED: &str =
    "its removal was not finished: run the command again, or `dockerops reconcile` to deploy it again";

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Nothing of it is left; volumes stay, always.
    Gone,
    /// Services that somebody added by hand, and what they use, were left.
    Partly,
    /// Nothing proves that it is ours: left alone.
    NotOurs,
}

/// A stack that is asked to go, and what is known of it.
#[derive(Debug)]
pub struct Going<'a> {
    pub name: &'a StackName,
    /// As it is told of.
    pub subject: Subject<'a>,
    /// The source that it is removed for, as labels have it.
    pub identity: &'a SourceId,
    /// What the database knows of it.
    pub row: Option<&'a StackRow>,
}

/// Removes `going`, side by side and dependents first, and says what came of each. Each end is given to `ended` as
/// soon as it is known, with the stack's index, so that a run that is cut off loses nothing. What is not ours is no
/// failure. An error only where the run must end.
pub fn remove_stacks(
    session: &Session<'_>,
    going: &[Going<'_>],
    swarm: &Swarm,
    ended: &mut dyn FnMut(usize, Result<Removal>) -> Result<()>,
) -> Result<()> {
    let mut ours = Vec::new();
    for (index, going) in going.iter().enumerate() {
        let services = match plan::evidence(going.name, going.identity, going.row, swarm) {
            Evidence::None => {
                say(session, going, &Ok(Removal::NotOurs));
                ended(index, Ok(Removal::NotOurs))?;
                continue;
            }
            Evidence::Services(ids) => Some(ids.into_iter().map(str::to_owned).collect()),
            Evidence::Whole => None,
        };
        let (is_part, all) = (services.is_some(), || swarm.ids_of(going.name));
        let services = services.unwrap_or_else(all);
        ours.push((index, Leaving { name: going.name.clone(), services, is_part, after: Vec::new() }));
    }
    if ours.is_empty() {
        return Ok(());
    }
    let (indices, mut leaving): (Vec<_>, Vec<_>) = ours.into_iter().unzip();
    put_in_order(session, going, &indices, &mut leaving, swarm);
    let patience = PATIENCE.min(session.deploy_timeout.max(Duration::from_secs(10)));
    let mut observer =
        Teller { session, going, indices: &indices, leaving: &leaving, begun: BTreeSet::new(), ended };
    removals::run(session.docker, &leaving, patience, &mut observer)
}

/// Where docker does not tell of networks, what the database knows must do.
fn put_in_order(
    session: &Session<'_>,
    going: &[Going<'_>],
    indices: &[usize],
    leaving: &mut [Leaving],
    swarm: &Swarm,
) {
    if leaving.len() < 2 {
        return;
    }
    let at: BTreeMap<_, _> = leaving.iter().enumerate().map(|(at, it)| (it.name.clone(), at)).collect();
    let rows = indices.iter().filter_map(|index| going[*index].row);
    let depends_on: Vec<_> = rows.map(|row| (&row.name, &*row.depends_on)).collect();
    let networks = session.docker.network_stacks().unwrap_or_default();
    let mut order = order(&at.keys().collect(), &depends_on, &networks, swarm);
    for leaving in leaving {
        let before = order.remove(&leaving.name).unwrap_or_default();
        leaving.after = before.iter().filter_map(|name| at.get(name).copied()).collect();
    }
}

struct Teller<'a, 'b> {
    session: &'a Session<'a>,
    going: &'a [Going<'a>],
    /// Of each that leaves, its index in `going`.
    indices: &'a [usize],
    leaving: &'a [Leaving],
    /// Those whose removal has begun.
    begun: BTreeSet<usize>,
    ended: &'b mut dyn FnMut(usize, Result<Removal>) -> Result<()>,
}

impl removals::Observer for Teller<'_, '_> {
    fn waiting(&mut self, index: usize, what: &str) {
        let row = self.going[self.indices[index]].row;
        if let Some(row) = row.filter(|_| self.begun.insert(index)) {
            let name = row.name.as_str();
            if let Err(error) = self.session.state.note_leaving(row, UNFINISHED) {
                self.session.report.note(name, &format!("{error:#}"));
            }
        }
        self.session.report.waiting(self.leaving[index].name.as_str(), what);
    }

    fn ended(&mut self, index: usize, result: Result<()>) -> Result<()> {
        let removal = if self.leaving[index].is_part { Removal::Partly } else { Removal::Gone };
        let (index, result) = (self.indices[index], result.map(|()| removal));
        say(self.session, &self.going[index], &result);
        (self.ended)(index, result)
    }
}

fn say(session: &Session<'_>, going: &Going<'_>, result: &Result<Removal>) {
    let (report, subject) = (session.report, going.subject);
    report.stop_waiting(subject.stack);
    match result {
        Ok(Removal::Gone) => report.removed(subject, "removed; its volumes stay"),
        Ok(Removal::Partly) => {
            report
                .removed(subject, "its services were removed; those added by hand, and their networks, stay");
        }
        Ok(Removal::NotOurs) => {
            report.note(subject, "left alone: nothing shows that DockerOps deployed it from this source");
        }
        Err(error) => report.failed(subject, &format!("not removed: {}", with_hint(error))),
    }
}

fn with_hint(error: &Error) -> String {
    let hint = hint_of(error).map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{error:#}{hint}")
}

/// Waits until no other run is giving a stack to docker or removing one: what comes of that is to be seen first.
pub fn wait_for_others(session: &Session<'_>) -> Result<()> {
    let mut told = false;
    loop {
        // This one has no work noted so far.
        let others = session.state.given_elsewhere("")?;
        let Some(name) = others.first() else { return Ok(()) };
        if !std::mem::replace(&mut told, true) {
            session.report.progress(&format!("waiting until another run is done with `{name}`"));
        }
        session.unlock();
        signal::pause(BESIDE_OTHERS)?;
        session.lock_again()?;
    }
}

/// Removes all stacks of these sources, those included that only labels know of; the number that failed.
pub fn remove_all(session: &Session<'_>, sources: &[&Watched], swarm: &Swarm) -> Result<usize> {
    let named: Vec<_> = sources.iter().flat_map(|known| names(known, swarm)).collect();
    let own = if named.is_empty() { None } else { session.docker.own_stack()? };
    let mut going = Vec::new();
    for (known, name) in named {
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
        going.push(Going { name, subject, identity: &known.identity, row });
    }
    // Until its rows are gone, others see why it runs no more.
    let workplace = Workplace::new(&session.paths.checkouts)?;
    // Cut off, it leaves a source of which not all runs: other runs look at it again.
    for known in sources {
        session.state.note_asked(&known.row)?;
        session.state.begin_work(&workplace.run(), WorkKind::Syncing, known.row.url.as_str())?;
    }
    for Going { name, .. } in &going {
        session.state.begin_work(&workplace.run(), WorkKind::Removing, name.as_str())?;
    }
    let mut failures = 0;
    remove_stacks(session, &going, swarm, &mut |index, result| {
        let Going { name, subject, row, .. } = &going[index];
        match result {
            Ok(_) => subject.repository.map_or(Ok(()), |url| session.state.forget_stack(name, url))?,
            Err(error) => {
                failures += 1;
                let note =
                    |row: &StackRow| session.state.note_leaving(row, &format!("not removed: {error:#}"));
                row.map_or(Ok(()), note)?;
            }
        }
        session.state.end_work(&workplace.run(), WorkKind::Removing, name.as_str())
    })?;
    session.state.forget_work(&workplace.run())?;
    Ok(failures)
}

fn names<'a>(known: &'a Watched, swarm: &'a Swarm) -> impl Iterator<Item = (&'a Watched, &'a StackName)> {
    let labelled = swarm.services.iter().filter(|service| plan::is_of(service, &known.identity));
    let names: BTreeSet<_> =
        known.stacks.iter().map(|row| &row.name).chain(labelled.map(|service| &service.stack)).collect();
    names.into_iter().map(move |name| (known, name))
}
