//! The daemon as those see it who reach its address: a plain HTTP client, and a daemon that listens.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::dockerops::{DockerOps, Running};
use super::wait_for;

/// What the daemons of the tests take from who acts.
pub const TOKEN: &str = "an-api-token-of-the-tests";
/// What webhooks of the tests are signed with.
pub const SECRET: &str = "a-webhook-secret-of-the-tests";

/// A daemon that listens on a free port of its own. Killed when dropped.
#[derive(Debug)]
pub struct Site {
    /// It.
    pub run: Running,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code; 0 where the connection was cut.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: String,
}

impl DockerOps {
    /// With the token and the secret, on a loopback address, and no cycle after the first for an hour.
    pub fn that_listens(self) -> Self {
        self.env("DOCKEROPS_LISTEN", "127.0.0.1:0")
            .env("DOCKEROPS_API_TOKEN", TOKEN)
            .env("DOCKEROPS_WEBHOOK_SECRET", SECRET)
            .env("DOCKEROPS_SYNC_INTERVAL", "3600")
    }

    /// Runs the daemon until its first cycle has ended.
    #[track_caller]
    pub fn site(&self) -> Site {
        let mut run = self.spawn(["run"]);
        run.wait_for("cycle ", 1, 90);
        Site::of(run)
    }
}

impl Site {
    /// Of a daemon that listens by now.
    #[track_caller]
    pub fn of(run: Running) -> Self {
        let log = run.stdout();
        let address = log.split("listening http://").nth(1).expect("it does not listen");
        let address = address.split('/').next().unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Self { run, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// Sends a request with these headers, each `Name: value`.
    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.to_lowercase().starts_with("host:")) {
            text += &format!("Host: {}\r\n", self.address);
        }
        for header in headers {
            text += &format!("{header}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n", body.len());
        self.raw(&[text.as_bytes(), body].concat())
    }

    /// Sends these bytes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut received = Vec::new();
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let _ = stream.write_all(bytes);
            let _ = stream.read_to_end(&mut received);
        }
        let text = String::from_utf8_lossy(&received).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Looks, as anybody on this machine.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Acts, with the token.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[&format!("Authorization: Bearer {TOKEN}")], body.as_bytes())
    }

    /// A hook of GitHub's, signed.
    pub fn github(&self, event: &str, delivery: &str, body: &str) -> Answer {
        let event = format!("X-GitHub-Event: {event}");
        let delivery = format!("X-GitHub-Delivery: {delivery}");
        let signature = format!("X-Hub-Signature-256: sha256={}", sign(SECRET, body.as_bytes()));
        self.send("POST", "/hooks/github", &[&event, &delivery, &signature], body.as_bytes())
    }

    /// Waits for a job's end; how it is told then.
    #[track_caller]
    pub fn job(&self, accepted: &Answer) -> Value {
        let id = accepted.is(202).json()["job"].as_u64().unwrap();
        let ask = || self.get(&format!("/api/v1/jobs/{id}")).is(200).json();
        wait_for(format!("job {id}"), 90, || matches!(ask()["state"].as_str(), Some("done" | "failed")));
        ask()
    }
}

impl Answer {
    /// It has this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Its body holds `text`.
    #[track_caller]
    pub fn has(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no `{text}`: {self:?}");
        self
    }

    /// Its body, which is JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON, {error}: {self:?}"))
    }
}

/// The HMAC-SHA256 in hex.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The part of GitHub's push that matters.
pub fn push_to(url: &str, reference: &str) -> String {
    serde_json::json!({"ref": reference, "repository": {"clone_url": url, "default_branch": "main"}})
        .to_string()
}
