//! Holds: by hand, in `stacks.yaml`, and outside the windows that it gives.

mod api;
mod lost;

use chrono::{DateTime, TimeDelta, Utc};

use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::wait_for;

fn web(scene: &Scene, value: u8) -> App {
    scene.off().with(format!("environment: {{A: '{value}'}}"))
}

/// A stack `web` that runs as Git says.
fn deployed(scene: &Scene) -> (String, String) {
    let stack = scene.stack("web", &web(scene, 1));
    scene.watch().success();
    let service = format!("{stack}_app");
    (stack, service)
}

/// The configs in which the Swarm remembers holds of the scene's source.
fn remembered(scene: &Scene) -> Vec<String> {
    let url = scene.repo.url().replace("file://", "");
    let format = "{{.Name}} {{.Label \"dockerops.hold\"}}";
    let listed = scene.lab.docker(&["config", "ls", "--filter", "label=dockerops.hold", "--format", format]);
    listed.lines().filter(|line| line.contains(&*url)).map(str::to_owned).collect()
}

fn clock(time: DateTime<Utc>) -> String {
    time.format("%H:%M").to_string()
}

#[test]
fn nothing_of_a_stack_on_hold_is_touched_and_everybody_sees_why() {
    let Some(scene) = Scene::new() else { return };
    let other = scene.stack("other", &web(&scene, 1));
    let (stack, service) = deployed(&scene);
    let before = scene.lab.specs(&stack);
    let ops = scene.ops.env("SUDO_USER", "alice");
    let said = ops.run(["hold", &stack, "--for", "2h", "--reason", "it loses orders"]);
    said.success().stdout_has(&format!("hold      {stack}  held by alice until "));
    said.stdout_has(": it loses orders");
    let scene = Scene { ops, ..scene };
    assert_eq!(scene.lab.specs(&stack), before, "holding it touches no service");
    // A push to it waits, one to another stack does not; what drifts is told, and left.
    scene.change(&stack, &web(&scene, 2)).change(&other, &web(&scene, 2));
    let said = scene.push();
    said.success().stdout_has("1 deployed, 1 on hold");
    said.stdout_has(": it loses orders; would be deployed: changed");
    assert_eq!((scene.deploys(), scene.lab.specs(&stack)), (vec![other.clone()], before.clone()));
    scene.lab.docker(&["service", "scale", "--detach", &format!("{service}=0")]);
    scene.lab.edit(&service, &["--label-add", "extra=1"]);
    scene.reconcile().success().stdout_has("1 unchanged, 1 on hold");
    assert_eq!((scene.lab.label(&service, "extra"), scene.deploys()), ("1".to_owned(), vec![]));
    let status = scene.status(&stack);
    let hold = &status["hold"];
    assert_eq!((hold["kind"].as_str(), hold["by"].as_str()), (Some("hand"), Some("alice")));
    assert_eq!(hold["reason"], "it loses orders");
    assert!(hold["until"].as_str() > hold["since"].as_str(), "{hold}");
    assert!(hold["change"].as_str().unwrap().contains("changed") && hold["behind"] == 1, "{hold}");
    scene.ops.run(["status"]).success().stdout_has("deployed, on hold").stdout_has("it loses orders");
    let ops = scene.ops.that_listens();
    let page = ops.site();
    page.get(&format!("/?stack={stack}")).is(200).has("On hold").has("it loses orders");
    drop(page);
    let scene = Scene { ops, ..scene };
    // The next one is counted; whoever comes second is told of the first.
    scene.change(&stack, &web(&scene, 3));
    scene.push().success();
    assert_eq!(scene.status(&stack)["hold"]["behind"], 2);
    scene
        .run(&["reconcile", "--dry-run"])
        .success()
        .stdout_has("would be deployed: changed")
        .stdout_has("1 on hold");
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed, 1 on hold");
    let scene = Scene { ops: scene.ops.env("SUDO_USER", "bob"), ..scene };
    let again = scene.run(&["hold", &stack]);
    again.success().stdout_has("held by alice").stdout_has("held by bob");
    assert_eq!(remembered(&scene).len(), 1, "{:?}", remembered(&scene));
    // It goes on where it is released.
    scene.run(&["release", &stack]).success().stdout_has("no longer held by bob");
    scene.deploys();
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(scene.deploys(), [stack.as_str()]);
    assert!(scene.status(&stack)["hold"].is_null() && remembered(&scene).is_empty());
    scene.reconcile().success().stdout_has("2 unchanged");
    scene.run(&["release", &stack]).failure(1).error_has("is not held");
}

