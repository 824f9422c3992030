//! Manifests and compose files that are wrong: all mistakes at once, and nothing that is wrong is deployed.

use crate::support::dockerops::{DockerOps, Outcome};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};

const COMPOSE: &str = "services: {app: {image: app, deploy: {replicas: 0}}}\n";

/// `watch` fails with one error that names the commit; nothing is deployed or remembered.
#[track_caller]
fn refused(repo: &Repo) -> Outcome {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).limit(30);
    let commit = repo.commit("wrong");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(1).error_has(&commit[..12]).stderr_has(&repo.url());
    assert_eq!(fake.calls_with("stack deploy"), [""; 0]);
    ops.remembers_nothing();
    outcome
}

/// `watch` remembers the source and fails with an error of each wrong stack; only `deployed` is given to docker.
#[track_caller]
fn refused_apart(repo: &Repo, deployed: &[&str]) -> Outcome {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).limit(30).env("DOCKEROPS_DEPLOY_TIMEOUT", "1");
    repo.commit("wrong");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_lacks("failed    source");
    let deploys = fake.calls_with("stack deploy");
    let names: Vec<_> = deploys.iter().filter_map(|call| call.split_whitespace().next_back()).collect();
    assert_eq!(names, deployed, "{outcome}");
    ops.run(["debug-cache"]).success().stdout_has(&repo.url());
    outcome
}

/// A good stack `web`, and this `stacks.yaml`.
fn with_list(text: impl AsRef<[u8]>) -> Repo {
    let repo = Repo::new();
    repo.stack("web", COMPOSE).write("stacks.yaml", text);
    repo
}

fn alias_bomb() -> String {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..20 {
        text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(","));
    }
    text
}

#[test]
fn a_list_that_is_none_is_refused_with_its_file() {
    let invalid = b"- name: web\n- name: \xff\xfe\n";
    for (text, what) in [
        ("".as_bytes(), "stacks.yaml: is empty"),
        (b"# nothing\n", "stacks.yaml: is empty"),
        (b"[]\n", "stacks.yaml:1: lists no stack"),
        (b"web\n", "stacks.yaml:1: must be a list"),
        (b"name: web\n", "stacks.yaml:1: must be a list of `- name: folder`, not a mapping"),
        (b"- name: web\n\tenabled: true\n", "is not YAML: while scanning a plain scalar, found a tab"),
        (invalid, "stacks.yaml: is not UTF-8 (line 2)"),
        (alias_bomb().as_bytes(), "stacks.yaml:1: aliases expand"),
        ("- name: web\n".repeat(10 * 1024 * 1024 / 12).as_bytes(), "stacks.yaml: is larger than 1024 KiB"),
        ("- ".repeat(5000).as_bytes(), "is nested deeper"),
    ] {
        refused(&with_list(text)).stderr_has(what);
    }
    let repo = with_list("");
    repo.remove("stacks.yaml");
    refused(&repo).stderr_has("stacks.yaml: does not exist").stderr_has("`web`");
    repo.symlink("stacks.yaml", "/etc/hostname");
    refused(&repo).stderr_has("leads out of the repository");
}

#[test]
fn hostile_names_are_refused_and_never_printed_raw() {
    let long = "n".repeat(300);
    for (name, what) in [
        ("..", "is not the name of a folder"),
        ("../etc", "holds a slash"),
        ("/etc", "holds a slash"),
        ("a/b", "holds a slash"),
        ("-rf", "begins with `-`"),
        ("a\\e]0;owned\\a", "holds a control character"),
        ("a\\nb", "holds a control character"),
        (".git", "is git's own folder"),
        ("", "is empty"),
        (&*long, "is too long"),
    ] {
        let outcome = refused(&with_list(format!("- name: \"{name}\"\n")));
        outcome.stderr_has("stacks.yaml:1: `entry 1.name`: ").stderr_has(what);
        assert!(!outcome.stderr.contains(['\u{1b}', '\u{7}']), "{outcome:?}");
        assert!(outcome.stderr.len() < 800, "{outcome}");
    }
}

