//! What the operator does not let a repository do it does not do, however it is spelled; what runs stays.

mod random;
mod swarm;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fidelity::docker_with_stack_config;
use crate::support::dockerops::DockerOps;
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};

/// A policy for all sources, in a folder of its own.
fn policy(rules: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, format!("rules:\n- {rules}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn a_stack_that_breaks_a_rule_is_not_deployed_and_runs_on_as_it_was() {
    let Some(mut scene) = Scene::new() else { return };
    let (_folder, path) = policy("{privileges: [cap_add], placement: {may: [node.role]}}");
    scene.ops = scene.ops.env("DOCKEROPS_POLICY", &path);
    let (web, other) = (scene.stack("web", &scene.off()), scene.stack("other", &scene.off()));
    scene.watch().success();
    let specs = scene.lab.specs(&web);
    scene.change(&web, &scene.off().with("volumes: ['/etc:/host']").with("environment: {A: '2'}"));
    scene.change(&other, &scene.off().with("cap_add: [NET_ADMIN]"));
    let outcome = scene.push();
    outcome.failure(3).stdout_has("1 deployed").stdout_has(&format!("{web}/docker-compose.yml:"));
    outcome.stdout_has("`services.app.volumes`: `/etc` is no path that may be mounted (none may be); forbidden by `mounts` in ");
    outcome.stdout_has(&format!("{path}:2"));
    assert_eq!(scene.lab.specs(&web), specs);
    assert_eq!(scene.status(&web)["status"], "error");
    // The operator says more, and the same commit is deployed.
    fs::write(&path, "rules: [{mounts: [/etc], privileges: [cap_add]}]\n").unwrap();
    scene.reconcile().success().stdout_has("1 deployed");
    // A policy that says less takes away nothing that runs.
    let specs = scene.lab.specs(&web);
    fs::write(&path, "rules: [{stacks: [none]}]\n").unwrap();
    let outcome = scene.reconcile();
    outcome.failure(3).stdout_has("is no name that its stacks may have (`none`); forbidden by `stacks`");
    assert_eq!(scene.lab.specs(&web), specs);
    // Nor does one that has no rules for the source, or is wrong.
    fs::write(&path, "rules: [{sources: [github.com/acme/*]}]\n").unwrap();
    scene.run(&["reconcile"]).failure(3).stdout_has("has no rules for");
    fs::write(&path, "rules: [{stack: a}]\n").unwrap();
    for command in
        [&["reconcile"][..], &["reconcile", "--dry-run"], &["unwatch", &scene.repo.url()], &["stop", "--yes"]]
    {
        scene.run(command).failure(1).error_has("`rules 1.stack`: unknown key");
    }
    scene.run(&["status"]).failure(3).stdout_has(&web).error_has("`rules 1.stack`: unknown key");
    assert_eq!(scene.lab.specs(&web), specs);
    fs::write(&path, "rules: [{}]\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    scene.run(&["reconcile"]).failure(1).error_has("may be written to by others than root");
    scene.ops = scene.ops.env("DOCKEROPS_POLICY", "policy.yaml");
    scene.run(&["reconcile"]).failure(1).error_has("`DOCKEROPS_POLICY` is relative");
}

#[test]
fn bindings_lie_where_the_policy_lets_them_and_nothing_is_written_before() {
    let Some(mut scene) = Scene::new() else { return };
    let nfs = tempfile::tempdir().unwrap();
    let place = nfs.path().display().to_string();
    let (_folder, path) = policy("{}");
    scene.ops = scene.ops.env("DOCKEROPS_POLICY", &path);
    scene.repo.write("nfs.yaml", format!("path: {place}\n")).write("conf/a", "a").write("data/b", "b");
    scene.repo.write(
        "volumes.yaml",
        "- {id: conf, type: binding, path: conf}\n- {id: data, type: binding, path: data}\n",
    );
    let web = scene.stack("web", &scene.off().with("volumes: ['conf:/conf:ro']"));
    let other = scene.stack("other", &scene.off().with("volumes: ['data:/data']"));
    scene.repo.commit("first");
    let outcome = scene.run(&["watch", &scene.repo.url()]);
    outcome.failure(1).error_has("`path`: `").error_has("forbidden by `mounts`");
    // What may be read alone is not written to.
    fs::write(&path, format!("rules: [{{mounts: ['{place}/conf:ro']}}]\n")).unwrap();
    let outcome = scene.run(&["watch", &scene.repo.url()]);
    outcome
        .failure(3)
        .stdout_has(&format!("{place}/conf` may be read alone (`:ro`), and a binding is written"));
    assert!(!nfs.path().join("conf").exists());
    fs::write(&path, format!("rules: [{{mounts: ['{place}/conf']}}]\n")).unwrap();
    let outcome = scene.reconcile();
    outcome
        .failure(3)
        .stdout_has("1 deployed")
        .stdout_has(&format!("{place}/data` is no path that may be mounted"));
    assert!(nfs.path().join("conf/a").exists() && !nfs.path().join("data").exists(), "{web}");
    fs::write(&path, format!("rules: [{{mounts: ['{place}/*']}}]\n")).unwrap();
    scene.reconcile().success();
    assert!(nfs.path().join("data/b").exists(), "{other}");
}

#[test]
fn variables_secrets_and_builds_are_held_to_it() {
    let (ops, repo) = (DockerOps::without_docker(), Repo::new());
    let at = repo.path().display().to_string();
    let (_folder, path) =
        policy("{variables: [APP_*], secrets: [web-*], images: [app, 'docker.io/library/*'], builds: false}");
    repo.write("images.yaml", "- {name: 'own:1', context: ., push: false}\n")
        .write("Dockerfile", "FROM scratch\n");
    repo.write("web/.env", "SET=1\nFROM=${TOKEN}\n")
        .write("web/secrets.yaml", "- {secret: web-key, env: A}\n- {secret: db-key, env: B}\n");
    repo.write("web/x.env", "PASSED\n");
    repo.stack(
        "web",
        "services:\n  app:\n    image: 'nginx:${APP_TAG}'\n    env_file: x.env\n    environment:\n      - TOKEN\n      - SET\n    \
         hostname: '${SET}-${NOT:-default}-${HOST}'\n    user: '${USER:?name it}'\n",
    );
    repo.commit("first");
    let run = || ops.run(["validate", &at, "--policy", &path, "--source", "/srv/x"]);
    let outcome = run();
    outcome.failure(1);
    for wanted in [
        "images.yaml:1: `own:1`: may not be built: nothing may; forbidden by `builds`",
        "web/.env:2: `TOKEN`: wants the variable `TOKEN` of the daemon, which the policy does not let it read (`variables`)",
        "`services.app.hostname`: wants the variable `HOST`",
        "`services.app.user`: wants the variable `USER`",
    ] {
        outcome.stdout_has(wanted);
    }
    outcome.stdout_lacks("variable `NOT`").stdout_lacks("variable `SET`").stdout_lacks("variable `APP_TAG`");
    repo.remove("images.yaml").write("web/.env", "SET=1\nTOKEN=t\nHOST=h\nUSER=u\nPASSED=p\n");
    let outcome = run();
    outcome.failure(1).stdout_has("web/secrets.yaml: `secrets.db-key`: `db-key` is not among those of others that may be used (`web-*`)");
    outcome.stdout_lacks("TOKEN").stdout_lacks("web-key`:");
    // It says for which source, and that it could not be told.
    let run = |more: &[&str]| ops.run([&["validate", &at, "--policy", &path], more].concat());
    run(&[]).failure(1).error_has("no remote `origin`");
    repo.git(["remote", "add", "origin", "https://user:token@github.com/acme/web.git"]);
    run(&[]).failure(1).stdout_has("db-key").stdout_lacks("user:");
    run(&[]).stdout_has(&format!("{path}:2: has the rules that this is held to"));
    ops.run(["validate", &at, "--source", "/srv/x"]).failure(2);
    fs::write(&path, "rules: [{sources: ['gitlab.com/**']}]\n").unwrap();
    run(&[]).failure(1).error_has("has no rules for `https://github.com/acme/web");
    fs::write(&path, "rules: {}\n").unwrap();
    run(&[]).failure(1).error_has("must be a list with what sources may do").stderr_lacks("until then");
}

#[test]
fn the_place_of_a_violation_is_told_in_the_file_that_has_it() {
    let Some(docker) = docker_with_stack_config() else { return };
    let (ops, repo) = (DockerOps::without_docker().with_docker(&docker), Repo::new());
    let (_folder, path) = policy("{}");
    repo.write("stacks.yaml", "- {name: web, compose: [docker-compose.yml, over.yml]}\n");
    repo.write(
        "web/docker-compose.yml",
        "version: '3.8'\nx-a: &a\n  cap_add: [SYS_ADMIN]\nservices:\n  app:\n    image: x\n",
    );
    repo.write(
        "web/over.yml",
        "version: '3.8'\nservices:\n  app:\n    hostname: h\n    volumes:\n    - /:/host\n",
    );
    repo.commit("first");
    let at = repo.path().display().to_string();
    let run = || ops.run(["validate", &at, "--policy", &path, "--source", "/srv/x"]);
    run().failure(1).stdout_has("web/over.yml:5: `services.app.volumes`: `/` is no path that may be mounted");
    repo.write("web/over.yml", "version: '3.8'\nservices:\n  app:\n    hostname: h\n");
    run().success();
    let (_other, others) = policy("{secrets: []}");
    let over =
        "version: '3.8'\nservices:\n  app:\n    hostname: h\nsecrets:\n  s: {external: true, name: theirs}\n";
    repo.write("web/over.yml", over);
    let outcome = ops.run(["validate", &at, "--policy", &others, "--source", "/srv/x"]);
    outcome.failure(1).stdout_has("web/over.yml:6: `secrets.s`: `theirs` is not among those of others");
    repo.write("web/over.yml", "version: '3.8'\nservices:\n  app:\n    hostname: h\n");
    repo.write(
        "web/docker-compose.yml",
        "version: '3.8'\nx-a: &a\n  cap_add: [SYS_ADMIN]\nservices:\n  app:\n    image: x\n    <<: *a\n",
    );
    run()
        .failure(1)
        .stdout_has("web/docker-compose.yml:3: `services.app.cap_add`: `cap_add` gives power over a node");
    let web = compose([("app", &crate::support::scene::App::new("x").with("privileged: true"))]);
    repo.write("stacks.yaml", "- name: web\n").write("web/docker-compose.yml", web);
    run().failure(1).stdout_has(
        "`services.app.privileged`: `privileged: true` gives power over a node; forbidden by `privileges`",
    );
}
