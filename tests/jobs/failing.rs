//! Jobs that fail, or take too long: what runs goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Shop, says};
use crate::support::lab::Lab;
use crate::support::scene::{App, Scene};
use crate::support::wait_for;

const PORT: u16 = 29_877;

fn ask(version: &str) -> Option<bool> {
    let address: SocketAddr = format!("10.77.0.1:{PORT}").parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.ends_with(&format!("version {version}\n")))
}

/// What happens while somebody asks all the time: how often that was answered by the version, and how often not.
fn asked_meanwhile(lab: &'static Lab, version: &str, act: impl FnOnce()) -> (usize, usize) {
    let (goes_on, good, bad) = (AtomicBool::new(true), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|threads| {
        threads.spawn(|| {
            lab.enter_network();
            while goes_on.load(Ordering::Relaxed) {
                let count = if ask(version) == Some(true) { &good } else { &bad };
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        goes_on.store(false, Ordering::Relaxed);
        done.unwrap();
    });
    (good.into_inner(), bad.into_inner())
}

fn server(shop: &Shop, version: &str) -> App {
    let script =
        format!("mkdir /www; echo version {version} > /www/version; exec busybox httpd -f -p {PORT} -h /www");
    shop.service("app:1", &script)
        .with(format!("ports: [{{target: {PORT}, published: {PORT}, mode: host}}]"))
        .with("configs: [{source: site, target: /site}]")
        .deploy("placement: {constraints: [node.hostname == node1]}")
}

fn write(shop: &Shop, version: &str, migrate: &App) {
    let web = server(shop, version);
    shop.write(&[("migrate", migrate), ("web", &web)]);
    let path = format!("{}/docker-compose.yml", shop.stack);
    let text = std::fs::read_to_string(shop.scene.repo.path().join(&path)).unwrap();
    shop.scene.repo.write(&path, format!("{text}configs: {{site: {{file: site}}}}\n"));
    shop.scene.repo.write(&format!("{}/site", shop.stack), version);
}

fn configs(shop: &Shop) -> usize {
    let filter = format!("label=com.docker.stack.namespace={}", shop.stack);
    shop.scene.lab.docker(&["config", "ls", "--quiet", "--filter", &filter]).lines().count()
}

#[test]
fn a_migration_that_fails_leaves_the_version_before_serving_every_request() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    shop.list("before: [migrate]");
    write(&shop, "1", &shop.job(&says("migrate 1")));
    shop.watch().success();
    let script = "echo migrate 2 >> /log/said; for i in $$(seq 100); do echo row $$i; done; sleep 1; printf '\\033[31mno such column\\n' >&2; sleep 1; exit 7";
    write(&shop, "2", &shop.job(script));
    let (good, bad) = asked_meanwhile(shop.scene.lab, "1", || {
        let said = shop.push();
        said.failure(3)
            .stdout_has("task: non-zero exit (7)")
            .stdout_has("(held until the repository changes");
        said.stdout_has(&format!("its job `{}` failed", shop.name("migrate")));
        said.stdout_has("    | \\u{1b}[31mno such column\n");
        let error = said.stdout.split("failed    ").nth(1).unwrap_or_else(|| panic!("{said}"));
        assert_eq!(error.matches("    | ").count(), 40, "{said}");
        // It is not tried again by itself, nor for a server that a hand touches.
        shop.scene.reconcile().failure(3).stdout_has("held until the repository changes");
        assert_eq!(shop.scene.deploys(), [""; 0]);
        shop.scene.lab.docker(&["service", "rm", &shop.name("migrate")]);
        shop.scene.reconcile().failure(3).stdout_has("held until the repository changes");
        assert_eq!(shop.said(), ["migrate 1", "migrate 2"]);
        // By force, and for another commit, it is.
        shop.run(&["reconcile", "--force"]).failure(3);
        shop.push().failure(3);
        assert_eq!(shop.said(), ["migrate 1", "migrate 2", "migrate 2", "migrate 2"]);
    });
    assert_eq!(bad, 0, "of {good} requests");
    assert!(good > 500, "{good}");
    assert!(shop.scene.status(&shop.stack)["error"].as_str().unwrap().contains("    | row 90"));
    let event = "SELECT message FROM events WHERE event = 'failed' AND stack = ?1";
    let event: String = shop.scene.ops.db().query_row(event, [&shop.stack], |row| row.get(0)).unwrap();
    assert!(event.contains("no such column"), "{event}");
    assert_eq!(configs(&shop), 2);

    // Taken back, the version that runs is deployed as it ran: its migration did its work.
    write(&shop, "1", &shop.job(&says("migrate 1")));
    shop.push().success().stdout_has("1 deployed");
    assert_eq!(shop.said().len(), 4);
    assert_eq!(shop.scene.status(&shop.stack)["updating"], false);
    shop.scene.reconcile().success().stdout_has("1 unchanged");
    // A fix goes out.
    write(&shop, "3", &shop.job(&says("migrate 3")));
    shop.push().success();
    assert_eq!(shop.said().last().unwrap(), "migrate 3");
    assert_eq!(configs(&shop), 2, "of this version, and of that before it: what failed left nothing");
}

#[test]
fn a_first_deploy_whose_migration_fails_runs_nothing_of_the_rest() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let failing = shop.job("echo no >> /log/said; exit 3");
    shop.list("before: [migrate]").write(&[("migrate", &failing), ("web", &shop.web("1"))]);
    shop.watch().failure(3).stdout_has("task: non-zero exit (3)");
    shop.scene.reconcile().failure(3).stdout_has("held until the repository changes");
    assert_eq!(
        (shop.said(), shop.scene.lab.services(&shop.stack)),
        (vec!["no".to_owned()], vec![shop.name("migrate")])
    );
    // One that Swarm starts again has not failed so far.
    let again = "echo try >> /log/said; [ $$(grep -c try /log/said) = 3 ]";
    let again = shop
        .shot(again, "mode: replicated-job")
        .deploy("restart_policy: {condition: on-failure, delay: 1s, max_attempts: 5}");
    shop.forget();
    shop.write(&[("migrate", &again), ("web", &shop.web("1"))]).push().success();
    assert_eq!(shop.said(), ["try", "try", "try", "web 1"]);
}

#[test]
fn a_job_that_takes_too_long_goes_on_and_is_not_started_again_for_that() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    shop.list("before: [migrate]\ntimeout: 3s");
    shop.write(&[("migrate", &shop.job("true")), ("web", &shop.web("1"))]).watch().success();
    let slow = shop.job("echo begins >> /log/said; sleep 20; echo ends >> /log/said");
    shop.write(&[("migrate", &slow), ("web", &shop.web("2"))]);
    let said = shop.push();
    said.failure(3).stdout_has("did not complete within 3 s: 0/1 completed").stdout_has("held until");
    shop.scene.reconcile().failure(3);
    assert_eq!(shop.said(), ["web 1", "begins"]);
    wait_for("its end", 60, || shop.said().len() == 3);
    // The next commit finds it done.
    shop.push().success().stdout_has("1 deployed");
    assert_eq!(shop.said(), ["web 1", "begins", "ends", "web 2"]);
}