#[test]
fn every_mistake_of_every_file_is_reported_at_once_with_file_line_and_key() {
    let repo = Repo::new();
    repo.write(
        "stacks.yaml",
        "- name: web\n  colour: red\n- name: web\n- name: db\n  enabled: maybe\n- name: gone\n\
         - name: hollow\n- 7\n- name: web\n  name: web\n- name: broken\n",
    );
    repo.write("web/compose.yaml", COMPOSE)
        .write("db/compose.yaml", COMPOSE)
        .write("hollow/readme", "")
        .write("broken/compose.yaml", "[]\n");
    let outcome = refused(&repo);
    for what in [
        "9 mistakes, nothing was deployed",
        "stacks.yaml:2: `entry 1.colour`: unknown key",
        "stacks.yaml:3: `web`: is listed twice",
        "stacks.yaml:5: `db.enabled`: must be `true` or `false`",
        "stacks.yaml:6: `gone`: the stack's folder: `gone` does not exist",
        "stacks.yaml:7: `hollow`: the folder holds none of `docker-compose.yml`",
        "stacks.yaml:8: `entry 6`: must be a mapping",
        "stacks.yaml:10: `entry 7.name`: stands twice",
        "broken/compose.yaml:1: must be a mapping with `services`, not a list",
    ] {
        outcome.stderr_has(what);
    }
}

#[test]
fn compose_files_that_are_wrong_are_all_reported_and_stop_no_other_stack() {
    let repo = Repo::new();
    for (name, compose) in [
        ("fine", COMPOSE),
        ("broken", "services: [\n"),
        ("scalar", "7\n"),
        ("empty", ""),
        ("none", "version: \"3.8\"\n"),
        ("tabs", "services:\n\tapp: {image: app}\n"),
        ("env", "services:\n  app:\n    image: app\n    env_file: ../../etc/passwd\n"),
        ("abs", "services: {app: {image: app}}\nconfigs:\n  c:\n    file: /etc/passwd\n"),
        ("link", "services: {app: {image: app}}\nsecrets:\n  s:\n    file: out\n"),
        ("bind", "services:\n  app:\n    image: app\n    volumes: ['./data:/data']\n"),
    ] {
        repo.stack(name, compose);
    }
    repo.symlink("link/out", "/etc/passwd");
    let outcome = refused_apart(&repo, &["fine"]);
    for what in [
        "broken/docker-compose.yml:",
        "scalar/docker-compose.yml:1: must be a mapping with `services`, not a number",
        "empty/docker-compose.yml: is empty",
        "none/docker-compose.yml:1: `services`: is missing",
        "tabs/docker-compose.yml:2: is not YAML",
        "env/docker-compose.yml:4: `services.app.env_file`: the path `../../etc/passwd` leads out",
        "abs/docker-compose.yml:4: `configs.c.file`: the path `/etc/passwd` is absolute",
        "link/docker-compose.yml:4: `secrets.s.file`: `out` is a symlink that leads out",
        "bind/docker-compose.yml:4: `services.app.volumes`: `./data` is relative",
    ] {
        let stack = what.split('/').next().unwrap_or_default();
        outcome.stdout_has(&format!("failed    {stack}  {what}"));
    }
    outcome.stderr_lacks("root:").stdout_lacks("root:");
}

#[test]
fn a_folder_or_a_compose_file_that_leads_out_of_the_checkout_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("compose.yaml"), COMPOSE).unwrap();
    let repo = Repo::new();
    repo.write("stacks.yaml", "- name: web\n- name: db\n").symlink("web", outside.path());
    repo.symlink("db/compose.yaml", outside.path().join("compose.yaml"));
    let outcome = refused_apart(&repo, &[]);
    outcome.stdout_has(
        "failed    web  stacks.yaml:1: `web`: the stack's folder: `web` is a symlink that leads out",
    );
    outcome.stdout_has(
        "failed    db  stacks.yaml:2: `db`: the compose file: `compose.yaml` is a symlink that leads out",
    );
}

