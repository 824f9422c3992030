//! Health: what runs less than Git says, or does not keep running, is said at every look, however long ago it
//! converged; that it begins and ends is an event.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::ownership::lose_database;
use crate::support::dockerops::Outcome;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab, on_every_docker};
use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

/// A stack of one service, `app`, that is watched.
struct Shop {
    scene: Scene,
    stack: String,
    service: String,
}

fn shop(policy: &str, app: impl FnOnce(&Scene) -> App) -> Option<Shop> {
    let scene = Scene::new()?;
    let app = app(&scene);
    Some(shop_in(scene, policy, &app))
}

fn shop_in(scene: Scene, policy: &str, app: &App) -> Shop {
    let stack = scene.stack("health", app);
    scene.repo.write("stacks.yaml", format!("- name: {stack}\n  drift: {policy}\n"));
    scene.watch().success().stdout_has("1 deployed").stdout_lacks("degraded");
    let service = format!("{stack}_app");
    Shop { scene, stack, service }
}

impl Shop {
    fn scale(&self, replicas: usize) {
        self.scene.lab.docker(&["service", "scale", "--detach", &format!("{}={replicas}", self.service)]);
    }

    /// Waits until a run says it, and gives that run.
    #[track_caller]
    fn until_reconcile_says(&self, text: &str) -> Outcome {
        let mut last = None;
        wait_for(text, 60, || {
            let said = self.scene.reconcile();
            let holds = said.stdout.contains(text);
            last = Some(said);
            holds
        });
        last.unwrap()
    }

    /// Waits until so many tasks run. `service ls` counts those that are still being stopped, too.
    fn wait_for_tasks(&self, count: usize) {
        let running = || {
            let call = ["service", "ps", "--format", "{{.DesiredState}} {{.CurrentState}}", &self.service];
            self.scene.lab.docker(&call).lines().filter(|line| line.starts_with("Running Running")).count()
        };
        wait_for(format!("{count} tasks"), 60, || running() == count);
    }

