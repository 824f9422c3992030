//! What a registry asks for by `WWW-Authenticate`, and the `Authorization` that answers it.
//!
//! A credential goes to the registry it is kept for, and to the token service that this registry names, as
//! docker does: by https, or to the very host that docker itself reaches by plain http.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use ureq::http::{HeaderMap, HeaderValue, Response, header};
use ureq::{Agent, Body};

use super::credentials::Credential;
use super::{Refusal, words};
use crate::redact::Secret;

/// Longest token answer that is read, in bytes.
const MOST_BYTES: u64 = 256 * 1024;

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token of this service.
    Bearer { realm: String, service: String },
}

impl Challenge {
    /// The best of those in `headers` that can be answered.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let values =
            || headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let bearer = values().find_map(bearer);
        bearer.or_else(|| values().any(|value| scheme(value, "basic").is_some()).then_some(Self::Basic))
    }
}

fn scheme<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let value = value.trim();
    let head = value.get(..name.len())?;
    let rest = &value[name.len()..];
    (head.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.starts_with(' '))).then_some(rest.trim())
}

fn bearer(value: &str) -> Option<Challenge> {
    let parameters = scheme(value, "bearer")?;
    let realm = parameter(parameters, "realm")?;
    Some(Challenge::Bearer { realm, service: parameter(parameters, "service").unwrap_or_default() })
}

/// The value of `name` in `a="b",c="d, e"`.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').map_or((after, ""), |(value, _)| (value, &after[value.len()..])),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
    None
}

/// A header value that no log shows.
pub fn header_value(text: &str) -> Result<HeaderValue, Refusal> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Refusal("the credential holds what no header may".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `Basic …`.
pub fn basic(user: &str, password: &Secret) -> Secret {
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose()))))
}

/// Whether a credential may go to `realm`, asked for by the registry at `base`.
pub fn may_ask(realm: &str, base: &str) -> bool {
    let address = |url: &str| Some(url.split_once("://")?.1.split(['/', '?']).next()?.to_ascii_lowercase());
    let lower = realm.to_ascii_lowercase();
    let plain =
        base.starts_with("http://") && lower.starts_with("http://") && address(&lower) == address(base);
    lower.starts_with("https://") || plain
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Secret>,
    access_token: Option<Secret>,
}

/// A token of the service at `realm` to pull from the repository `path`.
pub fn token(
    agent: &Agent,
    realm: &str,
    service: &str,
    path: &str,
    credential: Option<&Credential>,
) -> Result<Secret, Refusal> {
    let scope = format!("repository:{path}:pull");
    let answer = match credential {
        Some(Credential::Bearer(token)) => return Ok(token.clone()),
        Some(Credential::Identity(token)) => agent.post(realm).send_form([
            ("grant_type", "refresh_token"),
            ("service", service),
            ("scope", &scope),
            ("client_id", "dockerops"),
            ("refresh_token", token.expose()),
        ]),
        Some(Credential::Password { user, password }) => agent
            .get(realm)
            .query("service", service)
            .query("scope", &scope)
            .query("account", user)
            .header(header::AUTHORIZATION, header_value(basic(user, password).expose())?)
            .call(),
        None => agent.get(realm).query("service", service).query("scope", &scope).call(),
    };
    let named = |why: Refusal| Refusal(format!("its token service `{realm}` {why}"));
    let answer = answer.map_err(|error| named(Refusal(format!("cannot be asked: {error}"))))?;
    read_token(answer).map_err(named)
}

fn read_token(mut answer: Response<Body>) -> Result<Secret, Refusal> {
    let body = answer.body_mut().with_config().limit(MOST_BYTES).read_to_string();
    let body = body.map_err(|error| Refusal(format!("breaks off: {error}")))?;
    if !answer.status().is_success() {
        return Err(words::refusal(answer.status(), answer.headers(), &body));
    }
    let read: Option<Answer> = serde_json::from_str(&body).ok();
    let token = read.and_then(|read| read.token.or(read.access_token));
    token.filter(|token| !token.expose().is_empty()).ok_or_else(|| Refusal("gives no token".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: &str| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.into() })
        };
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#;
        assert_eq!(challenge(&[hub]), bearer("https://auth.docker.io/token", "registry.docker.io"));
        let odd = r#"bearer scope="a, b=c", service=s, realm="https://r/t?x=1""#;
        assert_eq!(challenge(&["Basic realm=\"x\"", odd]), bearer("https://r/t?x=1", "s"));
        assert_eq!(challenge(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(challenge(&["Negotiate", "Bearer", "Bearerx realm=\"r\""]), None);
    }

    #[test]
    fn credentials_leave_by_https_or_to_the_same_plain_host() {
        for (realm, base, may) in [
            ("https://auth.example/token", "https://registry.example", true),
            ("http://auth.example/token", "https://registry.example", false),
            ("http://registry.example/token", "https://registry.example", false),
            ("http://host:5000/token", "http://host:5000", true),
            ("http://host:5001/token", "http://host:5000", false),
            ("https://auth.example/token", "http://host:5000", true),
            ("file:///etc/passwd", "https://registry.example", false),
        ] {
            assert_eq!(may_ask(realm, base), may, "{realm} {base}");
        }
    }
}
