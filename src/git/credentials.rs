//! Which credential is offered to whom: nothing before the server asks, each one once.
//!
//! `GITHUB_TOKEN` leaves over https for `github.com` and `$GH_HOST` alone; a line of the credentials file
//! for its own scheme, host and port; ssh keys for ssh.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, Error, ErrorClass, ErrorCode};

use crate::fault::OrHint;
use crate::redact::Secret;
use crate::settings::GitAccess;
use crate::source::{Parts, bare_path};

/// ssh's own order of preference, as far as libssh2 reads these keys.
const KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// Base64 of `openssh-key-v1`, then `none` as the cipher: the private key has no passphrase.
const PLAIN_KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// The credentials of one conversation, and what became of them.
pub(super) struct Keyring<'a> {
    access: &'a GitAccess,
    story: RefCell<Story>,
}

#[derive(Debug, Default)]
struct Story {
    offered: Vec<String>,
    locked: Vec<String>,
    trouble: Option<String>,
    host_key: Option<[u8; 32]>,
    secrets: Vec<Secret>,
}

/// A name that may be printed, and what it stands for.
struct Offer {
    name: String,
    kind: Kind,
}

enum Kind {
    Password { user: String, password: Secret },
    Agent,
    Key(String),
}

impl<'a> Keyring<'a> {
    pub(super) fn new(access: &'a GitAccess) -> Self {
        Self { access, story: RefCell::default() }
    }

    /// The next connection starts with all credentials again.
    pub(super) fn begin_again(&self) {
        self.story.borrow_mut().offered.clear();
    }

    /// What was offered so far, for people.
    pub(super) fn offered(&self) -> Vec<String> {
        self.story.borrow().offered.clone()
    }

    /// Private keys that need a passphrase and so were passed over.
    pub(super) fn locked(&self) -> Vec<String> {
        self.story.borrow().locked.clone()
    }

    /// Why no credential could be looked up.
    pub(super) fn trouble(&self) -> Option<String> {
        self.story.borrow().trouble.clone()
    }

    /// The SHA-256 of the ssh host key that the server showed.
    pub(super) fn host_key(&self) -> Option<[u8; 32]> {
        self.story.borrow().host_key
    }

    /// The passwords that were offered, also as HTTP sends them: nobody is to read them in what the server says.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.story.borrow().secrets.clone()
    }

    /// Remembers an ssh host key for the error message; libgit2's verdict (`known_hosts`, CA store) holds.
    pub(super) fn look_at(&self, certificate: &Cert<'_>) -> CertificateCheckStatus {
        let key = certificate.as_hostkey().and_then(|key| key.hash_sha256());
        self.story.borrow_mut().host_key = key.copied();
        CertificateCheckStatus::CertificatePassthrough
    }

    /// Answers the server's question with the next credential that is meant for `url`.
    pub(super) fn answer(
        &self,
        url: &str,
        user: Option<&str>,
        allowed: CredentialType,
    ) -> Result<Cred, Error> {
        // An ssh URL without a user: every forge's is `git`.
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username("git");
        }
        let offers = if allowed.contains(CredentialType::SSH_KEY) {
            self.keys()
        } else if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            self.passwords(url).map_err(|error| {
                self.story.borrow_mut().trouble = Some(format!("{error:#}"));
                refused()
            })?
        } else {
            Vec::new()
        };
        let mut story = self.story.borrow_mut();
        let next = offers.into_iter().find(|offer| !story.offered.contains(&offer.name));
        let offer = next.ok_or_else(refused)?;
        story.offered.push(offer.name);
        let user = user.unwrap_or("git");
        match offer.kind {
            Kind::Password { user, password } => {
                let cred = Cred::userpass_plaintext(&user, password.expose());
                // Without what pads them: so they are found with it as well.
                let encoded = |text: &str| Secret::new(BASE64_STANDARD_NO_PAD.encode(text));
                let basic = encoded(&format!("{user}:{}", password.expose()));
                story.secrets.extend([basic, encoded(password.expose()), password]);
                cred
            }
            Kind::Agent => Cred::ssh_key_from_agent(user),
            Kind::Key(path) => Cred::ssh_key(user, None, Path::new(&path), None),
        }
    }

    fn passwords(&self, url: &str) -> Result<Vec<Offer>> {
        let mut offers = Vec::new();
        let Some(asking) = Parts::of(url) else {
            return Ok(offers);
        };
        if let Some(token) = self.access.github_token.as_ref().filter(|_| takes_token(&asking, self.access)) {
            offers.push(Offer {
                name: format!("`GITHUB_TOKEN` for {}", asking.address()),
                kind: Kind::Password { user: "x-access-token".into(), password: token.clone() },
            });
        }
        if let Some(path) = &self.access.credentials_file {
            for (number, kind) in read(path, &asking, self.access)? {
                let name = format!("line {number} of `{}`", path.display());
                offers.push(Offer { name, kind });
            }
        }
        Ok(offers)
    }

    /// What HTTP would be sent for `url`, as `authorization`.
    pub(super) fn basic(&self, url: &str) -> Vec<Secret> {
        // Why it cannot be read is told by whoever needs it.
        let offers = self.passwords(url).unwrap_or_default().into_iter();
        let one = |offer: Offer| match offer.kind {
            Kind::Password { user, password } => {
                let both = format!("{user}:{}", password.expose());
                Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(both))))
            }
            Kind::Agent | Kind::Key(_) => None,
        };
        offers.filter_map(one).collect()
    }

    fn keys(&self) -> Vec<Offer> {
        let mut offers = vec![Offer { name: "ssh-agent".into(), kind: Kind::Agent }];
        let Some(home) = &self.access.home else {
            return offers;
        };
        for key in KEYS {
            let path = home.join(".ssh").join(key).display().to_string();
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            // libssh2 fails the whole connection over a key it cannot open, so such a key is never tried.
            let openssh = text.contains("BEGIN OPENSSH PRIVATE KEY");
            if text.contains("ENCRYPTED") || (openssh && !text.contains(PLAIN_KEY)) {
                let mut story = self.story.borrow_mut();
                let name = format!("`{path}`");
                if !story.locked.contains(&name) {
                    story.locked.push(name);
                }
                continue;
            }
            offers.push(Offer { name: format!("`{path}`"), kind: Kind::Key(path) });
        }
        offers
    }
}

