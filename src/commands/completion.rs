//! `completion`: made from the types of the command line; needs nothing of the machine.

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::{Shell as Generator, generate};

use super::Ending;
use crate::cli::{Cli, Shell};
use crate::report::Report;

pub fn run(shell: Shell) -> Result<Ending> {
    let script = String::from_utf8(script(shell)).context("the completion is no text")?;
    Report::new().lines(&script);
    Ok(Ending::Done)
}

fn script(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "dockerops", &mut script);
    script
}
