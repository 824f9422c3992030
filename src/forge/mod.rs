//! The forge that serves a remote: GitHub, GitLab, Gitea or Forgejo.
//!
//! In: a source, and what it is pushed with. Out: the pull or merge request for a branch, or why there is none. The token is
//! the password that is kept for this host, and goes to the API of this host alone; what the forge answers is foreign text.

mod client;
mod explain;
mod gitea;
mod github;
mod gitlab;
mod place;
mod repository;

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use ureq::http::Method;

use crate::fault::fault;
use crate::git;
use crate::plain;
use crate::redact::Secret;
use crate::settings::GitAccess;
use crate::source::Source;
use client::{Answer, Client, Patience};
use gitea::Gitea;
use github::GitHub;
use gitlab::GitLab;
use place::Place;
use repository::Repository;

/// For one call, and for all that one request takes.
const PATIENCE: Patience = Patience { call: Duration::from_secs(10), all: Duration::from_secs(20) };
/// A title and a text that every forge takes, in letters.
const MOST_TITLE: usize = 250;
const MOST_BODY: usize = 60_000;

/// The forge of one repository.
#[derive(Debug)]
pub struct Forge {
    place: Place,
    token: Secret,
    /// Which it is, where the name of the host says so; it is asked otherwise.
    named: Option<&'static dyn Dialect>,
    patience: Patience,
}

/// What is to be merged.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    /// A branch that the repository has.
    pub head: &'a str,
    /// The branch that it is to be merged into.
    pub base: &'a str,
    pub title: &'a str,
    pub body: &'a str,
}

/// A pull or merge request that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where people see it: http or https, on the host of the repository.
    pub url: String,
    pub number: u64,
    /// By this call.
    pub opened: bool,
    /// Why one that was open before still has the title and the text of an earlier change.
    pub outdated: Option<String>,
}

/// What differs from forge to forge.
trait Dialect: Debug + Sync {
    fn name(&self) -> &'static str;
    /// What a request is called there.
    fn request(&self) -> &'static str;
    /// Where its API is, below the address of the forge.
    fn api(&self, place: &Place, prefix: &str) -> String;
    /// The header that says who asks.
    fn authorization(&self, token: &Secret) -> (&'static str, Secret);
    /// What the token needs, for people.
    fn permission(&self) -> &'static str;
    /// Where below its API the requests of a repository are; `None` where nothing can be called that.
    fn requests(&self, repository: &str) -> Option<String>;
    fn to_open(&self, proposal: &Proposal<'_>) -> Value;
    /// The query for open requests of these branches, by page from 1 on; `None` behind the last that is looked at.
    fn query(&self, repository: &str, proposal: &Proposal<'_>, page: usize) -> Option<Vec<(&str, String)>>;
    /// Whether this one is open, and between these branches of the repository itself, not of a fork.
    fn is_for(&self, request: &Value, proposal: &Proposal<'_>) -> bool;
    /// How its title and text are changed at its number, and what the text is called.
    fn edits(&self) -> (Method, &'static str);
    /// Its number and address.
    fn read<'v>(&self, request: &'v Value) -> Option<(u64, &'v str)>;
}

/// Where a commit of a remote is shown to people; `None` of one that lies on this machine, or has a strange name. Asks nobody:
/// which forge it is, its host's name tells, and most have the same address for that.
pub fn page_of_commit(remote: &Source, commit: &str) -> Option<String> {
    let place = Place::of(remote)?;
    let is_named = |name: &str| place.host.split('.').any(|part| part == name);
    let part = match () {
        () if is_named("gitlab") => "-/commit",
        () if is_named("bitbucket") => "commits",
        () => "commit",
    };
    let url = format!("{}/{part}/{commit}", place.url());
    place.is_page(&url).then_some(url)
}

impl Forge {
    /// The forge of a remote; `None` where it lies on this machine. Asks nobody.
    pub fn of(remote: &Source, access: &GitAccess) -> Result<Option<Self>> {
        let Some(place) = Place::of(remote) else { return Ok(None) };
        let Some(token) = git::password(&place.url(), access)? else {
            return Err(fault(
                format!("there is no token for the forge at `{}`, to open a request with", place.host),
                format!(
                    "name a file in `{}` that has the line `{}://user:token@{}`",
                    access.variable(),
                    place.scheme,
                    place.address
                ),
            ));
        };
        let named = named(&place, access.gh_host.as_deref());
        Ok(Some(Self { place, token, named, patience: PATIENCE }))
    }

    /// Opens a request for a branch that was pushed, or has the one that is open say what the branch is now.
    pub fn propose(&self, proposal: &Proposal<'_>) -> Result<Request> {
        let (title, body) = (shortened(proposal.title, MOST_TITLE), shortened(proposal.body, MOST_BODY));
        let Proposal { head, base, .. } = *proposal;
        let proposal = Proposal { head, base, title: &title, body: &body };
        let request = self.repository().and_then(|repository| repository.open(&proposal));
        request.with_context(|| {
            let (head, base, host) = (plain::name(head), plain::name(base), &self.place.host);
            format!("no request to merge `{head}` into `{base}` could be opened at `{host}`")
        })
    }

    /// The repository, once it is known which forge it is.
    fn repository(&self) -> Result<Repository<'_>> {
        let client = Client::new(&self.token, self.patience);
        let (forge, prefix, path) = match self.named {
            Some(forge) => (forge, String::new(), self.place.path.clone()),
            None => self.recognize(&client)?,
        };
        let Some(below) = forge.requests(&path) else {
            return Err(fault(
                format!("`{path}` is not what {} calls a repository", forge.name()),
                "watch the address that the forge shows for cloning",
            ));
        };
        let requests = forge.api(&self.place, &prefix) + &below;
        Ok(Repository { place: &self.place, client, forge, path, requests })
    }

    /// Asks the host by what only one forge answers; then below the first folder, for it may not be alone there.
    fn recognize(&self, client: &Client<'_>) -> Result<(&'static dyn Dialect, String, String)> {
        let path = self.place.path.as_str();
        let below = path.split_once('/').filter(|(_, rest)| rest.contains('/'));
        let mut told = Vec::new();
        for (prefix, path) in [Some(("", path)), below].into_iter().flatten() {
            let prefix =
                if prefix.is_empty() { String::new() } else { format!("/{}", place::encoded(prefix)) };
            for (forge, is_it) in [
                (&GitLab as &'static dyn Dialect, gitlab::is_version as fn(&Answer) -> bool),
                (&Gitea, gitea::is_version),
            ] {
                let url = format!("{}/version", forge.api(&self.place, &prefix));
                let answer = client.probe(&url, forge)?;
                if is_it(&answer) {
                    return Ok((forge, prefix, path.to_owned()));
                }
                told.push(format!("`{url}` answers {}", answer.status.as_u16()));
            }
        }
        Err(explain::unknown(&self.place, &told))
    }
}

/// The forge that the name of the host says, or `GH_HOST`.
fn named(place: &Place, gh_host: Option<&str>) -> Option<&'static dyn Dialect> {
    if github::is_cloud(&place.host) || gh_host == Some(place.address.as_str()) {
        return Some(&GitHub);
    }
    place.host.starts_with("gitlab.").then_some(&GitLab)
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
