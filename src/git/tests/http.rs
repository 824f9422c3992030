//! Who is offered which credential, redirects, TLS and the proxy.

use std::process::Command;

use super::Lab;
use super::lab::{head, refusal};
use crate::redact::Secret;
use crate::settings::GitAccess;

const PASSWORD: &[&str] = &["--user", "bob", "--password", "hunter2"];

fn credential(user: &str, password: &str, host: &str, port: u16) -> String {
    format!("http://{user}:{password}@{host}:{port}\n")
}

#[test]
fn the_server_is_asked_anonymously_first_and_then_with_its_own_line() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(PASSWORD);
    let lines = credential("bob", "hunter2", "127.0.0.1", server.port);
    let access = lab.access_with(&lines);
    assert_eq!(head(&server.url("r"), &access).unwrap().to_string(), origin.head());
    let kinds: Vec<bool> = server.log().iter().map(|line| line.contains(" auth ")).collect();
    assert_eq!(kinds, [false, true]);
    lab.fetch(&server.url("r"), &access).unwrap();
}

#[test]
fn a_refused_credential_is_offered_once_and_never_printed() {
    let lab = Lab::new();
    lab.origin("r");
    let server = lab.server(PASSWORD);
    let access = lab.access_with(&credential("bob", "wrong-secret", "127.0.0.1", server.port));
    let (error, hint) = refusal(head(&server.url("r"), &access));
    assert!(error.contains("remote authentication required"), "{error}");
    assert!(error.contains("line 1 of") && error.contains(&server.url("r")), "{error}");
    assert!(hint.contains("DOCKEROPS_GIT_CREDENTIALS"), "{hint}");
    assert!(!format!("{error}{hint}").contains("wrong-secret"));
    assert_eq!(server.authorized(), 1);
    assert_eq!(server.log().len(), 2);
}

#[test]
fn without_a_credential_the_error_says_what_to_set() {
    let lab = Lab::new();
    let server = lab.server(PASSWORD);
    let (error, hint) = refusal(head(&server.url("r"), &lab.access()));
    assert!(error.contains("remote authentication required"), "{error}");
    assert!(hint.contains("DOCKEROPS_GIT_CREDENTIALS"), "{hint}");
    let mut access = lab.access();
    access.credentials_file = Some(lab.path("nope"));
    let (error, hint) = refusal(head(&server.url("r"), &access));
    assert!(error.contains("nope") && error.contains("DOCKEROPS_GIT_CREDENTIALS"), "{error}");
    assert!(hint.contains("readable"), "{hint}");
}

#[test]
fn lines_for_another_port_and_the_token_over_http_stay_at_home() {
    let lab = Lab::new();
    let server = lab.server(PASSWORD);
    let access = GitAccess {
        github_token: Some(Secret::new("hunter2")),
        gh_host: Some(format!("127.0.0.1:{}", server.port)),
        ..lab.access_with(&credential("bob", "hunter2", "127.0.0.1", 1))
    };
    let (error, hint) = refusal(head(&server.url("r"), &access));
    assert!(error.contains("remote authentication required"), "{error}");
    assert!(hint.contains("`GITHUB_TOKEN` is sent over https"), "{hint}");
    assert_eq!(server.authorized(), 0);
}

#[test]
fn a_redirect_to_another_host_is_followed_without_credentials() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let target = lab.server(&[]);
    let entry = lab.server(&["--redirect-to", &format!("http://localhost:{}", target.port)]);
    let lines = credential("bob", "hunter2", "127.0.0.1", entry.port)
        + &credential("bob", "hunter2", "localhost", target.port);
    let made = lab.fetch(&entry.url("r"), &lab.access_with(&lines)).unwrap();
    assert_eq!(made.commit().to_string(), origin.head());
    assert_eq!((entry.authorized(), target.authorized()), (0, 0));
    assert!(target.log().iter().all(|line| line.ends_with(&format!("localhost:{}", target.port))));
}

#[test]
fn after_a_redirect_the_other_hosts_own_credential_is_used() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let target = lab.server(PASSWORD);
    let entry = lab.server(&["--redirect-to", &format!("http://localhost:{}", target.port)]);
    let own = credential("bob", "hunter2", "localhost", target.port);
    let made = lab.fetch(&entry.url("r"), &lab.access_with(&own)).unwrap();
    assert_eq!(made.commit().to_string(), origin.head());
    let requests = target.authorized();
    assert!(requests > 0);
    let others = credential("bob", "hunter2", "127.0.0.1", entry.port);
    let (error, _) = refusal(head(&entry.url("r"), &lab.access_with(&others)));
    assert!(error.contains("remote authentication required"), "{error}");
    assert_eq!((entry.authorized(), target.authorized()), (0, requests));
}

