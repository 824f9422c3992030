//! Stacks that one source lists no more and another one lists: they change hands as they run, however late that is known.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::git_server::{Dripping, GitServer};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::wait_for;

fn list(names: &[&String]) -> String {
    let lines: Vec<_> = names.iter().map(|name| format!("- name: {name}\n")).collect();
    lines.concat()
}

#[test]
fn a_stack_that_moves_to_another_source_changes_hands_as_it_runs() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays, other) =
        (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()), Repo::new());
    scene.watch().success();
    let tasks = scene.lab.tasks(&stack);
    other.stack(&stack, &compose([("app", &scene.on())])).commit("first");
    scene.run(&["watch", &other.url()]).failure(3).stdout_has("belongs to");
    // The new owner cannot be asked just now.
    let (path, away) = (other.path(), other.path().with_extension("away"));
    fs::rename(&path, &away).unwrap();
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {stays}\n"));
    scene.push().failure(3).stdout_lacks("removed").stderr_has("moves from");
    assert_eq!(scene.lab.tasks(&stack), tasks);
    fs::rename(&away, &path).unwrap();
    scene.reconcile().success().stdout_has("1 deployed, 1 unchanged");
    assert_eq!((scene.lab.tasks(&stack), scene.row(&stack)), (tasks, None));
    let owner = scene.lab.label(&format!("{stack}_app"), "dockerops.repository");
    assert!(owner.contains(path.to_str().unwrap()), "{owner}");
    scene.reconcile().success().stdout_has("2 unchanged");
    assert_eq!(scene.docker.calls().len(), 3);
    // And back again, at once.
    scene.repo.stack(&stack, &compose([("app", &scene.on())]));
    let left = scene.ops.unique("left");
    other.remove("stacks.yaml").stack(&left, &compose([("app", &scene.off())])).commit("next");
    let tasks = scene.lab.tasks(&stack);
    scene.push().success().stdout_lacks("removed");
    assert_eq!(scene.lab.tasks(&stack), tasks);
}

#[test]
fn a_stack_that_moved_while_the_database_was_lost_changes_hands_as_it_runs() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays, other) =
        (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()), Repo::new());
    scene.watch().success();
    let tasks = scene.lab.tasks(&stack);
    crate::ownership::lose_database(&scene);
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {stays}\n")).commit("it moved");
    other.stack(&stack, &compose([("app", &scene.on())])).commit("first");
    let Scene { lab, ops, repo, docker } = scene;
    let ops = ops.env("DOCKEROPS_REPOS", format!("{},{}", repo.url(), other.url()));
    let scene = Scene { lab, ops, repo, docker };
    let mut daemon = scene.ops.spawn(["run"]);
    daemon.wait_for("cycle", 1, 60);
    assert_eq!(scene.lab.tasks(&stack), tasks);
    let owner = scene.lab.label(&format!("{stack}_app"), "dockerops.repository");
    assert!(owner.contains(other.path().to_str().unwrap()), "{owner}");
    assert_eq!(scene.docker.calls_with("stack rm"), [""; 0]);
}

#[test]
fn a_stack_that_goes_to_a_source_whose_server_is_slow_is_not_removed_first() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays) = (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()));
    scene.watch().success();
    let tasks = scene.lab.tasks(&stack);
    let (other, folder) = (Repo::new(), tempfile::tempdir().unwrap());
    let own = scene.ops.unique("own");
    other.stack(&own, &compose([("app", &scene.off())])).commit("first");
    other.publish(folder.path(), "other");
    let server = GitServer::start(folder.path(), &["--delay", "3"]);
    scene.run(&["watch", &server.url("other")]).success();
    other.stack(&stack, &compose([("app", &scene.on())])).commit("both");
    other.publish(folder.path(), "other");
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {stays}\n"));
    scene.push().success().stdout_lacks("removed").stderr_has("moves from");
    assert_eq!((scene.lab.tasks(&stack), scene.docker.calls_with("stack rm")), (tasks, vec![]));
}

