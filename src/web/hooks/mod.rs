//! Webhooks: who sent it, is it believed, what happened, and whom does it concern.
//!
//! A payload only triggers: it selects among the sources that are watched and the images that run. Nothing that
//! it names is ever fetched or run. One file a provider; here is what they share.

mod answer;
mod bitbucket;
mod callback;
mod deliveries;
mod dockerhub;
mod forge;
mod gitea;
mod github;
mod gitlab;
mod registry;
mod select;
mod signature;

use std::borrow::Cow;

use anyhow::{Context, Result};

use super::request::Head;
use crate::redact::Secret;
pub use answer::{Outcome, answer};
pub use callback::Callbacks;
pub use deliveries::Deliveries;
pub use signature::{Proof, sent};

#[derive(Debug)]
pub struct Delivery {
    /// What stays the same when the sender repeats it; `None` where nothing does.
    pub id: Option<String>,
    pub event: Event,
}

#[derive(Debug)]
pub enum Event {
    /// The hook was just made, or is being tried.
    Ping,
    /// Nothing that concerns us, and why not.
    Other(String),
    /// Branches or tags moved.
    Push(Push),
    /// Images were pushed.
    Images {
        images: Vec<PushedImage>,
        /// Where Docker Hub wants to be told how it went.
        callback: Option<String>,
    },
}

/// Branches or tags that moved.
#[derive(Debug)]
pub struct Push {
    /// The repository, by all the addresses that the sender has for it.
    pub repository: Vec<String>,
    /// The branch that its HEAD is, where the sender tells.
    pub default_branch: Option<String>,
    /// Full names: `refs/heads/main`.
    pub references: Vec<String>,
}

/// A tag that was pushed to a registry.
#[derive(Debug)]
pub struct PushedImage {
    /// The registry's host, `docker.io` for Docker Hub; `None` where the sender does not know its own name.
    pub registry: Option<String>,
    /// `org/app`.
    pub path: String,
    /// `1.2`.
    pub tag: String,
}

/// One kind of sender.
#[derive(Debug)]
pub struct Hook {
    /// Its place in metrics, causes and docs/daemon.md.
    pub name: &'static str,
    /// Where it posts to.
    pub path: &'static str,
    /// Whether the body is not needed to know the sender.
    secret_in_head: bool,
    verify: fn(&Head, &[u8], &Secret) -> Proof,
    read: fn(&Head, &[u8]) -> Result<Delivery>,
}

/// All that are known. The last one is Docker Hub's for services that were set up with a bare address.
pub const HOOKS: [Hook; 7] = [
    Hook::signing("github", "/hooks/github", github::verify, github::read),
    Hook::sending("gitlab", "/hooks/gitlab", gitlab::verify, gitlab::read),
    Hook::signing("gitea", "/hooks/gitea", gitea::verify, gitea::read),
    Hook::signing("bitbucket", "/hooks/bitbucket", bitbucket::verify, bitbucket::read),
    Hook::sending("dockerhub", "/hooks/dockerhub", dockerhub::verify, dockerhub::read),
    Hook::sending("registry", "/hooks/registry", registry::verify, registry::read),
    Hook::sending("dockerhub", "/", dockerhub::verify, dockerhub::read),
];

type Verify = fn(&Head, &[u8], &Secret) -> Proof;
type Read = fn(&Head, &[u8]) -> Result<Delivery>;

impl Hook {
    const fn signing(name: &'static str, path: &'static str, verify: Verify, read: Read) -> Self {
        Self { name, path, secret_in_head: false, verify, read }
    }

    const fn sending(name: &'static str, path: &'static str, verify: Verify, read: Read) -> Self {
        Self { name, path, secret_in_head: true, verify, read }
    }

    /// The one that listens at `path`. Forgejo's is Gitea's by another name.
    pub fn at(path: &str) -> Option<&'static Self> {
        let path = if path == "/hooks/forgejo" { "/hooks/gitea" } else { path };
        HOOKS.iter().find(|hook| hook.path == path)
    }
}

/// The JSON of a body that may be a form with a field `payload`.
fn json_of<'a>(head: &Head, body: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let is_form = head
        .header("content-type")
        .is_some_and(|kind| kind.trim_start().starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return Ok(body.into());
    }
    let mut fields = form_urlencoded::parse(body);
    let payload = fields.find(|(name, _)| name == "payload").context("is a form without `payload`")?.1;
    Ok(payload.into_owned().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::signature::tests::sign;
    use super::*;

    pub const SECRET: &str = "correct horse battery staple";

    pub fn head(headers: &[(&str, &str)]) -> Head {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Head { headers, ..Head::default() }
    }

    pub fn parameters(query: &[(&str, &str)]) -> Head {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Head { query, ..Head::default() }
    }

    pub fn push_of(delivery: Delivery) -> Push {
        let Event::Push(push) = delivery.event else { panic!("no push: {delivery:?}") };
        push
    }

    /// Right, wrong, missing and empty; and one of another body, and one by the empty secret.
    pub fn check_signatures(verify: Verify, body: &[u8], header: impl Fn(String) -> (&'static str, String)) {
        let secret = Secret::new(SECRET);
        let proof = |signature: String, body: &[u8]| {
            let (name, value) = header(signature);
            verify(&head(&[(name, &value)]), body, &secret)
        };
        assert_eq!(proof(sign(SECRET, body), body), Proof::Right);
        assert_eq!(proof(sign("another", body), body), Proof::Wrong);
        assert_eq!(proof(sign("", body), body), Proof::Wrong);
        assert_eq!(proof(sign(SECRET, body), b"{}"), Proof::Wrong);
        assert_eq!(proof(String::new(), body), Proof::Missing);
        assert_eq!(verify(&head(&[]), body, &secret), Proof::Missing);
        assert_eq!(verify(&head(&[(header(String::new()).0, "")]), body, &secret), Proof::Missing);
    }

    /// Right, wrong, missing and empty.
    pub fn check_tokens(verify: Verify, with: impl Fn(&str) -> Head) {
        let secret = Secret::new(SECRET);
        assert_eq!(verify(&with(SECRET), b"", &secret), Proof::Right);
        assert_eq!(verify(&with("another"), b"", &secret), Proof::Wrong);
        assert_eq!(verify(&with(""), b"", &secret), Proof::Missing);
        assert_eq!(verify(&head(&[]), b"", &secret), Proof::Missing);
    }

    #[test]
    fn every_hook_has_a_path_of_its_own() {
        let paths: std::collections::BTreeSet<_> = HOOKS.iter().map(|hook| hook.path).collect();
        assert_eq!(paths.len(), HOOKS.len());
        assert_eq!(Hook::at("/hooks/forgejo").unwrap().name, "gitea");
        assert!(Hook::at("/hooks/").is_none());
    }
}
