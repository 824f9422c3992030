//! Changes that are pushed to real servers: what they take, what they refuse, and that nothing stays of what failed.

mod hostile;
mod ways;

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::Result;
use walkdir::WalkDir;

use super::Lab;
use super::lab::{Origin, git};
use crate::fault::hint_of;
use crate::git::push::{Edit, Made, Message, Outcome, Target, Tip, change};
use crate::settings::{Author, GitAccess, Purpose};
use crate::source::Source;

/// A change of one file of one repository.
struct Order<'a> {
    lab: &'a Lab,
    source: Source,
    branch: Option<&'a str>,
    pushing: GitAccess,
    author: Author,
}

impl<'a> Order<'a> {
    fn new(lab: &'a Lab, source: &str) -> Self {
        let pushing = GitAccess { purpose: Purpose::Push, ..lab.access() };
        let author = Author { name: "Ops".into(), email: "ops@example.org".into() };
        Self { lab, source: Source::parse(source).unwrap(), branch: None, pushing, author }
    }

    fn make<S>(&self, make: impl FnMut(&Tip<'_>) -> Result<Made<S>>) -> Result<Outcome<S>> {
        let (folder, reading) = (self.lab.path("checkouts"), self.lab.access());
        let target = Target {
            source: &self.source,
            branch: self.branch,
            author: &self.author,
            reading: &reading,
            pushing: &self.pushing,
            folder: &folder,
        };
        let outcome = change(target, make);
        assert_eq!(self.lab.leftovers(), 0, "what is temporary goes");
        outcome
    }

    /// The file `path` comes to hold `text`.
    fn write(&self, path: &str, text: &str) -> Outcome<()> {
        self.make(|tip| draft(tip, path, text).map(Made::Push)).unwrap()
    }
}

fn draft(tip: &Tip<'_>, path: &str, text: &str) -> Result<crate::git::push::Draft> {
    let mut edit = Edit::default();
    edit.write(path, text, false);
    tip.draft(&edit, &Message::new(&format!("Write {path}"), Some("Ann")))
}

fn ask(origin: &Origin, arguments: &[&str]) -> String {
    git(&origin.bare, arguments)
}

fn show(origin: &Origin, what: &str) -> String {
    ask(origin, &["show", what])
}

/// All of a folder, by name and size.
fn inventory(folder: &Path) -> Vec<(String, u64)> {
    let files = WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok);
    files.map(|file| (file.path().display().to_string(), file.metadata().unwrap().len())).collect()
}

