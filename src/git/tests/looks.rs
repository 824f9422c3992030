//! What is read without being written out.

use std::os::unix::fs::symlink;

use super::Lab;
use super::checkout;
use super::lab::head;
use crate::source::Source;

#[test]
fn a_text_is_read_without_a_file_and_counts_as_one() {
    let lab = Lab::new();
    let origin = lab.empty("looks");
    symlink("a", origin.work().join("to-a")).unwrap();
    let large = "x".repeat((1 << 20) + 1);
    origin.commit(&[("a/b/c", "1"), ("a/d", "2"), ("e/f/g", "3"), ("e/i", "4"), ("large", &large)]);
    let source = Source::parse(origin.path()).unwrap();
    let commit = head(origin.path(), &lab.access()).unwrap();
    let made = checkout(&source, &commit, &lab.path("checkouts"), &lab.access()).unwrap();
    let (root, top) = (made.root(), made.root().path());
    let (file, size) = root.find_file(&top.join("e"), "../a/b/c", 1).unwrap();
    assert_eq!((file.strip_prefix(top).unwrap().to_str(), size), (Some("a/b/c"), 1));
    assert_eq!(root.text(&file, 1).unwrap(), "1");
    assert!(root.has(top, "a/d") && !root.has(top, "a/none") && !root.has(top, "a/d/none"));
    assert!(root.is_folder(top, "e/f").unwrap() && !root.is_folder(top, "e/i").unwrap());
    assert!(!top.join("a").exists());
    assert_eq!(root.find_file(top, "to-a/d", 9), None);
    assert_eq!(root.read_text(top, "large", 2 << 20).unwrap().len(), (1 << 20) + 1);
    assert_eq!(root.text(&root.resolve(top, "a/b/c").unwrap(), 9).unwrap(), "1");
    assert!(top.join("a/b/c").is_file() && made.take_failure().is_none());
    // Two folders and two files.
    for (most, is_fine) in [(4, true), (3, false)] {
        let mut access = lab.access();
        access.limits.files = most;
        let made = checkout(&source, &commit, &lab.path("checkouts"), &access).unwrap();
        let (root, top) = (made.root(), made.root().path());
        for _ in 0..2 {
            let _ = root.find_file(top, "a/b/c", 9);
            let _ = root.resolve(top, "a/b/c");
            let _ = root.find_file(top, "a/d", 9);
        }
        assert_eq!(made.take_failure().is_none(), is_fine, "{most}");
    }
}
