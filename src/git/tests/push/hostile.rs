//! Servers that lead elsewhere, and say back what they were shown; a repository that something was killed in.

use std::fs;

use super::{Order, ask, draft, hook, inventory, pushed, show, unreachable};
use crate::git::push::{Edit, Made, Message, Outcome, Target, change};
use crate::git::redirect;
use crate::git::tests::Lab;
use crate::settings::{GitAccess, Purpose};

const PASSWORD: [&str; 4] = ["--user", "bob", "--password", "hunter2"];

#[test]
fn nothing_is_written_where_a_redirect_leads() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let before = origin.head();
    let target = lab.server(&[&["--push"][..], &PASSWORD].concat());
    // Another host with credentials of its own, and another port of the same one.
    for host in ["localhost", "127.0.0.1"] {
        let there = format!("http://{host}:{}", target.port);
        for password in [&[][..], &PASSWORD] {
            let entry = lab.server(&[password, &["--redirect-to", &there]].concat());
            let lines = [("127.0.0.1", entry.port), (host, target.port)];
            let lines = lines.map(|(host, port)| format!("http://bob:hunter2@{host}:{port}\n")).concat();
            let reading = lab.access_with(&lines);
            let pushing = GitAccess { purpose: Purpose::Push, ..reading.clone() };
            let mut order = Order::new(&lab, &entry.url("r"));
            order.pushing = pushing.clone();
            let (url, folder) = (entry.url("r"), lab.path("checkouts"));
            let (source, author) = (&order.source, &order.author);
            let target = Target {
                source,
                branch: None,
                author,
                reading: &reading,
                pushing: &pushing,
                folder: &folder,
            };
            let outcome = change::<()>(target, |tip| draft(tip, "b", "1").map(Made::Push)).unwrap();
            let (what, hint) = unreachable(outcome);
            assert!(what.contains(&format!("`{url}` has moved to `{there}/r.git`")), "{what}");
            assert!(hint.contains("watch that address"), "{hint}");
            let told = redirect::refuse(&url, &pushing).unwrap_err().to_string();
            assert!(told.contains("has moved to"), "{told}");
        }
    }
    assert_eq!((ask(&origin, &["rev-parse", "main"]), target.log().len()), (before, 0));
}

#[test]
fn what_a_server_was_shown_is_not_told_when_it_says_it_back() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let server = lab.server(&[&["--push"][..], &PASSWORD].concat());
    let basic = "Ym9iOmh1bnRlcjI=";
    hook(&origin, "pre-receive", &format!("echo you are hunter2, {basic}; exit 1"));
    let reading = lab.access_with(&format!("http://bob:hunter2@127.0.0.1:{}\n", server.port));
    let pushing = GitAccess { purpose: Purpose::Push, ..reading.clone() };
    let order = Order::new(&lab, &server.url("r"));
    let (source, author, folder) = (&order.source, &order.author, lab.path("checkouts"));
    let target =
        Target { source, branch: None, author, reading: &reading, pushing: &pushing, folder: &folder };
    match change::<()>(target, |tip| draft(tip, "b", "1").map(Made::Push)).unwrap() {
        Outcome::Rejected(words) => {
            assert!(words.contains("you are [redacted], [redacted]"), "{words}");
            assert!(!words.contains("hunter2") && !words.contains(&basic[..15]), "{words}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lock_that_was_left_is_named_and_no_pack_is_left_behind() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    let lock = origin.bare.join("refs/heads/main.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    fs::write(&lock, "").unwrap();
    let before = inventory(&origin.bare);
    let (what, hint) = unreachable(Order::new(&lab, origin.path()).write("b", "1"));
    assert!(what.contains(&format!("is locked: there is `{}`", lock.display())), "{what}");
    assert!(hint.contains("remove that file"), "{hint}");
    assert_eq!(inventory(&origin.bare), before, "nothing of it is there");
    fs::remove_file(&lock).unwrap();
    let commit = pushed(Order::new(&lab, origin.path()).write("b", "1"));
    assert_eq!(ask(&origin, &["rev-parse", "main"]), commit);
    assert!(!lock.exists());
    // A branch below another one, packed or not.
    ask(&origin, &["branch", "dockerops"]);
    for pack in [false, true] {
        if pack {
            ask(&origin, &["pack-refs", "--all"]);
        }
        let mut order = Order::new(&lab, origin.path());
        order.branch = Some("dockerops/web");
        let (what, _) = unreachable(order.write("b", "2"));
        assert!(what.contains("there is `refs/heads/dockerops`"), "{what}");
    }
}

#[test]
fn a_file_that_is_written_over_keeps_its_mode() {
    let lab = Lab::new();
    let origin = lab.origin("r");
    origin.git(&["update-index", "--chmod=+x", "a"]);
    origin.git(&["commit", "-q", "-m", "executable"]);
    origin.git(&["push", "-q", "origin", "HEAD"]);
    let order = Order::new(&lab, origin.path());
    let outcome = order.make::<()>(|tip| {
        let mut edit = Edit::default();
        edit.write("a", "3", false);
        edit.write("d/e", "new", true);
        tip.draft(&edit, &Message::new("Write", None)).map(Made::Push)
    });
    pushed(outcome.unwrap());
    assert_eq!(show(&origin, "main:a"), "3");
    assert!(ask(&origin, &["ls-tree", "main", "a"]).starts_with("100755"));
    assert!(ask(&origin, &["ls-tree", "main", "d/e"]).starts_with("100644"));
}
