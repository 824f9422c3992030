//! Bitbucket, Cloud (`repo:push`) and Data Center (`repo:refs_changed`): `X-Hub-Signature`.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::signature::{self, Proof};
use super::{Delivery, Event, Push};
use crate::redact::Secret;
use crate::web::request::Head;

#[derive(Deserialize)]
struct CloudPush {
    push: Changes,
    repository: CloudRepository,
}

#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    new: Option<Named>,
    old: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct CloudRepository {
    full_name: Option<String>,
    links: Option<CloudLinks>,
    mainbranch: Option<Branch>,
}

#[derive(Deserialize)]
struct CloudLinks {
    html: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

#[derive(Deserialize)]
struct ServerPush {
    repository: ServerRepository,
    changes: Vec<ServerChange>,
}

#[derive(Deserialize)]
struct ServerRepository {
    slug: Option<String>,
    project: Option<Project>,
    links: Option<ServerLinks>,
}

#[derive(Deserialize)]
struct Project {
    key: String,
}

#[derive(Deserialize, Default)]
struct ServerLinks {
    #[serde(default)]
    clone: Vec<Link>,
    #[serde(default, rename = "self")]
    own: Vec<Link>,
}

#[derive(Deserialize)]
struct ServerChange {
    #[serde(rename = "ref")]
    reference: ServerRef,
}

#[derive(Deserialize)]
struct ServerRef {
    id: String,
}

/// `sha256=` and the HMAC of the body in hex.
pub fn verify(head: &Head, body: &[u8], secret: &Secret) -> Proof {
    let header = head.header("x-hub-signature");
    signature::signed(secret, body, header.map(|value| value.strip_prefix("sha256=").unwrap_or(value)))
}

/// What happened. `X-Request-UUID` (Cloud) and `X-Request-Id` (Data Center) stay when it is sent again.
pub fn read(head: &Head, body: &[u8]) -> Result<Delivery> {
    let id = head.header("x-request-uuid").or_else(|| head.header("x-request-id")).map(str::to_owned);
    let event = match head.header("x-event-key").unwrap_or_default() {
        "repo:push" => cloud(body)?,
        "repo:refs_changed" => server(body)?,
        "diagnostics:ping" => Event::Ping,
        other => Event::Other(format!("`{other}` is not a push")),
    };
    Ok(Delivery { id, event })
}

fn cloud(body: &[u8]) -> Result<Event> {
    let CloudPush { push, repository } =
        serde_json::from_slice(body).context("is not a push as Bitbucket Cloud sends it")?;
    let reference = |named: Named| match named.kind.as_str() {
        "tag" | "annotated_tag" => format!("refs/tags/{}", named.name),
        _ => format!("refs/heads/{}", named.name),
    };
    let by_name = repository.full_name.map(|name| format!("https://bitbucket.org/{name}"));
    let by_link = repository.links.and_then(|links| links.html).map(|link| link.href);
    Ok(Event::Push(Push {
        repository: [by_link, by_name].into_iter().flatten().collect(),
        default_branch: repository.mainbranch.map(|branch| branch.name),
        references: push.changes.into_iter().filter_map(|it| it.new.or(it.old)).map(reference).collect(),
    }))
}

/// The folders that Data Center serves repositories from are told by its clone links, where it sends them;
/// older releases do not, and then the page of the repository tells host and project.
fn server(body: &[u8]) -> Result<Event> {
    let ServerPush { repository, changes } =
        serde_json::from_slice(body).context("is not a push as Bitbucket Data Center sends it")?;
    let links = repository.links.unwrap_or_default();
    let mut urls: Vec<_> = links.clone.into_iter().map(|link| link.href).collect();
    if let (Some(project), Some(slug)) = (repository.project, repository.slug) {
        for page in links.own {
            if let Some((base, _)) = page.href.split_once("/projects/") {
                urls.push(format!("{base}/scm/{}/{slug}", project.key));
                urls.push(format!("{base}/{}/{slug}", project.key));
            }
        }
    }
    Ok(Event::Push(Push {
        repository: urls,
        default_branch: None,
        references: changes.into_iter().map(|change| change.reference.id).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::hooks::tests::{check_signatures, head, push_of};
    use serde_json::json;

    fn cloud_body() -> Vec<u8> {
        serde_json::to_vec(&json!({
            "actor": {"type": "user", "display_name": "Author"},
            "repository": {
                "type": "repository", "full_name": "team/shop", "name": "shop", "is_private": true, "scm": "git",
                "links": {"html": {"href": "https://bitbucket.org/team/shop"}}
            },
            "push": {"changes": [
                {"new": {"type": "branch", "name": "main", "target": {"type": "commit", "hash": "22"}},
                 "old": {"type": "branch", "name": "main"}, "created": false, "closed": false, "forced": false},
                {"new": {"type": "tag", "name": "v1"}, "old": null, "created": true, "closed": false},
                {"new": null, "old": {"type": "branch", "name": "gone"}, "created": false, "closed": true}
            ]}
        }))
        .unwrap()
    }

    #[test]
    fn signatures() {
        check_signatures(verify, &cloud_body(), |signed| ("x-hub-signature", format!("sha256={signed}")));
    }

    #[test]
    fn a_push_to_the_cloud() {
        let sent = head(&[("x-event-key", "repo:push"), ("x-request-uuid", "u"), ("x-attempt-number", "2")]);
        let delivery = read(&sent, &cloud_body()).unwrap();
        assert_eq!(delivery.id.as_deref(), Some("u"));
        let push = push_of(delivery);
        assert_eq!(push.references, ["refs/heads/main", "refs/tags/v1", "refs/heads/gone"]);
        assert_eq!(push.repository[0], "https://bitbucket.org/team/shop");
    }

    #[test]
    fn a_push_to_a_data_center() {
        let mut body = json!({
            "eventKey": "repo:refs_changed", "date": "2026-01-01T10:00:00+0000", "actor": {"name": "author"},
            "repository": {
                "slug": "shop", "id": 84, "name": "shop", "project": {"key": "TEAM", "name": "Team"},
                "links": {
                    "clone": [{"href": "ssh://git@bit.example.org:7999/team/shop.git", "name": "ssh"}],
                    "self": [{"href": "https://bit.example.org/projects/TEAM/repos/shop/browse"}]
                }
            },
            "changes": [{"ref": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH"},
                "fromHash": "1", "toHash": "2", "type": "UPDATE"}]
        });
        let sent = head(&[("x-event-key", "repo:refs_changed")]);
        let push = push_of(read(&sent, body.to_string().as_bytes()).unwrap());
        assert_eq!(push.references, ["refs/heads/main"]);
        assert_eq!(push.repository[0], "ssh://git@bit.example.org:7999/team/shop.git");
        assert_eq!(push.repository[1], "https://bit.example.org/scm/TEAM/shop");
        body["repository"]["links"] = serde_json::Value::Null;
        assert!(push_of(read(&sent, body.to_string().as_bytes()).unwrap()).repository.is_empty());
    }

    #[test]
    fn pings_and_others() {
        let event = |key: &str| read(&head(&[("x-event-key", key)]), b"{\"test\":true}").unwrap().event;
        assert!(matches!(event("diagnostics:ping"), Event::Ping));
        assert!(matches!(event("repo:fork"), Event::Other(_)));
        assert!(read(&head(&[("x-event-key", "repo:push")]), b"{}").is_err());
    }
}
