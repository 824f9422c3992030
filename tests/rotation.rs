//! Configs and secrets with a file: a change rolls their services, and earlier versions go when nothing
//! needs them.

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, docker_binaries, lab, on_every_docker};
use crate::support::repo::Repo;
use crate::support::wait_for;

/// Two services: `reader`, on both nodes, has a config and a secret; `other` has none.
fn compose(lab: &Lab) -> String {
    let image = lab.image("app:1");
    format!(
        "version: \"3.8\"
services:
  reader:
    image: {image}
    configs: [site]
    secrets: [token]
    deploy:
      mode: global
      update_config: &soon {{monitor: 1s, parallelism: 0}}
      rollback_config: *soon
  other:
    image: {image}
    deploy: {{update_config: {{monitor: 1s}}}}
configs:
  site: {{file: ./site.conf}}
secrets:
  token: {{file: ../token}}
"
    )
}

fn names(lab: &Lab, kind: &str, stack: &str) -> Vec<String> {
    let filter = format!("label=com.docker.stack.namespace={stack}");
    let listed = lab.docker(&[kind, "ls", "--filter", &filter, "--format", "{{.Name}}"]);
    listed.lines().map(str::to_owned).collect()
}

/// The ids of the tasks that are meant to run.
fn tasks(lab: &Lab, service: &str) -> Vec<String> {
    let running = ["service", "ps", "--quiet", "--no-trunc", "--filter", "desired-state=running", service];
    let mut tasks: Vec<_> = lab.docker(&running).lines().map(str::to_owned).collect();
    tasks.sort_unstable();
    tasks
}

/// What the service's containers on both nodes read there.
fn read(lab: &Lab, service: &str, path: &str) -> [String; 2] {
    let filter = format!("label=com.docker.swarm.service.name={service}");
    let ask = |docker: &dyn Fn(&[&str]) -> String| {
        let container = docker(&["ps", "--quiet", "--filter", &filter]);
        docker(&["exec", container.trim(), "cat", path])
    };
    [ask(&|arguments| lab.docker(arguments)), ask(&|arguments| lab.docker2(arguments))]
}

fn both(text: &str) -> [String; 2] {
    [text.to_owned(), text.to_owned()]
}

#[test]
fn a_changed_file_rolls_its_services_alone_and_a_version_goes_when_no_rollback_needs_it() {
    let Some(lab) = lab() else { return };
    on_every_docker(|docker| {
        let (ops, repo) = (DockerOps::new(lab).with_docker(docker), Repo::new());
        let stack = ops.unique("rotate");
        let [reader, other] = ["reader", "other"].map(|service| format!("{stack}_{service}"));
        repo.stack(&stack, &compose(lab)).write("token", "t1").write(&format!("{stack}/site.conf"), "one");
        repo.commit("first");
        ops.run(["watch", &repo.url()]).success().stdout_has("1 deployed");
        assert_eq!(
            [read(lab, &reader, "/site"), read(lab, &reader, "/run/secrets/token")],
            [both("one"), both("t1")]
        );
        let first = names(lab, "config", &stack);
        assert!(first.len() == 1 && first[0].starts_with(&format!("{stack}_site_")), "{first:?}");
        let secret = names(lab, "secret", &stack);
        let (others, readers) = (tasks(lab, &other), tasks(lab, &reader));

        repo.write(&format!("{stack}/site.conf"), "two").commit("second");
        ops.run(["reconcile"]).success().stdout_has("1 deployed").stdout_lacks("note");
        assert_eq!(read(lab, &reader, "/site"), both("two"));
        assert_eq!(tasks(lab, &other), others, "a service that does not use it is left alone");
        assert_ne!(tasks(lab, &reader), readers);
        let second = names(lab, "config", &stack);
        assert!(second.len() == 2 && second.contains(&first[0]), "a rollback needs the first: {second:?}");
        assert_eq!(names(lab, "secret", &stack), secret);
        lab.docker(&["service", "rollback", "--detach", &reader]);
        let state = ["service", "inspect", "--format", "{{.UpdateStatus.State}}", &reader];
        wait_for("the rollback", 60, || lab.docker(&state) == "rollback_completed");
        assert_eq!(read(lab, &reader, "/site"), both("one"));
        ops.run(["reconcile"]).success().stdout_has("drifted").stdout_has("1 deployed");
        assert_eq!(read(lab, &reader, "/site"), both("two"));

        repo.write(&format!("{stack}/site.conf"), "three").write("token", "t2").commit("third");
        ops.run(["reconcile"]).success().stdout_has("1 deployed").stderr_has(&first[0]);
        let third = names(lab, "config", &stack);
        assert!(third.len() == 2 && !third.contains(&first[0]), "the first is of no use: {third:?}");
        assert_eq!(read(lab, &reader, "/run/secrets/token"), both("t2"));
        assert_eq!(names(lab, "secret", &stack).len(), 2);
        assert_eq!(tasks(lab, &other), others);
        ops.run(["reconcile"]).success().stdout_has("1 unchanged");

        ops.run(["unwatch", &repo.url()]).success();
        for kind in ["config", "secret"] {
            assert_eq!(names(lab, kind, &stack), [""; 0]);
        }
    });
}

