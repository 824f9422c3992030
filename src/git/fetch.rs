//! Brings exactly one commit into a repository, with as little history as the server allows.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::{Context, Result};
use git2::{AutotagOption, Direction, ErrorCode, FetchOptions, ObjectType, Oid, RemoteRedirect, Repository};

use super::credentials::Keyring;
use super::local::{self, is_local};
use super::remote::{self, callbacks, proxy};
use super::worker::Pulse;
use super::{count, pack, write};
use crate::budget::{Budget, Count};
use crate::fault::{OrHint, fault};
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

/// Writes the files of commit `wanted` of `url`; returns its repository and its id.
pub(super) fn fetch(
    url: &str,
    wanted: Oid,
    folders: &Folders,
    access: &GitAccess,
    pulse: &Pulse,
    budget: &Budget,
) -> Result<(Repository, Oid)> {
    let repository = bare(folders)
        .with_context(|| format!("cannot write to `{}`", folders.files.display()))
        .or_hint("check the free space there")?;
    remote::forbid_redirects(&mut repository.config()?)?;
    if is_local(url) {
        local::refuse_borrowed_objects(url)?;
    }
    if is_local(url)
        && let Ok(repository) = lent(url, folders)
    {
        let id = write_out(&repository, wanted, folders, budget, pulse)?;
        return Ok((repository, id));
    }
    let transfer = Transfer { pulse, budget, received: Cell::new(0) };
    let talked =
        remote::talk(url, access, |url, keyring| match lean(&repository, url, wanted, keyring, &transfer)? {
            Err(error) if worth_all(&error) && pulse.beat() => whole(&repository, url, keyring, &transfer),
            result => result,
        });
    // libgit2 only knows that it was told to stop.
    budget.take(Count::Received, transfer.received.get())?;
    talked?;
    let id = write_out(&repository, wanted, folders, budget, pulse)?;
    Ok((repository, id))
}

/// The repository in `folders` with the objects of the one on this machine, where they lie: libgit2's way to copy
/// them compares the large ones with one another, all in memory.
fn lent(url: &str, folders: &Folders) -> Result<Repository> {
    let theirs = Repository::open(url.strip_prefix("file://").unwrap_or(url))?;
    let objects = theirs.commondir().join("objects").canonicalize()?;
    let line = objects.to_str().filter(|path| !path.contains('\n')).context("its path is no line")?;
    std::fs::write(pack::alternates(&folders.git), format!("{line}\n"))?;
    let repository = Repository::open_bare(&folders.git)?;
    repository.set_workdir(&folders.files, false)?;
    Ok(repository)
}

/// What a transfer tells, and is told.
struct Transfer<'a> {
    pulse: &'a Pulse,
    budget: &'a Budget,
    received: Cell<u64>,
}

impl Transfer<'_> {
    /// Whether the transfer shall go on, of which so many bytes are there.
    fn goes_on(&self, received: usize) -> bool {
        self.received.set(received as u64);
        let all = self.budget.counted(Count::Received).saturating_add(received as u64);
        self.pulse.beat() && self.budget.check(Count::Received, all).is_ok()
    }
}

fn bare(folders: &Folders) -> Result<Repository, git2::Error> {
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
    transfer: &Transfer<'_>,
) -> Result<Result<(), git2::Error>, git2::Error> {
    let mut remote = repository.remote_anonymous(url)?;
    let callbacks = callbacks(keyring);
    let mut connection = remote.connect_auth(Direction::Fetch, Some(callbacks), Some(proxy()))?;
    let heads = remote::list(connection.list()?);
    let tip = heads.into_iter().find(|head| head.id == wanted);
    let from = tip.map_or_else(|| wanted.to_string(), |head| head.name.trim_end_matches("^{}").to_owned());
    let mut options = options(keyring, transfer);
    // libgit2's local transport refuses a depth ("shallow fetch is not supported by the local transport").
    if !is_local(url) {
        options.depth(1);
    }
    let spec = format!("+{from}:refs/dockerops/wanted");
    Ok(connection.remote().download(&[spec], Some(&mut options)))
}

/// All branches and tags: for servers that give neither less nor other commits.
fn whole(
    repository: &Repository,
    url: &str,
    keyring: &Keyring,
    transfer: &Transfer<'_>,
) -> Result<(), git2::Error> {
    keyring.begin_again();
    let mut remote = repository.remote_anonymous(url)?;
    let specs = ["+refs/heads/*:refs/dockerops/heads/*", "+refs/tags/*:refs/dockerops/tags/*"];
    remote.download(&specs, Some(&mut options(keyring, transfer)))
}

fn options<'a>(keyring: &'a Keyring<'_>, transfer: &'a Transfer<'_>) -> FetchOptions<'a> {
    let mut callbacks = callbacks(keyring);
    callbacks.transfer_progress(|progress| transfer.goes_on(progress.received_bytes()));
    callbacks.sideband_progress(|_| transfer.pulse.beat());
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

fn write_out(
    repository: &Repository,
    wanted: Oid,
    folders: &Folders,
    budget: &Budget,
    pulse: &Pulse,
) -> Result<Oid> {
    let Ok(object) = repository.find_object(wanted, None) else {
        return Err(fault(
            format!("the commit `{wanted}` is not in the repository"),
            "if it was just pushed over, run this again; else name a commit that a branch or tag still holds",
        ));
    };
    let Ok(commit) = object.peel(ObjectType::Commit) else {
        return Err(fault(
            format!("`{wanted}` is no commit"),
            "watch a branch, a tag of a commit, or a commit",
        ));
    };
    repository.set_head_detached(commit.id())?;
    let tree = commit.peel_to_tree()?;
    count::count(repository, &tree, budget, pulse)?;
    let mut index = repository.index()?;
    index.read_tree(&tree)?;
    index.write()?;
    write::write(repository, &tree, &folders.files, pulse)
        .with_context(|| format!("cannot write the files of commit `{}`", commit.id()))
        .or_hint("check the free space beside the database")?;
    Ok(commit.id())
}
