//! Gitea and Forgejo: `X-Gitea-Signature`, which both send; event `push`.

use anyhow::Result;

use super::signature::{self, Proof};
use super::{Delivery, Event, forge};
use crate::redact::Secret;
use crate::web::request::Head;

/// The HMAC of the body in hex, with no prefix. Where Forgejo names its own header, that one counts.
pub fn verify(head: &Head, body: &[u8], secret: &Secret) -> Proof {
    let header = head.header("x-forgejo-signature").or_else(|| head.header("x-gitea-signature"));
    signature::signed(secret, body, header)
}

/// What happened; JSON, or the same in a form's field `payload`.
pub fn read(head: &Head, body: &[u8]) -> Result<Delivery> {
    let either = |what: &str| {
        head.header(&format!("x-forgejo-{what}")).or_else(|| head.header(&format!("x-gitea-{what}")))
    };
    let id = either("delivery").map(str::to_owned);
    let event = match either("event").unwrap_or_default() {
        "push" => forge::push(&super::json_of(head, body)?, "Gitea or Forgejo")?,
        other => Event::Other(format!("`{other}` is not a push")),
    };
    Ok(Delivery { id, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::hooks::signature::tests::sign;
    use crate::web::hooks::tests::{SECRET, check_signatures, head, push_of};

    fn body() -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "ref": "refs/heads/develop",
            "before": "1111111111111111111111111111111111111111",
            "after": "2222222222222222222222222222222222222222",
            "compare_url": "https://git.example.org/team/shop/compare/1...2", "commits": [],
            "repository": {
                "id": 140, "owner": {"id": 1, "login": "team"}, "name": "shop", "full_name": "team/shop",
                "private": false, "fork": false, "html_url": "https://git.example.org/team/shop",
                "ssh_url": "ssh://git@git.example.org:2222/team/shop.git",
                "clone_url": "https://git.example.org/team/shop.git", "default_branch": "main"
            },
            "pusher": {"id": 1, "login": "author"}, "sender": {"id": 1, "login": "author"}
        }))
        .unwrap()
    }

    #[test]
    fn signatures_of_gitea_and_of_forgejo() {
        check_signatures(verify, &body(), |signed| ("x-gitea-signature", signed));
        check_signatures(verify, &body(), |signed| ("x-forgejo-signature", signed));
    }

    #[test]
    fn a_wrong_signature_of_forgejo_is_not_saved_by_the_other() {
        let right = sign(SECRET, &body());
        let both = head(&[("x-gitea-signature", &right), ("x-forgejo-signature", "00")]);
        assert_eq!(verify(&both, &body(), &Secret::new(SECRET)), Proof::Wrong);
    }

    #[test]
    fn a_push() {
        let sent = head(&[("x-gitea-event", "push"), ("x-gitea-delivery", "d")]);
        let delivery = read(&sent, &body()).unwrap();
        assert_eq!(delivery.id.as_deref(), Some("d"));
        let push = push_of(delivery);
        assert_eq!(push.repository[1], "ssh://git@git.example.org:2222/team/shop.git");
        assert_eq!(
            (push.default_branch.as_deref(), &*push.references[0]),
            (Some("main"), "refs/heads/develop")
        );
        let other = read(&head(&[("x-forgejo-event", "issues")]), b"{}").unwrap();
        assert!(matches!(other.event, Event::Other(_)));
        assert!(read(&sent, b"nonsense").is_err());
    }
}