fn hook(origin: &Origin, name: &str, script: &str) {
    let path = origin.bare.join("hooks").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn pushed<S: std::fmt::Debug>(outcome: Outcome<S>) -> String {
    match outcome {
        Outcome::Pushed { commit, .. } => commit.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unreachable(outcome: Outcome<()>) -> (String, String) {
    match outcome {
        Outcome::Unreachable(error) => (format!("{error:#}"), hint_of(&error).unwrap_or_default().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_server_refuses_is_told_in_its_words() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&["--push"]);
    let before = origin.head();
    hook(&origin, "pre-receive", "echo 'no stacks on \u{1b}[31mfridays'; exit 1");
    let Outcome::Rejected(words) = Order::new(&lab, &server.url("r")).write("b", "1") else { panic!() };
    assert_eq!(words, "pre-receive hook declined\n  no stacks on \\u{1b}[31mfridays");
    fs::remove_file(origin.bare.join("hooks/pre-receive")).unwrap();

    let read_only = lab.server(&[]);
    let (what, hint) = unreachable(Order::new(&lab, &read_only.url("r")).write("b", "1"));
    assert!(what.contains("required to push to"), "{what}");
    assert!(hint.contains("DOCKEROPS_PUSH_CREDENTIALS") && !hint.contains("GITHUB_TOKEN"), "{hint}");

    let cut = lab.server(&["--push", "cut-before"]);
    let (what, _) = unreachable(Order::new(&lab, &cut.url("r")).write("b", "1"));
    assert!(what.contains("pushing to"), "{what}");
    let gone = { lab.server(&[]).url("r") };
    let (what, _) = unreachable(Order::new(&lab, &gone).write("b", "1"));
    assert!(what.contains("connection refused"), "{what}");
    assert_eq!(ask(&origin, &["rev-parse", "main"]), before, "nothing of all that is there");

    // It died before it could say that it took it.
    let cut = lab.server(&["--push", "cut-after"]);
    let commit = pushed(Order::new(&lab, &cut.url("r")).write("b", "1"));
    assert_eq!(ask(&origin, &["rev-parse", "main"]), commit);
}

#[test]
fn what_may_read_is_never_taken_to_write() {
    let lab = Lab::new();
    lab.origin("r");
    let server = lab.server(&["--push", "--user", "me", "--password", "secret"]);
    let line = format!("http://me:secret@127.0.0.1:{}\n", server.port);
    let reading = lab.access_with(&line);
    let folder = lab.path("checkouts");
    let mut order = Order::new(&lab, &server.url("r"));
    let write = |order: &Order<'_>| {
        let target = Target {
            source: &order.source,
            branch: None,
            author: &order.author,
            reading: &reading,
            pushing: &order.pushing,
            folder: &folder,
        };
        change(target, |tip| draft(tip, "b", "1").map(Made::Push)).unwrap()
    };
    let (what, hint) = unreachable(write(&order));
    assert!(what.contains("nothing that is set is meant for it"), "{what}");
    assert!(hint.contains(&format!("`http://user:token@127.0.0.1:{}`", server.port)), "{hint}");
    order.pushing.credentials_file = Some(lab.path("none"));
    let (what, hint) = unreachable(write(&order));
    assert!(
        what.contains("which `DOCKEROPS_PUSH_CREDENTIALS` names") && hint.contains("readable"),
        "{what} {hint}"
    );
    order.pushing.credentials_file.clone_from(&reading.credentials_file);
    pushed(write(&order));
}

#[test]
fn where_somebody_was_faster_it_is_made_again_and_never_over_theirs() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&["--push"]);
    for url in [server.url("r"), origin.path().to_owned()] {
        origin.git(&["fetch", "-q", "origin"]);
        origin.git(&["reset", "-q", "--hard", "origin/main"]);
        let order = Order::new(&lab, &url);
        lab.fetch(&url, &lab.access()).unwrap();
        let (times, theirs, seen) = (Cell::new(0), RefCell::default(), RefCell::new(Vec::new()));
        let outcome = order.make::<()>(|tip| {
            times.set(times.get() + 1);
            if times.get() < 3 {
                *theirs.borrow_mut() = origin.commit(&[("theirs", &times.get().to_string())]);
            }
            seen.borrow_mut().push(tip.commit().to_string());
            draft(tip, "ours", &url).map(Made::Push)
        });
        let commit = pushed(outcome.unwrap());
        assert_eq!((times.get(), seen.borrow()[2].clone()), (3, theirs.borrow().clone()));
        assert_eq!(ask(&origin, &["rev-parse", "main", "main~1"]), format!("{commit}\n{}", theirs.borrow()));
        // Others are faster for ever.
        origin.git(&["pull", "-q", "--ff-only", "origin", "main"]);
        let outcome = order.make::<()>(|tip| {
            *theirs.borrow_mut() = origin.commit(&[]);
            draft(tip, "ours", "never").map(Made::Push)
        });
        assert!(matches!(outcome, Ok(Outcome::Moved)), "{outcome:?}");
        assert_eq!(ask(&origin, &["rev-parse", "main"]), *theirs.borrow());
    }
    // Between what the server told and what it was told.
    let mover = "[ -e moved ] || { touch moved; unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main $(git \
        commit-tree -p main -m theirs main^{tree}); }";
    hook(
        &origin,
        "pre-receive",
        &format!(
            "export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t GIT_COMMITTER_NAME=t \
        GIT_COMMITTER_EMAIL=t; unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES; {mover}"
        ),
    );
    pushed(Order::new(&lab, &server.url("r")).write("ours", "at last"));
    assert_eq!(ask(&origin, &["log", "-1", "--format=%s", "main~1"]), "theirs");
}

#[test]
fn many_side_by_side_lose_nothing_and_make_one_line() {
    const EACH: usize = 10;
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&["--push"]);
    let before = ask(&origin, &["rev-list", "--count", "main"]).parse::<usize>().unwrap();
    // Two ways to the same repository do not know of each other.
    let urls = [server.url("r"), origin.path().to_owned()];
    std::thread::scope(|scope| {
        for (way, url) in urls.iter().enumerate() {
            for number in 0..EACH {
                let lab = &lab;
                scope.spawn(move || {
                    let (source, reading) = (Source::parse(url).unwrap(), lab.access());
                    let pushing = GitAccess { purpose: Purpose::Push, ..lab.access() };
                    let author = Author { name: "Ops".into(), email: "ops@example.org".into() };
                    let folder = lab.path("checkouts");
                    let target = Target {
                        source: &source,
                        branch: None,
                        author: &author,
                        reading: &reading,
                        pushing: &pushing,
                        folder: &folder,
                    };
                    let path = format!("stacks/{way}-{number}");
                    while let Outcome::Moved =
                        change::<()>(target, |tip| draft(tip, &path, "x").map(Made::Push)).unwrap()
                    {
                    }
                });
            }
        }
    });
    let count = |what: &[&str]| ask(&origin, what).lines().count();
    assert_eq!(count(&["ls-tree", "--name-only", "main:stacks"]), 2 * EACH);
    assert_eq!(
        ask(&origin, &["rev-list", "--count", "--first-parent", "main"]),
        (before + 2 * EACH).to_string()
    );
    assert_eq!(ask(&origin, &["rev-list", "--min-parents=2", "main"]), "");
}

