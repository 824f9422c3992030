//! What lies on disk is the commit, and it goes away.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::Lab;
use super::lab::{head, refusal};
use super::{checkout, whole};
use crate::git::{Checkout, Commit, sweep};
use crate::source::Source;

fn mode(path: &std::path::Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_path_and_a_file_url_are_fetched_into_a_private_folder_that_goes_away() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    fs::write(origin.work().join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(origin.work().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a", origin.work().join("link")).unwrap();
    let commit = origin.commit(&[("crlf", "x\r\ny\n")]);
    for source in [origin.path().to_owned(), format!("file://{}", origin.path())] {
        let made = lab.fetch(&source, &lab.access()).unwrap();
        assert_eq!(made.commit().to_string(), commit);
        assert_eq!(made.commit().short(), &commit[..12]);
        assert_eq!(made.dir(), made.root().path());
        assert_eq!(mode(made.root().path()), 0o700);
        assert_eq!(mode(&lab.path("checkouts")), 0o700);
        assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), "2");
        assert_eq!(fs::read_to_string(made.root().path().join("crlf")).unwrap(), "x\r\ny\n");
        assert_eq!(mode(&made.root().path().join("run")), 0o755);
        assert_eq!(mode(&made.root().path().join("a")), 0o644);
        assert_eq!(fs::read_link(made.root().path().join("link")).unwrap(), std::path::Path::new("a"));
        drop(made);
        assert_eq!(lab.leftovers(), 0);
    }
}

#[test]
fn http_fetches_one_commit_without_history() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&[]);
    let made = lab.fetch(&server.url("r"), &lab.access()).unwrap();
    assert_eq!(made.commit().to_string(), origin.head());
    let repository = made.repository();
    let parent = origin.git(&["rev-parse", "HEAD~1"]);
    assert!(repository.find_commit(git2::Oid::from_str(&parent).unwrap()).is_err());
}

#[test]
fn one_request_decides() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&[]);
    assert_eq!(head(&server.url("r"), &lab.access()).unwrap().to_string(), origin.head());
    let wanted = format!("GET /r.git/info/refs?service=git-upload-pack anon 127.0.0.1:{}", server.port);
    assert_eq!(server.log(), [wanted]);
}

#[test]
fn branches_tags_full_names_and_folders() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let old = origin.git(&["rev-parse", "HEAD~1"]);
    origin.git(&["tag", "-a", "v1", "-m", "one", "HEAD~1"]);
    origin.git(&["branch", "side/one", "HEAD~1"]);
    origin.git(&["push", "-q", "origin", "v1", "side/one"]);
    let server = lab.server(&[]);
    for base in [server.url("r"), origin.path().to_owned()] {
        for reference in ["v1", "side/one", "refs/tags/v1", "refs/heads/side/one"] {
            let made = lab.fetch(&format!("{base}#{reference}"), &lab.access()).unwrap();
            assert_eq!(made.commit().to_string(), old, "{reference}");
            assert_eq!(fs::read_to_string(made.dir().join("a")).unwrap(), "1");
        }
        let made = lab.fetch(&format!("{base}#:d"), &lab.access()).unwrap();
        assert_eq!(made.dir(), made.root().path().join("d"));
        assert!(made.dir().join("e").is_file());
        drop(made);
        for (dir, wanted) in [("nope", "does not exist"), ("a", "is no folder")] {
            let (error, hint) = refusal(lab.fetch(&format!("{base}#main:{dir}"), &lab.access()));
            assert!(error.contains(wanted) && error.contains(&base), "{error}");
            assert!(hint.contains("folder"), "{hint}");
        }
        assert_eq!(lab.leftovers(), 0);
    }
}

#[test]
fn a_folder_that_is_a_symlink_out_of_the_repository_is_refused() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    symlink("/etc", origin.work().join("out")).unwrap();
    origin.commit(&[]);
    let (error, _) = refusal(lab.fetch(&format!("{}#:out", origin.path()), &lab.access()));
    assert!(error.contains("leads out"), "{error}");
}

