//! Files of a repository, bind-mounted into services on every node.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab};
use crate::support::repo::Repo;

/// A repository with a binding `site` (folder `site`), and where it is copied to.
fn site() -> (Repo, TempDir) {
    let (repo, nfs) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.write("volumes.yaml", "- id: site\n  type: binding\n  path: site\n");
    repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display())).write("site/index", "one");
    (repo, nfs)
}

/// `app` mounts the binding on every node, `other` does not.
fn two_services(image: &str) -> String {
    format!(
        "version: '3.8'\nservices:\n  app:\n    image: {image}\n    volumes: ['site:/site']\n    deploy:\n      mode: global\n  \
         other:\n    image: {image}\n"
    )
}

/// The task ids of a service that are to run.
fn tasks(lab: &Lab, service: &str) -> String {
    lab.docker(&["service", "ps", "-q", "--filter", "desired-state=running", service])
}

/// What `sh -c script` says in the service's container, on each node.
fn on_both(lab: &Lab, service: &str, script: &str) -> [String; 2] {
    let filter = format!("name={service}");
    let list = ["ps", "-q", "--filter", &filter];
    [
        lab.docker(&["exec", &lab.docker(&list), "sh", "-c", script]),
        lab.docker2(&["exec", &lab.docker2(&list), "sh", "-c", script]),
    ]
}

#[test]
fn both_nodes_read_the_files_and_only_their_users_are_restarted() {
    let Some(lab) = lab() else { return };
    let (ops, (repo, nfs)) = (DockerOps::new(lab), site());
    let stack = ops.unique("web");
    let (app, other) = (format!("{stack}_app"), format!("{stack}_other"));
    repo.stack(&stack, &two_services(&lab.image("app:1"))).commit("One");
    ops.run(["watch", &repo.url()]).success();
    assert_eq!(on_both(lab, &app, "cat /site/index; echo log > /site/log.$(hostname)"), ["one", "one"]);
    let before = (tasks(lab, &app), tasks(lab, &other));

    repo.write("unrelated", "x").commit("Touch nothing that runs");
    ops.run(["reconcile"]).success();
    assert_eq!((tasks(lab, &app), tasks(lab, &other)), before);

    repo.remove("site/index").write("site/page", "two").commit("Two");
    ops.run(["reconcile"]).success().stdout_has("1 deployed");
    assert_ne!(tasks(lab, &app), before.0);
    assert_eq!(tasks(lab, &other), before.1);
    assert_eq!(on_both(lab, &app, "cat /site/page; ls /site | grep -c log"), ["two2", "two2"]);
    assert!(!nfs.path().join("site/index").exists());

    ops.run(["unwatch", &repo.url()]).success().stdout_has("what containers wrote stays in");
    assert!(!nfs.path().join("site/page").exists());
    let logs = fs::read_dir(nfs.path().join("site")).unwrap();
    assert_eq!(
        logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect::<String>(),
        "log\nlog\n"
    );
}

#[test]
fn a_binding_that_becomes_a_part_of_another_or_gets_parts_keeps_its_files() {
    let Some(lab) = lab() else { return };
    let (ops, (repo, nfs)) = (DockerOps::new(lab), site());
    let stack = ops.unique("web");
    let write = |ids: &[(&str, &str)]| {
        let entry = |(id, path): &(&str, &str)| format!("- {{id: {id}, type: binding, path: {path}}}\n");
        repo.write("volumes.yaml", ids.iter().map(entry).collect::<Vec<_>>().concat());
        let mounts: Vec<_> = ids.iter().map(|(id, _)| format!("'{id}:/{id}'")).collect();
        let (image, mounts) = (lab.image("app:1"), mounts.join(", "));
        let app = format!("{{image: {image}, volumes: [{mounts}], deploy: {{replicas: 0}}}}");
        repo.stack(&stack, &format!("version: '3.8'\nservices: {{app: {app}}}\n")).commit("Next");
    };
    let files = || {
        let read = |path: &str| fs::read_to_string(nfs.path().join(path)).unwrap_or_default();
        ["site/index", "site/a/x", "site/a/y", "site/b/z"].map(read).join(",")
    };
    repo.write("site/a/x", "x1").write("site/a/y", "y1").write("site/b/z", "z1");
    write(&[("site", "site")]);
    ops.run(["watch", &repo.url()]).success();
    assert_eq!(files(), "one,x1,y1,z1");
    // Narrower: what changed or left in the same commit is known to be ours.
    repo.write("site/a/x", "x2").remove("site/a/y");
    write(&[("part", "site/a"), ("rest", "site/b")]);
    ops.run(["reconcile"]).success().stderr_has("is part of another binding now").stdout_lacks("was kept as");
    assert_eq!(files(), ",x2,,z1");
    // Wider.
    repo.remove("site/b/z");
    write(&[("site", "site")]);
    ops.run(["reconcile"]).success();
    assert_eq!(files(), "one,x2,,");
    // The same folder by another name.
    let alias = nfs.path().with_extension("alias");
    std::os::unix::fs::symlink(nfs.path(), &alias).unwrap();
    repo.write("nfs.yaml", format!("path: {}\n", alias.display()));
    write(&[("site", "site")]);
    ops.run(["reconcile"]).success();
    fs::remove_file(&alias).unwrap();
    assert_eq!(files(), "one,x2,,");
    // All of it is still known.
    std::os::unix::fs::symlink(nfs.path(), &alias).unwrap();
    ops.run(["unwatch", &repo.url()]).success();
    fs::remove_file(&alias).unwrap();
    assert_eq!(files(), ",,,");
}

