//! The files of a commit that was fetched before, out of what is kept of it: no server is asked.

use anyhow::{Context, Result};
use git2::{Odb, Repository};

use super::base::{Base, temporary};
use super::kept::Kept;
use super::local::{self, is_local};
use super::{Commit, configure, memory};
use crate::fault::{OrHint, fault};
use crate::settings::GitAccess;
use crate::source::Source;

/// What `look` finds in the files of `commit`. An error of what could not be read on the way goes before it: it took
/// what is missing for what is not there. Files of submodules are not kept.
pub fn look_into<T>(
    source: &Source,
    commit: &Commit,
    access: &GitAccess,
    look: impl FnOnce(&Base) -> Result<T>,
) -> Result<T> {
    configure(access)?;
    let looked = memory::within(1, || {
        let base = open(source, commit, access)?;
        let found = look(&base);
        base.take_failure().map_or(found, Err)
    });
    looked.with_context(|| format!("source `{source}`"))
}

fn open(source: &Source, commit: &Commit, access: &GitAccess) -> Result<Base> {
    let (wanted, limits, temporary) = (commit.oid()?, access.limits, temporary()?);
    let no_modules = |_: &_, _| None;
    let base = if is_local(source.url()) {
        Base::open(&local::objects(source.url(), access)?, wanted, None, temporary, limits, no_modules)
    } else {
        let kept = access.kept.as_deref().and_then(|folder| Kept::of(folder, source.url()).holding(wanted));
        let kept = kept.ok_or_else(|| {
            let what = format!("commit `{}` is not kept beside the database", commit.short());
            fault(what, "the next sync that reads the source brings it")
        })?;
        let objects = kept.objects();
        Base::open(&objects, wanted, Some(kept), temporary, limits, no_modules)
            .or_hint("if it is damaged, the next sync that reads the source fetches it anew")
    }?;
    match source.dir() {
        Some(dir) => base.in_folder(dir),
        None => Ok(base),
    }
}

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The first line of its message.
    pub subject: String,
    /// The name of who wrote it.
    pub author: String,
}

/// What `commit` says of itself, as far as it is known here; `None` where the commit is not. No server is asked.
pub fn said(source: &Source, commit: &Commit, access: &GitAccess) -> Result<Option<Said>> {
    configure(access)?;
    memory::within(1, || {
        let kept = access.kept.as_deref().map(|folder| Kept::of(folder, source.url()));
        // It stays as long as it is read.
        let kept = kept.and_then(|kept| kept.holding(commit.oid().ok()?).or_else(|| kept.newest()));
        let objects = match &kept {
            _ if is_local(source.url()) => local::objects(source.url(), access)?,
            Some(kept) => kept.objects(),
            None => return Ok(None),
        };
        let odb = Odb::new()?;
        odb.add_disk_alternate(objects.to_str().context("its path is not UTF-8")?)?;
        let repository = Repository::from_odb(odb)?;
        let Ok(found) = repository.find_commit(commit.oid()?) else { return Ok(None) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let subject = text(found.summary_bytes().unwrap_or_default());
        Ok(Some(Said { subject, author: text(found.author().name_bytes()) }))
    })
}