#[test]
fn what_was_decided_is_fetched_though_the_branch_has_moved() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    for arguments in [&[][..], &["--tips-only"]] {
        let server = lab.server(arguments);
        let url = server.url("r");
        let source = Source::parse(&url).unwrap();
        let decided = head(&url, &lab.access()).unwrap();
        origin.commit(&[("a", &format!("moved on to {}", server.port))]);
        let made = whole(&source, &decided, &lab.path("checkouts"), &lab.access()).unwrap();
        assert_eq!(made.commit(), &decided);
        let on_disk = made.repository();
        assert_eq!(on_disk.head().unwrap().target().unwrap().to_string(), decided.to_string());
        assert_ne!(fs::read_to_string(made.root().path().join("a")).unwrap(), "moved on", "{arguments:?}");
    }
}

#[test]
fn a_whole_commit_id_needs_no_ls_remote_and_an_unknown_one_is_an_error() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let old = origin.git(&["rev-parse", "HEAD~1"]);
    let unknown = "0123456789".repeat(4);
    for arguments in [&[][..], &["--tips-only"]] {
        let server = lab.server(arguments);
        let url = server.url("r");
        let source = format!("{url}#{old}");
        assert_eq!(head(&source, &lab.access()).unwrap(), Commit::parse(&old).unwrap());
        assert!(server.log().is_empty());
        let made = lab.fetch(&source, &lab.access()).unwrap();
        assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), "1");
        let (error, hint) = refusal(lab.fetch(&format!("{url}#{unknown}"), &lab.access()));
        assert!(error.contains(&unknown) && error.contains(&url), "{error}");
        assert!(hint.contains("branch or tag"), "{error} / {hint}");
    }
    let made = lab.fetch(&format!("{}#{old}", origin.path()), &lab.access()).unwrap();
    assert_eq!(made.commit().to_string(), old);
    assert!(Commit::parse("abc123").is_err());
}

#[test]
fn left_overs_are_swept_and_a_missing_folder_is_clean() {
    let lab = Lab::new();
    let folder = lab.path("checkouts");
    sweep(&folder).unwrap();
    fs::create_dir_all(folder.join("checkout-x/.git/objects")).unwrap();
    fs::write(folder.join("checkout-x/file"), "x").unwrap();
    fs::write(folder.join("file"), "x").unwrap();
    fs::create_dir(lab.path("kept")).unwrap();
    fs::write(lab.path("kept/file"), "x").unwrap();
    symlink(lab.path("kept"), folder.join("link")).unwrap();
    sweep(&folder).unwrap();
    assert_eq!(lab.leftovers(), 0);
    assert!(lab.path("kept/file").exists());
}

#[test]
fn equal_contents_have_equal_ids_whatever_changes_beside_them_and_git_adds_no_file() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    origin.commit(&[("app/app.py", "1"), ("other/x", "1")]);
    let ids = |paths: &[&str]| -> Vec<String> {
        let made = lab.fetch(origin.path(), &lab.access()).unwrap();
        assert!(!made.root().path().join(".git").exists());
        paths.iter().map(|path| made.content_id(&made.root().path().join(path)).unwrap()).collect()
    };
    let paths = ["", "app", "app/app.py", "other"];
    let first = ids(&paths);
    assert_eq!(first[2], origin.git(&["rev-parse", "HEAD:app/app.py"]));
    origin.commit(&[("other/x", "2")]);
    let second = ids(&paths);
    assert_eq!((&first[1..3], first[0] == second[0]), (&second[1..3], false));
    assert_ne!(first[3], second[3]);
    let made = lab.fetch(origin.path(), &lab.access()).unwrap();
    assert!(made.content_id(std::path::Path::new("/etc")).is_err());
    assert!(made.content_id(&made.root().path().join("none")).is_err());
}

/// Folders, files, and symlinks of all kinds, some of which lead nowhere, out, or in a circle.
fn maze(lab: &Lab) -> super::lab::Origin {
    let origin = lab.empty("maze");
    origin.commit(&[("a/b/c", "1"), ("a/d", "2"), ("e/f/g/h", "3"), ("e/i", "4")]);
    for (link, target) in [
        ("to-a", "a"),
        ("a/up", ".."),
        ("a/b/over", "../../e/f"),
        ("e/f/back", "../../a/b/over/g"),
        ("round", "trip"),
        ("trip", "round"),
        ("out", "/etc"),
        ("a/out", "../../.."),
        ("nowhere", "a/none/x"),
        ("e/dot", "./f/./g"),
        ("e/far", "../to-a/up/e/dot/h"),
        ("e/over-and-up", "../a/b/over/../i"),
        ("e/git", "../.git"),
    ] {
        symlink(target, origin.work().join(link)).unwrap();
    }
    origin.commit(&[("last", "5")]);
    origin
}

