//! Configs, secrets, networks and volumes that are another stack's, or nobody's: nothing is taken over.

use crate::support::builds::dockerfile;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab, on_every_docker};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::unique;

/// A stack that costs no container, with the one config, secret or network `own`.
fn with(scene: &Scene, section: &str, entry: &str) -> String {
    let app = scene.off().with(format!("{section}: [own]"));
    compose([("app", &app)]) + &format!("{section}: {{own: {{{entry}}}}}\n")
}

/// Whose an object is: the value of its stack's label.
fn holder(lab: &Lab, kind: &str, name: &str) -> String {
    let labels = if kind == "network" { ".Labels" } else { ".Spec.Labels" };
    let format = format!("{{{{index {labels} \"com.docker.stack.namespace\"}}}}");
    lab.docker(&[kind, "inspect", "--format", &format, name])
}

/// Something that somebody made by hand.
fn by_hand(lab: &Lab, kind: &str, name: &str) {
    let rest: &[&str] =
        if kind == "network" { &["--driver", "overlay", name] } else { &[name, "/etc/hostname"] };
    lab.docker(&[&[kind, "create"], rest].concat());
}

/// An entry that would take the name without a look at what is there.
fn taking(kind: &str, name: &str) -> String {
    let driver = if kind == "secret" { ", driver: vault" } else { "" };
    format!("name: {name}{driver}")
}

#[test]
fn what_nobody_or_another_stack_made_is_not_taken_over_and_the_others_go_on() {
    let Some(lab) = lab() else { return };
    on_every_docker(|docker| {
        let scene = Scene::before(lab, FakeDocker::before(docker));
        let fine = scene.stack("fine", &scene.off());
        let other = Repo::new();
        let theirs = scene.ops.unique("theirs");
        let mut made = Vec::new();
        for (kind, section) in [("secret", "secrets"), ("network", "networks")] {
            let hand = unique("hand");
            by_hand(lab, kind, &hand);
            made.push((kind, hand.clone()));
            let stack = scene.ops.unique(kind);
            scene.repo.stack(&stack, &with(&scene, section, &taking(kind, &hand.to_uppercase())));
            let refused = if kind == "secret" { scene.watch() } else { scene.push() };
            refused.failure(3).stdout_has(&format!("the {kind} `{}`", hand.to_uppercase()));
            refused.stdout_has("is there already, and no stack made it").stdout_has("external: true");
            assert_eq!(holder(lab, kind, &hand), "");
            assert_eq!(lab.services(&stack), [""; 0]);
            scene.run(&["reconcile", "--dry-run"]).stdout_has("no stack made it").stdout_lacks("to deploy");
            // To use what is there is another thing.
            scene.repo.stack(&stack, &with(&scene, section, &format!("external: true, name: {hand}")));
            scene.push().success().stdout_has("1 deployed");
            assert_eq!(holder(lab, kind, &hand), "");
        }
        assert_eq!(lab.services(&fine).len(), 1);
        // Of another stack of another source, which changes and goes on.
        let net = unique("theirs");
        other.stack(&theirs, &with(&scene, "networks", &taking("network", &net))).commit("first");
        scene.run(&["watch", &other.url()]).success().stdout_has("1 deployed");
        let taker = scene.ops.unique("taker");
        scene.repo.stack(&taker, &with(&scene, "networks", &taking("network", &net)));
        scene.change(&fine, &scene.off().with("environment: {A: '2'}"));
        let refused = scene.push();
        refused.failure(3).stdout_has("1 deployed").stdout_has(&format!("is the stack `{theirs}`'s"));
        refused.stdout_has(&other.url()).stdout_has(&taker);
        assert_eq!((scene.deploys(), holder(lab, "network", &net)), (vec![fine.clone()], theirs.clone()));
        assert_eq!(scene.status(&taker)["status"], "error");
        other.write("x", "y").commit("next");
        scene.reconcile().failure(3);
        assert_eq!(scene.docker.calls_with("network ls").len(), 1);
        // Gone there, it is free in the same run.
        let left = scene.ops.unique("left");
        other.remove("stacks.yaml").stack(&left, &compose([("app", &scene.off())])).commit("less");
        scene.run(&["reconcile", "--dry-run"]).stdout_has("2 to deploy, 1 to remove");
        scene.reconcile().success().stdout_has("1 removed");
        assert_eq!(holder(lab, "network", &net), taker);
        scene.run(&["unwatch", &scene.repo.url()]).success();
        for (kind, hand) in made {
            lab.docker(&[kind, "rm", &hand]);
        }
    });
}

