//! The versions of a stack that converged: what is noted of each, how it is told, and what stays for those that are kept.

use std::fs;

use serde_json::{Value, json};

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

/// What `history --json` tells, newest first.
#[track_caller]
fn history(scene: &Scene, stack: &str) -> Vec<Value> {
    let told = scene.ops.run(["history", stack, "--json"]);
    told.success().json()["versions"].as_array().unwrap().clone()
}

/// How often each version converged in a row, newest first.
#[track_caller]
fn times(scene: &Scene, stack: &str) -> Vec<i64> {
    history(scene, stack).iter().map(|version| version["times"].as_i64().unwrap()).collect()
}

fn set(scene: &Scene, stack: &str, value: &str) {
    scene.change(stack, &scene.off().with(format!("environment: {{A: '{value}'}}")));
}

/// The names of a stack's configs.
fn configs(lab: &Lab, stack: &str) -> Vec<String> {
    let filter = format!("label=com.docker.stack.namespace={stack}");
    let listed = lab.docker(&["config", "ls", "--filter", &filter, "--format", "{{.Name}}"]);
    listed.lines().map(str::to_owned).collect()
}

/// A new image of the lab's registry: its name there, and its repository.
fn fresh(lab: &Lab, base: &str) -> (String, String) {
    let short = format!("{}:1", unique(base));
    lab.publish(&short, &[]);
    let repository = lab.image(&short).strip_suffix(":1").unwrap().to_owned();
    (short, repository)
}

fn is_here(lab: &Lab, repository: &str) -> bool {
    !lab.docker(&["image", "ls", "--quiet", "--digests", repository]).is_empty()
}

#[test]
fn every_version_that_converged_is_noted_by_its_digests_and_why_it_came() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(15);
    let stack = scene.stack("noted", &scene.off());
    let service = format!("{stack}_app");
    scene.watch().success();
    let first = history(&scene, &stack);
    let runs = scene.lab.runs(&service);
    assert!(runs.contains("@sha256:"), "{runs}");
    let told = |version: &Value, reason: &str| {
        assert_eq!((&version["how"], &version["reason"]), (&json!("deploy"), &json!(reason)), "{version}");
        assert_eq!(version["commit"], scene.repo.head());
        assert_eq!(version["services"], json!({ &service: &runs }));
        assert_eq!(version["hash"], scene.row(&stack).unwrap().0);
    };
    told(&first[0], "new");
    assert_eq!((first.len(), &first[0]["difference"]), (1, &Value::Null));

    set(&scene, &stack, "2");
    scene.push().success();
    let second = history(&scene, &stack);
    told(&second[0], "changed");
    assert_eq!((second.len(), &second[1]["id"]), (2, &first[0]["id"]));
    let difference = second[0]["difference"].as_str().unwrap();
    assert!(difference.contains("+      A: \"2\"") && !difference.contains(&runs), "{difference}");

    // What is put back, or given again, is the version that it was.
    scene.lab.edit(&service, &["--env-add", "B=1"]);
    scene.reconcile().success().stdout_has("drifted");
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    assert_eq!(times(&scene, &stack), [3, 1]);
    told(&history(&scene, &stack)[0], "changed");
    // What docker refuses, and what does not converge, is none.
    scene.change(&stack, &scene.off().with("networks: [none-such]"));
    scene.push().failure(3);
    scene.change(&stack, &scene.on().deploy("placement: {constraints: [node.labels.none == such]}"));
    scene.push().failure(3).stdout_has("did not converge");
    assert_eq!(times(&scene, &stack), [3, 1]);

    // An empty database begins anew, with what it finds.
    set(&scene, &stack, "2");
    scene.push().success();
    assert_eq!(times(&scene, &stack), [4, 1]);
    fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().success().stdout_has("adopted");
    let adopted = history(&scene, &stack);
    assert_eq!((adopted.len(), &adopted[0]["how"]), (1, &json!("adopt")));
    assert_eq!((&adopted[0]["services"], &adopted[0]["seconds"]), (&json!({ &service: &runs }), &json!(0)));
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(times(&scene, &stack), [1]);
}

