//! Tags that moved of stacks with jobs: the migration of an image runs before anything of it, and a failure is told.

use std::fs;

use rustix::process::Signal;

use super::Shop;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::registry::Registry;
use crate::support::scene::{App, Scene};
use crate::support::{unique, wait_for};

/// A shop whose services run by one tag, and whose jobs end as a file in its log says.
pub struct Tagged {
    pub shop: Shop,
    pub lab: &'static Lab,
    short: String,
    _registry: Registry,
    apps: [App; 2],
    web: App,
}

impl Tagged {
    pub fn start(list: &str) -> Option<Self> {
        let lab = lab()?;
        let scene = Scene::before(lab, FakeDocker::new());
        let ops = scene.ops.beside_the_registry(lab).always();
        let shop = Shop::of(Scene { ops, ..scene });
        let registry = Registry::start(lab, &[]);
        let short = format!("{}:1", unique("tagged"));
        lab.publish(&short, &[]);
        let image = format!("{}/{short}", registry.name(lab));
        let service = |script: &str| {
            App::new(&image).shell(script).with(format!("volumes: ['{}:/log']", shop.log.path().display()))
        };
        let job = |word: &str| {
            let script = format!(
                "echo {word} >> /log/said; sleep $$(cat /log/slow); test ! -e /log/bad-{word} && echo {word} ends >> /log/said"
            );
            service(&script)
                .update("")
                .deploy("mode: replicated-job")
                .deploy("restart_policy: {condition: none}")
        };
        let apps = [job("migrate"), job("smoke")];
        let web =
            service("echo web$$VERSION >> /log/said; test ! -e /log/bad-web && exec sleep 100000; exit 4");
        let web = web.update("failure_action: rollback, monitor: 4s");
        fs::write(shop.log.path().join("slow"), "0").unwrap();
        shop.list(list);
        let it = Self { shop, lab, short, _registry: registry, apps, web };
        it.write("");
        it.shop.watch().success();
        it.shop.forget();
        Some(it)
    }

    /// Under the default policy: no tag that moved rolls anything.
    pub fn by_default(self) -> Self {
        let Shop { scene, stack, log } = self.shop;
        let ops = scene.ops.env("DOCKEROPS_IMAGE_PULL_POLICY", "ifnotpresent");
        Self { shop: Shop { scene: Scene { ops, ..scene }, stack, log }, ..self }
    }

    /// That version of its server.
    fn write(&self, version: &str) {
        let space = if version.is_empty() { "" } else { " " };
        let web = self.web.clone().with(format!("environment: {{VERSION: '{space}{version}'}}"));
        let [migrate, smoke] = &self.apps;
        self.shop.write(&[("migrate", migrate), ("web", &web), ("smoke", smoke)]);
    }

    pub fn push_version(&self, version: &str) {
        self.write(version);
        self.shop.push();
    }

    pub fn move_the_tag(&self) {
        self.lab.publish(&self.short, &[]);
    }

    pub fn fails(&self, job: &str, fails: bool) {
        let file = self.shop.log.path().join(format!("bad-{job}"));
        if fails { fs::write(file, "").unwrap() } else { fs::remove_file(file).unwrap() }
    }

    pub fn image(&self, service: &str) -> String {
        self.lab.spec(&self.shop.name(service), ".Spec.TaskTemplate.ContainerSpec.Image")
    }
}

pub const BOTH: &str = "before: [migrate]\nafter: [smoke]";

