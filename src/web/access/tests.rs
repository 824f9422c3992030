//! Who gets in, and who does not.

use super::*;

const TOKEN: &str = "a-long-token";

fn head(headers: &[(&str, &str)]) -> Head {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Head { headers, ..Head::default() }
}

fn access(loopback: bool, token: bool) -> Access {
    Access { loopback, token: token.then(|| Secret::new(TOKEN)), writing: None }
}

fn status<T>(result: Result<T, Response>) -> u16 {
    result.map_or_else(|refusal| refusal.status, |_| 200)
}

#[test]
fn loopback_is_open_to_look_for_this_machine_alone() {
    for host in ["127.0.0.1:8080", "localhost:8080", "LocalHost", "[::1]:8080", "127.9.9.9"] {
        assert_eq!(status(access(true, false).look(&head(&[("host", host)]))), 200, "{host}");
    }
    for headers in [
        &[("host", "evil.example:8080")][..],
        &[("host", "localhost.evil.example")],
        &[("host", "")],
        &[],
        &[("host", "127.0.0.1"), ("x-forwarded-for", "192.0.2.1")],
        &[("host", "127.0.0.1"), ("via", "1.1 proxy")],
    ] {
        assert_eq!(status(access(true, false).look(&head(headers))), 403, "{headers:?}");
        assert_eq!(status(access(true, true).look(&head(headers))), 401, "{headers:?}");
    }
    let old = Head { is_old: true, ..head(&[("host", "127.0.0.1")]) };
    assert_eq!(status(access(true, true).look(&old)), 401);
}

#[test]
fn what_only_begins_like_a_loopback_address_is_none() {
    for host in [
        "[::1].evil.example",
        "[::1]evil.example:80",
        "[::1",
        "[127.0.0.1]",
        "[::1%lo]",
        "[::ffff:192.0.2.1]",
        "::1",
        "127.0.0.1:evil",
        "127.0.0.1:",
        "127.0.0.1:80:80",
        "127.0.0.1:65536",
        "127.0.0.1:+80",
        "localhost:80evil",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.evil.example",
        "127.0.0.1.",
        "127.1",
        "127.0.0.01",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0.0.0.0",
        "user@127.0.0.1",
        "evil.example@localhost",
        "localhost/evil.example",
        "localhost\\evil.example",
        "localhost evil.example",
        "localhost,evil.example",
        "127.0.0.1, evil.example",
        "http://127.0.0.1",
        "128.0.0.1",
        "[::2]",
        ":80",
        "",
    ] {
        assert_eq!(status(access(true, true).look(&head(&[("host", host)]))), 401, "{host}");
    }
}

#[test]
fn whatever_a_proxy_adds_tells_that_it_was_there() {
    for name in [
        "forwarded",
        "x-forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-forwarded-prefix",
        "x-forwarded-tls-client-cert",
        "x_forwarded_for",
        "x-forward-for",
        "x-original-forwarded-for",
        "x-original-host",
        "forwarded-for",
        "via",
        "x-via",
        "x-real-ip",
        "true-client-ip",
        "client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "fastly-client-ip",
        "cf-connecting-ip",
        "cf-ray",
        "cdn-loop",
        "x-envoy-external-address",
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-arr-ssl",
        "x-amzn-trace-id",
        "x-amz-cf-id",
        "x-varnish",
        "x-remote-addr",
        "x-proxyuser-ip",
        "x-nginx-proxy",
        "front-end-https",
        "x-scheme",
        "proxy-connection",
        "wl-proxy-client-ip",
        "proxy-authorization",
    ] {
        let direct = [("host", "127.0.0.1"), ("accept", "*/*"), ("x-request-id", "1")];
        assert_eq!(status(access(true, true).look(&head(&direct))), 200);
        let through = [("host", "127.0.0.1"), (name, "")];
        assert_eq!(status(access(true, true).look(&head(&through))), 401, "{name}");
    }
    let old = Head { is_old: true, ..head(&[("host", "127.0.0.1")]) };
    assert_eq!(status(access(true, true).look(&old)), 401);
}

#[test]
fn elsewhere_looking_needs_the_token_in_either_form() {
    let access = access(false, true);
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    let with = |value: &str| access.look(&head(&[("host", "127.0.0.1"), ("authorization", value)]));
    for right in
        ["Bearer a-long-token", "bearer  a-long-token", &basic("any:a-long-token"), &basic(":a-long-token")]
    {
        assert_eq!(with(right).ok(), Some(Visitor::Operator), "{right}");
    }
    for wrong in [
        "Bearer another",
        "Bearer ",
        "Bearer",
        "",
        "Basic !",
        &basic("a-long-token"),
        &basic("a-long-token:"),
    ] {
        assert_eq!(status(with(wrong)), 401, "{wrong}");
    }
    assert_eq!(status(access.look(&head(&[("host", "127.0.0.1")]))), 401);
}

#[test]
fn acting_needs_the_token_everywhere_and_no_other_site() {
    let right = ("authorization", "Bearer a-long-token");
    let act = |headers: &[(&str, &str)]| status(access(true, true).act(&head(headers)));
    assert_eq!(act(&[right, ("host", "h")]), 200);
    assert_eq!(act(&[("host", "127.0.0.1")]), 401);
    assert_eq!(status(access(true, false).act(&head(&[("host", "127.0.0.1")]))), 403);
    assert_eq!(act(&[right, ("sec-fetch-site", "same-origin"), ("origin", "https://h"), ("host", "x")]), 200);
    assert_eq!(act(&[right, ("sec-fetch-site", "none"), ("host", "x")]), 200);
    for site in ["cross-site", "same-site", ""] {
        assert_eq!(act(&[right, ("host", "h"), ("sec-fetch-site", site)]), 403, "{site}");
    }
    assert_eq!(act(&[right, ("host", "h:1"), ("origin", "http://h:1")]), 200);
    for origin in ["http://h", "http://evil.example", "null", ""] {
        assert_eq!(act(&[right, ("host", "h:1"), ("origin", origin)]), 403, "{origin}");
    }
}

#[test]
fn writing_takes_a_token_of_its_own() {
    let both = Access { writing: Some(Secret::new("to-write")), ..access(true, true) };
    let with = |token: &str| head(&[("host", "127.0.0.1"), ("authorization", &format!("Bearer {token}"))]);
    assert_eq!(status(both.write(&with("to-write"))), 200);
    assert_eq!(status(both.write(&with(TOKEN))), 403);
    assert_eq!(status(both.write(&with("another"))), 401);
    assert_eq!(status(both.write(&head(&[("host", "127.0.0.1")]))), 401, "loopback lets look, and no more");
    assert_eq!(status(access(true, true).write(&with(TOKEN))), 403, "off where no token is set");
    let elsewhere = Head {
        headers: [with("to-write").headers, vec![("sec-fetch-site".into(), "cross-site".into())]].concat(),
        ..Head::default()
    };
    assert_eq!(status(both.write(&elsewhere)), 403);
    // It opens what the other one does.
    assert_eq!(both.look(&with("to-write")).ok(), Some(Visitor::Writer));
    assert_eq!(both.look(&with(TOKEN)).ok(), Some(Visitor::Operator));
    assert_eq!(status(both.act(&with("to-write"))), 200);
    let alone = Access { writing: Some(Secret::new("to-write")), ..access(false, false) };
    assert_eq!(alone.look(&with("to-write")).ok(), Some(Visitor::Writer));
    assert_eq!(status(alone.look(&with(""))), 401);
}
