//! `status`: the truth, read only; works while another run holds the lock.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{Ending, nothing_watched};
use crate::cli::StatusArgs;
use crate::docker::Docker;
use crate::policy::{self, Trust};
use crate::report::status::{self, Stack, Status};
use crate::report::{Report, Show, print_error, tables};
use crate::settings::Settings;
use crate::stack::StackName;
use crate::state::{State, Texts};
use crate::watched::watched;

/// Prints tables, or JSON.
pub fn run(settings: &Settings, arguments: &StatusArgs) -> Result<Ending> {
    let report = Report::new();
    let state = State::read(&settings.database)?;
    let mut status = match &state {
        Some(state) => read(state, settings)?,
        None => {
            Status { repositories: vec![], stacks: vec![], images: vec![], builds: vec![], under_way: vec![] }
        }
    };
    let texts = match &state {
        Some(state) if arguments.rendered || arguments.diff => texts(state, &status)?,
        _ => vec![],
    };
    if arguments.json {
        for (stack, texts) in status.stacks.iter_mut().zip(texts) {
            stack.rendered = texts.attempted.or(texts.applied);
        }
        report.json(&serde_json::to_string_pretty(&status).context("cannot print the status")?);
    } else if !status.repositories.is_empty() {
        report.lines(&tables::text(&status));
        if let Some(show) = Show::from_options(arguments.rendered, arguments.diff) {
            status.stacks.iter().zip(&texts).for_each(|(stack, texts)| rendered(&report, show, stack, texts));
        }
    }
    if status.repositories.is_empty() {
        return Err(nothing_watched(settings));
    }
    // Nothing is put right as long as that is so.
    let policy = settings.policy.as_deref().map(|path| policy::read(path, Trust::Root, &settings.programs()));
    match policy {
        Some(Err(error)) => {
            print_error(&error);
            return Ok(Ending::Partly);
        }
        Some(Ok(policy)) => policy.ending_keys().iter().for_each(|what| report.warn(what)),
        None => {}
    }
    let is_wrong = status.is_wrong() || arguments.exit_code && status.differs();
    Ok(if is_wrong { Ending::Partly } else { Ending::Done })
}

fn texts(state: &State, status: &Status) -> Result<Vec<Texts>> {
    let mut by_source = BTreeMap::new();
    for stack in &status.stacks {
        if !by_source.contains_key(&stack.source) {
            by_source.insert(&stack.source, state.texts(&stack.source)?);
        }
    }
    let of = |stack: &Stack| by_source.get_mut(&stack.source)?.remove(&StackName::known(&stack.name));
    Ok(status.stacks.iter().map(of).map(Option::unwrap_or_default).collect())
}

fn rendered(report: &Report, show: Show, stack: &Stack, texts: &Texts) {
    match (&texts.attempted, &texts.applied) {
        (Some(attempted), applied) => report.rendered(show, &stack.name, attempted, applied.as_deref()),
        (None, Some(applied)) if show == Show::Whole => report.rendered(show, &stack.name, applied, None),
        (None, Some(_)) => report.note(&stack.name, "what was tried last is what was applied last"),
        (None, None) => {
            report.note(&stack.name, "no text is known: it was not deployed since DockerOps notes it");
        }
    }
}

fn read(state: &State, settings: &Settings) -> Result<Status> {
    let (watched, images, work) = (watched(state)?, state.images()?, state.work()?);
    if watched.is_empty() {
        return Ok(status::recorded(&watched, &images, &work));
    }
    let docker = Docker::new(&settings.docker_environment, settings.deploy_timeout);
    Ok(status::read(&watched, &images, &work, &docker)?.0)
}
