//! Where a repository has moved to, asked without credentials.
//!
//! In: a URL that answers with a redirect to another host. Out: the URL that answers. Whoever talks to it
//! then chooses credentials for that host. Who writes follows nowhere, and is only told.

use std::iter;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::http::header::{AUTHORIZATION, LOCATION};

use super::credentials::Keyring;
use super::explain;
use crate::fault::{OrHint, fault};
use crate::network::{self, Seen, Zone};
use crate::plain;
use crate::redact::without_credentials;
use crate::settings::{GitAccess, Purpose};
use crate::source::{Parts, Source};

const HOPS: usize = 5;
/// Of an address that is shown.
const LONGEST: usize = 200;
/// What git's smart HTTP asks first (gitprotocol-http(5)).
const SERVICE: &str = "/info/refs?service=git-upload-pack";

/// Whether libgit2 stopped at a redirect to another host.
pub(super) fn was_refused(error: &git2::Error) -> bool {
    error.message().starts_with("cannot redirect from")
}

/// Refuses a repository that has moved: what is written lands where it is watched, or nowhere. libgit2 would follow to
/// another port or path of the same host, whatever it was told. Who must be known before that is told is known by what is
/// sent to this very address anyway.
pub(super) fn refuse(url: &str, access: &GitAccess) -> Result<()> {
    if !Parts::of(url).is_some_and(|parts| parts.scheme.starts_with("http")) {
        return Ok(());
    }
    let service = match access.purpose {
        Purpose::Fetch => SERVICE,
        Purpose::Push => "/info/refs?service=git-receive-pack",
    };
    let asked = format!("{}{service}", url.trim_end_matches('/'));
    let agent = network::agent(network::config(access.timeout, true).build(), None, &Seen::default());
    let basic = Keyring::new(access).basic(url);
    for known in iter::once(None).chain(basic.iter().map(Some)) {
        let asking = agent.get(&asked);
        let response =
            match known.into_iter().fold(asking, |it, basic| it.header(AUTHORIZATION, basic.expose())).call()
            {
                Ok(response) => response,
                Err(ureq::Error::Timeout(_)) => return Err(explain::silent(url, access.timeout)),
                // Whoever talks to it says what is wrong with it.
                Err(_) => return Ok(()),
            };
        if response.status().is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            return Err(moved(url, location.and_then(|location| join(&asked, location)).as_deref()));
        }
        if response.status() != StatusCode::UNAUTHORIZED {
            break;
        }
    }
    Ok(())
}

/// What is said of a repository that is only read where it is watched.
pub(super) fn moved(url: &str, asked: Option<&str>) -> Error {
    let to = asked.map(|asked| {
        let end = asked.find("/info/refs").or_else(|| asked.find('?')).unwrap_or(asked.len());
        let to: String = asked[..end].chars().take(LONGEST).collect();
        format!("`{}`", plain::name(&without_credentials(&to)))
    });
    let to = to.unwrap_or_else(|| "an address that it does not say".into());
    let hint = "watch that address: nothing is written where a redirect leads";
    fault(format!("`{url}` has moved to {to}"), hint)
}

/// Follows the redirects of `url`; at most `HOPS`, never from https to http, nor from the internet to what lies
/// behind it.
pub(super) fn resolve(url: &str, timeout: Duration) -> Result<String> {
    follow(url, timeout, &Seen::default())
}

fn follow(url: &str, timeout: Duration, seen: &Seen) -> Result<String> {
    let hint = "watch the address it has moved to instead";
    let (mut from, mut agent) = (Zone::Nowhere, agent(timeout, None, seen));
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
        from = from.min(seen.zone(&asked));
        asked = location
            .and_then(|location| join(&asked, location))
            .with_context(|| format!("`{url}` redirects to nowhere"))
            .and_then(|next| checked(&asked, next))
            .and_then(|next| network::may_lead(from, &next).map(|()| next).map_err(Error::msg))
            .or_hint(hint)?;
        agent = self::agent(timeout, Some(from), seen);
    }
    Err(fault(format!("`{url}` redirects more than {HOPS} times"), hint))
}

fn agent(timeout: Duration, from: Option<Zone>, seen: &Seen) -> Agent {
    let config = network::config(timeout * 2, true).timeout_connect(Some(timeout)).build();
    network::agent(config, from, seen)
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
    use std::io::{Read, Write};
    use std::net::TcpListener;

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

    #[test]
    fn from_the_internet_no_redirect_leads_behind_it() {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let inner = listen();
        inner.set_nonblocking(true).unwrap();
        let port = inner.local_addr().unwrap().port();
        let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")];
        for host in hosts.iter().map(String::as_str).chain(["10.255.255.1", "169.254.169.254", "2130706433"])
        {
            let outer = listen();
            let url = format!("http://{}/r", outer.local_addr().unwrap());
            let target = format!("http://{host}/r{SERVICE}");
            std::thread::spawn(move || {
                let (mut stream, _) = outer.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let answer = format!("HTTP/1.1 301 There\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            });
            let seen = Seen::default();
            // As if its address were a public one; the port is another.
            seen.note("127.0.0.1".into(), Zone::Public);
            let error = follow(&url, Duration::from_secs(5), &seen).unwrap_err();
            assert!(format!("{error:#}").contains("only led to: refused"), "{host}: {error:#}");
        }
        assert!(inner.accept().is_err(), "nobody came");
    }
}
