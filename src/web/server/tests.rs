//! What clients may do to a server, on loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;

const LIMITS: Limits = Limits {
    connections: 4,
    of_a_client: 2,
    of_this_machine: 3,
    spare: 1,
    head: Duration::from_millis(400),
    body: Duration::from_millis(400),
    bytes: 64 * 1024,
};

/// Answers with the method, the path, and the length of the body.
fn echo() -> SocketAddr {
    echo_within(LIMITS)
}

fn echo_within(limits: Limits) -> SocketAddr {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    start(listener, limits, |head, body| match (head.path.as_str(), body.read()) {
        ("/panic", _) => panic!("on purpose"),
        (_, Ok(body)) => {
            Response::new(200, "text/plain", format!("{} {} {}", head.method, head.path, body.len()))
        }
        (_, Err(refusal)) => refusal,
    })
    .unwrap();
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// All that comes back; what breaks on the way is as good as an end.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn send(address: SocketAddr, text: &str) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(text.as_bytes());
    rest(stream)
}

fn post(length: &str, rest: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n{rest}")
}

#[test]
fn a_request_is_answered_and_the_connection_closed() {
    let address = echo();
    let answer =
        send(address, "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nGET /a 0"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(send(address, "GET / HTTP/1.0\r\n\r\n").ends_with("GET / 0"));
    assert!(send(address, &post("Content-Length: 3", "abcdef")).ends_with("POST /x 3"));
    let head = send(address, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.contains("content-length: 8\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_body_that_waits_to_be_asked_for_is_asked_for() {
    let mut stream = connect(echo());
    stream.write_all(post("Content-Length: 2\r\nExpect: 100-continue", "").as_bytes()).unwrap();
    let mut bytes = [0; 25];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ab").unwrap();
    assert!(rest(stream).ends_with("POST /x 2"));
}

#[test]
fn what_is_no_plain_request_is_refused() {
    let address = echo();
    let many = "H: x\r\n".repeat(70);
    let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    for (status, request) in [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, "\u{16}\u{3}\u{1}\0\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/2.0\r\nHost: h\r\n\r\n".to_owned()),
        (400, "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n".to_owned()),
        (400, format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n")),
        (400, post("Content-Length: 3\r\nContent-Length: 4", "abc")),
        (400, post("Content-Length: +3", "abc")),
        (400, post("Content-Length: 0x3", "abc")),
        (400, post("Content-Length: 99999999999999999999", "abc")),
        (411, post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n")),
        (411, post("Transfer-Encoding: identity\r\nContent-Length: 3", "abc")),
        (413, post("Content-Length: 65537", "abc")),
        (431, long),
    ] {
        let answer = send(address, &request);
        let shown: String = request.chars().take(80).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}\n{answer}");
    }
}

#[test]
fn a_slow_client_is_cut_off_however_often_it_sends_a_byte() {
    let address = echo();
    for (text, status) in
        [("GET / HTTP/1.1\r\nHost: h\r\nX-", "408"), (&*post("Content-Length: 9000", ""), "408")]
    {
        let (begun, mut stream) = (Instant::now(), connect(address));
        stream.write_all(text.as_bytes()).unwrap();
        while stream.write_all(b"x").is_ok() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
            if stream.set_nonblocking(true).is_ok() && stream.peek(&mut [0]).is_ok() {
                break;
            }
            stream.set_nonblocking(false).unwrap();
        }
        stream.set_nonblocking(false).unwrap();
        let answer = rest(stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
    // One that says nothing is not answered, and not waited for.
    let (begun, mut silent) = (Instant::now(), connect(address));
    let _ = silent.read(&mut [0; 9]);
    assert!(begun.elapsed() < Duration::from_secs(4));
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn fifty_clients_at_once_are_all_served_again_and_again() {
    let address = echo_within(Limits::default());
    for _ in 0..5 {
        let held: Vec<_> = (0..50).map(|_| connect(address)).collect();
        let asked: Vec<_> = held
            .into_iter()
            .map(|mut stream| {
                stream.write_all(GET.as_bytes()).unwrap();
                stream
            })
            .collect();
        for answer in asked.into_iter().map(rest) {
            assert!(answer.ends_with("GET / 0"), "{answer}");
        }
    }
}

#[test]
fn one_connection_too_many_is_refused_and_the_places_come_back() {
    let address = echo();
    let held: Vec<_> = (0..LIMITS.of_this_machine).map(|_| connect(address)).collect();
    // Accepted in order, so this one comes behind those.
    let answer = send(address, GET);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(send(address, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("GET /healthz 0"));
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(5);
    while !send(address, GET).ends_with("GET / 0") {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_was_answered_and_does_not_go_away_holds_no_place() {
    let address = echo();
    let mut left_open = Vec::new();
    for number in 0..LIMITS.connections * 5 {
        let mut stream = connect(address);
        stream.write_all(GET.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("GET / 0"), "{number}: {answer}");
        left_open.push(stream);
    }
}

#[test]
fn an_answer_that_fails_takes_no_place_with_it() {
    let address = echo();
    for _ in 0..LIMITS.connections * 3 {
        send(address, "GET /panic HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    assert!(send(address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("GET / 0"));
}
