//! A server on loopback that answers as it is told, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What was asked: `GET /path`, the head in lower case, and the body.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub line: String,
    pub head: String,
    pub body: String,
}

/// To `GET /path`, for as often as it is asked: a status with further headers, and a body, in which `{root}` is the server's
/// own address.
#[derive(Debug, Clone)]
pub(super) struct Told(&'static str, String, String);

pub(super) fn to(line: &'static str, status: &str, body: &(impl ToString + ?Sized)) -> Told {
    Told(line, status.into(), body.to_string())
}

/// In an answer, what begins with a byte that is no UTF-8.
pub(super) const LATIN: &str = "?latin";

pub(super) struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// What no answer is there for is not found; an answer `silence` is never given.
    pub fn that_says(answers: impl Into<Vec<Told>>) -> Self {
        let (listener, answers) = (TcpListener::bind("127.0.0.1:0").unwrap(), answers.into());
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (root, heard) = (format!("http://{address}"), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(one) = hear(&stream) else { continue };
                let answer = answers.iter().find(|answer| answer.0 == one.line).cloned();
                heard.lock().unwrap().push(one);
                let Told(_, status, body) =
                    answer.unwrap_or_else(|| to("", "404 Not Found", "404 page not found"));
                if status == "silence" {
                    thread::spawn(move || (thread::sleep(Duration::from_secs(30)), drop(stream)));
                    continue;
                }
                let (status, body) = (status.replace("{root}", &root), body.replace("{root}", &root));
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let mut bytes = (answer + &body).into_bytes();
                if let Some(at) = bytes.windows(LATIN.len()).position(|it| it == LATIN.as_bytes()) {
                    bytes[at] = 0xe9;
                }
                let _ = stream.write_all(&bytes);
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// `GET /path` of each that was asked.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|one| one.line).collect()
    }
}

fn hear(stream: &TcpStream) -> Option<Asked> {
    let (mut reader, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { line, head, body: String::from_utf8(body).unwrap() })
}