#[test]
fn a_hold_ends_by_itself_and_what_it_kept_back_is_done() {
    let Some(scene) = Scene::new() else { return };
    let (stack, _) = deployed(&scene);
    scene.run(&["hold", &stack, "--for", "4s"]).success();
    scene.change(&stack, &web(&scene, 2));
    scene.push().success().stdout_has("1 on hold");
    // Nothing is pushed, and nothing read meanwhile.
    wait_for("the end of the hold", 20, || scene.reconcile().stdout.contains("1 deployed"));
    assert!(remembered(&scene).is_empty(), "{:?}", remembered(&scene));
    assert!(scene.status(&stack)["hold"].is_null(), "{}", scene.status(&stack));
}

#[test]
fn a_lost_database_forgets_no_hold() {
    let Some(scene) = Scene::new() else { return };
    let (stack, _) = deployed(&scene);
    let url = scene.repo.url();
    scene.run(&["hold", &stack, "--for", "ever", "--reason", "moving house"]).success();
    std::fs::remove_file(scene.ops.database()).unwrap();
    scene.change(&stack, &web(&scene, 2)).repo.commit("second");
    let said = scene.watch();
    said.success().stdout_has("1 on hold").stdout_has("moving house; the Swarm remembers it");
    assert_eq!(scene.deploys(), [""; 0]);
    let status = scene.status(&stack);
    assert_eq!(status["hold"]["reason"], "moving house");
    // It runs, whoever remembers it.
    assert!(status["status"] == "deployed" && status["health"] == "healthy", "{status}");
    assert_eq!(status["services"].as_array().unwrap().len(), 1);
    // Stacks that are kept stay on hold for whoever watches them again, and what is removed takes its holds along.
    scene.run(&["hold", &url, "--reason", "all of it"]).success();
    let said = scene.run(&["unwatch", "--keep-stacks", &url]);
    said.success().stdout_has(&format!("`{stack}` stays on hold")).stdout_has("moving house");
    assert_eq!(remembered(&scene).len(), 2);
    scene.watch().success().stdout_has("1 on hold").stdout_has("moving house");
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!(scene.status(&stack)["status"], "deployed");
    scene.run(&["release", &url]).success();
    scene.run(&["release", &stack]).success();
    scene.reconcile().success().stdout_has("changed").stdout_has("1 deployed");
    scene.run(&["hold", &stack]).success();
    scene.run(&["unwatch", &url]).success();
    assert!(remembered(&scene).is_empty());
}

#[test]
fn a_source_is_held_with_all_that_it_lists_and_drops() {
    let Some(scene) = Scene::new() else { return };
    let (stack, _) = deployed(&scene);
    let url = scene.repo.url();
    scene.run(&["hold", &url, "--reason", "freeze"]).success();
    let new = scene.stack("new", &web(&scene, 1));
    scene.push().success().stdout_has("1 unchanged, 1 on hold");
    assert_eq!(scene.status(&new)["status"], "stopped");
    assert_eq!(scene.status(&new)["hold"]["change"], "would be deployed: new");
    scene.run(&["release", &stack]).failure(1).error_has("is held with all of its source");
    // What leaves Git waits as well.
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {new}\n"));
    scene.push().success().stdout_has("2 on hold").stdout_has("would be removed");
    assert_eq!(scene.lab.services(&stack).len(), 1);
    scene.run(&["release", &url]).success();
    scene.reconcile().success().stdout_has("1 deployed, 1 removed");
    assert!(scene.lab.services(&stack).is_empty() && scene.lab.services(&new).len() == 1);
}

