//! Prune: what left the repository goes, on positive evidence only.

use std::fs;

use crate::support::lab::Lab;
use crate::support::scene::{Scene, compose};
use crate::support::unique;

fn two(scene: &Scene) -> (String, String) {
    let stacks = (scene.stack("keep", &scene.on()), scene.stack("go", &scene.off()));
    scene.watch().success();
    stacks
}

fn list(scene: &Scene, names: &[&str]) {
    let entries: Vec<_> = names.iter().map(|name| format!("- name: {name}\n")).collect();
    scene.repo.write("stacks.yaml", entries.concat());
}

fn networks(lab: &Lab, stack: &str) -> String {
    let filter = format!("label=com.docker.stack.namespace={stack}");
    lab.docker(&["network", "ls", "--filter", &filter, "--format", "{{.Name}}"])
}

#[test]
fn a_stack_that_left_the_manifest_is_removed_and_the_others_are_untouched() {
    let Some(scene) = Scene::new() else { return };
    let (keep, go) = two(&scene);
    let before = (scene.lab.specs(&keep), scene.lab.tasks(&keep));
    list(&scene, &[&keep]);
    scene.push().success().stdout_has(&format!("{go}  removed")).stdout_has("1 removed, 1 unchanged");
    assert_eq!((scene.lab.services(&go).len(), &*networks(scene.lab, &go)), (0, ""));
    assert_eq!(scene.row(&go), None);
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!((scene.lab.specs(&keep), scene.lab.tasks(&keep)), before);
}

#[test]
fn a_renamed_stack_is_removed_and_deployed_under_its_new_name() {
    let Some(scene) = Scene::new() else { return };
    let (keep, old) = two(&scene);
    let (before, new) = (scene.lab.specs(&keep), scene.ops.unique("new"));
    scene.repo.git(["mv", &old, &new]);
    list(&scene, &[&new, &keep]);
    scene.push().success().stdout_has("1 deployed, 1 removed, 1 unchanged");
    assert_eq!(scene.lab.services(&old), [""; 0]);
    assert_eq!(scene.lab.services(&new), [format!("{new}_app")]);
    assert_eq!(scene.lab.specs(&keep), before);
}

#[test]
fn a_disabled_stack_is_removed_stopped_and_deployed_once_enabled() {
    let Some(scene) = Scene::new() else { return };
    let (keep, stack) = two(&scene);
    scene.repo.write("stacks.yaml", format!("- name: {keep}\n- name: {stack}\n  enabled: false\n"));
    scene.push().success().stdout_has("1 removed, 1 unchanged");
    assert_eq!(scene.lab.services(&stack), [""; 0]);
    assert_eq!(scene.row(&stack).unwrap().1, "stopped");
    assert_eq!(scene.status(&stack)["status"], "stopped");
    scene.reconcile().success().stdout_has("2 unchanged");
    assert_eq!(scene.docker.calls().len(), 3);
    list(&scene, &[&keep, &stack]);
    scene.push().success().stdout_has("1 deployed, 1 unchanged");
    assert_eq!((scene.lab.services(&stack).len(), scene.row(&stack).unwrap().1), (1, "deployed".into()));
    // Stopped, it leaves the list without a word.
    scene.repo.write("stacks.yaml", format!("- name: {keep}\n- name: {stack}\n  enabled: false\n"));
    scene.push().success();
    list(&scene, &[&keep]);
    scene.push().success().stdout_lacks("left alone").stdout_has("1 unchanged");
    assert_eq!(scene.row(&stack), None);
}

#[test]
fn a_stack_that_was_disabled_from_the_first_is_nothing_to_remove() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("off", &scene.off());
    scene.repo.write("stacks.yaml", format!("- name: {stack}\n  enabled: false\n"));
    scene.watch().success().stdout_lacks("left alone").stdout_has("1 unchanged");
    assert_eq!(scene.row(&stack).unwrap().1, "stopped");
}

#[test]
fn a_source_that_cannot_be_read_removes_nothing() {
    let Some(scene) = Scene::new() else { return };
    let (keep, go) = two(&scene);
    let live = || (scene.lab.specs(&keep), scene.lab.specs(&go), scene.row(&keep), scene.row(&go));
    let before = live();
    for manifest in ["", "[]", "stacks: none", "- name: [", &format!("- name: {keep}\n  colour: red\n")] {
        scene.repo.write("stacks.yaml", manifest);
        scene.push().failure(3).stdout_has("stacks.yaml");
        assert_eq!(live(), before, "{manifest:?}");
    }
    scene.repo.remove("stacks.yaml");
    scene.push().failure(3).stdout_has("stacks.yaml");
    assert_eq!(live(), before);
    let (path, away) = (scene.repo.path(), scene.repo.path().with_extension("away"));
    fs::rename(&path, &away).unwrap();
    scene.reconcile().failure(3).stdout_has(&scene.repo.url());
    fs::rename(&away, &path).unwrap();
    assert_eq!(live(), before);
    assert_eq!(scene.deploys(), [""; 0]);
    list(&scene, &[&keep, &go]);
    scene.push().success().stdout_has("2 unchanged");
}

