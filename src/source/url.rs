//! Where a repository lies: the parts of a URL, and the one spelling that names it.

use anyhow::{Result, bail};

use super::NO_CREDENTIALS;
use crate::fault::fault;

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

/// What git is asked, and the canonical form.
pub(super) fn locate(location: &str) -> Result<(String, String)> {
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
    // On a disk it is a letter like others.
    if parts.scheme != "file" && parts.path.contains('?') {
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
