//! What docs/coming-from promises to those who move a running stack.

use std::fs;

use crate::documents::{block, tour};
use crate::support::repo::Repo;
use crate::support::scene::{Scene, compose};
use crate::support::{try_stdout_of, wait_for};

#[test]
fn a_stack_deployed_by_ci_is_adopted_and_only_what_has_configs_rolls() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("ci");
    let with_config = scene.on().with("configs: [site]");
    let file = compose([("plain", &scene.on()), ("site", &with_config)])
        + "configs:\n  site:\n    file: site.conf\n";
    scene.repo.write(&format!("{stack}/site.conf"), "one\n").stack(&stack, &file);
    let path = scene.repo.path().join(&stack).join("docker-compose.yml");
    scene.lab.docker(&["stack", "deploy", "--with-registry-auth", "-c", path.to_str().unwrap(), &stack]);
    let replicas = ["stack", "services", "--format", "{{.Replicas}}", &stack];
    wait_for("its tasks", 60, || scene.lab.docker(&replicas) == "1/1\n1/1");
    let task = |service: &str| {
        let call =
            ["service", "ps", "-q", "--filter", "desired-state=running", &format!("{stack}_{service}")];
        scene.lab.docker(&call)
    };
    let (plain, site) = (task("plain"), task("site"));
    scene.repo.commit("As CI deployed it");

    let url = scene.repo.url();
    scene.run(&["watch", "--dry-run", &url]).success();
    assert_eq!((task("plain"), task("site")), (plain.clone(), site.clone()), "a dry run");
    scene.run(&["watch", &url]).success();
    assert_eq!(task("plain"), plain, "it was restarted");
    assert_ne!(task("site"), site);
    let configs =
        scene.lab.docker(&["config", "ls", "--format", "{{.Name}}", "--filter", &format!("name={stack}")]);
    assert!(configs.lines().any(|name| name.starts_with(&format!("{stack}_site_"))), "{configs}");

    let adopted = task("site");
    scene.run(&["unwatch", "--keep-stacks", &url]).success();
    assert_eq!((task("plain"), task("site")), (plain, adopted), "the way back");
}

#[test]
fn the_secrets_of_the_earlier_dockerops_become_those_of_the_swarm() {
    let Some(scene) = Scene::new() else { return };
    let (place, repo, secret) = (tempfile::tempdir().unwrap(), Repo::new(), scene.ops.unique("password"));
    fs::create_dir(place.path().join("secrets")).unwrap();
    fs::write(place.path().join("secrets").join(&secret), "s3cret").unwrap();
    let script = block("sh secrets").replace("/secrets/", &format!("{}/secrets/", place.path().display()));
    try_stdout_of(&mut tour::shell(&scene.ops, scene.lab.docker_host(), place.path(), &script)).unwrap();
    let stack = scene.ops.unique("earlier");
    let shows = scene.on().shell("echo it is $$DB_PASSWORD; exec sleep 900");
    repo.stack(&stack, &compose([("app", &shows)]));
    repo.write(&format!("{stack}/secrets.yaml"), format!("- id: {secret}\n  env: DB_PASSWORD\n"))
        .commit("first");
    scene.run(&["watch", &repo.url()]).success();
    wait_for("its log", 60, || scene.ops.run(["logs", &stack]).stdout.contains("it is s3cret"));
    scene.run(&["unwatch", &repo.url()]).success();
    scene.lab.docker(&["secret", "rm", &secret]);
}