#[test]
fn an_unreachable_source_stops_no_other() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    let other = crate::support::repo::Repo::new();
    let second = scene.ops.unique("other");
    other.stack(&second, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    fs::rename(scene.repo.path(), scene.repo.path().with_extension("away")).unwrap();
    other.stack(&second, &compose([("app", &scene.off().with("environment: {A: '2'}"))])).commit("next");
    scene.reconcile().failure(3).stdout_has("1 deployed");
    assert_eq!((scene.deploys(), scene.lab.services(&stack).len()), (vec![second], 1));
}

#[test]
fn a_service_that_left_the_compose_file_goes() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("slim");
    scene.repo.stack(&stack, &compose([("app", &scene.off()), ("old", &scene.off())]));
    scene.watch().success();
    scene.change(&stack, &scene.off()).push().success();
    assert_eq!(scene.lab.services(&stack), [format!("{stack}_app")]);
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn a_stack_that_lost_its_labels_is_left_alone() {
    let Some(scene) = Scene::new() else { return };
    let (keep, go) = two(&scene);
    // Somebody removed ours and deployed his own under the name.
    scene.lab.docker(&["stack", "rm", &go]);
    let file = scene.repo.path().join("his.yml");
    fs::write(&file, compose([("app", &scene.off())])).unwrap();
    crate::support::wait_for("the network to go", 20, || networks(scene.lab, &go).is_empty());
    scene.lab.docker(&["stack", "deploy", "--compose-file", file.to_str().unwrap(), &go]);
    let before = scene.lab.specs(&go);
    fs::remove_file(&file).unwrap();
    list(&scene, &[&keep]);
    scene.push().success().stdout_has("left alone");
    assert_eq!(scene.lab.specs(&go), before);
    assert_eq!(scene.docker.calls_with(" rm "), [""; 0]);
}

#[test]
fn a_service_added_by_hand_stays_when_its_stack_is_removed() {
    let Some(scene) = Scene::new() else { return };
    let (keep, go) = two(&scene);
    let (name, label) = (format!("{go}_extra"), format!("com.docker.stack.namespace={go}"));
    let image = scene.lab.image("app:1");
    let create = ["service", "create", "--quiet", "--detach", "--replicas", "0", "--label", &label];
    scene.lab.docker(&[&create[..], &["--name", &name, &image]].concat());
    list(&scene, &[&keep]);
    scene.push().success().stdout_has("those added by hand");
    assert_eq!(scene.lab.services(&go), [name]);
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn volumes_survive_their_stack() {
    let Some(scene) = Scene::new() else { return };
    let (stack, volume) = (scene.ops.unique("vol"), unique("data"));
    let app =
        scene.on().with("volumes: ['data:/data']").deploy("placement: {constraints: [node.role==manager]}");
    scene
        .repo
        .stack(&stack, &(compose([("app", &app)]) + &format!("volumes:\n  data:\n    name: {volume}\n")));
    let keep = scene.stack("keep", &scene.off());
    scene.watch().success();
    list(&scene, &[&keep]);
    scene.push().success().stdout_has("its volumes stay");
    assert_eq!(scene.lab.services(&stack), [""; 0]);
    assert_eq!(scene.lab.docker(&["volume", "ls", "--quiet", "--filter", &format!("name={volume}")]), volume);
    crate::support::wait_for("the volume to be free", 20, || {
        scene.lab.try_docker(&["volume", "rm", &volume]).is_ok()
    });
}

#[test]
fn what_swarm_has_told_to_stop_is_waited_for_by_nobody() {
    let Some(scene) = Scene::new() else { return };
    let app = |replicas| scene.on().replicas(replicas).with("stop_grace_period: 40s");
    let stack = scene.stack("stops", &app(3));
    scene.watch().success();
    scene.change(&stack, &app(1));
    scene.push().success().stdout_has("1 deployed");
    let service = format!("{stack}_app");
    let call = ["service", "ps", "--format", "{{.DesiredState}} {{.CurrentState}}", &service];
    let tasks = scene.lab.docker(&call);
    let count = |state: &str| tasks.lines().filter(|line| line.starts_with(state)).count();
    assert_eq!(count("Running Running"), 1, "{tasks}");
    assert_eq!(count("Shutdown Running") + count("Remove Running"), 2, "they take their time: {tasks}");
    scene.ops.run(["status"]).success().stdout_has("  1/1  ");
}
