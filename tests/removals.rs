//! Stacks go side by side, what depends on others before them; and what cannot go says who keeps it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::scene::{App, Scene, compose};
use crate::support::wait_for;

/// Where in the list of calls the first is that contains `part`.
fn first(calls: &[String], part: &str) -> usize {
    calls.iter().position(|call| call.contains(part)).unwrap_or_else(|| panic!("{part} in {calls:#?}"))
}

/// One that takes two seconds to end.
fn slow(scene: &Scene) -> App {
    scene.on().with("stop_grace_period: 2s").shell("trap '' TERM; while :; do sleep 0.1; done")
}

#[test]
fn a_stack_goes_only_when_no_container_of_its_dependents_runs() {
    let Some(scene) = Scene::new() else { return };
    let (db, web) = (scene.stack("a-db", &scene.on()), scene.stack("web", &slow(&scene)));
    scene.repo.write("stacks.yaml", format!("- name: {db}\n- {{name: {web}, depends_on: [{db}]}}\n"));
    scene.watch().success();
    // The manifest is not asked again.
    std::fs::remove_dir_all(scene.repo.path()).unwrap();
    let rule = format!(
        "docker ps --quiet --filter label=com.docker.stack.namespace={web} >> \"$folder/left\"; \
         DOCKER_HOST={} docker ps --quiet --filter label=com.docker.stack.namespace={web} >> \"$folder/left\"",
        scene.lab.docker_host2()
    );
    let Scene { lab, ops, repo, docker } = scene;
    let scene = Scene { lab, ops, repo, docker: docker.does(&format!("stack rm {db}"), &rule) };
    scene.run(&["unwatch", &scene.repo.url()]).success().stdout_has(&db).stdout_has(&web);
    let calls = scene.docker.calls();
    assert!(
        first(&calls, &format!("stack rm {db}")) > first(&calls, &format!("stack rm {web}")),
        "{calls:#?}"
    );
    let left = std::fs::read_to_string(scene.docker.folder().parent().unwrap().join("left")).unwrap();
    assert_eq!(left, "");
}

#[test]
fn a_stack_that_joins_the_network_of_another_goes_before_it() {
    let Some(scene) = Scene::new() else { return };
    let (edge, app) = (scene.ops.unique("a-edge"), scene.ops.unique("z-app"));
    let joins = |app: App, network: &str| compose([("app", &app.with(format!("networks: [{network}]")))]);
    scene.repo.stack(&edge, &(joins(scene.on(), "net") + "networks: {net: {}}\n"));
    let external = format!("networks: {{out: {{external: true, name: {edge}_net}}}}\n");
    scene.repo.stack(&app, &(joins(slow(&scene), "out") + &external));
    scene.repo.write("stacks.yaml", format!("- name: {edge}\n- {{name: {app}, depends_on: [{edge}]}}\n"));
    scene.watch().success();
    // As a database of an earlier release has it.
    scene.ops.db().execute("UPDATE stack_states SET depends_on = '[]'", []).unwrap();
    scene.run(&["stop", "--yes"]).success();
    let calls = scene.docker.calls();
    assert!(
        first(&calls, &format!("stack rm {edge}")) > first(&calls, &format!("stack rm {app}")),
        "{calls:#?}"
    );
}

#[test]
fn stacks_go_side_by_side() {
    let Some(lab) = lab() else { return };
    let docker = FakeDocker::new().does("stack rm", "sleep 1");
    let scene = Scene::before(lab, docker);
    let names: Vec<_> = (0..40).map(|number| scene.stack(&format!("s{number}"), &scene.off())).collect();
    scene.watch().success();
    let begun = Instant::now();
    scene.run(&["stop", "--yes"]).success();
    // Two calls a stack, eight at a time; one by one they would take 80 seconds.
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert!(names.iter().all(|name| scene.lab.services(name).is_empty()));
}

