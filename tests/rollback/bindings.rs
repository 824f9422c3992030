//! The bindings of a version that is gone back to: they stay as they lie there.

use std::fs;

use super::{Rolls, value, web};
use crate::support::scene::Scene;

#[test]
fn a_binding_that_has_changed_is_said_before_anything_is_done() {
    let Some(scene) = Scene::new() else { return };
    let nfs = tempfile::tempdir().unwrap();
    scene.repo.write("volumes.yaml", "- id: site\n  type: binding\n  path: site\n");
    scene.repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display())).write("site/index", "one");
    let app = |value: &str| web(&scene, value).with("volumes: ['site:/site']");
    let stack = scene.stack("web", &app("1"));
    scene.watch().success();
    scene.change(&stack, &app("2")).push().success();
    // As long as nothing of it changed it goes back without a word.
    scene.back(&stack, &[]).success();
    assert_eq!(value(&scene, &stack), "A=1");
    scene.run(&["release", &stack]).success();
    scene.reconcile().success();
    scene.repo.write("site/index", "two");
    scene.change(&stack, &app("3")).push().success();
    let before = scene.lab.specs(&stack);
    let said = scene.back(&stack, &[]);
    said.failure(1).error_has("`site` is not as it was then").stderr_has("--without-bindings");
    // Files that are gone are not there for a task to mount.
    let moved = nfs.path().join("elsewhere");
    fs::rename(nfs.path().join("site"), &moved).unwrap();
    let place = format!("`site` in `{}`", nfs.path().join("site").display());
    scene.back(&stack, &["--without-bindings"]).failure(1).error_has(&place).error_has("are gone");
    fs::rename(&moved, nfs.path().join("site")).unwrap();
    assert!(scene.lab.specs(&stack) == before && scene.status(&stack)["hold"].is_null());
    scene.back(&stack, &["--without-bindings"]).success().stderr_has("stays as it lies there");
    assert_eq!(value(&scene, &stack), "A=2");
    assert_eq!(fs::read_to_string(nfs.path().join("site/index")).unwrap(), "two");
    // What a commit drops meanwhile stays as long as what was rolled back mounts it.
    scene.repo.remove("site").write("volumes.yaml", "[]\n");
    scene.repo.write("unrelated", "x");
    scene.change(&stack, &web(&scene, "3").with("volumes: ['site:/site']"));
    scene.push();
    assert_eq!(value(&scene, &stack), "A=2");
    assert!(nfs.path().join("site/index").exists());
}
