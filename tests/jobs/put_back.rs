//! What is put back of a stack with jobs: by the images that its version ran by, which is one version still.

use super::tags::{BOTH, Tagged};
use crate::support::wait_for;

fn remove(it: &Tagged, services: &[&str]) {
    for service in services {
        it.lab.docker(&["service", "rm", &it.shop.name(service)]);
    }
}

/// Under the default policy, whose tags move nothing.
fn started() -> Option<Tagged> {
    Tagged::start(BOTH).map(Tagged::by_default)
}

#[test]
fn it_runs_by_the_image_that_its_migration_ran_by_whatever_its_tag_names() {
    let Some(it) = started() else { return };
    let ran = it.image("web");
    it.move_the_tag();
    remove(&it, &["migrate", "smoke", "web"]);
    it.shop.scene.reconcile().success().stdout_has("removed by hand");
    assert_eq!((it.image("web"), it.shop.said()), (ran, vec!["web".to_owned()]));
    it.shop.scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn under_always_the_migration_of_what_its_tag_names_follows() {
    let Some(it) = Tagged::start(BOTH) else { return };
    let ran = it.image("web");
    it.move_the_tag();
    remove(&it, &["migrate", "smoke", "web"]);
    it.shop.scene.reconcile();
    it.shop.scene.reconcile().success();
    assert_ne!(it.image("web"), ran);
    let said = it.shop.said();
    let at = |word: &str| said.iter().rposition(|said| said == word);
    assert!(at("migrate ends").is_some() && at("migrate ends") < at("web"), "{said:?}");
}

#[test]
fn a_version_that_is_put_back_without_its_jobs_is_the_same_version() {
    let Some(it) = started() else { return };
    it.push_version("2");
    remove(&it, &["migrate", "smoke", "web"]);
    it.shop.scene.reconcile().success().stdout_has("removed by hand");
    wait_for("the server", 60, || it.shop.said().iter().filter(|word| *word == "web 2").count() == 2);
    it.shop.forget();
    it.shop.run(&["rollback", &it.shop.stack]).success();
    assert_eq!(it.shop.said(), ["web"]);
}

#[test]
fn a_version_that_comes_again_after_another_ones_migration_failed_is_the_same_version() {
    let Some(it) = started() else { return };
    it.push_version("2");
    it.fails("migrate", true);
    it.move_the_tag();
    // Another text: its tag is asked for again.
    it.push_version("3");
    it.push_version("2");
    it.shop.forget();
    it.shop.run(&["rollback", &it.shop.stack]).success();
    assert_eq!(it.shop.said(), ["web"]);
}
