//! Sources that are fetched beside the loop: who waits for them, and who does not.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::git_server::{Dripping, GitServer};
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::wait_for;

#[test]
fn a_source_that_is_fetched_for_long_holds_up_no_other_and_no_other_run() {
    let Some(scene) = Scene::new() else { return };
    let (small, slow, third) = (scene.stack("small", &scene.off()), Dripping::new(), Repo::new());
    scene.watch().success();
    let [late, new] = ["late", "new"].map(|base| scene.ops.unique(base));
    slow.repo.stack(&late, &compose([("app", &scene.off())]));
    slow.publish();
    scene.run(&["watch", &slow.url()]).success();

    let second = || scene.off().with("environment: {N: '2'}");
    slow.repo.stack(&late, &compose([("app", &second())]));
    slow.drips();
    scene.change(&small, &second()).repo.commit("next");
    let mut run = scene.ops.spawn(["reconcile"]);
    run.wait_for(&format!("deployed  {small} "), 1, 30);
    // It holds no lock while it waits, and what is said of the slow one is still so.
    third.stack(&new, &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &third.url()]).success().stdout_has("1 deployed");
    let status = scene.ops.run(["status"]);
    status
        .success()
        .stdout_has(&late)
        .stdout_lacks("error")
        .stdout_has(&format!("fetching   {}", slow.url()));
    let status = scene.ops.run(["status", "--json"]).json();
    assert_eq!(status["under_way"][0]["state"], "fetching", "{status}");
    assert!(!run.stdout().contains(&format!("deployed  {late} ")), "{}", run.stdout());
    assert!(run.stderr().contains(&format!("fetching `{}` at ", slow.url())), "{}", run.stderr());
    slow.flows();
    run.wait().success().stdout_has(&format!("deployed  {late} ")).stdout_has("2 deployed");
    scene.reconcile().success().stdout_has("3 unchanged");
}

#[test]
fn a_daemon_goes_on_with_others_while_a_source_is_fetched() {
    let Some(scene) = Scene::new() else { return };
    let web = scene.stack("web", &scene.off());
    scene.watch().success();
    let (other, folder) = (Repo::new(), tempfile::tempdir().unwrap());
    let (late, file) = (scene.ops.unique("late"), folder.path().join("drips"));
    other.stack(&late, &compose([("app", &scene.off())])).commit("first");
    other.publish(folder.path(), "other");
    fs::write(&file, "").unwrap();
    let server = GitServer::start(folder.path(), &["--drip", file.to_str().unwrap()]);
    let Scene { lab, ops, repo, docker } = scene;
    let ops = ops.env("DOCKEROPS_REPOS", server.url("other")).env("DOCKEROPS_SYNC_INTERVAL", "5").limit(150);
    let scene = Scene { lab, ops, repo, docker };
    let mut daemon = scene.ops.spawn(["run"]);
    daemon.wait_for("started", 1, 10);
    for number in 1..4 {
        let app = scene.off().with(format!("environment: {{N: '{number}'}}"));
        scene.change(&web, &app).repo.commit("change");
        daemon.signal(Signal::HUP);
        daemon.wait_for(&format!("deployed  {web} "), number, 20);
        daemon.wait_for("still in motion", number, 20);
    }
    // However many cycles pass, it is fetched once, and is not forgotten.
    let packs = server.requests().into_iter().filter(|request| request.starts_with("POST")).count();
    assert!((1..=2).contains(&packs), "{:?}", server.requests());
    fs::remove_file(&file).unwrap();
    daemon.wait_for(&format!("deployed  {late} "), 1, 40);
    daemon.signal(Signal::TERM);
    daemon.wait().success().stdout_has(&format!("{}` is watched from now on", server.url("other")));
}

#[test]
fn a_preview_that_waits_for_a_fetch_holds_up_no_run() {
    let Some(scene) = Scene::new() else { return };
    let (web, slow) = (scene.stack("web", &scene.off()), Dripping::new());
    scene.watch().success();
    let late = scene.ops.unique("late");
    slow.repo.stack(&late, &compose([("app", &scene.off())]));
    slow.publish();
    scene.run(&["watch", &slow.url()]).success();
    slow.repo.stack(&late, &compose([("app", &scene.on())]));
    slow.drips();
    let preview = scene.ops.spawn(["reconcile", "--dry-run"]);
    wait_for("the fetch", 30, || preview.stderr().contains("fetching `"));
    let third = Repo::new();
    third.stack(&scene.ops.unique("new"), &compose([("app", &scene.off())])).commit("first");
    scene.run(&["watch", &third.url()]).success().stdout_has("1 deployed");
    slow.flows();
    preview.wait().success().stdout_has(&format!("would     {late}  deploy: changed"));
    assert_eq!(scene.lab.tasks(&late), [""; 0]);
    scene.ops.run(["status"]).success().stdout_has(&web);
}