#[test]
fn a_binding_that_left_goes_after_its_stack_converged_and_an_unused_one_is_not_copied() {
    let Some(lab) = lab() else { return };
    let (ops, (repo, nfs)) = (DockerOps::new(lab), site());
    let stack = ops.unique("web");
    let with = |volumes: &str| {
        format!(
            "version: '3.8'\nservices: {{app: {{image: {}, {volumes} deploy: {{replicas: 0}}}}}}\n",
            lab.image("app:1")
        )
    };
    repo.stack(&stack, &with("")).commit("Unused");
    ops.run(["watch", &repo.url()]).success().stdout_has("this binding is not copied: no service mounts it");
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 0);
    repo.stack(&stack, &with("volumes: ['site:/s:ro'],")).commit("Used");
    ops.run(["reconcile", "--dry-run"]).success();
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 0);
    ops.run(["reconcile"]).success();
    assert_eq!(fs::read_to_string(nfs.path().join("site/index")).unwrap(), "one");
    let mounts = lab.docker(&[
        "service",
        "inspect",
        "--format",
        "{{json .Spec.TaskTemplate.ContainerSpec.Mounts}}",
        &format!("{stack}_app"),
    ]);
    assert!(mounts.contains(&format!("{}/site", nfs.path().display())), "{mounts}");
    assert!(mounts.contains("\"ReadOnly\":true") && mounts.contains("\"bind\""), "{mounts}");
    repo.stack(&stack, &with("")).remove("volumes.yaml").commit("Gone");
    ops.run(["reconcile"]).success().stdout_has("no service mounts them any more");
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 0);
}

#[test]
fn files_of_a_binding_that_left_and_cannot_be_removed_hold_up_nobody() {
    let Some(lab) = lab() else { return };
    let ((repo, nfs), other) = (site(), Repo::new());
    let place = nfs.path().join("site");
    let place = place.display();
    let script = format!(
        "[[ ! -e $state/read-only ]] || {{ mount --bind {place} {place}; mount -o remount,bind,ro {place}; }}; \"$@\""
    );
    let ops = DockerOps::new(lab).with_mounts(&script);
    let read_only = ops.database().with_file_name("read-only");
    let (stack, beside) = (ops.unique("web"), ops.unique("beside"));
    let with = |more: &str| {
        format!(
            "version: '3.8'\nservices: {{app: {{image: {}, {more} deploy: {{replicas: 0}}}}}}\n",
            lab.image("app:1")
        )
    };
    repo.stack(&stack, &with("volumes: ['site:/s'],")).commit("One");
    other.stack(&beside, &with("")).commit("One");
    ops.run(["watch", &repo.url()]).success();
    ops.run(["watch", &other.url()]).success();

    repo.stack(&stack, &with("")).remove("volumes.yaml").commit("Dropped");
    other.stack(&beside, &with("environment: {A: '2'},")).commit("Two");
    fs::write(&read_only, "").unwrap();
    let said = ops.run(["reconcile"]);
    said.success().stdout_has("its copied files could not be removed").stdout_has("Read-only file system");
    said.stdout_has(&format!("deployed  {stack} ")).stdout_has(&format!("deployed  {beside} "));
    assert!(nfs.path().join("site/index").exists());
    fs::remove_file(&read_only).unwrap();
    repo.write("unrelated", "x").commit("Next");
    ops.run(["reconcile"]).success().stdout_has("no service mounts them any more").stdout_has("2 unchanged");
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 0);
}

#[test]
fn two_sources_cannot_bind_to_one_place() {
    let Some(lab) = lab() else { return };
    let (ops, (one, nfs), (two, _)) = (DockerOps::new(lab), site(), site());
    let (first, second) = (ops.unique("one"), ops.unique("two"));
    let compose = format!(
        "version: '3.8'\nservices: {{app: {{image: {}, volumes: ['site:/s'], deploy: {{replicas: 0}}}}}}\n",
        lab.image("app:1")
    );
    one.stack(&first, &compose).commit("One");
    two.write("nfs.yaml", format!("path: {}\n", nfs.path().display())).write("site/deep/x", "two");
    two.write("volumes.yaml", "- id: site\n  type: binding\n  path: site/deep\n");
    two.stack(&second, &compose).commit("Two");
    ops.run(["watch", &one.url()]).success();
    let outcome = ops.run(["watch", &two.url()]);
    outcome.failure(3).stdout_has(&one.url()).stdout_has(&two.url()).stdout_has("lie inside one another");
    assert!(!nfs.path().join("site/deep").exists());
    ops.run(["reconcile", "--dry-run"]).failure(3).stdout_has("lie inside one another");
}

