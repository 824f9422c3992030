//! Docker Hub, which cannot sign: the secret is in the address, `?token=…`.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::signature::{self, Proof};
use super::{Delivery, Event, PushedImage};
use crate::redact::Secret;
use crate::web::request::Head;

#[derive(Deserialize)]
struct Hook {
    push_data: PushData,
    repository: Repository,
    callback_url: Option<String>,
}

#[derive(Deserialize)]
struct PushData {
    #[serde(default = "latest")]
    tag: String,
}

#[derive(Deserialize)]
struct Repository {
    repo_name: String,
}

fn latest() -> String {
    "latest".to_owned()
}

/// The query parameter is the secret.
pub fn verify(head: &Head, _body: &[u8], secret: &Secret) -> Proof {
    signature::sent(secret, head.parameter("token"))
}

/// What was pushed. There is no id; `push_data.pushed_at` makes every push another body.
pub fn read(_head: &Head, body: &[u8]) -> Result<Delivery> {
    let hook: Hook = serde_json::from_slice(body).context("is no hook as Docker Hub sends it")?;
    let image = PushedImage {
        registry: Some("docker.io".into()),
        path: hook.repository.repo_name,
        tag: hook.push_data.tag,
    };
    let callback = hook.callback_url.filter(|url| !url.is_empty());
    Ok(Delivery { id: Some(String::new()), event: Event::Images { images: vec![image], callback } })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::web::hooks::tests::{check_tokens, head, parameters};

    /// Of the documented shape; `pushed_at` and `date_created` are also seen as floats, `comment_count` as text.
    pub fn body(repo: &str, tag: &str, callback: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "callback_url": callback,
            "push_data": {"images": [], "pushed_at": 1.417_566_161e9, "pusher": "builder", "tag": tag},
            "repository": {
                "comment_count": "0", "date_created": 1_417_494_799, "description": "", "dockerfile": "#\n# BUILD\t\n",
                "full_description": "A test", "is_official": false, "is_private": true, "is_trusted": true,
                "name": repo.rsplit('/').next(), "namespace": "team", "owner": "team", "repo_name": repo,
                "repo_url": format!("https://registry.hub.docker.com/u/{repo}/"), "star_count": 0, "status": "Active"
            }
        }))
        .unwrap()
    }

    #[test]
    fn tokens() {
        check_tokens(verify, |token| parameters(&[("token", token)]));
    }

    #[test]
    fn a_push() {
        let callback = "https://registry.hub.docker.com/u/team/shop/hook/1/";
        let delivery = read(&head(&[]), &body("team/shop", "1.2", callback)).unwrap();
        let Event::Images { images, callback: Some(url) } = delivery.event else { panic!() };
        assert_eq!((&*images[0].path, &*images[0].tag, &*url), ("team/shop", "1.2", callback));
        assert!(read(&head(&[]), b"{}").is_err());
    }
}
