//! What is watched: `URL[#ref[:dir]]`, Docker's own build-context syntax.
//!
//! In: what a user typed. Out: a validated `Source`, or an error that repeats no credential.
//! Nothing is asked; whether the repository exists is git's to say.

mod names;
mod url;

use std::fmt;
use std::hash::{Hash, Hasher};

use anyhow::{Result, bail};

use crate::fault::{OrHint, fault};
use url::locate;

pub use names::{SourceId, SourceUrl};
pub use url::{Parts, bare_path};

const FORMS: &str = "write `https://github.com/org/repo`, `github.com/org/repo`, `git@host:org/repo.git`, \
    `ssh://git@host/org/repo`, `file:///path` or `/path`, then `#ref` or `#ref:dir` if you want";
const NO_CREDENTIALS: &str = "take the credentials out of the URL, where they would be stored in clear: set \
    `GITHUB_TOKEN`, or name a file in git's credential-store format in `DOCKEROPS_GIT_CREDENTIALS`";
const LONGEST: usize = 2048;

/// A repository, and what of it is watched.
#[derive(Debug, Clone)]
pub struct Source {
    url: String,
    reference: Option<String>,
    dir: Option<String>,
    id: SourceId,
}

impl Source {
    /// Reads any of the documented forms; the error never repeats credentials.
    pub fn parse(text: &str) -> Result<Self> {
        let what = || format!("the source `{}` cannot be used", shown(text));
        Self::read(text).or_hint(FORMS).map_err(|error| error.context(what()))
    }

    fn read(text: &str) -> Result<Self> {
        check_text(text)?;
        let (location, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (reference, dir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
        let dir = Some(dir.trim_end_matches('/').to_owned()).filter(|text| !text.is_empty());
        if let Some(reference) = &reference {
            check_reference(reference)?;
        }
        if let Some(dir) = &dir {
            check_dir(dir)?;
        } else if fragment.contains(":/") {
            bail!("the folder must be relative to the repository");
        }
        let (url, mut id) = locate(location)?;
        id.push_str(&suffix(reference.as_deref(), dir.as_deref()));
        Ok(Self { url, reference, dir, id: SourceId::new(id) })
    }

    /// It can be parsed again.
    pub fn id(&self) -> &SourceId {
        &self.id
    }

    /// The same for all that is watched of one repository.
    pub fn repository(&self) -> &str {
        let id = self.id.as_str();
        id.split_once('#').map_or(id, |(repository, _)| repository)
    }

    /// What git is asked. `.git` stays, some servers want it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The branch, tag, full `refs/…` or commit; the remote's HEAD without one.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The folder of the repository that is its root; relative, without `..`.
    pub fn dir(&self) -> Option<&str> {
        self.dir.as_deref()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        f.write_str(&suffix(self.reference(), self.dir()))
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

fn suffix(reference: Option<&str>, dir: Option<&str>) -> String {
    match (reference, dir) {
        (None, None) => String::new(),
        (reference, None) => format!("#{}", reference.unwrap_or_default()),
        (reference, Some(dir)) => format!("#{}:{dir}", reference.unwrap_or_default()),
    }
}

/// The text, or a part of it, for an error: no credentials, no control characters, not endless. What stands behind a
/// `#` may be the rest of a password.
fn shown(text: &str) -> String {
    let text = crate::plain::name(&text.chars().take(200).collect::<String>());
    // Up to the last `@`, as a password may hold `/`, `#` or another `@`; a query may hold a token.
    let text = match text.rsplit_once('@') {
        Some((before, after)) if before != "git" && before != "ssh://git" => format!("…@{after}"),
        _ => text,
    };
    match text.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => text,
    }
}

fn check_text(text: &str) -> Result<()> {
    if text.is_empty() {
        bail!("it is empty");
    }
    if text.len() > LONGEST {
        bail!("it is longer than {LONGEST} bytes");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        bail!("it holds a space or a control character");
    }
    if text.starts_with('-') {
        bail!("it begins with `-`");
    }
    Ok(())
}

/// Git's own rules (git-check-ref-format(1)).
fn check_reference(name: &str) -> Result<()> {
    let bad = name.starts_with('-')
        || name.ends_with('.')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
        || name
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some());
    if bad {
        return Err(fault(
            format!("`{}` is no name that git allows for a branch or tag", shown(name)),
            "after `#` comes a branch, a tag or a whole commit id",
        ));
    }
    Ok(())
}

fn check_dir(dir: &str) -> Result<()> {
    let hint = "after the `:` comes a folder of the repository, as in `#main:deploy/prod`";
    if dir.starts_with('/') {
        return Err(fault(format!("the folder `{}` is absolute", shown(dir)), hint));
    }
    for part in dir.split('/') {
        if ["", ".", ".."].contains(&part) || part.eq_ignore_ascii_case(".git") {
            return Err(fault(
                format!("the folder `{}` must be plain, without `.`, `..`, `//` or `.git`", shown(dir)),
                hint,
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
