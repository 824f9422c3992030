//! What is watched: `URL[#ref[:dir]]`, Docker's own build-context syntax.
//!
//! In: what a user typed. Out: a validated `Source`, or an error that repeats no credential.
//! Nothing is asked; whether the repository exists is git's to say.

use std::fmt;
use std::hash::{Hash, Hasher};

use anyhow::{Result, bail};

use crate::fault::{OrHint, fault};

const FORMS: &str = "write `https://github.com/org/repo`, `github.com/org/repo`, `git@host:org/repo.git`, \
    `ssh://git@host/org/repo`, `file:///path` or `/path`, then `#ref` or `#ref:dir` if you want";
const NO_CREDENTIALS: &str = "take the credentials out of the URL, where they would be stored in clear: set \
    `GITHUB_TOKEN`, or name a file in git's credential-store format in `DOCKEROPS_GIT_CREDENTIALS`";
const LONGEST: usize = 2048;

/// A repository, and what of it is watched.
#[derive(Debug, Clone)]
pub struct Source {
    url: String,
    reference: Option<String>,
    dir: Option<String>,
    id: String,
}

impl Source {
    /// Reads any of the documented forms; the error never repeats credentials.
    pub fn parse(text: &str) -> Result<Self> {
        let what = || format!("the source `{}` cannot be used", shown(text));
        Self::read(text).or_hint(FORMS).map_err(|error| error.context(what()))
    }

    fn read(text: &str) -> Result<Self> {
        check_text(text)?;
        let (location, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (reference, dir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
        let dir = Some(dir.trim_end_matches('/').to_owned()).filter(|text| !text.is_empty());
        if let Some(reference) = &reference {
            check_reference(reference)?;
        }
        if let Some(dir) = &dir {
            check_dir(dir)?;
        } else if fragment.contains(":/") {
            bail!("the folder must be relative to the repository");
        }
        let (url, mut id) = locate(location)?;
        id.push_str(&suffix(reference.as_deref(), dir.as_deref()));
        Ok(Self { url, reference, dir, id })
    }

    /// The canonical identity: two sources with the same one are the same. It can be parsed again.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What git is asked. `.git` stays, some servers want it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The branch, tag, full `refs/…` or commit; the remote's HEAD without one.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The folder of the repository that is its root; relative, without `..`.
    pub fn dir(&self) -> Option<&str> {
        self.dir.as_deref()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        f.write_str(&suffix(self.reference(), self.dir()))
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// The parts of `scheme://[user[:password]@]host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Lower case.
    pub scheme: String,
    /// What stands before the `@`, as written.
    pub userinfo: Option<&'a str>,
    /// Lower case; an IPv6 address keeps its brackets.
    pub host: String,
    /// Given, and not the scheme's own.
    pub port: Option<u16>,
    /// From the first `/` on, or empty.
    pub path: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a URL; `None` if it is none.
    pub fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !scheme.starts_with(|c: char| c.is_ascii_lowercase())
            || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
        {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let end = address.find(']').unwrap_or(0);
        let (host, port) = match address[end..].rfind(':').map(|at| at + end) {
            Some(at) => (&address[..at], Some(address[at + 1..].parse::<u16>().ok()?)),
            None => (address, None),
        };
        Some(Self {
            port: port.filter(|port| Some(*port) != default_port(&scheme)),
            host: host.to_ascii_lowercase(),
            scheme,
            userinfo,
            path,
        })
    }

    /// `host` or `host:port`.
    pub fn address(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }
}

/// A path without what makes no other repository: a trailing `/` and `.git`.
pub fn bare_path(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/')
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        "ssh" => Some(22),
        _ => None,
    }
}

fn suffix(reference: Option<&str>, dir: Option<&str>) -> String {
    match (reference, dir) {
        (None, None) => String::new(),
        (reference, None) => format!("#{}", reference.unwrap_or_default()),
        (reference, Some(dir)) => format!("#{}:{dir}", reference.unwrap_or_default()),
    }
}

/// The text for an error: no credentials, no control characters, not endless.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    // Up to the last `@`, as a password may hold `/`, `#` or another `@`; a query may hold a token.
    let text = match text.rsplit_once('@') {
        Some((before, after)) if before != "git" && before != "ssh://git" => format!("…@{after}"),
        _ => text,
    };
    match text.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => text,
    }
}

fn check_text(text: &str) -> Result<()> {
    if text.is_empty() {
        bail!("it is empty");
    }
    if text.len() > LONGEST {
        bail!("it is longer than {LONGEST} bytes");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        bail!("it holds a space or a control character");
    }
    if text.starts_with('-') {
        bail!("it begins with `-`");
    }
    Ok(())
}

/// Git's own rules (git-check-ref-format(1)).
fn check_reference(name: &str) -> Result<()> {
    let bad = name.starts_with('-')
        || name.ends_with('.')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
        || name
            .split('/')
            .any(|part| part.is_empty() || part.starts_with('.') || part.strip_suffix(".lock").is_some());
    if bad {
        return Err(fault(
            format!("`{name}` is no name that git allows for a branch or tag"),
            "after `#` comes a branch, a tag or a whole commit id",
        ));
    }
    Ok(())
}

