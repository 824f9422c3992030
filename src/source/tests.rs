use super::*;
use crate::fault::hint_of;

fn id(text: &str) -> String {
    Source::parse(text).unwrap().id().to_string()
}

#[test]
fn every_documented_form_is_read() {
    for (text, url, id) in [
        ("https://github.com/org/repo", "https://github.com/org/repo", "https://github.com/org/repo"),
        ("github.com/org/repo", "https://github.com/org/repo", "https://github.com/org/repo"),
        ("git@host:org/repo.git", "git@host:org/repo.git", "git@host:org/repo"),
        ("ssh://git@host:2222/o/r.git", "ssh://git@host:2222/o/r.git", "ssh://git@host:2222/o/r"),
        ("http://h:8080/o/r", "http://h:8080/o/r", "http://h:8080/o/r"),
        ("file:///srv/r.git", "file:///srv/r.git", "file:///srv/r"),
        ("/srv/r", "/srv/r", "file:///srv/r"),
        ("https://[::1]:8443/r", "https://[::1]:8443/r", "https://[::1]:8443/r"),
    ] {
        let source = Source::parse(text).unwrap();
        assert_eq!((source.url(), source.id().as_str()), (url, id), "{text}");
    }
}

#[test]
fn spelling_makes_no_other_repository() {
    let one = "https://github.com/o/r";
    for text in [
        "github.com/o/r",
        "github.com/o/r.git",
        "https://GitHub.com/o/r/",
        "https://github.com:443/o/r.git/",
        "HTTPS://github.com/o/r#",
    ] {
        assert_eq!(id(text), one, "{text}");
        assert_eq!(Source::parse(text).unwrap(), Source::parse(one).unwrap());
    }
    assert_eq!(id("git@Host:o/r.git"), id("git@host:o/r/"));
    assert_eq!(id("ssh://git@host:22/o/r"), id("ssh://git@host/o/r.git"));
    // What is on this machine is named by its path or by its URL; labels have the URL.
    for text in ["/srv/r", "/srv/r/", "/srv/r.git", "file:///srv/r.git/", "FILE:///srv/r"] {
        assert_eq!(id(text), "file:///srv/r", "{text}");
    }
    assert_eq!(Source::parse("/srv/r#main:a").unwrap(), Source::parse("file:///srv/r#main:a").unwrap());
    assert_ne!(id("/srv/R"), id("file:///srv/r"));
    assert_ne!(id("https://github.com/O/r"), one);
    assert_ne!(id("http://github.com/o/r"), one);
    assert_ne!(id("https://github.com/o/r#main"), one);
}

#[test]
fn the_fragment_is_dockers_build_context_syntax() {
    let parts = |text: &str| {
        let source = Source::parse(text).unwrap();
        let own = |text: Option<&str>| text.map(str::to_owned);
        (own(source.reference()), own(source.dir()), source.to_string())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(parts("h.io/r.git#v1"), (some("v1"), None, "https://h.io/r.git#v1".into()));
    assert_eq!(
        parts("h.io/r#feature/x:a/b/"),
        (some("feature/x"), some("a/b"), "https://h.io/r#feature/x:a/b".into())
    );
    assert_eq!(parts("h.io/r#:a"), (None, some("a"), "https://h.io/r#:a".into()));
    assert_eq!(parts("h.io/r#"), (None, None, "https://h.io/r".into()));
    assert_eq!(id("h.io/r.git#main:a"), "https://h.io/r#main:a");
}

#[test]
fn an_id_can_be_parsed_and_is_its_own() {
    for text in
        ["github.com/o/r#:d", "git@h:o/r.git#v1", "/srv/r.git", "/srv/r?", "file:///x", "ssh://u@h:1/p"]
    {
        assert_eq!(id(&id(text)), id(text));
    }
}

#[test]
fn credentials_are_refused_and_never_repeated() {
    for text in [
        "https://bob:hunter2@github.com/o/r",
        "https://hunter2@github.com/o/r",
        "hunter2@github.com/o/r",
        "http://bob:hunter2@h/o/r#main",
        "ssh://git:hunter2@h/o/r",
        "git:hunter2@host:o/r",
        "https://bob:hun/hunter2@h/r",
        "https://bob:#hunter2@h/r",
        "https://bob:x#hunter2*@h/r",
        "https://bob:x#y:/hunter2@h/r",
        "https://bob:x#y:hunter2/..@h/r",
        "ftp://bob:hunter2@h/r",
        "https://h/o/r?token=hunter2",
        "https://bob:hunter2@h /o",
    ] {
        let error = Source::parse(text).unwrap_err();
        assert!(!format!("{error:#} {error:?}").contains("hunter2"), "{error:#}");
        assert!(hint_of(&error).is_some());
    }
    let error = Source::parse("https://t@github.com/o/r").unwrap_err();
    let hint = hint_of(&error).unwrap();
    assert!(hint.contains("GITHUB_TOKEN") && hint.contains("DOCKEROPS_GIT_CREDENTIALS"));
}

#[test]
fn what_is_no_source_is_refused_with_the_forms() {
    for text in [
        "",
        " ",
        "a b",
        "github.com/o/r\n",
        "https://h/\u{1b}[31m",
        "-oProxyCommand=x",
        "--upload-pack=x",
        "ext::sh",
        "fd::3/x",
        "git://host/r",
        "ftp://host/r",
        "./repo",
        "../repo",
        "~/repo",
        "repo",
        "org/repo",
        "https://",
        "https://host",
        "https://host/",
        "https:///r",
        "https://host:99999/r",
        "https://-x/r",
        "ssh://-oProxyCommand=x/r",
        "-x@host:r",
        "git@-x:r",
        "host:",
        "host.tld:8443/o/r",
        "file://host/r",
        "/",
        "/srv/../etc",
        "https://h/a/../b",
    ] {
        let error = Source::parse(text).unwrap_err();
        assert!(hint_of(&error).is_some(), "{text:?}: {error:#}");
        assert!(!format!("{error:#}").contains(['\n', '\u{1b}']), "{error:#}");
    }
    assert!(Source::parse(&format!("/{}", "a".repeat(3000))).is_err());
}

#[test]
fn hostile_refs_and_folders_are_refused() {
    for reference in [
        "-x", "a..b", "a~1", "a^", "a?", "a*", "a[", "a\\b", "a@{1}", "@", "/a", "a/", "a//b", ".a",
        "a.lock", "a.",
    ] {
        assert!(Source::parse(&format!("h.io/r#{reference}")).is_err(), "{reference}");
    }
    for dir in ["/etc", "/", "..", "a/../b", ".", "./a", "a//b", ".git", "a/.GIT"] {
        assert!(Source::parse(&format!("h.io/r#main:{dir}")).is_err(), "{dir}");
    }
}
