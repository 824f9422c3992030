//! A request as it comes off the wire: the head first, the body only when somebody asks for it.
//!
//! Every wait has a deadline for the whole of it, so a client that sends a byte now and then gains nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use super::response::Response;
use super::server::Limits;

/// Longest request line and headers together.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
/// Those that decide where a request ends, whose it is, or whether it is believed, are there once or not at all.
const ONCE: [&str; 4] = ["host", "content-length", "authorization", "origin"];

/// The request line and the headers.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, as it was sent: nothing in it is decoded.
    pub path: String,
    /// The decoded pairs after `?`.
    pub query: Vec<(String, String)>,
    /// Names in lower case, values trimmed.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body that is announced.
    pub length: usize,
    /// Who sent it: the other end of the connection.
    pub peer: Option<IpAddr>,
    /// Whether it is HTTP/1.0, which hardly anybody speaks but proxies.
    pub is_old: bool,
}

impl Head {
    /// The header's value; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether only looks: `GET` or `HEAD`.
    pub fn only_looks(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }

    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Response> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let end = match request.parse(bytes) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Response::refusal(400, &format!("no HTTP request: {error}"), "")),
        };
        let target = request.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: request
                .headers
                .iter()
                .map(|header| {
                    let value = String::from_utf8_lossy(header.value).trim().to_owned();
                    (header.name.to_ascii_lowercase(), value)
                })
                .collect(),
            length: 0,
            peer: None,
            is_old: request.version == Some(0),
        };
        head.checked().map(|head| Some((head, end)))
    }

    fn checked(mut self) -> Result<Self, Response> {
        let bad = |what: &str| Err(Response::refusal(400, what, ""));
        if !self.path.starts_with('/') {
            return bad("the request names no path");
        }
        for name in ONCE {
            if self.headers.iter().filter(|(known, _)| known == name).count() > 1 {
                return bad(&format!("`{name}` is there more than once"));
            }
        }
        if !self.is_old && self.header("host").is_none() {
            return bad("there is no `host`");
        }
        if self.header("transfer-encoding").is_some() {
            let hint = "a body has a `content-length` here; a proxy in between may have to buffer requests";
            return Err(Response::refusal(411, "chunked bodies are not taken", hint));
        }
        if let Some(length) = self.header("content-length") {
            // `parse` alone would take a sign.
            match length.parse().ok().filter(|_| length.bytes().all(|byte| byte.is_ascii_digit())) {
                Some(length) => self.length = length,
                None => return bad("`content-length` is no number"),
            }
        }
        Ok(self)
    }
}

/// A connection, and what was read of it and not yet used.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The head, `None` where the client went away without a word; `Err` is what to answer.
    pub fn head(&mut self, limit: Duration) -> Result<Option<Head>, Response> {
        let deadline = Instant::now() + limit;
        loop {
            let before = self.pending.len();
            match self.read(deadline, LONGEST_HEAD - before) {
                Ok(0) if before == 0 => return Ok(None),
                Ok(0) => return Err(Response::refusal(400, "the request ends in its head", "")),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    return Err(Response::refusal(408, "the head took too long", ""));
                }
                Err(_) => return Ok(None),
            }
            // Only a line's end can end a head; so bytes that drip in do not cost a parse each.
            let may_end = before == 0 || self.pending[before..].contains(&b'\n');
            if may_end && let Some((mut head, end)) = Head::parse(&self.pending)? {
                self.pending.drain(..end);
                head.peer = self.stream.peer_addr().ok().map(|peer| peer.ip());
                return Ok(Some(head));
            }
            if self.pending.len() >= LONGEST_HEAD {
                return Err(Response::refusal(431, "the head is longer than 16 KiB", ""));
            }
        }
    }

    fn read(&mut self, deadline: Instant, most: usize) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 8192];
        let most = most.min(chunk.len());
        let count = self.stream.read(&mut chunk[..most])?;
        self.pending.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// Writes all of it, or fails when `limit` has passed.
    pub fn write(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_write_timeout(Some(left))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads on for a moment and forgets it: closing with unread bytes would reset the connection, and the
    /// client would never see the answer.
    pub fn drain(&mut self, limit: Duration, most: usize) {
        let deadline = Instant::now() + limit;
        let mut seen = 0;
        while seen < most {
            self.pending.clear();
            match self.read(deadline, usize::MAX) {
                Ok(count) if count > 0 => seen += count,
                _ => return,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// The body that a head announces, not read yet.
#[derive(Debug)]
pub struct Body<'a> {
    wire: &'a mut Wire,
    length: usize,
    continues: bool,
    limits: Limits,
}

impl<'a> Body<'a> {
    /// Of the request with this head.
    pub fn new(wire: &'a mut Wire, head: &Head, limits: Limits) -> Self {
        let continues = head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        Self { wire, length: head.length, continues, limits }
    }

    /// All of it; `Err` is what to answer.
    pub fn read(&mut self) -> Result<Vec<u8>, Response> {
        if self.length > self.limits.bytes {
            let most = self.limits.bytes / 1024;
            return Err(Response::refusal(413, &format!("the body is longer than {most} KiB"), ""));
        }
        let gone = |_| Response::refusal(400, "the connection broke", "");
        if self.continues && self.wire.pending.is_empty() {
            self.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n", self.limits.body).map_err(gone)?;
        }
        let deadline = Instant::now() + self.limits.body;
        while self.wire.pending.len() < self.length {
            match self.wire.read(deadline, self.length - self.wire.pending.len()) {
                Ok(0) => return Err(Response::refusal(400, "the body ends too early", "")),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    return Err(Response::refusal(408, "the body took too long", ""));
                }
                Err(error) => return Err(gone(error)),
            }
        }
        // What lies behind it is no second request: there is one a connection.
        self.wire.pending.truncate(self.length);
        Ok(std::mem::take(&mut self.wire.pending))
    }
}
