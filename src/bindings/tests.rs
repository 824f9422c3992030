mod hostile;
mod races;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{ObjectType, Oid};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::*;
use crate::paths::Root;

/// A checkout's `conf` and the place it is copied to.
struct Pair {
    folder: tempfile::TempDir,
    known: Inventory,
    owner: Option<(u32, u32)>,
    guard: Guard,
}

/// What git would say of the files at `source`.
fn files(source: &Path) -> Vec<File> {
    let found = walkdir::WalkDir::new(source).into_iter().map(Result::unwrap);
    found
        .filter_map(|found| {
            let path = found.path().strip_prefix(source).unwrap().to_path_buf();
            let kind = if found.file_type().is_dir() {
                return None;
            } else if found.file_type().is_symlink() {
                let target = fs::read_link(found.path()).unwrap();
                let id = Oid::hash_object(ObjectType::Blob, target.as_os_str().as_bytes()).unwrap();
                Kind::Link { target, id }
            } else {
                let executable = mode(found.path()) & 0o100 != 0;
                Kind::File { executable, id: Oid::hash_file(ObjectType::Blob, found.path()).unwrap() }
            };
            Some(File { path, kind })
        })
        .collect()
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("repo/conf")).unwrap();
        fs::create_dir(folder.path().join("nfs")).unwrap();
        Self { folder, known: Inventory::new(), owner: None, guard: Guard::default() }
    }

    fn source(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("repo/conf").join(path)
    }

    fn target(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("nfs/conf").join(path)
    }

    fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.source(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn tree(&self) -> anyhow::Result<Tree> {
        let source = self.source("");
        let source = source.parent().unwrap().join("conf");
        Tree::new(&Root::on_disk(&self.folder.path().join("repo")), &source, files(&source))
    }

    fn nfs(&self) -> PathBuf {
        self.folder.path().join("nfs")
    }

    fn destination<'a>(&'a self, nfs: &'a Path) -> Destination<'a> {
        Destination { root: nfs, path: Path::new("conf"), owner: self.owner, guard: &self.guard }
    }

    /// What a sync does, its new inventory being noted.
    fn sync(&mut self) -> anyhow::Result<Synced> {
        let nfs = self.nfs();
        let (synced, inventory) =
            Opened::open(self.destination(&nfs))?.sync(&self.tree()?, &self.known, &|_| {})?;
        self.known = inventory;
        Ok(synced)
    }

    /// Written and removed, nothing having been in the way.
    fn counts(&mut self) -> (usize, usize) {
        let Synced { written, removed, kept, left } = self.sync().unwrap();
        assert_eq!((kept, left), (vec![], vec![]));
        (written, removed)
    }

    fn read(&self, path: impl AsRef<Path>) -> String {
        fs::read_to_string(self.target(path)).unwrap()
    }
}

