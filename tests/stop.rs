//! `stop`: everything DockerOps put there goes, nothing else, and not unasked.

use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};

#[test]
fn stop_removes_every_stack_of_every_source_and_empties_the_database() {
    let Some(scene) = Scene::new() else { return };
    let one = scene.stack("one", &scene.on());
    scene.watch().success();
    let (other, two) = (Repo::new(), scene.ops.unique("two"));
    other.stack(&two, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    let (his, file) = (scene.ops.unique("his"), scene.repo.path().join("his.yml"));
    std::fs::write(&file, compose([("app", &scene.off())])).unwrap();
    scene.lab.docker(&["stack", "deploy", "--compose-file", file.to_str().unwrap(), &his]);
    let before = scene.lab.specs(&his);
    scene.run(&["stop", "--yes"]).success().stdout_has(&one).stdout_has(&two);
    assert_eq!((scene.lab.services(&one).len(), scene.lab.services(&two).len()), (0, 0));
    for table in ["images", "stacks", "repository_cache", "stack_services", "stack_states", "foreign_images"]
    {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = scene.ops.db().query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(scene.lab.specs(&his), before);
    scene.run(&["stop", "--yes"]).success().stdout_has("No repositories found in cache");
    assert_eq!(scene.docker.calls(), [""; 0]);
}

#[test]
fn stop_asks_first_and_without_a_terminal_does_nothing() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    scene.run(&["stop"]).failure(1).stderr_has("no terminal").stderr_has("--yes");
    assert_eq!(scene.docker.calls(), [""; 0]);
    assert_eq!((scene.lab.services(&stack).len(), scene.row(&stack).unwrap().1), (1, "deployed".into()));
}

#[test]
fn a_question_that_nobody_answers_holds_up_nobody_and_ctrl_c_ends_it() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    let scene = Scene { ops: scene.ops.on_a_terminal(), ..scene };
    let mut asked = scene.ops.spawn(["stop"]);
    asked.wait_for("[y/N]", 1, 30);
    scene.reconcile().success();
    drop(asked);
    let scene = Scene { ops: scene.ops.env("KEYS", "\u{3}"), ..scene };
    scene.run(&["stop"]).failure(130);
    assert_eq!((scene.lab.services(&stack).len(), scene.row(&stack).unwrap().1), (1, "deployed".into()));
    let scene = Scene { ops: scene.ops.env("KEYS", "y\n"), ..scene };
    scene.run(&["stop"]).success();
    assert_eq!(scene.lab.services(&stack).len(), 0);
}

#[test]
fn stop_leaves_a_stack_that_is_no_longer_ours() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("his", &scene.off());
    scene.watch().success();
    let service = format!("{stack}_app");
    for label in ["repository", "commit", "fingerprint"] {
        scene.lab.edit(&service, &["--label-rm", &format!("dockerops.{label}")]);
    }
    scene.run(&["stop", "--yes"]).success().stdout_has("left alone");
    assert_eq!(scene.lab.services(&stack), [service]);
}

#[test]
fn stop_keeps_all_it_knows_where_a_stack_could_not_be_removed() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("stuck", &scene.off());
    scene.watch().success();
    let Scene { lab, ops, repo, docker } = scene;
    let docker = docker.fails("stack rm", 1, "network is in use");
    let scene = Scene { lab, ops: ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "1"), repo, docker };
    scene.run(&["stop", "--yes"]).failure(1).stdout_has("network is in use");
    assert_eq!(scene.docker.calls_with("image rm"), [""; 0]);
    assert!(scene.row(&stack).is_some());
    scene.ops.run(["debug-cache"]).success().stdout_has(&scene.repo.url());
}
