//! One registry: how it is reached, what it wants to be asked with, and its `HEAD` of a manifest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt};

use super::auth::{self, Challenge};
use super::credentials::{self, Credential};
use super::{Answer, Insecure, Refusal, insecure, words};
use crate::image::{ImageRef, is_digest};
use crate::redact::Secret;
use crate::settings::RegistryAccess;

/// Docker Hub's images are called `docker.io/…`, and lie there.
const HUB: &str = "registry-1.docker.io";
/// Where a registry puts the digest of what it answers with.
const DIGEST: &str = "Docker-Content-Digest";
/// Indexes first: the digest of a tag is that of its list of platforms, if it has one.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Followed without credentials, also to the same host: a port beside may be somebody else.
const REDIRECTS: u32 = 5;
/// Longest explanation of an error that is read, in bytes.
const MOST_BYTES: u64 = 16 * 1024;

/// What all registries of a run share.
pub struct Shared {
    access: RegistryAccess,
    insecure: Insecure,
    listed: OnceLock<Vec<String>>,
    verified: Agent,
    token: Agent,
}

impl Shared {
    /// Asks nobody yet.
    pub fn new(access: &RegistryAccess, insecure: Insecure) -> Self {
        let verified = agent(access.timeout, Trust::System, REDIRECTS);
        // A redirect could take the credential in a body along.
        let token = agent(access.timeout, Trust::System, 0);
        Self { access: access.clone(), insecure, listed: OnceLock::new(), verified, token }
    }

    fn is_insecure(&self, registry: &str) -> bool {
        insecure::is_loopback(registry)
            || insecure::is_listed(registry, self.listed.get_or_init(|| (self.insecure)()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    System,
    Anybody,
}

fn agent(timeout: Duration, trust: Trust, redirects: u32) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(trust == Trust::Anybody)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .https_only(trust == Trust::System)
        .max_redirects(redirects)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .user_agent(concat!("dockerops/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// How a registry is reached.
#[derive(Clone)]
struct Endpoint {
    /// `https://host[:port]`.
    base: String,
    agent: Agent,
    challenge: Option<Challenge>,
}

type Once<T> = OnceLock<Result<T, Refusal>>;

/// One registry of a run. What is learnt of it once holds for the whole run.
pub struct Host {
    name: String,
    shared: Arc<Shared>,
    endpoint: Once<Endpoint>,
    credential: Once<Option<Credential>>,
    tokens: Mutex<BTreeMap<String, Arc<Once<Secret>>>>,
}

impl Host {
    /// The registry of images called `name/…`.
    pub fn new(name: &str, shared: &Arc<Shared>) -> Self {
        Self {
            name: name.to_owned(),
            shared: Arc::clone(shared),
            endpoint: OnceLock::new(),
            credential: OnceLock::new(),
            tokens: Mutex::default(),
        }
    }

    /// Which digest the tag of `image` names: one `HEAD`. Before the first there is one `GET /v2/`, and one
    /// token a repository where the registry wants tokens. Of a failure a `GET` brings the registry's words.
    pub fn digest(&self, image: &ImageRef) -> Answer {
        let endpoint = self.endpoint.get_or_init(|| self.reach()).as_ref().map_err(Clone::clone)?;
        let url =
            format!("{}/v2/{}/manifests/{}", endpoint.base, image.path(), image.tag().unwrap_or("latest"));
        let mut authorization = self.authorization(endpoint, endpoint.challenge.as_ref(), image.path())?;
        let mut answer = head(endpoint, &url, authorization.as_ref())?;
        if answer.status() == StatusCode::UNAUTHORIZED && authorization.is_none() {
            // Some registries let anybody see `/v2/`, and ask at the repository.
            let challenge = challenge(&endpoint.base, &answer);
            authorization = self.authorization(endpoint, challenge.as_ref(), image.path())?;
            if authorization.is_some() {
                answer = head(endpoint, &url, authorization.as_ref())?;
            }
        }
        if !answer.status().is_success() {
            return Err(explain(endpoint, &url, authorization.as_ref(), &answer));
        }
        let digest =
            answer.headers().get(DIGEST).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        match digest {
            Some(digest) if is_digest(&digest) => Ok(digest),
            Some(digest) => Err(Refusal(format!("names the digest `{}`, which is none", short(&digest)))),
            None => {
                let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let kind = kind.map(|kind| format!(" but `{}`", short(kind))).unwrap_or_default();
                Err(Refusal(format!("names no digest{kind}")))
            }
        }
    }

    /// By https as the system's CAs have it, else as docker reaches what it trusts without TLS: by https
    /// whoever answers, then by http.
    fn reach(&self) -> Result<Endpoint, Refusal> {
        let host = if self.name == "docker.io" { HUB } else { &self.name };
        let secure = ping(format!("https://{host}"), &self.shared.verified);
        let Err(error) = secure else { return secure.map_err(|error| unreachable(&error)) };
        if self.name == "docker.io" || !self.shared.is_insecure(&self.name) {
            return Err(unreachable(&error));
        }
        let agent = agent(self.shared.access.timeout, Trust::Anybody, REDIRECTS);
        ping(format!("https://{host}"), &agent)
            .or_else(|_| ping(format!("http://{host}"), &agent))
            .map_err(|error| unreachable(&error))
    }

    fn authorization(
        &self,
        endpoint: &Endpoint,
        challenge: Option<&Challenge>,
        path: &str,
    ) -> Result<Option<Secret>, Refusal> {
        let Some(challenge) = challenge else { return Ok(None) };
        let credential = self.credential.get_or_init(|| {
            credentials::find(&self.name, &self.shared.access).map_err(|error| Refusal(format!("{error:#}")))
        });
        let credential = credential.as_ref().map_err(Clone::clone)?.as_ref();
        match (challenge, credential) {
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                Ok(Some(auth::basic(user, password)))
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service }, _) => {
                let token = self.token(endpoint, realm, service, path, credential)?;
                Ok(Some(Secret::new(format!("Bearer {}", token.expose()))))
            }
        }
    }

    fn token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        service: &str,
        path: &str,
        credential: Option<&Credential>,
    ) -> Result<Secret, Refusal> {
        let cell = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tokens.entry(path.to_owned()).or_default())
        };
        let ask = || {
            if !auth::may_ask(realm, &endpoint.base) {
                return Err(Refusal(format!("wants credentials at `{}`, which is not https", short(realm))));
            }
            let plain = realm.to_ascii_lowercase().starts_with("http://");
            let agent = if plain {
                &agent(self.shared.access.timeout, Trust::Anybody, 0)
            } else {
                &self.shared.token
            };
            auth::token(agent, realm, service, path, credential)
        };
        cell.get_or_init(ask).clone()
    }
}