#[test]
fn what_moves_out_of_a_source_on_hold_stays_as_it_is() {
    let Some(scene) = Scene::new() else { return };
    let (stack, service) = deployed(&scene);
    let other = Repo::new();
    let stays = scene.ops.unique("stays");
    other.stack(&stays, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    scene.run(&["hold", &scene.repo.url(), "--for", "ever", "--reason", "freeze"]).success();
    scene.repo.remove(&stack).write("stacks.yaml", "- {name: other, enabled: false}\n").commit("given away");
    other.write("stacks.yaml", format!("- name: {stays}\n- name: {stack}\n"));
    other.write(&format!("{stack}/docker-compose.yml"), compose([("app", &web(&scene, 2))])).commit("taken");
    for _ in 0..2 {
        scene.reconcile().stdout_has("freeze");
        let environment = scene.lab.spec(&service, ".Spec.TaskTemplate.ContainerSpec.Env");
        assert_eq!(environment, "[A=1]");
    }
    scene.run(&["release", &scene.repo.url()]).success();
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(scene.lab.spec(&service, ".Spec.TaskTemplate.ContainerSpec.Env"), "[A=2]");
}

#[test]
fn stacks_yaml_holds_and_its_windows_open() {
    let Some(scene) = Scene::new() else { return };
    let (stack, _) = deployed(&scene);
    let list = |more: &str| scene.repo.write("stacks.yaml", format!("- name: {stack}\n{more}"));
    list("  hold: until the fix is there\n");
    scene.change(&stack, &web(&scene, 2));
    scene
        .push()
        .success()
        .stdout_has("held by `hold` in `stacks.yaml`: until the fix is there; would be deployed");
    scene.run(&["release", &stack]).failure(1).error_has("nobody holds");
    list("");
    scene.push().success().stdout_has("1 deployed");
    list("  hold: true\n");
    scene.push().success().stdout_has("1 unchanged");
    assert_eq!(scene.status(&stack)["hold"]["kind"], "manifest");
    // Closed for now; `--force` does not wait.
    let now = Utc::now();
    let closed = |from: i64, to: i64| {
        format!("{}-{}", clock(now + TimeDelta::minutes(from)), clock(now + TimeDelta::minutes(to)))
    };
    list(&format!("  windows: ['{}']\n", closed(120, 180)));
    scene.change(&stack, &web(&scene, 3));
    scene.push().success().stdout_has("outside its windows, the next one opens at ").stdout_has("1 on hold");
    assert_eq!(scene.status(&stack)["hold"]["kind"], "window");
    scene.deploys();
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    scene.change(&stack, &web(&scene, 4));
    scene.push().success().stdout_has("1 on hold");
    // It opens while nothing is pushed.
    list(&format!("  windows: ['Mon-Sun {}']\n", closed(2, 60)));
    scene.push().success().stdout_has("1 on hold");
    wait_for("the window", 150, || scene.reconcile().stdout.contains("1 deployed"));
    list("  windows: [Mon 25:00-26:00]\n  hold: []\n");
    let said = scene.push();
    said.failure(3)
        .stdout_has("stacks.yaml:2")
        .stdout_has("are no times of a day")
        .stdout_has("must be `true`, `false`, or why");
}

#[test]
fn mistakes_say_what_there_is() {
    let Some(scene) = Scene::new() else { return };
    scene.run(&["hold", "web"]).failure(1).error_has("No repositories found in cache");
    let (stack, _) = deployed(&scene);
    let said = scene.run(&["hold", "nosuch"]);
    said.failure(1)
        .error_has("`nosuch` is neither a stack nor a source")
        .stderr_has(&format!("stacks are `{stack}`"));
    said.stderr_has(&scene.repo.url());
    for length in ["soon", "0s", "-1h", "9999d"] {
        let said = scene.run(&["hold", &stack, &format!("--for={length}")]);
        said.failure(2).stderr_has("`ever` for one without an end");
    }
    assert!(scene.status(&stack)["hold"].is_null());
}

#[test]
fn what_failed_before_it_was_held_says_why_and_once() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(20);
    let app = scene.on().shell("exit 7").deploy("restart_policy: {delay: 300s}");
    let stack = scene.stack("bad", &app);
    scene.watch().failure(3);
    scene.run(&["hold", &stack, "--reason", "looked at"]).success();
    for _ in 0..2 {
        let said = scene.reconcile();
        said.failure(3).stdout_has("looked at").stdout_has("non-zero exit (7)").stdout_has("1 failed");
        assert_eq!(said.stdout.lines().filter(|line| line.starts_with("hold      ")).count(), 1, "{said}");
    }
}

