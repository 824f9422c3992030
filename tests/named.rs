//! `reconcile <stack|source>…`: what is named, and nothing else.

use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};

fn version(scene: &Scene, value: u8) -> App {
    scene.off().with(format!("environment: {{A: '{value}'}}"))
}

/// Two stacks of one source and one of another, all of them changed in git since.
fn behind(scene: &Scene) -> ([String; 3], Repo) {
    let stacks = ["one", "two", "three"].map(|name| scene.ops.unique(name));
    let [one, two, three] = stacks.each_ref().map(String::as_str);
    let other = Repo::new();
    for value in [1, 2] {
        let compose = compose([("app", &version(scene, value))]);
        for stack in [one, two] {
            scene.repo.stack(stack, &compose);
        }
        other.stack(three, &compose);
        scene.repo.commit("as it goes");
        other.commit("as it goes");
        if value == 1 {
            for repo in [&scene.repo, &other] {
                scene.run(&["watch", &repo.url()]).success();
            }
        }
    }
    (stacks, other)
}

#[test]
fn only_what_is_named_is_dealt_with() {
    let Some(scene) = Scene::new() else { return };
    let ([one, two, three], other) = behind(&scene);
    let plan = scene.run(&["reconcile", "--dry-run", &two]);
    plan.success().stdout_has(&format!("{two}  deploy: changed")).stdout_has("changed: 1 to deploy\n");
    plan.stdout_lacks(&format!("{one}  deploy: ")).stdout_lacks(&format!("{three}  deploy: "));
    scene.run(&["reconcile", &one]).success().stdout_has("\n1 deployed\n");
    scene.deployed([&one]);
    scene.run(&["reconcile", &one, "--force"]).success().stdout_has("1 deployed\n");
    scene.deployed([&one]);
    // However it is spelled.
    scene.run(&["reconcile", other.path().to_str().unwrap()]).success().stdout_has("1 deployed\n");
    scene.deployed([&three]);
    // What was left is not forgotten.
    scene.reconcile().success().stdout_has("1 deployed, 2 unchanged");
    scene.deployed([&two]);
    scene.run(&["reconcile", "--force", &two, &other.url()]).success().stdout_has("2 deployed\n");
    scene.deployed([&two, &three]);
}

#[test]
fn what_others_are_in_trouble_with_is_not_told_of_those_that_are_named() {
    let Some(scene) = Scene::new() else { return };
    let (well, ill) = (scene.stack("well", &scene.off()), scene.stack("ill", &scene.off()));
    scene.watch().success();
    scene.repo.write(&format!("{ill}/docker-compose.yml"), "services: {app: {imagge: x}}\n");
    scene.change(&well, &version(&scene, 2)).repo.commit("one is wrong");
    scene.run(&["reconcile", &well]).success().stdout_has("1 deployed\n").stdout_lacks("imagge");
    scene.run(&["reconcile", &ill]).failure(3).stdout_has("imagge").stdout_has("1 failed\n");
    scene.reconcile().failure(3).stdout_has("1 unchanged, 1 failed");
}

#[test]
fn a_name_that_two_sources_list_is_the_stack_of_the_one_that_deployed_it() {
    let Some(scene) = Scene::new() else { return };
    let (stack, other) = (scene.stack("web", &scene.off()), Repo::new());
    scene.watch().success();
    other.stack(&stack, &compose([("app", &version(&scene, 3))])).commit("first");
    scene.run(&["watch", &other.url()]).failure(3);
    scene.change(&stack, &version(&scene, 2)).repo.commit("next");
    scene.run(&["reconcile", &stack]).success().stdout_has("\n1 deployed\n").stdout_lacks("failed ");
    let owner = scene.lab.label(&format!("{stack}_app"), "dockerops.repository");
    assert!(owner.contains(scene.repo.path().to_str().unwrap()), "{owner}");
}

#[test]
fn every_name_that_is_none_is_told_with_the_nearest_and_nothing_is_done() {
    let Some(scene) = Scene::new() else { return };
    let ([one, ..], other) = behind(&scene);
    let slip = format!("{}x", &one);
    let said = scene.run(&["reconcile", &one, &slip, "/nowhere"]);
    said.failure(1).stderr_has(&format!("error: `{slip}` is neither a stack nor a source that is watched"));
    said.stderr_has(&format!("hint: did you mean `{one}`? stacks are `")).stderr_has(&other.url());
    said.stderr_has("error: `/nowhere` is neither").stderr_lacks("did you mean `/");
    assert_eq!(scene.docker.calls(), [""; 0]);
    scene.run(&["hold", &slip]).failure(1).stderr_has(&format!("did you mean `{one}`?"));
}
