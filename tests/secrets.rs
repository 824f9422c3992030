//! `secrets.yaml`: Swarm secrets arrive as variables, in the command the service would have run.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, docker_binaries, lab};
use crate::support::repo::{Repo, one_service};
use crate::support::{command, stdout_of, unique, wait_for};

const NASTY: &str = "  two  words 'q' \"d\" $HOME $(id) `id` * ? \\ \\n \\\\ # ; é ☃\n\tsecond line \\";
const PLAIN: &str = "pl41n-0f-the-test";

/// A secret of the Swarm, removed when dropped.
struct Secret {
    lab: &'static Lab,
    name: String,
}

impl Secret {
    fn new(lab: &'static Lab, value: &str) -> Self {
        Self::named(lab, unique("secret"), value)
    }

    fn named(lab: &'static Lab, name: String, value: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), value).unwrap();
        lab.docker(&["secret", "create", &name, file.path().to_str().unwrap()]);
        Self { lab, name }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Swarm keeps it while a service uses it.
        for _ in 0..50 {
            if self.lab.try_docker(&["secret", "rm", &self.name]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The one running container of a service on node 1, or on node 2.
fn container(lab: &Lab, service: &str, node: u8) -> String {
    let filter = format!("label=com.docker.swarm.service.name={service}");
    let call = ["ps", "--quiet", "--filter", &filter];
    let ids = if node == 1 { lab.docker(&call) } else { lab.docker2(&call) };
    assert_eq!(ids.lines().count(), 1, "containers of {service} on node {node}: {ids}");
    ids
}

/// A file of `/proc/1` of that container.
fn process_1(lab: &Lab, service: &str, node: u8, file: &str) -> String {
    let (id, path) = (container(lab, service, node), format!("/proc/1/{file}"));
    let call = ["exec", &id, "/bin/busybox", "cat", &path];
    if node == 1 { lab.docker(&call) } else { lab.docker2(&call) }
}

#[track_caller]
fn has_variable(environment: &str, variable: &str) {
    assert!(environment.split('\0').any(|line| line == variable), "no {variable:?}: {environment:?}");
}

fn configs(lab: &Lab, stack: &str) -> String {
    lab.docker(&["config", "ls", "-q", "--filter", &format!("label=com.docker.stack.namespace={stack}")])
}

#[test]
fn values_arrive_in_the_services_own_command_on_both_nodes_and_nowhere_else() {
    let Some(lab) = lab() else { return };
    let (nasty, plain) = (Secret::new(lab, &format!("{NASTY}\n\n")), Secret::new(lab, PLAIN));
    let (repo, fake) = (Repo::new(), FakeDocker::new());
    let ops = DockerOps::new(lab).with_fake(&fake);
    let stack = ops.unique("vars");
    let (one, two) = (&nasty.name, &plain.name);
    let on_node_1 = "deploy: {placement: {constraints: [node.role == manager]}}";
    let image = |name: &str| lab.image(name);
    let compose = format!(
        "version: '3.8'\nservices:\n  all:\n    image: {}\n    environment: [MINE=mine, PLAIN=before]\n    deploy: {{mode: global}}\n  \
         entry: {{image: {}, {on_node_1}}}\n  \
         user: {{image: {}, command: /bin/sleep 70000 '1', {on_node_1}}}\n  \
         form: {{image: {}, {on_node_1}}}\n  \
         own:\n    image: {}\n    entrypoint: [/bin/busybox, sleep]\n    command: ['50000']\n    {on_node_1}\n    \
         secrets: [{{source: mine, target: other, mode: 0400}}]\n\
         secrets: {{mine: {{external: true, name: {one}}}}}\n",
        image("app:1"),
        image("entry:1"),
        image("user:1"),
        image("shellform:1"),
        image("app:1"),
    );
    let entries =
        format!("- {{secret: {one}, env: NASTY}}\n- {{id: {two}, env: PLAIN, services: [all, user]}}\n");
    repo.stack(&stack, &compose).write(&format!("{stack}/secrets.yaml"), &entries).commit("first");
    let mut said = ops.run(["watch", &repo.url()]);
    said.success();

    let service = |name: &str| format!("{stack}_{name}");
    for (name, node, cmdline, gets_plain) in [
        ("all", 1, "/bin/sleep\x00100000\x00", true),
        ("all", 2, "/bin/sleep\x00100000\x00", true),
        ("entry", 1, "/bin/busybox\0sleep\x00100000\x00", false),
        ("user", 1, "/bin/sleep\x0070000\x001\x00", true),
        ("form", 1, "/bin/sleep\x00100000\x00", false),
        ("own", 1, "/bin/busybox\0sleep\x0050000\x00", false),
    ] {
        assert_eq!(process_1(lab, &service(name), node, "cmdline"), cmdline, "{name}");
        let environment = process_1(lab, &service(name), node, "environ");
        has_variable(&environment, &format!("NASTY={NASTY}"));
        let plain = format!("PLAIN={PLAIN}");
        assert_eq!(environment.split('\0').any(|line| line == plain), gets_plain, "{name}: {environment:?}");
    }
    has_variable(&process_1(lab, &service("all"), 2, "environ"), "MINE=mine");
    assert!(process_1(lab, &service("user"), 1, "status").contains("Uid:\t1000\t1000"), "its user stays");
    let format = "{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.File.Name}} {{.File.Mode}} {{end}}";
    let secrets = lab.docker(&["service", "inspect", &service("own"), "--format", format]);
    assert_eq!(secrets.trim(), "other -r--------", "a declared secret keeps target and mode");

    // Nothing restarts for a commit that changes nothing, and an idle run asks docker twice.
    let tasks = lab.docker(&["stack", "ps", "-q", &stack]);
    repo.write(&format!("{stack}/secrets.yaml"), format!("# the same\n{entries}")).commit("A comment");
    ops.run(["reconcile"]).success().stdout_has("1 unchanged");
    fake.forget();
    ops.run(["reconcile"]).success();
    assert_eq!(fake.calls().len(), 3, "{:?}", fake.calls());
    ops.run(["reconcile", "--force"]).success();
    assert_eq!(lab.docker(&["stack", "ps", "-q", &stack]), tasks, "no task was started anew");

    // What somebody takes away by hand is put back.
    lab.docker(&["service", "update", "--detach", "--args", "7", &service("entry")]);
    said = ops.run(["reconcile"]);
    said.success().stdout_has("`command` edited");
    assert_eq!(process_1(lab, &service("entry"), 1, "cmdline"), "/bin/busybox\0sleep\x00100000\x00");

    for outcome in [said, ops.run(["status", "--json"]), ops.run(["reconcile", "--dry-run"])] {
        outcome.stdout_lacks(PLAIN).stderr_lacks(PLAIN).stdout_lacks("two  words");
    }
    assert!(!format!("{:?}{:?}", fake.calls(), fake.environment()).contains(PLAIN));
    for file in fs::read_dir(ops.database().parent().unwrap()).unwrap().map(|file| file.unwrap().path()) {
        let bytes = if file.is_file() { fs::read(&file).unwrap() } else { Vec::new() };
        assert!(!String::from_utf8_lossy(&bytes).contains(PLAIN), "{}", file.display());
    }
    assert_eq!(configs(lab, &stack).lines().count(), 3, "one script for each set of variables and files");
    ops.run(["unwatch", &repo.url()]).success();
    assert_eq!(configs(lab, &stack), "", "the scripts go with the stack");
}

#[test]
fn a_stack_without_its_secrets_is_not_deployed_and_others_are() {
    let Some(lab) = lab() else { return };
    let (repo, fake, there) = (Repo::new(), FakeDocker::new(), Secret::new(lab, PLAIN));
    let ops = DockerOps::new(lab).with_fake(&fake);
    let (lacking, other, plain) = (ops.unique("lack"), ops.unique("other"), ops.unique("plain"));
    let (first, second) = (unique("gone"), unique("gone"));
    for stack in [&lacking, &other, &plain] {
        repo.stack(stack, &one_service(&lab.image("app:1"), 0));
    }
    let entry = |name: &str, env: &str| format!("- {{secret: {name}, env: {env}}}\n");
    let entries = entry(&first, "A") + &entry(&there.name, "B") + &entry(&second, "C");
    repo.write(&format!("{lacking}/secrets.yaml"), entries);
    repo.write(&format!("{other}/secrets.yaml"), entry(&there.name, "A")).commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has(&format!("exist in the Swarm: `{first}`, `{second}`;"));
    for name in [&first, &second] {
        outcome.stdout_has(&format!("docker secret create {name} -\n"));
    }
    outcome.stdout_lacks(&there.name);
    assert_eq!(fake.calls_with("secret ls --format").len(), 1);
    let services = |stack: &str| {
        lab.docker(&["service", "ls", "-q", "--filter", &format!("label=com.docker.stack.namespace={stack}")])
    };
    assert_eq!((services(&lacking).as_str(), configs(lab, &lacking).as_str()), ("", ""));
    assert!(!services(&other).is_empty() && !services(&plain).is_empty());
    ops.run(["reconcile", "--dry-run"]).stdout_has(&first).stdout_has("1 failed");
    let _made = [first, second].map(|name| Secret::named(lab, name, PLAIN));
    ops.run(["reconcile"]).success().stdout_has("1 deployed");
    assert!(!services(&lacking).is_empty());
    ops.run(["unwatch", &repo.url()]).success();
}

#[test]
fn images_that_cannot_be_started_by_a_shell_say_so_and_leave_no_container() {
    let Some(lab) = lab() else { return };
    let (repo, secret, ops) = (Repo::new(), Secret::new(lab, PLAIN), DockerOps::new(lab));
    let (no_shell, neither, fine) = (ops.unique("noshell"), ops.unique("neither"), ops.unique("fine"));
    // Only the registry has this one.
    let pulled = lab.image(&format!("{}:1", unique("pulled")));
    lab.docker(&["tag", &lab.image("app:1"), &pulled]);
    lab.docker(&["push", "--quiet", &pulled]);
    lab.docker(&["image", "rm", &pulled]);
    for (stack, image) in
        [(&no_shell, lab.image("noshell:1")), (&neither, lab.image("base")), (&fine, pulled.clone())]
    {
        repo.stack(stack, &one_service(&image, 0));
        repo.write(&format!("{stack}/secrets.yaml"), format!("- {{secret: {}, env: A}}\n", secret.name));
    }
    repo.commit("first");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(3).stdout_has("has no `/bin/sh`").stdout_has("read `/run/secrets`");
    outcome.stdout_has("has an entrypoint or a command").stdout_has("1 deployed, 2 failed");
    let format = "{{json .Spec.TaskTemplate.ContainerSpec}}";
    let spec = lab.docker(&["service", "inspect", &format!("{fine}_app"), "--format", format]);
    assert!(spec.contains(r#""Args":["/bin/sleep","100000"]"#), "{spec}");
    // Where docker asks the registry again, the command is that of the image it will find there.
    lab.docker(&["tag", &lab.image("entry:1"), &pulled]);
    lab.docker(&["push", "--quiet", &pulled]);
    lab.docker(&["tag", &lab.image("app:1"), &pulled]);
    let ops = ops.env("DOCKEROPS_IMAGE_PULL_POLICY", "always").through([
        "ip",
        "netns",
        "exec",
        lab.network_namespace(),
    ]);
    ops.run(["reconcile", "--force"]).failure(3);
    let spec = lab.docker(&["service", "inspect", &format!("{fine}_app"), "--format", format]);
    assert!(spec.contains(r#""Args":["/bin/busybox","sleep","100000"]"#), "{spec}");
    assert_eq!((configs(lab, &no_shell), configs(lab, &neither)), (String::new(), String::new()));
    // Those of a test beside this one go by themselves.
    wait_for("no container that was made to look into an image", 20, || {
        lab.docker(&["ps", "--all", "--quiet", "--filter", "label=dockerops.probe"]).is_empty()
    });
    ops.run(["unwatch", &repo.url()]).success();
}

#[test]
fn the_service_gets_the_signals() {
    let Some(lab) = lab() else { return };
    let (repo, secret, ops) = (Repo::new(), Secret::new(lab, PLAIN), DockerOps::new(lab));
    let stack = ops.unique("signal");
    let compose = format!(
        "version: '3.8'\nservices:\n  app:\n    image: {}\n    stop_signal: SIGTERM\n    stop_grace_period: 30s\n    \
         command: [/bin/sh, -c, \"trap 'exit 42' TERM; while :; do sleep 0.1; done\"]\n    \
         deploy: {{placement: {{constraints: [node.role == manager]}}}}\n",
        lab.image("app:1")
    );
    let entries = format!("- {{secret: {}, env: A}}\n", secret.name);
    repo.stack(&stack, &compose).write(&format!("{stack}/secrets.yaml"), entries).commit("first");
    ops.run(["watch", &repo.url()]).success();
    let id = container(lab, &format!("{stack}_app"), 1);
    let begun = Instant::now();
    lab.docker(&["stop", "--time", "20", &id]);
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    let code = lab.docker(&["inspect", &id, "--format", "{{.State.ExitCode}}"]);
    assert_eq!(code, "42", "the service's own handler ran");
    ops.run(["unwatch", &repo.url()]).success();
}

#[test]
fn strings_are_cut_into_words_as_docker_does_by_every_docker_of_this_machine() {
    let Some(lab) = lab() else { return };
    let secret = Secret::new(lab, PLAIN);
    let text = r#"sh -c "echo \"x\" \n 'y' $$A" 'it''s' a\ b \#c d#e '' "é" # the rest"#;
    let compose =
        one_service(&lab.image("entry:1"), 0) + &format!("    command: |-\n      {text}\n      and more\n");
    // The compose file without secrets, as docker itself reads it.
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let docker_itself = ops.unique("words");
    repo.stack(&docker_itself, &compose).commit("first");
    ops.run(["watch", &repo.url()]).success();
    let args = |stack: &str| -> Vec<String> {
        let format = "{{json .Spec.TaskTemplate.ContainerSpec.Args}}";
        let text = lab.docker(&["service", "inspect", &format!("{stack}_app"), "--format", format]);
        serde_json::from_str(&text).unwrap()
    };
    let expected = [vec!["/bin/busybox".to_owned()], args(&docker_itself)].concat();
    assert!(expected.len() > 10, "{expected:?}");
    for docker in docker_binaries() {
        let (ops, repo) = (DockerOps::new(lab).with_docker(&docker), Repo::new());
        let stack = ops.unique("words");
        repo.stack(&stack, &compose);
        repo.write(&format!("{stack}/secrets.yaml"), format!("- {{secret: {}, env: A}}\n", secret.name));
        repo.commit("first");
        ops.run(["watch", &repo.url()]).success();
        assert_eq!(args(&stack), expected, "{}", docker.display());
        let version = stdout_of(command(&docker).arg("--version"));
        assert_eq!(configs(lab, &stack).lines().count(), 1, "{version}");
        ops.run(["unwatch", &repo.url()]).success();
    }
    ops.run(["unwatch", &repo.url()]).success();
}
