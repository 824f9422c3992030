//! What goes wrong, and what is meant to go wrong.

use std::io::Read;
use std::net::TcpListener;
use std::thread;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;

use super::*;

/// What is told where opening a request is answered so.
fn told(opens: &'static str, status: &str, body: &(impl ToString + ?Sized)) -> String {
    let empty = to(list(opens), "200 OK", "[]");
    let server = Server::that_says([to(opens, status, body), empty]);
    failure(&of_kind(opens, &server))
}

#[track_caller]
fn says(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "no `{part}` in: {told}");
    }
}

#[test]
fn a_refused_token_is_told_with_what_it_needs() {
    for (opens, needs) in [
        (GITHUB, "*Pull requests: Read and write*"),
        (GITLAB, "the scope `api`"),
        (GITEA, "`write:repository`"),
    ] {
        let line = "the line for `http://127.0.0.1:";
        let said = told(opens, "401 Unauthorized", r#"{"message":"Bad credentials"}"#);
        says(&said, &["the token is not valid there", "401 Unauthorized: Bad credentials", needs, line]);
        let said = told(opens, "403 Forbidden", r#"{"message":"Resource not accessible"}"#);
        says(&said, &["the token may open no ", "403 Forbidden: Resource not accessible", needs, line]);
        let said = told(opens, "404 Not Found", r#"{"message":"404 Project Not Found"}"#);
        says(&said, &["the token sees no repository `org/repo`", "404 Project Not Found", needs]);
    }
}

#[test]
fn where_there_is_nothing_to_merge_it_says_so() {
    let github = r#"{"message":"Validation Failed","errors":[{"message":"No commits between main and dockerops/web"}]}"#;
    let gitea = r#"{"message":"Invalid PullRequest: There are no changes between the head and the base"}"#;
    for (opens, said) in [(GITHUB, github), (GITEA, gitea)] {
        let said = told(opens, "422 Unprocessable Entity", said);
        says(&said, &["there is nothing to merge", "hint: it was merged meanwhile"]);
    }
    let missing = r#"{"message":"Validation Failed","errors":[{"field":"base","code":"invalid"}]}"#;
    let said = told(GITHUB, "422 Unprocessable Entity", missing);
    says(&said, &["GitHub answers 422 Unprocessable Entity: Validation Failed; base is invalid"]);
}

#[test]
fn a_forge_in_trouble_says_when_to_try_again() {
    let limited = "asked too often";
    says(
        &told(GITLAB, "429 Too Many\r\nRetry-After: 30", "Retry later"),
        &[limited, "Retry later", "in 30 s"],
    );
    says(&told(GITHUB, "403 No\r\nX-RateLimit-Remaining: 0", r#"{"message":"limit"}"#), &[limited, "limit"]);
    says(&told(GITHUB, "403 No\r\nRetry-After: 60", r#"{"message":"secondary"}"#), &[limited, "in 60 s"]);
    says(&told(GITEA, "502 Bad Gateway", "<html>"), &["in trouble itself", "a web page", "try again later"]);
    says(
        &told(GITEA, "423 Locked", r#"{"message":"archived"}"#),
        &["answers 423 Locked: archived", "what was pushed stays"],
    );
}

#[test]
fn a_list_that_cannot_be_had_is_no_empty_list() {
    for (status, body, wanted) in [
        ("500 Oops", "", "in trouble itself"),
        ("200 OK", r#"{"message":"no list"}"#, "is not what GitLab says of a merge request"),
        ("200 OK", "[", "is not what GitLab says of a merge request"),
    ] {
        let answers = [to(GITLAB, "409 Conflict", "{}"), to(GITLAB_LIST, status, body)];
        says(&failure(&of_kind(GITLAB, &Server::that_says(answers))), &[wanted]);
    }
}

#[test]
fn what_is_silent_is_not_waited_for() {
    let server = Server::that_says([
        to(GITHUB, "silence", ""),
        to(GITLAB, "409 Conflict", ""),
        to(GITLAB_LIST, "silence", ""),
    ]);
    let patient = |opens, call, all| {
        let patience = Patience { call: Duration::from_millis(call), all: Duration::from_millis(all) };
        let begun = std::time::Instant::now();
        let told = failure(&Forge { patience, ..of_kind(opens, &server) });
        assert!(begun.elapsed() < Duration::from_secs(3), "{told}");
        told
    };
    says(&patient(GITHUB, 200, 20_000), &["timed out: no answer within 0 s"]);
    // Less is left for the second call than a call may take.
    says(&patient(GITLAB, 20_000, 1_000), &["the forge took longer than 1 s in all"]);
    assert_eq!((PATIENCE.call.as_secs(), PATIENCE.all.as_secs()), (10, 20));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut forge = of_kind(GITHUB, &server);
    forge.place.address = gone.to_string();
    says(&failure(&forge), &["cannot be reached", "SSL_CERT_FILE"]);
}

#[test]
fn neither_the_token_nor_the_request_follows_a_redirect_to_somebody_else() {
    for opens in [GITHUB, GITLAB, GITEA] {
        for status in ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"] {
            let other = Server::that_says([to(opens, "201 Created", &right(opens))]);
            let port = other.address.rsplit(':').next().unwrap();
            for target in [
                format!("http://{}/x", other.address),
                format!("http://localhost:{port}/x"),
                format!("//{}/x", other.address),
                format!("http://{TOKEN}@{}/x", other.address),
            ] {
                let status = format!("{status}\r\nLocation: {target}");
                says(&told(opens, &status, ""), &["where nothing was sent to", "watch the address"]);
            }
            assert!(other.lines().is_empty());
        }
    }
    // Nor does a list, nor what asks which forge it is.
    let other = Server::that_says([]);
    let away = format!("302 Found\r\nLocation: http://{}/x", other.address);
    let server = Server::that_says([to(GITHUB, "422 No", "{}"), to(GITHUB_LIST, &away, "")]);
    says(&failure(&of_kind(GITHUB, &server)), &["where nothing was sent to"]);
    let server =
        Server::that_says([to("GET /api/v4/version", &away, ""), to("GET /api/v1/version", &away, "")]);
    says(&failure(&forge(&server, false)), &["cannot be told"]);
    assert!(other.lines().is_empty());
}

#[test]
fn a_renamed_repository_is_followed_on_its_own_host() {
    let (list, created) = ("GET /repositories/7/pulls", "POST /repositories/7/pulls");
    let there = "\r\nLocation: {root}/repositories/7/pulls";
    let server = Server::that_says([
        to(GITHUB, &format!("307 Temporary Redirect{there}"), ""),
        to(created, "422 Unprocessable Entity", r#"{"message":"exists"}"#),
        to(GITHUB_LIST, "301 Moved\r\nLocation: /repositories/7/pulls", ""),
        to(list, "200 OK", &json!([right(GITHUB)])),
    ]);
    assert!(!of_kind(GITHUB, &server).propose(&PROPOSAL).unwrap().opened);
    let asked = server.asked();
    assert_eq!(asked[1].line, created);
    assert!(asked[1].head.contains(TOKEN) && asked[1].body == asked[0].body);
    // Behind a 301 a `POST` is a `GET` to most.
    says(&told(GITHUB, &format!("301 Moved{there}"), ""), &["where nothing was sent to"]);
    let server = Server::that_says([to(GITHUB, "307 Again\r\nLocation: /api/v3/repos/org/repo/pulls", "")]);
    says(&failure(&of_kind(GITHUB, &server)), &["redirects without end"]);
    assert!(server.lines().len() <= 4);
}

#[test]
fn an_address_that_is_no_page_of_the_host_is_refused_and_the_number_told() {
    for opens in [GITHUB, GITLAB, GITEA] {
        for address in [
            "javascript:alert(document.cookie)",
            "data:text/html,<script>",
            "https://evil.example/org/repo/pull/3",
            "http://127.0.0.1@evil.example/",
            "http://127.0.0.1/\u{1b}[2J\nremoved forged",
            "http://127.0.0.1/\"><script>",
            "",
        ] {
            let mut made = right(opens);
            let key = if opens == GITLAB { "web_url" } else { "html_url" };
            made[key] = address.into();
            let said = told(opens, "201 Created", &made);
            says(&said, &["request 3 is open, but its address `", "is no page of `127.0.0.1`: refused"]);
            assert!(!said.contains('\u{1b}') && !said.contains("\nremoved"), "{said}");
            let server =
                Server::that_says([to(opens, "409 Conflict", ""), to(list(opens), "200 OK", &json!([made]))]);
            says(&failure(&of_kind(opens, &server)), &["request 3 is open, but"]);
        }
    }
}

#[test]
fn what_is_not_the_json_of_a_request_is_refused() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        "null",
        r#"{"number":-1,"html_url":"x"}"#,
        r#"{"number":"3","html_url":7}"#,
    ] {
        says(&told(GITHUB, "201 Created", body), &["is not what GitHub says of a pull request"]);
    }
    let deep = "[".repeat(100_000);
    says(&told(GITHUB, "200 OK", &deep), &["is not what GitHub says"]);
}

#[test]
fn an_answer_that_is_no_text_is_an_answer() {
    let body = format!(r#"{{"message":"caf{}"}}"#, super::server::LATIN);
    let told = told(GITHUB, "422 Unprocessable Entity", &body);
    says(&told, &["answers 422", "caf\u{fffd}latin"]);
    assert!(!told.contains("cannot be reached"), "{told}");
}

#[test]
fn an_answer_without_end_is_not_read() {
    let body = format!(r#"{{"number":3,"x":"{}"}}"#, "x".repeat(1 << 20));
    for status in ["201 Created", "422 Unprocessable Entity", "500 Oops"] {
        says(&told(GITHUB, status, &body), &["answers with more than 512 KiB"]);
    }
    let said = told(GITHUB, "500 Oops", &format!(r#"{{"message":"{}"}}"#, "x".repeat(400_000)));
    assert!(said.len() < 1_000, "{}", said.len());
}

#[test]
fn foreign_words_neither_drive_a_terminal_nor_tell_a_credential() {
    let message = format!("it\u{1b}[2J\u{202e} says\nerror: forged https://u:p4ssw0rd@h/x of {TOKEN}");
    for opens in [GITHUB, GITLAB, GITEA] {
        for body in [json!({"message": message}).to_string(), message.clone()] {
            let said = told(opens, "400 Bad", &body);
            says(&said, &["it\\u{1b}[2J\\u{202e} says error: forged https://…@h/x of [redacted]"]);
            assert!(!said.contains("p4ssw0rd") && !said.contains("\nerror"), "{said}");
        }
    }
}

#[test]
fn a_token_that_no_header_may_hold_is_told_and_not_sent() {
    let server = Server::that_says([]);
    let forge = Forge { token: Secret::new("a\nb: c"), ..of_kind(GITHUB, &server) };
    says(&failure(&forge), &["the token holds what no header may"]);
    assert!(server.lines().is_empty());
}

#[test]
fn nothing_is_sent_to_a_host_whose_certificate_nobody_vouches_for() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    let (acceptor, listener) = (acceptor.build(), TcpListener::bind("127.0.0.1:0").unwrap());
    let mut forge = of_kind(GITHUB, &Server::that_says([]));
    forge.place.scheme = "https".into();
    forge.place.address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let mut heard = Vec::new();
        if let Ok(mut stream) = acceptor.accept(listener.accept().unwrap().0) {
            let _ = stream.read_to_end(&mut heard);
        }
        heard
    });
    says(&failure(&forge), &["cannot be reached", "certificate", "SSL_CERT_FILE"]);
    assert!(server.join().unwrap().is_empty());
}
