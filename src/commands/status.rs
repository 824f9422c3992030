//! `status`: the truth, read only; works while another run holds the lock.

mod one;
mod redraw;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::slice;

use anyhow::{Context, Result};

use super::{Ending, nothing_watched};
use crate::cli::StatusArgs;
use crate::docker::Docker;
use crate::policy::{self, Trust};
use crate::report::one::One;
use crate::report::screen::Reader;
use crate::report::status::{self, Stack, Status};
use crate::report::{Report, Show, print_error, tables};
use crate::settings::Settings;
use crate::stack::StackName;
use crate::state::{State, Texts};
use crate::watched::watched;

/// Prints tables, or JSON; of all that is watched, or of one stack.
pub fn run(settings: &Settings, arguments: &StatusArgs) -> Result<Ending> {
    if arguments.watch {
        return redraw::run(settings, arguments.stack.as_deref());
    }
    let report = Report::new();
    let state = State::read(&settings.database)?;
    let mut told = Told::read(settings, state.as_ref(), arguments.stack.as_deref())?;
    let texts = match &state {
        Some(state) if arguments.rendered || arguments.diff => texts(state, told.status())?,
        _ => vec![],
    };
    if arguments.json {
        for (stack, texts) in told.stacks_mut().iter_mut().zip(texts) {
            stack.rendered = texts.attempted.or(texts.applied);
        }
        report.json(&told.json().context("cannot print the status")?);
    } else if !told.status().repositories.is_empty() {
        report.lines(&told.text(Reader::of_stdout()));
        if let Some(show) = Show::from_options(arguments.rendered, arguments.diff) {
            let stacks = told.status().stacks.iter().zip(&texts);
            stacks.for_each(|(stack, texts)| rendered(&report, show, stack, texts));
        }
    }
    if told.status().repositories.is_empty() {
        return Err(nothing_watched(settings));
    }
    // Nothing is put right as long as that is so. Who may not read it cannot tell.
    let policy = settings.policy.as_deref().filter(|path| !is_closed(path));
    let policy = policy.map(|path| policy::read(path, Trust::Root, &settings.programs()));
    match policy {
        Some(Err(error)) => {
            print_error(&error);
            return Ok(Ending::Partly);
        }
        Some(Ok(policy)) => policy.ending_keys().iter().for_each(|what| report.warn(what)),
        None => {}
    }
    let status = told.status();
    let is_wrong = status.is_wrong() || arguments.exit_code && status.differs();
    Ok(if is_wrong { Ending::Partly } else { Ending::Done })
}

fn is_closed(path: &Path) -> bool {
    File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// What is told.
enum Told {
    All(Status),
    One(Box<One>),
}

impl Told {
    /// Of all that is watched, or of the stack of that name.
    fn read(settings: &Settings, state: Option<&State>, stack: Option<&str>) -> Result<Self> {
        let docker = Docker::new(&settings.docker_environment, settings.deploy_timeout);
        match (state, stack) {
            (None, None) => Ok(Self::All(Status::default())),
            (None, Some(_)) => Err(nothing_watched(settings)),
            (Some(state), None) => all(state, &docker).map(Self::All),
            (Some(state), Some(name)) => {
                one::read(settings, state, &docker, name).map(Box::new).map(Self::One)
            }
        }
    }

    fn status(&self) -> &Status {
        match self {
            Self::All(status) => status,
            Self::One(one) => &one.status,
        }
    }

    fn stacks_mut(&mut self) -> &mut [Stack] {
        match self {
            Self::All(status) => &mut status.stacks,
            Self::One(one) => slice::from_mut(one.stack_mut()),
        }
    }

    fn json(&self) -> serde_json::Result<String> {
        match self {
            Self::All(status) => serde_json::to_string_pretty(status),
            Self::One(one) => serde_json::to_string_pretty(&one.json()),
        }
    }

    fn text(&self, reader: Option<Reader>) -> String {
        match self {
            Self::All(status) => tables::text(status, reader),
            Self::One(one) => one.text(reader),
        }
    }

    /// For a screen: where all of it has no room, what is wrong comes before what is well.
    fn picture(&self, reader: Reader, rows: usize) -> String {
        let text = self.text(Some(reader));
        match self {
            Self::All(status) if text.lines().count() > rows => {
                tables::brief(status, Some(reader)) + &tables::wrongs(status, Some(reader.now))
            }
            _ => text,
        }
    }
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

fn all(state: &State, docker: &Docker) -> Result<Status> {
    let (watched, images, work) = (watched(state)?, state.images()?, state.work()?);
    if watched.is_empty() {
        return Ok(status::recorded(&watched, &images, &work));
    }
    Ok(status::read(&watched, &images, &work, docker)?.0)
}