fn check_dir(dir: &str) -> Result<()> {
    let hint = "after the `:` comes a folder of the repository, as in `#main:deploy/prod`";
    if dir.starts_with('/') {
        return Err(fault(format!("the folder `{dir}` is absolute"), hint));
    }
    for part in dir.split('/') {
        if ["", ".", ".."].contains(&part) || part.eq_ignore_ascii_case(".git") {
            return Err(fault(
                format!("the folder `{dir}` must be plain, without `.`, `..`, `//` or `.git`"),
                hint,
            ));
        }
    }
    Ok(())
}

/// What git is asked, and the canonical form.
fn locate(location: &str) -> Result<(String, String)> {
    let first = location.split('/').next().unwrap_or_default();
    if location.contains("://") {
        return locate_url(location);
    }
    if location.starts_with('/') {
        return locate_path(location);
    }
    if first.contains("::") {
        bail!("git's remote helpers (`name::address`) are not used");
    }
    if location.starts_with(['.', '~']) {
        bail!("a relative path means another repository in every folder");
    }
    if let Some((host, path)) = first.contains(':').then(|| location.split_once(':')).flatten() {
        return locate_scp(host, path);
    }
    if first.contains('.') || first.contains('@') {
        return locate_url(&format!("https://{location}"));
    }
    bail!("it is neither a URL nor an absolute path");
}

fn locate_url(url: &str) -> Result<(String, String)> {
    let Some(parts) = Parts::of(url) else {
        bail!("its scheme or port is malformed");
    };
    let plain_user = parts.userinfo.is_none_or(|user| !user.contains(':'));
    match parts.scheme.as_str() {
        "https" | "http" if parts.userinfo.is_some() || !plain_user => {
            return Err(fault("it holds credentials", NO_CREDENTIALS));
        }
        "ssh" if !plain_user => {
            return Err(fault(
                "it holds a password",
                "take it out and use an ssh key: ssh-agent's, or `~/.ssh/id_ed25519`",
            ));
        }
        "https" | "http" | "ssh" => {}
        "file" if parts.host.is_empty() && parts.userinfo.is_none() => {}
        "file" => bail!("a `file://` URL names no host: write `file:///path`"),
        other => bail!("the scheme `{other}` is not one of https, http, ssh and file"),
    }
    if parts.path.contains('?') {
        bail!("a repository's URL has no `?`");
    }
    let path = checked_path(parts.path)?;
    if parts.scheme == "file" {
        return Ok((format!("file://{path}"), format!("file://{}", bare_path(path))));
    }
    check_host(&parts.host)?;
    let user = parts.userinfo.map(|user| format!("{user}@")).unwrap_or_default();
    let id = format!("{}://{user}{}{}", parts.scheme, parts.address(), bare_path(path));
    Ok((url.trim_end_matches('/').to_owned(), id))
}

fn locate_path(path: &str) -> Result<(String, String)> {
    let path = checked_path(path)?;
    // The same repository as by its `file://` URL.
    Ok((path.to_owned(), format!("file://{}", bare_path(path))))
}

/// `[user@]host:path`, git's short form of ssh. The path may be relative to the user's home, so this
/// is not the same repository as `ssh://host/path`.
fn locate_scp(host: &str, path: &str) -> Result<(String, String)> {
    let path = path.trim_end_matches('/');
    if path.contains('@') && !host.contains('@') {
        return Err(fault(
            "it holds a password",
            "write `user@host:path` and use an ssh key: ssh-agent's, or `~/.ssh/id_ed25519`",
        ));
    }
    let first = path.split('/').next().unwrap_or_default();
    if first.parse::<u16>().is_ok() && !host.contains('@') {
        bail!("`{first}` looks like a port, which needs a scheme before it");
    }
    checked_path(path)?;
    let (user, name) =
        host.rsplit_once('@').map_or((String::new(), host), |(user, name)| (format!("{user}@"), name));
    let name = name.to_ascii_lowercase();
    check_host(&name)?;
    Ok((format!("{host}:{path}"), format!("{user}{name}:{}", bare_path(path))))
}

fn check_host(host: &str) -> Result<()> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    let plain = !host.starts_with('-')
        && !host.is_empty()
        && host.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    if !bracketed && !plain {
        bail!("it names no usable host");
    }
    Ok(())
}

/// Without trailing `/`; there must be something, and no detour that would hide what it names.
fn checked_path(path: &str) -> Result<&str> {
    let path = path.trim_end_matches('/');
    if bare_path(path).is_empty() {
        bail!("it names no repository");
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        bail!("its path leads through `.` or `..`");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::hint_of;

    fn id(text: &str) -> String {
        Source::parse(text).unwrap().id().to_owned()
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
            assert_eq!((source.url(), source.id()), (url, id), "{text}");
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
        for text in ["github.com/o/r#:d", "git@h:o/r.git#v1", "/srv/r.git", "file:///x", "ssh://u@h:1/p"] {
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
}
