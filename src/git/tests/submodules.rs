//! Submodules come along, and a hostile one reads nothing of this machine.

use std::fs;

use super::lab::{Origin, head, refusal};
use super::{Lab, checkout};
use crate::settings::GitAccess;
use crate::source::Source;

/// Pins `commit` at `path` in `outer`, with this `.gitmodules` or none.
pub(super) fn pin(outer: &Origin, path: &str, commit: &str, url: Option<&str>) {
    let link = format!("160000,{commit},{path}");
    if let Some(url) = url {
        let text = format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
        fs::write(outer.work().join(".gitmodules"), text).unwrap();
        outer.git(&["add", ".gitmodules"]);
    }
    outer.git(&["update-index", "--add", "--cacheinfo", &link]);
    outer.git(&["commit", "-q", "-m", "pin"]);
    outer.git(&["push", "-q", "--force", "origin", "HEAD"]);
}

#[test]
fn submodules_are_checked_out_at_their_pinned_commits_and_theirs_too() {
    let lab = Lab::new();
    let inner = lab.origin("inner");
    let old = inner.git(&["rev-parse", "HEAD~1"]);
    let middle = lab.origin("middle");
    pin(&middle, "in/ner", &old, Some("../inner.git"));
    let outer = lab.origin("outer");
    pin(&outer, "mid", &middle.head(), Some("./../middle.git"));
    for arguments in [&[][..], &["--tips-only"]] {
        let server = lab.server(arguments);
        for base in [server.url("outer"), outer.path().to_owned()] {
            let made = lab.fetch(&base, &lab.access()).unwrap();
            assert_eq!(fs::read_to_string(made.root().path().join("mid/a")).unwrap(), "2");
            assert_eq!(fs::read_to_string(made.root().path().join("mid/in/ner/a")).unwrap(), "1");
            let id = made.content_id(&made.root().path().join("mid/in/ner/a")).unwrap();
            assert_eq!(id, inner.git(&["rev-parse", "HEAD~1:a"]));
            assert!(
                walkdir::WalkDir::new(made.root().path())
                    .into_iter()
                    .all(|file| file.unwrap().file_name() != ".git")
            );
        }
    }
    assert_eq!(lab.leftovers(), 0);
}

#[test]
fn each_submodule_gets_its_own_hosts_credential() {
    let lab = Lab::new();
    let inner = lab.origin("inner");
    let outer = lab.origin("outer");
    let private = lab.server(&["--user", "bob", "--password", "hunter2"]);
    let open = lab.server(&[]);
    pin(&outer, "sub", &inner.head(), Some(&private.url("inner")));
    let lines = format!("http://bob:hunter2@127.0.0.1:{}\n", private.port);
    lab.fetch(&open.url("outer"), &lab.access_with(&lines)).unwrap();
    assert_eq!(open.authorized(), 0);
    let (error, _) = refusal(lab.fetch(&open.url("outer"), &lab.access()));
    assert!(error.contains("submodule `sub`: remote authentication required"), "{error}");
}

#[test]
fn a_network_source_cannot_name_local_files() {
    let lab = Lab::new();
    let inner = lab.origin("inner");
    let server = lab.server(&[]);
    for url in [inner.path().to_owned(), format!("file://{}", inner.path())] {
        let outer = lab.origin("outer");
        pin(&outer, "sub", &inner.head(), Some(&url));
        let (error, hint) = refusal(lab.fetch(&server.url("outer"), &lab.access()));
        assert!(error.contains("submodule `sub`") && error.contains("refused"), "{error}");
        assert!(hint.contains(".gitmodules"), "{hint}");
        fs::remove_dir_all(&outer.bare).unwrap();
        fs::remove_dir_all(outer.work()).unwrap();
    }
}

#[test]
fn a_missing_entry_a_missing_commit_and_a_circle_are_errors() {
    let lab = Lab::new();
    let outer = lab.origin("outer");
    let commit = outer.head();
    pin(&outer, "sub", &commit, None);
    let (error, hint) = refusal(lab.fetch(outer.path(), &lab.access()));
    assert!(error.contains("submodule `sub`") && error.contains("`.gitmodules`"), "{error}");
    assert!(hint.contains("git submodule add"), "{hint}");

    let unknown = "0123456789".repeat(4);
    let lost = lab.origin("lost");
    pin(&lost, "sub", &unknown, Some("../outer.git"));
    let (error, _) = refusal(lab.fetch(lost.path(), &lab.access()));
    assert!(error.contains("submodule `sub`") && error.contains(&unknown), "{error}");

    // A chain of repositories, each holding the one before: as deep as a circle would go.
    let mut before = lab.origin("c0").head();
    for number in 1..=9 {
        let next = lab.origin(&format!("c{number}"));
        pin(&next, "sub", &before, Some(&format!("../c{}.git", number - 1)));
        before = next.head();
    }
    lab.fetch(&lab.path("c8.git").display().to_string(), &lab.access()).unwrap();
    let (error, _) = refusal(lab.fetch(&lab.path("c9.git").display().to_string(), &lab.access()));
    assert!(error.contains("nested more than 8 deep"), "{error}");
}