#[test]
fn a_smoke_test_that_fails_is_the_error_of_a_stack_that_runs_its_new_version() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let migrate = shop.job(&says("migrate"));
    let smoke = |script: &str| shop.shot(script, "restart_policy: {condition: none}");
    let write = |version: &str, script: &str| {
        shop.write(&[("migrate", &migrate), ("web", &shop.web(version)), ("smoke", &smoke(script))]);
    };
    shop.list("before: [migrate]\nafter: [smoke]");
    write("1", &says("smoke 1"));
    shop.watch().success();
    shop.forget();
    write("2", "echo smoke 2 >> /log/said; echo no answer; sleep 1; exit 5");
    let said = shop.push();
    said.failure(3)
        .stdout_has("task: non-zero exit (5)")
        .stdout_has("    | no answer\n")
        .stdout_has("held until");
    shop.scene.reconcile().failure(3);
    assert_eq!(shop.said(), ["migrate", "web 2", "smoke 2"]);
    // The next commit tries what failed again, and what did its work for this version not.
    shop.push().failure(3);
    assert_eq!(shop.said(), ["migrate", "web 2", "smoke 2", "smoke 2"]);
    shop.forget();
    write("3", &says("smoke 3"));
    shop.push().success();
    assert_eq!(shop.said(), ["migrate", "web 3", "smoke 3"]);
}

#[test]
fn a_smoke_test_that_fails_brings_back_what_ran_where_its_list_says_so() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let migrate = shop.job(&says("migrate"));
    let write = |version: &str, script: &str| {
        let smoke = shop.shot(script, "restart_policy: {condition: none}");
        shop.write(&[("migrate", &migrate), ("web", &shop.web(version)), ("smoke", &smoke)]);
    };
    shop.list("before: [migrate]\nafter: [smoke]\non_failure: rollback");
    // There is nothing to go back to so far.
    write("0", "echo smoke 0 >> /log/said; exit 5");
    shop.watch().failure(3).stdout_has("it was not rolled back: no version of");
    write("1", &says("smoke 1"));
    shop.push().success();
    shop.forget();
    write("2", "echo smoke 2 >> /log/said; echo no answer; sleep 1; exit 5");
    let said = shop.push();
    said.failure(3)
        .stdout_has("    | no answer\n")
        .stdout_has("by `on_failure: rollback`")
        .stdout_has("1 deployed, 1 failed");
    assert_eq!(shop.said(), ["migrate", "web 2", "smoke 2", "web 1"], "no job runs for what ran before");
    let hold = &shop.scene.status(&shop.stack)["hold"];
    assert_eq!(hold["kind"], "rollback");
    assert!(hold["reason"].as_str().unwrap().contains("exit (5)"), "{hold}");
    for _ in 0..2 {
        shop.scene.reconcile().success().stdout_has("1 on hold");
    }
    // One that fails as well goes out once, and goes back once.
    shop.forget();
    write("2b", "echo smoke 2b >> /log/said; sleep 1; exit 5");
    shop.push().failure(3).stdout_has("1 deployed, 1 failed");
    assert_eq!(shop.said(), ["migrate", "web 2b", "smoke 2b", "web 1"]);
    shop.scene.reconcile().success().stdout_has("1 on hold");
    // A rollback by hand runs no job either, and a fix goes out with its own.
    shop.forget();
    write("3", &says("smoke 3"));
    shop.push().success().stdout_has("released");
    assert_eq!(shop.said(), ["migrate", "web 3", "smoke 3"]);
    shop.forget();
    let said = shop.scene.run(&["rollback", &shop.stack]);
    said.success();
    assert_eq!(shop.said(), ["web 1"], "{said}");
}

