//! Brings exactly one commit into a repository, with as little history as the server allows.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use git2::{
    AutotagOption, Direction, ErrorClass, ErrorCode, FetchOptions, Object, ObjectType, Oid, RemoteRedirect,
    Repository,
};

use super::credentials::Keyring;
use super::kept::{InUse, Kept};
use super::local::{self, is_local};
use super::remote::{self, callbacks, proxy};
use super::worker::Pulse;
use super::{Commit, Transfer, memory, pack};
use crate::budget::{Budget, Count};
use crate::fault::{Fault, OrHint, because_of, fault, hint_of};
use crate::settings::GitAccess;

/// Where a commit goes.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    /// Its files. git's own lie elsewhere: what reads the files, `docker build` above all, finds only what
    /// the author committed.
    pub files: PathBuf,
    /// git's own folder, bare.
    pub git: PathBuf,
}

/// What a fetch works with.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub access: &'a GitAccess,
    pub pulse: &'a Pulse,
    pub budget: &'a Budget,
    /// What is worth telling of it.
    pub notes: &'a RefCell<Vec<String>>,
    pub transfer: &'a Transfer,
}

/// Where the objects of a commit come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Its server, for all that come after: they are kept.
    Keep,
    /// Its server, for this time alone: what is kept is read, and stays as it is.
    Beside,
    /// This folder, where all of them are.
    Here(PathBuf),
}

/// A commit whose objects are here.
pub(super) struct Fetched {
    pub repository: Repository,
    pub commit: Oid,
    pub tree: Oid,
    /// Where its objects lie; they stay as long as this is held.
    pub _kept: Option<InUse>,
}

/// Brings the objects of commit `wanted` of `url`, which the source follows by `name`: from what is kept of the remote,
/// as far as they are there.
pub(super) fn fetch(
    url: &str,
    name: &str,
    wanted: Oid,
    folders: &Folders,
    (way, kept): (&Way, Option<&Kept>),
    work: Work<'_>,
) -> Result<Fetched> {
    work.pulse.begin(url, work.access.timeout)?;
    let repository = bare(folders)
        .with_context(|| format!("cannot write to `{}`", folders.files.display()))
        .or_hint("check the free space there")?;
    if let Way::Here(objects) = way {
        return opened(lent(objects, folders)?, wanted, None);
    }
    if is_local(url) {
        let repository = lent(&local::objects(url, work.access)?, folders)?;
        return opened(repository, wanted, None);
    }
    let from = |kept| match way {
        Way::Beside => beside(url, wanted, folders, kept, work),
        _ => from_kept(url, name, wanted, folders, kept, work),
    };
    if let Some(fetched) = kept.map(from).transpose()?.flatten() {
        return Ok(fetched);
    }
    // What is kept may have been tried, and be damaged.
    let _ = fs::remove_file(pack::alternates(&folders.git));
    remote::forbid_redirects(&mut repository.config()?)?;
    download(&repository, url, wanted, false, work).map_err(|(error, _)| error)?;
    opened(repository, wanted, None)
}

/// `None` where nothing is kept that helps.
fn beside(url: &str, wanted: Oid, folders: &Folders, kept: &Kept, work: Work<'_>) -> Result<Option<Fetched>> {
    let Some(newest) = kept.newest() else { return Ok(None) };
    fs::write(folders.git.join("shallow"), newest.shallow())?;
    let repository = lent(&newest.objects(), folders)?;
    if !newest.has(wanted) {
        remote::forbid_redirects(&mut repository.config()?)?;
        // The server sends what none of them has.
        for tip in newest.tips()? {
            repository.reference(&format!("refs/dockerops/{tip}"), tip, true, "kept")?;
        }
        match download(&repository, url, wanted, true, work) {
            Err((_, true)) => {
                fs::remove_file(folders.git.join("shallow"))?;
                fs::remove_dir_all(folders.git.join("refs/dockerops"))?;
                return Ok(None);
            }
            result => result.map_err(|(error, _)| error)?,
        }
    }
    opened(repository, wanted, Some(newest)).map(Some)
}