#[test]
fn a_local_source_reaches_what_lies_beside_it_and_nothing_else() {
    let (lab, elsewhere) = (Lab::new(), Lab::new());
    let (inner, private) = (lab.origin("inner"), elsewhere.origin("private"));
    std::os::unix::fs::symlink(&inner.bare, lab.path("link.git")).unwrap();
    std::os::unix::fs::symlink(&private.bare, lab.path("out.git")).unwrap();
    std::os::unix::fs::symlink(elsewhere.dir.path(), lab.path("door")).unwrap();
    fs::create_dir(lab.path("file")).unwrap();
    fs::write(lab.path("file/.git"), format!("gitdir: {}\n", private.path())).unwrap();
    fs::create_dir(lab.path("linked")).unwrap();
    std::os::unix::fs::symlink(&private.bare, lab.path("linked/.git")).unwrap();

    let here = lab.dir.path().display();
    let there = elsewhere.dir.path().file_name().unwrap().to_str().unwrap();
    let fetch = |url: &str, commit: &str| {
        let outer = lab.origin("outer");
        pin(&outer, "sub", commit, Some(url));
        let sources = [outer.path().to_owned(), format!("file://{}", outer.path())];
        let told = sources.map(|source| lab.fetch(&source, &lab.access()));
        fs::remove_dir_all(&outer.bare).unwrap();
        fs::remove_dir_all(outer.work()).unwrap();
        told
    };
    for url in [
        "../inner.git".to_owned(),
        "../inner".to_owned() + ".git/",
        inner.path().to_owned(),
        format!("file://{}", inner.path()),
        "../link.git".to_owned(),
        format!("file://{here}/inne%72.git"),
    ] {
        for made in fetch(&url, &inner.head()) {
            assert_eq!(fs::read_to_string(made.unwrap().root().path().join("sub/a")).unwrap(), "2", "{url}");
        }
    }
    for url in [
        private.path().to_owned(),
        format!("file://{}", private.path()),
        format!("../../{there}/private.git"),
        format!("file://{here}/%2e%2e/{there}/private.git"),
        format!("file://{here}%2f..%2F{there}/private.git"),
        "../out.git".to_owned(),
        "../door/private.git".to_owned(),
        "../file".to_owned(),
        "../linked".to_owned(),
        "/nonexistent/private.git".to_owned(),
    ] {
        for made in fetch(&url, &private.head()) {
            let (error, hint) = refusal(made);
            assert!(error.contains("submodule `sub`") && error.contains("refused"), "{url}: {error}");
            assert!(hint.contains("beside"), "{hint}");
        }
    }
    for made in fetch("../gone.git", &inner.head()) {
        let (error, _) = refusal(made);
        assert!(error.contains("gone.git` was not found"), "{error}");
    }
    // Nor does one reach further by one that lies beside it.
    let middle = lab.origin("middle");
    pin(&middle, "deep", &private.head(), Some(private.path()));
    for made in fetch("../middle.git", &middle.head()) {
        let (error, _) = refusal(made);
        assert!(error.contains("submodule `sub`: submodule `deep`") && error.contains("refused"), "{error}");
    }
    assert_eq!(lab.leftovers(), 0);
}

#[test]
fn a_list_of_submodules_makes_no_folder_count_that_nobody_names() {
    let lab = Lab::new();
    let inner = lab.origin("inner");
    let outer = lab.origin("outer");
    let files: Vec<_> = (0..50).map(|number| format!("many/{number}")).collect();
    outer.commit(&files.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
    pin(&outer, "deep/sub", &inner.head(), Some("../inner.git"));
    let named = |lab: &Lab, outer: &Origin, access: &GitAccess| {
        let commit = head(outer.path(), access).unwrap();
        let source = Source::parse(outer.path()).unwrap();
        checkout(&source, &commit, &lab.path("checkouts"), access).unwrap()
    };
    let limits = crate::budget::Limits { files: 20, ..crate::budget::Limits::default() };
    let access = GitAccess { limits, ..lab.access() };
    let made = named(&lab, &outer, &access);
    assert_eq!(fs::read_to_string(made.root().path().join("deep/sub/a")).unwrap(), "2");
    // One that the list does not have is told when it is named.
    pin(&outer, "other", &inner.head(), None);
    let made = named(&lab, &outer, &access);
    let why = made.root().resolve(made.root().path(), "other/a").unwrap_err();
    assert!(format!("{why:#}").contains("no `path` and `url` in `.gitmodules`"), "{why:#}");
}