#[test]
fn a_copy_killed_half_way_is_finished_by_the_next_run() {
    const FILES: usize = 3_000;
    let Some(lab) = lab() else { return };
    let (ops, (repo, nfs)) = (DockerOps::new(lab), site());
    let stack = ops.unique("web");
    let compose = format!(
        "version: '3.8'\nservices: {{app: {{image: {}, volumes: ['site:/s'], deploy: {{replicas: 0}}}}}}\n",
        lab.image("app:1")
    );
    for number in 0..FILES {
        repo.write(&format!("site/{}/{number}", number % 7), "text");
    }
    repo.stack(&stack, &compose).commit("Many files");
    let copied = || {
        walkdir::WalkDir::new(nfs.path())
            .into_iter()
            .filter(|e| e.as_ref().unwrap().file_type().is_file())
            .count()
    };
    let run = ops.spawn(["watch", &repo.url()]);
    let begun = Instant::now();
    while !nfs.path().join("site/1").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the copy never began");
        sleep(Duration::from_millis(1));
    }
    run.signal(Signal::KILL);
    assert_eq!(run.wait().code, -9);
    let before = copied();
    assert!(before < FILES, "it was over before it was killed");
    ops.run(["reconcile"]).success().stdout_lacks("was kept as");
    assert_eq!(copied(), FILES + 1);
    ops.run(["unwatch", &repo.url()]).success();
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 0);
}

#[test]
fn files_reach_a_folder_where_another_file_system_is_mounted() {
    let Some(lab) = lab() else { return };
    let (repo, nfs) = site();
    let deep = nfs.path().join("site/deep");
    fs::create_dir_all(&deep).unwrap();
    let script = format!(
        "mount -t tmpfs none {0}; code=0; \"$@\" || code=$?; cd {0}; echo \"in it: $(ls -A) $(cat x)\"; exit $code",
        deep.display()
    );
    let ops = DockerOps::new(lab).with_mounts(&script);
    let stack = ops.unique("web");
    let compose = format!(
        "version: '3.8'\nservices: {{app: {{image: {}, volumes: ['site:/s'], deploy: {{replicas: 0}}}}}}\n",
        lab.image("app:1")
    );
    repo.write("site/deep/x", "text").symlink("site/deep/y", "x").stack(&stack, &compose).commit("Deep");
    ops.run(["watch", &repo.url()]).success().stdout_has("in it: x\ny text");
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 1);
}

#[test]
fn a_volume_is_the_docker_volume_of_its_name() {
    let Some(lab) = lab() else { return };
    for version in ["3.8", "3.3"] {
        let (ops, repo) = (DockerOps::new(lab), Repo::new());
        let stack = ops.unique("web");
        let volume = format!("{stack}-data");
        repo.write("volumes.yaml", format!("- {{id: data, type: volume, path: {volume}}}\n"));
        let compose = format!(
            "version: '{version}'\nservices: {{app: {{image: {}, volumes: ['data:/d'], deploy: {{replicas: 0}}}}}}\n",
            lab.image("app:1")
        );
        repo.stack(&stack, &compose).commit("One");
        ops.run(["watch", &repo.url()]).success();
        let format = "{{(index .Spec.TaskTemplate.ContainerSpec.Mounts 0).Source}}";
        let source = lab.docker(&["service", "inspect", "--format", format, &format!("{stack}_app")]);
        assert_eq!(source, volume);
    }
}

#[test]
fn wrong_files_are_all_named_and_nothing_is_touched() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("keep"), "safe").unwrap();
    let (repo, nfs) = site();
    repo.stack("web", "services: {app: {image: app, volumes: ['site:/s', './conf:/c']}}\n");
    repo.symlink("out", outside.path()).symlink("site/link", outside.path().join("keep"));
    repo.write(
        "volumes.yaml",
        "- {id: site, type: binding, path: site}\n- {id: up, type: binding, path: ../x}\n\
         - {id: abs, type: binding, path: /etc}\n- {id: dot, type: binding, path: .}\n\
         - {id: out, type: binding, path: out/deep}\n- {id: a/b, type: volume, path: ab}\n",
    );
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).limit(30);
    repo.commit("Wrong");
    let outcome = ops.run(["watch", &repo.url()]);
    outcome.failure(1).error_has("mistakes, nothing was deployed");
    for what in [
        "volumes.yaml:2: `entry 2.path`: the path `../x` leads out",
        "volumes.yaml:3: `entry 3.path`: the path `/etc` is absolute",
        "volumes.yaml:4: `entry 4.path`: is the whole repository",
        "volumes.yaml:5: `entry 5.path`",
        "volumes.yaml:6: `entry 6.id`: `a/b` is no id",
        "site: `site`: the symlink `site/link` leads to",
        "{id: conf, type: binding, path: …}",
    ] {
        outcome.stderr_has(what);
    }
    repo.remove("nfs.yaml").commit("No nfs");
    ops.run(["watch", &repo.url()]).failure(1).stderr_has("is a binding, which needs `nfs.yaml`");
    assert_eq!(fs::read_dir(nfs.path()).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(outside.path().join("keep")).unwrap(), "safe");
    ops.remembers_nothing();
}
