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
const SHOW_IT: &str = "`Authorization: Bearer <token>`, or Basic with any user and the token as password";

#[derive(Debug, Clone)]
pub struct Access {
    /// Whether only this machine reaches the address.
    pub loopback: bool,
    /// `DOCKEROPS_API_TOKEN`.
    pub token: Option<Secret>,
}

/// Whom a request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// May look.
    Reader,
    /// Showed the token: may act.
    Operator,
}

impl Access {
    /// Whether there is a token that one could show.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Lets look, or says what is missing.
    pub fn look(&self, head: &Head) -> Result<Visitor, Response> {
        match self.proof(head) {
            Proof::Right => Ok(Visitor::Operator),
            _ if self.loopback && is_direct(head) => Ok(Visitor::Reader),
            _ if self.token.is_none() => {
                let what = "only this machine itself may look, by its loopback address";
                Err(Response::refusal(403, what, SET_ONE))
            }
            _ => Err(challenge()),
        }
    }

    /// Lets act, or says what is missing.
    pub fn act(&self, head: &Head) -> Result<(), Response> {
        if is_from_another_site(head) {
            return Err(Response::refusal(403, "another site's page asked for this", ""));
        }
        match self.proof(head) {
            Proof::Right => Ok(()),
            _ if self.token.is_none() => {
                Err(Response::refusal(403, "actions need a token, and none is set", SET_ONE))
            }
            _ => Err(challenge()),
        }
    }

    fn proof(&self, head: &Head) -> Proof {
        match &self.token {
            Some(token) => sent(token, shown(head).as_deref()),
            None => Proof::Missing,
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
mod tests {
    use super::*;

    const TOKEN: &str = "a-long-token";

    fn head(headers: &[(&str, &str)]) -> Head {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Head { headers, ..Head::default() }
    }

    fn access(loopback: bool, token: bool) -> Access {
        Access { loopback, token: token.then(|| Secret::new(TOKEN)) }
    }

    fn status<T>(result: Result<T, Response>) -> u16 {
        result.map_or_else(|refusal| refusal.status, |_| 200)
    }

    #[test]
    fn loopback_is_open_to_look_for_this_machine_alone() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LocalHost", "[::1]:8080", "127.9.9.9"] {
            assert_eq!(status(access(true, false).look(&head(&[("host", host)]))), 200, "{host}");
        }
        for headers in [
            &[("host", "evil.example:8080")][..],
            &[("host", "localhost.evil.example")],
            &[("host", "")],
            &[],
            &[("host", "127.0.0.1"), ("x-forwarded-for", "192.0.2.1")],
            &[("host", "127.0.0.1"), ("via", "1.1 proxy")],
        ] {
            assert_eq!(status(access(true, false).look(&head(headers))), 403, "{headers:?}");
            assert_eq!(status(access(true, true).look(&head(headers))), 401, "{headers:?}");
        }
        let old = Head { is_old: true, ..head(&[("host", "127.0.0.1")]) };
        assert_eq!(status(access(true, true).look(&old)), 401);
    }

    #[test]
    fn what_only_begins_like_a_loopback_address_is_none() {
        for host in [
            "[::1].evil.example",
            "[::1]evil.example:80",
            "[::1",
            "[127.0.0.1]",
            "[::1%lo]",
            "[::ffff:192.0.2.1]",
            "::1",
            "127.0.0.1:evil",
            "127.0.0.1:",
            "127.0.0.1:80:80",
            "127.0.0.1:65536",
            "127.0.0.1:+80",
            "localhost:80evil",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "127.1",
            "127.0.0.01",
            "0x7f000001",
            "2130706433",
            "0177.0.0.1",
            "0.0.0.0",
            "user@127.0.0.1",
            "evil.example@localhost",
            "localhost/evil.example",
            "localhost\\evil.example",
            "localhost evil.example",
            "localhost,evil.example",
            "127.0.0.1, evil.example",
            "http://127.0.0.1",
            "128.0.0.1",
            "[::2]",
            ":80",
            "",
        ] {
            assert_eq!(status(access(true, true).look(&head(&[("host", host)]))), 401, "{host}");
        }
    }

    #[test]
    fn whatever_a_proxy_adds_tells_that_it_was_there() {
        for name in [
            "forwarded",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-prefix",
            "x-forwarded-tls-client-cert",
            "x_forwarded_for",
            "x-forward-for",
            "x-original-forwarded-for",
            "x-original-host",
            "forwarded-for",
            "via",
            "x-via",
            "x-real-ip",
            "true-client-ip",
            "client-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "fastly-client-ip",
            "cf-connecting-ip",
            "cf-ray",
            "cdn-loop",
            "x-envoy-external-address",
            "x-appengine-user-ip",
            "x-azure-clientip",
            "x-arr-ssl",
            "x-amzn-trace-id",
            "x-amz-cf-id",
            "x-varnish",
            "x-remote-addr",
            "x-proxyuser-ip",
            "x-nginx-proxy",
            "front-end-https",
            "x-scheme",
            "proxy-connection",
            "wl-proxy-client-ip",
            "proxy-authorization",
        ] {
            let direct = [("host", "127.0.0.1"), ("accept", "*/*"), ("x-request-id", "1")];
            assert_eq!(status(access(true, true).look(&head(&direct))), 200);
            let through = [("host", "127.0.0.1"), (name, "")];
            assert_eq!(status(access(true, true).look(&head(&through))), 401, "{name}");
        }
        let old = Head { is_old: true, ..head(&[("host", "127.0.0.1")]) };
        assert_eq!(status(access(true, true).look(&old)), 401);
    }

    #[test]
    fn elsewhere_looking_needs_the_token_in_either_form() {
        let access = access(false, true);
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let with = |value: &str| access.look(&head(&[("host", "127.0.0.1"), ("authorization", value)]));
        for right in [
            "Bearer a-long-token",
            "bearer  a-long-token",
            &basic("any:a-long-token"),
            &basic(":a-long-token"),
        ] {
            assert_eq!(with(right).ok(), Some(Visitor::Operator), "{right}");
        }
        for wrong in [
            "Bearer another",
            "Bearer ",
            "Bearer",
            "",
            "Basic !",
            &basic("a-long-token"),
            &basic("a-long-token:"),
        ] {
            assert_eq!(status(with(wrong)), 401, "{wrong}");
        }
        assert_eq!(status(access.look(&head(&[("host", "127.0.0.1")]))), 401);
    }

    #[test]
    fn acting_needs_the_token_everywhere_and_no_other_site() {
        let right = ("authorization", "Bearer a-long-token");
        let act = |headers: &[(&str, &str)]| status(access(true, true).act(&head(headers)));
        assert_eq!(act(&[right, ("host", "h")]), 200);
        assert_eq!(act(&[("host", "127.0.0.1")]), 401);
        assert_eq!(status(access(true, false).act(&head(&[("host", "127.0.0.1")]))), 403);
        assert_eq!(
            act(&[right, ("sec-fetch-site", "same-origin"), ("origin", "https://h"), ("host", "x")]),
            200
        );
        assert_eq!(act(&[right, ("sec-fetch-site", "none"), ("host", "x")]), 200);
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(act(&[right, ("host", "h"), ("sec-fetch-site", site)]), 403, "{site}");
        }
        assert_eq!(act(&[right, ("host", "h:1"), ("origin", "http://h:1")]), 200);
        for origin in ["http://h", "http://evil.example", "null", ""] {
            assert_eq!(act(&[right, ("host", "h:1"), ("origin", origin)]), 403, "{origin}");
        }
    }
}
