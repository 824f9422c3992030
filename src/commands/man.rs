//! `man`: pages made from the types of the command line; needs nothing of the machine.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Ending;
use crate::cli::Cli;
use crate::fault::fault;
use crate::nearest::did_you_mean;
use crate::report::{Report, print_error};

/// One page for all, or that of a command.
pub fn run(name: Option<&str>) -> Result<Ending> {
    let mut program = Cli::command();
    program.build();
    let page = match name {
        None => whole(&program),
        Some(name) => match commands(&program).find(|command| command.get_name() == name) {
            Some(command) => own(command),
            None => {
                print_error(&unknown(&program, name));
                return Ok(Ending::Usage);
            }
        },
    };
    Report::new().lines(&page.context("cannot write the manual page")?);
    Ok(Ending::Done)
}

fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| command.get_name() != "help")
}

fn unknown(program: &Command, name: &str) -> anyhow::Error {
    let names: Vec<_> = commands(program).map(Command::get_name).collect();
    let near = did_you_mean(name, names.iter().copied());
    fault(format!("there is no command `{name}`"), format!("{near}commands are `{}`", names.join("`, `")))
}

/// `dockerops-watch(1)`.
fn own(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    text(page)
}

/// The program, then each command with its options.
fn whole(program: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(program.clone()).render(&mut page)?;
    for command in commands(program) {
        let name = format!("dockerops {}", command.get_name());
        writeln!(page, ".SH {}", name.to_uppercase())?;
        let part = Man::new(command.clone().display_name(name));
        part.render_synopsis_section(&mut page)?;
        part.render_description_section(&mut page)?;
        part.render_options_section(&mut page)?;
        part.render_extra_section(&mut page)?;
    }
    Ok(sections_below_commands(&text(page)?))
}

fn text(page: Vec<u8>) -> io::Result<String> {
    String::from_utf8(page).map_err(io::Error::other)
}

/// The parts bring headings of their own, which here are those of a section.
fn sections_below_commands(page: &str) -> String {
    let mut below = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        below |= line.starts_with(".SH DOCKEROPS ");
        lines.push(match line.strip_prefix(".SH ") {
            Some(heading) if below && !heading.starts_with("DOCKEROPS ") => format!(".SS {heading}"),
            _ => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}
