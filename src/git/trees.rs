//! Ids that git gives to contents, of any path of a checkout, its submodules included.
//!
//! A tree's id is a hash over all below it, so equal ids are equal contents, and nothing is walked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use git2::{ErrorCode, Repository};

/// The repositories of a checkout: its own, and one for each submodule.
#[derive(Debug)]
pub(super) struct Modules {
    /// Where git's own folders lie.
    folder: PathBuf,
    /// The folder of the files, and git's own.
    known: Vec<(PathBuf, PathBuf)>,
}

impl Modules {
    /// For git's own folders below `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, known: Vec::new() }
    }

    /// Notes a repository with its files in `files`; the folder for git's own.
    pub(super) fn add(&mut self, files: &Path) -> PathBuf {
        let git = self.folder.join(self.known.len().to_string());
        self.known.push((files.to_path_buf(), git.clone()));
        git
    }

    /// How many repositories are noted.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// The repository with its files in `files`; `None` where none was fetched there.
    pub(super) fn repository(&self, files: &Path) -> Result<Option<Repository>> {
        let known = self.known.iter().find(|(known, _)| known == files);
        Ok(known.map(|(_, git)| Repository::open_bare(git)).transpose()?)
    }

    /// The id of what lies at `path`, which is absolute and has no symlink in it.
    pub(super) fn id(&self, path: &Path) -> Result<String> {
        // Of a module within a module the inner one is the longer path.
        let around = self.known.iter().filter(|(files, _)| path.starts_with(files));
        let (files, git) = around
            .max_by_key(|(files, _)| files.components().count())
            .context("it lies outside the checkout")?;
        let repository = Repository::open_bare(git)?;
        let tree = repository.head()?.peel_to_tree()?;
        let below = path.strip_prefix(files)?;
        if below.as_os_str().is_empty() {
            return Ok(tree.id().to_string());
        }
        let id = match tree.get_path(below) {
            Ok(found) => found.id(),
            // It is no damage that something is not there.
            Err(error) if error.code() == ErrorCode::NotFound => bail!("it is not in the commit"),
            Err(error) => return Err(error.into()),
        };
        Ok(id.to_string())
    }

    /// One that is there, with git's own folder in `git`.
    #[cfg(test)]
    pub(super) fn of(files: &Path, git: &Path) -> Self {
        Self { folder: git.into(), known: vec![(files.into(), git.into())] }
    }
}