#[test]
fn what_is_named_comes_to_disk_and_nothing_else() {
    let lab = Lab::new();
    let origin = maze(&lab);
    let source = Source::parse(origin.path()).unwrap();
    let commit = head(origin.path(), &lab.access()).unwrap();
    let fresh = || checkout(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
    let made = fresh();
    let on_disk = |made: &Checkout| {
        let root = made.root().path();
        let found = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name();
        let path = |found: walkdir::DirEntry| found.path().strip_prefix(root).unwrap().display().to_string();
        found.into_iter().map(|found| path(found.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(on_disk(&made), [""; 0]);
    made.root().resolve(made.root().path(), "a/d").unwrap();
    assert_eq!(on_disk(&made), ["a", "a/d"]);
    made.root().resolve(made.root().path(), "e/far").unwrap();
    assert_eq!(
        on_disk(&made),
        ["a", "a/d", "a/up", "e", "e/dot", "e/f", "e/f/g", "e/f/g/h", "e/far", "to-a"]
    );
    assert!(made.root().has(made.root().path(), "trip") && !made.root().has(made.root().path(), "none"));
    let mut names = made.root().names(&made.root().path().join("a/up/e"));
    names.sort_unstable();
    assert_eq!(names, ["dot", "f", "far", "git", "i", "over-and-up"]);
    made.root().bring_all(&made.root().path().join("to-a")).unwrap();
    assert!(on_disk(&made).contains(&"a/b/over".to_owned()) && !on_disk(&made).contains(&"e/i".to_owned()));
    assert!(made.take_failure().is_none());
}

#[test]
fn a_path_means_the_same_whether_all_files_are_on_disk_or_none() {
    let lab = Lab::new();
    let origin = maze(&lab);
    let source = Source::parse(origin.path()).unwrap();
    let commit = head(origin.path(), &lab.access()).unwrap();
    let all = whole(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
    let parts = [
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "to-a",
        "up",
        "over",
        "back",
        "round",
        "out",
        "nowhere",
        "dot",
        "far",
        "over-and-up",
        "git",
        ".",
        "..",
        "none",
        "last",
    ];
    let told = |made: &Checkout, base: &str, path: &str| {
        let root = made.root();
        match root.resolve(&root.path().join(base), path) {
            Ok(found) => {
                let text = fs::read_to_string(&found).ok();
                format!("{} {text:?}", found.strip_prefix(root.path()).unwrap().display())
            }
            Err(error) => format!("{error:#}"),
        }
    };
    // As who reads a stack takes it, whatever is written out.
    let read = |made: &Checkout, base: &str, path: &str| {
        let (root, base) = (made.root(), made.root().path().join(base));
        let found = root.find_file(&base, path, 1 << 20).map(|(file, _)| root.text(&file, 1 << 20).unwrap());
        let text = found.or_else(|| root.read_text(&base, path, 1 << 20).ok());
        format!("{text:?} {:?}", root.is_folder(&base, path).map_err(|error| format!("{error:#}")))
    };
    let (mut rng, mut resolved, mut part) = (crate::rng::Rng::new(7), 0, None);
    for turn in 0..3_000 {
        // Some paths one after the other in one checkout, where one finds what another brought.
        if turn % 8 == 0 {
            part = Some(checkout(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap());
        }
        let made = part.as_ref().unwrap();
        let base = rng.pick(&["", "a", "e/f", "to-a"]);
        let path: Vec<_> = (0..=rng.below(3)).map(|_| rng.pick(&parts)).collect();
        let path = path.join("/");
        assert_eq!(read(made, base, &path), read(&all, base, &path), "{base} {path}");
        let has = |made: &Checkout| made.root().has(&made.root().path().join(base), &path);
        assert!(path.contains("..") || has(made) == has(&all), "{base} {path}");
        let wanted = told(&all, base, &path);
        assert_eq!(told(made, base, &path), wanted, "{base} {path}");
        resolved += usize::from(wanted.contains("Some"));
        assert!(made.take_failure().is_none(), "{path}");
    }
    assert!(resolved > 50, "{resolved}");
}

/// A commit whose folder is written as it stands here, whatever git would say.
fn of_raw(origin: &super::lab::Origin, raw: &[u8]) -> (Source, Commit) {
    let repository = git2::Repository::open_bare(origin.path()).unwrap();
    let tree = repository.odb().unwrap().write(git2::ObjectType::Tree, raw).unwrap();
    let tree = repository.find_tree(tree).unwrap();
    let who = git2::Signature::now("test", "test@localhost").unwrap();
    let commit = repository.commit(None, &who, &who, "", &tree, &[]).unwrap().to_string();
    (Source::parse(&format!("{}#{commit}", origin.path())).unwrap(), Commit::parse(&commit).unwrap())
}

#[test]
fn no_file_is_written_through_a_symlink_that_a_tree_names_twice() {
    let lab = Lab::new();
    let (origin, outside) = (lab.origin("twice"), tempfile::tempdir().unwrap());
    let repository = git2::Repository::open_bare(origin.path()).unwrap();
    let link = repository.blob(outside.path().as_os_str().as_encoded_bytes()).unwrap();
    let inner = {
        let mut inner = repository.treebuilder(None).unwrap();
        inner.insert("b", repository.blob(b"x").unwrap(), 0o100_644).unwrap();
        inner.write().unwrap()
    };
    let entry = |mode: &str, id: git2::Oid| [format!("{mode} a\0").as_bytes(), id.as_bytes()].concat();
    for order in [[("120000", link), ("40000", inner)], [("40000", inner), ("120000", link)]] {
        let raw = order.map(|(mode, id)| entry(mode, id)).concat();
        let (source, commit) = of_raw(&origin, &raw);
        let made = checkout(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
        let (error, _) =
            refusal(made.root().bring_all(made.root().path()).map_err(|_| made.take_failure().unwrap()));
        assert!(error.contains("stands twice") || error.contains("File exists"), "{error}");
        let again = checkout(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
        let _ = again.root().resolve(again.root().path(), "a/b");
        let _ = again.root().bring_all(again.root().path());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_in_another_order_than_git_s_is_refused_for_readers_would_find_other_files() {
    let lab = Lab::new();
    let origin = lab.origin("unsorted");
    let repository = git2::Repository::open_bare(origin.path()).unwrap();
    let file = repository.blob(b"T=5").unwrap();
    let entry = |name: &str| [format!("100644 {name}\0").as_bytes(), file.as_bytes()].concat();
    for names in [["compose.yml", "z", ".env"], ["a", "b/c", "d"], ["a", "b", "b"]] {
        let (source, commit) = of_raw(&origin, &names.map(entry).concat());
        let made = checkout(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
        for path in [".env", "z", "none"] {
            let _ = made.root().resolve(made.root().path(), path).unwrap_err();
            assert!(made.take_failure().is_some(), "{names:?} {path}");
        }
        assert!(made.root().bring_all(made.root().path()).is_err(), "{names:?}");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_written() {
    let lab = Lab::new();
    let origin = lab.origin("large");
    std::os::unix::fs::symlink("d/large", origin.work().join("link")).unwrap();
    origin.commit(&[("d/large", &"x".repeat(70_000)), ("small", "text")]);
    let (source, access) = (Source::parse(origin.path()).unwrap(), lab.access());
    let commit = head(origin.path(), &access).unwrap();
    let made = checkout(&source, &commit, &lab.path("checkouts"), &access).unwrap();
    let (root, top) = (made.root(), made.root().path());
    for path in ["d/large", "link", "./link"] {
        let why = root.read_text(top, path, 64 * 1024).unwrap_err().to_string();
        assert_eq!(why, "is larger than 64 KiB", "{path}");
        assert!(root.has(top, path) && root.size_ahead(top, path) == Some(70_000));
    }
    assert!(!top.join("d/large").exists());
    assert_eq!(root.read_text(top, "small", 64 * 1024).unwrap(), "text");
    assert_eq!((root.size_ahead(top, "d"), root.size_ahead(top, "none")), (None, None));
    assert!(made.take_failure().is_none());
    assert_eq!(root.read_text(top, "link", 70_000).unwrap().len(), 70_000);
}
