//! The key under which the Swarm is told of contents: it outlives the database, and goes with the last stack.

use std::fs;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};

/// One service with a config, a secret and a variable.
fn with_contents(scene: &Scene) -> String {
    let name = scene.ops.unique("web");
    let app = scene.off().with("configs: [c]").with("secrets: [s]").with("environment: {PIN: '1234'}");
    let sections = "configs: {c: {file: ./c}}\nsecrets: {s: {file: ./s}}\n";
    scene.repo.stack(&name, &(compose([("app", &app)]) + sections));
    scene.repo.write(&format!("{name}/c"), "config").write(&format!("{name}/s"), "1234");
    name
}

#[test]
fn a_lost_database_finds_its_key_in_the_swarm_and_rolls_nothing() {
    let Some(scene) = Scene::new() else { return };
    let stack = with_contents(&scene);
    scene.watch().success();
    let before = scene.lab.specs(&stack);
    fs::remove_dir_all(scene.ops.database().parent().unwrap()).unwrap();
    scene.run(&["watch", &scene.repo.url()]).success().stdout_has("1 deployed");
    assert_eq!(scene.lab.specs(&stack), before);
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!(scene.docker.calls_with("dockerops-key").len(), 1);
    // From then on it is known.
    scene.change(&stack, &scene.off().with("environment: {PIN: '5678'}")).push().success();
    assert_eq!(scene.docker.calls_with("dockerops-key"), [""; 0]);
}

#[test]
fn a_key_that_the_swarm_lost_is_put_back() {
    let Some(scene) = Scene::new() else { return };
    with_contents(&scene);
    scene.watch().success();
    scene.run(&["reconcile", "--force"]).success();
    // Where it is there still, docker says so, and nothing comes of it.
    assert_eq!(scene.docker.calls_with("dockerops-key"), ["config create dockerops-key -"]);
}

#[test]
fn what_the_swarm_lists_is_no_bare_hash_of_a_content() {
    let Some(scene) = Scene::new() else { return };
    let stack = with_contents(&scene);
    scene.watch().success();
    let filter = format!("label=com.docker.stack.namespace={stack}");
    let listed = ["config", "secret"].map(|kind| {
        let ids = scene.lab.docker(&[kind, "ls", "--quiet", "--filter", &filter]);
        scene.lab.docker(&[kind, "inspect", "--format", "{{.Spec.Name}} {{.Spec.Labels}}", ids.trim()])
    });
    let listed = listed.concat() + &scene.lab.specs(&stack).concat();
    let parts = [&[stack.as_str(), "", "1234"][..], &["1234"], &[stack.as_str(), "1234"]];
    for hash in parts.iter().flat_map(|parts| bare_hashes(parts)) {
        assert!(!listed.contains(&hash[..12]), "{hash}: {listed}");
    }
}

/// Of the parts one after the other, and each with its length, as earlier builds did it.
fn bare_hashes(parts: &[&str]) -> Vec<String> {
    let joined = parts.concat().into_bytes();
    let mut framed = Vec::new();
    for part in parts {
        framed.extend((part.len() as u64).to_le_bytes());
        framed.extend(part.bytes());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut hashes = Vec::new();
    for (index, bytes) in [joined, framed].into_iter().enumerate() {
        let file = folder.path().join(index.to_string());
        fs::write(&file, bytes).unwrap();
        for program in ["md5sum", "sha1sum", "sha256sum"] {
            hashes.push(crate::support::stdout_of(crate::support::command(program).arg(&file)));
        }
    }
    hashes
}

#[test]
fn the_price_of_a_new_key_is_paid_once_and_said() {
    let Some(scene) = Scene::new() else { return };
    let stack = with_contents(&scene);
    scene.watch().success();
    // As a build left it that knew no key.
    scene.ops.db().execute_batch("DELETE FROM installation; UPDATE stacks SET hash = 'c0ffee'").unwrap();
    let Scene { lab, ops, repo, docker } = scene;
    let scene = Scene { lab, ops, repo, docker: docker.knows_no_key() };
    scene.push().success().stdout_has("are made under a new key").stdout_has("1 deployed");
    scene.push().success().stdout_lacks("are made under a new key").stdout_has("1 unchanged");
    assert_eq!(scene.lab.services(&stack).len(), 1);
}

#[test]
fn stop_takes_the_key_along_where_nothing_else_is_deployed() {
    let repo = Repo::new();
    repo.write("stacks.yaml", "- {name: web, enabled: false}\n");
    repo.write("web/compose.yml", "services: {app: {image: app}}").commit("first");
    // Nor does it leave holds that `unwatch --keep-stacks` had kept for stacks that are gone.
    let mark = r#"{\"repository\":\"h/old\",\"stack\":null,\"hold\":{\"kind\":\"hand\",\"reason\":null,\"by\":null,\"since\":null,\"until\":null}}"#;
    let fake = FakeDocker::of_an_empty_swarm()
        .prints("label=dockerops.hold", &format!("[\"c1\",\"dockerops-hold-1\",\"\",\"{mark}\"]\n"))
        .prints("config rm c1", "");
    let ops = DockerOps::without_docker().with_fake(&fake);
    ops.run(["watch", &repo.url()]).success();
    ops.run(["stop", "--yes"]).success().stdout_lacks("remembers").stderr_lacks("remembers");
    assert_eq!(fake.calls_with("dockerops-key"), ["config rm dockerops-key"]);
    assert_eq!(fake.calls_with("config rm c1"), ["config rm c1"]);

    // On a Swarm with stacks of others it stays.
    let Some(scene) = Scene::new() else { return };
    with_contents(&scene);
    let other = DockerOps::new(scene.lab).with_fake(&scene.docker);
    scene.watch().success();
    other.run(["watch", &repo.url()]).success();
    other.run(["stop", "--yes"]).success();
    assert_eq!(scene.docker.calls_with("config rm dockerops-key"), [""; 0]);
}
