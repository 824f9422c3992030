//! DockerOps as a service of the Swarm it looks after, deployed with the stack file of `deploy/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::container;
use crate::support::lab::{Lab, OwnLab, lab};
use crate::support::repo::{Repo, one_service};
use crate::support::{unique, wait_for};

/// In seconds: on a machine that is busy for minutes all of it takes that long, and else no time.
const LONG: u64 = 400;

/// The service, and the repository it follows.
struct Service<'lab> {
    lab: &'lab Lab,
    repo: Repo,
    folder: TempDir,
    /// Its stack's name.
    ops: String,
    /// The name of a stack of the repository.
    web: String,
    secret: String,
    image: String,
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        for stack in [&self.ops, &self.web] {
            let _ = self.lab.try_docker(&["stack", "rm", stack]);
        }
    }
}

impl<'lab> Service<'lab> {
    fn new(lab: &'lab Lab) -> Self {
        let image = lab.image(&unique("dockerops"));
        lab.docker(&["tag", &container::image(lab), &image]);
        lab.docker(&["push", "--quiet", &image]);
        let folder = tempfile::tempdir().unwrap();
        let (secret, token) = (unique("token"), folder.path().join("token"));
        fs::write(&token, "t").unwrap();
        lab.docker(&["secret", "create", &secret, token.to_str().unwrap()]);
        Self { lab, repo: Repo::new(), folder, ops: unique("ops"), web: unique("web"), secret, image }
    }

    /// The file as it is, but for what is this lab's own.
    fn file(&self) -> String {
        let socket = self.lab.docker_host().strip_prefix("unix://").unwrap();
        let repo = self.repo.path();
        let file = include_str!("../deploy/dockerops-stack.yml");
        let replace = |file: String, from: &str, to: &str| {
            assert!(file.contains(from), "the stack file has no `{from}`");
            file.replace(from, to)
        };
        [
            (concat!("ghcr.io/tombedinovt/dockerops:v", env!("CARGO_PKG_VERSION")), &*self.image),
            ("https://github.com/org/repo", "/repo"),
            ("\"300\"", "\"5\""),
            ("/var/run/docker.sock:", &format!("{socket}:")),
            ("- data:/data", &format!("- data:/data\n      - {}:/repo:ro", repo.display())),
            // The kernel of a test machine may know no CPU quota, and a task that asks for one never starts.
            ("limits: {cpus: \"1\", memory: 256M}", "limits: {memory: 256M}"),
            ("token:\n    external: true", &format!("token:\n    external: true\n    name: {}", self.secret)),
        ]
        .into_iter()
        .fold(file.to_owned(), |file, (from, to)| replace(file, from, to))
    }

    /// As the stack file's first lines say.
    fn deploy(&self, file: &str) {
        let path: PathBuf = self.folder.path().join("dockerops-stack.yml");
        fs::write(&path, file).unwrap();
        self.lab.docker(&[
            "stack",
            "deploy",
            "--with-registry-auth",
            "-c",
            path.to_str().unwrap(),
            &self.ops,
        ]);
    }

    /// Writes the stack `web` with so many tasks.
    fn write_web(&self, tasks: usize) {
        self.repo.stack(&self.web, &one_service(&self.lab.image("app:1"), tasks));
    }

    fn name(&self) -> String {
        format!("{}_dockerops", self.ops)
    }

    /// Its containers that run, on all nodes.
    fn containers(&self) -> Vec<String> {
        let label = format!("label=com.docker.swarm.service.name={}", self.name());
        let list = ["ps", "--quiet", "--filter", &label];
        let ids = [self.lab.docker(&list), self.lab.docker2(&list)].join("\n");
        ids.lines().filter(|id| !id.is_empty()).map(str::to_owned).collect()
    }

    /// Waits until it has deployed `web` with so many tasks; meanwhile there are never two of it.
    fn has_deployed(&self, tasks: usize) {
        let web = format!("{}_app", self.web);
        wait_for(format!("{web} to have {tasks} tasks"), LONG, || {
            let containers = self.containers();
            assert!(containers.len() <= 1, "two at once: {containers:?}");
            let spec = ["service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", &web];
            self.lab.try_docker(&spec).is_ok_and(|text| text == tasks.to_string())
        });
    }

    fn inspect(&self, service: &str) -> Value {
        serde_json::from_str::<Value>(&self.lab.docker(&["service", "inspect", service])).unwrap()[0].take()
    }

    /// What `status --json` says of a stack, asked in the container.
    fn status(&self, stack: &str) -> Option<Value> {
        let id = self.containers().pop()?;
        // Where a stack failed or is degraded it says so, and ends with 3.
        let ask = "dockerops status --json || [ $? = 3 ]";
        let said = self.lab.docker_somewhere(&["exec", &id, "sh", "-c", ask]).ok()?;
        let status: Value = serde_json::from_str(&said).unwrap();
        status["stacks"].as_array()?.iter().find(|line| line["name"] == stack).cloned()
    }
}

