//! `status <stack>`: one stack with its tasks and the newest of its history.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::clock;
use crate::commands::nothing_watched;
use crate::docker::Docker;
use crate::fault::fault;
use crate::health::Look;
use crate::holding::Subject;
use crate::report::history::History;
use crate::report::one::{One, VERSIONS};
use crate::report::status;
use crate::settings::Settings;
use crate::stack::StackName;
use crate::state::State;
use crate::watched::watched;

/// Four docker calls at most: its services (two), their tasks, the nodes. A name that is none is an error with the nearest.
pub fn read(settings: &Settings, state: &State, docker: &Docker, name: &str) -> Result<One> {
    let (watched, images, work) = (watched(state)?, state.images()?, state.work()?);
    if watched.is_empty() {
        return Err(nothing_watched(settings));
    }
    let source = Subject::stack(&watched, name, None)?.source.url;
    let name = StackName::known(name);
    let swarm = docker.observe_stack(&name)?;
    let ids: Vec<_> = swarm.services.iter().map(|service| service.id.as_str()).collect();
    let lines = docker.task_lines(&ids)?;
    let nodes = if lines.is_empty() { BTreeMap::new() } else { docker.nodes()? };
    let look = Look::new(&ids, lines, nodes, clock::wall());
    let status = status::gather(&watched, &images, &work, &swarm, &look);
    let versions = state.newest_versions(&name, &source, VERSIONS)?;
    let one = One::of(status, name.as_str(), &source, &swarm, &look);
    let one = one.ok_or_else(|| fault(format!("the stack `{name}` has just been removed"), "ask again"))?;
    Ok(one.with(|stack| History::told(stack, &versions)))
}
