//! Writes the shell completions and the man pages, made from the clap types, into a folder.
//!
//! In: the folder's path. Out: `dockerops.bash`, `_dockerops`, `dockerops.fish`, `dockerops.1`. A program of its own,
//! so that the one people run carries none of it.

#[path = "../../src/cli.rs"]
mod cli;
#[path = "../../src/reason.rs"]
mod reason;
#[path = "../../src/span.rs"]
mod span;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: share FOLDER")?;
    fs::create_dir_all(&folder)?;
    let mut command = cli::Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "dockerops", &folder)?;
    }
    write_manual(command, &folder.join("dockerops.1"))
}

/// One page for all: the program, then each subcommand with its options.
fn write_manual(mut command: Command, path: &Path) -> Result<(), Box<dyn Error>> {
    command.build();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    for subcommand in command.get_subcommands().filter(|one| one.get_name() != "help") {
        let name = format!("dockerops {}", subcommand.get_name());
        writeln!(page, ".SH {}", name.to_uppercase())?;
        let part = Man::new(subcommand.clone().display_name(name));
        part.render_synopsis_section(&mut page)?;
        part.render_description_section(&mut page)?;
        part.render_options_section(&mut page)?;
        part.render_extra_section(&mut page)?;
    }
    // The parts bring headings of their own, which here are those of a section.
    fs::write(path, sections_below_commands(&String::from_utf8(page)?))?;
    Ok(())
}

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
