//! What lies on disk is the commit, and it goes away.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::Lab;
use super::lab::{head, refusal};
use crate::git::{Commit, checkout, sweep};
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
        assert_eq!(made.dir(), made.root());
        assert_eq!(mode(made.root()), 0o700);
        assert_eq!(mode(&lab.path("checkouts")), 0o700);
        assert_eq!(fs::read_to_string(made.root().join("a")).unwrap(), "2");
        assert_eq!(fs::read_to_string(made.root().join("crlf")).unwrap(), "x\r\ny\n");
        assert_eq!(mode(&made.root().join("run")), 0o755);
        assert_eq!(mode(&made.root().join("a")), 0o644);
        assert_eq!(fs::read_link(made.root().join("link")).unwrap(), std::path::Path::new("a"));
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
        assert_eq!(made.dir(), made.root().join("d"));
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
        let made = checkout(&source, &decided, &lab.path("checkouts"), &lab.access()).unwrap();
        assert_eq!(made.commit(), &decided);
        let on_disk = made.repository();
        assert_eq!(on_disk.head().unwrap().target().unwrap().to_string(), decided.to_string());
        assert_ne!(fs::read_to_string(made.root().join("a")).unwrap(), "moved on", "{arguments:?}");
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
        assert_eq!(fs::read_to_string(made.root().join("a")).unwrap(), "1");
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
        assert!(!made.root().join(".git").exists());
        paths.iter().map(|path| made.content_id(&made.root().join(path)).unwrap()).collect()
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
    assert!(made.content_id(&made.root().join("none")).is_err());
}