/// `GET /v2/`: whether somebody answers there, and what they want.
fn ping(base: String, agent: &Agent) -> Result<Endpoint, ureq::Error> {
    let answer = agent.get(format!("{base}/v2/")).call()?;
    let wants = answer.status() == StatusCode::UNAUTHORIZED;
    let challenge = wants.then(|| challenge(&base, &answer)).flatten();
    Ok(Endpoint { base, agent: agent.clone(), challenge })
}

/// What the registry at `base` wants. Where a redirect led to, there is another: it names no token service that gets
/// this one's credential.
fn challenge(base: &str, answer: &Response<Body>) -> Option<Challenge> {
    let answered = answer.get_uri();
    let by = format!("{}://{}", answered.scheme_str()?, answered.authority()?);
    by.eq_ignore_ascii_case(base).then(|| Challenge::of(answer.headers())).flatten()
}

fn head(endpoint: &Endpoint, url: &str, authorization: Option<&Secret>) -> Result<Response<Body>, Refusal> {
    let mut request = endpoint.agent.head(url).header(header::ACCEPT, ACCEPT);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, auth::header_value(authorization.expose())?);
    }
    request.call().map_err(|error| unreachable(&error))
}

/// A `HEAD` has no body. A registry that is asked too much is not asked for one.
fn explain(
    endpoint: &Endpoint,
    url: &str,
    authorization: Option<&Secret>,
    answer: &Response<Body>,
) -> Refusal {
    let plain = words::refusal(answer.status(), answer.headers(), "");
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        return plain;
    }
    let mut request = endpoint.agent.get(url).header(header::ACCEPT, ACCEPT);
    if let Some(value) = authorization.and_then(|secret| auth::header_value(secret.expose()).ok()) {
        request = request.header(header::AUTHORIZATION, value);
    }
    match request.call() {
        Ok(mut again) if again.status() == answer.status() => {
            let body = again.body_mut().with_config().limit(MOST_BYTES).lossy_utf8(true).read_to_string();
            words::refusal(answer.status(), answer.headers(), &body.unwrap_or_default())
        }
        _ => plain,
    }
}

fn unreachable(error: &ureq::Error) -> Refusal {
    Refusal(format!("cannot be asked: {error}"))
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers each request with the next of `answers`.
    fn registry(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        base
    }

    #[test]
    fn only_the_registry_itself_names_the_token_service() {
        let wants = "401 No\r\nWWW-Authenticate: Bearer realm=\"https://tokens.example/\"".to_owned();
        let agent = agent(Duration::from_secs(10), Trust::Anybody, REDIRECTS);
        let asked = |answers| ping(registry(answers), &agent).unwrap().challenge.is_some();
        assert!(asked(vec![wants.clone()]));
        assert!(asked(vec!["307 Here\r\nLocation: /v2/again".to_owned(), wants.clone()]));
        let another = registry(vec![wants]);
        assert!(!asked(vec![format!("307 There\r\nLocation: {another}/v2/")]));
    }
}
