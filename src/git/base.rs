//! The commit that a change begins at: its files, read out of the objects that are here, as they are asked for.
//!
//! The work tree, its index and its refs stay as they are, and no server is asked. What is written lies in a temporary
//! folder, with the submodules whose commits are here.

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Error, Result, anyhow};
use git2::{ErrorCode, Oid, Repository};
use tempfile::TempDir;

use super::fetch::{self, Fetched, Folders};
use super::kept::InUse;
use super::tracked::Reader;
use super::trees::Modules;
use super::worker::Pulse;
use super::write::{self, Objects, Writer};
use super::{Commit, Tracked, Worktree, submodules};
use crate::budget::{Budget, Limits};
use crate::fault::fault;
use crate::paths::{Found, Root, Supply};

/// Where files may be written for a while, if the system's own folder for that is closed: a container that is read only
/// has this one.
const MEMORY: &str = "/dev/shm";

/// The files of a commit of the repository around a work tree.
#[derive(Debug)]
pub struct Base {
    root: Root,
    dir: PathBuf,
    commit: Commit,
    desk: Arc<Desk>,
    _temporary: TempDir,
}

/// What reads them.
struct Desk(Mutex<Open>);

struct Open {
    fetched: Fetched,
    modules: Modules,
    writer: Writer,
    budget: Budget,
    failure: Option<Error>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

impl Base {
    /// The commit that what is in `worktree` and `reference` have in common.
    pub fn of(worktree: &Worktree, reference: &str, limits: Limits) -> Result<Self> {
        let repository = worktree.repository().ok_or_else(|| worktree.no_repository())?;
        let commit = common(repository, reference)?;
        let below = worktree.dir().strip_prefix(worktree.root().path()).unwrap_or(Path::new(""));
        let hint =
            "`--diff` writes out the files that it compares with: set `TMPDIR` to a folder that takes them";
        let temporary = temporary().map_err(|error| fault(format!("{error:#}"), hint))?;
        let objects = repository.commondir().join("objects");
        let mut base =
            Self::open(&objects, commit, None, temporary, limits, |at, id| inner(repository, at, id))?;
        base.dir.push(below);
        Ok(base)
    }

    /// Of the commit whose objects lie in `objects`; its manifest's folder is its root. `inner` is the repository of a
    /// submodule that has its commit.
    pub(super) fn open(
        objects: &Path,
        commit: Oid,
        kept: Option<InUse>,
        temporary: TempDir,
        limits: Limits,
        inner: impl Fn(&Path, Oid) -> Option<Repository>,
    ) -> Result<Self> {
        let below = temporary.path().canonicalize()?;
        let path = below.join("files");
        std::fs::create_dir(&path)?;
        let mut modules = Modules::new(below.join("git"));
        let fetched = lent(objects, commit, kept, &path, &mut modules)?;
        let (mut writer, budget, pulse) = (Writer::new(&path), Budget::new(limits), Pulse::default());
        {
            let objects = Objects::of(&fetched.repository, &budget, &pulse)?;
            let tree = fetched.repository.find_tree(fetched.tree)?;
            for (at, id) in submodules::named(&objects, &tree, &mut writer)? {
                writer.admit(&at);
                writer.bring(&objects, fetched.tree, &at)?;
                // One that was never fetched stays an empty folder, as it is in the work tree.
                let Some(inner) = inner(&at, id) else { continue };
                let there = path.join(&at);
                let inner = lent(&inner.commondir().join("objects"), id, None, &there, &mut modules)?;
                let objects = Objects::of(&inner.repository, &budget, &pulse)?;
                write::write(&objects, &inner.repository.find_tree(inner.tree)?, &there)?;
            }
        }
        let open = Open { fetched, modules, writer, budget, failure: None };
        let desk = Arc::new(Desk(Mutex::new(open)));
        let supply: Arc<dyn Supply> = Arc::<Desk>::clone(&desk);
        let (root, dir) = (Root::supplied(path.clone(), supply), path);
        Ok(Self { root, dir, commit: commit.into(), desk, _temporary: temporary })
    }

    /// With the manifest in the folder `dir`.
    pub(super) fn in_folder(mut self, dir: &str) -> Result<Self> {
        self.dir = self.root.resolve(self.root.path(), dir)?;
        Ok(self)
    }

