//! What was looked at, and what came of it meanwhile.

use super::*;

#[test]
fn the_same_write_again_is_no_conflict_whatever_it_was_made_for() {
    let scene = Scene::new();
    let seen = scene.tip();
    let make = blog(json!({"HOST": "a"}));
    let again = |stack: &str, wish: &Wish, seen: &str| scene.order(stack, wish, Some(seen), false);
    pushed(again("blog", &make, &seen));
    stopped(again("blog", &make, &seen), 200);
    let (seen, change) = (scene.tip(), with(json!({"HOST": "b"}), false));
    pushed(again("blog", &change, &seen));
    stopped(again("blog", &change, &seen), 200);
    stopped(again("blog", &with(json!({"HOST": "c"}), false), &seen), 409);
}

#[test]
fn a_conflict_has_both_differences() {
    let scene = Scene::new();
    pushed(scene.ask("blog", blog(json!({"HOST": "a"}))));
    let seen = scene.tip();
    scene.commit(&[("blog/.env", "HOST=theirs\n"), ("templates/blog/site.conf", "theirs\n")]);
    let answer = scene.order("blog", &with(json!({"HOST": "ours"}), false), Some(&seen), false);
    let Outcome::Stopped(Stop::Changed { ours, theirs, .. }) = answer.outcome else { panic!("{answer:?}") };
    let shown = |files: &[FileChange]| -> Vec<_> {
        files.iter().map(|file| (file.path.clone(), file.difference.clone())).collect()
    };
    let (ours, theirs) = (shown(&ours), shown(&theirs));
    assert_eq!(ours.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["blog/.env"]);
    assert!(ours[0].1.contains("-HOST=a") && ours[0].1.contains("+HOST=ours"), "{ours:?}");
    assert_eq!(
        theirs.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(),
        ["blog/.env", "templates/blog/site.conf"]
    );
    assert!(theirs[0].1.contains("+HOST=theirs") && theirs[1].1.contains("+theirs"), "{theirs:?}");
}
