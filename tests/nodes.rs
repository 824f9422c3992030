//! A node that is drained in the midst of a deploy, or lost: the loop goes on, what is short is said, and nothing is
//! deployed because of it.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, OwnLab};
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

/// `web` runs anywhere, `pinned` on node 2 alone, `everywhere` on all.
struct Cluster<'lab> {
    lab: &'lab Lab,
    ops: DockerOps,
    repo: Repo,
    docker: FakeDocker,
}

impl Cluster<'_> {
    fn write(&self, version: u8) -> &Self {
        let app = || App::new(&self.lab.image("app:1"));
        let web = app()
            .replicas(2)
            .update("monitor: 1s, delay: 3s, order: start-first")
            .with(format!("environment: {{N: '{version}'}}"));
        let pinned = app().deploy("placement: {constraints: [node.hostname == node2]}");
        for (stack, app) in [("web", web), ("pinned", pinned), ("everywhere", app().deploy("mode: global"))] {
            self.repo.stack(stack, &compose([("app", &app)]));
        }
        self.repo.commit("next");
        self
    }

    /// A new version of the stack that runs everywhere.
    fn write_everywhere(&self) -> &Self {
        let app = App::new(&self.lab.image("app:1")).deploy("mode: global").with("environment: {NEW: '1'}");
        self.repo.stack("everywhere", &compose([("app", &app)])).commit("everywhere");
        self
    }

    /// `web` is deployed, though in the midst of it something `happens`.
    fn deploys_though(&self, happens: impl FnOnce()) {
        self.docker.forget();
        let run = self.ops.spawn(["reconcile"]);
        self.docker.wait_for_call("service ps");
        happens();
        let said = run.wait();
        assert!([0, 3].contains(&said.code), "{said}");
        said.stdout_has("deployed  web ").stdout_lacks("failed").stdout_lacks("drift");
    }

    /// Of all three `pinned` alone is short, at every look, and nothing is done about it.
    fn only_pinned_is_short(&self) {
        let mut last = None;
        wait_for("Swarm to replace the other tasks", 60, || {
            self.docker.forget();
            let said = self.ops.run(["reconcile"]);
            assert!([0, 3].contains(&said.code), "{said}");
            said.stdout_lacks("failed").stdout_lacks("drift").stdout_lacks("deployed  web");
            assert_eq!(self.docker.calls_with("stack deploy"), [""; 0]);
            let is_so = said.stdout.contains("2 unchanged, 1 degraded");
            last = Some(said);
            is_so
        });
        last.unwrap().failure(3).stdout_has("degraded  pinned").stdout_has("`pinned_app` runs 0 of 1");
        let status = self.ops.run(["status", "--json"]);
        let status = status.failure(3).json();
        let of = |stack: &str, field: &str| {
            let stacks = status["stacks"].as_array().unwrap();
            let stack = stacks.iter().find(|row| row["name"] == stack).unwrap();
            (stack["health"].as_str().unwrap().to_owned(), stack["services"][0][field].as_u64().unwrap())
        };
        assert_eq!(of("web", "running"), ("healthy".into(), 2));
        assert_eq!(
            of("everywhere", "wanted"),
            ("healthy".into(), 1),
            "a node that takes no task does not count"
        );
        assert_eq!(of("pinned", "wanted"), ("degraded".into(), 1));
    }
}

#[test]
fn a_node_that_is_drained_in_the_midst_of_a_deploy_or_lost_is_nobodys_drift() {
    let Some(lab) = OwnLab::start() else { return };
    let docker = FakeDocker::new();
    let ops = DockerOps::without_docker().env("DOCKER_HOST", lab.docker_host()).with_fake(&docker);
    let ops = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "60").limit(150);
    let cluster = Cluster { lab: &lab, ops, repo: Repo::new(), docker };
    cluster.write(1).ops.run(["watch", &cluster.repo.url()]).success().stdout_has("3 deployed");

    let is_now = |availability: &str| {
        lab.try_docker(&["node", "update", "--availability", availability, "node2"]).is_ok()
    };
    cluster.write(2).deploys_though(|| wait_for("the drain", 20, || is_now("drain")));
    cluster.only_pinned_is_short();
    wait_for("the end of the drain", 20, || is_now("active"));
    wait_for("all to be well", 60, || cluster.ops.run(["reconcile"]).stdout.contains("3 unchanged"));

    // Swarm leaves the old task where a node is paused, and calls the update completed.
    wait_for("the pause", 20, || is_now("pause"));
    let said = cluster.write_everywhere().ops.run(["reconcile"]);
    said.success().stdout_has("1 deployed").stdout_has("the version before still runs on `node2`");
    wait_for("the end of the pause", 20, || is_now("active"));
    wait_for("all to be new", 60, || cluster.ops.run(["reconcile"]).stdout.contains("3 unchanged"));

    // Its first process takes all along that runs on it, as a machine does that loses its power.
    let pid = fs::read_to_string(lab.folder().join("node2/pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    cluster.only_pinned_is_short();
    // What is pushed meanwhile is deployed.
    cluster.write(3).ops.run(["reconcile"]).failure(3).stdout_has("deployed  web ").stdout_has("1 degraded");
}

#[test]
fn what_cleans_the_nodes_no_source_builds() {
    let Some(mut scene) = Scene::new() else { return };
    let own = scene.lab.image(&unique("cleaner"));
    scene.ops = scene.ops.env("DOCKEROPS_PRUNE_NODES", "1").env("DOCKEROPS_PRUNE_IMAGE", format!("{own}:1"));
    scene.repo.write("images.yaml", format!("- {{name: '{own}:2', context: ., push: false}}\n"));
    scene.repo.write("Dockerfile", "FROM scratch\nCOPY images.yaml /\n").commit("first");
    let outcome = scene.run(&["watch", &scene.repo.url()]);
    outcome.failure(3).stdout_has(&format!("`{own}:1` is what DockerOps cleans the nodes with"));
    assert!(!scene.lab.docker(&["image", "ls"]).contains(own.rsplit_once('/').unwrap().1));
    scene.ops = scene.ops.env_remove("DOCKEROPS_PRUNE_NODES");
    scene.reconcile().success().stdout_has("1 built");
}