    /// The events of its health, oldest first.
    fn events(&self) -> Vec<String> {
        let db = self.scene.ops.db();
        let query =
            "SELECT event FROM events WHERE stack = ?1 AND event IN ('degraded', 'recovered') ORDER BY id";
        let mut query = db.prepare(query).unwrap();
        query.query_map([&self.stack], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// What `status` says, which is that it is degraded.
    #[track_caller]
    fn is_degraded(&self, why: &str) -> Value {
        self.scene
            .ops
            .run(["status"])
            .failure(3)
            .stdout_has("deployed")
            .stdout_has("degraded")
            .stdout_has(why);
        let told = self.scene.status(&self.stack);
        assert_eq!((&told["health"], &told["status"]), (&json!("degraded"), &json!("deployed")), "{told}");
        assert!(told["why"].as_str().is_some_and(|told| told.contains(why)), "no {why}: {told}");
        told
    }

    #[track_caller]
    fn is_healthy(&self) {
        self.scene.ops.run(["status"]).success().stdout_lacks("degraded");
        let told = self.scene.status(&self.stack);
        let known = (&told["health"], &told["why"], &told["degraded_since"]);
        assert_eq!(known, (&json!("healthy"), &Value::Null, &Value::Null), "{told}");
    }
}

fn scaled_by_hand(policy: &str, words: &str) {
    let Some(shop) = shop(policy, |scene| scene.on().replicas(3)) else { return };
    shop.is_healthy();
    shop.scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(
        shop.scene.docker.calls().len(),
        3,
        "one more than without a task: {:?}",
        shop.scene.docker.calls()
    );
    shop.scale(1);
    let why = format!("`{}` runs 1 of 3: scaled by hand to 1", shop.service);
    shop.until_reconcile_says(&why)
        .failure(3)
        .stdout_has(&format!("degraded  {}", shop.stack))
        .stdout_has(words);
    let told = shop.is_degraded(&why);
    assert!(told["degraded_since"].is_string(), "{told}");
    assert_eq!((&told["services"][0]["running"], &told["services"][0]["wanted"]), (&json!(1), &json!(3)));
    shop.scene.reconcile().failure(3).stdout_has(&why).stdout_has(words);
    shop.scale(3);
    shop.wait_for_tasks(3);
    shop.scene.reconcile().success().stdout_has("recovered").stdout_has("1 unchanged");
    shop.scene.reconcile().success().stdout_lacks("recovered");
    shop.is_healthy();
    assert_eq!(shop.events(), ["degraded", "recovered"]);
}

#[test]
fn what_was_scaled_by_hand_to_fewer_is_degraded_where_drift_is_only_reported() {
    scaled_by_hand("report", "1 drifted, 1 degraded");
}

#[test]
fn and_where_drift_is_ignored() {
    scaled_by_hand("ignore", "\n1 degraded");
}

#[test]
fn what_was_scaled_by_hand_while_nobody_looked_is_not_what_git_says() {
    let Some(shop) = shop("report", |scene| scene.on().replicas(3)) else { return };
    shop.scale(1);
    shop.wait_for_tasks(1);
    lose_database(&shop.scene);
    let why = format!("`{}` runs 1 of 3: scaled by hand to 1", shop.service);
    let left = "adopted; drifted while nobody looked, left as it is";
    shop.scene.watch().failure(3).stdout_has(left).stdout_has("scaled from 3 to 1").stdout_has(&why);
    assert_eq!(shop.scene.deploys(), [""; 0]);
    let status = || shop.scene.ops.run(["status"]);
    status().failure(3).stdout_has("  1/3  ").stdout_has("scaled from 3 to 1").stdout_has(&why);
    shop.is_degraded(&why);
    shop.scale(5);
    shop.wait_for_tasks(5);
    shop.scene.reconcile().success().stdout_has("scaled from 3 to 5");
    status().success().stdout_has("  3/3, 2 surplus  ").stdout_has("scaled from 3 to 5");
}

#[test]
fn a_service_that_was_removed_runs_none_of_three() {
    let Some(shop) = shop("report", |scene| scene.on().replicas(3)) else { return };
    shop.scene.lab.docker(&["service", "rm", &shop.service]);
    let why = format!("`{}` runs 0 of 3: it was removed", shop.service);
    shop.scene.reconcile().failure(3).stdout_has(&why);
    shop.is_degraded(&why);
}

#[test]
fn what_lost_all_its_nodes_is_degraded_and_waited_for_by_nobody() {
    let label = unique("zone");
    let on_label = |scene: &Scene| {
        scene.lab.docker(&["node", "update", "--label-add", &format!("{label}=yes"), "node2"]);
        let constraint = format!("placement: {{constraints: ['node.labels.{label} == yes']}}");
        scene.on().replicas(3).deploy(constraint)
    };
    let Some(shop) = shop("correct", on_label) else { return };
    shop.scene.lab.docker(&["node", "update", "--label-rm", &label, "node2"]);
    let why = "runs 0 of 3: no suitable node";
    shop.until_reconcile_says(why).failure(3).stdout_has("\n1 degraded");
    shop.is_degraded(why);
    assert_eq!(shop.scene.deploys(), [""; 0], "another deploy would not help");
    shop.scene.lab.docker(&["node", "update", "--label-add", &format!("{label}=yes"), "node2"]);
    shop.wait_for_tasks(3);
}

#[test]
fn one_that_dies_while_another_of_its_source_is_deployed_is_told_meanwhile() {
    let Some(shop) = shop("ignore", |scene| scene.on().replicas(2)) else { return };
    let hanging = shop.scene.on().deploy("placement: {constraints: [node.labels.x == y]}");
    let other = shop.scene.stack("hanging", &hanging);
    shop.scene
        .repo
        .write("stacks.yaml", format!("- name: {}\n  drift: ignore\n- name: {other}\n", shop.stack));
    shop.scene.repo.commit("next");
    let mut run = shop.scene.ops.spawn(["reconcile"]);
    run.wait_for("no suitable node", 1, 60);
    shop.scale(1);
    run.wait_for("scaled by hand to 1", 1, 60);
    assert!(run.is_running() && shop.events() == ["degraded"]);
    shop.scale(2);
    wait_for("its end", 60, || shop.events() == ["degraded", "recovered"]);
    assert!(run.is_running());
    run.signal(Signal::INT);
    run.wait().failure(130);
}

#[test]
fn a_crash_loop_behind_the_monitor_period_is_told_with_task_node_count_and_time() {
    let Some(lab) = lab() else { return };
    on_every_docker(|docker| {
        let scene = Scene::before(lab, FakeDocker::before(docker));
        let loops = scene.on().shell("sleep 8; echo lost; exit 1");
        let shop = shop_in(scene, "correct", &loops);
        let said = shop.until_reconcile_says("restarted 2 times");
        said.failure(3).stdout_has("\n1 degraded").stdout_has("task: non-zero exit (1)");
        let named = |node: &str| said.stdout.contains(&format!("(`{}.1` on `{node}`, ", shop.service));
        assert!(named("node1") || named("node2"), "{}", said.stdout);
        assert!([" second", "just now"].iter().any(|ago| said.stdout.contains(ago)), "{}", said.stdout);
        let told = shop.is_degraded("task: non-zero exit (1)");
        let service = &told["services"][0];
        assert!(service["restarts"].as_u64() >= Some(2) && service["last_restart"].is_string(), "{told}");
        assert!(service["error"].as_str().unwrap().contains("non-zero exit (1) (on `node"), "{told}");
        assert_eq!(shop.events(), ["degraded"], "once, however often it is seen");
    });
}

#[test]
fn a_page_a_daemon_and_its_metrics_tell_of_it_and_of_its_end() {
    let Some(mut shop) = shop("ignore", |scene| scene.on().replicas(2)) else { return };
    shop.scene.ops = shop.scene.ops.that_listens().env("DOCKEROPS_SYNC_INTERVAL", "5");
    let site = shop.scene.ops.site();
    let metric =
        |count: usize| site.get("/metrics").body.contains(&format!("\ndockerops_stacks_degraded {count}\n"));
    wait_for("the first look", 30, || metric(0));
    site.get("/").is(200).has("Everything runs as Git says");
    shop.scale(1);
    wait_for("the metric", 30, || metric(1));
    let page = site.get("/");
    page.is(200).has("1 thing needs attention").has("is degraded").has("runs 1 of 2: scaled by hand to 1");
    assert!(!page.body.contains("Everything runs as Git says"), "{}", page.body);
    let stacks = site.get("/api/v1/stacks").is(200).json();
    assert_eq!(stacks["stacks"][0]["health"], "degraded", "{stacks}");
    wait_for("the event", 30, || shop.events() == ["degraded"]);
    shop.scale(2);
    wait_for("its end", 60, || shop.events() == ["degraded", "recovered"]);
    wait_for("the metric", 30, || metric(0));
    site.get("/").is(200).has("Everything runs as Git says");
}

#[test]
fn a_daemon_says_once_that_a_stack_is_degraded_and_once_that_it_is_not() {
    let Some(mut shop) = shop("ignore", |scene| scene.on().replicas(2)) else { return };
    shop.scene.ops = shop.scene.ops.env("DOCKEROPS_SYNC_INTERVAL", "5");
    shop.scale(1);
    let mut run = shop.scene.ops.spawn(["run"]);
    run.wait_for("\ncycle ", 3, 60);
    shop.scale(2);
    run.wait_for("recovered ", 1, 60);
    run.wait_for("\ncycle ", 5, 60);
    run.signal(Signal::TERM);
    let said = run.wait();
    let log = &said.success().stdout;
    assert_eq!((log.matches("degraded  ").count(), log.matches("recovered ").count()), (1, 1), "{log}");
    assert!(
        log.contains("1 degraded in ") && log.contains(&format!("; degraded: `{}`", shop.stack)),
        "{log}"
    );
}

#[test]
fn a_global_service_that_one_node_rejects_again_and_again_is_degraded() {
    let image = format!("{}:local", unique("global"));
    let global = |scene: &Scene| {
        for docker in [Lab::docker, Lab::docker2] {
            docker(scene.lab, &["pull", "--quiet", &scene.lab.image("app:1")]);
            docker(scene.lab, &["tag", &scene.lab.image("app:1"), &image]);
        }
        App::new(&image).deploy("mode: global").deploy("restart_policy: {delay: 1s}")
    };
    let Some(shop) = shop("correct", global) else { return };
    shop.is_healthy();
    shop.scene.lab.docker2(&["image", "rm", &image]);
    let filter = format!("label=com.docker.swarm.service.name={}", shop.service);
    let id = shop.scene.lab.docker2(&["ps", "--quiet", "--filter", &filter]);
    shop.scene.lab.docker2(&["kill", &id]);
    let said = shop.until_reconcile_says("No such image");
    said.failure(3)
        .stdout_has(&format!("`{}` runs 1 of 2: No such image", shop.service))
        .stdout_has("(on `node2`");
    for _ in 0..3 {
        shop.is_degraded("runs 1 of 2");
        std::thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(shop.scene.status(&shop.stack)["services"][0]["wanted"], 2);
}

#[test]
fn one_that_failed_once_is_degraded_until_it_was_steady_for_a_minute() {
    let on_node1 = |scene: &Scene| {
        let constraint = "placement: {constraints: [node.hostname == node1]}";
        scene.on().deploy(constraint).deploy("restart_policy: {delay: 1s}")
    };
    let Some(shop) = shop("correct", on_node1) else { return };
    // The deploy has its word on what ends at once.
    std::thread::sleep(Duration::from_secs(4));
    let filter = format!("label=com.docker.swarm.service.name={}", shop.service);
    let id = shop.scene.lab.docker(&["ps", "--quiet", "--filter", &filter]);
    shop.scene.lab.docker(&["kill", &id]);
    let said = shop.until_reconcile_says("runs 1 of 1, but not steadily: task: non-zero exit (137)");
    said.failure(3).stdout_has(&format!("(`{}.1` on `node1`, restarted once, ", shop.service));
    shop.is_degraded("but not steadily");
    wait_for("a minute", 90, || shop.scene.reconcile().stdout.contains("recovered"));
    shop.is_healthy();
    assert_eq!(shop.scene.status(&shop.stack)["services"][0]["restarts"], 1, "the history still tells");
    assert_eq!(shop.events(), ["degraded", "recovered"]);
}

#[test]
fn a_fix_is_healthy_as_soon_as_it_converged() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(20);
    let stack = scene.stack("fixed", &scene.on().shell("exit 1").update("order: stop-first, monitor: 1s"));
    scene.watch().failure(3).stdout_has("1 failed").stdout_lacks("degraded ");
    let told = scene.status(&stack);
    assert_eq!((&told["health"], &told["why"]), (&json!("error"), &Value::Null), "{told}");
    scene.ops.run(["status"]).failure(3);
    scene.change(&stack, &scene.on());
    scene.push().success().stdout_has("1 deployed");
    scene.reconcile().success().stdout_has("1 unchanged");
    scene.ops.run(["status"]).success();
}

#[test]
fn nothing_is_asked_where_no_task_is_wanted() {
    let Some(shop) = shop("correct", Scene::off) else { return };
    shop.scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(shop.scene.docker.calls().len(), 2, "{:?}", shop.scene.docker.calls());
    shop.is_healthy();
}

#[test]
fn a_look_at_many_costs_as_many_calls_as_one_at_a_single_stack() {
    let Some(scene) = Scene::new() else { return };
    let services = compose([("app", &scene.on()), ("other", &scene.on())]);
    for number in 0..8 {
        scene.repo.stack(&scene.ops.unique(&format!("many{number}")), &services);
    }
    scene.watch().success().stdout_has("8 deployed");
    scene.reconcile().success().stdout_has("8 unchanged");
    assert_eq!(scene.docker.calls().len(), 3, "{:?}", scene.docker.calls());
}

#[test]
fn what_failed_before_docker_was_told_is_looked_at_all_the_same() {
    let Some(shop) = shop("correct", |scene| scene.on().replicas(3)) else { return };
    shop.scene.repo.write(&format!("{}/docker-compose.yml", shop.stack), "services: [\n");
    shop.scene.push().failure(3);
    shop.scale(1);
    shop.wait_for_tasks(1);
    let why = format!("`{}` runs 1 of 3: scaled by hand to 1", shop.service);
    shop.scene.ops.run(["status"]).failure(3).stdout_has(&why).stdout_has("error");
    let told = shop.scene.status(&shop.stack);
    assert_eq!((&told["health"], &told["services"][0]["wanted"]), (&json!("error"), &json!(3)), "{told}");
    assert!(told["error"].is_string() && told["why"].as_str().unwrap().contains(&why), "{told}");
    shop.scene.lab.docker(&["service", "rm", &shop.service]);
    shop.scene.ops.run(["status"]).failure(3).stdout_has("runs 0 of 3: it was removed");
}

#[test]
fn what_a_hand_rolled_back_is_drift_and_no_deploy() {
    let Some(shop) = shop("report", |scene| scene.on().update("monitor: 1s")) else { return };
    let next = shop.scene.on().update("monitor: 1s").with("environment: {V: '2'}");
    shop.scene.change(&shop.stack, &next).push().success();
    shop.scene.lab.docker(&["service", "rollback", "--detach", &shop.service]);
    let rolled_back =
        || shop.scene.lab.spec(&shop.service, "json .UpdateStatus").contains("rollback_completed");
    wait_for("the rollback", 60, rolled_back);
    let told = shop.scene.status(&shop.stack);
    assert_eq!((&told["updating"], told["drift"].as_array().unwrap().len()), (&json!(false), 1), "{told}");
    shop.scene.ops.run(["status"]).success().stdout_has("drifted").stdout_has("`environment` edited");
    let stacks = format!("- {{name: {}, drift: correct}}\n", shop.stack);
    shop.scene.repo.write("stacks.yaml", stacks);
    shop.scene.ops.run(["reconcile", "--dry-run"]);
    shop.scene.push().success().stdout_has("1 deployed");
    assert_eq!(shop.scene.status(&shop.stack)["drift"], json!([]));
}
