//! Why a service does not come up is said at once and by itself: its last lines, and the node that nobody has.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::scene::{App, Scene, compose};
use crate::support::wait_for;

#[test]
fn a_crash_loop_tells_its_last_lines_at_once_in_the_error_in_the_event_and_on_the_page() {
    let Some(scene) = Scene::new() else { return };
    // docker reads both streams for itself: without the second they may come in any order.
    let script = "for i in $$(seq 50); do echo line $$i; done; sleep 1; printf '\\033[31mno such \\342\\200\\256host\\n' >&2; exit 7";
    // Between two tries nothing runs that could be taken to have come up.
    let delay = "restart_policy: {delay: 300s}";
    let stack = scene.stack("crash", &scene.on().shell(script).deploy(delay));
    // Its deadline is far away: what is told before is told at once, on a machine as slow as may be.
    let scene = scene.timeout(600);
    scene.repo.commit("first");
    let mut run = scene.ops.spawn(["watch", &*scene.repo.url()]);
    run.wait_for(
        &format!("note      {stack}  `{stack}_app`: a task failed: task: non-zero exit (7) (on `node"),
        1,
        120,
    );
    run.wait_for("    | line 50\n", 1, 120);
    assert!(run.is_running(), "it is told at once");
    run.signal(Signal::INT);
    run.wait().failure(130);
    // By now it has been in motion for longer than this.
    let scene = scene.timeout(2);
    let outcome = scene.reconcile();
    outcome.failure(3);
    let error = outcome.stdout.split("failed    ").nth(1).unwrap_or_else(|| panic!("{outcome}"));
    assert!(error.contains("did not converge within 2 s"), "{outcome}");
    assert!(error.contains(&format!("\n  the last lines of `{stack}_app`:\n    | line ")), "{outcome}");
    assert!(error.contains("    | \\u{1b}[31mno such \\u{202e}host\n"), "{outcome}");
    assert_eq!(error.matches("    | ").count(), 10, "{outcome}");
    assert!(!outcome.stdout.contains("line 30\n") && !outcome.stdout.contains('\u{1b}'), "{outcome}");
    let query = "SELECT message FROM events WHERE event = 'failed' AND stack = ?1";
    let event: String = scene.ops.db().query_row(query, [&stack], |row| row.get(0)).unwrap();
    assert!(event.contains("    | line 50"), "{event}");
    assert!(scene.status(&stack)["error"].as_str().unwrap().contains("    | line 50"));
    let ops = scene.ops.that_listens().env("DOCKEROPS_DEPLOY_TIMEOUT", "2");
    let site = ops.site();
    site.get(&format!("/?stack={stack}")).is(200).has("| line 50");
}

#[test]
fn what_fails_long_after_it_was_deployed_tells_its_last_lines_in_the_event_in_status_and_on_the_page() {
    let Some(scene) = Scene::new() else { return };
    let app = scene.on().shell("sleep 8; echo no room on $$(hostname) | cut -c1-10; exit 7");
    let stack = scene.stack("tired", &app.update("monitor: 1s").deploy("restart_policy: {delay: 1s}"));
    scene.watch().success().stdout_has("1 deployed");
    let words = format!("\n  the last lines of `{stack}_app`:\n    | no room on\n");
    wait_for("its last lines", 40, || {
        let said = scene.reconcile();
        said.stdout.contains("degraded  ") && said.stdout.contains(&words)
    });
    let asked = scene.docker.calls_with("service logs").len();
    assert!((1..=4).contains(&asked), "{asked} times");
    let why = scene.status(&stack)["why"].to_string();
    assert!(why.contains("non-zero exit (7)") && why.contains("    | no room on"), "{why}");
    let query = "SELECT message FROM events WHERE event = 'degraded' AND stack = ?1";
    let event: String = scene.ops.db().query_row(query, [&stack], |row| row.get(0)).unwrap();
    assert!(event.contains("    | no room on"), "{event}");
    let ops = scene.ops.that_listens();
    ops.site().get(&format!("/?stack={stack}")).is(200).has("| no room on");
}

#[test]
fn a_health_check_that_fails_is_heard() {
    let Some(scene) = Scene::new() else { return };
    let check = "healthcheck: {test: [CMD-SHELL, 'echo the disk is full; exit 1'], interval: 1s, retries: 1}";
    let app = scene.on().with(check).deploy("placement: {constraints: [node.role == manager]}");
    let stack = scene.stack("sick", &app.shell("echo i am up; exec sleep 600").with("stop_grace_period: 0s"));
    let scene = scene.timeout(12);
    let outcome = scene.watch();
    outcome.failure(3).stdout_has("unhealthy container");
    outcome.stdout_has(&format!("\n  the last lines of `{stack}_app`:\n    | i am up\n"));
    outcome.stdout_has(&format!("\n  the health check of `{stack}_app`:\n    | the disk is full\n"));
}

#[test]
fn what_no_node_can_take_is_said_within_seconds_and_the_deadline_stays() {
    let Some(scene) = Scene::new() else { return };
    let never = scene.on().deploy("placement: {constraints: [node.labels.x == y]}");
    let huge = scene.on().deploy("resources: {reservations: {memory: 900G}}");
    // Three for two nodes.
    let port = scene.on().replicas(3).with("ports: [{target: 80, published: 29876, mode: host}]");
    let apps: [(&str, &App); 3] = [("never", &never), ("huge", &huge), ("port", &port)];
    let stack = scene.ops.unique("unplaced");
    scene.repo.stack(&stack, &compose(apps)).commit("first");
    let mut run = scene.ops.spawn(["watch", &*scene.repo.url()]);
    let note =
        |service: &str| format!("note      {stack}  `{stack}_{service}`: a task finds no suitable node (");
    run.wait_for(&note("never"), 1, 10);
    for (service, why) in [
        ("never", "scheduling constraints not satisfied on 2 nodes); its constraints: `node.labels.x == y`"),
        ("huge", "insufficient resources on 2 nodes); it reserves: `921600 MiB of memory`"),
        ("port", "host-mode port already in use on 2 nodes); its ports: `29876`"),
    ] {
        run.wait_for(&format!("{}{why}", note(service)), 1, 10);
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(run.stdout().matches("no suitable node").count(), 3, "{}", run.stdout());
    assert!(!run.stdout().contains("did not converge"));
    run.signal(Signal::INT);
    run.wait().failure(130);
    let outcome = scene.timeout(3).reconcile();
    outcome
        .failure(3)
        .stdout_has("did not converge within 3 s")
        .stdout_has("its constraints: `node.labels.x == y`");
}

#[test]
fn a_log_that_does_not_come_is_no_error_and_holds_up_nobody() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("mute", &scene.on().shell("echo not heard; exit 7"));
    let Scene { lab, ops, repo, docker } = scene.timeout(8);
    let scene = Scene { lab, ops, repo, docker: docker.hangs("service logs") };
    let begun = Instant::now();
    let outcome = scene.watch();
    outcome.failure(3).stdout_has("did not converge within 8 s").stdout_has("non-zero exit (7)");
    outcome.stdout_lacks("not heard").stdout_lacks("the last lines");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(scene.docker.calls_with("service logs").len(), 2);
    assert!(scene.row(&stack).is_some());
}
