//! DockerOps: makes a Docker Swarm be what a Git repository says, and tells the truth about it.
//!
//! Here: parse, run the command, print the one error, exit.

#[macro_use]
mod broken;

mod bindings;
mod budget;
mod cli;
mod clock;
mod commands;
mod compose;
mod convergence;
mod daemon;
mod docker;
mod drift;
mod fault;
mod forge;
mod git;
mod guard;
mod hash;
mod health;
mod heap;
mod hold;
mod holding;
mod image;
mod lock;
mod logs;
mod manifest;
mod nearest;
mod network;
mod paths;
mod patterns;
mod plain;
mod plan;
mod policy;
mod problem;
mod process;
mod reading;
mod reason;
mod reconcile;
mod redact;
mod registry;
mod report;
#[cfg(test)]
mod rng;
mod settings;
mod signal;
mod signature;
mod source;
mod span;
mod stack;
mod state;
mod template;
mod validate;
mod watched;
mod web;
mod write;
mod writer;
mod yaml;

use std::process::ExitCode;

use anyhow::Error;
use clap::Parser;

use commands::Ending;

fn main() -> ExitCode {
    heap::give_back();
    let cli = cli::Cli::parse();
    let ending = signal::install().and_then(|()| commands::run(cli.command));
    match ending {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => {
            report::print_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// The documented exit code of an error.
fn exit_code(error: &Error) -> u8 {
    if error.is::<lock::Held>() {
        return 4;
    }
    error.downcast_ref().map_or(1, |interrupted| Ending::EndedBy(*interrupted).code())
}
