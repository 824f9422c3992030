//! Commits that must be signed: nothing of one that is not comes to disk, or is asked for.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use super::Lab;
use super::lab::{Origin, head, refusal};
use super::submodules::pin;
use crate::git::{Checkout, Commit, Transfer, checkout};
use crate::settings::GitAccess;
use crate::signature::Signers;
use crate::source::Source;

struct Scene {
    lab: Lab,
    origin: Origin,
    signers: Arc<Signers>,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::new();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(lab.path("ann"));
        assert!(keygen.status().unwrap().success());
        let public = fs::read_to_string(lab.path("ann.pub")).unwrap();
        fs::write(lab.path("allowed"), format!("ann@h {public}")).unwrap();
        let signers = Signers::read(&[lab.path("allowed")], &[], "".as_ref()).unwrap();
        let origin = lab.origin("r");
        Self { lab, origin, signers: Arc::new(signers) }
    }

    /// Runs git with the key at hand.
    fn git(&self, arguments: &[&str]) -> String {
        let key = format!("user.signingKey={}", self.lab.path("ann").display());
        self.origin.git(&[&["-c", "gpg.format=ssh", "-c", &key], arguments].concat())
    }

    /// Pushes a commit, signed or not.
    fn push(&self, content: &str, how: &str) -> String {
        fs::write(self.origin.work().join("a"), content).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", how, "-m", content]);
        self.origin.git(&["push", "-q", "--force", "origin", "HEAD"]);
        self.origin.head()
    }

    fn push_tag(&self, name: &str, how: &[&str]) {
        self.git(&[&["tag", "-f"], how, &[name]].concat());
        self.origin.git(&["push", "-q", "--force", "origin", &format!("refs/tags/{name}")]);
    }

    fn access(&self) -> GitAccess {
        self.lab.access()
    }

    fn fetch(&self, source: &str) -> anyhow::Result<Checkout> {
        let commit = head(source, &self.access())?;
        self.fetch_at(source, &commit)
    }

    fn fetch_at(&self, source: &str, commit: &Commit) -> anyhow::Result<Checkout> {
        let (source, transfer) = (Source::parse(source).unwrap(), Arc::new(Transfer::new()));
        let signers = Some(Arc::clone(&self.signers));
        checkout(&source, commit, &self.lab.path("checkouts"), &self.access(), &transfer, signers)
    }

    fn refused(&self, source: &str, why: &str) {
        let (told, hint) = refusal(self.fetch(source));
        assert!(told.starts_with("source `") && told.contains(why), "{source}: {told}");
        assert!(!hint.is_empty());
        assert_eq!(self.lab.leftovers(), 0, "nothing of it stays");
    }

    fn taken(&self, source: &str, content: &str) {
        let made = self.fetch(source).unwrap();
        assert_eq!(made.signed().unwrap().by, "ann@h");
        made.root().bring_all(made.root().path()).unwrap();
        assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), content);
    }
}

#[test]
fn a_branch_is_read_at_commits_that_are_signed() {
    let scene = Scene::new();
    let server = scene.lab.server(&[]);
    for source in [server.url("r"), scene.origin.path().to_owned(), format!("file://{}", scene.origin.path())]
    {
        scene.push("signed", "-S");
        scene.taken(&source, "signed");
        let commit = scene.push("unsigned", "--no-gpg-sign");
        scene.refused(
            &source,
            &format!("commit `{}` by `test <test@localhost>` is not signed", &commit[..12]),
        );
        scene.refused(&format!("{source}#{commit}"), "is not signed");
        // What was kept of it for somebody else is no more signed for that.
        let free = Source::parse(&source).unwrap();
        super::checkout(
            &free,
            &head(&source, &scene.access()).unwrap(),
            &scene.lab.path("checkouts"),
            &scene.access(),
        )
        .unwrap();
        scene.refused(&source, "is not signed");
        let commit = scene.push("again", "-S");
        scene.taken(&source, "again");
        scene.taken(&format!("{source}#main"), "again");
        scene.taken(&format!("{source}#{commit}"), "again");
    }
}

#[test]
fn of_a_commit_that_is_not_signed_no_submodule_is_asked_for() {
    let scene = Scene::new();
    let (inner, server) = (scene.lab.origin("inner"), scene.lab.server(&[]));
    pin(&scene.origin, "sub", &inner.head(), Some(&server.url("inner")));
    scene.refused(&server.url("r"), "is not signed");
    assert!(!server.log().iter().any(|line| line.contains("inner")), "{:?}", server.log());
    scene.git(&["commit", "-q", "--amend", "--no-edit", "-S"]);
    scene.origin.git(&["push", "-q", "--force", "origin", "HEAD"]);
    scene.taken(&server.url("r"), "2");
    assert!(server.log().iter().any(|line| line.contains("inner")), "a signed one names it");
}

#[test]
fn a_tag_that_is_followed_is_signed_as_its_commit_is() {
    let scene = Scene::new();
    let server = scene.lab.server(&[]);
    for source in [server.url("r"), scene.origin.path().to_owned()] {
        scene.push("one", "-S");
        scene.push_tag("v1", &["-s", "-m", "release"]);
        scene.push_tag("bare", &["-a", "-m", "release"]);
        scene.push_tag("light", &["--no-sign"]);
        scene.taken(&format!("{source}#v1"), "one");
        scene.taken(&format!("{source}#refs/tags/v1"), "one");
        scene.refused(&format!("{source}#bare"), "the tag `bare`");
        scene.refused(
            &format!("{source}#light"),
            "the tag `light` is a lightweight tag, which cannot be signed",
        );
        // What its name says is told by the tag itself.
        let object = scene.origin.git(&["rev-parse", "refs/tags/v1"]);
        scene.origin.git(&["push", "-q", "--force", "origin", &format!("{object}:refs/tags/v9")]);
        scene.refused(&format!("{source}#v9"), "stands under the name `v9`");
        scene.push("two", "--no-gpg-sign");
        scene.push_tag("v2", &["-s", "-m", "release"]);
        scene.refused(&format!("{source}#v2"), "commit `");
        // One that moves while it is fetched is asked for again.
        let before = head(&format!("{source}#v1"), &scene.access()).unwrap();
        scene.push("three", "-S");
        scene.push_tag("v1", &["-s", "-m", "release"]);
        let (told, _) = refusal(scene.fetch_at(&format!("{source}#v1"), &before));
        assert!(told.contains("the tag `v1` moved while it was fetched"), "{told}");
        scene.taken(&format!("{source}#v1"), "three");
    }
    // A branch of that name stands before it, and a full name leaves no doubt.
    let light = format!("{}#light", server.url("r"));
    scene.push("four", "-S");
    scene.origin.git(&["push", "-q", "--force", "origin", "HEAD:refs/heads/light"]);
    scene.taken(&light, "four");
    scene.refused(&format!("{}#refs/tags/light", server.url("r")), "lightweight");
}
