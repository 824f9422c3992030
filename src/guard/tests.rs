use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Why `folder` stays closed; `None` where it opens.
fn why(guard: &Guard, folder: &Path) -> Option<String> {
    match guard.open(folder) {
        Ok(_) => None,
        Err(Closed::Forbidden(why)) => Some(why),
        Err(Closed::Unknown(error)) => panic!("{}: {error}", folder.display()),
    }
}

/// A temporary folder by its real path, with these folders in it.
fn folders(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

#[test]
fn what_is_kept_is_kept_with_what_it_lies_in_and_what_lies_in_it() {
    let (_folder, at) = folders(&["state/deep", "state-not", "free/deep"]);
    symlink(at.join("state/deep"), at.join("alias")).unwrap();
    let mut guard = Guard::default();
    guard.keep(at.join("state"), "the database");
    let what = "the database; name another folder";
    let kept = format!("`{}`, {what}", at.join("state").display());
    for (name, how) in [
        ("state", format!("`{}` is {what}", at.join("state").display())),
        ("state/deep", format!("`{}` lies in {kept}", at.join("state/deep").display())),
        ("", format!("`{}` holds {kept}", at.join("").display())),
        ("free/../state", format!("`{}`, which leads to", at.join("free/../state").display())),
        (
            "alias",
            format!(
                "`{0}`, which leads to `{1}`, lies in {kept}",
                at.join("alias").display(),
                at.join("state/deep").display()
            ),
        ),
    ] {
        let why = why(&guard, &at.join(name)).unwrap_or_else(|| panic!("`{name}` opens"));
        assert!(why.starts_with(&how), "{why}");
    }
    for name in ["state-not", "free", "free/deep"] {
        assert_eq!(why(&guard, &at.join(name)), None, "{name}");
    }
}

#[test]
fn what_is_kept_need_not_be_there_yet() {
    let (_folder, at) = folders(&["home", "free"]);
    symlink(at.join("home"), at.join("alias")).unwrap();
    let mut guard = Guard::default();
    guard.keep(at.join("alias/me/.ssh"), "keys");
    assert!(why(&guard, &at.join("home")).unwrap().contains("holds"));
    fs::create_dir(at.join("home/me")).unwrap();
    assert!(why(&guard, &at.join("home/me")).unwrap().contains("holds"));
    fs::create_dir_all(at.join("home/me/data")).unwrap();
    assert_eq!(why(&guard, &at.join("home/me/data")), None);
    assert_eq!(why(&guard, &at.join("free")), None);
}

#[test]
fn a_file_is_kept_with_its_folder_unless_that_is_the_root() {
    let (_folder, at) = folders(&["secrets/deep", "free"]);
    fs::write(at.join("secrets/token"), "t").unwrap();
    let mut guard = Guard::default();
    guard.keep_around(&at.join("secrets/token"), "a token");
    guard.keep_around(Path::new("/token"), "another token");
    for name in ["secrets", "secrets/deep"] {
        assert!(why(&guard, &at.join(name)).unwrap().contains("a token"), "{name}");
    }
    assert_eq!(why(&guard, &at.join("free")), None);
}

#[test]
fn the_machine_is_kept_whatever_is_allowed() {
    let guard = Guard::default();
    for (folder, what) in [
        ("/", "holds `/"),
        ("/etc", "`/etc` is a folder of the system; name another folder"),
        ("/proc/self/fd", "lies in a file system of the kernel (`proc`)"),
        ("/sys", "a file system of the kernel"),
        ("/dev", "kernel"),
        ("/usr/bin", "/usr/bin` "),
        ("/var", "holds `/var/"),
        ("/var/lib", "holds `/var/lib/containerd`, docker's own data"),
    ] {
        let why = why(&guard, Path::new(folder)).unwrap_or_else(|| panic!("`{folder}` opens"));
        assert!(why.contains(what), "{why}");
    }
    let guard = Guard::new(vec!["/".into()]);
    for folder in ["/etc", "/proc", "/usr/bin"] {
        assert!(why(&guard, Path::new(folder)).is_some(), "{folder}");
    }
}

#[test]
fn roots_bound_what_is_allowed_and_can_allow_a_folder_of_the_system() {
    let (_folder, at) = folders(&["roots/deep", "free", "state"]);
    symlink(at.join("roots"), at.join("alias")).unwrap();
    symlink(at.join("free"), at.join("roots/out")).unwrap();
    let mut guard = Guard::new(vec![at.join("alias"), "/usr/share".into(), at.join("state")]);
    guard.keep(at.join("state"), "the database");
    for folder in [at.join("roots"), at.join("roots/deep"), at.join("alias/deep"), "/usr/share".into()] {
        assert_eq!(why(&guard, &folder), None, "{}", folder.display());
    }
    for folder in [at.join("free"), at.join("roots/out"), at.clone(), "/usr/lib".into(), "/usr".into()] {
        let why = why(&guard, &folder).unwrap_or_else(|| panic!("`{}` opens", folder.display()));
        assert!(why.contains("lies in none of the folders that `DOCKEROPS_BINDING_ROOTS` names"), "{why}");
    }
    assert!(why(&guard, &at.join("state")).unwrap().contains("the database"));
}

#[test]
fn what_is_not_there_or_no_folder_is_no_matter_of_guarding() {
    let (_folder, at) = folders(&[]);
    fs::write(at.join("file"), "").unwrap();
    for (name, kind) in [("none", io::ErrorKind::NotFound), ("file", io::ErrorKind::NotADirectory)] {
        match Guard::default().open(&at.join(name)) {
            Err(Closed::Unknown(error)) => assert_eq!(error.kind(), kind),
            opened => panic!("{opened:?}"),
        }
    }
}

#[test]
fn a_user_who_logs_in_has_keys() {
    let keys = |line: &str| login(line).map(|kept| kept.path.display().to_string());
    assert_eq!(keys("a:x:1000:1000:A,,,:/home/a:/bin/bash").as_deref(), Some("/home/a/.ssh"));
    assert_eq!(keys("a:x:1000:1000::/home/a:").as_deref(), Some("/home/a/.ssh"));
    for line in [
        "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin",
        "sync:x:4:65534:sync:/bin:/bin/sync",
        "none:x:5:5::/:/bin/sh",
        "rubbish",
    ] {
        assert_eq!(keys(line), None, "{line}");
    }
}