#[test]
fn the_service_follows_its_repository_through_a_kill_a_drain_and_its_own_update() {
    let Some(lab) = OwnLab::start() else { return };
    let node2 = ["node", "inspect", "--format", "{{.ID}}", "node2"];
    lab.docker(&["node", "promote", &lab.docker(&node2)]);
    let service = Service::new(&lab);
    service.write_web(1);
    service.repo.commit("One");
    service.deploy(&service.file());
    service.has_deployed(1);

    lab.docker_somewhere(&["kill", &service.containers()[0]]).unwrap();
    service.write_web(2);
    service.repo.commit("Two");
    service.has_deployed(2);

    // On another manager its database is empty: it adopts what runs, and touches nothing.
    let before = service.inspect(&format!("{}_app", service.web));
    let task = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}"];
    let node = lab.docker(&[&task[..], &[&service.name()]].concat());
    // Swarm itself may be writing to it, and then refuses.
    let is_now = |availability: &str| {
        lab.try_docker(&["node", "update", "--availability", availability, &node]).is_ok()
    };
    wait_for("the drain", 20, || is_now("drain"));
    wait_for("the service to run elsewhere", 60, || {
        let now = lab.docker(&["service", "ps", "--format", "{{.Node}} {{.CurrentState}}", &service.name()]);
        now.lines().any(|line| line.contains(" Running ") && !line.starts_with(&node))
    });
    wait_for("what runs to be adopted", 60, || {
        service.status(&service.web).is_some_and(|line| line["status"] == "deployed")
    });
    assert_eq!(service.inspect(&format!("{}_app", service.web))["Version"], before["Version"]);
    wait_for("the end of the drain", 20, || is_now("active"));

    lab.docker(&["service", "update", "--quiet", "--detach", "--force", &service.name()]);
    service.write_web(3);
    service.repo.commit("Three");
    service.has_deployed(3);
    // It is process 1's own doing that the signal ends it in order: 0, not 137.
    let tasks =
        ["service", "ps", "--quiet", "--no-trunc", "--filter", "desired-state=shutdown", &service.name()];
    let format = "{{.Status.State}} {{.Status.ContainerStatus.ExitCode}}";
    let ended = || -> BTreeSet<_> {
        lab.docker(&tasks).lines().map(|task| lab.docker(&["inspect", "--format", format, task])).collect()
    };
    wait_for("the earlier ones to end", 60, || !ended().contains("running -1"));
    assert_eq!(ended(), ["failed 137", "shutdown 0"].map(str::to_owned).into());
}

#[test]
fn a_dockerops_that_manages_its_own_stack_outlives_that() {
    let Some(lab) = lab() else { return };
    let service = Service::new(lab);
    let file = service.file().replace(
        "    stop_grace_period",
        "    healthcheck: {interval: 1s, timeout: 30s, retries: 30}\n    stop_grace_period",
    );
    // The health check sees it first, and the folder of a volume is on node 1.
    let file = file.replace("[node.role == manager]", "[node.role == manager, node.hostname == node1]");
    service.deploy(&file);
    let container = || service.containers().pop().unwrap_or_default();
    wait_for("it to run", LONG, || !service.containers().is_empty());
    let first = container();

    // Listed as it runs, it is adopted: labels come, and the task stays.
    service.repo.stack(&service.ops, &file);
    service.write_web(1);
    let commit = service.repo.commit("One");
    let is_at = |stack: &str, commit: &str| {
        service.status(stack).is_some_and(|line| line["status"] == "deployed" && line["commit"] == commit)
    };
    wait_for("it to adopt itself", LONG, || is_at(&service.ops, &commit));
    assert_eq!(container(), first, "the adoption restarted it");

    // A new version of itself comes after all others, and the next one notes both.
    service.repo.stack(&service.ops, &file.replace("\"5\"", "\"6\""));
    service.write_web(2);
    let commit = service.repo.commit("Two");
    wait_for("it to update itself", LONG, || is_at(&service.ops, &commit) && is_at(&service.web, &commit));
    assert_ne!(container(), first);
    let log = lab.docker(&["service", "logs", "--raw", &service.name()]);
    let at = |kind: &str, text: &str| {
        log.lines().position(|line| line.starts_with(kind) && line.contains(text)).expect(&log)
    };
    assert!(at("deployed", &format!("{}  changed", service.web)) < at("stopped", "asked to end"), "{log}");

    // Swarm goes back from a version that does not start; that is seen, said, and not tried again.
    service.repo.stack(&service.ops, &file.replace("[run]", "[no-such-command]"));
    service.write_web(3);
    service.repo.commit("Three");
    let failed = || service.status(&service.ops).filter(|line| line["status"] == "error");
    wait_for("the failure to be noted", LONG, || failed().is_some());
    let why = failed().unwrap()["error"].to_string();
    assert!(why.contains("Swarm rolled it back"), "{why}");
    let version = service.inspect(&service.name())["Version"].clone();
    service.has_deployed(3);

    // Whoever drops it from the list does not end it.
    let listed = service.repo.path().join("stacks.yaml");
    let rest = fs::read_to_string(&listed).unwrap().replace(&format!("- name: {}\n", service.ops), "");
    fs::write(listed, rest).unwrap();
    service.write_web(0);
    service.repo.commit("Four");
    service.has_deployed(0);
    wait_for("the refusal", LONG, || {
        failed().is_some_and(|line| line["error"].to_string().contains("this DockerOps runs in it"))
    });
    assert_eq!(service.inspect(&service.name())["Version"], version, "tried again");
    let said = lab.docker(&["exec", &container(), "dockerops", "stop", "--yes"]);
    assert!(said.contains(&format!("`docker stack rm {}` removes both", service.ops)), "{said}");
    assert!(lab.try_docker(&["service", "inspect", &format!("{}_app", service.web)]).is_err());
}
