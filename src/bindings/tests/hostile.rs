//! What a container puts in the way, and where no binding may lie.

use super::*;
use crate::guard::Closed;

#[test]
fn no_symlink_is_followed_below_the_folder() {
    let mut pair = Pair::new();
    let outside = tempfile::tempdir().unwrap();
    let safe = || assert_eq!(fs::read_to_string(outside.path().join("a")).unwrap(), "safe");
    fs::write(outside.path().join("a"), "safe").unwrap();
    pair.write("deep/a", "evil");
    pair.write("top", "new");
    pair.counts();
    fs::remove_dir_all(pair.target("deep")).unwrap();
    symlink(outside.path(), pair.target("deep")).unwrap();
    fs::remove_file(pair.target("top")).unwrap();
    symlink(outside.path().join("a"), pair.target("top")).unwrap();
    // Both symlinks were a container's, and are kept; what they point to is nobody's business.
    assert_eq!(pair.sync().unwrap().kept.len(), 2);
    safe();
    assert_eq!([pair.read("top"), pair.read("deep/a")], ["new", "evil"]);
    fs::remove_dir_all(pair.target("deep")).unwrap();
    symlink(outside.path(), pair.target("deep")).unwrap();
    fs::remove_dir_all(pair.source("deep")).unwrap();
    pair.sync().unwrap();
    safe();
    // Nor does the place for what is kept lead elsewhere.
    let aside = pair.folder.path().join("nfs").join(KEPT);
    fs::remove_dir_all(&aside).unwrap();
    symlink(outside.path(), &aside).unwrap();
    fs::write(pair.target("top"), "container's").unwrap();
    pair.write("top", "newer");
    assert!(pair.sync().is_err());
    assert_eq!(pair.read("top"), "container's");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn what_is_neither_file_nor_symlink_is_in_the_way() {
    let mut pair = Pair::new();
    pair.write("pipe", "x");
    fs::create_dir(pair.target("")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(pair.target("pipe")).unwrap();
    let error = format!("{:#}", pair.sync().unwrap_err());
    assert!(error.contains("neither file nor symlink") && error.contains("move it away"), "{error}");
    assert!(pair.target("pipe").exists());
}

#[test]
fn what_a_container_put_there_is_opened_only_if_it_is_a_file() {
    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    let mut pair = Pair::new();
    pair.write("a", "x");
    pair.counts();
    fs::remove_file(pair.target("a")).unwrap();
    // It stands for a device, which only root could make: of some the opening is an act.
    rustix::fs::mkfifoat(rustix::fs::CWD, pair.target("a"), Mode::from_raw_mode(0o600)).unwrap();
    let watch = init(CreateFlags::NONBLOCK).unwrap();
    add_watch(&watch, pair.target("a"), WatchFlags::OPEN).unwrap();
    assert!(pair.sync().is_err());
    let nfs = pair.folder.path().join("nfs");
    assert!(remove(pair.destination(&nfs), &pair.known).unwrap().left.contains(&pair.target("a")));
    let mut events = [std::mem::MaybeUninit::uninit(); 512];
    let opened = Reader::new(&watch, &mut events).next().map(|event| event.events());
    assert_eq!(opened, Err(Errno::WOULDBLOCK));
}

#[test]
fn names_like_those_of_dockerops_are_a_containers_own() {
    let mut pair = Pair::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("a"), "safe").unwrap();
    pair.write("a", "one");
    pair.write("deep/a", "one");
    pair.counts();
    let name = format!(".dockerops-sync-{}", std::process::id());
    for folder in ["", "deep"] {
        fs::write(pair.target(folder).join(&name), "container's").unwrap();
        fs::write(pair.target(folder).join(".dockerops-sync-1"), "container's").unwrap();
        symlink(outside.path().join("a"), pair.target(folder).join(".dockerops-sync-2")).unwrap();
    }
    pair.write("a", "two");
    fs::remove_dir_all(pair.source("deep")).unwrap();
    pair.write("b", "two");
    let Synced { written, removed, kept, left } = pair.sync().unwrap();
    assert_eq!((written, removed, kept, left), (2, 1, vec![], vec![pair.target("deep")]));
    for folder in ["", "deep"] {
        for name in [&*name, ".dockerops-sync-1"] {
            assert_eq!(fs::read_to_string(pair.target(folder).join(name)).unwrap(), "container's");
        }
        assert!(pair.target(folder).join(".dockerops-sync-2").is_symlink());
    }
    assert_eq!(fs::read_to_string(outside.path().join("a")).unwrap(), "safe");
    // Nothing is left of the folder that its own files were made in.
    assert_eq!(fs::read_dir(pair.nfs()).unwrap().count(), 1);
}

#[test]
fn a_file_with_another_name_is_replaced_and_the_other_name_left_alone() {
    let mut pair = Pair::new();
    pair.write("a", "x");
    pair.counts();
    fs::hard_link(pair.target("a"), pair.target("other")).unwrap();
    fs::set_permissions(pair.target("other"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(pair.counts(), (1, 0));
    assert_eq!([mode(&pair.target("a")), mode(&pair.target("other"))], [0o644, 0o600]);
    assert_eq!(pair.target("other").metadata().unwrap().nlink(), 1);
}

#[test]
fn a_place_that_is_not_for_bindings_is_neither_written_nor_cleaned() {
    let mut pair = Pair::new();
    pair.write("a", "x");
    pair.counts();
    let nfs = pair.nfs();
    pair.guard.keep(nfs.join("conf"), "somebody's");
    pair.write("a", "y");
    let forbidden = |error: anyhow::Error| match error.downcast::<Closed>() {
        Ok(Closed::Forbidden(why)) => why,
        error => panic!("{error:?}"),
    };
    let why = forbidden(pair.sync().unwrap_err());
    assert!(why.starts_with(&format!("`{}` holds `{}`", nfs.display(), nfs.join("conf").display())), "{why}");
    forbidden(remove(pair.destination(&nfs), &pair.known).unwrap_err());
    assert_eq!(pair.read("a"), "x");
    assert_eq!(fs::read_dir(&nfs).unwrap().count(), 1);
    fs::remove_dir_all(&nfs).unwrap();
    assert_eq!(remove(pair.destination(&nfs), &pair.known).unwrap(), Synced::default());
}
