//! What went wrong with a remote, in words, and the way out.
//!
//! libgit2 tells many failures apart only by their text; the texts are those of libgit2 1.9.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Error;
use git2::{ErrorClass, ErrorCode};

use super::credentials::{Keyring, takes_token};
use crate::fault::fault;
use crate::redact::without_secrets;
use crate::settings::{GitAccess, Purpose};
use crate::source::Parts;

const NOT_GIT: &str = "check the address: in a browser it may open a page, git needs the repository itself \
    (smart HTTP; a login page also looks like this)";

/// Explains libgit2's `error` about `url`.
pub(super) fn failure(error: &git2::Error, url: &str, access: &GitAccess, keyring: &Keyring<'_>) -> Error {
    if let Some(trouble) = keyring.trouble() {
        return fault(trouble, format!("name a readable file in `{}`, or unset it", access.variable()));
    }
    let text = plain(&without_secrets(error.message(), &keyring.secrets()));
    let says = |part: &str| text.contains(part);
    let status = text.strip_prefix("unexpected http status code: ");
    match (error.code(), error.class()) {
        _ if says("proxy authentication") => fault(
            format!("the proxy on the way to `{url}` asks for credentials"),
            "write them into the proxy variable: `http://user:password@proxy:port`",
        ),
        (ErrorCode::Auth, _) => authentication(url, access, keyring),
        _ if matches!(status, Some("401" | "403")) => authentication(url, access, keyring),
        (ErrorCode::Certificate, ErrorClass::Ssh) => host_key(url, access, keyring),
        (ErrorCode::Certificate, _) | (_, ErrorClass::Ssl) => certificate(url, &text),
        _ if says("SSL error") => certificate(url, &text),
        (ErrorCode::Timeout, _) => silent(url, access.timeout),
        _ if says("timed out") || says("Timed out") || says("imeout waiting") => silent(url, access.timeout),
        _ if says("onnection refused") => fault(
            format!("`{url}` cannot be reached: connection refused"),
            "check host and port, and that the server is up",
        ),
        _ if says("failed to resolve address") || says("failed to connect") => fault(
            format!("`{url}` cannot be reached: {text}"),
            "check the host's name, the network, and the proxy variables (a proxy is used for https alone)",
        ),
        _ if says("content-type") || says("content type") || says("packet line") || says("pkt-line") => {
            fault(format!("`{url}` is not a git repository: {text}"), NOT_GIT)
        }
        // What libgit2 says of a path that is not there.
        _ if says("unsupported URL protocol") => missing(url, "there is no such folder"),
        (ErrorCode::NotFound, _) => missing(url, &text),
        _ if status == Some("404") || status == Some("410") || says("could not find repository") => {
            missing(url, &text)
        }
        _ if says("not appear to be a git") || says("ot found") || says("No such") => missing(url, &text),
        _ if access.purpose == Purpose::Push => fault(
            format!("pushing to `{url}` failed: {text}"),
            "check that the key or token may write there, and what the server's own log says",
        ),
        _ => fault(format!("`{url}` cannot be read: {text}"), format!("`git ls-remote {url}` may tell more")),
    }
}

/// The server took the connection, or the look-up of its name, and then was silent.
pub(super) fn silent(url: &str, waited: Duration) -> Error {
    fault(
        format!("`{url}` timed out: no answer within {} s", waited.as_secs()),
        "check the server and the network; `DOCKEROPS_GIT_TIMEOUT` sets how many seconds to wait",
    )
}

pub(super) fn missing(url: &str, text: &str) -> Error {
    fault(
        format!("`{url}` was not found: {text}"),
        "check the address; many servers say the same of a private repository that the credential may not see",
    )
}

fn certificate(url: &str, text: &str) -> Error {
    fault(
        format!("the TLS certificate of `{url}` is not trusted: {text}"),
        "add the server's CA to the system's store, or name its file in `SSL_CERT_FILE`",
    )
}

fn authentication(url: &str, access: &GitAccess, keyring: &Keyring<'_>) -> Error {
    let offered = keyring.offered();
    let why = if offered.is_empty() {
        "nothing that is set is meant for it".to_owned()
    } else {
        format!("it refused {}", offered.join(", "))
    };
    let hint = match Parts::of(url) {
        Some(parts) if takes_token(&parts, access) && access.purpose == Purpose::Fetch => {
            "set `GITHUB_TOKEN` to a token that may read this repository (or the name may be mistyped: \
             GitHub asks the same for one that does not exist)"
                .into()
        }
        Some(parts) if parts.scheme.starts_with("http") && access.purpose == Purpose::Push => format!(
            "name a file in `DOCKEROPS_PUSH_CREDENTIALS` that has the line `{}://user:token@{}`, of a token that may \
             write; what is set for fetching is never used to push",
            parts.scheme,
            parts.address()
        ),
        Some(parts) if parts.scheme.starts_with("http") => {
            let unsent = if access.github_token.is_some() {
                "; `GITHUB_TOKEN` is sent over https to github.com and `$GH_HOST` alone"
            } else {
                ""
            };
            format!(
                "name a file in `DOCKEROPS_GIT_CREDENTIALS` that has the line `{}://user:token@{}`{unsent}",
                parts.scheme,
                parts.address()
            )
        }
        _ => {
            let locked = match keyring.locked().as_slice() {
                [] => String::new(),
                paths => format!("; with a passphrase, only ssh-agent can use {}", paths.join(", ")),
            };
            let key = ssh_folder(access).join("id_ed25519");
            format!(
                "make an ssh key without passphrase as `{}`, or load one into ssh-agent (`SSH_AUTH_SOCK` must \
                 reach this process), and register its public half at the server{locked}",
                key.display()
            )
        }
    };
    let what = match access.purpose {
        Purpose::Fetch => "remote authentication required for",
        Purpose::Push => "remote authentication required to push to",
    };
    fault(format!("{what} `{url}`: {why}"), hint)
}

fn host_key(url: &str, access: &GitAccess, keyring: &Keyring<'_>) -> Error {
    let shown = keyring
        .host_key()
        .map(|digest| format!(" (it shows SHA256:{})", base64(&digest)))
        .unwrap_or_default();
    let scp = || url.split(':').next().and_then(|host| host.rsplit('@').next());
    let parts = Parts::of(url);
    let port = parts.as_ref().and_then(|parts| parts.port);
    let host = parts.map_or_else(|| scp().unwrap_or_default().to_owned(), |parts| parts.host);
    let port = port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let known = ssh_folder(access).join("known_hosts").display().to_string();
    fault(
        format!("the ssh host key of `{url}` is unknown or has changed{shown}: it is not in `{known}`"),
        format!(
            "compare it with what the server's owner publishes, then `ssh-keyscan {port}{host} >> {known}`; \
             a key that changed for no known reason may be somebody in between"
        ),
    )
}

fn ssh_folder(access: &GitAccess) -> PathBuf {
    access.home.clone().unwrap_or_else(|| "~".into()).join(".ssh")
}

/// The remote's own words in one line without control characters.
fn plain(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(300).collect()
}

/// Base64 without padding, as ssh writes fingerprints.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value = (0..3).fold(0, |value, at| value << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[value >> (18 - 6 * digit) & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_written_as_ssh_does() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_remotes_words_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2J\r\n  b\0\u{9b}c"), "a [2J b c");
        assert_eq!(plain(&"x".repeat(1000)).len(), 300);
    }
}