#[test]
fn a_config_by_its_content_is_taken_from_nobody() {
    let Some(scene) = Scene::new() else { return };
    let (stack, name) = (scene.ops.unique("web"), unique("site"));
    let compose = with(&scene, "configs", &format!("file: ../site, name: {name}"));
    scene.repo.stack(&stack, &compose).write("site", "one");
    scene.watch().success();
    let filter = format!("name={name}");
    let listed = || scene.lab.docker(&["config", "ls", "--filter", &filter, "--format", "{{.Name}}"]);
    let full = listed();
    scene.run(&["unwatch", &scene.repo.url()]).success();
    assert_eq!(listed(), "");
    let file = scene.repo.path().join("site");
    scene.lab.docker(&["config", "create", &full, file.to_str().unwrap()]);
    let refused = scene.watch();
    refused.failure(3).stdout_has(&format!("the config `{full}`")).stdout_has("no stack made it");
    assert_eq!(holder(scene.lab, "config", &full), "");
    scene.lab.docker(&["config", "rm", &full]);
    scene.reconcile().success().stdout_has("1 deployed");
    // Its own is there now, and stays its own.
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    assert_eq!(holder(scene.lab, "config", &full), stack);
}

#[test]
fn of_two_stacks_that_would_make_one_network_in_one_run_the_second_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let name = unique("both");
    let text = with(&scene, "networks", &taking("network", &name));
    let [one, two] = ["one", "two"].map(|base| scene.ops.unique(base));
    scene.repo.stack(&one, &text).stack(&two, &text);
    // By the name that docker itself gives to the first one's network.
    let three = scene.ops.unique("three");
    let default = format!("name: {three}_default");
    let four = scene.ops.unique("four");
    scene
        .repo
        .stack(&three, &compose([("app", &scene.off())]))
        .stack(&four, &with(&scene, "networks", &default));
    let refused = scene.watch();
    refused.failure(3).stdout_has("2 deployed, 2 failed");
    for (taker, owner) in [(&two, &one), (&four, &three)] {
        let why = scene.status(taker)["error"].to_string();
        assert!(why.contains(&format!("is the stack `{owner}`'s, of `{}`", scene.repo.url())), "{why}");
        assert!(why.contains(taker), "{why}");
    }
    scene.deployed([&one, &three]);
    assert_eq!(holder(scene.lab, "network", &name), one);
    // Whoever has it keeps it, also where all are deployed again in another order.
    let list = [&four, &three, &two, &one].map(|stack| format!("- name: {stack}\n"));
    scene.repo.write("stacks.yaml", list.concat()).commit("other order");
    scene.run(&["reconcile", "--force"]).failure(3).stdout_has("2 deployed, 2 failed");
    scene.deployed([&one, &three]);
}

#[test]
fn a_stack_that_waited_for_its_image_takes_nothing_over_either() {
    let Some(scene) = Scene::new() else { return };
    let (stack, hand) = (scene.ops.unique("waits"), unique("hand"));
    by_hand(scene.lab, "network", &hand);
    let image = scene.lab.image(&format!("{}:1", unique("waits")));
    let text = with(&scene, "networks", &taking("network", &hand));
    scene.repo.stack(&stack, &text.replace(&scene.lab.image("app:1"), &image));
    scene.repo.write("images.yaml", format!("- {{name: '{image}', context: app}}\n"));
    scene.repo.write("app/Dockerfile", dockerfile(scene.lab, ""));
    scene.watch().failure(3).stdout_has("1 built, 1 failed").stdout_has("no stack made it");
    assert_eq!((scene.deploys(), scene.lab.services(&stack)), (vec![], vec![]));
    scene.lab.docker(&["network", "rm", &hand]);
    scene.reconcile().success().stdout_has("1 deployed");
}

