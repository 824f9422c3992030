//! Commits that are needed beside the tips.

use super::*;

#[test]
fn a_commit_that_is_pinned_stays_whatever_grows_until_it_is_needed_no_more() {
    let scene = Scene::new();
    let first = Commit::parse(&scene.origin.head()).unwrap();
    drop(scene.fetch());
    let (folder, url) = (scene.lab.path("git"), scene.url());
    let sweep = |commits: &[&Commit]| {
        let commits = commits.iter().map(|commit| (*commit).clone()).collect();
        sweep_kept(&folder, &BTreeMap::from([(url.clone(), commits)]));
    };
    sweep(&[&first]);
    for round in 0..6 {
        scene.origin.commit(&[("large", &noise(8 * MIB, round + 10))]);
        drop(scene.fetch());
    }
    assert_eq!(scene.files("form").len(), 2, "it was made anew, beside the one that has the commit");
    // Nobody else has it any more.
    scene.origin.git(&["push", "-q", "--force", "origin", "HEAD:main"]);
    let source = Source::parse(&url).unwrap();
    let Scene { lab, server, .. } = &scene;
    let asked = server.log().len();
    let made = whole(&source, &first, &lab.path("checkouts"), &lab.access()).unwrap();
    assert_eq!(fs::read_to_string(made.root().path().join("a")).unwrap(), "2");
    assert_eq!(server.log().len(), asked, "no server is asked");
    drop(made);
    sweep(&[&first]);
    assert_eq!(scene.files("form").len(), 2);
    sweep(&[]);
    assert_eq!((scene.files("form").len(), scene.files("pinned").len()), (1, 0));
}
