//! A folder as it lies on disk: the work tree of a repository, or a part of it, or no repository at all.
//!
//! What is not committed counts, and what git ignores does not, where git is asked what there is. Nothing is written.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use git2::{ErrorCode, ObjectType, Oid, Repository};
use walkdir::WalkDir;

use super::{Tracked, TrackedKind};
use crate::budget::{Budget, Count};
use crate::fault::{OrHint, fault};
use crate::paths::{Found, Root, Supply, names_on_disk};
use crate::plain;
use crate::settings::GitAccess;

/// Linux takes no longer path; see `tracked`.
const DEEPEST: usize = 128;

/// A folder on disk.
pub struct Worktree {
    root: Root,
    named: Arc<Named>,
    dir: PathBuf,
    repository: Option<Repository>,
    no_repository: Option<NoRepository>,
    /// What git has of it or was told to have, from the root.
    index: BTreeSet<Vec<u8>>,
}

/// What lies on disk, and what of it was asked for by name.
#[derive(Debug)]
struct Named {
    root: PathBuf,
    paths: Mutex<BTreeSet<PathBuf>>,
}

impl Supply for Named {
    fn bring(&self, path: &Path) -> Result<()> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
        Ok(())
    }

    fn bring_all(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn size(&self, _: &Path) -> Result<Option<u64>> {
        Ok(None)
    }

    fn look(&self, _: &Path, _: Option<u64>) -> Result<Option<Found>> {
        Ok(None)
    }

    fn content(&self, _: &Path) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn names(&self, path: &Path) -> Result<Vec<String>> {
        Ok(names_on_disk(&self.root.join(path)))
    }
}

impl std::fmt::Debug for Worktree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worktree").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Worktree {
    /// Of the manifest's folder. Its root is that of the repository it lies in, itself where it lies in none.
    pub fn open(folder: &Path, access: &GitAccess) -> Result<Self> {
        let shown = plain::name(&folder.display().to_string());
        let hint = "name the folder that `stacks.yaml` lies in";
        let dir = folder.canonicalize().with_context(|| format!("`{shown}`")).or_hint(hint)?;
        if !dir.is_dir() {
            return Err(fault(format!("`{shown}` is not a folder"), hint));
        }
        super::configure(access)?;
        let (root, repository, no_repository) = match around(&dir) {
            Ok((root, repository)) => (root, Some(repository), None),
            Err(why) => (dir.clone(), None, Some(why)),
        };
        let inside = dir.strip_prefix(&root).unwrap_or(Path::new(""));
        ensure!(!inside.iter().any(|part| part == ".git"), "`{shown}` lies in git's own folder");
        let index = repository.as_ref().map(entries).transpose()?.unwrap_or_default();
        let named = Arc::new(Named { root: root.clone(), paths: Mutex::default() });
        let root = Root::supplied(root, named.clone());
        Ok(Self { root, named, dir, repository, no_repository, index })
    }

    /// Why there is no repository around it.
    pub(super) fn no_repository(&self) -> anyhow::Error {
        let dir = plain::name(&self.dir.display().to_string());
        let hint = "`--diff` compares with a commit; leave it out to check the files alone";
        match &self.no_repository {
            Some(NoRepository::Unreadable(at, why)) => fault(
                format!(
                    "`{}` cannot be opened as a git repository: {why}",
                    plain::name(&at.display().to_string())
                ),
                "does `git status` work there? it says more",
            ),
            Some(NoRepository::Bare) => fault(
                format!("`{dir}` is a bare git repository, which has no files to check"),
                "run it in a clone that has a work tree, or in one that `git worktree add` made",
            ),
            Some(NoRepository::Foreign(at)) => fault(
                format!(
                    "the work tree of `{}` lies elsewhere",
                    plain::name(&at.join(".git").display().to_string())
                ),
                hint,
            ),
            Some(NoRepository::None) | None => fault(format!("`{dir}` is no git repository"), hint),
        }
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The manifest's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The URL of the remote `origin`, without what a CI logs in by.
    pub fn origin(&self) -> Option<String> {
        let remote = self.repository.as_ref()?.find_remote("origin").ok()?;
        let url = remote.url().ok()?;
        Some(match url.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                format!("{scheme}://{host}/{path}")
            }
            _ => url.to_owned(),
        })
    }

    pub(super) fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// The files that were read by name, and that git would leave out of a commit; from the root.
    pub fn ignored(&self) -> Vec<PathBuf> {
        let named = self.named.paths.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let at = |path: &PathBuf| self.root.path().join(path);
        named.into_iter().filter(|path| at(path).is_file() && self.is_ignored(&at(path))).collect()
    }

    /// Whether git would leave the file at `path` out of a commit.
    fn is_ignored(&self, path: &Path) -> bool {
        let Some(repository) = &self.repository else { return false };
        let below = path.strip_prefix(self.root.path()).unwrap_or(path);
        let bytes = below.as_os_str().as_bytes().to_vec();
        let inside = [&bytes[..], b"/"].concat();
        let holds_known =
            || self.index.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside));
        let is_known = || self.index.contains(&bytes) || holds_known();
        !below.as_os_str().is_empty()
            && !self.has_odd_ignore_file(below)
            && repository.is_path_ignored(below).unwrap_or(false)
            && !is_known()
    }

    /// Whether a `.gitignore` on the way is no regular file: git itself takes none then, and libgit2 would open whatever a
    /// symlink points at.
    fn has_odd_ignore_file(&self, below: &Path) -> bool {
        below.ancestors().skip(1).any(|folder| {
            let file = self.root.path().join(folder).join(".gitignore");
            file.symlink_metadata().is_ok_and(|found| !found.is_file())
        })
    }

    /// All files at and below `path`, which is absolute and has no symlink in it, by the ids that git would give them.
    pub fn tracked(&self, path: &Path, budget: &Budget) -> Result<Vec<Tracked>> {
        let mut found = Vec::new();
        let is_ours = |entry: &walkdir::DirEntry| {
            (entry.depth() == 0 || entry.file_name() != ".git") && !self.is_ignored(entry.path())
        };
        let walk = WalkDir::new(path).follow_links(false).max_depth(DEEPEST + 1).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(is_ours) {
            let entry = entry.context("cannot be read")?;
            budget.take(Count::Files, 1)?;
            let kind = entry.file_type();
            if kind.is_dir() {
                ensure!(entry.depth() <= DEEPEST, "its folders are more than {DEEPEST} deep");
                continue;
            }
            let at = entry.path();
            let below = at.strip_prefix(path)?.to_path_buf();
            found.push(if kind.is_symlink() {
                let target = fs::read_link(at)?;
                let id = Oid::hash_object(ObjectType::Blob, target.as_os_str().as_bytes())?;
                Tracked { path: below, kind: TrackedKind::Link(target), id }
            } else {
                ensure!(kind.is_file(), "`{}` is neither a file, a folder nor a symlink", below.display());
                let meta = entry.metadata()?;
                budget.take(Count::Bytes, meta.len())?;
                let executable = meta.permissions().mode() & 0o111 != 0;
                let id = Oid::hash_file(ObjectType::Blob, at)?;
                Tracked { path: below, kind: TrackedKind::File { executable }, id }
            });
        }
        Ok(found)
    }
}

