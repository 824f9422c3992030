//! Which version a stack goes back to.

use std::collections::BTreeMap;

use serde_json::json;

use super::case::{motion, service};
use crate::compose::FINGERPRINT;
use crate::docker::service::Service;
use crate::hold::Back;
use crate::plan::Course;
use crate::state::{GivenHow, Motion, StackRow, StackStatus, Version, Versions};

/// One that ran at `commit` with the fingerprint `hash`, by the image `image`.
fn version(id: i64, commit: &str, hash: &str, image: &str) -> Version {
    Version {
        id,
        time: String::new(),
        times: 1,
        commit: commit.repeat(40),
        hash: hash.into(),
        how: GivenHow::Deploy,
        reason: String::new(),
        seconds: 1,
        services: BTreeMap::from([("web_app".into(), Some(image.into()))]),
        versions: Versions::default(),
        text: format!("{hash}\n"),
    }
}

fn back(commit: &str, image: &str, fled: &[&str]) -> Back {
    Back {
        commit: commit.repeat(40),
        images: BTreeMap::from([("web_app".into(), image.into())]),
        hash: "back".into(),
        fled: fled.iter().map(|commit| commit.repeat(40)).collect(),
        pinned: false,
        before: None,
    }
}

fn given(hash: &str, image: &str) -> Service {
    service(&json!({ FINGERPRINT: hash }), image, 1)
}

fn row(status: StackStatus) -> StackRow {
    let mut row = StackRow::of("web", status);
    row.commit = Some("c".repeat(40));
    row
}

struct Asked {
    row: StackRow,
    motion: Option<Motion>,
    live: Vec<Service>,
    back: Option<Back>,
}

impl Asked {
    fn of(status: StackStatus) -> Self {
        Self { row: row(status), motion: None, live: Vec::new(), back: None }
    }

    fn id(&self, versions: &[Version], to: Option<&str>) -> Result<i64, String> {
        let live: Vec<_> = self.live.iter().collect();
        self.course(versions, &live).target(to).map(|version| version.id).map_err(|error| error.to_string())
    }

    fn fled(&self, versions: &[Version]) -> Vec<String> {
        let live: Vec<_> = self.live.iter().collect();
        let course = self.course(versions, &live);
        course.fled(course.target(None).unwrap())
    }

    fn course<'a>(&'a self, versions: &'a [Version], live: &'a [&'a Service]) -> Course<'a> {
        let (motion, back) = (self.motion.as_ref(), self.back.as_ref());
        Course { row: &self.row, motion, versions, live, back }
    }
}

#[test]
fn the_newest_that_differs_from_what_runs_or_failed_is_meant() {
    let versions = [version(3, "c", "h3", "x"), version(2, "b", "h2", "x"), version(1, "a", "h1", "x")];
    let mut asked = Asked::of(StackStatus::Deployed);
    assert_eq!(asked.id(&versions, None), Ok(2));
    assert_eq!(asked.fled(&versions), ["c".repeat(40)]);
    // By the same files, and by another image.
    let rolled = [version(2, "a", "h1", "y"), version(1, "a", "h1", "x")];
    assert_eq!(asked.id(&rolled, None), Ok(1));
    // What failed never converged, or did before.
    asked.row.status = StackStatus::Error;
    asked.live = vec![given("new", "x")];
    asked.row.commit = Some("d".repeat(40));
    assert_eq!((asked.id(&versions, None), asked.fled(&versions)), (Ok(3), vec!["d".repeat(40)]));
    asked.live = vec![given("h3", "y")];
    assert_eq!(asked.id(&versions, None), Ok(3), "by another image, of a tag that moved");
    asked.live = vec![given("h3", "x")];
    assert_eq!(asked.id(&versions, None), Ok(2));
    // What is in motion is not what ran.
    asked.motion = Some(motion("new"));
    assert_eq!(asked.id(&versions, None), Ok(3));
    asked.row.status = StackStatus::Deployed;
    assert_eq!(asked.fled(&versions), ["c1".to_owned()], "what ran before is not fled");
    asked.motion = Some(motion("h3"));
    assert_eq!(asked.id(&versions, None), Ok(2));
    assert_eq!(asked.fled(&versions), ["c1".to_owned(), "d".repeat(40), "c".repeat(40)]);
}

#[test]
fn a_second_one_goes_further_back_and_never_to_what_was_fled() {
    let versions = [
        version(4, "a", "back", "x"),
        version(3, "b", "h2", "x"),
        version(2, "a", "h1", "x"),
        version(1, "0", "h0", "x"),
    ];
    let mut asked = Asked::of(StackStatus::Deployed);
    asked.back = Some(back("a", "x", &["b"]));
    // Nothing of it came to run: it is meant once more.
    assert_eq!((asked.id(&versions, None), asked.fled(&versions)), (Ok(4), vec!["b".repeat(40)]));
    asked.row.hash = "back".into();
    assert_eq!(asked.id(&versions, None), Ok(1));
    assert_eq!(asked.fled(&versions), ["b".repeat(40), "a".repeat(40)]);
    // Nobody flees what two people go back to, and the second is not told that it runs already.
    assert_eq!(asked.course(&versions, &[]).fled(&versions[0]), ["b".repeat(40)]);
    assert_eq!(asked.id(&versions, Some("aaaa")), Ok(4));
    asked.back = None;
    assert_eq!(asked.id(&versions, Some("aaaa")), Ok(2));
    asked.back = Some(back("a", "x", &["b"]));
    let none = asked.id(&versions[..3], None).unwrap_err();
    assert!(none.contains("older than aaaaaaaaaaaa"), "{none}");
    // What was fled is older only because the first of them is not kept any more.
    let none = asked.id(&versions[..2], None);
    assert!(none.is_err(), "{none:?}");
}

#[test]
fn a_commit_is_named_by_its_first_digits_and_nothing_is_guessed() {
    let versions = [version(3, "ab", "h3", "x"), version(2, "ab", "h2", "y"), version(1, "abc", "h1", "x")];
    let mut asked = Asked::of(StackStatus::Error);
    assert_eq!(asked.id(&versions, Some("ABAB")), Ok(3));
    asked.row.status = StackStatus::Deployed;
    assert_eq!(asked.id(&versions, Some("abab")), Ok(2), "not the one that runs");
    let said = asked.id(&versions[..1], Some("abab")).unwrap_err();
    assert!(said.contains("runs as at abababababab already"), "{said}");
    for (to, why) in [("aba", "so few digits"), ("beef", "no version that is kept"), ("", "several")] {
        let said = asked.id(&versions, Some(to)).unwrap_err();
        assert!(said.contains(why), "{to}: {said}");
    }
    assert!(asked.id(&[], Some("abab")).is_err() && asked.id(&[], None).is_err());
}
