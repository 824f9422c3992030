//! What commits that are kept say of themselves, without their server.

use super::Scene;
use crate::git::{Commit, Said, said};
use crate::source::Source;

#[test]
fn a_kept_commit_tells_its_first_line_and_its_author_and_another_one_nothing() {
    let scene = Scene::new();
    let ann = "--author=Ann <ann@example.org>";
    scene.origin.git(&["commit", "-q", "--allow-empty", ann, "-m", "Raise the limit\n\nbecause"]);
    scene.origin.git(&["push", "-q", "--force", "origin", "HEAD"]);
    let commit = Commit::parse(&scene.origin.head()).unwrap();
    let (url, access) = (scene.url(), scene.lab.access());
    let source = Source::parse(&url).unwrap();
    assert_eq!(said(&source, &commit, &access).unwrap(), None, "it was not fetched so far");
    scene.fetch();
    let asked = scene.server.log().len();
    let told = said(&source, &commit, &access).unwrap();
    let known = Said { subject: "Raise the limit".into(), author: "Ann".into() };
    assert_eq!(told, Some(known));
    let none = Commit::parse(&"0".repeat(40)).unwrap();
    assert_eq!(said(&source, &none, &access).unwrap(), None);
    assert_eq!(scene.server.log().len(), asked, "a server was asked");
    // Of one on this machine all of them are here.
    let local = Source::parse(scene.origin.path()).unwrap();
    assert_eq!(said(&local, &commit, &access).unwrap().unwrap().subject, "Raise the limit");
}
