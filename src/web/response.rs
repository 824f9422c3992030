//! An answer, and the headers that every answer has.

use std::sync::Arc;

use chrono::Utc;
use serde::Serialize;
use serde_json::json;

use crate::plain;

/// For anything but the page: no browser is to run, show or frame it.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// What a refusal says, and the way out, for who shows it as a page.
    pub refused: Option<(String, String)>,
    headers: Vec<(&'static str, String)>,
    /// Many may be sent the same one.
    body: Arc<[u8]>,
}

impl Response {
    /// A body of a type; nobody keeps a copy of it.
    pub fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            ("content-type", kind.to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("content-security-policy", NOTHING.to_owned()),
        ];
        Self { status, refused: None, headers, body: body.into().into() }
    }

    /// An answer that others have been given as well.
    pub fn again(body: Arc<[u8]>) -> Self {
        Self { body, ..Self::new(200, "application/json", "") }
    }

    /// What it holds, to be given to others.
    pub fn body(&self) -> Arc<[u8]> {
        Arc::clone(&self.body)
    }

    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_string_pretty(value) {
            Ok(body) => Self::new(status, "application/json", plain::json(&body) + "\n"),
            Err(error) => Self::refusal(500, &format!("cannot be printed: {error}"), ""),
        }
    }

    /// `{"error": …, "hint": …}`, the latter where there is one.
    pub fn refusal(status: u16, what: &str, hint: &str) -> Self {
        let mut value = json!({ "error": plain::text(what) });
        if !hint.is_empty() {
            value["hint"] = plain::text(hint).into();
        }
        let response = Self::json(status, &value);
        Self { refused: Some((what.to_owned(), hint.to_owned())), ..response }
    }

    /// The same answer, shown as `page` is.
    pub fn with_body_of(self, page: Self) -> Self {
        let kind = page.headers.into_iter().find(|(name, _)| *name == "content-type");
        let kind = kind.map_or_else(String::new, |(_, kind)| kind);
        Self { body: page.body, ..self }.with("content-type", kind)
    }

    /// Adds a header, or puts it in the place of the one of that name.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// What goes over the wire before the body.
    pub fn head(&self) -> Vec<u8> {
        let reason = http_reason(self.status);
        let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let mut head = format!("HTTP/1.1 {} {reason}\r\ndate: {date}\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {}\r\n", plain::name(value));
        }
        // `same-origin`, as `no-referrer` would make browsers hide the origin of the page's own form.
        head += "x-content-type-options: nosniff\r\nreferrer-policy: same-origin\r\nconnection: close\r\n";
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        head.into_bytes()
    }

    /// All that goes over the wire; for tests.
    #[cfg(test)]
    pub fn bytes(&self, with_body: bool) -> Vec<u8> {
        if with_body { [&self.head(), &*self.body].concat() } else { self.head() }
    }

    /// The body as text; for tests.
    #[cfg(test)]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn http_reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