#[test]
fn a_branch_of_ours_is_made_anew_and_one_with_others_commits_is_left() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&["--push"]);
    for url in [server.url("r"), origin.path().to_owned()] {
        let mut order = Order::new(&lab, &url);
        lab.fetch(&url, &lab.access()).unwrap();
        order.branch = Some("dockerops/web");
        let tip = ask(&origin, &["rev-parse", "main"]);
        let first = pushed(order.write("web", "1"));
        let branch = "dockerops/web";
        assert_eq!(
            ask(&origin, &["rev-parse", branch, "main", &format!("{branch}~1")]),
            format!("{first}\n{tip}\n{tip}")
        );
        assert_eq!(pushed(order.write("web", "1")), first, "the same again is no commit");
        let second = pushed(order.write("web", "2"));
        assert_eq!(ask(&origin, &["rev-parse", branch, &format!("{branch}~1")]), format!("{second}\n{tip}"));
        let tip = origin.commit(&[("more", &url)]);
        let third = pushed(order.write("web", "2"));
        assert_eq!(ask(&origin, &["rev-parse", branch, &format!("{branch}~1")]), format!("{third}\n{tip}"));
        // Somebody adds to it, or makes it anew.
        for change in [
            &["commit", "-q", "--allow-empty", "-m", "theirs"][..],
            &["commit", "-q", "--amend", "--no-edit"],
        ] {
            origin.git(&["fetch", "-q", "origin", branch]);
            origin.git(&["checkout", "-q", "--detach", &third]);
            origin.git(change);
            origin.git(&["push", "-q", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
            let theirs = origin.head();
            match order.write("web", "3") {
                Outcome::Taken { branch, commit } => {
                    assert_eq!((branch.as_str(), commit.to_string()), ("dockerops/web", theirs.clone()));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(ask(&origin, &["rev-parse", branch]), theirs);
        }
        origin.git(&["checkout", "-q", "main"]);
        origin.git(&["push", "-q", "origin", &format!(":{branch}")]);
        order.branch = Some("main");
        let (what, hint) = unreachable(order.write("web", "3"));
        assert!(
            what.contains("the one that is watched") && hint.contains("DOCKEROPS_WRITE_BRANCH"),
            "{what}"
        );
    }
}

#[test]
fn what_is_not_pushed_leaves_nothing_and_can_be_read_before() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    origin.git(&["tag", "v1"]);
    origin.git(&["push", "-q", "origin", "v1"]);
    let server = lab.server(&["--push"]);
    for url in [server.url("r"), origin.path().to_owned()] {
        let order = Order::new(&lab, &url);
        lab.fetch(&url, &lab.access()).unwrap();
        let before = (inventory(&lab.path("git")), inventory(&origin.bare));
        let outcome = order.make(|tip| {
            assert_eq!(tip.commit().to_string(), origin.head());
            let mut edit = Edit::default();
            edit.write("web/docker-compose.yml", "services: {}\n", false);
            edit.remove("d");
            let draft = tip.draft(&edit, &Message::new("Try", None))?;
            let files = draft.checkout();
            files.root().bring_all(files.root().path())?;
            let read = |path: &str| fs::read_to_string(files.root().path().join(path)).ok();
            Ok(Made::Stop([read("a"), read("web/docker-compose.yml"), read("d/e")]))
        });
        match outcome {
            Ok(Outcome::Stopped([a, web, d])) => {
                assert_eq!((a.as_deref(), web.as_deref(), d), (Some("2"), Some("services: {}\n"), None));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(order.write("a", "2"), Outcome::Same(tip) if tip.to_string() == origin.head()));
        let failed = order.make::<()>(|tip| draft(tip, "../x", "1").map(Made::Push));
        assert!(format!("{:#}", failed.unwrap_err()).contains("../x"));
        for (reference, what) in [("v1", "the tag `v1`"), (&*origin.head(), "the commit")] {
            match Order::new(&lab, &format!("{url}#{reference}")).write("b", "1") {
                Outcome::NoBranch(told) => assert!(told.contains(what), "{told}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((inventory(&lab.path("git")), inventory(&origin.bare)), before);
    }
}

#[test]
fn on_disk_no_hook_is_passed_over_and_no_files_of_a_work_tree_left_behind() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let before = origin.head();
    hook(&origin, "update", "exit 1");
    let (what, hint) = unreachable(Order::new(&lab, origin.path()).write("b", "1"));
    assert!(what.contains("has the hook `update`") && hint.contains("ssh"), "{what}");
    fs::remove_file(origin.bare.join("hooks/update")).unwrap();
    let (what, _) = unreachable(Order::new(&lab, origin.work().to_str().unwrap()).write("b", "1"));
    assert!(what.contains("is checked out"), "{what}");
    let beside = lab.path("beside");
    ask(&origin, &["worktree", "add", "-q", beside.to_str().unwrap(), "main"]);
    let (what, _) = unreachable(Order::new(&lab, origin.path()).write("b", "1"));
    assert!(what.contains("is checked out"), "{what}");
    ask(&origin, &["worktree", "remove", beside.to_str().unwrap()]);
    assert_eq!(ask(&origin, &["rev-parse", "main"]), before);
    pushed(Order::new(&lab, origin.path()).write("b", "1"));
    assert_eq!(show(&origin, "main:b"), "1");
}

#[test]
fn in_a_folder_of_somebody_else_files_are_theirs_and_lead_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::new();
    let origin = lab.origin("r");
    fs::set_permissions(lab.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let give = || {
        for entry in WalkDir::new(&origin.bare).into_iter().map(Result::unwrap) {
            chown(entry.path(), Some(1234), Some(1235)).unwrap();
        }
    };
    give();
    pushed(Order::new(&lab, origin.path()).write("b", "1"));
    for entry in WalkDir::new(&origin.bare).into_iter().map(Result::unwrap) {
        let found = entry.metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 1235), "{}", entry.path().display());
    }
    // What they could not write to is not written to for them.
    let pack = origin.bare.join("objects/pack");
    let outside = lab.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(&pack, lab.path("old")).unwrap();
    for entry in fs::read_dir(lab.path("old")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), outside.join(entry.file_name())).unwrap();
    }
    std::os::unix::fs::symlink(&outside, &pack).unwrap();
    let before = inventory(&outside);
    let outcome = Order::new(&lab, origin.path()).write("b", "2");
    assert!(matches!(outcome, Outcome::Unreachable(_)), "{outcome:?}");
    assert_eq!(inventory(&outside), before);
}
