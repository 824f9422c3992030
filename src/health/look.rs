//! What a look at everybody's health asks docker: one call, and one more for the nodes where something is wrong.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::{judge, replicas};
use crate::clock;
use crate::docker::lines::{Line, Node};
use crate::docker::{Docker, Swarm};
use crate::state::{Motion, StackRow, StackStatus};

/// The tasks of the services that were asked for, at one moment.
#[derive(Debug)]
pub struct Look {
    /// By the id of their service, the newest of each slot first.
    tasks: BTreeMap<String, Vec<Line>>,
    /// By id; none unless something is wrong.
    nodes: BTreeMap<String, Node>,
    taken: DateTime<Utc>,
}

impl Look {
    /// Without a question: services count for what `service ls` says of them.
    pub fn none() -> Self {
        Self { tasks: BTreeMap::new(), nodes: BTreeMap::new(), taken: clock::wall() }
    }

    /// `asked` are services' ids: one without a task has none, one that was not asked for is not known.
    pub fn new(
        asked: &[&str],
        lines: Vec<Line>,
        nodes: BTreeMap<String, Node>,
        taken: DateTime<Utc>,
    ) -> Self {
        let mut tasks: BTreeMap<_, Vec<_>> = asked.iter().map(|id| ((*id).to_owned(), Vec::new())).collect();
        for line in lines {
            if let Some(tasks) = tasks.get_mut(&line.service) {
                tasks.push(line);
            }
        }
        Self { tasks, nodes, taken }
    }

    /// The tasks of a service; `None` where docker was not asked for them.
    pub fn tasks_of(&self, service: &str) -> Option<&[Line]> {
        self.tasks.get(service).map(Vec::as_slice)
    }

    /// A node, where it is known.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub fn taken(&self) -> DateTime<Utc> {
        self.taken
    }
}

/// Asks docker what is to be known of `stacks`, each with its source's motions. Services of which neither Git
/// nor the Swarm wants a task are not asked for.
pub fn look(docker: &Docker, swarm: &Swarm, stacks: &[(&StackRow, &[Motion])]) -> Result<Look> {
    look_by(swarm, stacks, |asked| docker.task_lines(asked), || docker.nodes())
}

/// Likewise, where somebody else answers for docker: which tasks services have, and which nodes there are.
pub fn look_by(
    swarm: &Swarm,
    stacks: &[(&StackRow, &[Motion])],
    tasks: impl FnOnce(&[&str]) -> Result<Vec<Line>>,
    nodes: impl FnOnce() -> Result<BTreeMap<String, Node>>,
) -> Result<Look> {
    let mut asked = BTreeSet::new();
    for (row, _) in stacks.iter().filter(|(row, _)| row.status != StackStatus::Stopped) {
        for live in swarm.of_stack(&row.name) {
            let applied = row.services.get(&live.name).and_then(replicas);
            if live.wanted > 0 || applied != Some(0) {
                asked.insert(live.id.as_str());
            }
        }
    }
    if asked.is_empty() {
        return Ok(Look::none());
    }
    let asked: Vec<_> = asked.into_iter().collect();
    let mut look = Look::new(&asked, tasks(&asked)?, BTreeMap::new(), clock::wall());
    let is_wrong = |(row, motions): &(&StackRow, &[Motion])| {
        let verdict = judge(row, motions, swarm, &look);
        verdict.services.values().any(|service| service.why.is_some() || service.error.is_some())
    };
    if stacks.iter().any(is_wrong) {
        look.nodes = nodes()?;
    }
    Ok(look)
}