#[test]
fn two_folders_that_become_the_same_stack_are_refused() {
    let repo = Repo::new();
    repo.stack("Nom De la Stack", COMPOSE)
        .stack("nom-de-la-stack", COMPOSE)
        .stack("Web", COMPOSE)
        .stack("web", COMPOSE);
    let outcome = refused(&repo);
    outcome.stderr_has(
        "stacks.yaml:2: `nom-de-la-stack`: becomes the stack `nom-de-la-stack`, as `Nom De la Stack`",
    );
    outcome.stderr_has("stacks.yaml:4: `web`: is `Web` of line 3 but for the case of its letters");
}

#[test]
fn a_folder_name_that_docker_does_not_take_becomes_one_that_it_does() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("nom-de-la-stack");
    let folder = stack.replace("nom-de-la-stack", "Nom De la Stack");
    repo.stack(&folder, &one_service(&lab.image("app:1"), 0)).commit("first");
    ops.run(["watch", &repo.url()]).success().stdout_has(&format!("deployed  {stack} "));
    lab.docker(&["service", "inspect", &format!("{stack}_app")]);
}

#[test]
fn of_several_compose_files_the_first_in_the_documented_order_is_deployed() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("order");
    let names = ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];
    repo.write("stacks.yaml", format!("- name: {stack}\n"));
    for (index, name) in names.iter().enumerate() {
        let compose = one_service(&lab.image("app:1"), 0).replace("app:\n", &format!("app{index}:\n"));
        repo.write(&format!("{stack}/{name}"), compose);
    }
    for (index, name) in names.iter().enumerate() {
        repo.commit(name);
        let command =
            if index == 0 { vec!["watch".to_owned(), repo.url()] } else { vec!["reconcile".to_owned()] };
        ops.run(command).success();
        let services = lab.docker(&["stack", "services", &stack, "--format", "{{.Name}}"]);
        assert_eq!(services, format!("{stack}_app{index}"), "{name}");
        repo.remove(&format!("{stack}/{name}"));
    }
}

#[test]
fn what_docker_refuses_is_said_in_its_own_words_and_stops_no_other_stack() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let [bad, good] = ["bad", "good"].map(|base| ops.unique(base));
    let compose = one_service(&lab.image("app:1"), 0);
    repo.stack(&bad, &format!("{compose}    colour: red\n")).stack(&good, &compose).commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("Additional property colour is not allowed");
    outcome.stdout_has(&format!("failed    {bad} ")).stdout_has(&format!("deployed  {good} "));
}

#[test]
fn no_docker_lets_a_merge_read_a_file_outside_the_checkout() {
    let Some(lab) = lab() else { return };
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "stolen").unwrap();
    for docker in crate::support::lab::docker_binaries() {
        let (ops, repo) = (DockerOps::new(lab).with_docker(&docker), Repo::new());
        let stack = ops.unique("merge");
        let merge = format!("{{file: ./mine, <<: {{file: {}}}}}", outside.path().display());
        repo.stack(&stack, &format!("{}configs: {{c: {merge}}}\n", one_service(&lab.image("app:1"), 0)));
        repo.write(&format!("{stack}/mine"), "mine").commit("first");
        ops.run(["watch", &repo.url()]).success();
        let filter = format!("label=com.docker.stack.namespace={stack}");
        let config = lab.docker(&["config", "ls", "--quiet", "--filter", &filter]);
        let data = lab.docker(&["config", "inspect", config.trim(), "--format", "{{json .Spec.Data}}"]);
        // "mine" in base64.
        assert_eq!(data.trim(), "\"bWluZQ==\"", "{}", docker.display());
    }
}