#[test]
fn a_stack_deployed_by_hand_is_adopted_with_what_it_made() {
    let Some(scene) = Scene::new() else { return };
    let (stack, name) = (scene.ops.unique("adopt"), unique("net"));
    scene.repo.stack(&stack, &with(&scene, "networks", &taking("network", &name)));
    let file = scene.repo.path().join(&stack).join("docker-compose.yml");
    scene.lab.docker(&["stack", "deploy", "--compose-file", file.to_str().unwrap(), &stack]);
    scene.watch().success().stdout_has("adopted");
    assert_eq!(scene.docker.calls_with("network ls").len(), 1);
    scene.reconcile().success().stdout_has("1 unchanged");
    assert_eq!(scene.docker.calls().len(), 2, "{:?}", scene.docker.calls());
}

#[test]
fn docker_is_asked_once_for_a_kind_and_only_where_a_name_was_chosen() {
    let Some(scene) = Scene::new() else { return };
    let asked = || {
        ["config ls", "secret ls", "network ls"].map(|call| {
            scene.docker.calls_with(call).iter().filter(|call| !call.contains("--filter label=")).count()
        })
    };
    let plain = scene.ops.unique("plain");
    scene.repo.stack(&plain, &with(&scene, "configs", "file: ../site")).write("site", "one");
    scene.watch().success();
    assert_eq!(asked(), [0, 0, 0], "{:?}", scene.docker.calls());
    for base in ["one", "two"] {
        let (stack, name) = (scene.ops.unique(base), unique(base));
        scene.repo.stack(&stack, &with(&scene, "networks", &taking("network", &name)));
    }
    let named = scene.ops.unique("named");
    scene.repo.stack(&named, &with(&scene, "configs", &format!("file: ../site, name: {}", unique("named"))));
    scene.push().success().stdout_has("3 deployed");
    assert_eq!(asked(), [1, 0, 1], "{:?}", scene.docker.calls());
    scene.change(&plain, &scene.off());
    scene.push().success().stdout_has("1 deployed");
    assert_eq!(asked(), [0, 0, 0]);
}

#[test]
fn a_volume_that_another_source_uses_too_is_a_note_once_a_run() {
    let Some(scene) = Scene::new() else { return };
    let (volume, other) = (unique("data"), Repo::new());
    let mounts = |base: &str| scene.stack(base, &scene.off().with("volumes: ['data:/data']"));
    let (one, two) = (mounts("one"), mounts("two"));
    let list = format!("- {{id: data, type: volume, path: {volume}}}\n");
    scene.repo.write("volumes.yaml", &list);
    scene.watch().success().stdout_lacks("note");
    let theirs = scene.ops.unique("theirs");
    let text = compose([("app", &scene.off().with("volumes: ['files:/data']"))]);
    other.stack(&theirs, &format!("{text}volumes: {{files: {{name: {volume}}}}}\n")).commit("first");
    let outcome = scene.run(&["watch", &other.url()]);
    outcome
        .success()
        .stdout_has(&format!("its volume `files` is the docker volume `{volume}`, which `{one}_app`"));
    scene.reconcile().success().stdout_lacks("note");
    for stack in [&one, &two] {
        scene.change(stack, &scene.off().with("volumes: ['data:/data']").with("environment: {A: '2'}"));
    }
    let outcome = scene.push();
    outcome.success().stdout_has("2 deployed").stdout_has(&format!("`{theirs}_app` of `{}`", other.url()));
    assert_eq!(
        outcome.stdout.matches("\nnote ").count() + usize::from(outcome.stdout.starts_with("note ")),
        1,
        "{outcome}"
    );
}