#[test]
fn a_commit_that_is_withdrawn_while_it_is_fetched_is_not_deployed() {
    let Some(mut scene) = Scene::new() else { return };
    let (late, slow) = (scene.ops.unique("late"), Dripping::new());
    let app = scene.off();
    let off = move || app.clone();
    let version = |number: usize| {
        let app = off().with(format!("environment: {{N: '{number}'}}"));
        slow.repo.stack(&late, &compose([("app", &app)]));
    };
    version(1);
    slow.publish();
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", slow.url()).env("DOCKEROPS_SYNC_INTERVAL", "3600");
    let mut daemon = scene.ops.spawn(["run"]);
    daemon.wait_for(&format!("deployed  {late} "), 1, 40);
    daemon.wait_for("cycle ", 1, 40);
    for (number, withdrawn_to) in [(2, 1), (3, 4)] {
        scene.docker.forget();
        version(number);
        slow.drips();
        daemon.signal(Signal::HUP);
        wait_for("the fetch", 30, || daemon.stderr().matches("fetching `").count() >= 2 * number - 2);
        version(withdrawn_to);
        slow.publish();
        let asked = slow.server.requests().len();
        daemon.signal(Signal::HUP);
        wait_for("its question", 30, || slow.server.requests().len() > asked);
        std::thread::sleep(Duration::from_secs(3));
        slow.flows();
        wait_for("its end", 40, || {
            scene
                .lab
                .spec(&format!("{late}_app"), ".Spec.TaskTemplate.ContainerSpec.Env")
                .contains(&format!("N={withdrawn_to}"))
                && daemon.stdout().matches("cycle ").count() >= 2 * number - 1
        });
        let deploys = scene.docker.calls_with("stack deploy").len();
        assert_eq!(deploys, usize::from(withdrawn_to == 4), "{}", daemon.stdout());
    }
    daemon.signal(Signal::TERM);
    daemon.wait().success().stdout_lacks("failed  ");
}

#[test]
fn runs_that_come_at_once_take_turns_and_all_of_them_end_well() {
    let Some(scene) = Scene::new() else { return };
    let (web, folder) = (scene.stack("web", &scene.off()), tempfile::tempdir().unwrap());
    scene.repo.commit("first");
    scene.repo.publish(folder.path(), "web");
    let server = GitServer::start(folder.path(), &["--delay", "1"]);
    scene.run(&["watch", &server.url("web")]).success();
    scene.change(&web, &scene.on()).repo.commit("next");
    scene.repo.publish(folder.path(), "web");
    let runs: Vec<_> = (0..3).map(|_| scene.ops.spawn(["reconcile"])).collect();
    for run in runs {
        run.wait().success();
    }
    assert_eq!(scene.lab.tasks(&web).len(), 1);
    assert_eq!(scene.docker.calls_with("stack deploy").len(), 2, "once each commit");
}

#[test]
fn what_is_to_be_deployed_by_force_is_though_another_run_comes_between() {
    let Some(scene) = Scene::new() else { return };
    let slow = App::new(&scene.lab.image("app:1")).update("monitor: 5s");
    let (db, web) = (scene.stack("db", &slow), scene.stack("web", &scene.off()));
    scene.repo.write("stacks.yaml", format!("- name: {db}\n- name: {web}\n  depends_on: [{db}]\n"));
    scene.watch().success();
    scene.repo.stack(&db, &compose([("app", &slow.with("environment: {N: '2'}"))]));
    scene.repo.commit("next");
    scene.docker.forget();
    let forced = scene.ops.spawn(["reconcile", "--force"]);
    wait_for("the first deploy", 30, || !scene.docker.calls_with("stack deploy").is_empty());
    let other = scene.ops.spawn(["reconcile"]);
    other.wait().success();
    forced.wait().success();
    let deploys = scene.docker.calls_with("stack deploy");
    let times = |stack: &String| deploys.iter().filter(|call| call.ends_with(stack)).count();
    assert_eq!((times(&db), times(&web)), (1, 1), "{deploys:?}");
}

#[test]
fn a_silent_server_is_found_by_a_daemon_that_asks_more_often_than_git_gives_up() {
    let Some(mut scene) = Scene::new() else { return };
    let web = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/silent.git", silent.local_addr().unwrap());
    let repos = format!("{};{url}", scene.repo.url());
    scene.ops = scene
        .ops
        .env("DOCKEROPS_REPOS", repos)
        .env("DOCKEROPS_GIT_TIMEOUT", "12")
        .env("DOCKEROPS_SYNC_INTERVAL", "5")
        .limit(90);
    let mut daemon = scene.ops.spawn(["run"]);
    daemon.wait_for(&format!("deployed  {web} "), 1, 20);
    daemon.wait_for("timed out", 1, 60);
    daemon.signal(Signal::TERM);
    daemon.wait().success();
}

#[test]
fn a_stack_is_not_removed_by_a_commit_that_was_withdrawn_while_its_removal_waited() {
    let Some(scene) = Scene::new() else { return };
    let (stack, stays, slow) =
        (scene.stack("web", &scene.on()), scene.stack("stays", &scene.off()), Dripping::new());
    scene.watch().success();
    let late = scene.ops.unique("late");
    slow.repo.stack(&late, &compose([("app", &scene.off())]));
    slow.publish();
    scene.run(&["watch", &slow.url()]).success();
    let tasks = scene.lab.tasks(&stack);
    slow.repo.stack(&late, &compose([("app", &scene.off().with("environment: {N: '2'}"))]));
    slow.drips();
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {stays}\n")).commit("a slip");
    let mut run = scene.ops.spawn(["reconcile"]);
    wait_for("the fetch of both", 30, || run.stderr().matches("fetching `").count() >= 2);
    std::thread::sleep(Duration::from_secs(3));
    assert!(run.is_running());
    scene.repo.reset("HEAD~1");
    slow.flows();
    run.wait().success().stdout_lacks("removed   ").stdout_has(&format!("deployed  {late} "));
    assert_eq!((scene.lab.tasks(&stack), scene.docker.calls_with("stack rm")), (tasks, vec![]));
}