#[test]
fn a_tag_that_moved_is_a_version_of_its_own() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let (short, repository) = fresh(lab, "rolled");
    let scene = Scene { ops: scene.ops.beside_the_registry(lab).always(), ..scene };
    let stack = scene.stack("rolled", &App::new(&format!("{repository}:1")).replicas(0));
    let service = format!("{stack}_app");
    scene.watch().success();
    let before = lab.runs(&service);
    lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("1 deployed");
    let (versions, after) = (history(&scene, &stack), lab.runs(&service));
    assert_ne!(before, after);
    let ran: Vec<_> =
        versions.iter().map(|version| (&version["how"], &version["services"][&service])).collect();
    assert_eq!(ran, [(&json!("roll"), &json!(after)), (&json!("deploy"), &json!(before))]);
    assert_eq!(versions[0]["hash"], versions[1]["hash"]);
    let difference = versions[0]["difference"].as_str().unwrap();
    assert!(
        difference.contains(&format!("-#   {service}: {before}\n+#   {service}: {after}\n")),
        "{difference}"
    );
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(times(&scene, &stack), [1, 1]);
}

#[test]
fn what_a_hand_edited_while_it_converged_is_no_version() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(90);
    let app = scene.on().update("monitor: 8s");
    let stack = scene.stack("edited", &app);
    scene.watch().success();
    scene.change(&stack, &app.with("environment: {N: '1'}")).repo.commit("next");
    scene.docker.forget();
    let run = scene.ops.spawn(["reconcile"]);
    wait_for("a second look", 60, || scene.docker.calls_with("service ps").len() > 1);
    scene.lab.edit(&format!("{stack}_app"), &["--replicas", "2"]);
    let outcome = run.wait();
    if !outcome.stdout.contains("drifted") {
        scene.reconcile().success().stdout_has("drifted: ");
    }
    assert_eq!(times(&scene, &stack), [1, 1], "the edited one, and what was put back: {outcome}");
}

