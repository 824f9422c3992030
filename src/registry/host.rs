//! One registry: how it is reached, what it wants to be asked with, and its `HEAD` of a manifest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use ureq::http::{Method, Response, StatusCode, header};
use ureq::{Body, ResponseExt};

use super::auth::{self, Challenge};
use super::credentials::{self, Credential};
use super::way::{Trust, Way};
use super::{Answer, Insecure, Refusal, insecure, words};
use crate::image::{ImageRef, is_digest};
use crate::redact::Secret;
use crate::settings::RegistryAccess;

/// Docker Hub's images are called `docker.io/…`, and lie there.
const HUB: &str = "registry-1.docker.io";
/// Where a registry puts the digest of what it answers with.
const DIGEST: &str = "Docker-Content-Digest";
/// Longest explanation of an error that is read, in bytes.
const MOST_BYTES: u64 = 16 * 1024;

/// What all registries of a run share.
pub struct Shared {
    access: RegistryAccess,
    listed: Arc<Listed>,
    way: Way,
}

/// What `docker info` lists, asked for once.
struct Listed {
    insecure: Insecure,
    known: OnceLock<Vec<String>>,
}

impl Listed {
    fn get(&self) -> &[String] {
        self.known.get_or_init(|| (self.insecure)())
    }
}

impl Shared {
    pub fn new(access: &RegistryAccess, insecure: Insecure) -> Self {
        let listed = Arc::new(Listed { insecure, known: OnceLock::new() });
        let (daemons, theirs) = (Arc::clone(&listed), access.clone());
        let named = move |host: &str| {
            credentials::is_named(host, &theirs) || daemons.get().iter().any(|it| it == host)
        };
        Self { access: access.clone(), listed, way: Way::new(access.timeout, Box::new(named)) }
    }

    fn is_insecure(&self, registry: &str) -> bool {
        insecure::is_loopback(registry) || insecure::is_listed(registry, self.listed.get())
    }

    fn ping(&self, base: String, trust: Trust) -> Result<Endpoint, Refusal> {
        ping(&self.way, base, trust)
    }
}

/// How a registry is reached.
#[derive(Clone)]
struct Endpoint {
    /// `https://host[:port]`.
    base: String,
    trust: Trust,
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
    /// What came of asking it, once it was silent until the time for it was over: nobody waits for that again.
    silent: OnceLock<Refusal>,
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
            silent: OnceLock::new(),
        }
    }

    /// Which digest the tag of `image` names: one `HEAD`. Before the first there is one `GET /v2/`, and one
    /// token a repository where the registry wants tokens. Of a failure a `GET` brings the registry's words.
    pub fn digest(&self, image: &ImageRef) -> Answer {
        if let Some(refusal) = self.silent.get() {
            return Err(refusal.clone());
        }
        let begun = Instant::now();
        let answer = self.ask(image);
        if let Err(refusal) = &answer
            && begun.elapsed() >= self.shared.access.timeout
        {
            self.silent.get_or_init(|| refusal.clone());
        }
        answer
    }

    fn ask(&self, image: &ImageRef) -> Answer {
        let endpoint = self.endpoint.get_or_init(|| self.reach()).as_ref().map_err(Clone::clone)?;
        let url =
            format!("{}/v2/{}/manifests/{}", endpoint.base, image.path(), image.tag().unwrap_or("latest"));
        let mut authorization = self.authorization(endpoint, endpoint.challenge.as_ref(), image.path())?;
        let ask = |method: &Method, authorization: Option<&Secret>| {
            self.shared.way.ask(method, &url, endpoint.trust, authorization)
        };
        let mut answer = ask(&Method::HEAD, authorization.as_ref())?;
        if answer.status() == StatusCode::UNAUTHORIZED && authorization.is_none() {
            // Some registries let anybody see `/v2/`, and ask at the repository.
            let challenge = challenge(&endpoint.base, &answer);
            authorization = self.authorization(endpoint, challenge.as_ref(), image.path())?;
            if authorization.is_some() {
                answer = ask(&Method::HEAD, authorization.as_ref())?;
            }
        }
        if !answer.status().is_success() {
            return Err(explain(&answer, || ask(&Method::GET, authorization.as_ref())));
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
        let secure = self.shared.ping(format!("https://{host}"), Trust::System);
        if secure.is_ok() || self.name == "docker.io" || !self.shared.is_insecure(&self.name) {
            return secure;
        }
        self.shared
            .ping(format!("https://{host}"), Trust::Anybody)
            .or_else(|_| self.shared.ping(format!("http://{host}"), Trust::Anybody))
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
            let trust = if plain { Trust::Anybody } else { Trust::System };
            let agent = self.shared.way.agent_of_tokens(realm, &endpoint.base, trust);
            let agent = agent.map_err(|why| Refusal(format!("names a token service it may not: {why}")))?;
            auth::token(&agent, realm, service, path, credential)
        };
        cell.get_or_init(ask).clone()
    }
}

/// `GET /v2/`: whether somebody answers there, and what they want.
fn ping(way: &Way, base: String, trust: Trust) -> Result<Endpoint, Refusal> {
    let answer = way.ask(&Method::GET, &format!("{base}/v2/"), trust, None)?;
    let wants = answer.status() == StatusCode::UNAUTHORIZED;
    let challenge = wants.then(|| challenge(&base, &answer)).flatten();
    Ok(Endpoint { base, trust, challenge })
}

/// What the registry at `base` wants. Where a redirect led to, there is another: it names no token service that gets
/// this one's credential.
fn challenge(base: &str, answer: &Response<Body>) -> Option<Challenge> {
    let answered = answer.get_uri();
    let by = format!("{}://{}", answered.scheme_str()?, answered.authority()?);
    by.eq_ignore_ascii_case(base).then(|| Challenge::of(answer.headers())).flatten()
}

/// A `HEAD` has no body. A registry that is asked too much is not asked for one.
fn explain(answer: &Response<Body>, again: impl FnOnce() -> Result<Response<Body>, Refusal>) -> Refusal {
    let plain = words::refusal(answer.status(), answer.headers(), "");
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        return plain;
    }
    match again() {
        Ok(mut again) if again.status() == answer.status() => {
            let body = again.body_mut().with_config().limit(MOST_BYTES).lossy_utf8(true).read_to_string();
            words::refusal(answer.status(), answer.headers(), &body.unwrap_or_default())
        }
        _ => plain,
    }
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

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
        let way = Way::new(Duration::from_secs(10), Box::new(|_| false));
        let asked = |answers| ping(&way, registry(answers), Trust::Anybody).unwrap().challenge.is_some();
        assert!(asked(vec![wants.clone()]));
        assert!(asked(vec!["307 Here\r\nLocation: /v2/again".to_owned(), wants.clone()]));
        let another = registry(vec![wants]);
        assert!(!asked(vec![format!("307 There\r\nLocation: {another}/v2/")]));
    }
}