/// The file system's clock has gone on.
fn tick() {
    std::thread::sleep(Duration::from_millis(20));
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_what_differs_is_written_and_what_was_dropped_goes() {
    let mut pair = Pair::new();
    let odd = std::ffi::OsStr::from_bytes(b"a b\n\xff");
    pair.write(odd, "odd");
    pair.write("deep/er/run", "x");
    fs::set_permissions(pair.source("deep/er/run"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("deep/er/run", pair.source("link")).unwrap();
    assert_eq!(pair.counts(), (3, 0));
    assert_eq!(pair.read(odd), "odd");
    assert_eq!(fs::read_link(pair.target("link")).unwrap(), Path::new("deep/er/run"));
    assert_eq!([mode(&pair.target("")), mode(&pair.target("deep/er"))], [0o755, 0o755]);
    assert_eq!([mode(&pair.target("deep/er/run")), mode(&pair.target(odd))], [0o755, 0o644]);
    let inode = pair.target("deep/er/run").metadata().unwrap().ino();
    fs::write(pair.target("deep/log"), "container").unwrap();
    assert_eq!(pair.counts(), (0, 0));
    assert_eq!(pair.target("deep/er/run").metadata().unwrap().ino(), inode);
    fs::remove_dir_all(pair.source("deep")).unwrap();
    fs::remove_file(pair.source("link")).unwrap();
    pair.write(odd, "new");
    let Synced { written, removed, left, .. } = pair.sync().unwrap();
    // The link, `deep/er/run` and `deep/er`; `deep` holds a container's file.
    assert_eq!((written, removed, left), (1, 3, vec![pair.target("deep")]));
    assert_eq!((pair.read("deep/log"), pair.read(odd)), ("container".into(), "new".into()));
    assert!(!pair.target("deep/er").exists());
}

#[test]
fn what_others_wrote_at_a_path_of_the_repository_is_kept() {
    let mut pair = Pair::new();
    pair.write("a", "one");
    pair.write("gone", "one");
    assert_eq!(pair.counts(), (2, 0));
    // Changed behind our back: once beside a change in git, once where git dropped it.
    for name in ["a", "gone"] {
        fs::write(pair.target(name), "container's").unwrap();
    }
    fs::write(pair.target("new"), "before").unwrap();
    fs::write(pair.target("same"), "same").unwrap();
    pair.write("a", "two");
    pair.write("new", "git's");
    pair.write("same", "same");
    fs::remove_file(pair.source("gone")).unwrap();
    let Synced { written, removed, mut kept, left } = pair.sync().unwrap();
    assert_eq!((written, removed, left), (2, 0, vec![pair.target("gone")]));
    assert_eq!([pair.read("a"), pair.read("new"), pair.read("gone")], ["two", "git's", "container's"]);
    kept.sort();
    let texts: Vec<_> = kept.iter().map(|(_, at)| fs::read_to_string(at).unwrap()).collect();
    assert_eq!(texts, ["container's", "before"]);
    let aside = pair.folder.path().join("nfs").join(KEPT);
    assert!(kept.iter().all(|(_, at)| at.starts_with(&aside)), "{kept:?}");
    assert_eq!(mode(&aside), 0o700);
    // What is kept is nobody's to remove, and not kept twice.
    assert_eq!(pair.counts(), (0, 0));
    let nfs = pair.folder.path().join("nfs");
    assert_eq!(remove(pair.destination(&nfs), &pair.known).unwrap().left, [nfs.join("conf")]);
    assert_eq!(fs::read_to_string(&kept[0].1).unwrap(), "container's");
}

#[test]
fn a_sync_that_was_cut_off_knows_its_own_files_again() {
    let mut pair = Pair::new();
    pair.write("a", "one");
    pair.write("b", "one");
    pair.counts();
    pair.write("a", "two");
    pair.write("b", "two");
    // Killed between `a` and `b`: both versions are noted, one file of each lies there.
    let nfs = pair.folder.path().join("nfs");
    let planned = Opened::open(pair.destination(&nfs)).unwrap().planned(&pair.tree().unwrap()).unwrap();
    let stage = inventory::stages(&planned)[0].to_owned();
    for (path, items) in planned {
        pair.known.entry(path).or_default().extend(items);
    }
    tick();
    fs::write(pair.target("a"), "two").unwrap();
    let left = |folder: &Path, name: &OsStr| {
        let folder = folder.join(format!("{}-ab", name.display()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cd"), "half").unwrap();
        folder
    };
    // Beside the bindings, or in one where another file system is mounted.
    let swept = [left(&nfs, &stage), left(&pair.target(""), &stage)];
    let others = left(&nfs, OsStr::new(".dockerops-sync-0123456789abcdef0123456789abcdef"));
    Opened::open(pair.destination(&nfs)).unwrap().sweep(&pair.known).unwrap();
    assert_eq!([swept[0].exists(), swept[1].exists(), others.exists()], [false, false, true]);
    fs::remove_dir_all(others).unwrap();
    assert_eq!(pair.counts(), (1, 0));
    assert_eq!([pair.read("a"), pair.read("b")], ["two", "two"]);
    assert_eq!(fs::read_dir(pair.target("")).unwrap().count(), 2);
    assert_eq!(remove(pair.destination(&nfs), &pair.known).unwrap().removed, 3);
    assert_eq!(fs::read_dir(&nfs).unwrap().count(), 0);
}

#[test]
fn a_file_that_lies_untouched_is_not_read_again() {
    let mut pair = Pair::new();
    pair.write("a", "one");
    pair.counts();
    let stamp = |pair: &Pair| pair.known[Path::new("a")][0].stamp.clone();
    let first = stamp(&pair);
    assert!(!first.is_empty());
    tick();
    // A time of change this young proves nothing of a file that somebody else wrote.
    fs::write(pair.target("a"), "one").unwrap();
    pair.counts();
    assert!(stamp(&pair).is_empty());
    std::thread::sleep(Duration::from_millis(2_100));
    pair.counts();
    assert!(!stamp(&pair).is_empty() && stamp(&pair) != first);
    // The stamp says `one` lies there, so nobody looks into the checkout, where the text was tampered with.
    let tree = pair.tree().unwrap();
    fs::write(pair.source("a"), "not").unwrap();
    let nfs = pair.nfs();
    let synced = Opened::open(pair.destination(&nfs)).unwrap().sync(&tree, &pair.known, &|_| {}).unwrap().0;
    assert_eq!((synced, pair.read("a")), (Synced::default(), "one".to_owned()));
    // A container that changes it and sets the clock of the file back is seen all the same.
    let before = pair.target("a").metadata().unwrap().modified().unwrap();
    fs::write(pair.source("a"), "one").unwrap();
    fs::write(pair.target("a"), "two").unwrap();
    fs::File::options().write(true).open(pair.target("a")).unwrap().set_modified(before).unwrap();
    assert_eq!(pair.sync().unwrap().kept.len(), 1);
    assert_eq!(pair.read("a"), "one");
}

#[test]
fn mode_and_owner_are_put_right_without_a_new_file() {
    let mut pair = Pair::new();
    pair.write("deep/a", "x");
    pair.counts();
    let inode = pair.target("deep/a").metadata().unwrap().ino();
    fs::set_permissions(pair.target("deep/a"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(pair.target("deep"), fs::Permissions::from_mode(0o700)).unwrap();
    let root = rustix::process::geteuid().is_root();
    pair.owner = root.then_some((1000, 33));
    assert_eq!(pair.counts(), (0, 0));
    let found = pair.target("deep/a").metadata().unwrap();
    assert_eq!((found.ino(), mode(&pair.target("deep/a"))), (inode, 0o644));
    // A container may have closed its folder to others.
    assert_eq!(mode(&pair.target("deep")), 0o700);
    if root {
        assert_eq!((found.uid(), found.gid()), (1000, 33));
        assert_eq!(pair.target("deep").metadata().unwrap().uid(), 1000);
        std::os::unix::fs::chown(pair.target("deep"), Some(70), Some(70)).unwrap();
        pair.owner = Some((1001, 33));
        pair.counts();
        assert_eq!(pair.target("deep").metadata().unwrap().uid(), 70, "a container took it");
        assert_eq!(pair.target("deep/a").metadata().unwrap().uid(), 1001);
    }
}

#[test]
fn a_path_changes_from_file_to_folder_and_back_unless_others_wrote_there() {
    let mut pair = Pair::new();
    pair.write("a", "file");
    pair.counts();
    fs::remove_file(pair.source("a")).unwrap();
    pair.write("a/b", "inner");
    assert_eq!(pair.counts(), (1, 0));
    assert_eq!(pair.read("a/b"), "inner");
    fs::remove_dir_all(pair.source("a")).unwrap();
    pair.write("a", "file");
    fs::write(pair.target("a/log"), "container").unwrap();
    let error = format!("{:#}", pair.sync().unwrap_err());
    assert!(error.contains("conf/a") && error.contains("is in the way"), "{error}");
    assert_eq!(pair.read("a/log"), "container");
    fs::remove_file(pair.target("a/log")).unwrap();
    pair.sync().unwrap();
    assert_eq!(pair.read("a"), "file");
    symlink("x", pair.source("b")).unwrap();
    pair.write("x", "x");
    pair.sync().unwrap();
    fs::remove_file(pair.source("b")).unwrap();
    pair.write("b/c", "folder");
    assert_eq!(pair.counts(), (1, 0));
    assert_eq!(pair.read("b/c"), "folder");
}

#[test]
fn a_file_that_would_take_days_to_read_holds_up_nothing_and_is_kept() {
    const SIZE: u64 = 1 << 40;
    let mut pair = Pair::new();
    pair.write("a", "x");
    pair.write("gone", "x");
    pair.counts();
    for name in ["a", "gone"] {
        fs::File::create(pair.target(name)).unwrap().set_len(SIZE).unwrap();
    }
    fs::remove_file(pair.source("gone")).unwrap();
    let Synced { kept, left, .. } = pair.sync().unwrap();
    assert_eq!((pair.read("a").as_str(), left), ("x", vec![pair.target("gone")]));
    assert_eq!(kept[0].1.metadata().unwrap().len(), SIZE);
}

#[test]
fn symlinks_out_of_the_repository_are_refused() {
    for target in ["/etc/passwd", "../../x", "../../../etc/passwd"] {
        let mut pair = Pair::new();
        symlink(target, pair.source("link")).unwrap();
        assert!(format!("{:#}", pair.sync().unwrap_err()).contains("out of the repository"), "{target}");
        assert!(!pair.target("").exists());
    }
}

#[test]
fn a_binding_may_be_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, "x").unwrap();
    let nfs = tempfile::tempdir().unwrap();
    let guard = Guard::default();
    let destination =
        Destination { root: nfs.path(), path: Path::new("etc/a.conf"), owner: None, guard: &guard };
    let tree = Tree::new(&Root::on_disk(folder.path()), &file, files(&file)).unwrap();
    let opened = Opened::open(destination).unwrap();
    let (synced, inventory) = opened.sync(&tree, &Inventory::new(), &|_| {}).unwrap();
    assert_eq!(synced.written, 1);
    assert_eq!(fs::read_to_string(nfs.path().join("etc/a.conf")).unwrap(), "x");
    assert_eq!(opened.sync(&tree, &inventory, &|_| {}).unwrap().0, Synced::default());
    assert_eq!(remove(destination, &inventory).unwrap().removed, 1);
    assert!(!nfs.path().join("etc/a.conf").exists());
}