/// Deploys all, `kept` with a network that a container made by hand is in: these two.
fn keep(scene: &Scene, kept: &str) -> (String, String) {
    let app = scene.off().with("networks: [net]");
    scene.repo.stack(kept, &(compose([("app", &app)]) + "networks: {net: {attachable: true}}\n"));
    scene.watch().success();
    let (network, user) = (format!("{kept}_net"), format!("{kept}-by-hand"));
    let image = scene.lab.image("app:1");
    scene.lab.docker(&["run", "--detach", "--name", &user, "--network", &network, &image]);
    (network, user)
}

#[test]
fn what_cannot_go_says_who_keeps_it_and_the_others_go() {
    let Some(scene) = Scene::new() else { return };
    let (kept, fine) = (scene.ops.unique("kept"), scene.stack("fine", &scene.off()));
    let (network, user) = keep(&scene, &kept);
    let scene = scene.timeout(10);
    let outcome = scene.run(&["unwatch", &scene.repo.url()]);
    let calls = scene.docker.calls_with(&format!("stack rm {kept}"));
    scene.lab.docker(&["rm", "--force", &user]);
    let keeper = format!("the network `{network}` is used by the container `{user}`");
    outcome.failure(1).stdout_has(&keeper).stdout_has("disconnect");
    assert!((3..=20).contains(&calls.len()), "{calls:#?}");
    let told = scene.status(&kept);
    assert_eq!((&told["status"], &told["drift"]), (&json!("error"), &json!([])), "{told}");
    assert!(told["error"].as_str().unwrap().starts_with("not removed: the network"), "{told}");
    assert_eq!(scene.row(&fine), None);
    assert!(scene.row(&kept).is_some());
    scene.run(&["unwatch", &scene.repo.url()]).success();
    assert_eq!(scene.lab.try_docker(&["network", "inspect", &network]).ok(), None);
}

#[test]
fn nor_does_what_left_git_go_in_silence() {
    let Some(scene) = Scene::new() else { return };
    let (kept, fine) = (scene.ops.unique("kept"), scene.stack("fine", &scene.off()));
    let (network, user) = keep(&scene, &kept);
    let scene = scene.timeout(10);
    scene.repo.write("stacks.yaml", format!("- name: {fine}\n"));
    scene.change(&fine, &scene.off().with("environment: {A: '2'}"));
    let outcome = scene.push();
    scene.lab.docker(&["rm", "--force", &user]);
    let keeper = format!("the network `{network}` is used by the container `{user}`");
    outcome.failure(3).stdout_has(&keeper).stdout_has(&format!("deployed  {fine} "));
    scene.reconcile().success();
    assert_eq!(scene.lab.try_docker(&["network", "inspect", &network]).ok(), None);
    assert_eq!(scene.row(&kept), None);
}

#[test]
fn what_others_need_stays_while_these_could_not_be_removed() {
    let Some(scene) = Scene::new() else { return };
    let (db, web) = (scene.stack("a-db", &scene.on()), scene.stack("web", &scene.on()));
    scene.repo.write("stacks.yaml", format!("- name: {db}\n- {{name: {web}, depends_on: [{db}]}}\n"));
    scene.watch().success();
    let Scene { lab, ops, repo, docker } = scene.timeout(10);
    let docker = docker.fails(&format!("stack rm {web}"), 1, "docker will not");
    let scene = Scene { lab, ops, repo, docker };
    let outcome = scene.run(&["unwatch", &scene.repo.url()]);
    outcome.failure(1).stdout_has("docker will not");
    outcome.stdout_has(&format!("`{web}`, which needs it, could not be removed"));
    assert_eq!(scene.docker.calls_with(&format!("stack rm {db}")), [""; 0]);
    assert!(scene.row(&db).is_some() && scene.row(&web).is_some());
}