#[test]
fn a_stack_that_moves_from_or_to_a_source_that_is_fetched_for_long_waits_for_that_pair_alone() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays, slow) =
        (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()), Dripping::new());
    scene.watch().success();
    let own = scene.ops.unique("own");
    slow.repo.stack(&own, &compose([("app", &scene.off())]));
    slow.publish();
    scene.run(&["watch", &slow.url()]).success();
    let (tasks, service) = (scene.lab.tasks(&stack), format!("{stack}_app"));
    for (number, goes) in [("1", true), ("2", false)] {
        let repo = &scene.repo;
        let (here, there) = if goes { (repo, &slow.repo) } else { (&slow.repo, repo) };
        here.remove(&stack);
        there.stack(&stack, &compose([("app", &scene.on())]));
        let (mut ours, mut theirs) = (vec![&stays], vec![&own]);
        if goes { &mut theirs } else { &mut ours }.push(&stack);
        repo.write("stacks.yaml", list(&ours));
        slow.repo.write("stacks.yaml", list(&theirs));
        slow.drips();
        let app = scene.off().with(format!("environment: {{N: '{number}'}}"));
        scene.change(&stays, &app).repo.commit("next");
        scene.docker.forget();
        let mut run = scene.ops.spawn(["reconcile"]);
        run.wait_for(&format!("deployed  {stays} "), 1, 30);
        assert_eq!(scene.lab.tasks(&stack), tasks);
        slow.flows();
        let outcome = run.wait();
        outcome.success().stdout_lacks("removed   ").stdout_lacks("failed  ").stderr_has("moves from");
        assert_eq!((scene.lab.tasks(&stack), scene.docker.calls_with("stack rm")), (tasks.clone(), vec![]));
        let owner = scene.lab.label(&service, "dockerops.repository");
        assert_eq!(owner.contains("127.0.0.1"), goes, "{owner}");
    }
    scene.reconcile().success().stdout_has("3 unchanged");
}

#[test]
fn a_stack_stays_as_long_as_a_source_cannot_be_read_that_may_list_it() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays, other) =
        (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()), Repo::new());
    scene.watch().success();
    let own = scene.ops.unique("own");
    other.stack(&own, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &other.url()]).success();
    let tasks = scene.lab.tasks(&stack);
    let stays_on = |why: &str| {
        let said = scene.reconcile();
        said.failure(3)
            .stdout_lacks("removed   ")
            .stdout_has("and stays")
            .stdout_has(&other.url())
            .stdout_has(why);
        assert_eq!((scene.lab.tasks(&stack), scene.docker.calls_with("stack rm")), (tasks.clone(), vec![]));
    };
    // It is listed there, in a file that is wrong.
    other.stack(&stack, &compose([("app", &scene.on())])).write("volumes.yaml", "nonsense").commit("both");
    scene.repo.remove(&stack).write("stacks.yaml", list(&[&stays])).commit("gone");
    let commit = |url: &str| {
        let status = scene.ops.run(["status", "--json"]).json();
        let all = status["repositories"].as_array().unwrap().clone();
        all.into_iter().find(|row| row["url"] == url).unwrap()["commit"].as_str().unwrap().to_owned()
    };
    let before = commit(&scene.repo.url());
    stays_on("volumes.yaml");
    stays_on("volumes.yaml");
    // What is left of it is told wherever the stack is, and what that means for its source.
    let (told, short) = (scene.status(&stack), &before[..12]);
    let stays_for = told["stays"].as_str().unwrap_or_else(|| panic!("{told}"));
    for part in [
        "no longer listed in `stacks.yaml`, and stays",
        &other.url(),
        &format!("counts as synced at `{short}`"),
    ] {
        assert!(stays_for.contains(part), "{stays_for}");
    }
    assert_eq!((commit(&scene.repo.url()), &told["status"]), (before, &json!("deployed")));
    let status = scene.ops.run(["status"]);
    status
        .failure(3)
        .stdout_has("deployed, unlisted")
        .stdout_has(&format!("{stack}: it is no longer listed"));
    scene.run(&["reconcile", "--dry-run"]).failure(3).stdout_has("and stays").stdout_lacks("would remove");
    // Nor can its server be asked.
    let away = other.path().with_extension("away");
    fs::rename(other.path(), &away).unwrap();
    stays_on("cannot be read, and may list it now");
    fs::rename(&away, other.path()).unwrap();
    other.remove("volumes.yaml").commit("mended");
    scene.reconcile().success().stdout_has("1 deployed, 2 unchanged").stdout_lacks("removed   ");
    assert_eq!((scene.lab.tasks(&stack), scene.row(&stack)), (tasks.clone(), None));
    assert_eq!(scene.status(&stack)["stays"], json!(null));

    // And one that turns out not to list it holds it up no more.
    let third = Repo::new();
    third.stack(&scene.ops.unique("third"), &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &third.url()]).success();
    third.write("volumes.yaml", "nonsense").commit("wrong");
    other.remove(&stack).write("stacks.yaml", list(&[&own])).commit("gone");
    scene.reconcile().failure(3).stdout_has("and stays").stdout_has(&third.url());
    assert_ne!(scene.status(&stack)["stays"], json!(null));
    // Listed again, it stays for good; and once more it does not.
    other
        .write("stacks.yaml", list(&[&own, &stack]))
        .stack(&stack, &compose([("app", &scene.on())]))
        .commit("again");
    scene.reconcile().failure(3).stdout_lacks(&format!("note      {stack}"));
    assert_eq!(scene.status(&stack)["stays"], json!(null));
    other.remove(&stack).write("stacks.yaml", list(&[&own])).commit("gone again");
    scene.reconcile().failure(3).stdout_has("and stays").stdout_has(&third.url());
    third.remove("volumes.yaml").commit("mended");
    scene.reconcile().success().stdout_has(&format!("removed   {stack}")).stdout_has("1 removed");
    assert_eq!(scene.lab.tasks(&stack), [""; 0]);
}

