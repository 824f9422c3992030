//! The push that GitHub, Gitea and Forgejo send alike.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Event, Push};

#[derive(Deserialize)]
struct Pushed {
    #[serde(rename = "ref")]
    reference: String,
    repository: Repository,
}

#[derive(Deserialize)]
struct Repository {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
    default_branch: Option<String>,
}

/// What moved; `sender` is for the error.
pub fn push(json: &[u8], sender: &str) -> Result<Event> {
    let Pushed { reference, repository } =
        serde_json::from_slice(json).with_context(|| format!("is not a push as {sender} sends it"))?;
    let urls = [repository.clone_url, repository.ssh_url, repository.html_url];
    Ok(Event::Push(Push {
        repository: urls.into_iter().flatten().collect(),
        default_branch: repository.default_branch,
        references: vec![reference],
    }))
}
