//! Requests to one forge: within a set time, to one origin alone, and no answer without end.

use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{HeaderValue, Method, Request, StatusCode, header};
use ureq::{Agent, AsSendBody};

use super::place::is_same_origin;
use super::{Dialect, explain};
use crate::fault::fault;
use crate::network::{self, Seen};
use crate::plain;
use crate::redact::{Secret, without_credentials};

/// Longest answer that is read, in bytes.
pub(super) const MOST_BYTES: u64 = 512 << 10;
/// A repository that was renamed is one redirect away.
const REDIRECTS: usize = 3;
/// Longest foreign text in a message, in letters.
const MOST_LETTERS: usize = 300;

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub call: Duration,
    pub all: Duration,
}

/// Who asks for one request.
pub(super) struct Client<'a> {
    agent: Agent,
    token: &'a Secret,
    patience: Patience,
    until: Instant,
}

/// What came back, read.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub text: String,
    location: Option<String>,
    /// Seconds until it may be asked again.
    pub retry_after: Option<u64>,
    /// Whether it says that it was asked too often.
    pub is_limited: bool,
}

impl<'a> Client<'a> {
    pub fn new(token: &'a Secret, patience: Patience) -> Self {
        let config = network::config(patience.call, true)
            .user_agent(concat!("dockerops/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = network::agent(config, None, &Seen::default());
        Self { agent, token, patience, until: Instant::now() + patience.all }
    }

    pub fn get(&self, url: &str, forge: &dyn Dialect) -> Result<Answer> {
        self.follow(&Method::GET, url, forge, None)
    }

    pub fn post(&self, url: &str, forge: &dyn Dialect, body: &Value) -> Result<Answer> {
        self.follow(&Method::POST, url, forge, Some(&body.to_string()))
    }

    /// Changes what is at this address.
    pub fn edit(&self, method: &Method, url: &str, forge: &dyn Dialect, body: &Value) -> Result<Answer> {
        self.follow(method, url, forge, Some(&body.to_string()))
    }

    /// The answer at this address itself, wherever it leads.
    pub fn probe(&self, url: &str, forge: &dyn Dialect) -> Result<Answer> {
        self.ask(&Method::GET, url, forge, None)
    }

    /// The token never leaves for another origin: nor does the request.
    fn follow(&self, method: &Method, url: &str, forge: &dyn Dialect, body: Option<&str>) -> Result<Answer> {
        let mut asked = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.ask(method, &asked, forge, body)?;
            let Some(next) = answer.leads_to(&asked) else { return Ok(answer) };
            // Behind any other redirect a `POST` is no `POST` any more.
            let keeps = *method == Method::GET || matches!(answer.status.as_u16(), 307 | 308);
            if !keeps || !is_same_origin(&asked, &next) {
                return Err(explain::moved(&asked, &self.shown(&next)));
            }
            asked = next;
        }
        Err(fault(format!("`{url}` redirects without end"), "check the address, and what stands before it"))
    }

    fn ask(&self, method: &Method, url: &str, forge: &dyn Dialect, body: Option<&str>) -> Result<Answer> {
        let (name, value) = forge.authorization(self.token);
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
            fault("the token holds what no header may", "write it anew into the file of credentials")
        })?;
        value.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::ACCEPT, "application/json")
            .header(name, value);
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.too_long());
        }
        let asked = match body {
            Some(body) => self.send(request.header(header::CONTENT_TYPE, "application/json"), body, left),
            None => self.send(request, (), left),
        };
        asked.map_err(|error| self.unreachable(url, &error))
    }

    fn send(&self, request: Builder, body: impl AsSendBody, left: Duration) -> Result<Answer, ureq::Error> {
        let request = self.agent.configure_request(request.body(body)?);
        let request = request.timeout_global(Some(left.min(self.patience.call))).build();
        let mut answer = self.agent.run(request)?;
        // Not as a text: one that is none would look like a connection that broke.
        let bytes = answer.body_mut().with_config().limit(MOST_BYTES).read_to_vec()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header("retry-after").and_then(|wait| wait.parse().ok());
        Ok(Answer {
            status: answer.status(),
            location: header("location").map(str::to_owned),
            // GitHub says so by a 403, too.
            is_limited: answer.status() == StatusCode::TOO_MANY_REQUESTS
                || answer.status() == StatusCode::FORBIDDEN
                    && (retry_after.is_some() || header("x-ratelimit-remaining") == Some("0")),
            retry_after,
            text,
        })
    }

    /// Foreign text made fit for a message. A server may tell the token that it was sent.
    pub fn shown(&self, text: &str) -> String {
        let text = text.replace(self.token.expose(), "[redacted]");
        plain::line(&without_credentials(&text)).chars().take(MOST_LETTERS).collect()
    }

    fn too_long(&self) -> Error {
        let waited = self.patience.all.as_secs();
        fault(
            format!("the forge took longer than {waited} s in all"),
            "try again when it answers as it should",
        )
    }

    fn unreachable(&self, url: &str, error: &ureq::Error) -> Error {
        match error {
            ureq::Error::Timeout(_) if Instant::now() >= self.until => self.too_long(),
            ureq::Error::Timeout(_) => fault(
                format!("`{url}` timed out: no answer within {} s", self.patience.call.as_secs()),
                "check the server and the network, and try again",
            ),
            ureq::Error::BodyExceedsLimit(_) => fault(
                format!("`{url}` answers with more than {}", crate::budget::bytes(MOST_BYTES)),
                "check that the API of a forge answers there",
            ),
            error => fault(
                format!("`{url}` cannot be reached: {}", self.shown(&error.to_string())),
                "check the address; the proxy variables and `SSL_CERT_FILE` are honoured",
            ),
        }
    }
}

impl Answer {
    /// Where it sends whoever asked `asked`.
    fn leads_to(&self, asked: &str) -> Option<String> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = self.location.as_deref()?;
        let (scheme, rest) = asked.split_once("://")?;
        match location.strip_prefix("//") {
            Some(rest) => Some(format!("{scheme}://{rest}")),
            None if location.starts_with('/') => {
                Some(format!("{scheme}://{}{location}", rest.split('/').next()?))
            }
            None => Some(location.to_owned()),
        }
    }

    /// What the forge says, as it should say it.
    pub fn json(&self, forge: &dyn Dialect) -> Result<Value> {
        serde_json::from_str(&self.text).map_err(|_| explain::not_expected(forge))
    }

    /// A JSON object, where that is what it is.
    pub fn object(&self) -> Option<Value> {
        serde_json::from_str(&self.text).ok().filter(Value::is_object)
    }
}
