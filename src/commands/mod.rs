//! One file a subcommand; each says in order what it does. Here: what they have in common.

mod completion;
mod debug_cache;
mod ending;
mod events;
mod history;
mod hold;
mod logs;
mod man;
mod reconcile;
mod rollback;
mod run;
mod status;
mod stop;
mod unwatch;
mod validate;
mod version;
mod watch;

use anyhow::{Context, Error, Result};
use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::cli::{Cli, Command};
use crate::fault::{because_of, fault};
use crate::plain;
use crate::report::Report;
use crate::settings::{Environment, Settings};
use crate::signal::Interrupted;
use crate::state;
use crate::writer::Writer;

pub use ending::Ending;

/// What to do about a removal that is not done.
const AGAIN: &str =
    "run it again to remove the rest; until then a `reconcile` or the daemon puts back what is gone";

/// What ends a command that is for what is watched where nothing is: a cron job of another `HOME` is to be heard.
fn nothing_watched(settings: &Settings) -> Error {
    fault(
        no_repositories(settings),
        "`sudo dockerops watch <repository>` adds one; if there should be some, `DOCKEROPS_DB_PATH` or `HOME` is \
         another one here",
    )
}

/// The sentence that people search for, and where it was looked.
fn no_repositories(settings: &Settings) -> String {
    let path = settings.database.display();
    if settings.database.exists() {
        format!("No repositories found in cache: nothing is watched in the database `{path}`")
    } else {
        format!("No repositories found in cache: there is no database `{path}`")
    }
}

pub fn run(command: Command) -> Result<Ending> {
    match &command {
        Command::Version => return Ok(version::run()),
        Command::Completion(arguments) => return completion::run(arguments.shell),
        Command::Man(arguments) => return man::run(arguments.command.as_deref()),
        _ => {}
    }
    let report = Report::new();
    Environment::of_the_process().unread().iter().for_each(|what| report.warn(what));
    if let Command::Validate(arguments) = &command {
        return validate::run(arguments);
    }
    require_root(&command)?;
    let settings = Settings::from_environment()?;
    let closed = reader(&command).and_then(|typed| state::closed(&settings.database, &typed));
    if let Some(error) = closed {
        return Err(error);
    }
    let removes = matches!(command, Command::Unwatch(_) | Command::Stop(_));
    let ending = match command {
        Command::Watch(arguments) => watch::run(&settings, &arguments),
        Command::Reconcile(arguments) => reconcile::run(&settings, &arguments),
        Command::Unwatch(arguments) => unwatch::run(&settings, &arguments),
        Command::Hold(arguments) => hold::hold(&settings, &arguments),
        Command::Release(arguments) => hold::release(&settings, &arguments),
        Command::Rollback(arguments) => rollback::run(&settings, &arguments),
        Command::Status(arguments) => status::run(&settings, &arguments),
        Command::History(arguments) => history::run(&settings, &arguments),
        Command::Events(arguments) => events::run(&settings, &arguments),
        Command::Logs(arguments) => logs::run(&settings, &arguments),
        Command::Stop(arguments) => stop::run(&settings, &arguments),
        Command::Run => run::run(&settings),
        Command::DebugCache => debug_cache::run(&settings),
        Command::Completion(_) | Command::Man(_) | Command::Validate(_) | Command::Version => {
            Ok(Ending::Done)
        }
    };
    ending.map_err(|error| match error.is::<Interrupted>() {
        true if removes => because_of(error, "not all is removed", AGAIN),
        true => because_of(error, "not all is done", "run it again: it goes on from there"),
        false => state::explain(error, &settings.database),
    })
}

/// The effective uid decides, never `$USER`.
fn require_root(command: &Command) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (name, purpose) = match command {
        Command::Watch(_) => {
            ("watch <repository>", "it deploys to the Swarm and keeps a database of its own")
        }
        Command::Reconcile(_) => ("reconcile", "it deploys to the Swarm"),
        Command::Unwatch(_) => ("unwatch <repository>", "it removes stacks from the Swarm"),
        Command::Hold(_) => ("hold <stack>", "it decides what is deployed"),
        Command::Release(_) => ("release <stack>", "it decides what is deployed"),
        Command::Rollback(_) => ("rollback <stack>", "it deploys to the Swarm"),
        Command::Stop(_) => ("stop", "it removes stacks and images"),
        Command::Run => ("run", "it deploys to the Swarm and keeps a database of its own"),
        // Who may read the database, or docker lets in, may look.
        Command::Status(_)
        | Command::History(_)
        | Command::Events(_)
        | Command::Logs(_)
        | Command::DebugCache
        | Command::Completion(_)
        | Command::Man(_)
        | Command::Validate(_)
        | Command::Version => return Ok(()),
    };
    Err(fault(
        format!("DockerOps must be run with root privileges: {purpose}"),
        format!("run `sudo dockerops {name}`"),
    ))
}

/// As it is typed, a command that reads the database, and changes nothing.
fn reader(command: &Command) -> Option<String> {
    let of = |name: &str, stack: Option<&String>| {
        stack.map_or_else(|| name.to_owned(), |stack| format!("{name} {}", plain::name(stack)))
    };
    match command {
        Command::Status(arguments) => Some(of("status", arguments.stack.as_ref())),
        Command::History(arguments) => Some(of("history", Some(&arguments.stack))),
        Command::Events(arguments) => Some(of("events", arguments.subject.as_ref())),
        Command::DebugCache => Some(of("debug-cache", None)),
        _ => None,
    }
}

/// As clap tells what is no command line of `command`.
fn usage(command: &str, what: &str) -> Result<Ending> {
    let mut cli = Cli::command();
    cli.build();
    let command = cli.find_subcommand_mut(command).context("no such command")?;
    command.error(ErrorKind::ValueValidation, plain::line(what)).print()?;
    Ok(Ending::Usage)
}

/// Ends with an error if stacks of a removal failed.
fn all_removed(failures: usize) -> Result<Ending> {
    if failures > 0 {
        let stacks = if failures == 1 { "1 stack".to_owned() } else { format!("{failures} stacks") };
        return Err(fault(format!("{stacks} could not be removed"), AGAIN));
    }
    Ok(Ending::Done)
}
