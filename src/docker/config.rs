//! `docker stack config`: several compose files as one. It asks no daemon.

use std::path::PathBuf;

use anyhow::Result;

use super::{Docker, command, failed, words};
use crate::fault::fault;
use crate::process::{self, Failure};

/// What came of it.
#[derive(Debug)]
pub enum Config {
    /// The text.
    Merged(String),
    /// docker will not have the files; its words.
    Refused(String),
    /// There is no docker that could; what there is.
    Unable(anyhow::Error),
}

const WAY_OUT: &str = "Docker's CLI 23 can; or write one compose file instead of `compose`";

impl Docker {
    /// Merges `files`, the later over the earlier. Fails where docker comes to no end.
    pub fn config(&self, files: &[PathBuf]) -> Result<Config> {
        let docker = self.of_text();
        let call = docker.call(&command::stack_config(files), docker.question, None, None);
        let output = match process::run(&call) {
            Ok(output) => output,
            Err(failure @ Failure::NotFound) => return Ok(Config::Unable(failed(&call, failure))),
            Err(failure) => return Err(failed(&call, failure)),
        };
        if output.success {
            return Ok(Config::Merged(output.stdout));
        }
        let words = words(&output);
        if self.has_config() {
            return Ok(Config::Refused(words));
        }
        let version = docker.ask(&command::version()).map(|output| output.stdout).unwrap_or_default();
        let name =
            version.lines().next().map_or("this docker CLI".to_owned(), |line| format!("`{}`", line.trim()));
        Ok(Config::Unable(fault(
            format!("{name} cannot merge compose files: it has no `docker stack config`"),
            WAY_OUT,
        )))
    }

    /// Whether it is a command of this CLI: older ones print the help of `docker stack`.
    fn has_config(&self) -> bool {
        let help = self.ask(&command::help_of_config());
        help.is_ok_and(|help| help.stdout.contains("docker stack config"))
    }
}
