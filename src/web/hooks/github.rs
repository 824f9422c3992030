//! GitHub: `X-Hub-Signature-256`, events `push` and `ping`.

use anyhow::Result;

use super::signature::{self, Proof};
use super::{Delivery, Event, forge};
use crate::redact::Secret;
use crate::web::request::Head;

/// `sha256=` and the HMAC of the body in hex. The older `X-Hub-Signature` is SHA-1, and is not looked at.
pub fn verify(head: &Head, body: &[u8], secret: &Secret) -> Proof {
    let header = head.header("x-hub-signature-256");
    signature::signed(secret, body, header.map(|value| value.strip_prefix("sha256=").unwrap_or(value)))
}

/// What happened. GitHub sends JSON, or the same in a form's field `payload`, its own default.
pub fn read(head: &Head, body: &[u8]) -> Result<Delivery> {
    let id = head.header("x-github-delivery").map(str::to_owned);
    let event = match head.header("x-github-event").unwrap_or_default() {
        "push" => forge::push(&super::json_of(head, body)?, "GitHub")?,
        "ping" => Event::Ping,
        other => Event::Other(format!("`{other}` is not a push")),
    };
    Ok(Delivery { id, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::hooks::tests::{check_signatures, head, push_of};

    fn body() -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "ref": "refs/heads/main",
            "before": "1111111111111111111111111111111111111111",
            "after": "2222222222222222222222222222222222222222",
            "created": false, "deleted": false, "forced": false, "compare": "https://github.com/org/shop/compare/1...2",
            "repository": {
                "id": 7, "name": "shop", "full_name": "org/shop", "private": true,
                "html_url": "https://github.com/org/shop", "url": "https://api.github.com/repos/org/shop",
                "git_url": "git://github.com/org/shop.git", "ssh_url": "git@github.com:org/shop.git",
                "clone_url": "https://github.com/org/shop.git", "default_branch": "main", "master_branch": "main"
            },
            "pusher": {"name": "author"}, "sender": {"login": "author", "id": 1},
            "commits": [], "head_commit": null
        }))
        .unwrap()
    }

    #[test]
    fn signatures() {
        check_signatures(verify, &body(), |signed| ("x-hub-signature-256", format!("sha256={signed}")));
    }

    #[test]
    fn a_push_as_json_and_as_a_form() {
        let push = push_of(read(&head(&[("x-github-event", "push")]), &body()).unwrap());
        assert_eq!(push.repository[1], "git@github.com:org/shop.git");
        assert_eq!((push.default_branch.as_deref(), &*push.references[0]), (Some("main"), "refs/heads/main"));
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", std::str::from_utf8(&body()).unwrap())
            .finish();
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let same = push_of(read(&head(&[("x-github-event", "push"), kind]), form.as_bytes()).unwrap());
        assert_eq!(same.repository, push.repository);
    }

    #[test]
    fn pings_and_others() {
        let event = |name: &str| read(&head(&[("x-github-event", name)]), b"{}").unwrap().event;
        assert!(matches!(event("ping"), Event::Ping));
        assert!(matches!(event("issues"), Event::Other(_)));
        assert!(read(&head(&[("x-github-event", "push")]), b"{").is_err());
        assert!(read(&head(&[("x-github-event", "push")]), b"{\"ref\":1}").is_err());
    }
}
