//! Gitea, and Forgejo, which answers alike.

use serde_json::{Value, json};
use ureq::http::Method;

use super::client::Answer;
use super::github::{is_between, read};
use super::place::{Place, owner_and_name};
use super::{Dialect, Proposal};
use crate::redact::Secret;

#[derive(Debug)]
pub(super) struct Gitea;

/// How many are looked at, and how many pages. A push makes its request the one that changed last.
const A_PAGE: usize = 5;
const PAGES: usize = 10;

/// Whether only these two answer so at `/api/v1/version`; where all must log in, they refuse a token that they do not know.
pub(super) fn is_version(answer: &Answer) -> bool {
    let Some(said) = answer.object() else { return false };
    match answer.status.as_u16() {
        200 => said["version"].is_string(),
        401 | 403 => said["message"].is_string(),
        _ => false,
    }
}

impl Dialect for Gitea {
    fn name(&self) -> &'static str {
        "Gitea or Forgejo"
    }

    fn request(&self) -> &'static str {
        "pull request"
    }

    fn api(&self, place: &Place, prefix: &str) -> String {
        format!("{}{prefix}/api/v1", place.root())
    }

    fn authorization(&self, token: &Secret) -> (&'static str, Secret) {
        ("Authorization", Secret::new(format!("token {}", token.expose())))
    }

    fn permission(&self) -> &'static str {
        "the token needs *repository: Read and Write* (`write:repository`), and its user access to this repository"
    }

    fn requests(&self, repository: &str) -> Option<String> {
        owner_and_name(repository).map(|(owner, name)| format!("/repos/{owner}/{name}/pulls"))
    }

    fn to_open(&self, proposal: &Proposal<'_>) -> Value {
        let Proposal { head, base, title, body } = proposal;
        json!({"head": head, "base": base, "title": title, "body": body})
    }

    // `pulls/{base}/{head}` gives the oldest between the two, which is closed where a branch is used again.
    fn query(&self, _: &str, proposal: &Proposal<'_>, page: usize) -> Option<Vec<(&str, String)>> {
        let query = [
            ("state", "open".into()),
            ("sort", "recentupdate".into()),
            ("base_branch", proposal.base.into()),
            ("limit", A_PAGE.to_string()),
            ("page", page.to_string()),
        ];
        (page <= PAGES).then(|| query.into())
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