/// Whether `GITHUB_TOKEN` is meant for this server.
pub(super) fn takes_token(asking: &Parts<'_>, access: &GitAccess) -> bool {
    let address = asking.address();
    asking.scheme == "https"
        && (address == "github.com" || access.gh_host.as_deref() == Some(address.as_str()))
}

/// The password that the file of credentials has for `url`: what a forge takes as a token.
pub fn password(url: &str, access: &GitAccess) -> Result<Option<Secret>> {
    let (Some(asking), Some(path)) = (Parts::of(url), &access.credentials_file) else { return Ok(None) };
    let kinds = read(path, &asking, access)
        .or_hint(format!("name a readable file in `{}`, or unset it", access.variable()))?;
    let mut passwords = kinds.into_iter().filter_map(|(_, kind)| match kind {
        Kind::Password { password, .. } => Some(password),
        Kind::Agent | Kind::Key(_) => None,
    });
    Ok(passwords.find(|password| !password.expose().is_empty()))
}

fn read(path: &Path, asking: &Parts<'_>, access: &GitAccess) -> Result<Vec<(usize, Kind)>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`, which `{}` names", path.display(), access.variable()))?;
    Ok(matching(&text, asking))
}

/// The lines for `asking`, those with a path first: they say more.
fn matching(text: &str, asking: &Parts<'_>) -> Vec<(usize, Kind)> {
    let (mut exact, mut general) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let Some(parts) = Parts::of(line.trim()) else {
            continue;
        };
        let Some((user, password)) = parts.userinfo.and_then(|info| info.split_once(':')) else {
            continue;
        };
        if parts.scheme != asking.scheme || parts.address() != asking.address() {
            continue;
        }
        let kind = Kind::Password { user: decode(user), password: Secret::new(decode(password)) };
        if bare_path(parts.path).is_empty() {
            general.push((number, kind));
        } else if decode(bare_path(parts.path)) == decode(bare_path(asking.path)) {
            exact.push((number, kind));
        }
    }
    exact.append(&mut general);
    exact
}

/// Undoes percent-encoding, as git-credential-store(1) writes it.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let code = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        if let Some(byte) = code.filter(|_| first == b'%') {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refused() -> Error {
    Error::new(ErrorCode::Auth, ErrorClass::Callback, "no credential is left to offer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str, url: &str) -> Vec<String> {
        matching(text, &Parts::of(url).unwrap())
            .into_iter()
            .map(|(number, kind)| match kind {
                Kind::Password { user, password } => format!("{number} {user} {}", password.expose()),
                Kind::Agent | Kind::Key(_) => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn a_line_is_for_its_scheme_host_port_and_path() {
        let file = "https://a:1@h\nhttps://b:2@h/o/r.git\nhttps://c:3@h:8443\nhttp://d:4@h\n\
            # https://x:9@h\nhttps://e@h\nhttps://f:6@H:443/\nhttps://g:7@h.evil\n";
        assert_eq!(users(file, "https://h/o/r"), ["2 b 2", "1 a 1", "7 f 6"]);
        assert_eq!(users(file, "https://h/o/other.git"), ["1 a 1", "7 f 6"]);
        assert_eq!(users(file, "https://h:8443/o/r"), ["3 c 3"]);
        assert_eq!(users(file, "http://h/o/r"), ["4 d 4"]);
        assert!(users(file, "https://evil/h").is_empty());
        assert!(users(file, "https://h.other/").is_empty());
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(users("https://a%40b:p%3a%2Fw%25@h", "https://h/x"), ["1 a@b p:/w%"]);
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }

    #[test]
    fn the_token_goes_over_https_to_github_and_gh_host_alone() {
        let access = GitAccess {
            purpose: crate::settings::Purpose::Fetch,
            github_token: Some(Secret::new("t")),
            gh_host: Some("ghe.example.org".into()),
            credentials_file: None,
            timeout: std::time::Duration::from_secs(1),
            home: None,
            limits: crate::budget::Limits::default(),
            kept: None,
        };
        for (url, wanted) in [
            ("https://github.com/o/r", true),
            ("https://github.com:443/o/r", true),
            ("https://ghe.example.org/o/r", true),
            ("http://github.com/o/r", false),
            ("https://github.com:8443/o/r", false),
            ("https://github.com.evil.org/o/r", false),
            ("https://evil.org/github.com", false),
            ("https://api.github.com/o/r", false),
            ("http://ghe.example.org/o/r", false),
        ] {
            assert_eq!(takes_token(&Parts::of(url).unwrap(), &access), wanted, "{url}");
            assert_eq!(Keyring::new(&access).passwords(url).unwrap().len(), usize::from(wanted), "{url}");
        }
    }
}
