//! How DockerOps writes to the repositories it watches: with whose credentials, in whose name, to which branch.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use git2::Branch;

use super::run::{sources, strict_secret};
use super::{Environment, text};
use crate::fault::fault;
use crate::redact::Secret;

/// What stands for the name of a stack in `DOCKEROPS_WRITE_BRANCH`.
const STACK: &str = "{stack}";

#[derive(Debug, Clone)]
pub struct WriteSettings {
    /// `DOCKEROPS_WRITE_TOKEN`, never empty; without it nothing is written.
    pub token: Option<Secret>,
    /// `DOCKEROPS_WRITE_REPOS`: the sources that may be written to, as they were written; all that are watched without one.
    pub repos: Vec<String>,
    /// `DOCKEROPS_USER_HEADER`: where a proxy says who asks, in lower case.
    pub user_header: Option<String>,
    /// `DOCKEROPS_TRUSTED_PROXY`: whose word that is.
    proxies: Vec<Network>,
    /// `DOCKEROPS_PUSH_CREDENTIALS`: a file in git's credential-store format.
    pub push_credentials: Option<PathBuf>,
    /// `DOCKEROPS_GIT_AUTHOR`: whose the commits are.
    pub author: Author,
    /// `DOCKEROPS_WRITE_BRANCH`: where to they are pushed; to the branch that is watched without it.
    branch: Option<String>,
}

/// A name and an address that git takes as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub name: String,
    pub email: String,
}

impl WriteSettings {
    pub(super) fn from(environment: &Environment) -> Result<Self> {
        let (user_header, proxies) = (user_header(environment)?, proxies(environment)?);
        if user_header.is_some() == proxies.is_empty() {
            return Err(fault(
                "of `DOCKEROPS_USER_HEADER` and `DOCKEROPS_TRUSTED_PROXY` one is set, and the other is not",
                "set both, the header's name and the address of the proxy that sends it; or neither",
            ));
        }
        Ok(Self {
            token: strict_secret(environment, "DOCKEROPS_WRITE_TOKEN")?,
            repos: sources(environment, "DOCKEROPS_WRITE_REPOS")?,
            user_header,
            proxies,
            push_credentials: text(environment, "DOCKEROPS_PUSH_CREDENTIALS")?.map(PathBuf::from),
            author: author(environment)?,
            branch: branch(environment)?,
        })
    }

    /// Whether who is at this address says who asks.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.holds(peer))
    }

    /// The branch for changes of a stack, where it is not the one that is watched.
    pub fn branch(&self, stack: &str) -> Option<String> {
        self.branch.as_ref().map(|branch| branch.replace(STACK, stack))
    }
}

/// An address, or those that begin alike: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (1..=most).contains(&bits).then_some(Self { address, bits })
    }

    fn holds(self, peer: IpAddr) -> bool {
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => (own.to_bits() ^ peer.to_bits()) >> (32 - self.bits) == 0,
            (IpAddr::V6(own), IpAddr::V6(peer)) => (own.to_bits() ^ peer.to_bits()) >> (128 - self.bits) == 0,
            _ => false,
        }
    }
}

fn user_header(environment: &Environment) -> Result<Option<String>> {
    let Some(value) = text(environment, "DOCKEROPS_USER_HEADER")? else { return Ok(None) };
    let name = value.trim().to_ascii_lowercase();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name && !["authorization", "cookie", "host", "origin"].contains(&name.as_str()) {
        return Ok(Some(name));
    }
    Err(fault(
        format!(
            "`DOCKEROPS_USER_HEADER` is `{}`, not the name of a header for that",
            crate::plain::name(&value)
        ),
        "name the one that the proxy sets and takes from nobody else, as in `X-Forwarded-User`",
    ))
}

fn proxies(environment: &Environment) -> Result<Vec<Network>> {
    let value = text(environment, "DOCKEROPS_TRUSTED_PROXY")?.unwrap_or_default();
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let network = |name: &str| {
        Network::parse(name).ok_or_else(|| {
            fault(
                format!(
                    "`DOCKEROPS_TRUSTED_PROXY` holds `{}`, which is no address",
                    crate::plain::name(name)
                ),
                "write the addresses that the proxy calls from, as in `10.0.0.5,10.1.0.0/16`",
            )
        })
    };
    names.map(network).collect()
}

