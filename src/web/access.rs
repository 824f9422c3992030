//! Who may look and who may act.
//!
//! On a loopback address looking is free, for whoever asks for that address: a request that came through a proxy,
//! or by a name that only seems to be this machine's (DNS rebinding), needs the token like any other. Acting
//! always needs the token, and is refused where another site's page asks for it.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::hooks::{Proof, sent};
use super::request::Head;
use super::response::Response;
use crate::redact::Secret;

/// How the names of headers begin that proxies and content networks add, and no program of this machine.
const OF_PROXIES: [&str; 26] = [
    "akamai-",
    "x-originating-",
    "forwarded",
    "x-forward",
    "x-original-",
    "x-real-",
    "x-remote-",
    "x-client",
    "x-cluster-",
    "x-via",
    "x-proxy",
    "x-scheme",
    "x-nginx-",
    "x-envoy-",
    "x-varnish",
    "x-arr-",
    "x-azure-",
    "x-appengine-",
    "x-amz",
    "cf-",
    "cdn-",
    "fastly-",
    "ali-cdn-",
    "proxy-",
    "wl-proxy-",
    "front-end-https",
];
const SET_ONE: &str = "set `DOCKEROPS_API_TOKEN` (or `…_FILE`) and start DockerOps again";
const SET_TO_WRITE: &str =
    "set `DOCKEROPS_WRITE_TOKEN` (or `…_FILE`), another one than the API's, and start DockerOps again";
const SHOW_IT: &str = "`Authorization: Bearer <token>`, or Basic with any user and the token as password";

#[derive(Debug, Clone)]
pub struct Access {
    /// Whether only this machine reaches the address.
    pub loopback: bool,
    /// `DOCKEROPS_API_TOKEN`.
    pub token: Option<Secret>,
    /// `DOCKEROPS_WRITE_TOKEN`: it opens all that the other one does.
    pub writing: Option<Secret>,
}

/// Whom a request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// May look.
    Reader,
    /// Showed the token: may act.
    Operator,
    /// Showed the one to write with: may write to repositories too.
    Writer,
}

impl Access {
    /// Whether there is a token that one could show.
    pub fn has_token(&self) -> bool {
        self.token.is_some() || self.writing.is_some()
    }

    /// Lets look, or says what is missing.
    pub fn look(&self, head: &Head) -> Result<Visitor, Response> {
        match self.known(head) {
            Some(visitor) => Ok(visitor),
            None if self.loopback && is_direct(head) => Ok(Visitor::Reader),
            None if !self.has_token() => {
                let what = "only this machine itself may look, by its loopback address";
                Err(Response::refusal(403, what, SET_ONE))
            }
            None => Err(challenge()),
        }
    }

    /// Lets act, or says what is missing.
    pub fn act(&self, head: &Head) -> Result<(), Response> {
        self.with_token(head, "actions need a token, and none is set")
    }

    /// Lets read what programs print, on whatever address, or says what is missing.
    pub fn hear(&self, head: &Head) -> Result<(), Response> {
        self.with_token(head, "logs need a token, and none is set")
    }

    fn with_token(&self, head: &Head, none: &str) -> Result<(), Response> {
        if is_from_another_site(head) {
            return Err(Response::refusal(403, "another site's page asked for this", ""));
        }
        match self.known(head) {
            Some(_) => Ok(()),
            None if !self.has_token() => Err(Response::refusal(403, none, SET_ONE)),
            None => Err(challenge()),
        }
    }

    /// Lets write to repositories, or says what is missing.
    pub fn write(&self, head: &Head) -> Result<(), Response> {
        if is_from_another_site(head) {
            return Err(Response::refusal(403, "another site's page asked for this", ""));
        }
        if self.writing.is_none() {
            return Err(Response::refusal(
                403,
                "nothing is written here: no token for it is set",
                SET_TO_WRITE,
            ));
        }
        match self.known(head) {
            Some(Visitor::Writer) => Ok(()),
            Some(_) => {
                let what = "this token lets look and act, and not write";
                Err(Response::refusal(403, what, "show the one of `DOCKEROPS_WRITE_TOKEN`"))
            }
            None => Err(challenge()),
        }
    }

    /// Whose token was shown.
    fn known(&self, head: &Head) -> Option<Visitor> {
        let shown = shown(head);
        let is_it = |token: &Option<Secret>| {
            token.as_ref().is_some_and(|token| sent(token, shown.as_deref()) == Proof::Right)
        };
        // Both are tried, so that the time tells nothing.
        match (is_it(&self.writing), is_it(&self.token)) {
            (true, _) => Some(Visitor::Writer),
            (_, true) => Some(Visitor::Operator),
            _ => None,
        }
    }
}

/// Browsers answer this by asking for a password.
pub fn challenge() -> Response {
    Response::refusal(401, "this needs the token", SHOW_IT)
        .with("www-authenticate", "Basic realm=\"DockerOps\", charset=\"UTF-8\"")
}

/// The token as it is shown: after `Bearer`, or the password after `Basic`.
fn shown(head: &Head) -> Option<String> {
    let (scheme, value) = head.header("authorization")?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => {
            let decoded = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
            decoded.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

/// Asked for by a loopback address, and not through a proxy. nginx tells by nothing but the version, unless it is
/// told to pass `Host` on.
fn is_direct(head: &Head) -> bool {
    let through_a_proxy = || head.headers.iter().any(|(name, _)| is_of_a_proxy(name));
    names_loopback(head.header("host").unwrap_or_default()) && !head.is_old && !through_a_proxy()
}

/// `localhost` or a loopback address as it is usually written, and a port or none: nothing that others may read
/// as another host.
fn names_loopback(host: &str) -> bool {
    let (name, rest) = match host.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((name, rest)) if name.parse().is_ok_and(|it: Ipv6Addr| it.is_loopback()) => (name, rest),
            _ => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.bytes().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        && (host.starts_with('[')
            || name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback()))
}

/// By the header's name, in lower case; some programs take `_` for `-`.
fn is_of_a_proxy(name: &str) -> bool {
    let name = name.replace('_', "-");
    matches!(name.as_str(), "via" | "client-ip" | "x-cloud-trace-context")
        || name.ends_with("-client-ip")
        || OF_PROXIES.iter().any(|start| name.starts_with(start))
}

/// Browsers say so in one of two ways; programs in neither.
fn is_from_another_site(head: &Head) -> bool {
    match (head.header("sec-fetch-site"), head.header("origin")) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            origin.split_once("://").map(|(_, host)| host.to_ascii_lowercase())
                != head.header("host").map(str::to_ascii_lowercase)
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests;