/// `None` where somebody else fetches the same for too long.
fn from_kept(
    url: &str,
    name: &str,
    wanted: Oid,
    folders: &Folders,
    kept: &Kept,
    work: Work<'_>,
) -> Result<Option<Fetched>> {
    let mut again = false;
    loop {
        let (is_new, of_transfer, is_damaged) = (Cell::new(false), Cell::new(false), Cell::new(false));
        let was_asked = Cell::new(false);
        let brought = kept.with(wanted, name, work.pulse, |repository, has_some| {
            is_new.set(!has_some);
            was_asked.set(true);
            download(repository, url, wanted, has_some, work).map_err(|(error, damage)| {
                of_transfer.set(true);
                is_damaged.set(damage);
                error
            })
        });
        let fetched = match brought {
            Ok(None) => return Ok(None),
            Ok(Some(objects)) => {
                // Whoever names a branch was told by the server which commit it is, with its own credentials.
                if !was_asked.get() && Commit::parse(name).is_ok() {
                    remote::ls(url, work.access)?;
                }
                let fetched = opened(lent(&objects.objects(), folders)?, wanted, Some(objects));
                is_damaged.set(fetched.as_ref().is_err_and(|error| is_damage(error, kept)));
                fetched
            }
            // What cannot be kept is fetched all the same.
            Err(error) if !of_transfer.get() && again && !error.is::<Fault>() => {
                let place = kept.folder().display();
                let note = format!("what is fetched of `{url}` cannot be kept in `{place}`: {error:#}");
                work.notes.borrow_mut().push(note);
                return Ok(None);
            }
            Err(error) if !of_transfer.get() && !error.is::<Fault>() => {
                is_damaged.set(true);
                Err(error)
            }
            Err(error) => Err(error),
        };
        if again && fetched.is_err() && memory::was_refused() {
            kept.note_too_large();
        }
        let is_over = fetched.is_ok() || !is_damaged.get() || (is_new.get() && of_transfer.get());
        if is_over || again || !work.pulse.beat() {
            return fetched.map(Some);
        }
        again = true;
        memory::forget_refusal();
        discard(url, kept, work.notes);
    }
}

/// What is kept of the remote is used no more.
pub(super) fn discard(url: &str, kept: &Kept, notes: &RefCell<Vec<String>>) {
    if kept.discard() {
        notes.borrow_mut().push(format!("what was kept of `{url}` is damaged, and is fetched anew"));
    }
}

/// Whether objects could not be read.
pub(super) fn is_damage(error: &anyhow::Error, kept: &Kept) -> bool {
    let of_git = |error: &git2::Error| {
        use git2::ErrorClass::{Indexer, Object, Odb, Reference, Repository, Tree, Zlib};
        matches!(error.class(), Indexer | Object | Odb | Reference | Repository | Tree | Zlib)
    };
    let of_pack = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
    };
    // A size that is wrong is too large for the memory, most likely; but so may others be beside it, or all of it.
    if memory::was_refused() {
        return memory::is_alone() && !kept.is_too_large();
    }
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(of_git) || cause.downcast_ref().is_some_and(of_pack))
}

/// Brings commit `wanted` of `url` into a repository; with an error comes whether that is damaged.
pub(super) fn download(
    repository: &Repository,
    url: &str,
    wanted: Oid,
    has_some: bool,
    work: Work<'_>,
) -> Result<(), (anyhow::Error, bool)> {
    let transfer = Receiving { work, received: Cell::new(0) };
    let damaged = Cell::new(false);
    let talked = remote::talk(url, work.access, |url, keyring| {
        let of_objects = [ErrorClass::Indexer, ErrorClass::Odb, ErrorClass::Zlib, ErrorClass::Object];
        let is_damage = |error: &git2::Error| has_some && of_objects.contains(&error.class());
        let result = match lean(repository, url, wanted, keyring, &transfer)? {
            Err(error) if is_damage(&error) => Err(error),
            Err(error) if worth_all(&error) && work.pulse.beat() => {
                let note =
                    format!("`{url}` gives no single commit ({}): all of it is fetched", error.message());
                work.notes.borrow_mut().push(note);
                whole(repository, url, keyring, &transfer)
            }
            result => result,
        };
        damaged.set(result.as_ref().is_err_and(is_damage));
        result
    });
    // libgit2 only knows that it was told to stop.
    let within = work.budget.take(Count::Received, transfer.received.get());
    within.map_err(|error| (error.into(), false))?;
    talked.map_err(|error| (error, damaged.get()))
}

/// The repository in `folders` with the objects that lie elsewhere on this machine, where they lie: libgit2's way to
/// copy them compares the large ones with one another, all in memory.
pub(super) fn lent(objects: &Path, folders: &Folders) -> Result<Repository> {
    let objects = objects.canonicalize()?;
    let line = objects.to_str().filter(|path| !path.contains('\n')).context("its path is no line")?;
    fs::write(pack::alternates(&folders.git), format!("{line}\n"))?;
    let repository = Repository::open_bare(&folders.git)?;
    repository.set_workdir(&folders.files, false)?;
    Ok(repository)
}

/// What a transfer tells, and is told.
struct Receiving<'a> {
    work: Work<'a>,
    received: Cell<u64>,
}

