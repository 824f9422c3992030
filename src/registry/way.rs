//! One request, and where its answer leads: a registry may send us on, to its like or to the internet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{Method, Request, Response, Uri, header};
use ureq::{Agent, Body};

use super::Refusal;
use super::auth::header_value;
use crate::network::{self, Seen, Zone};
use crate::redact::Secret;

/// Indexes first: the digest of a tag is that of its list of platforms, if it has one.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Followed without credentials, also to the same host: a port beside may be somebody else.
const REDIRECTS: usize = 5;

/// Whose certificates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Those that the system's CAs vouch for; nothing goes without TLS.
    System,
    /// Anybody's, and none at all: of registries that docker reaches so.
    Anybody,
}

/// Whether the operator named a host otherwise than by an image: by `docker login`, or to the docker daemon.
pub type Named = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Asks, and goes where it is led as far as that is allowed.
pub struct Way {
    timeout: Duration,
    named: Named,
    seen: Seen,
    agents: Mutex<HashMap<(Trust, Option<Zone>), Agent>>,
}

impl Way {
    pub fn new(timeout: Duration, named: Named) -> Self {
        Self { timeout, named, seen: Seen::default(), agents: Mutex::default() }
    }

    /// The answer at `url` of a registry, or of where it sends us; the `authorization` goes to `url` alone.
    pub fn ask(
        &self,
        method: &Method,
        url: &str,
        trust: Trust,
        authorization: Option<&Secret>,
    ) -> Result<Response<Body>, Refusal> {
        let (mut asked, mut from) = (url.to_owned(), Zone::Nowhere);
        let mut agent = self.agent(trust, None);
        for hop in 0.. {
            let mut request = Request::builder().method(method).uri(&asked).header(header::ACCEPT, ACCEPT);
            if let Some(authorization) = authorization.filter(|_| hop == 0) {
                request = request.header(header::AUTHORIZATION, header_value(authorization.expose())?);
            }
            let request = request.body(()).map_err(|error| unreachable(&error))?;
            let answer = agent.run(request).map_err(|error| unreachable(&error))?;
            let next = target(&answer, &asked).filter(|_| hop < REDIRECTS);
            let Some(next) = next else { return Ok(answer) };
            from = from.min(self.seen.zone(&asked));
            agent = self.agent_for(&next, url, from, trust)?;
            asked = next;
        }
        Err(Refusal("redirects without end".into()))
    }

    /// Who asks the token service `realm` of the registry at `base`.
    pub fn agent_of_tokens(&self, realm: &str, base: &str, trust: Trust) -> Result<Agent, Refusal> {
        self.agent_for(realm, base, self.seen.zone(base), trust)
    }

    /// Who asks `url`, where servers led us of which the most public lies in `from`; the registry is at `home`.
    fn agent_for(&self, url: &str, home: &str, from: Zone, trust: Trust) -> Result<Agent, Refusal> {
        let place = place(url).ok_or_else(|| Refusal("leads to what is no address".into()))?;
        if Some(&place) == self::place(home).as_ref() {
            return Ok(self.agent(trust, None));
        }
        let named = || (self.named)(place.1.as_str());
        // What somebody named is a place of a private network, and no service of this machine.
        let from = if from == Zone::Public && named() { Zone::Private } else { from };
        network::may_lead(from, url).map_err(Refusal)?;
        Ok(self.agent(trust, Some(from)))
    }

    /// One agent for all that may go equally far, so that connections are used again.
    fn agent(&self, trust: Trust, from: Option<Zone>) -> Agent {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || network::agent(config(self.timeout, trust), from, &self.seen);
        agents.entry((trust, from)).or_insert_with(make).clone()
    }
}