/// Why a folder lies in no repository.
enum NoRepository {
    None,
    /// It is git's own folder, or one that has no other files.
    Bare,
    /// There is a `.git` that git cannot open: where, and why.
    Unreadable(PathBuf, String),
    /// There is one whose files lie elsewhere.
    Foreign(PathBuf),
}

/// The folder above that holds `.git`, and its repository. No other sign counts: a commit cannot hold
/// a `.git`, but all that makes a folder a repository without one, its configuration included, and that may name the root
/// of this machine for its work tree.
fn around(dir: &Path) -> Result<(PathBuf, Repository), NoRepository> {
    let is_git = |root: &&Path| {
        root.join(".git").symlink_metadata().is_ok_and(|found| found.is_dir() || found.is_file())
    };
    let Some(root) = dir.ancestors().find(is_git) else {
        // As git tells one; nothing of it is opened.
        let is_bare = dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir();
        return Err(if is_bare { NoRepository::Bare } else { NoRepository::None });
    };
    let unreadable = |why: &str| NoRepository::Unreadable(root.to_path_buf(), plain::line(why));
    // git's library says only that it finds none.
    if let Err(error) = fs::metadata(root.join(".git/HEAD"))
        && error.kind() == ErrorKind::PermissionDenied
    {
        return Err(unreadable("permission denied"));
    }
    let repository = Repository::open(root).map_err(|error| unreadable(error.message()))?;
    let is = |path: &Path, other: &Path| path.canonicalize().is_ok_and(|path| path == other);
    let Some(files) = repository.workdir() else { return Err(NoRepository::Bare) };
    // Where `.git` is none, git's library would take the folder itself for one.
    let is_its = is(files, root) && !is(repository.path(), root);
    if is_its { Ok((root.to_path_buf(), repository)) } else { Err(NoRepository::Foreign(root.to_path_buf())) }
}

fn entries(repository: &Repository) -> Result<BTreeSet<Vec<u8>>> {
    match repository.index() {
        Ok(index) => Ok(index.iter().map(|entry| entry.path).collect()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error).context("cannot read the index of git"),
    }
}
