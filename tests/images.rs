//! Images: counted over all sources, removed by `stop` where DockerOps brought them, kept where it did not.

use crate::support::lab::Lab;
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

/// An image that the registry has and no node.
fn fresh(lab: &Lab, base: &str) -> String {
    let image = lab.image(&format!("{}:1", unique(base)));
    let container = lab.docker(&["create", &lab.image("app:1")]);
    lab.docker(&["commit", "--change", &format!("LABEL fresh={image}"), &container, &image]);
    lab.docker(&["rm", &container]);
    lab.docker(&["push", "--quiet", &image]);
    lab.docker(&["image", "rm", &image]);
    image
}

/// Whether node 1 has it, under its tag or, as Swarm pulls it, under its digest alone.
fn is_here(lab: &Lab, image: &str) -> bool {
    let repository = image.rsplit_once(':').unwrap().0;
    !lab.docker(&["image", "ls", "--quiet", "--digests", repository]).is_empty()
}

fn clean_up(lab: &Lab, image: &str) {
    wait_for("the image to be free", 20, || lab.try_docker(&["image", "rm", image]).is_ok());
}

fn pinned(image: &str) -> App {
    App::new(image).deploy("placement: {constraints: [node.role==manager]}")
}

fn count(scene: &Scene, image: &str) -> Option<i64> {
    let query = "SELECT reference_count FROM images WHERE name = ?1";
    scene.ops.db().query_row(query, [image], |row| row.get(0)).ok()
}

#[test]
fn images_are_counted_by_the_services_of_all_sources() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("count");
    scene.repo.stack(&stack, &compose([("one", &scene.off()), ("two", &scene.off())]));
    scene.watch().success();
    let (other, second) = (Repo::new(), scene.ops.unique("other"));
    let (image, next) = (scene.lab.image("app:1"), scene.lab.image("app:2"));
    other.stack(&second, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    assert_eq!(count(&scene, &image), Some(3));
    scene.change(&stack, &App::new(&next).replicas(0)).push().success();
    assert_eq!((count(&scene, &image), count(&scene, &next)), (Some(1), Some(1)));
    scene.reconcile().success();
    assert_eq!((count(&scene, &image), count(&scene, &next)), (Some(1), Some(1)));
    scene.run(&["unwatch", &other.url()]).success();
    assert_eq!(count(&scene, &image), Some(0));
}

#[test]
fn stop_removes_the_images_it_brought() {
    let Some(scene) = Scene::new() else { return };
    let image = fresh(scene.lab, "brought");
    scene.stack("image", &pinned(&image));
    scene.watch().success();
    assert!(is_here(scene.lab, &image));
    scene.run(&["stop", "--yes"]).success().stdout_has(&image);
    assert!(!is_here(scene.lab, &image));
}

#[test]
fn stop_leaves_an_image_that_swarm_had_pulled_before() {
    let Some(scene) = Scene::new() else { return };
    let (image, service) = (fresh(scene.lab, "pulled"), unique("his"));
    let create = ["service", "create", "--quiet", "--constraint", "node.role==manager", "--name", &service];
    scene.lab.docker(&[&create[..], &[&image]].concat());
    scene.stack("image", &pinned(&image));
    scene.watch().success();
    scene.lab.docker(&["service", "rm", &service]);
    scene.run(&["stop", "--yes"]).success().stdout_has("it was here before DockerOps");
    assert!(is_here(scene.lab, &image));
    assert_eq!(scene.docker.calls_with("image rm"), [""; 0], "its tag would take it along");
}

#[test]
fn stop_leaves_an_image_that_was_there_before() {
    let Some(scene) = Scene::new() else { return };
    let image = fresh(scene.lab, "before");
    scene.lab.docker(&["pull", "--quiet", &image]);
    scene.stack("image", &pinned(&image));
    scene.watch().success();
    scene.run(&["stop", "--yes"]).success().stdout_has("it was here before DockerOps");
    assert!(is_here(scene.lab, &image));
    clean_up(scene.lab, &image);
}

/// Nothing is left that proves who brought it.
#[test]
fn stop_leaves_the_image_of_a_stack_that_was_adopted_after_its_database_was_lost() {
    let Some(scene) = Scene::new() else { return };
    let image = fresh(scene.lab, "adopted");
    scene.stack("image", &pinned(&image));
    scene.watch().success();
    std::fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().success().stdout_has("adopted");
    scene.run(&["stop", "--yes"]).success().stdout_has("it was here before DockerOps");
    assert!(is_here(scene.lab, &image));
    clean_up(scene.lab, &image);
}

#[test]
fn stop_leaves_an_image_that_a_container_of_somebody_else_uses() {
    let Some(scene) = Scene::new() else { return };
    let (image, container) = (fresh(scene.lab, "used"), unique("his"));
    scene.stack("image", &pinned(&image));
    scene.watch().success();
    scene.lab.docker(&["run", "--detach", "--name", &container, &image]);
    let outcome = scene.run(&["stop", "--yes"]);
    outcome.success().stdout_has("the image stays");
    assert!(is_here(scene.lab, &image));
    scene.lab.docker(&["rm", "--force", &container]);
    clean_up(scene.lab, &image);
}
