//! GitHub, and GitHub Enterprise.

use serde_json::{Value, json};
use ureq::http::Method;

use super::place::{Place, owner_and_name};
use super::{Dialect, Proposal};
use crate::redact::Secret;

#[derive(Debug)]
pub(super) struct GitHub;

/// Whether GitHub itself runs what is there; the API then has a host of its own.
pub(super) fn is_cloud(host: &str) -> bool {
    host == "github.com" || host.ends_with(".ghe.com")
}

impl Dialect for GitHub {
    fn name(&self) -> &'static str {
        "GitHub"
    }

    fn request(&self) -> &'static str {
        "pull request"
    }

    fn api(&self, place: &Place, prefix: &str) -> String {
        if is_cloud(&place.host) {
            // Never in clear, whatever the remote says: this one redirects to https.
            return format!("https://api.{}", place.host);
        }
        format!("{}{prefix}/api/v3", place.root())
    }

    fn authorization(&self, token: &Secret) -> (&'static str, Secret) {
        ("Authorization", Secret::new(format!("Bearer {}", token.expose())))
    }

    fn permission(&self) -> &'static str {
        "a fine-grained token needs *Pull requests: Read and write* for this repository, a classic one the scope `repo`"
    }

    fn requests(&self, repository: &str) -> Option<String> {
        owner_and_name(repository).map(|(owner, name)| format!("/repos/{owner}/{name}/pulls"))
    }

    fn to_open(&self, proposal: &Proposal<'_>) -> Value {
        let Proposal { head, base, title, body } = proposal;
        json!({"head": head, "base": base, "title": title, "body": body})
    }

    fn query(&self, repository: &str, proposal: &Proposal<'_>, page: usize) -> Option<Vec<(&str, String)>> {
        let owner = repository.split('/').next()?;
        let head = format!("{owner}:{}", proposal.head);
        let query = [
            ("state", "open".into()),
            ("head", head),
            ("base", proposal.base.into()),
            ("per_page", "5".into()),
        ];
        (page == 1).then(|| query.into())
    }

    fn is_for(&self, request: &Value, proposal: &Proposal<'_>) -> bool {
        is_between(request, proposal)
    }

    fn edits(&self) -> (Method, &'static str) {
        (Method::PATCH, "body")
    }

    fn read<'v>(&self, request: &'v Value) -> Option<(u64, &'v str)> {
        read(request)
    }
}

/// Likewise at Gitea.
pub(super) fn is_between(request: &Value, proposal: &Proposal<'_>) -> bool {
    let (head, base) = (&request["head"], &request["base"]);
    request["state"] == "open"
        && head["ref"] == proposal.head
        && base["ref"] == proposal.base
        && base["repo"]["id"].is_u64()
        && head["repo"]["id"] == base["repo"]["id"]
}

/// Likewise at Gitea.
pub(super) fn read(request: &Value) -> Option<(u64, &str)> {
    Some((request["number"].as_u64()?, request["html_url"].as_str()?))
}
