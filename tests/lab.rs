//! The ground the other tests stand on: the lab and the builders do what they say.

use std::thread::scope;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{docker_binaries, lab};
use crate::support::repo::{Repo, one_service};
use crate::support::{command, path_with, try_stdout_of, unique, wait_for};

#[test]
fn the_lab_has_a_manager_and_a_worker_and_both_are_ready() {
    let Some(lab) = lab() else { return };
    let nodes = lab.docker(&["node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"]);
    let mut nodes: Vec<_> = nodes.lines().map(str::trim).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["node1 Ready Leader", "node2 Ready"]);
}

#[test]
fn both_nodes_pull_every_image_and_the_two_apps_differ() {
    let Some(lab) = lab() else { return };
    let digest = |name: &str| {
        let image = lab.image(name);
        lab.docker2(&["pull", "--quiet", &image]);
        lab.docker(&["pull", "--quiet", &image]);
        lab.docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &image])
    };
    let digests: Vec<_> =
        ["app:1", "app:2", "entry:1", "user:1", "shellform:1", "noshell:1", "health:1"].map(digest).into();
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn every_docker_of_this_machine_deploys_on_the_lab_and_services_run_on_both_nodes() {
    let Some(lab) = lab() else { return };
    for docker in docker_binaries() {
        let (ops, repo) = (DockerOps::new(lab).with_docker(&docker), Repo::new());
        let stack = ops.unique("lab");
        repo.stack(&stack, &one_service(&lab.image("app:1"), 2));
        let compose = repo.path().join(&stack).join("docker-compose.yml");
        let mut deploy = command(&docker);
        deploy.env("HOME", ops.home()).env("DOCKER_HOST", lab.docker_host());
        try_stdout_of(deploy.args(["stack", "deploy", "-c"]).arg(compose).arg(&stack)).unwrap();
        let tasks = ["stack", "ps", &stack, "--format", "{{.Node}} {{.CurrentState}}"];
        wait_for("a task on each node", 60, || {
            let tasks = lab.docker(&tasks);
            ["node1 Running", "node2 Running"].iter().all(|task| tasks.contains(task))
        });
    }
}

#[test]
fn what_runs_beside_another_has_a_name_of_its_own() {
    assert_ne!(unique("web"), unique("web"));
}

#[test]
fn a_fake_docker_writes_down_each_call_as_one_line() {
    let fake = FakeDocker::before("/bin/echo".as_ref());
    let call = |arguments: &[&str]| {
        let mut docker = command(fake.folder().join("docker"));
        try_stdout_of(docker.env("TOKEN", "t").args(arguments))
    };
    assert_eq!(call(&["service", "ls", "--format={{json .}}"]).unwrap(), "service ls --format={{json .}}\n");
    call(&["it's", "", "two\nlines"]).unwrap();
    assert_eq!(fake.calls(), ["service ls '--format={{json .}}'", r"'it'\''s' '' 'two\nlines'"]);
    assert!(fake.environment().iter().any(|line| line.contains("TOKEN=\"t\"")));
    fake.forget();
    scope(|threads| {
        for _ in 0..20 {
            threads.spawn(|| call(&["service", "ls"]).unwrap());
        }
    });
    assert_eq!(fake.calls(), vec!["service ls"; 20]);
}

#[test]
fn a_fake_docker_does_what_it_is_told_for_the_calls_it_is_told_of() {
    let fake = FakeDocker::before("/bin/echo".as_ref()).prints("service ls", "it's {garbage").fails(
        "stack deploy",
        7,
        "no such thing",
    );
    let call = |arguments: &[&str]| {
        let docker =
            command("docker").env("PATH", path_with(&fake.folder())).args(arguments).output().unwrap();
        (docker.status.code(), [docker.stdout, docker.stderr].concat())
    };
    assert_eq!(call(&["service", "ls", "-q"]), (Some(0), b"it's {garbage".to_vec()));
    assert_eq!(call(&["stack", "deploy", "x"]), (Some(7), b"no such thing\n".to_vec()));
    assert_eq!(call(&["stack", "ls"]), (Some(0), b"stack ls\n".to_vec()));
    assert_eq!(fake.calls_with("stack").len(), 2);
}

#[test]
fn a_repository_has_the_history_its_builder_was_told() {
    let repo = Repo::new();
    repo.stack("web", "a").stack("db", "b").stack("web", "c").symlink("link", "web");
    let first = repo.commit("first");
    repo.tag("v1");
    assert_eq!(
        std::fs::read_to_string(repo.path().join("stacks.yaml")).unwrap(),
        "- name: web\n- name: db\n"
    );
    repo.branch("other").remove("web").remove("link");
    let second = repo.commit("second");
    assert_eq!(repo.git(["ls-tree", "--name-only", "HEAD"]), "db\nstacks.yaml");
    assert_eq!(repo.branch("main").head(), first);
    repo.reset(&second);
    let remote = repo.git(["ls-remote", &repo.url(), "refs/heads/main", "refs/tags/v1"]);
    assert_eq!(remote, format!("{second}\trefs/heads/main\n{first}\trefs/tags/v1"));

    let served = tempfile::tempdir().unwrap();
    repo.publish(served.path(), "r").publish(served.path(), "r");
    let bare = served.path().join("r.git");
    assert_eq!(repo.git(["ls-remote", bare.to_str().unwrap(), "HEAD"]), format!("{second}\tHEAD"));
}
