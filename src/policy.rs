//! What the operator lets repositories do: a file on the manager, never one of a repository.
//!
//! In: the text of the policy, and what docker is to be given of a stack. Out: every place where a stack does what the
//! rules of its source do not let it, each with its key and the rule. Nothing is asked, and nothing is changed.

mod check;
mod file;
mod host_paths;
mod images;
mod networks;
mod placement;
mod ports;
mod power;
#[cfg(test)]
mod tests;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::patterns::Patterns;
use crate::signature::Signers;
use crate::source::Source;

pub use check::{Found, Given};
pub use file::{Trust, read};
use host_paths::HostPaths;
use placement::Constraint;
use ports::Ports;

/// The rules of the operator, in the order of the file.
#[derive(Debug)]
pub struct Policy {
    path: PathBuf,
    /// Changes with its text, and with the files that it names.
    id: String,
    rules: Vec<Rules>,
}

/// What the sources that a list of patterns names may do.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Where they stand: `/etc/dockerops/policy.yaml:4`.
    place: String,
    /// All sources without one.
    sources: Option<Patterns>,
    stacks: Option<Patterns>,
    images: Option<Patterns>,
    digests: bool,
    mounts: HostPaths,
    /// File systems of the network, as `nfs://ADDRESS/PATH`.
    remote: Option<Patterns>,
    privileges: Privileges,
    ports: Option<Ports>,
    networks: Option<Patterns>,
    secrets: Option<Patterns>,
    configs: Option<Patterns>,
    volumes: Option<Patterns>,
    must_be_placed: Vec<Constraint>,
    may_be_placed: Option<Patterns>,
    limits: bool,
    variables: Option<Patterns>,
    no_builds: bool,
    /// Only signed commits, by the keys in these files.
    signed: Option<Keys>,
}

/// Who signs.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    named: Vec<PathBuf>,
    revoked: Vec<PathBuf>,
    /// What is in these files; `None` on another machine.
    signers: Option<Arc<Signers>>,
}

impl Keys {
    pub fn signers(&self) -> Option<&Arc<Signers>> {
        self.signers.as_ref()
    }
}

/// Which keys of a compose file that give power over a node may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Privileges {
    #[default]
    None,
    All,
    These(Vec<String>),
}

impl Privileges {
    fn holds(&self, key: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(keys) => keys.iter().any(|known| known == key),
        }
    }
}

impl Policy {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The first rules that are for `source`; it may do nothing where there are none.
    pub fn rules_for(&self, source: &Source) -> Option<&Rules> {
        let id = source.id().as_str();
        self.rules.iter().find(|rules| rules.are_for(id))
    }
}

impl Rules {
    /// A pattern without `#` is for the whole repository, whatever is watched of it; `github.com/org/repo` for every way
    /// to it.
    fn are_for(&self, id: &str) -> bool {
        let repository = id.split('#').next().unwrap_or(id);
        let names = [id.to_owned(), repository.to_owned(), bare(id), bare(repository)];
        self.sources.as_ref().is_none_or(|known| names.iter().any(|name| known.matches(name)))
    }

    /// Who must have signed a commit before it is read.
    pub fn signed(&self) -> Option<&Keys> {
        self.signed.as_ref()
    }

    /// The variables that compose files may read of the daemon's environment; all without one.
    pub fn variables(&self) -> Option<&Patterns> {
        self.variables.as_ref()
    }

    /// Whether something may be written into `folder`: a path that may be mounted is in it.
    pub fn may_bind_in(&self, folder: &Path) -> Result<(), String> {
        if self.mounts.begin_in(folder) {
            return Ok(());
        }
        Err(self.forbids("mounts", &format!("holds nothing that may be mounted ({})", self.mounts)))
    }

    /// The sentence of a mistake: what is wrong, and the rule.
    fn forbids(&self, rule: &str, what: &str) -> String {
        format!("{what}; forbidden by `{rule}` in {}", self.place)
    }
}

/// `github.com/org/repo` of `https://github.com/org/repo`, `ssh://git@github.com/org/repo`, `git@github.com:org/repo`.
fn bare(id: &str) -> String {
    if id.starts_with('/') {
        return id.to_owned();
    }
    let without_user = |text: &str| {
        let end = text.find('/').unwrap_or(text.len());
        text[..end].rfind('@').map_or(0, |at| at + 1)
    };
    match id.split_once("://") {
        Some((_, rest)) => rest[without_user(rest)..].to_owned(),
        None => id[without_user(id)..].replacen(':', "/", 1),
    }
}
