//! The Docker distribution registry: an envelope of events, `application/vnd.docker.distribution.events.v1+json`.
//!
//! It cannot sign either. Its `notifications.endpoints` take headers, so `Authorization: Bearer <secret>` is
//! what to configure; `?token=…` is taken as well, for registries whose settings have room for an address alone.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::signature::{self, Proof};
use super::{Delivery, Event, PushedImage};
use crate::redact::Secret;
use crate::web::request::Head;

#[derive(Deserialize)]
struct Envelope {
    events: Vec<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    action: String,
    #[serde(default)]
    target: Target,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Target {
    repository: String,
    tag: String,
}

/// The bearer token is the secret, or the query parameter is.
pub fn verify(head: &Head, _body: &[u8], secret: &Secret) -> Proof {
    let bearer = head.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    signature::sent(secret, bearer.or_else(|| head.parameter("token")))
}

/// The tags that were pushed; layers, pulls and untagged manifests are passed over. Which name the registry
/// goes by is not in it: it may have been pushed to by one and be pulled from by another.
pub fn read(_head: &Head, body: &[u8]) -> Result<Delivery> {
    let envelope: Envelope = serde_json::from_slice(body).context("is no envelope as a registry sends it")?;
    let tagged = |it: &Notification| {
        it.action == "push" && !it.target.tag.is_empty() && !it.target.repository.is_empty()
    };
    let image =
        |it: Notification| PushedImage { registry: None, path: it.target.repository, tag: it.target.tag };
    let images: Vec<_> = envelope.events.into_iter().filter(tagged).map(image).collect();
    let event = if images.is_empty() {
        Event::Other("no tag was pushed".into())
    } else {
        Event::Images { images, callback: None }
    };
    // Every event has an id and a time in it, so an envelope that is sent again is the same body.
    Ok(Delivery { id: Some(String::new()), event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::hooks::tests::{check_tokens, head, parameters};
    use serde_json::json;

    #[test]
    fn tokens() {
        check_tokens(verify, |token| head(&[("authorization", &format!("Bearer {token}"))]));
        check_tokens(verify, |token| parameters(&[("token", token)]));
    }

    #[test]
    fn only_pushed_tags_count() {
        let event = |action: &str, tag: Option<&str>| {
            json!({"id": "1-2-3", "timestamp": "2026-01-01T10:00:00Z", "action": action,
                "target": {"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "size": 708,
                    "digest": "sha256:0", "length": 708, "repository": "team/shop", "tag": tag.unwrap_or_default(),
                    "url": "http://registry.example.org/v2/team/shop/manifests/sha256:0"},
                "request": {"id": "r", "addr": "10.0.0.1:1", "host": "registry.example.org", "method": "PUT",
                    "useragent": "docker"}, "actor": {}, "source": {"addr": "r:5000", "instanceID": "i"}})
        };
        let read = |events: serde_json::Value| {
            read(&head(&[]), json!({ "events": events }).to_string().as_bytes()).unwrap().event
        };
        let events = json!([event("push", None), event("pull", Some("1")), event("push", Some("2"))]);
        let Event::Images { images, .. } = read(events) else { panic!() };
        assert_eq!((images.len(), &*images[0].path, &*images[0].tag), (1, "team/shop", "2"));
        assert!(matches!(read(json!([event("pull", Some("1"))])), Event::Other(_)));
        assert!(matches!(read(json!([])), Event::Other(_)));
        assert!(super::read(&head(&[]), b"{\"events\":{}}").is_err());
    }
}