fn config(timeout: Duration, trust: Trust) -> ureq::config::Config {
    let is_verified = trust == Trust::System;
    network::config(timeout, is_verified)
        .https_only(is_verified)
        .user_agent(concat!("dockerops/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Where the answer leads to.
fn target(answer: &Response<Body>, asked: &str) -> Option<String> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    if location.contains("://") {
        return Some(location.to_owned());
    }
    let (scheme, rest) = asked.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    match location.strip_prefix("//") {
        Some(rest) => Some(format!("{scheme}://{rest}")),
        None => location.starts_with('/').then(|| format!("{scheme}://{authority}{location}")),
    }
}

/// Scheme, and host with port, as far as they make another place.
fn place(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().filter(|port| *port != default);
    let host = uri.host()?.to_ascii_lowercase();
    Some((scheme, port.map_or(host.clone(), |port| format!("{host}:{port}"))))
}

/// That nobody answered.
pub fn unreachable(error: &dyn std::fmt::Display) -> Refusal {
    Refusal(format!("cannot be asked: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers each request with the next of `answers`; its address, and how many requests there were.
    fn server(answers: Vec<String>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let count = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (address, count)
    }

    fn way(named: &'static str) -> Way {
        Way::new(Duration::from_secs(10), Box::new(move |host| host == named))
    }

    fn ask(way: &Way, url: &str) -> Result<u16, String> {
        let answer = way.ask(&Method::GET, url, Trust::Anybody, None);
        answer.map(|answer| answer.status().as_u16()).map_err(|refusal| refusal.0)
    }

    #[test]
    fn a_registry_on_the_internet_leads_to_nothing_behind_it() {
        let (inner, asked) = server(vec!["200 OK".into()]);
        let port = inner.rsplit(':').next().unwrap();
        for target in [
            format!("http://{inner}/x"),
            format!("http://localhost:{port}/x"),
            format!("http://[::1]:{port}/x"),
            format!("http://[::ffff:127.0.0.1]:{port}/x"),
            format!("http://2130706433:{port}/x"),
            format!("//{inner}/x"),
            format!("http://u@{inner}/x"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "http://10.255.255.1/".to_owned(),
            "http://0.0.0.0:1/".to_owned(),
        ] {
            let (outer, _) = server(vec![format!("307 There\r\nLocation: {target}"), "200 OK".into()]);
            let way = way("");
            // As if its address were a public one; the port is another.
            way.seen.note("127.0.0.1".into(), Zone::Public);
            let refused = ask(&way, &format!("http://{outer}/v2/")).unwrap_err();
            assert!(refused.contains("only led to: refused"), "{target}: {refused}");
            let refused = way.agent_of_tokens(&target, &format!("http://{outer}"), Trust::Anybody);
            let asked =
                refused.and_then(|agent| agent.get(&target).call().map_err(|error| unreachable(&error)));
            let refused = asked.unwrap_err().0;
            assert!(refused.contains("refused") || target.starts_with("//"), "{target}: {refused}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn one_leads_to_itself_and_to_its_like() {
        let (other, asked) = server(vec!["200 OK".into()]);
        let there = format!("307 There\r\nLocation: http://{other}/x");
        let (outer, _) = server(vec!["302 Here\r\nLocation: /again".into(), there, "200 OK".into()]);
        assert_eq!(ask(&way(""), &format!("http://{outer}/v2/")), Ok(200));
        assert_eq!(asked.load(Ordering::SeqCst), 1);

        let (outer, _) = server(vec!["302 Here\r\nLocation: /again".into(), "200 OK".into()]);
        let way = way("");
        way.seen.note("127.0.0.1".into(), Zone::Public);
        assert_eq!(ask(&way, &format!("http://{outer}/v2/")), Ok(200), "the registry itself was named");
        let home = format!("http://{outer}");
        assert!(way.agent_of_tokens(&format!("{home}/token"), &home, Trust::Anybody).is_ok());
    }

    #[test]
    fn what_was_logged_in_to_is_led_to_in_a_private_network_alone() {
        let realm =
            |way: &Way, realm: &str| way.agent_of_tokens(realm, "https://8.8.8.8", Trust::System).is_ok();
        assert!(!realm(&way(""), "https://10.1.1.1/token"));
        assert!(realm(&way("10.1.1.1"), "https://10.1.1.1/token"));
        assert!(!realm(&way("10.1.1.1"), "https://10.1.1.1:444/token"));
        assert!(!realm(&way("127.0.0.1"), "https://127.0.0.1/token"));
        assert!(!realm(&way("169.254.169.254"), "https://169.254.169.254/token"));
        let private = |realm: &str| way("").agent_of_tokens(realm, "https://10.1.1.2", Trust::System).is_ok();
        assert!(private("https://10.1.1.1/token") && private("https://auth.example/token"));
        assert!(!private("https://127.0.0.1/token") && !private("https://169.254.169.254/token"));
    }

    #[test]
    fn what_leads_on_is_as_public_as_all_before_it() {
        // From a private registry by a public server to a private one: the public one chose that.
        let way = way("");
        assert!(
            way.agent_for("https://10.1.1.1/", "https://10.1.1.2/", Zone::Private, Trust::System).is_ok()
        );
        assert!(
            way.agent_for("https://10.1.1.1/", "https://10.1.1.2/", Zone::Public, Trust::System).is_err()
        );
    }

    #[test]
    fn a_circle_ends() {
        let again = || "307 Again\r\nLocation: /".to_owned();
        let (outer, asked) = server((0..9).map(|_| again()).collect());
        assert_eq!(ask(&way(""), &format!("http://{outer}/")), Ok(307));
        assert_eq!(asked.load(Ordering::SeqCst), REDIRECTS + 1);
    }
}
