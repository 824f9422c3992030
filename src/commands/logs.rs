//! `logs`: what the services of a stack print; works for whoever docker lets in, and while another run holds the lock.

use std::io::Write;

use anstyle::Style;
use anyhow::{Context, Result};

use super::{Ending, usage};
use crate::cli::LogsArgs;
use crate::clock;
use crate::compose::REPOSITORY;
use crate::docker::service::Service;
use crate::docker::{Docker, Swarm};
use crate::fault::fault;
use crate::logs::{self, Bounds, Line, Removed, Told, Wish};
use crate::plain;
use crate::report::Report;
use crate::settings::Settings;
use crate::signal;
use crate::stack::StackName;
use crate::state::State;

/// What is held of lines that were printed before.
const MOST_BYTES: usize = 8 << 20;
const FEWER: &str = "ask for fewer with `--tail`";
/// So many names are told where one is wrong.
const NAMES: usize = 50;

/// Prints lines, or a JSON object for each; notes go to stderr.
pub fn run(settings: &Settings, arguments: &LogsArgs) -> Result<Ending> {
    let docker = Docker::new(&settings.docker_environment, settings.deploy_timeout);
    let wish = match Wish::read(arguments.tail.as_deref(), arguments.since.as_deref(), clock::wall()) {
        Ok(wish) => wish,
        Err(error) => return usage("logs", &format!("--{error:#}")),
    };
    match (print(settings, arguments, &wish, &docker), signal::received()) {
        (Err(_), Some(interrupted)) => Ok(Ending::EndedBy(interrupted)),
        (ended, _) => ended,
    }
}

fn print(settings: &Settings, arguments: &LogsArgs, wish: &Wish, docker: &Docker) -> Result<Ending> {
    let (report, stack) = (Report::new(), StackName::known(&arguments.stack));
    let swarm = docker.observe_stack(&stack)?;
    let live: Vec<_> = swarm.of_stack(&stack).collect();
    is_ours(settings, docker, &stack, &live)?;
    let services = logs::choose(stack.as_str(), &live, arguments.service.as_deref())?;
    let mut tell = |told: Told| {
        told.notes.iter().for_each(|note| report.warn(note));
        write(&told.lines, arguments.json).is_ok()
    };
    if !arguments.follow {
        let bounds = Bounds { bytes: MOST_BYTES, time: settings.deploy_timeout };
        tell(logs::read(docker, &services, wish, bounds, FEWER)?);
        return Ok(Ending::Done);
    }
    // By their names: one that is removed and deployed anew is the same to who follows it.
    let one = arguments.service.as_ref().map(|_| services[0].name.clone());
    let wanted = |service: &Service| one.as_ref().is_none_or(|name| service.name == *name);
    if let Some(Removed) = logs::follow(docker, &stack, &wanted, wish, MOST_BYTES, &mut tell)? {
        let what = one.map_or_else(|| format!("the stack `{stack}`"), |name| format!("the service `{name}`"));
        report.warn(&format!("{what} was removed: there is no more to follow"));
    }
    Ok(Ending::Done)
}

/// DockerOps manages a stack whose services bear its label, whosever database knows it, or that this database knows.
fn is_ours(settings: &Settings, docker: &Docker, stack: &StackName, live: &[&Service]) -> Result<()> {
    let is_labelled = |service: &Service| service.labels.contains_key(REPOSITORY);
    if live.iter().any(|service| is_labelled(service)) {
        return Ok(());
    }
    let root = rustix::process::geteuid().is_root();
    let rows = match State::read(&settings.database) {
        Ok(state) => state.map(|state| state.stacks()).transpose()?.unwrap_or_default(),
        // Labels alone tell whoever root's database is closed to.
        Err(_) if !root => Vec::new(),
        Err(error) => return Err(error),
    };
    if rows.iter().any(|row| row.name == *stack) {
        return Ok(());
    }
    let Swarm { services, .. } = docker.observe()?;
    let labelled = services.iter().filter(|service| is_labelled(service)).map(|service| &service.stack);
    let mut names: Vec<_> = labelled.chain(rows.iter().map(|row| &row.name)).collect();
    names.sort_unstable();
    names.dedup();
    let what = if live.is_empty() {
        format!("there is no stack `{stack}`")
    } else {
        format!("the stack `{stack}` is in the Swarm, and is none that DockerOps manages")
    };
    let more = if names.len() > NAMES { ", …" } else { "" };
    let names: Vec<_> = names.iter().take(NAMES).map(|name| format!("`{name}`")).collect();
    Err(fault(
        what,
        match (names.as_slice(), root) {
            ([], true) => "DockerOps manages none here: `dockerops status` tells what is watched".to_owned(),
            ([], false) => "no service bears a label of DockerOps; root sees what is in its database: `sudo dockerops logs …`".to_owned(),
            (names, _) => format!("DockerOps manages {}{more}", names.join(", ")),
        },
    ))
}

/// Fails where nobody reads any more.
fn write(lines: &[Line], json: bool) -> Result<()> {
    let dim = Style::new().dimmed();
    let mut text = String::new();
    for line in lines {
        if json {
            text += &plain::json(&serde_json::to_string(line).context("cannot print a line")?);
        } else {
            text += &format!("{dim}{} |{dim:#} {}", line.mark(), line.message);
        }
        text.push('\n');
    }
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}