#[test]
fn the_newest_are_told_as_a_table_a_difference_json_and_on_the_page_and_go_with_their_stack() {
    let Some(mut scene) = Scene::new() else { return };
    scene.ops = scene.ops.env("DOCKEROPS_HISTORY", "2");
    let (stack, other) = (scene.stack("told", &scene.off()), scene.stack("other", &scene.off()));
    scene.watch().success();
    for value in ["2", "hunter2"] {
        let line = if value == "2" { "A: '2'".to_owned() } else { format!("A: '3', DB_PASSWORD: {value}") };
        scene.change(&stack, &scene.off().with(format!("environment: {{{line}}}")));
        scene.push().success();
    }
    let table = scene.run(&["history", &stack]);
    table.success().stdout_has("TIME").stdout_has("changed").stdout_has(&scene.repo.head()[..12]);
    assert_eq!(table.stdout.lines().count(), 3, "a head, and the two newest: {table}");
    assert_eq!(scene.docker.calls(), [""; 0], "docker is not asked");
    let digest = scene.lab.runs(&format!("{other}_app"));
    scene.run(&["history", &other]).success().stdout_has(&digest.split_once("sha256:").unwrap().1[..8]);

    let diff = scene.run(&["history", &stack, "--diff"]);
    diff.success().stdout_has("@@").stdout_has("-      A: \"2\"").stdout_has("+      A: \"3\"");
    diff.stdout_has("DB_PASSWORD: \"[redacted]\"").stdout_lacks("hunter");
    scene.run(&["history", &stack, "--diff", "2"]).success().stdout_has("nothing to compare with");
    for wrong in ["0", "3"] {
        let none = scene.run(&["history", &stack, "--diff", wrong]);
        none.failure(1).error_has(&format!("no version {wrong}")).stderr_has("from 1, the newest, to 2");
    }
    scene.run(&["history", "nobody"]).failure(1).error_has("there is no stack `nobody`").stderr_has(&stack);

    scene.ops = scene.ops.env("DOCKEROPS_REPOS", scene.repo.url()).that_listens();
    let site = scene.ops.site();
    let path = format!("/api/v1/stacks/{stack}/history");
    let told = site.get(&path).is(200).json();
    let printed = scene.run(&["history", &stack, "--json"]).json();
    assert_eq!(told, printed);
    assert_eq!((&told["stack"], &told["repository"]), (&json!(stack), &json!(scene.repo.url())));
    assert_eq!(site.get(&format!("{path}?repository={}", scene.repo.url())).json(), told);
    site.get(&format!("{path}?repository=https://evil.example/x")).is(404);
    site.get("/api/v1/stacks/nobody/history").is(404).has("/api/v1/stacks");
    let page = site.get(&format!("/?stack={stack}"));
    page.is(200)
        .has("History")
        .has("What it changed")
        .has("<span class=\"new\">+      A: &quot;3&quot;</span>");
    assert!(!page.body.contains("hunter"), "{page:?}");
    let database = fs::read(scene.ops.database()).unwrap();
    assert!(!database.windows(6).any(|window| window == b"hunter"));
    drop(site);

    let left =
        || scene.ops.db().query_row("SELECT count(*) FROM history", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(left(), 3);
    scene.repo.write("stacks.yaml", format!("- {{name: {stack}, enabled: false}}\n"));
    scene.push().success().stdout_has("2 removed");
    assert_eq!(left(), 0);
    scene.run(&["history", &stack]).success().stdout_has("no version of it has converged");
    assert_eq!(history(&scene, &stack), [Value::Null; 0]);
}

#[test]
fn a_stack_that_never_converged_has_no_history_and_a_wrong_number_is_told() {
    let fake = FakeDocker::of_an_empty_swarm().fails("stack deploy", 1, "no");
    let (ops, repo) = (DockerOps::without_docker().with_fake(&fake), Repo::new());
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    ops.run(["watch", &repo.url()]).failure(3);
    ops.run(["history", "web"]).success().stdout_has("no version of it has converged");
    ops.run(["history", "web", "--diff"]).failure(1).error_has("`web` has no version 1");
    ops.run(["history", "db"]).failure(1).error_has("there is no stack `db`").stderr_has("stacks are `web`");
    for (name, value, range) in
        [("DOCKEROPS_HISTORY", "0", "from 1 to 100"), ("DOCKEROPS_KEEP_VERSIONS", "all", "from 0 to 100")]
    {
        DockerOps::without_docker()
            .env(name, value)
            .run(["history", "web"])
            .failure(1)
            .error_has(name)
            .stderr_has(range);
    }
}

#[test]
fn configs_of_kept_versions_stay_where_docker_needs_them_no_more_and_then_go() {
    let Some(lab) = lab() else { return };
    for keep in ["0", "2"] {
        let mut scene = Scene::before(lab, FakeDocker::new());
        scene.ops = scene.ops.env("DOCKEROPS_KEEP_VERSIONS", keep);
        let stack = scene.ops.unique("configs");
        let text =
            compose([("app", &scene.off().with("configs: [site]"))]) + "configs: {site: {file: ../site}}\n";
        let write = |content: &str| scene.repo.stack(&stack, &text).write("site", content);
        write("one");
        scene.watch().success();
        let first = configs(lab, &stack).remove(0);
        write("two");
        scene.push().success();
        // What docker would go back to is the second one, too, from now on.
        scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
        assert_eq!(configs(lab, &stack).contains(&first), keep == "2", "{keep}: {:?}", configs(lab, &stack));
        write("three");
        scene.push().success();
        let left = configs(lab, &stack);
        assert!(left.len() == 2 && !left.contains(&first), "{keep}: {left:?}");
        scene.run(&["unwatch", &scene.repo.url()]).success();
        assert_eq!(configs(lab, &stack), [""; 0]);
    }
}

#[test]
fn images_of_kept_versions_stay_where_docker_needs_them_no_more_and_then_go() {
    let Some(lab) = lab() else { return };
    for keep in ["0", "2"] {
        let mut scene = Scene::before(lab, FakeDocker::new());
        scene.ops = scene.ops.env("DOCKEROPS_KEEP_VERSIONS", keep);
        let [one, two, three] = ["one", "two", "three"].map(|base| fresh(lab, base).1);
        let app = |repository: &str| App::new(&format!("{repository}:1")).replicas(0);
        let stack = scene.stack("images", &app(&one));
        scene.watch().success();
        scene.change(&stack, &app(&two)).push().success();
        scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
        assert_eq!(is_here(lab, &one), keep == "2", "{keep}");
        scene.reconcile().success();
        assert_eq!(scene.docker.calls().len(), 2, "that it stays costs no call: {:?}", scene.docker.calls());
        // Of three versions the third newest needs nothing.
        scene.change(&stack, &app(&three)).push().success();
        assert_eq!([&one, &two].map(|it| is_here(lab, it)), [false, true], "{keep}");
        scene.run(&["unwatch", &scene.repo.url()]).success();
        assert_eq!([&one, &two, &three].map(|it| is_here(lab, it)), [false; 3]);
    }
}