    /// git's id of a file or folder of the commit, by its absolute path with symlinks resolved; no file is read.
    pub fn content_id(&self, path: &Path) -> Result<String> {
        self.desk.with(|open| open.modules.id(path))
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The manifest's folder, which need not be there.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    /// All files that git has at and below `path`, which is absolute and has no symlink in it.
    pub fn tracked(&self, path: &Path) -> Result<Vec<Tracked>> {
        let root = self.root.path();
        self.desk.with(|open| {
            let (pulse, length) = (&Pulse::default(), Cell::default());
            let reader = Reader { modules: &open.modules, budget: &open.budget, pulse, length };
            reader.tracked(root, path.strip_prefix(root)?)
        })
    }

    /// The first error of those that came up while files were written out, if there was one.
    pub fn take_failure(&self) -> Option<Error> {
        self.desk.0.lock().ok()?.failure.take()
    }
}

impl Desk {
    fn with<T>(&self, work: impl FnOnce(&mut Open) -> Result<T>) -> Result<T> {
        let mut open = self.0.lock().map_err(|_| anyhow!("the base cannot be read any more"))?;
        work(&mut open)
    }

    fn write<T>(&self, work: impl FnOnce(&mut Writer, &Objects<'_>, Oid) -> Result<T>) -> Result<T> {
        self.with(|open| {
            let Open { fetched, writer, budget, failure, .. } = open;
            let pulse = Pulse::default();
            let objects = Objects::of(&fetched.repository, budget, &pulse)?;
            work(writer, &objects, fetched.tree).map_err(|error| {
                let told = anyhow!("{error:#}");
                failure.get_or_insert(error);
                told
            })
        })
    }
}

impl Supply for Desk {
    fn bring(&self, path: &Path) -> Result<()> {
        self.write(|writer, objects, tree| writer.bring(objects, tree, path))
    }

    fn bring_all(&self, path: &Path) -> Result<()> {
        self.write(|writer, objects, tree| writer.bring_all(objects, tree, path))
    }

    fn size(&self, path: &Path) -> Result<Option<u64>> {
        self.write(|writer, objects, tree| writer.size(objects, tree, path))
    }

    fn look(&self, path: &Path, most: Option<u64>) -> Result<Option<Found>> {
        self.write(|writer, objects, tree| Ok(writer.look(objects, tree, path, most)?.0))
    }

    fn content(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        self.write(|writer, objects, tree| writer.content(objects, tree, path))
    }

    fn names(&self, path: &Path) -> Result<Vec<String>> {
        self.write(|writer, objects, tree| writer.names(objects, tree, path))
    }
}

fn common(repository: &Repository, reference: &str) -> Result<Oid> {
    if reference.trim().is_empty() {
        return Err(fault(
            "`--diff` names nothing to compare with",
            "name the branch that this is to be merged into, `--diff origin/main`; is a variable of the CI job empty?",
        ));
    }
    let shown = crate::plain::name(reference);
    let shallow = repository.is_shallow();
    let more = if shallow {
        "this clone is shallow: `git fetch --unshallow`, or `fetch-depth: 0` for GitHub's checkout and `GIT_DEPTH: 0` for \
         GitLab's"
            .to_owned()
    } else {
        format!(
            "`git fetch origin` brings what the server has; `git rev-parse {shown}` tells whether it is here"
        )
    };
    let found = repository.revparse_single(reference).and_then(|found| found.peel_to_commit());
    let other = found
        .map_err(|_| fault(format!("`{shown}` is no branch, tag or commit that is here"), more.clone()))?
        .id();
    let head = repository.head().and_then(|head| head.peel_to_commit());
    let head = head.map_err(|_| {
        fault("there is no commit here yet", "commit first; then `--diff` has something to compare with")
    })?;
    match repository.merge_base(head.id(), other) {
        Ok(base) => Ok(base),
        Err(error) if error.code() == ErrorCode::NotFound => {
            let what = format!("what is here and `{shown}` have no commit in common");
            let hint =
                if shallow { more } else { "they are of two histories: name a branch of this one".into() };
            Err(fault(what, hint))
        }
        Err(error) => Err(fault(
            format!("cannot find where `{shown}` and what is here part: {}", error.message()),
            more,
        )),
    }
}

/// The commit, with its objects where they lie.
fn lent(
    objects: &Path,
    commit: Oid,
    kept: Option<InUse>,
    files: &Path,
    modules: &mut Modules,
) -> Result<Fetched> {
    let folders = Folders { git: modules.add(files), files: files.to_path_buf() };
    fetch::bare(&folders)?;
    fetch::opened(fetch::lent(objects, &folders)?, commit, kept)
}

/// The repository of the submodule at `path`, where it was fetched and has the commit.
fn inner(repository: &Repository, path: &Path, id: Oid) -> Option<Repository> {
    let inner = repository.find_submodule(path.to_str()?).ok()?.open().ok()?;
    let has_it = inner.find_commit(id).is_ok();
    has_it.then_some(inner)
}

pub(super) fn temporary() -> Result<TempDir> {
    let mut new = tempfile::Builder::new();
    let new = new.prefix("dockerops-base-");
    new.tempdir().or_else(|_| new.tempdir_in(MEMORY)).context("cannot write to a temporary folder")
}
