//! GitLab: `X-Gitlab-Token`, the secret itself; push and tag push hooks of projects, groups and the instance.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::signature::{self, Proof};
use super::{Delivery, Event, Push};
use crate::redact::Secret;
use crate::web::request::Head;

#[derive(Deserialize)]
struct Hook {
    #[serde(default)]
    object_kind: String,
    #[serde(default)]
    event_name: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
    default_branch: Option<String>,
}

/// The header is the secret.
pub fn verify(head: &Head, _body: &[u8], secret: &Secret) -> Proof {
    signature::sent(secret, head.header("x-gitlab-token"))
}

/// What happened. `Idempotency-Key` (15.10 and later) stays the same when GitLab sends a delivery again;
/// `X-Gitlab-Webhook-UUID` names the hook and not the delivery.
pub fn read(head: &Head, body: &[u8]) -> Result<Delivery> {
    let id = head.header("idempotency-key").or_else(|| head.header("x-gitlab-event-uuid"));
    let hook: Hook = serde_json::from_slice(body).context("is no hook as GitLab sends it")?;
    let kind = if hook.object_kind.is_empty() { &hook.event_name } else { &hook.object_kind };
    let event = match (kind.as_str(), hook.reference, hook.project) {
        ("push" | "tag_push", Some(reference), Some(project)) => {
            let urls = [project.git_http_url, project.git_ssh_url, project.web_url];
            Event::Push(Push {
                repository: urls.into_iter().flatten().collect(),
                default_branch: project.default_branch,
                references: vec![reference],
            })
        }
        (kind, ..) => Event::Other(format!("`{kind}` is not a push")),
    };
    Ok(Delivery { id: id.map(str::to_owned), event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::hooks::tests::{check_tokens, head, push_of};

    fn body(kind: &str, reference: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "object_kind": kind, "event_name": kind, "ref": reference, "ref_protected": true,
            "before": "1111111111111111111111111111111111111111",
            "after": "2222222222222222222222222222222222222222",
            "checkout_sha": "2222222222222222222222222222222222222222", "user_id": 4, "project_id": 15,
            "project": {
                "id": 15, "name": "Shop", "web_url": "https://gitlab.example.org/team/shop",
                "git_ssh_url": "git@gitlab.example.org:team/shop.git",
                "git_http_url": "https://gitlab.example.org/team/shop.git",
                "namespace": "Team", "path_with_namespace": "team/shop", "default_branch": "trunk"
            },
            "commits": [], "total_commits_count": 0
        }))
        .unwrap()
    }

    #[test]
    fn tokens() {
        check_tokens(verify, |token| head(&[("x-gitlab-token", token)]));
    }

    #[test]
    fn pushes_of_branches_and_tags() {
        let sent = head(&[("x-gitlab-event", "Push Hook"), ("idempotency-key", "k")]);
        let delivery = read(&sent, &body("push", "refs/heads/trunk")).unwrap();
        assert_eq!(delivery.id.as_deref(), Some("k"));
        let push = push_of(delivery);
        assert_eq!(push.repository[1], "git@gitlab.example.org:team/shop.git");
        assert_eq!(push.default_branch.as_deref(), Some("trunk"));
        let push = push_of(read(&head(&[]), &body("tag_push", "refs/tags/v1")).unwrap());
        assert_eq!(push.references, ["refs/tags/v1"]);
    }

    #[test]
    fn others() {
        let event = |body: &[u8]| read(&head(&[]), body).unwrap().event;
        assert!(matches!(event(&body("merge_request", "x")), Event::Other(_)));
        // A system hook for something else has neither kind nor project.
        assert!(matches!(event(br#"{"event_name":"user_create"}"#), Event::Other(_)));
        assert!(read(&head(&[]), b"[]").is_err());
    }
}