#[test]
fn a_name_is_held_whichever_source_lists_it_and_a_release_ends_that() {
    let Some(scene) = Scene::new() else { return };
    let (stack, _) = deployed(&scene);
    scene.repo.write("stacks.yaml", format!("- {{name: {stack}, enabled: false}}\n"));
    scene.push().success();
    scene.run(&["hold", &stack, "--for", "ever", "--reason", "not yet"]).success();
    // It moves to another repository, which the same database watches, or one that knows nothing of it.
    let other = Repo::new();
    other.write("stacks.yaml", format!("- name: {stack}\n"));
    other.write(&format!("{stack}/docker-compose.yml"), compose([("app", &web(&scene, 2))])).commit("moved");
    scene.repo.write("stacks.yaml", "- {name: other, enabled: false}\n").commit("given away");
    scene.reconcile().success();
    // Nobody lists it meanwhile, and it is held all the same.
    assert!(scene.run(&["status"]).stdout.contains("not yet"));
    scene.run(&["status", &stack]).success().stdout_has("not yet");
    scene.run(&["watch", &other.url()]).success().stdout_has("not yet").stdout_has("1 on hold");
    // An idle run says the same, and so does one for something else.
    scene.run(&["reconcile", "--dry-run", "--exit-code"]).failure(3).stdout_has("1 on hold");
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 on hold");
    assert!(scene.lab.services(&stack).is_empty());
    scene.run(&["release", &stack]).success();
    assert!(remembered(&scene).is_empty());
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(scene.lab.services(&stack).len(), 1);

    // Watched from elsewhere after it was kept, it is held there too: by force as well.
    scene.run(&["hold", &stack, "--for", "ever", "--reason", "moving house"]).success();
    scene.run(&["unwatch", "--keep-stacks", &other.url()]).success();
    scene
        .change(&stack, &web(&scene, 3))
        .repo
        .write("stacks.yaml", format!("- name: {stack}\n"))
        .commit("back");
    scene.run(&["reconcile", "--force"]).stdout_lacks("1 deployed");
    assert!(scene.run(&["status"]).stdout.contains("moving house"));
    scene.run(&["release", &stack]).success();
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    let listed = scene.lab.docker(&[
        "config",
        "ls",
        "--filter",
        "label=dockerops.hold",
        "--format",
        "{{.Label \"dockerops.hold\"}}",
    ]);
    assert!(!listed.contains(&stack), "{listed}");
}

#[test]
fn a_run_for_another_stack_forgets_nothing_that_is_kept_back() {
    let Some(scene) = Scene::new() else { return };
    let (stack, _) = deployed(&scene);
    let other = scene.stack("other", &web(&scene, 1));
    scene.push().success();
    scene.run(&["hold", &stack]).success();
    scene.change(&stack, &web(&scene, 2));
    scene.push().success().stdout_has("1 on hold");
    let before = scene.status(&stack)["hold"].clone();
    scene.run(&["reconcile", &other, "--force"]).success().stdout_has("1 deployed");
    assert_eq!(scene.status(&stack)["hold"], before);
    scene.run(&["status", "--exit-code"]).failure(3);
    // What is new, held with its source, and dropped again is told no more.
    let url = scene.repo.url();
    scene.run(&["hold", &url, "--reason", "freeze"]).success();
    let new = scene.stack("new", &web(&scene, 1));
    scene.push().success();
    assert_eq!(scene.status(&new)["hold"]["change"], "would be deployed: new");
    scene.repo.write("stacks.yaml", format!("- name: {stack}\n- name: {other}\n"));
    scene.push().success();
    assert!(!scene.run(&["status"]).stdout.contains(&new));
}
