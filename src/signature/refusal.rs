//! Why a commit or tag does not count as signed, and what to do about it.

use std::fmt;

use chrono::{DateTime, Utc};
use git2::Oid;

use super::Signed;
use super::object::short;
use crate::fault::fault;
use crate::plain;

/// Why a commit or tag does not count as signed.
#[derive(Debug)]
pub struct Refusal {
    /// Which one it is, and by whom.
    about: String,
    why: Why,
}

/// A key, and whose it is where that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub by: Option<String>,
    pub key: String,
}

#[derive(Debug)]
pub(super) enum Why {
    Unsigned,
    /// A tag that is a mere name.
    Lightweight,
    Several,
    /// The signature cannot be checked.
    Malformed(String),
    /// The object is not as git writes it.
    Odd(&'static str),
    Misfit,
    /// By a key of this fingerprint.
    Unknown(String),
    /// By something that no file names any of.
    OtherKind(&'static str),
    Revoked(Of),
    Expired(Of, DateTime<Utc>),
    NotYet(Of, DateTime<Utc>),
    Dated(Of, DateTime<Utc>),
    NotForGit(Of),
    /// Made for another namespace.
    OtherPurpose(String),
    /// A tag of another name than its ref, which this is.
    Misnamed(String),
    /// `gpg` cannot be asked.
    NoGpg(String),
    /// The object cannot be read.
    Git(git2::Error),
}

impl From<Signed> for Of {
    fn from(signed: Signed) -> Self {
        Self { by: Some(signed.by), key: signed.key }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key `{}`", plain::name(&self.key))?;
        self.by.iter().try_for_each(|by| write!(f, " of `{}`", plain::name(by)))
    }
}

impl Why {
    pub(super) fn malformed(what: &str) -> Self {
        Self::Malformed(what.to_owned())
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Unsigned | Self::OtherPurpose(_) => {
                "the policy takes signed ones alone from this source: sign it by a key that the policy names, `git commit \
                 --amend --no-edit -S` (a tag: `git tag -f -s NAME`), and push it"
            }
            Self::Lightweight => {
                "there is nothing in it that could be signed, and whoever may push can move it: `git tag -f -s NAME` makes one \
                 that is signed"
            }
            Self::Unknown(_) | Self::OtherKind(_) => {
                "if that key is to be trusted, add it to a file that the policy names in `keys`; else find out who pushed this"
            }
            Self::Revoked(_) => {
                "find out who pushed this; a commit on top of it that another key signs takes its place"
            }
            Self::Expired(..) | Self::Dated(..) => {
                "a commit on top of it that is signed by a valid key takes its place; or name the key anew in `keys`, valid for \
                 longer"
            }
            Self::NotYet(..) => "check the clock of this manager, and since when `keys` has the key valid",
            Self::NotForGit(_) => "add `git` to its `namespaces` in the file of `keys`",
            Self::Misfit | Self::Several | Self::Malformed(_) | Self::Odd(_) => {
                "find out who pushed this: `git commit -S` makes no such thing. A new signed commit takes its place"
            }
            Self::Misnamed(_) => {
                "somebody gave the tag of one version the name of another: find out who pushed this"
            }
            Self::NoGpg(_) => {
                "OpenPGP signatures are checked by `gpg`: install GnuPG on this manager, or take SSH keys"
            }
            Self::Git(_) => "`git fsck` tells whether the repository is damaged",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("is not signed"),
            Self::Lightweight => f.write_str("is a lightweight tag, which cannot be signed"),
            Self::Several => f.write_str("bears several signatures"),
            Self::Malformed(what) => {
                write!(f, "bears a signature that cannot be checked: {}", plain::line(what))
            }
            Self::Odd(what) => write!(f, "is not as git writes it: {what}"),
            Self::Misfit => f.write_str("bears a signature that does not fit it"),
            Self::Unknown(key) => {
                write!(f, "is signed by the key `{}`, which the policy does not name", plain::name(key))
            }
            Self::OtherKind(kind) => write!(f, "is signed by {kind}, and the policy names none"),
            Self::Revoked(of) => write!(f, "is signed by {of}, which is revoked"),
            Self::Expired(of, at) => write!(f, "is signed by {of}, which expired on {}", told(*at)),
            Self::NotYet(of, at) => write!(f, "is signed by {of}, which is valid from {} on", told(*at)),
            Self::Dated(of, date) => {
                write!(f, "is signed by {of}, and dated {}, when that was not valid", told(*date))
            }
            Self::NotForGit(of) => write!(f, "is signed by {of}, which is not for git by its `namespaces`"),
            Self::OtherPurpose(namespace) => {
                let namespace = plain::name(namespace);
                write!(f, "bears a signature that was made for `{namespace}`, and not for `git`")
            }
            Self::Misnamed(name) => write!(f, "stands under the name `{}`", plain::name(name)),
            Self::NoGpg(what) => {
                write!(f, "bears an OpenPGP signature that cannot be checked: {}", plain::line(what))
            }
            Self::Git(error) => write!(f, "cannot be read: {}", error.message()),
        }
    }
}

fn told(time: DateTime<Utc>) -> impl fmt::Display {
    time.format("%Y-%m-%d %H:%M:%S UTC")
}

impl Refusal {
    pub(super) fn new(about: String, why: Why) -> Self {
        Self { about, why }
    }

    pub(super) fn of_tag(tag: Oid, why: Why) -> Self {
        Self::new(format!("the tag `{}`", short(tag)), why)
    }

    /// Of a tag that is no object of its own.
    pub fn lightweight(name: &str) -> Self {
        Self::new(format!("the tag `{}`", plain::name(name)), Why::Lightweight)
    }

    pub fn hint(&self) -> &'static str {
        self.why.hint()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.about, self.why)
    }
}

impl From<Refusal> for anyhow::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.why {
            // What is damaged is fetched anew.
            Why::Git(error) => Self::from(error).context(format!("{} cannot be read", refusal.about)),
            why => fault(format!("{} {why}", refusal.about), why.hint()),
        }
    }
}