/// What `status --json` says of a stack, and what it says is under way.
fn story(scene: &Scene, stack: &str) -> (Value, Value) {
    let status = scene.ops.run(["status", "--json"]).failure(3).json();
    let of_it = |list: &str, key: &str| {
        let all = status[list].as_array().unwrap();
        all.iter().find(|one| one[key] == *stack).cloned().unwrap_or_default()
    };
    (of_it("stacks", "name"), of_it("under_way", "what"))
}

#[test]
fn a_stack_that_is_being_removed_is_told_so_and_what_is_deployed_anew_meanwhile_stays() {
    let Some(scene) = Scene::new() else { return };
    let stays = scene.stack("stays", &scene.off());
    for by_command in [false, true] {
        let app = scene.on().with("stop_grace_period: 8s").shell("trap '' TERM; while :; do sleep 0.1; done");
        let goes = scene.stack("goes", &app);
        if by_command { scene.push() } else { scene.watch() }.success();
        scene.docker.forget();
        let url = scene.repo.url();
        if !by_command {
            scene.repo.remove(&goes).write("stacks.yaml", format!("- name: {stays}\n")).commit("it goes");
        }
        let words: &[&str] = if by_command { &["unwatch", &url] } else { &["reconcile"] };
        let run = scene.ops.spawn(words);
        wait_for("its removal", 20, || !scene.docker.calls_with(&format!("stack rm {goes}")).is_empty());
        wait_for("its services to go", 20, || scene.lab.services(&goes).is_empty());
        let (told, under_way) = story(&scene, &goes);
        assert_eq!(
            (&told["health"], &told["drift"], &told["why"]),
            (&"removing".into(), &json!([]), &Value::Null)
        );
        assert_eq!(under_way["state"], "removing");
        let (label, image) = (format!("com.docker.stack.namespace={goes}"), scene.lab.image("app:1"));
        let service = format!("{goes}_anew");
        let create = ["service", "create", "--detach", "--replicas=0", "--label", &label, "--name", &service];
        scene.lab.docker(&[&create[..], &[image.as_str()]].concat());
        let outcome = run.wait();
        assert_ne!(outcome.code, 0);
        outcome.stdout_has("anew");
        assert_eq!(scene.lab.services(&goes), std::slice::from_ref(&service));
        assert_eq!(story(&scene, &goes).1, Value::Null);
        scene.lab.docker(&["service", "rm", &service]);
    }
}

#[test]
fn a_stack_that_goes_while_another_run_takes_over_is_never_told_to_be_missing() {
    let Some(mut scene) = Scene::new() else { return };
    let (stays, goes) = (scene.stack("stays", &scene.off()), scene.stack("goes", &scene.on()));
    scene.watch().success();
    // Something of it is left until both runs are at it.
    let real = crate::support::programs("docker").remove(0);
    let some_is_left = format!(
        "[[ -e $folder/go ]] || {{ {} \"$@\" >/dev/null 2>&1; echo 'Removing network'; exit 0; }}",
        real.display()
    );
    scene.docker = scene.docker.does(&format!("stack rm {goes}"), &some_is_left);
    scene.repo.remove(&goes).write("stacks.yaml", format!("- name: {stays}\n")).commit("it goes");
    let mut first = scene.ops.spawn(["reconcile"]);
    wait_for("its services to go", 60, || scene.lab.services(&goes).is_empty());
    scene.change(&stays, &scene.off().with("environment: {N: '2'}")).repo.commit("next");
    let mut second = scene.ops.spawn(["reconcile"]);
    second.wait_for(&format!("deployed  {stays} "), 1, 60);
    assert_eq!(scene.status(&goes)["health"], "removing");
    scene.docker.release();
    first.wait_for(&format!("removed   {goes} "), 1, 60);
    // No turn of the other run lies between: what is told to be gone is forgotten.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(scene.row(&goes), None);
    let (first, second) = (first.wait(), second.wait());
    first.success();
    second.success().stdout_lacks("left alone").stdout_lacks("failed  ");
    scene.reconcile().success().stdout_has("1 unchanged");
}
