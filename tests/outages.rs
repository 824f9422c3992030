//! A registry or git server that goes away in the midst of work: what runs goes on, others are deployed, and what it held
//! up is brought to its end when it is back.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::registry::Registry;
use crate::support::scene::{App, Scene};
use crate::support::{unique, wait_for};

#[test]
fn an_update_whose_image_a_node_could_not_pull_takes_no_more_of_what_runs_and_goes_on_by_itself() {
    let Some(lab) = lab() else { return };
    let registry = Registry::start(lab, &[]);
    let scene = Scene::before(lab, FakeDocker::new());
    let [first, second] = [1, 2].map(|version| {
        let short = format!("{}:{version}", unique("outage"));
        lab.publish(&short, &[]);
        format!("{}/{short}", registry.name(lab))
    });
    let app = |image: &str| {
        let node = "placement: {constraints: [node.hostname == node2]}";
        App::new(image).replicas(2).deploy(node).deploy("restart_policy: {delay: 1s}")
    };
    let (stack, other) = (scene.stack("outage", &app(&first)), scene.stack("other", &scene.off()));
    scene.watch().success().stdout_has("2 deployed");
    let running = |image: &str| {
        let call = ["service", "ps", "--filter", "desired-state=running", "--format"];
        let format = "{{.Image}} {{.CurrentState}}";
        let tasks = lab.docker(&[&call[..], &[format, &format!("{stack}_app")]].concat());
        tasks.lines().filter(|task| task.starts_with(&format!("{image} Running"))).count()
    };
    assert_eq!(running(&first), 2);

    registry.fault("500");
    scene.change(&stack, &app(&second)).change(&other, &scene.off().with("environment: {N: '2'}"));
    let said = scene.push();
    said.failure(3).stdout_has(&format!("deployed  {other} ")).stdout_has("update paused");
    said.stdout_has("No such image").stdout_lacks("held until");
    assert_eq!(running(&first), 1);
    for _ in 0..2 {
        let said = scene.reconcile();
        said.failure(3)
            .stdout_has("goes on when its nodes have the image")
            .stdout_has("1 unchanged, 1 failed");
        assert_eq!(scene.deploys(), [""; 0]);
        assert_eq!(running(&first), 1, "another task was taken");
    }
    scene.ops.run(["status"]).failure(3).stdout_has("No such image");

    registry.fault("");
    wait_for("the rest of the update", 60, || scene.reconcile().code == 0);
    assert_eq!((running(&first), running(&second)), (0, 2));
    scene.reconcile().success().stdout_has("2 unchanged");
}

#[test]
fn a_git_server_that_says_nothing_holds_up_no_other_source() {
    let Some(scene) = Scene::new() else { return };
    let web = scene.stack("web", &scene.off());
    scene.watch().success();
    // Its connections are taken, by the kernel.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/silent.git", silent.local_addr().unwrap());
    let Scene { lab, ops, repo, docker } = scene;
    let ops = ops.env("DOCKEROPS_REPOS", url).env("DOCKEROPS_GIT_TIMEOUT", "15").limit(90);
    let scene = Scene { lab, ops: ops.env("DOCKEROPS_SYNC_INTERVAL", "3600"), repo, docker };
    let change = |number: usize| {
        let app = scene.off().with(format!("environment: {{N: '{number}'}}"));
        scene.change(&web, &app).repo.commit("change");
    };
    change(1);
    let begun = Instant::now();
    let mut daemon = scene.ops.spawn(["run"]);
    daemon.wait_for(&format!("deployed  {web} "), 1, 12);
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    change(2);
    let begun = Instant::now();
    daemon.signal(Signal::HUP);
    daemon.wait_for(&format!("deployed  {web} "), 2, 12);
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // Its own trouble is told all the same.
    daemon.wait_for("silent.git", 1, 60);
    daemon.signal(Signal::TERM);
    daemon.wait().success().stdout_has("timed out").stdout_has("cycle");
}
