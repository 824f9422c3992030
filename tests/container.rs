//! The container image, built and run on the Swarm with stand-ins for its base images: no public registry is asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::release::release;
use crate::support::lab::{Lab, docker_binaries, lab};
use crate::support::{command, stdout_of, try_stdout_of, unique, wait_for};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// An image of the lab's registry's name, built of `folder` by the builder that needs no plugin.
fn build(lab: &Lab, folder: &Path, arguments: &[&str]) -> String {
    let mut docker = command("docker");
    docker.env("DOCKER_BUILDKIT", "0").env("DOCKER_HOST", lab.docker_host()).env("HOME", folder);
    stdout_of(docker.args(["build", "--quiet"]).args(arguments).arg(folder)).trim().to_owned()
}

/// What the Dockerfile calls its base image.
fn base(argument: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join("Dockerfile")).unwrap();
    let name =
        text.lines().find_map(|line| line.strip_prefix("ARG ")?.strip_prefix(argument)?.strip_prefix('='));
    name.unwrap_or_else(|| panic!("no `ARG {argument}=`")).to_owned()
}

/// What Alpine and docker's image hold that the Dockerfile needs, under their names: busybox, an `apk` with nothing to
/// do, the docker CLI.
fn stand_ins(lab: &Lab, folder: &Path) {
    let [alpine, docker] = ["alpine", "docker"].map(|name| folder.join(name));
    fs::create_dir_all(&alpine).unwrap();
    fs::write(alpine.join("apk"), "#!/bin/sh\nexit 0\n").unwrap();
    let text = format!(
        "FROM {}\nCOPY apk /sbin/apk\nRUN chmod +x /sbin/apk && mkdir -p /root\nSTOPSIGNAL SIGTERM\n",
        lab.image("base")
    );
    fs::write(alpine.join("Dockerfile"), text).unwrap();
    fs::create_dir_all(docker.join("root/usr/local/bin")).unwrap();
    fs::copy(&docker_binaries()[0], docker.join("root/usr/local/bin/docker")).unwrap();
    fs::write(docker.join("Dockerfile"), "FROM scratch\nCOPY root /\n").unwrap();
    for (name, folder) in [("ALPINE", alpine), ("DOCKER", docker)] {
        build(lab, &folder, &["--tag", &base(name)]);
    }
}

/// The image of the Dockerfile, with the program of the release.
pub fn image(lab: &Lab) -> String {
    let folder = tempfile::tempdir().unwrap();
    stand_ins(lab, folder.path());
    let context = folder.path().join("context");
    fs::create_dir_all(context.join("deploy")).unwrap();
    for file in ["Dockerfile", "deploy/entrypoint.sh"] {
        fs::copy(Path::new(ROOT).join(file), context.join(file)).unwrap();
    }
    stdout_of(command("cp").arg("-r").arg(release()).arg(context.join("dist")));
    build(lab, &context, &["--target", "released", "--build-arg", "VERSION=v1.2.3"])
}