/// A stack that costs no container, with one config.
fn small(lab: &Lab, version: &str, entry: &str) -> String {
    let image = lab.image("app:1");
    format!(
        "version: \"{version}\"\nservices: {{app: {{image: '{image}', configs: [site], deploy: {{replicas: 0}}}}}}\n\
         configs: {{site: {{{entry}}}}}\n"
    )
}

#[test]
fn what_an_earlier_release_deployed_moves_over_and_what_is_not_ours_stays() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("adopt");
    let set = |content: &str| {
        repo.stack(&stack, &small(lab, "3.8", "file: ../site")).write("site", content).commit(content)
    };
    set("one");
    let file = repo.path().join(&stack).join("docker-compose.yml");
    lab.docker(&["stack", "deploy", "--detach=true", "-c", file.to_str().unwrap(), &stack]);
    let plain = format!("{stack}_site");
    assert_eq!(names(lab, "config", &stack), [&*plain]);
    let (namesake, labelled, other) =
        (format!("{plain}_0123456789ab"), format!("{plain}s"), format!("{plain}-other"));
    let namespace = format!("com.docker.stack.namespace={stack}");
    let content = repo.path().join("site");
    let content = content.to_str().unwrap();
    lab.docker(&["config", "create", &namesake, content]);
    lab.docker(&["config", "create", "--label", &namespace, &labelled, content]);
    let foreign = ["--label", &namespace, "--label", "dockerops.repository=other"];
    lab.docker(&[&["config", "create"][..], &foreign, &[&other, content]].concat());

    ops.run(["watch", &repo.url()]).success().stdout_has("adopted");
    let before = names(lab, "config", &stack);
    assert!(before.len() == 4 && before.contains(&plain), "a rollback needs it: {before:?}");
    set("two");
    ops.run(["reconcile"]).success().stderr_has(&format!("`{plain}`")).stdout_lacks("note");
    let after = names(lab, "config", &stack);
    assert!(after.len() == 4 && !after.contains(&plain), "{after:?}");
    for kept in [&namesake, &labelled, &other] {
        lab.docker(&["config", "inspect", kept]);
    }
    lab.docker(&["config", "rm", &namesake]);
}

