//! Compose files merged by docker.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::compose::{Merged, Merger, Unmerged};
use crate::docker::Docker;
use crate::docker::config::Config;

/// docker takes the newest version for that of a file that has none.
const VERSIONS: &str = "; write the same `version` into each of the files";

/// By this docker, from files in a folder of their own below `folder`: values of variables stand in them, so nobody else
/// may read them, and they go when docker has.
#[derive(Debug)]
pub struct ByDocker<'a> {
    pub docker: &'a Docker,
    pub folder: &'a Path,
}

impl Merger for ByDocker<'_> {
    fn merge(&self, texts: &[String]) -> Result<Merged, Unmerged> {
        match self.config(texts).map_err(Unmerged::Nobody)? {
            (Config::Merged(text), folder) => Ok(Merged { text, folder }),
            (Config::Unable(error), _) => Err(Unmerged::Nobody(error)),
            (Config::Refused(words), _) => {
                let way_out = if words.contains("version mismatched") { VERSIONS } else { "" };
                Err(Unmerged::Refused(format!("{words}{way_out}")))
            }
        }
    }
}

impl ByDocker<'_> {
    fn config(&self, texts: &[String]) -> Result<(Config, PathBuf)> {
        let mut new = tempfile::Builder::new();
        let new = new.prefix("merge-").permissions(Permissions::from_mode(0o700));
        let folder = new.tempdir_in(self.folder).context("cannot write them for docker")?;
        let mut files = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = folder.path().join(format!("{index}.yml"));
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes()).context("cannot write them for docker")?;
            files.push(path);
        }
        Ok((self.docker.config(&files)?, folder.path().to_path_buf()))
    }
}