fn author(environment: &Environment) -> Result<Author> {
    let Some(value) = text(environment, "DOCKEROPS_GIT_AUTHOR")? else {
        return Ok(Author { name: "DockerOps".into(), email: "dockerops@localhost".into() });
    };
    let is_fine = |part: &str| {
        !part.is_empty()
            && part.len() <= 200
            && !part.contains(|letter: char| letter.is_control() || "<>".contains(letter))
    };
    let parts = value.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<'));
    match parts.map(|(name, email)| (name.trim(), email.trim())) {
        Some((name, email)) if is_fine(name) && is_fine(email) && !email.contains(' ') => {
            Ok(Author { name: name.into(), email: email.into() })
        }
        _ => Err(fault(
            format!("`DOCKEROPS_GIT_AUTHOR` is `{}`, not a name and an address", crate::plain::name(&value)),
            "write it as git does: `DockerOps <dockerops@example.org>`",
        )),
    }
}

fn branch(environment: &Environment) -> Result<Option<String>> {
    let Some(value) = text(environment, "DOCKEROPS_WRITE_BRANCH")? else { return Ok(None) };
    let is_name = Branch::name_is_valid(&value.replace(STACK, "stack")).unwrap_or(false);
    if is_name && value.matches(STACK).count() == 1 {
        return Ok(Some(value));
    }
    Err(fault(
        format!(
            "`DOCKEROPS_WRITE_BRANCH` is `{}`, not the name of a branch for each stack",
            crate::plain::name(&value)
        ),
        "write `{stack}` where the stack's name is to stand, as in `dockerops/{stack}`; unset it to push to the \
         watched branch itself",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::hint_of;

    fn settings(name: &str, value: &str) -> Result<WriteSettings> {
        WriteSettings::from(&[(name.into(), value.into())].into())
    }

    #[test]
    fn an_author_is_a_name_and_an_address() {
        let author = |value| settings("DOCKEROPS_GIT_AUTHOR", value).map(|settings| settings.author);
        assert_eq!(author("").unwrap().email, "dockerops@localhost");
        let ops = Author { name: "Ops \"A\" Team".into(), email: "ops@example.org".into() };
        assert_eq!(author(" Ops \"A\" Team  <ops@example.org> ").unwrap(), ops);
        for wrong in
            ["Ops", "<a@b>", "Ops <>", "Ops <a b>", "A\nB <a@b>", "A <a@b> <c@d>", "A <a@b", "A > <a@b>"]
        {
            let error = author(wrong).unwrap_err();
            assert!(
                error.to_string().contains("DOCKEROPS_GIT_AUTHOR") && hint_of(&error).is_some(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_proxy_is_believed_by_its_address_alone() {
        let both = |header: &str, proxy: &str| {
            let pairs = [("DOCKEROPS_USER_HEADER", header), ("DOCKEROPS_TRUSTED_PROXY", proxy)];
            WriteSettings::from(&pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
        };
        let set = both("X-Forwarded-User", "192.0.2.1, 10.1.0.0/16,2001:db8::/32").unwrap();
        assert_eq!(set.user_header.as_deref(), Some("x-forwarded-user"));
        for (peer, trusted) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.2", false),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(set.trusts(peer.parse().unwrap()), trusted, "{peer}");
        }
        for (header, proxy) in [
            ("X-User", ""),
            ("", "192.0.2.1"),
            ("X User", "192.0.2.1"),
            ("Authorization", "192.0.2.1"),
            ("X-User", "proxy.example"),
            ("X-User", "192.0.2.1/33"),
            ("X-User", "0.0.0.0/0"),
        ] {
            let error = both(header, proxy).unwrap_err();
            assert!(
                format!("{error:#}").contains("DOCKEROPS_") && hint_of(&error).is_some(),
                "{header} {proxy}"
            );
        }
    }

    #[test]
    fn a_branch_is_one_for_each_stack() {
        let branch = |value| settings("DOCKEROPS_WRITE_BRANCH", value);
        assert_eq!(branch("").unwrap().branch("web"), None);
        assert_eq!(branch("dockerops/{stack}").unwrap().branch("web").unwrap(), "dockerops/web");
        for wrong in [
            "dockerops",
            "{stack}/{stack}",
            "a..{stack}",
            "-{stack}",
            "{stack}.lock",
            "a b/{stack}",
            "{stack}/",
        ] {
            let error = branch(wrong).unwrap_err();
            assert!(
                error.to_string().contains("DOCKEROPS_WRITE_BRANCH") && hint_of(&error).is_some(),
                "{wrong}"
            );
        }
    }
}