#[test]
fn the_image_is_built_and_runs_every_subcommand() {
    let Some(lab) = lab() else { return };
    let (folder, image) = (tempfile::tempdir().unwrap(), image(lab));
    let inspected: serde_json::Value =
        serde_json::from_str(&lab.docker(&["image", "inspect", &image])).unwrap();
    let config = &inspected[0]["Config"];
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], "v1.2.3");
    assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(config["Cmd"], serde_json::json!(["run"]));
    assert!(config["Healthcheck"]["Test"][1].as_str().unwrap().contains("/healthz"));
    assert!(config["Volumes"].as_object().unwrap().contains_key("/data"));

    let version = concat!("dockerops ", env!("CARGO_PKG_VERSION"));
    for words in [&["version"][..], &["dockerops", "version"]] {
        let said = lab.docker(&[&["run", "--rm", &image][..], words].concat());
        assert_eq!(said.lines().next().unwrap(), version);
    }
    // The docker CLI of the image, at the socket as the stack file mounts it.
    let socket = format!("{}:/var/run/docker.sock", lab.docker_host().strip_prefix("unix://").unwrap());
    let run = |more: &[&str], words: &[&str]| {
        lab.try_docker(&[&["run", "--rm", "--volume", &socket][..], more, &[&image], words].concat())
    };
    let said = run(&[], &["reconcile"]).unwrap_err();
    assert!(said.contains("No repositories found in cache"), "{said}");
    let said = run(&[], &["debug-cache"]).unwrap_err();
    assert!(said.contains("`/data/dockerops.db`"), "{said}");
    let said = run(&[], &["dockerops", "status"]).unwrap_err();
    assert!(said.contains("No repositories found in cache"), "{said}");
    // A secret that holds nothing but a line end is an error that names it, so it is read; the environment wins.
    let secret = folder.path().join("token");
    fs::write(&secret, "\n").unwrap();
    let secret = format!("{}:/run/secrets/github_token:ro", secret.display());
    let refused = run(&["--volume", &secret], &["reconcile"]).unwrap_err();
    assert!(
        refused.contains("`/run/secrets/github_token`, which `GITHUB_TOKEN_FILE` names, is empty"),
        "{refused}"
    );
    let said = run(&["--volume", &secret, "--env", "GITHUB_TOKEN=t"], &["reconcile"]).unwrap_err();
    assert!(said.contains("No repositories found in cache"), "{said}");

    let files = |image: &str| {
        let find = ["--entrypoint", "find", image, "/", "-xdev", "-type", "f"];
        let found = lab.docker(&[&["run", "--rm"][..], &find].concat());
        found.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let added: Vec<_> = files(&image).difference(&files(&base("ALPINE"))).cloned().collect();
    assert_eq!(added, ["docker", "dockerops", "entrypoint.sh"].map(|name| format!("/usr/local/bin/{name}")));

    // Its own command and health check; of the latter only the pace is another.
    let name = unique("daemon");
    let options = ["run", "--detach", "--name", &name, "--health-interval=1s", "--volume", &socket, &image];
    lab.docker(&options);
    let state = |field: &str| lab.docker(&["inspect", "--format", &format!("{{{{.State.{field}}}}}"), &name]);
    wait_for("the health check", 60, || state("Health.Status") == "healthy");
    assert_eq!(lab.docker(&["exec", &name, "cat", "/proc/1/comm"]), "dockerops");
    lab.docker(&["stop", "--time", "30", &name]);
    assert_eq!(state("ExitCode"), "0");
    assert!(lab.docker(&["logs", &name]).contains("stopped "), "it was told by the signal");
    lab.docker(&["rm", "--volumes", &name]);
    let _ = lab.try_docker(&["image", "rm", "--force", &image]);
}

#[test]
fn docker_takes_the_stack_file_and_it_never_runs_two() {
    let Some(lab) = lab() else { return };
    let file = format!("{ROOT}/deploy/dockerops-stack.yml");
    let mut config = command(&docker_binaries()[0]);
    config.args(["stack", "config", "-c", &file]).env("DOCKER_HOST", lab.docker_host());
    let text = try_stdout_of(&mut config).unwrap();
    let stack: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    let service = &stack["services"]["dockerops"];
    assert_eq!(service["deploy"]["replicas"], 1);
    assert_eq!(service["deploy"]["update_config"]["order"], "stop-first");
    assert_eq!(service["deploy"]["rollback_config"]["order"], "stop-first");
    assert_eq!(service["deploy"]["placement"]["constraints"][0], "node.role == manager");
    assert_eq!(service["secrets"][0]["source"], "github_token");
    assert!(service["deploy"]["resources"]["limits"]["memory"].is_string());
    let image = service["image"].as_str().unwrap();
    assert_eq!(image, concat!("ghcr.io/tombedinovt/dockerops:v", env!("CARGO_PKG_VERSION")));
}
