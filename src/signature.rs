//! Who signed a commit, or a tag, and whether the policy names them.
//!
//! In: files of keys, and an object that was fetched. Out: who signed it with which key, or why that does not count.
//! Git's own checks trust what lies around them (a user's keyring, an agent, configuration); here nothing counts but these
//! files, the object and the time.

mod allowed;
mod ends;
mod files;
mod gpg;
mod keyring;
mod object;
mod refusal;
mod ssh;
mod sshsig;
#[cfg(test)]
mod tests;
mod window;
mod wire;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid, Repository};

use crate::problem::Problem;
use crate::source::Source;
use allowed::Line;
use keyring::Keyring;
use object::{Form, Object};
use refusal::{Of, Why};

pub use refusal::Refusal;

/// Tags of tags: more is no release.
const DEEPEST: usize = 8;

/// The keys whose signatures count.
#[derive(Debug)]
pub struct Signers {
    ssh: Vec<Line>,
    openpgp: Option<Keyring>,
    /// Fingerprints of keys that count no more, wherever else they stand.
    revoked: BTreeSet<String>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The principals of an SSH key, the user id of an OpenPGP key.
    pub by: String,
    /// Its fingerprint.
    pub key: String,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by `{}` with the key `{}`", crate::plain::name(&self.by), self.key)
    }
}

/// Which sources need whose signatures.
#[derive(Clone, Default)]
pub struct Required(Option<Arc<Ask>>);

type Ask = dyn Fn(&Source) -> Option<Arc<Signers>> + Send + Sync;

impl fmt::Debug for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Required")
    }
}

impl Required {
    /// As `of` says of each source.
    pub fn by(of: impl Fn(&Source) -> Option<Arc<Signers>> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(of)))
    }

    /// Those that may sign for `source`; `None` where nobody has to.
    pub fn of(&self, source: &Source) -> Option<Arc<Signers>> {
        self.0.as_ref()?(source)
    }
}

impl Signers {
    /// Reads files of `keys`, of SSH as of OpenPGP, and of keys that are `revoked`; `gpg` is looked for on `path`. Every
    /// mistake of all of them is told.
    pub fn read(keys: &[PathBuf], revoked: &[PathBuf], path: &OsStr) -> Result<Self, Vec<Problem>> {
        files::read(keys, revoked, path)
    }

    /// Whether the commit is signed by one of these, as of `now`.
    pub fn verify_commit(
        &self,
        repository: &Repository,
        commit: Oid,
        now: DateTime<Utc>,
    ) -> Result<Signed, Refusal> {
        let found = Object::commit(repository, commit)?;
        self.verify(&found, now).map_err(|why| found.refused(why))
    }

    /// Whether the annotated tag, and each that it points at, is signed by one of these, as of `now`. `name` is that of the
    /// ref it was found under: the tag of another version is not this one.
    pub fn verify_tag(
        &self,
        repository: &Repository,
        tag: Oid,
        name: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Signed, Refusal> {
        let (mut next, mut outermost) = (tag, None);
        for _ in 0..DEEPEST {
            let found = Object::tag(repository, next)?;
            let signed = self.verify(&found, now).map_err(|why| found.refused(why))?;
            let is_first = outermost.is_none();
            if let Some(name) = name.filter(|name| is_first && found.name() != Some(name.as_bytes())) {
                return Err(found.refused(Why::Misnamed(name.to_owned())));
            }
            let outermost = outermost.get_or_insert(signed);
            match found.target() {
                Some((target, ObjectType::Tag)) => next = target,
                _ => return Ok(outermost.clone()),
            }
        }
        Err(Refusal::of_tag(tag, Why::Malformed("it is a tag of a tag of a tag without end".into())))
    }

    fn verify(&self, object: &Object, now: DateTime<Utc>) -> Result<Signed, Why> {
        let (form, armored) = object.signature()?;
        let signed = match (form, &self.openpgp) {
            (Form::Ssh, _) => self.verify_ssh(object, armored, now)?,
            (Form::OpenPgp, Some(keyring)) => keyring.verify(object, armored, now)?,
            (Form::OpenPgp, None) => return Err(Why::OtherKind("an OpenPGP key")),
            (Form::X509, _) => return Err(Why::OtherKind("an X.509 certificate")),
        };
        if self.revoked.contains(&signed.key) {
            return Err(Why::Revoked(signed.into()));
        }
        Ok(signed)
    }

    fn verify_ssh(&self, object: &Object, armored: &str, now: DateTime<Utc>) -> Result<Signed, Why> {
        let signature = sshsig::Signature::parse(armored).map_err(Why::Malformed)?;
        if !signature.fits(object.text()).map_err(Why::Malformed)? {
            return Err(Why::Misfit);
        }
        if signature.namespace() != b"git" {
            let namespace = String::from_utf8_lossy(signature.namespace()).into_owned();
            return Err(Why::OtherPurpose(namespace));
        }
        let key = signature.key().fingerprint();
        if self.revoked.contains(&key) {
            return Err(Why::Revoked(Of { by: None, key }));
        }
        let mut why = Why::Unknown(key.clone());
        for line in self.ssh.iter().filter(|line| line.key == *signature.key()) {
            let signed = Signed { by: line.principals.clone(), key: key.clone() };
            match line.window.judge(object.date(), now) {
                _ if !line.is_for_git => why = Why::NotForGit(signed.into()),
                Ok(()) => return Ok(signed),
                Err(timing) => why = timing.of(signed),
            }
        }
        Err(why)
    }
}