#[test]
fn a_push_does_not_cut_off_a_migration_that_took_too_long() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let write = |version: &str, script: &str| {
        let script =
            format!("echo begins {version} >> /log/said; {script}; echo ends {version} >> /log/said");
        shop.write(&[("migrate", &shop.job(&script)), ("web", &shop.web(version))]);
    };
    shop.list("before: [migrate]\ntimeout: 12s");
    write("1", "true");
    shop.watch().success();
    shop.forget();
    write("2", "sleep 40");
    shop.push().failure(3).stdout_has("did not complete within 12 s");
    write("3", "true");
    shop.push().failure(3).stdout_has("is still at work").stdout_has("--force");
    assert_eq!(shop.said(), ["begins 2"]);
    wait_for("its end", 120, || shop.said().len() >= 2 && shop.scene.reconcile().code == 0);
    assert_eq!(shop.said(), ["begins 2", "ends 2", "begins 3", "ends 3", "web 3"]);
}

#[test]
fn a_hold_between_a_migration_and_another_push_leaves_no_deploy_under_way() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let write = |version: &str| {
        let migrate = format!("sleep 6; echo migrate {version} >> /log/said");
        shop.write(&[("migrate", &shop.job(&migrate)), ("web", &shop.web(version))]);
    };
    shop.list("before: [migrate]");
    write("1");
    shop.watch().success();
    write("2");
    shop.scene.repo.commit("2");
    let run = shop.scene.ops.spawn(["reconcile"]);
    wait_for("the job", 60, || run.stderr().contains("runs"));
    shop.run(&["hold", &shop.stack]).success();
    write("3");
    shop.push().failure(3).stdout_has("half deployed");
    run.wait().failure(3);
    let status = shop.scene.status(&shop.stack);
    assert!(
        status["status"] == "error" && status["error"].as_str().unwrap().contains("half deployed"),
        "{status}"
    );
    assert_eq!(shop.said(), ["migrate 1", "web 1", "migrate 2"]);
    shop.run(&["release", &shop.stack]).success();
    shop.scene.reconcile().success();
    assert_eq!(shop.said()[3..], ["migrate 3", "web 3"]);
}

#[test]
fn a_fix_in_stacks_yaml_alone_ends_a_rollback() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let write = |version: &str, script: &str| {
        let script = format!("{script}; echo migrate {version} >> /log/said");
        shop.write(&[("migrate", &shop.job(&script)), ("web", &shop.web(version))]);
    };
    shop.list("before: [migrate]\ntimeout: 4s");
    write("1", "true");
    shop.watch().success();
    write("2", "sleep 8");
    shop.push().failure(3).stdout_has("did not complete within 4 s");
    wait_for("its end", 60, || shop.said().last().is_some_and(|said| said == "migrate 2"));
    shop.run(&["rollback", &shop.stack]).success();
    shop.forget();
    shop.scene.reconcile().success().stdout_has("1 on hold");
    shop.list("before: [migrate]\ntimeout: 60s");
    shop.push().success().stdout_has("released").stdout_has("1 deployed");
    assert_eq!(shop.said().last().map(String::as_str), Some("web 2"));
}

#[test]
fn a_migration_that_failed_runs_again_though_its_stack_was_held_and_its_database_lost() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    // Before the server in all lists, so that docker tells of it first.
    let write = |version: &str| {
        let script = format!("test ! -e /log/bad && echo migrate {version} >> /log/said");
        shop.write(&[("amigrate", &shop.job(&script)), ("web", &shop.web(version))]);
    };
    shop.list("before: [amigrate]");
    write("1");
    shop.watch().success();
    std::fs::write(shop.log.path().join("bad"), "").unwrap();
    write("2");
    shop.push().failure(3);
    shop.run(&["hold", &shop.stack, "--for", "ever"]).success();
    std::fs::remove_file(shop.scene.ops.database()).unwrap();
    shop.watch().stdout_has("1 on hold");
    shop.run(&["release", &shop.stack]).success();
    shop.scene.reconcile().failure(3).stdout_has("1 failed");
    assert_eq!(shop.said(), ["migrate 1", "web 1"]);
    std::fs::remove_file(shop.log.path().join("bad")).unwrap();
    shop.run(&["reconcile", "--force"]).success();
    assert_eq!(shop.said(), ["migrate 1", "web 1", "migrate 2", "web 2"]);
}