#[test]
fn a_job_for_the_old_source_alone_asks_the_others_before_a_stack_goes() {
    let Some(mut scene) = Scene::new() else { return };
    let (stack, stays, other) =
        (scene.stack("moves", &scene.on()), scene.stack("stays", &scene.off()), Repo::new());
    let gone = scene.stack("gone", &scene.off());
    let own = scene.ops.unique("own");
    other.stack(&own, &compose([("app", &scene.off())])).commit("first");
    scene.repo.commit("first");
    let repos = format!("{};{}", scene.repo.url(), other.url());
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", repos).that_listens();
    let site = scene.ops.site();
    let tasks = scene.lab.tasks(&stack);
    assert_eq!(tasks.len(), 1);
    let job = |repository: &str| {
        site.job(&site.post("/api/v1/reconcile", &json!({"repository": repository}).to_string()))
    };

    other.stack(&stack, &compose([("app", &scene.on())])).commit("both");
    scene.repo.remove(&stack).write("stacks.yaml", list(&[&stays, &gone])).commit("moved");
    let said = job(&scene.repo.url());
    assert_eq!(said["state"], "done", "{said}");
    assert_eq!((scene.lab.tasks(&stack), scene.docker.calls_with("stack rm")), (tasks, vec![]));
    let owner = scene.lab.label(&format!("{stack}_app"), "dockerops.repository");
    assert!(owner.contains(other.path().to_str().unwrap()), "{owner}");
    // What nobody lists goes in the same job.
    scene.repo.remove(&gone).write("stacks.yaml", list(&[&stays])).commit("gone");
    let said = job(&scene.repo.url());
    assert!(said["outcome"].as_str().unwrap().contains("1 removed"), "{said}");
    assert_eq!(scene.lab.services(&gone), [""; 0]);
}

#[test]
fn a_stack_under_a_new_name_waits_for_its_port_until_it_is_known_that_the_old_one_goes() {
    let Some(scene) = Scene::new() else { return };
    let port = format!("ports: ['{}:80']", 20_000 + std::process::id() % 9_000);
    let (old, slow) = (scene.stack("old", &scene.on().with(&port)), Dripping::new());
    scene.watch().success();
    let own = scene.ops.unique("own");
    slow.repo.stack(&own, &compose([("app", &scene.off())]));
    slow.publish();
    scene.run(&["watch", &slow.url()]).success();
    slow.repo.stack(&own, &compose([("app", &scene.off().with("environment: {N: '2'}"))]));
    slow.drips();
    scene.repo.remove(&old).remove("stacks.yaml");
    let new = scene.stack("new", &scene.on().with(&port));
    scene.repo.commit("renamed");
    scene.docker.forget();
    let mut run = scene.ops.spawn(["reconcile"]);
    wait_for("the fetch", 30, || run.stderr().contains(&format!("fetching `{}` at ", slow.url())));
    let waits = || {
        let status = scene.ops.run(["status", "--json"]).json();
        let all = status["under_way"].as_array().unwrap().clone();
        all.into_iter().filter(|work| work["state"] == "waiting").collect::<Vec<_>>()
    };
    wait_for("what waits to be shown", 30, || waits().len() == 2);
    std::thread::sleep(Duration::from_secs(4));
    assert!(run.is_running());
    assert_eq!((scene.lab.tasks(&old).len(), scene.docker.calls_with("stack deploy")), (1, vec![]));
    // Both say what they wait for: the new one for room, the old one for who may list it.
    let shown = waits();
    for stack in [&old, &new] {
        let work = shown.iter().find(|work| work["what"] == **stack).unwrap();
        assert_eq!(work["repository"], scene.repo.url());
        let why = work["why"].as_str().unwrap();
        assert!(
            why.contains(slow.url().trim_end_matches(".git")) && why.contains("is being fetched"),
            "{why}"
        );
        assert!(run.stderr().contains(&format!("`{stack}` waits: ")), "{}", run.stderr());
    }
    let fetching = scene.ops.run(["status", "--json"]).json();
    let fetching =
        fetching["under_way"].as_array().unwrap().iter().find(|work| work["state"] == "fetching").cloned();
    assert_eq!(fetching.unwrap()["repository"], slow.url());
    scene.ops.run(["status"]).failure(3).stdout_has(&format!("{new}: waits: its source drops a stack"));
    slow.flows();
    run.wait().success().stdout_has("2 deployed, 1 removed").stdout_lacks("failed  ");
    assert_eq!((scene.lab.tasks(&old).len(), scene.lab.tasks(&new).len()), (0, 1));
    assert_eq!(waits(), [json!(null); 0]);
}
