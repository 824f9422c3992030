//! The images of a version that is gone back to: gone from the nodes, or while another one is being built.

use super::{Rolls, value};
use crate::support::builds::dockerfile;
use crate::support::scene::{App, Scene};
use crate::support::{unique, wait_for};

#[test]
fn it_runs_by_the_digest_it_ran_by_whatever_its_tag_names() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let short = format!("{}:1", unique("back"));
    lab.publish(&short, &[]);
    let image = lab.image(&short);
    let scene = Scene { ops: scene.ops.beside_the_registry(lab).always(), ..scene };
    let stack = scene.stack("web", &App::new(&image).replicas(0));
    let service = format!("{stack}_app");
    scene.watch().success();
    let good = lab.runs(&service);
    lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("1 deployed");
    let bad = lab.runs(&service);
    assert_ne!(good, bad);
    // The tag moved at one commit: that one is fled, and what it says is what was rolled back to.
    scene.back(&stack, &[]).success().stdout_has("1 deployed");
    assert_eq!(lab.runs(&service), good);
    for _ in 0..2 {
        scene.reconcile().success().stdout_has("1 on hold");
    }
    lab.publish(&short, &[]);
    scene.reconcile().success().stdout_has("1 on hold");
    assert_eq!(lab.runs(&service), good, "a tag that moves rolls nothing that was rolled back");
    scene.run(&["release", &stack]).success();
    scene.reconcile().success().stdout_has("1 deployed");
    assert!(lab.runs(&service) != good && lab.runs(&service) != bad);
}

#[test]
fn an_image_that_no_node_has_any_more_comes_from_its_registry() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let short = format!("{}:1", unique("pruned"));
    lab.publish(&short, &[]);
    let app = |image: &str, value: &str| {
        App::new(&lab.image(image)).shell("exec sleep 100000").with(format!("environment: {{A: '{value}'}}"))
    };
    let stack = scene.stack("web", &app(&short, "1"));
    scene.watch().success();
    let good = lab.runs(&format!("{stack}_app"));
    scene.change(&stack, &app("app:1", "2")).push().success();
    let (repository, digest) = (lab.image(short.trim_end_matches(":1")), good.rsplit_once('@').unwrap().1);
    let gone = || {
        let list = ["image", "ls", "--quiet", "--no-trunc", &repository];
        for id in lab.docker(&list).lines() {
            let _ = lab.try_docker(&["image", "rm", "--force", id]);
        }
        for id in lab.docker2(&list).lines() {
            let _ = lab.try_on(lab.docker_host2(), &["image", "rm", "--force", id]);
        }
        lab.docker(&list).is_empty() && lab.docker2(&list).is_empty()
    };
    // A container that was stopped may keep it for a moment.
    wait_for("the images to go", 60, gone);
    scene.back(&stack, &[]).success().stdout_has("1 deployed");
    assert_eq!((value(&scene, &stack), lab.runs(&format!("{stack}_app"))), ("A=1".to_owned(), good.clone()));
    assert!(lab.docker_somewhere(&["image", "inspect", &format!("{repository}@{digest}")]).is_ok());
}

#[test]
fn nobody_who_goes_back_waits_for_a_build() {
    let Some(scene) = Scene::new() else { return };
    let lab = scene.lab;
    let image = lab.image(&format!("{}:1", unique("slow")));
    let write = |seconds: u32, page: &str| {
        let lines = format!("COPY page /page\nRUN [\"/bin/sleep\", \"{seconds}\"]");
        scene.repo.write("app/Dockerfile", dockerfile(lab, &lines)).write("app/page", page);
    };
    scene.repo.write("images.yaml", format!("- name: {image}\n  context: app\n"));
    write(0, &unique("one"));
    let app = |value: &str| App::new(&image).replicas(0).with(format!("environment: {{A: '{value}'}}"));
    let stack = scene.stack("web", &app("1"));
    scene.watch().success();
    scene.change(&stack, &app("2")).push().success();
    write(60, &unique("two"));
    scene.repo.commit("slow");
    let mut run = scene.ops.spawn(["reconcile"]);
    // What is built is another version than the one that is fled, and would end it.
    wait_for("the build", 60, || run.stderr().contains("building"));
    scene.back(&stack, &["--pin"]).success().stdout_has("1 deployed");
    assert!(run.is_running(), "the build ended before: {}", run.stdout());
    assert_eq!(value(&scene, &stack), "A=1");
    run.wait().success().stdout_has("on hold");
    assert_eq!(value(&scene, &stack), "A=1");
    scene.reconcile().success().stdout_has("1 on hold");
}
