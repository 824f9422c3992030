//! What the operator lets repositories do: a file on the manager, never one of a repository.
//!
//! In: the text of the policy, and what docker is to be given of a stack. Out: every place where a stack does what the
//! rules of its source do not let it, each with its key and the rule. Nothing is asked, and nothing is changed.

mod check;
mod entry;
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
    /// A pattern without `#` is for the whole repository, whatever is watched of it, and by whatever way.
    fn are_for(&self, id: &str) -> bool {
        let whole = bare(id);
        let repository = whole.split('#').next().unwrap_or(&whole);
        let without_port = |name: &str| {
            let (host, path) = name.split_once('/')?;
            let (host, port) = host.split_once(':')?;
            port.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{host}/{path}"))
        };
        let mut names = vec![whole.clone(), repository.to_owned()];
        names.extend([&*whole, repository].into_iter().filter_map(without_port));
        self.sources.as_ref().is_none_or(|known| names.iter().any(|name| known.matches(name)))
    }

    /// Where they stand in the policy: `/etc/dockerops/policy.yaml:4`.
    pub fn place(&self) -> &str {
        &self.place
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

/// The one name of a source, or of a pattern for sources: `github.com/org/repo` of `https://github.com/org/repo.git`,
/// `ssh://git@GitHub.com/org/repo/`, `git@github.com:org/repo`; what stands behind a `#` stays.
fn bare(text: &str) -> String {
    let (location, fragment) = text.split_once('#').unwrap_or((text, ""));
    let fragment = fragment.trim_end_matches('/').trim_end_matches(':');
    let location = match location.split_once("://") {
        Some(("file", path)) => path.to_owned(),
        Some((_, rest)) => host_first(rest, false),
        None if location.starts_with(['/', '*']) => location.to_owned(),
        None => host_first(location, true),
    };
    let location = location.trim_end_matches('/');
    let location = location.strip_suffix(".git").unwrap_or(location).trim_end_matches('/');
    if fragment.is_empty() { location.to_owned() } else { format!("{location}#{fragment}") }
}

/// Without a user, and the host in lower case. What git calls `host:path` has a `:` where others have the first `/`.
fn host_first(text: &str, may_be_scp: bool) -> String {
    let end = text.find('/').unwrap_or(text.len());
    let text = &text[text[..end].rfind('@').map_or(0, |at| at + 1)..];
    let end = text.find(['/', ':']).unwrap_or(text.len());
    let (host, rest) = text.split_at(end);
    let is_port = |rest: &str| {
        let port = rest.split('/').next().unwrap_or_default();
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let rest = match rest.strip_prefix(':') {
        Some(path) if may_be_scp && !is_port(path) => format!("/{}", path.trim_start_matches('/')),
        _ => rest.strip_prefix(":22/").map_or_else(|| rest.to_owned(), |path| format!("/{path}")),
    };
    format!("{}{rest}", host.to_ascii_lowercase())
}
