//! The words that all stages share about a stack.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// Longest service name that Swarm takes (swarmkit: DNS label).
const MOST_LETTERS: usize = 63;

/// A name that docker takes for a stack, and the mangling that docker does with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StackName(String);

impl StackName {
    /// The stack name of a folder: the folder's own where docker takes it, else a lower-case one
    /// (`Nom De la Stack` → `nom-de-la-stack`). Fails on names that are no single, plain folder.
    pub fn from_folder(folder: &str) -> Result<Self> {
        ensure!(!folder.trim().is_empty(), "is empty");
        ensure!(!folder.chars().any(char::is_control), "holds a control character");
        ensure!(folder != "." && folder != "..", "is not the name of a folder");
        ensure!(
            !folder.contains('/') && !folder.contains('\\'),
            "holds a slash: a stack is a folder beside `stacks.yaml`; `folder` names another one"
        );
        ensure!(!folder.starts_with('-'), "begins with `-`");
        ensure!(folder != ".git", "is git's own folder");
        let name = if is_dns_label(folder) { folder.to_owned() } else { mangle(folder) };
        ensure!(!name.is_empty(), "has no letter or digit of a to z, 0 to 9 to make a stack name of");
        // `_` and one letter must fit behind it.
        if name.len() > MOST_LETTERS - 2 {
            bail!("is too long: docker takes stack names of at most {} letters", MOST_LETTERS - 2);
        }
        Ok(Self(name))
    }

    /// A name read back from docker or the database.
    pub fn known(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What docker calls `part` of this stack: `web_app` (docker/cli `Namespace.Scope`).
    pub fn scope(&self, part: &str) -> String {
        format!("{}_{part}", self.0)
    }

    /// Whether both would own the same services: Swarm compares names without case.
    pub fn collides_with(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether Swarm takes `name` for a service (swarmkit `isValidDNSName`).
pub fn is_dns_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !bytes.is_empty()
        && bytes.len() <= MOST_LETTERS
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn mangle(folder: &str) -> String {
    let mut name = String::new();
    for letter in folder.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            name.push(letter);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_matches(['-', '_']).to_owned()
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFile {
    /// Where it lies, symlinks resolved.
    pub file: PathBuf,
    /// Its path from the repository's root, as the author sees it.
    pub path: String,
}

/// The files that a stack is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackFiles {
    /// The stack's folder, from the repository's root as the author sees it: `.env` and `secrets.yaml` lie in it.
    pub folder: PathBuf,
    /// The compose file. Where it lies all relative paths begin, also those of `overlays`.
    pub compose: RepoFile,
    /// Compose files that are merged over it, in this order.
    pub overlays: Vec<RepoFile>,
    /// Files of variables, the later over the earlier; `None` for the folder's `.env`, if there is one.
    pub env: Option<Vec<RepoFile>>,
}

#[cfg(test)]
impl StackFiles {
    /// Of one compose file.
    pub fn alone(file: PathBuf, path: &str) -> Self {
        let folder = std::path::Path::new(path).parent().unwrap().to_path_buf();
        Self { folder, compose: RepoFile { file, path: path.into() }, overlays: Vec::new(), env: None }
    }
}

/// What Swarm stores for containers to read and never changes: a config or a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredKind {
    /// `docker config`.
    Config,
    /// `docker secret`.
    Secret,
}

impl StoredKind {
    pub const ALL: [Self; 2] = [Self::Config, Self::Secret];

    /// docker's word for one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Secret => "secret",
        }
    }

    /// The section of a compose file that declares them.
    pub fn section(self) -> &'static str {
        match self {
            Self::Config => "configs",
            Self::Secret => "secrets",
        }
    }
}

/// What Swarm keeps under a name that one stack alone can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A config or secret.
    Stored(StoredKind),
    /// An overlay network.
    Network,
}

impl ObjectKind {
    /// docker's word for one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored(kind) => kind.word(),
            Self::Network => "network",
        }
    }

    /// The section of a compose file that declares them.
    pub fn section(self) -> &'static str {
        match self {
            Self::Stored(kind) => kind.section(),
            Self::Network => "networks",
        }
    }
}

/// What to do about a service that is not what was last applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftPolicy {
    /// Put it back.
    #[default]
    Correct,
    /// Say so at every run, change nothing.
    Report,
    /// Leave it.
    Ignore,
}

impl DriftPolicy {
    /// The manifest's and the database's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Report => "report",
            Self::Ignore => "ignore",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Correct, Self::Report, Self::Ignore].into_iter().find(|policy| policy.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_docker_takes_stay() {
        for name in ["web", "My_Stack-2", "0"] {
            assert_eq!(StackName::from_folder(name).unwrap().as_str(), name);
        }
        assert_eq!(StackName::known("web").scope("app"), "web_app");
    }

    #[test]
    fn other_folders_get_one() {
        for (folder, name) in [
            ("Nom De la Stack", "nom-de-la-stack"),
            ("web.prod", "web-prod"),
            ("_x_", "x"),
            ("a  b", "a-b"),
            ("Café 2", "caf-2"),
        ] {
            assert_eq!(StackName::from_folder(folder).unwrap().as_str(), name);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for folder in ["", " ", "..", "a/b", "../x", "-x", "a\u{1b}b", "é", ".git", "a\\b", &"x".repeat(300)]
        {
            assert!(StackName::from_folder(folder).is_err(), "{folder:?}");
        }
    }
}
