//! `status`: the truth, read only; works while another run holds the lock.

use anyhow::{Context, Result};

use super::{Ending, NOTHING_WATCHED};
use crate::cli::StatusArgs;
use crate::docker::Docker;
use crate::docker::service::Service;
use crate::docker::task::Task;
use crate::report::status::{Status, gather};
use crate::report::{Report, tables};
use crate::settings::Settings;
use crate::state::State;
use crate::watched::watched;

/// Prints tables, or JSON.
pub fn run(settings: &Settings, arguments: &StatusArgs) -> Result<Ending> {
    let report = Report::new();
    let status = match State::read(&settings.database)? {
        Some(state) => read(&state, settings)?,
        None => Status { repositories: vec![], stacks: vec![], images: vec![] },
    };
    if arguments.json {
        report.json(&serde_json::to_string_pretty(&status).context("cannot print the status")?);
    } else if status.repositories.is_empty() {
        report.say(NOTHING_WATCHED);
    } else {
        report.say(tables::text(&status).trim_end());
    }
    Ok(Ending::Done)
}

/// Rows, what is live, and the task errors of services that have fewer tasks than they want.
fn read(state: &State, settings: &Settings) -> Result<Status> {
    let watched = watched(state)?;
    let docker = Docker::new(&settings.docker_environment, settings.deploy_timeout);
    let swarm = docker.observe()?;
    let short = |service: &&Service| {
        let (running, wanted) = service.completed.unwrap_or((service.running, service.wanted));
        running < wanted
            && watched.iter().any(|known| known.stacks.iter().any(|stack| stack.name == service.stack))
    };
    let short: Vec<_> = swarm.services.iter().filter(short).cloned().collect();
    let tasks = docker.tasks(&short)?;
    let error =
        |service: &Service| tasks.iter().filter(|task| task.service == service.id).find_map(Task::complaint);
    Ok(gather(&watched, &state.images()?, &swarm, &error))
}
