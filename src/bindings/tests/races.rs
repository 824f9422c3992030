//! A container that swaps what lies in its binding, again and again, while syncs run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::fs::{CWD, mkfifoat};

use super::*;
use crate::bindings::folder::Folder;
use crate::bindings::stage::Stage;

/// How long each of them goes on, and how often it happens at least, on a machine however busy.
const LONG: Duration = Duration::from_millis(1500);
const OFTEN: usize = 20;

/// A folder that no sync may touch, and what it is like.
struct Outside {
    folder: tempfile::TempDir,
    before: Vec<(PathBuf, u32, u32, i64, String)>,
}

impl Outside {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        for name in ["a", "in/a", "in/gone"] {
            // What the repository has there too: so that it would be put right.
            fs::write(folder.path().join(name), "version 1").unwrap();
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let before = Self::list(folder.path());
        Self { folder, before }
    }

    fn list(folder: &Path) -> Vec<(PathBuf, u32, u32, i64, String)> {
        let found = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
        let one = |found: walkdir::DirEntry| {
            let metadata = found.metadata().unwrap();
            let text = fs::read_to_string(found.path()).unwrap_or_default();
            (found.into_path(), metadata.mode(), metadata.uid(), metadata.ctime_nsec(), text)
        };
        found.map(one).collect()
    }

    #[track_caller]
    fn is_untouched(&self) {
        assert_eq!(Self::list(self.folder.path()), self.before);
    }
}

/// Runs `swap` again and again beside `act`, which is called as long.
fn beside(swap: impl Fn() + Sync, mut act: impl FnMut(usize)) {
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            // Not for ever, should the other side fail.
            while !over.load(Ordering::Relaxed) && begun.elapsed() < 100 * LONG {
                swap();
            }
        });
        let mut calls = 0;
        while begun.elapsed() < LONG || calls < OFTEN {
            act(calls);
            calls += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// A binding whose folder `in` comes and goes, whose files change, and whose mode and owner are wrong by turns.
fn turn(pair: &mut Pair, number: usize) {
    pair.write("in/a", &format!("version {}", number % 3));
    if number.is_multiple_of(2) {
        pair.write("in/gone", "x");
    } else {
        let _ = fs::remove_file(pair.source("in/gone"));
    }
    if rustix::process::geteuid().is_root() {
        pair.owner = [None, Some((1000, 33))][number % 2];
    }
    // It may fail, and does, when something is in the way.
    let _ = pair.sync();
    if number % 5 == 4 {
        let nfs = pair.nfs();
        let _ = remove(pair.destination(&nfs), &pair.known);
    }
}

#[test]
fn a_folder_swapped_for_a_symlink_leads_nowhere() {
    let (mut pair, outside) = (Pair::new(), Outside::new());
    turn(&mut pair, 0);
    let (folder, parked) = (pair.target("in"), pair.target("parked"));
    beside(
        || {
            let _ = fs::rename(&folder, &parked);
            let _ = symlink(outside.folder.path().join("in"), &folder);
            let _ = fs::remove_file(&folder);
            let _ = fs::rename(&parked, &folder);
        },
        |number| turn(&mut pair, number),
    );
    outside.is_untouched();
}

#[test]
fn a_file_swapped_for_a_symlink_a_pipe_or_another_name_leads_nowhere() {
    let (mut pair, outside) = (Pair::new(), Outside::new());
    turn(&mut pair, 0);
    let (file, parked) = (pair.target("in/a"), pair.target("parked"));
    let mine = pair.target("mine");
    fs::write(&mine, "version 1").unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o600)).unwrap();
    beside(
        || {
            let put = |make: &dyn Fn()| {
                let _ = fs::remove_file(&parked);
                make();
                let _ = fs::rename(&parked, &file);
            };
            put(&|| symlink(outside.folder.path().join("a"), &parked).unwrap());
            put(&|| mkfifoat(CWD, &parked, Mode::from_raw_mode(0o600)).unwrap());
            put(&|| fs::hard_link(&mine, &parked).unwrap());
            put(&|| fs::write(&parked, "version 1").unwrap());
        },
        |number| turn(&mut pair, number),
    );
    outside.is_untouched();
    // What the container has under another name is what it was.
    assert_eq!(fs::read_to_string(&mine).unwrap(), "version 1");
}

#[test]
fn what_somebody_wrote_to_before_it_could_be_looked_at_is_not_taken_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    let place = || Folder::from(std::os::fd::OwnedFd::from(fs::File::open(folder.path()).unwrap()));
    let root = place();
    let stage = Stage::make(&root, "stage", None).unwrap();
    let put = |writes: bool| {
        let (file, name) = stage.file().unwrap();
        let staged = stage.finished(name).unwrap();
        tick();
        if writes {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).unwrap();
            std::io::Write::write_all(&mut &file, b"somebody's").unwrap();
        }
        stage.put(&staged, &place(), OsStr::new("a")).unwrap().map(|stat| inventory::stamp(&stat))
    };
    let now = || inventory::stamp(&rustix::fs::stat(folder.path().join("a")).unwrap());
    assert_eq!(put(false), Some(now()));
    assert_eq!(put(true), None);
    drop(stage);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
