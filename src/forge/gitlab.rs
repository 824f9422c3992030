//! GitLab, wherever it runs.

use serde_json::{Value, json};
use ureq::http::Method;

use super::client::Answer;
use super::place::{Place, encoded};
use super::{Dialect, Proposal};
use crate::redact::Secret;

#[derive(Debug)]
pub(super) struct GitLab;

/// Whether only GitLab answers so at `/api/v4/version`, which it tells those alone whom it knows.
pub(super) fn is_version(answer: &Answer) -> bool {
    let Some(said) = answer.object() else { return false };
    match answer.status.as_u16() {
        200 => said["version"].is_string() && said["revision"].is_string(),
        401 | 403 => said["message"].is_string() || said["error"].is_string(),
        _ => false,
    }
}

impl Dialect for GitLab {
    fn name(&self) -> &'static str {
        "GitLab"
    }

    fn request(&self) -> &'static str {
        "merge request"
    }

    fn api(&self, place: &Place, prefix: &str) -> String {
        format!("{}{prefix}/api/v4", place.root())
    }

    fn authorization(&self, token: &Secret) -> (&'static str, Secret) {
        ("PRIVATE-TOKEN", token.clone())
    }

    fn permission(&self) -> &'static str {
        "the token needs the scope `api`, and at least the role *Developer* in this project"
    }

    fn requests(&self, repository: &str) -> Option<String> {
        repository.contains('/').then(|| format!("/projects/{}/merge_requests", encoded(repository)))
    }

    fn to_open(&self, proposal: &Proposal<'_>) -> Value {
        let Proposal { head, base, title, body } = proposal;
        json!({"source_branch": head, "target_branch": base, "title": title, "description": body})
    }

    fn query(&self, _: &str, proposal: &Proposal<'_>, page: usize) -> Option<Vec<(&str, String)>> {
        let query = [
            ("state", "opened".into()),
            ("source_branch", proposal.head.into()),
            ("target_branch", proposal.base.into()),
            ("per_page", "20".into()),
            ("page", page.to_string()),
        ];
        // Forks may have a branch of the same name.
        (page <= 5).then(|| query.into())
    }

    fn is_for(&self, request: &Value, proposal: &Proposal<'_>) -> bool {
        request["state"] == "opened"
            && request["source_branch"] == proposal.head
            && request["target_branch"] == proposal.base
            && request["target_project_id"].is_u64()
            && request["source_project_id"] == request["target_project_id"]
    }

    fn edits(&self) -> (Method, &'static str) {
        (Method::PUT, "description")
    }

    fn read<'v>(&self, request: &'v Value) -> Option<(u64, &'v str)> {
        Some((request["iid"].as_u64()?, request["web_url"].as_str()?))
    }
}
