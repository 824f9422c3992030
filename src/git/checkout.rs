//! The files of one commit, in a private temporary folder that is gone when dropped.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use tempfile::TempDir;

use super::fetch::{Folders, Way};
use super::files::{Files, Opened, Wanted};
use super::kept::Kept;
use super::trees::Modules;
use super::{Commit, LONGEST_TRANSFER, Tracked, Transfer};
use crate::fault::{OrHint, fault};
use crate::lock;
use crate::paths::{Root, Supply};
use crate::settings::GitAccess;
use crate::signature::{Signed, Signers};
use crate::source::Source;

/// A commit's files, submodules included. They are read, never written.
#[derive(Debug)]
pub struct Checkout {
    root: Root,
    dir: PathBuf,
    commit: Commit,
    signed: Option<Signed>,
    files: Option<Arc<Files>>,
    /// git's own folder.
    git: PathBuf,
    temporary: Option<TempDir>,
}

/// How a commit is had.
struct Order<'a> {
    folder: &'a Path,
    access: &'a GitAccess,
    transfer: &'a Arc<Transfer>,
    signers: Option<Arc<Signers>>,
    way: Way,
    longest: Duration,
}

impl Checkout {
    /// The whole repository; symlinks in its path are resolved.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The folder that the source names; the root without one.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder for what a run makes of the files: private, and gone with them.
    pub fn beside(&self) -> PathBuf {
        self.temporary.as_ref().map_or_else(std::env::temp_dir, |temporary| temporary.path().to_path_buf())
    }

    /// What is worth telling of how it was had, and was not taken yet.
    pub fn take_notes(&self) -> Vec<String> {
        self.files.as_ref().map(|files| files.take_notes()).unwrap_or_default()
    }

    /// The first error of those that came up while files were written out, if there was one.
    pub fn take_failure(&self) -> Option<Error> {
        self.files.as_ref()?.take_failure()
    }

    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    /// By whom it is, where somebody must have signed it.
    pub fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// git's id of a file or folder of the commit, by its path with symlinks resolved: of the same id is the
    /// same content, modes and submodules included. No file is read.
    pub fn content_id(&self, path: &Path) -> Result<String> {
        self.files()?.id(path).with_context(|| format!("`{}` has no id in git", path.display()))
    }

    /// All files that git has at and below `path`, which is absolute and has no symlink in it.
    pub fn tracked(&self, path: &Path) -> Result<Vec<Tracked>> {
        self.files()?.tracked(self.root.path(), path.strip_prefix(self.root.path())?)
    }

    /// git's own folder: bare, with its objects or where they are, and gone with the files.
    pub(super) fn git(&self) -> &Path {
        &self.git
    }

    fn files(&self) -> Result<&Files> {
        self.files.as_deref().context("it has no files")
    }

    /// A repository that lies on disk already, at no commit; its index counts.
    #[cfg(test)]
    pub fn of(root: &Path) -> Self {
        let files = Some(Arc::new(Files::of(root, GitAccess::of_tests())));
        let (dir, commit) = (root.to_path_buf(), Commit("0".repeat(40)));
        let git = root.join(".git");
        Self { dir, root: Root::on_disk(root), commit, signed: None, files, git, temporary: None }
    }

    /// Of this commit, with no files.
    #[cfg(test)]
    pub fn at(commit: Commit) -> Self {
        let root = Root::on_disk(Path::new(""));
        let (dir, git) = (PathBuf::new(), PathBuf::new());
        Self { dir, root, commit, signed: None, files: None, git, temporary: None }
    }

    #[cfg(test)]
    pub(super) fn repository(&self) -> git2::Repository {
        self.files().unwrap().repository()
    }
}

/// Fetches `commit` of `source`; its files come into a new folder below `folder`, which is made if it is missing.
/// `transfer` tells how far it has come. Where there are `signers`, none of it is read that none of them signed.
pub fn checkout(
    source: &Source,
    commit: &Commit,
    folder: &Path,
    access: &GitAccess,
    transfer: &Arc<Transfer>,
    signers: Option<Arc<Signers>>,
) -> Result<Checkout> {
    let order = Order { folder, access, transfer, signers, way: Way::Keep, longest: LONGEST_TRANSFER };
    make(source, commit, order).with_context(|| format!("source `{source}`"))
}

/// Likewise for who changes them: nothing is kept of it, and nobody waited for who fetches for a sync.
pub(super) fn apart(
    source: &Source,
    commit: &Commit,
    folder: &Path,
    access: &GitAccess,
    way: Way,
    longest: Duration,
) -> Result<Checkout> {
    let transfer = &Arc::new(Transfer::new());
    let order = Order { folder, access, transfer, signers: None, way, longest };
    make(source, commit, order).with_context(|| format!("source `{source}`"))
}

fn make(source: &Source, commit: &Commit, order: Order<'_>) -> Result<Checkout> {
    let Order { folder, access, transfer, signers, way, longest } = order;
    let temporary = private_folder(folder)
        .with_context(|| format!("cannot make a folder in `{}`", folder.display()))
        .or_hint("check the permissions and the free space there")?;
    let below = temporary.path().canonicalize()?;
    let path = below.join("files");
    DirBuilder::new().mode(0o700).create(&path)?;
    let mut modules = Modules::new(below.join("git"));
    let folders = Folders { git: modules.add(&path), files: path.clone() };
    let git = folders.git.clone();
    let wanted = Wanted {
        url: source.url().to_owned(),
        name: source.reference().map(str::to_owned),
        signers,
        tag: None,
        commit: commit.oid()?,
        folders,
        way,
        kept: access.kept.as_deref().map(|folder| Kept::of(folder, source.url())),
        longest,
        access: access.clone(),
        transfer: Arc::clone(transfer),
    };
    let (files, Opened { commit, signed }) = Files::fetch(wanted, modules)?;
    let files = Arc::new(files);
    let supply: Arc<dyn Supply> = Arc::<Files>::clone(&files);
    let root = Root::supplied(path.clone(), supply);
    let dir = source.dir().map_or_else(|| Ok(path), |dir| inside(&root, dir));
    let dir = dir.map_err(|error| files.take_failure().unwrap_or(error))?;
    Ok(Checkout { root, dir, commit, signed, files: Some(files), git, temporary: Some(temporary) })
}

fn private_folder(folder: &Path) -> std::io::Result<TempDir> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    tempfile::Builder::new().prefix("checkout-").permissions(Permissions::from_mode(0o700)).tempdir_in(folder)
}

fn inside(root: &Root, dir: &str) -> Result<PathBuf> {
    let hint = "after `#ref:` comes a folder of the repository";
    let path = root.resolve(root.path(), dir).or_hint(hint)?;
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
