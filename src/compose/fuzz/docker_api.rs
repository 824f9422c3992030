//! A stand-in of docker's API that has nothing, takes all, and writes down what it was asked to create.
//!
//! It answers what `docker stack deploy` asks, in the order that both CLIs were seen to ask: `/_ping` (whose
//! `Api-Version` settles the version), `/info`, lists by label, an inspect before each create, lists by name.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// One request that creates or changes something.
#[derive(Debug, Clone)]
pub struct Request {
    /// `networks`, `configs`, `secrets`, `services`; for anything else the whole path.
    pub kind: String,
    /// What is to be created.
    pub body: Value,
}

/// Behind the kind of what is changed after it was created.
pub const UPDATE: &str = " update";

type Record = Arc<Mutex<Vec<Request>>>;

/// A server on a socket of its own; it ends with the test.
pub struct Api {
    pub socket: PathBuf,
    record: Record,
}

impl Api {
    pub fn listen(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let record = Record::default();
        let kept = Arc::clone(&record);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), record) = (stream, Arc::clone(&kept)) else { continue };
                thread::spawn(move || serve(&stream, &record));
            }
        });
        Self { socket: socket.to_owned(), record }
    }

    /// What was asked since the last look.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.record.lock().unwrap())
    }
}

/// Answers until docker hangs up.
fn serve(stream: &UnixStream, record: &Record) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).ok()? == 0 {
                return None;
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&head).ok()?;
        let (method, path) = (request.method?.to_owned(), request.path?.to_owned());
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        let body = match (header("Content-Length"), header("Transfer-Encoding")) {
            (Some(length), _) => {
                let mut body = vec![0; length.parse().ok()?];
                reader.read_exact(&mut body).ok()?;
                body
            }
            (None, Some(_)) => chunks(&mut reader)?,
            (None, None) => Vec::new(),
        };
        let (status, answer) = answer(&method, &path, &body, record);
        let length = answer.len();
        let text = if method == "HEAD" { "" } else { &answer };
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\nApi-Version: 1.50\r\nOstype: linux\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{text}"
        )
        .ok()?;
    }
}

fn chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).ok()? + 2];
        reader.read_exact(&mut chunk).ok()?;
        if chunk.len() == 2 {
            return Some(body);
        }
        body.extend(&chunk[..chunk.len() - 2]);
    }
}

/// The status and the JSON.
fn answer(method: &str, path: &str, body: &[u8], record: &Record) -> (&'static str, String) {
    let without_version = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => rest,
        None => path.trim_start_matches('/'),
    };
    let (place, query) = without_version.split_once('?').unwrap_or((without_version, ""));
    let (kind, rest) = place.split_once('/').unwrap_or((place, ""));
    if !["GET", "HEAD"].contains(&method) {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        let kind = match rest.rsplit('/').next() {
            Some("create") => kind.to_owned(),
            Some("update") => format!("{kind}{UPDATE}"),
            _ => without_version.to_owned(),
        };
        record.lock().unwrap().push(Request { kind, body });
        return ("201 Created", json!({"ID": "made", "Id": "made"}).to_string());
    }
    let value = match (kind, rest) {
        ("_ping", _) => return ("200 OK", "OK".into()),
        ("version", _) => json!({"Version": "28.2.2", "ApiVersion": "1.50", "MinAPIVersion": "1.24"}),
        ("info", _) => {
            json!({"ServerVersion": "28.2.2", "OSType": "linux",
                "Swarm": {"NodeID": "n", "LocalNodeState": "active", "ControlAvailable": true}})
        }
        ("configs" | "secrets", "") => named(query),
        ("networks" | "services", "") => json!([]),
        ("configs" | "secrets", name) if is_made(kind, name, record) => {
            json!({"ID": "made", "Version": {"Index": 1}, "Spec": {"Name": name}})
        }
        // Networks of others are looked at, and must be the swarm's.
        ("networks", name) => json!({"Name": name, "Id": "other", "Scope": "swarm"}),
        _ => return ("404 Not Found", json!({"message": format!("{place} not found")}).to_string()),
    };
    ("200 OK", value.to_string())
}

/// docker looks whether there is one of this name, which may be of its own making.
fn is_made(kind: &str, name: &str, record: &Record) -> bool {
    let made = record.lock().unwrap();
    made.iter().any(|request| request.kind == kind && request.body["Name"] == name)
}

/// Every config or secret that is asked for by its name is there.
fn named(query: &str) -> Value {
    let filters = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "filters");
    let filters: Value = filters.and_then(|(_, json)| serde_json::from_str(&json).ok()).unwrap_or_default();
    let names = filters["name"].as_object().into_iter().flat_map(|names| names.keys());
    names.map(|name| json!({"ID": format!("id of {name}"), "Spec": {"Name": name}})).collect()
}