#[test]
fn two_stacks_that_name_the_same_file_alike_share_nothing() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let [one, two] = ["one", "two"].map(|base| ops.unique(base));
    let name = ops.unique("shared");
    let compose = small(lab, "3.8", &format!("file: ../site, name: {name}"));
    let set = |content: &str| repo.write("site", content).commit(content);
    repo.stack(&one, &compose).stack(&two, &compose);
    set("a");
    ops.run(["watch", &repo.url()]).success().stdout_has("2 deployed");
    for content in ["b", "c"] {
        set(content);
        ops.run(["reconcile"]).success().stdout_has("2 deployed");
    }
    for stack in [&one, &two] {
        let names = names(lab, "config", stack);
        assert!(
            names.len() == 2 && names.iter().all(|each| each.starts_with(&format!("{name}_"))),
            "{names:?}"
        );
    }
    repo.write("stacks.yaml", format!("- name: {two}\n")).commit("one less");
    ops.run(["reconcile"]).success().stdout_has("1 removed");
    assert_eq!((names(lab, "config", &one).len(), names(lab, "config", &two).len()), (0, 2));
}

#[test]
fn the_oldest_files_that_have_configs_and_the_longest_keys_rotate_too() {
    let Some(lab) = lab() else { return };
    for docker in docker_binaries() {
        let (ops, repo) = (DockerOps::new(lab).with_docker(&docker), Repo::new());
        let stack = ops.unique("old");
        let key = format!("site-{}-end", "x".repeat(70));
        let compose = small(lab, "3.3", "file: ../site").replace("site]", &format!("{key}]"));
        let compose = compose.replace("{site:", &format!("{{{key}:"));
        for content in ["a", "b", "c"] {
            repo.stack(&stack, &compose).write("site", content).commit(content);
            let command =
                if content == "a" { vec!["watch".into(), repo.url()] } else { vec!["reconcile".into()] };
            ops.run(command).success().stdout_has("1 deployed");
        }
        let names = names(lab, "config", &stack);
        assert!(names.len() == 2 && names.iter().all(|name| name.len() == 64), "{names:?}");
    }
}

#[test]
fn what_cannot_be_removed_is_a_note_and_is_tried_again_at_the_next_deploy_and_not_before() {
    let Some(lab) = lab() else { return };
    let fake = FakeDocker::new().does("config rm", "[[ -e $folder/go ]] || { echo stuck >&2; exit 1; }");
    let (ops, repo) = (DockerOps::new(lab).with_fake(&fake), Repo::new());
    let stack = ops.unique("stuck");
    let set = |content: &str| {
        repo.stack(&stack, &small(lab, "3.8", "file: ../site")).write("site", content).commit(content)
    };
    set("a");
    ops.run(["watch", &repo.url()]).success().stdout_lacks("note");
    let first = names(lab, "config", &stack).remove(0);
    assert_eq!(fake.calls_with(" ls --quiet"), [""; 0], "nothing to remove, nobody asked");
    set("b");
    ops.run(["reconcile"]).success().stdout_lacks("note");
    set("c");
    let outcome = ops.run(["reconcile"]);
    outcome.success().stdout_has(&format!("note      {stack} ")).stdout_has(&first).stdout_has("stuck");
    fake.release();
    fake.forget();
    ops.run(["reconcile"]).success().stdout_has("1 unchanged");
    assert_eq!(fake.calls().len(), 2, "an idle run asks for services and their specs: {:?}", fake.calls());
    set("d");
    ops.run(["reconcile"]).success().stdout_lacks("note");
    let left = names(lab, "config", &stack);
    assert!(left.len() == 2 && !left.contains(&first), "{left:?}");
    assert!(fake.calls().iter().all(|call| !call.contains("force")), "{:?}", fake.calls());
}

#[test]
fn a_swarm_that_cannot_list_them_fails_no_stack() {
    let Some(lab) = lab() else { return };
    let fake = FakeDocker::new().fails("secret ls", 1, "no secrets today");
    let (ops, repo) = (DockerOps::new(lab).with_fake(&fake), Repo::new());
    let stack = ops.unique("blind");
    repo.stack(&stack, &small(lab, "3.8", "file: ../site")).write("site", "a").commit("first");
    ops.run(["watch", &repo.url()]).success().stdout_has("note").stdout_has("no secrets today");
    ops.run(["status"]).success().stdout_lacks("no secrets today");
}
