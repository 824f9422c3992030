//! A run that is killed while a job runs costs nothing: the next one joins the job, which is never started twice.

use rustix::process::Signal;

use super::{Shop, says};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::scene::Scene;
use crate::support::wait_for;

/// A shop that runs its first version, before this docker.
fn shop(lab: &'static Lab, docker: FakeDocker) -> Shop {
    let shop = Shop::of(Scene::before(lab, FakeDocker::new()));
    shop.list("before: [migrate]\nafter: [smoke]");
    write(&shop, "1", "true");
    shop.watch().success();
    shop.forget();
    let ops = shop.scene.ops.with_fake(&docker);
    Shop { scene: Scene { docker, ops, lab, repo: shop.scene.repo }, ..shop }
}

fn write(shop: &Shop, version: &str, script: &str) {
    let migrate =
        shop.job(&format!("echo begins {version} >> /log/said; {script}; echo ends {version} >> /log/said"));
    let smoke = shop.shot(&says(&format!("smoke {version}")), "restart_policy: {condition: none}");
    shop.write(&[("migrate", &migrate), ("web", &shop.web(version)), ("smoke", &smoke)]);
}

const WHOLE: [&str; 4] = ["begins 2", "ends 2", "web 2", "smoke 2"];

#[test]
fn the_next_run_joins_the_job_that_still_runs() {
    let Some(lab) = lab() else { return };
    let shop = shop(lab, FakeDocker::new());
    write(&shop, "2", "sleep 8");
    shop.scene.repo.commit("next");
    let run = shop.scene.ops.spawn(["reconcile"]);
    wait_for("the job", 60, || !shop.said().is_empty());
    wait_for("a look at it", 60, || run.stderr().contains("runs"));
    let status = shop.scene.ops.run(["status", "--json"]).json();
    let under_way = status["under_way"].as_array().unwrap();
    let why = format!("its job `{}` runs", shop.name("migrate"));
    assert!(under_way.iter().any(|work| work["why"] == *why), "{status}");
    run.signal(Signal::KILL);
    run.wait();
    shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(shop.said(), WHOLE);
    // With the database gone as well the job's own label tells.
    shop.forget();
    write(&shop, "3", "sleep 8");
    shop.scene.repo.commit("next");
    let run = shop.scene.ops.spawn(["reconcile"]);
    wait_for("the job", 60, || !shop.said().is_empty());
    run.signal(Signal::KILL);
    run.wait();
    std::fs::remove_file(shop.scene.ops.database()).unwrap();
    shop.watch().success();
    assert_eq!(shop.said(), ["begins 3", "ends 3", "web 3", "smoke 3"]);
}

#[test]
fn a_run_that_is_killed_at_any_call_of_docker_starts_no_job_twice() {
    let Some(lab) = lab() else { return };
    let one = |moment: &str| {
        let docker = FakeDocker::new().waits(moment);
        let shop = shop(lab, docker);
        write(&shop, "2", "sleep 1");
        shop.scene.repo.commit("next");
        let run = shop.scene.ops.spawn(["reconcile"]);
        shop.scene.docker.wait_for_call(moment);
        run.signal(Signal::KILL);
        run.wait();
        shop.scene.docker.release();
        shop.scene.reconcile().success().stdout_has("1 deployed");
        assert_eq!(shop.said(), WHOLE, "{moment}");
        shop.scene.reconcile().success().stdout_has("1 unchanged");
    };
    std::thread::scope(|threads| {
        for moment in ["stack deploy", "service ps", "service inspect"] {
            threads.spawn(move || one(moment));
        }
    });
}

#[test]
fn a_call_of_docker_that_outlives_its_run_starts_the_job_once() {
    let Some(lab) = lab() else { return };
    // It has nobody to tell any more, which ends docker's CLI as soon as it tries to.
    let late = "[[ -e $folder/went ]] || { touch $folder/went; sleep 1; exec >/dev/null 2>&1; }";
    let shop = shop(lab, FakeDocker::new().does("stack deploy", late));
    write(&shop, "2", "sleep 1");
    shop.scene.repo.commit("next");
    let run = shop.scene.ops.spawn(["reconcile"]);
    wait_for("the call", 60, || !shop.scene.docker.calls_with("stack deploy").is_empty());
    run.signal(Signal::KILL);
    run.wait();
    // No run has noted that docker took it.
    wait_for("the job", 60, || !shop.said().is_empty());
    shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(shop.said(), WHOLE);
    assert_eq!(shop.scene.deploys().len(), 2, "the rest, and the smoke test");
}

#[test]
fn a_push_waits_for_the_job_that_runs_and_force_does_not() {
    let Some(lab) = lab() else { return };
    let shop = shop(lab, FakeDocker::new());
    write(&shop, "2", "sleep 6");
    shop.scene.repo.commit("next");
    let run = shop.scene.ops.spawn(["reconcile"]);
    wait_for("the job", 60, || !shop.said().is_empty());
    write(&shop, "3", "sleep 30");
    shop.scene.repo.commit("overtakes it");
    let second = shop.scene.ops.spawn(["reconcile"]);
    wait_for("the next job", 60, || shop.said().len() == 3);
    assert_eq!(shop.said(), ["begins 2", "ends 2", "begins 3"], "and of version 2 nothing else is given");
    write(&shop, "4", "true");
    shop.scene.repo.commit("a fix");
    shop.run(&["reconcile", "--force"]).success();
    run.wait();
    second.wait();
    assert_eq!(shop.said()[3..], ["begins 4", "ends 4", "web 4", "smoke 4"]);
}