impl Receiving<'_> {
    /// Whether the transfer shall go on, of which so many bytes are there.
    fn goes_on(&self, received: usize) -> bool {
        self.received.set(received as u64);
        let all = self.work.budget.counted(Count::Received).saturating_add(received as u64);
        self.work.pulse.beat() && self.work.budget.check(Count::Received, all).is_ok()
    }
}

pub(super) fn bare(folders: &Folders) -> Result<Repository, git2::Error> {
    let repository = Repository::init_bare(&folders.git)?;
    repository.set_workdir(&folders.files, false)?;
    Ok(repository)
}

/// The one commit, without history: by a ref that points at it, else by its id. The outer failure is
/// that of the connection, the inner one that of the transfer.
///
/// Servers give any advertised commit; one that no ref points at (the branch has moved since) only with
/// `uploadpack.allowAnySHA1InWant`, as the large forges have it (git-config(1)).
fn lean(
    repository: &Repository,
    url: &str,
    wanted: Oid,
    keyring: &Keyring,
    transfer: &Receiving<'_>,
) -> Result<Result<(), git2::Error>, git2::Error> {
    let mut remote = repository.remote_anonymous(url)?;
    let callbacks = callbacks(keyring);
    let mut connection = remote.connect_auth(Direction::Fetch, Some(callbacks), Some(proxy()))?;
    let heads = remote::list(connection.list()?);
    let tip = heads.into_iter().find(|head| head.id == wanted);
    let from = tip.map_or_else(|| wanted.to_string(), |head| head.name.trim_end_matches("^{}").to_owned());
    let mut options = options(keyring, transfer);
    options.depth(1);
    let spec = format!("+{from}:refs/dockerops/wanted");
    Ok(connection.remote().download(&[spec], Some(&mut options)))
}

/// All branches and tags: for servers that give neither less nor other commits.
fn whole(
    repository: &Repository,
    url: &str,
    keyring: &Keyring,
    transfer: &Receiving<'_>,
) -> Result<(), git2::Error> {
    keyring.begin_again();
    let mut remote = repository.remote_anonymous(url)?;
    let specs = ["+refs/heads/*:refs/dockerops/heads/*", "+refs/tags/*:refs/dockerops/tags/*"];
    remote.download(&specs, Some(&mut options(keyring, transfer)))
}

fn options<'a>(keyring: &'a Keyring<'_>, transfer: &'a Receiving<'_>) -> FetchOptions<'a> {
    let mut callbacks = callbacks(keyring);
    callbacks.transfer_progress(|progress| {
        transfer.work.transfer.note(&progress);
        transfer.goes_on(progress.received_bytes())
    });
    callbacks.sideband_progress(|_| transfer.work.pulse.beat());
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks)
        .proxy_options(proxy())
        .follow_redirects(RemoteRedirect::None)
        .download_tags(AutotagOption::None)
        .update_fetchhead(false);
    options
}

/// Whether a server that was reached may still give the commit if asked for all it has.
///
/// The refusals of servers have no code of their own in libgit2: "unexpected packet type" is "not our ref".
fn worth_all(error: &git2::Error) -> bool {
    !matches!(error.code(), ErrorCode::Auth | ErrorCode::Certificate | ErrorCode::Timeout | ErrorCode::User)
}

/// What `wanted` is; it came with the fetch, or the server does not have it.
pub(super) fn object(repository: &Repository, wanted: Oid) -> Result<Object<'_>> {
    repository.find_object(wanted, None).map_err(|error| {
        let hint =
            "if it was just pushed over, run this again; else name a commit that a branch or tag still holds";
        because_of(error.into(), &format!("the commit `{wanted}` is not in the repository"), hint)
    })
}

pub(super) fn opened(repository: Repository, wanted: Oid, kept: Option<InUse>) -> Result<Fetched> {
    let (commit, tree) = {
        let Ok(commit) = object(&repository, wanted)?.peel(ObjectType::Commit) else {
            return Err(fault(
                format!("`{wanted}` is no commit"),
                "watch a branch, a tag of a commit, or a commit",
            ));
        };
        (commit.id(), commit.peel_to_tree()?.id())
    };
    repository.set_head_detached(commit)?;
    Ok(Fetched { repository, commit, tree, _kept: kept })
}

/// Why the files of a commit are not all on disk.
pub(super) fn not_written(error: anyhow::Error, commit: Oid) -> anyhow::Error {
    let what = format!("cannot write the files of commit `{commit}`");
    match hint_of(&error) {
        Some(_) => error.context(what),
        None => because_of(error, &what, "check the free space beside the database"),
    }
}