#[test]
fn a_credential_given_before_a_redirect_does_not_follow_it() {
    let lab = Lab::new();
    lab.origin("r");
    let target = lab.server(&[]);
    let to = format!("http://localhost:{}", target.port);
    let entry = lab.server(&[PASSWORD, &["--redirect-to", &to]].concat());
    let lines = credential("bob", "hunter2", "127.0.0.1", entry.port);
    let (error, hint) = refusal(head(&entry.url("r"), &lab.access_with(&lines)));
    assert!(error.contains("redirects"), "{error}");
    assert!(hint.contains("moved"), "{hint}");
    assert_eq!((entry.authorized(), target.authorized()), (1, 0));
}

#[test]
fn a_redirect_to_another_port_of_the_host_is_asked_anonymously_first() {
    let lab = Lab::new();
    lab.origin("r");
    let target = lab.server(PASSWORD);
    let entry = lab.server(&["--redirect-to", &format!("http://127.0.0.1:{}", target.port)]);
    let others = credential("bob", "hunter2", "127.0.0.1", entry.port);
    let (error, _) = refusal(head(&entry.url("r"), &lab.access_with(&others)));
    assert!(error.contains("remote authentication required"), "{error}");
    assert_eq!((entry.authorized(), target.authorized()), (0, 0));
    let own = credential("bob", "hunter2", "127.0.0.1", target.port);
    lab.fetch(&entry.url("r"), &lab.access_with(&own)).unwrap();
    assert_eq!(entry.authorized(), 0);
}

#[test]
fn a_circle_of_redirects_ends() {
    let lab = Lab::new();
    let one = lab.server(&[]);
    let port = one.port.to_string();
    drop(one);
    let other = lab.server(&["--redirect-to", &format!("http://localhost:{port}")]);
    let back = format!("http://127.0.0.1:{}", other.port);
    let _one = lab.server(&["--port", &port, "--redirect-to", &back]);
    let (error, _) = refusal(head(&other.url("r"), &lab.access()));
    assert!(error.contains("redirects more than 5 times"), "{error}");
}

#[test]
fn tls_is_verified_against_the_ca_store_and_the_token_goes_to_gh_host() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let (ca, certificate, key) = certificates(&lab);
    let tls = ["--tls", certificate.as_str(), key.as_str()];
    let server = lab.server(&[&tls[..], &["--user", "x-access-token", "--password", "hunter2"]].concat());
    let host = format!("localhost:{}", server.port);
    let source = format!("https://{host}/r.git");
    let token = [("PROBE_TOKEN", "hunter2"), ("PROBE_GH_HOST", host.as_str())];

    let untrusted = lab.probe(&source, &token);
    assert!(untrusted.contains("TLS certificate") && untrusted.contains("SSL_CERT_FILE"), "{untrusted}");
    assert_eq!(server.authorized(), 0);

    let trusted = lab.probe(&source, &[&token[..], &[("SSL_CERT_FILE", ca.as_str())]].concat());
    assert!(trusted.contains(&format!("fetched {}", origin.head())), "{trusted}");

    let other = [("PROBE_TOKEN", "hunter2"), ("SSL_CERT_FILE", ca.as_str())];
    let sent = server.authorized();
    let refused = lab.probe(&source, &other);
    assert!(refused.contains("remote authentication required"), "{refused}");
    assert!(refused.contains("`GITHUB_TOKEN` is sent over https to github.com"), "{refused}");
    assert_eq!(server.authorized(), sent);

    // The same CA store holds for the look-up of a redirect, and https never becomes http.
    let plain = lab.server(&[]);
    let down = format!("http://127.0.0.1:{}", plain.port);
    let entry = lab.server(&[&tls[..], &["--redirect-to", &down]].concat());
    let told =
        lab.probe(&format!("https://localhost:{}/r.git", entry.port), &[("SSL_CERT_FILE", ca.as_str())]);
    assert!(told.contains("from https to http"), "{told}");
    assert!(plain.log().is_empty());
}

#[test]
fn the_proxy_variable_is_honoured() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let (ca, certificate, key) = certificates(&lab);
    let server = lab.server(&["--tls", &certificate, &key]);
    let proxy = lab.server(&[]);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let environment = [("https_proxy", address.as_str()), ("SSL_CERT_FILE", ca.as_str())];
    let told = lab.probe(&format!("https://localhost:{}/r.git", server.port), &environment);
    assert!(told.contains(&format!("fetched {}", origin.head())), "{told}");
    let connect = format!("CONNECT localhost:{}", server.port);
    assert!(proxy.log().iter().all(|line| line.starts_with(&connect)));
    assert!(!proxy.log().is_empty());
}

/// A CA, and a certificate for `localhost` that it signed; paths of CA, certificate and key.
fn certificates(lab: &Lab) -> (String, String, String) {
    let script = "set -e\n\
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
            -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem\n\
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout s.key -out s.csr\n\
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n' > ext\n\
        openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out s.pem\n";
    let output = Command::new("sh").args(["-c", script]).current_dir(lab.dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = |name: &str| lab.path(name).display().to_string();
    (path("ca.pem"), path("s.pem"), path("s.key"))
}
