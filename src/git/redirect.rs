//! Where a repository has moved to, asked without credentials.
//!
//! In: a URL that answers with a redirect to another host. Out: the URL that answers. Whoever talks to it
//! then chooses credentials for that host.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ureq::Agent;
use ureq::http::header::LOCATION;
use ureq::tls::{RootCerts, TlsConfig};

use crate::fault::{OrHint, fault};
use crate::source::{Parts, Source};

const HOPS: usize = 5;
/// What git's smart HTTP asks first (gitprotocol-http(5)).
const SERVICE: &str = "/info/refs?service=git-upload-pack";

/// Whether libgit2 stopped at a redirect to another host.
pub(super) fn was_refused(error: &git2::Error) -> bool {
    error.message().starts_with("cannot redirect from")
}

/// Follows the redirects of `url`; at most `HOPS`, never from https to http.
pub(super) fn resolve(url: &str, timeout: Duration) -> Result<String> {
    let hint = "watch the address it has moved to instead";
    let agent = agent(timeout);
    let mut asked = format!("{}{SERVICE}", url.trim_end_matches('/'));
    for hop in 0..=HOPS {
        let response = agent
            .get(&asked)
            .call()
            .with_context(|| format!("`{url}` redirects, and what it redirects to cannot be reached"))
            .or_hint("check the address; the proxy variables and `SSL_CERT_FILE` are honoured")?;
        if !response.status().is_redirection() {
            return (hop > 0)
                .then(|| asked.strip_suffix(SERVICE))
                .flatten()
                .map(str::to_owned)
                .ok_or_else(|| fault(format!("`{url}` redirects to what is no git repository"), hint));
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        asked = location
            .and_then(|location| join(&asked, location))
            .with_context(|| format!("`{url}` redirects to nowhere"))
            .and_then(|next| checked(&asked, next))
            .or_hint(hint)?;
    }
    Err(fault(format!("`{url}` redirects more than {HOPS} times"), hint))
}

fn agent(timeout: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(timeout))
        .timeout_global(Some(timeout * 2))
        .build()
        .into()
}

/// The absolute form of `location`, as found at `base`.
fn join(base: &str, location: &str) -> Option<String> {
    if Parts::of(location).is_some() {
        return Some(location.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    if let Some(rest) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    let authority = rest.split('/').next()?;
    location.starts_with('/').then(|| format!("{scheme}://{authority}{location}"))
}

/// `next` may be asked after `base`: http or https, not from https to http, and without credentials.
fn checked(base: &str, next: String) -> Result<String> {
    let repository = next.strip_suffix(SERVICE).unwrap_or(&next);
    let repository = repository.split('?').next().unwrap_or_default();
    let source = Source::parse(repository).context("it redirects")?;
    match Parts::of(source.url()).map(|parts| parts.scheme).as_deref() {
        Some("https") => Ok(next),
        Some("http") if base.starts_with("http://") => Ok(next),
        Some("http") => Err(anyhow!("it redirects from https to http, which is refused")),
        _ => Err(anyhow!("it redirects to another protocol, which is refused")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined_as_a_browser_does() {
        for (location, wanted) in
            [("https://b/x", "https://b/x"), ("//b/x", "https://b/x"), ("/x", "https://a:1/x")]
        {
            assert_eq!(join("https://a:1/r/info/refs", location).unwrap(), wanted);
        }
        assert_eq!(join("https://a/r", "x"), None);
    }

    #[test]
    fn neither_a_downgrade_nor_another_protocol_nor_credentials() {
        let ok = |base: &str, next: &str| checked(base, format!("{next}{SERVICE}")).is_ok();
        assert!(ok("https://a/r", "https://b/r"));
        assert!(ok("http://a/r", "https://b/r"));
        assert!(ok("http://a/r", "http://b/r"));
        assert!(!ok("https://a/r", "http://b/r"));
        assert!(!ok("https://a/r", "file:///etc/r"));
        assert!(!ok("https://a/r", "ssh://git@b/r"));
        assert!(!ok("https://a/r", "https://u:p@b/r"));
    }
}
