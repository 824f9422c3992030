//! The files of one commit, in a private temporary folder that is gone when dropped.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::fetch::{Folders, Work};
use super::kept::Kept;
use super::trees::Modules;
use super::{Commit, Tracked, explain, fetch, memory, submodules, tracked, worker};
use crate::budget::Budget;
use crate::fault::{OrHint, fault};
use crate::lock;
use crate::paths;
use crate::settings::GitAccess;
use crate::source::Source;

/// A commit's files, submodules included. They are read, never written.
#[derive(Debug)]
pub struct Checkout {
    root: PathBuf,
    dir: PathBuf,
    commit: Commit,
    modules: Modules,
    notes: Vec<String>,
    _temporary: Option<TempDir>,
}

impl Checkout {
    /// The whole repository; symlinks in the path itself are resolved.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that the source names; the root without one.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is worth telling of how it was had.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The commit that lies on disk.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    /// git's id of a file or folder of the commit, by its path with symlinks resolved: of the same id is the
    /// same content, modes and submodules included. No file is read.
    pub fn content_id(&self, path: &Path) -> Result<String> {
        self.modules.id(path).with_context(|| format!("`{}` has no id in git", path.display()))
    }

    /// All files that git has at and below `path`, which is absolute and has no symlink in it.
    pub fn tracked(&self, path: &Path) -> Result<Vec<Tracked>> {
        tracked::tracked(&self.modules, &self.root, path.strip_prefix(&self.root)?)
    }

    /// A repository that lies on disk already, at no commit; its index counts.
    #[cfg(test)]
    pub fn of(root: &Path) -> Self {
        let modules = Modules::of(root, &root.join(".git"));
        let root = root.to_path_buf();
        Self {
            dir: root.clone(),
            root,
            commit: Commit("0".repeat(40)),
            modules,
            notes: Vec::new(),
            _temporary: None,
        }
    }

    /// Of this commit, with no files.
    #[cfg(test)]
    pub fn at(commit: Commit) -> Self {
        let (root, modules) = (PathBuf::new(), Modules::new(PathBuf::new()));
        Self { dir: root.clone(), root, commit, modules, notes: Vec::new(), _temporary: None }
    }

    #[cfg(test)]
    pub(super) fn repository(&self) -> git2::Repository {
        self.modules.outermost()
    }
}

/// Fetches `commit` of `source` into a new folder below `folder`, which is made if it is missing.
pub fn checkout(source: &Source, commit: &Commit, folder: &Path, access: &GitAccess) -> Result<Checkout> {
    make(source, commit, folder, access).with_context(|| format!("source `{source}`"))
}

fn make(source: &Source, commit: &Commit, folder: &Path, access: &GitAccess) -> Result<Checkout> {
    let temporary = private_folder(folder)
        .with_context(|| format!("cannot make a folder in `{}`", folder.display()))
        .or_hint("check the permissions and the free space there")?;
    let temporary_root = temporary.path().canonicalize()?;
    let (root, git) = (temporary_root.join("files"), temporary_root.join("git"));
    DirBuilder::new().mode(0o700).create(&root)?;
    let (url, wanted) = (source.url().to_owned(), commit.oid()?);
    let name = source.reference().unwrap_or("HEAD").to_owned();
    let mut modules = Modules::new(git);
    let (theirs, files) = (access.clone(), root.clone());
    let patience = worker::patience(access.timeout);
    let fetched = worker::run(patience, worker::LONGEST_TRANSFER, move |pulse| {
        super::configure(&theirs)?;
        let (budget, notes) = (Budget::new(theirs.limits), RefCell::default());
        let kept = theirs.kept.as_deref().map(|folder| Kept::of(folder, &url));
        let commit = memory::within(1, || {
            let folders = Folders { git: modules.add(&files), files };
            let work = Work { access: &theirs, pulse, budget: &budget, notes: &notes };
            let fetched = fetch::fetch(&url, &name, wanted, &folders, kept.as_ref(), work)?;
            modules.hold(fetched.kept);
            submodules::fetch_all(&fetched.repository, &url, work, &mut modules)?;
            Ok(fetched.commit)
        })?;
        Ok((Commit::from(commit), modules, notes.into_inner()))
    })?;
    let (commit, modules, notes) = fetched.ok_or_else(|| explain::silent(source.url(), patience))?;
    let dir = source.dir().map_or_else(|| Ok(root.clone()), |dir| inside(&root, dir))?;
    Ok(Checkout { root, dir, commit, modules, notes, _temporary: Some(temporary) })
}

fn private_folder(folder: &Path) -> std::io::Result<TempDir> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    tempfile::Builder::new().prefix("checkout-").permissions(Permissions::from_mode(0o700)).tempdir_in(folder)
}

fn inside(root: &Path, dir: &str) -> Result<PathBuf> {
    let hint = "after `#ref:` comes a folder of the repository";
    let path = paths::existing_inside(root, dir).or_hint(hint)?;
    if !path.is_dir() {
        return Err(fault(format!("`{dir}` is no folder"), hint));
    }
    Ok(path)
}

/// A folder for the checkouts of one run, gone when dropped. While it is there its lock is held: so others tell it
/// from what a killed run left.
#[derive(Debug)]
pub struct Workplace {
    folder: TempDir,
    _lock: File,
}

impl Workplace {
    /// A new one below `folder`. The caller holds the lock of a turn, so nobody sweeps meanwhile.
    pub fn new(folder: &Path) -> Result<Self> {
        let make = || {
            let made = private_folder(folder)?;
            let lock = File::create(made.path().join(lock::OF_A_RUN))?;
            lock.lock()?;
            Ok::<_, std::io::Error>(Self { folder: made, _lock: lock })
        };
        make()
            .with_context(|| format!("cannot make a folder in `{}`", folder.display()))
            .or_hint("check the permissions and the free space there")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What tells its run from others of the same database.
    pub fn run(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Removes what killed runs left in `folder`. The caller holds the lock of a turn; what other runs work with stays.
pub fn sweep(folder: &Path) -> Result<()> {
    let what = || format!("cannot clean `{}`", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(what)?,
    };
    for entry in entries {
        let entry = entry.with_context(what)?;
        if !entry.file_type().with_context(what)?.is_dir() {
            fs::remove_file(entry.path()).with_context(what)?;
        } else if !lock::is_held(&entry.path().join(lock::OF_A_RUN)) {
            fs::remove_dir_all(entry.path()).with_context(what)?;
        }
    }
    Ok(())
}