#[test]
fn what_failed_behind_a_tag_that_moved_goes_back_to_the_image_that_ran() {
    let Some(it) = Tagged::start(&format!("{BOTH}\non_failure: rollback")) else { return };
    let before = it.image("web");
    it.fails("smoke", true);
    it.move_the_tag();
    it.shop
        .scene
        .reconcile()
        .failure(3)
        .stdout_has("by `on_failure: rollback`")
        .stdout_has("1 deployed, 1 failed");
    assert_eq!(it.image("web"), before);
    assert_eq!(it.shop.said(), ["migrate", "migrate ends", "web", "smoke", "web"]);
    // The tag names what failed: that does not come back, and a fix does.
    it.shop.scene.reconcile().success().stdout_has("1 on hold");
    assert_eq!(it.image("web"), before);
    it.fails("smoke", false);
    it.shop.run(&["release", &it.shop.stack]).success();
    it.shop.scene.reconcile().success();
    assert_ne!(it.image("web"), before);
    it.shop.scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn no_push_and_no_drift_takes_an_image_past_its_migration() {
    let Some(it) = Tagged::start(BOTH) else { return };
    let before = it.image("web");
    it.fails("migrate", true);
    it.move_the_tag();
    it.lab.docker(&["service", "scale", "--detach", &format!("{}=2", it.shop.name("web"))]);
    wait_for("the second one", 60, || it.shop.said() == ["web"]);
    it.shop.scene.reconcile().failure(3).stdout_has("1 failed");
    assert_eq!(
        (it.image("web"), it.shop.said()),
        (before.clone(), vec!["web".to_owned(), "migrate".to_owned()])
    );
    // A commit that leaves it alone tries the migration again, and it alone.
    it.shop.forget();
    it.shop.scene.repo.write("README", "x");
    it.shop.push().failure(3);
    assert_eq!((it.image("web"), it.shop.said()), (before.clone(), vec!["migrate".to_owned()]));
    it.fails("migrate", false);
    it.shop.forget();
    it.shop.scene.repo.write("README", "y");
    it.shop.push().success();
    let said = it.shop.said();
    assert!(said[..2] == ["migrate", "migrate ends"] && said.last().unwrap() == "smoke ends", "{said:?}");
    assert_ne!(it.image("web"), before);
    it.shop.scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn a_run_that_is_killed_behind_a_tag_that_moved_starts_no_migration_twice_and_forgets_none() {
    let Some(it) = Tagged::start(BOTH) else { return };
    let before = it.image("web");
    fs::write(it.shop.log.path().join("slow"), "8").unwrap();
    it.fails("migrate", true);
    it.move_the_tag();
    let run = it.shop.scene.ops.spawn(["reconcile"]);
    wait_for("the job", 60, || !it.shop.said().is_empty());
    run.signal(Signal::KILL);
    run.wait();
    it.shop.scene.reconcile().failure(3).stdout_has("its job");
    assert_eq!((it.image("web"), it.shop.said()), (before, vec!["migrate".to_owned()]));
    let status = it.shop.scene.status(&it.shop.stack);
    assert_eq!(status["status"], "error", "{status}");
}

#[test]
fn a_migration_that_failed_is_passed_by_nothing_until_its_tag_moves_again() {
    let Some(it) = Tagged::start("before: [smoke, migrate]") else { return };
    let before = it.image("web");
    it.fails("smoke", true);
    it.move_the_tag();
    it.shop.scene.reconcile().failure(3).stdout_has("1 failed");
    for _ in 0..2 {
        it.shop.scene.reconcile().failure(3).stdout_has("held until the repository changes");
    }
    assert_eq!((it.image("web"), it.shop.said()), (before.clone(), vec!["smoke".to_owned()]));
    // A job that a hand removed is not forgotten.
    it.fails("smoke", false);
    it.shop.forget();
    it.lab.docker(&["service", "rm", &it.shop.name("migrate")]);
    it.move_the_tag();
    it.shop.scene.reconcile().success();
    assert_eq!(it.shop.said(), ["smoke", "smoke ends", "migrate", "migrate ends", "web"]);
    assert_ne!(it.image("web"), before);
    it.shop.scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn an_image_that_fails_before_the_jobs_behind_it_is_not_deployed_at_every_run() {
    let Some(it) = Tagged::start("after: [migrate, smoke]") else { return };
    fs::write(it.shop.log.path().join("bad-web"), "").unwrap();
    it.move_the_tag();
    it.shop.scene.reconcile().failure(3);
    let said = it.shop.said();
    assert!(said.contains(&"web".to_owned()), "{said:?}");
    it.shop.scene.deploys();
    for _ in 0..2 {
        it.shop.scene.reconcile().failure(3).stdout_has("held until the repository changes");
    }
    assert_eq!(it.shop.scene.deploys(), [""; 0]);
    assert!(!it.shop.said().iter().any(|word| word == "migrate"));
}

/// A second version of the shop's server, and back from it.
fn rolled_back(it: &Tagged) -> (String, String) {
    let first = it.image("web");
    it.push_version("2");
    let second = it.image("migrate");
    it.shop.run(&["rollback", &it.shop.stack]).success();
    it.shop.forget();
    (first, second)
}

#[test]
fn what_is_released_after_its_tag_moved_runs_by_the_image_that_its_migration_ran_by() {
    let Some(it) = Tagged::start(BOTH) else { return };
    let it = it.by_default();
    let (_, second) = rolled_back(&it);
    it.move_the_tag();
    it.shop.run(&["release", &it.shop.stack]).success();
    it.shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(
        (it.image("web"), it.image("migrate"), it.image("smoke")),
        (second.clone(), second.clone(), second)
    );
    assert_eq!(it.shop.said(), ["web 2"]);
    it.shop.scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn what_is_released_after_its_tag_moved_follows_it_behind_its_migration() {
    let Some(it) = Tagged::start(BOTH) else { return };
    let (_, second) = rolled_back(&it);
    it.move_the_tag();
    it.shop.run(&["release", &it.shop.stack]).success();
    it.shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(it.shop.said(), ["migrate", "migrate ends", "web 2", "smoke", "smoke ends"]);
    assert_ne!(it.image("web"), second);
    assert_eq!((it.image("web"), it.image("smoke")), (it.image("migrate"), it.image("migrate")));
    it.shop.scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(it.shop.said().len(), 5);
    // A revert of a version whose migration failed: what it goes back to waits for its own migration as well.
    it.shop.forget();
    it.fails("migrate", true);
    it.push_version("3");
    it.move_the_tag();
    it.fails("migrate", false);
    it.shop.forget();
    it.push_version("2");
    it.shop.scene.reconcile().success();
    let said = it.shop.said();
    assert_eq!(said.iter().find(|word| *word != "web 2").map(String::as_str), Some("migrate"), "{said:?}");
    assert!(
        said.iter().position(|word| word == "migrate") < said.iter().position(|word| word == "web 2"),
        "{said:?}"
    );
}

#[test]
fn one_tag_is_one_image_in_all_steps_of_a_new_version() {
    let Some(it) = Tagged::start(BOTH) else { return };
    fs::write(it.shop.log.path().join("slow"), "6").unwrap();
    it.write("2");
    it.shop.scene.repo.commit("second");
    let run = it.shop.scene.ops.spawn(["reconcile"]);
    wait_for("the migration", 60, || it.shop.said() == ["migrate"]);
    it.move_the_tag();
    run.wait();
    assert_eq!((it.image("web"), it.image("smoke")), (it.image("migrate"), it.image("migrate")));
    fs::write(it.shop.log.path().join("slow"), "0").unwrap();
    it.shop.forget();
    it.shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(it.shop.said(), ["migrate", "migrate ends", "web 2", "smoke", "smoke ends"]);
}

#[test]
fn what_follows_its_tag_is_no_drift_meanwhile() {
    let Some(it) = Tagged::start(BOTH) else { return };
    let before = it.image("web");
    fs::write(it.shop.log.path().join("slow"), "6").unwrap();
    it.move_the_tag();
    let run = it.shop.scene.ops.spawn(["reconcile"]);
    wait_for("the server", 90, || it.image("web") != before);
    let status = it.shop.scene.status(&it.shop.stack);
    assert!(status["drift"].as_array().unwrap().is_empty() && status["updating"] == true, "{status}");
    run.wait().success();
    assert_eq!(it.shop.scene.status(&it.shop.stack)["updating"], false);
}
