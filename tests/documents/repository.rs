//! What a repository is made of: the examples are deployed, planned or validated.

use std::fs;

use chrono::{TimeDelta, Utc};

use super::block;
use crate::support::dockerops::DockerOps;
use crate::support::lab::lab;
use crate::support::repo::Repo;

#[test]
fn the_manifest_and_the_compose_file_are_taken() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let compose = block("yaml compose");
    // Its window is closed whenever this runs.
    let closed = Utc::now() + TimeDelta::hours(2);
    let closed = format!("{}-{}", closed.format("%H:%M"), (closed + TimeDelta::hours(1)).format("%H:%M"));
    let stacks = block("yaml stacks.yaml").replace("Mon-Thu 22:00-06:00 Europe/Zurich", &closed);
    repo.write("stacks.yaml", &stacks);
    for folder in ["db", "web", "Metrics and Logs", "shop", "payments"] {
        repo.write(&format!("{folder}/compose.yml"), &compose).write(&format!("{folder}/app.env"), "A=1\n");
    }
    repo.write("web/secrets.yaml", block("yaml secrets.yaml"));
    repo.write("images.yaml", block("yaml images.yaml")).write("docker/Jobs", "");
    for folder in ["web", "jobs", "tools", "old"] {
        repo.write(&format!("{folder}/Dockerfile"), "");
    }
    repo.write("shared/site.conf", "x").commit("As the README has it");
    // Watched once with everything disabled, then only looked at: these names are not this test's alone.
    repo.write("stacks.yaml", "- {name: db, enabled: false}\n")
        .write("images.yaml", "[]")
        .commit("Nothing runs");
    ops.run(["watch", &repo.url()]).success();
    repo.write("stacks.yaml", stacks)
        .write("images.yaml", block("yaml images.yaml"))
        .commit("Everything runs");
    let plan = ops.run(["reconcile", "--dry-run"]);
    for stack in ["db", "metrics-and-logs"] {
        plan.failure(3).stdout_has(&format!("{stack}  deploy: new"));
    }
    // The secrets of the README are none of the lab's.
    plan.stdout_has("web  not deployed: `secrets.yaml` names secrets that do not exist")
        .stdout_has("held by `hold` in `stacks.yaml`: until the bank has moved")
        .stdout_has("3 to build, 2 to deploy")
        .stdout_has("2 on hold");
}

#[test]
fn the_environments_are_two_stacks() {
    let Some(lab) = lab() else { return };
    let Some(docker) = crate::fidelity::docker_with_stack_config() else { return };
    let (ops, repo) = (DockerOps::new(lab).with_docker(&docker), Repo::new());
    let (dev, prod) = (ops.unique("dev"), ops.unique("prod"));
    let compose = crate::support::repo::one_service(&lab.image("app:1"), 0) + "    hostname: '${HOST}'\n";
    repo.write("stacks.yaml", block("yaml environments").replace("web-dev", &dev).replace("web-prod", &prod))
        .write("web/docker-compose.yml", compose)
        .write("web/prod.yml", "version: '3.8'\nservices: {app: {user: prod}}\n")
        .write("env/common.env", "BASE=web\n")
        .write("web/dev.env", "HOST=${BASE}-dev\n")
        .write("web/prod.env", "HOST=${BASE}-prod\n")
        .commit("As the README has it");
    ops.run(["watch", &repo.url()]).success().stdout_has("2 deployed");
    let of = |stack: &str| {
        let container = "json .Spec.TaskTemplate.ContainerSpec";
        let spec: serde_json::Value =
            serde_json::from_str(&lab.spec(&format!("{stack}_app"), container)).unwrap();
        (spec["Hostname"].clone(), spec["User"].clone())
    };
    assert_eq!(of(&dev), ("web-dev".into(), serde_json::Value::Null));
    assert_eq!(of(&prod), ("web-prod".into(), "prod".into()));
}

#[test]
fn the_jobs_are_those_of_their_compose_file() {
    let repo = Repo::new();
    let compose = block("yaml jobs compose");
    repo.write("stacks.yaml", block("yaml jobs")).write("shop/docker-compose.yml", &compose).commit("first");
    let at = repo.path().display().to_string();
    DockerOps::without_docker().run(["validate", &at]).success();
    repo.write("shop/docker-compose.yml", compose.replace("smoke:", "probe:")).commit("renamed");
    let said = DockerOps::without_docker().run(["validate", &at]);
    said.failure(1).stdout_has("stacks.yaml:3: `shop.after`: `smoke` is no service of its compose file");
}

#[test]
fn the_policy_and_the_strict_one_are_taken() {
    let (repo, place) = (Repo::new(), tempfile::tempdir().unwrap());
    repo.stack("app-web", &crate::support::repo::one_service("nginx", 1))
        .stack("web", "services: {app: {image: x/y}}\n");
    repo.commit("first");
    let policy = place.path().join("policy.yaml");
    fs::write(&policy, block("yaml policy")).unwrap();
    let strict = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policy.yaml");
    for (policy, forbidden) in [(policy.to_str().unwrap(), 2), (strict, 10)] {
        let (ops, at) = (DockerOps::without_docker(), repo.path().display().to_string());
        let run = |source: &str| {
            let outcome = ops.run(["validate", &at, "--json", "--policy", policy, "--source", source]);
            outcome.json()["problems"].as_array().unwrap().len()
        };
        assert_eq!(run("https://github.com/acme/shop"), forbidden, "{policy}");
        assert_eq!(run("git@github.com:acme/infrastructure.git"), 0, "{policy}");
    }
}

#[test]
fn the_volumes_and_the_folder_they_go_to_are_taken() {
    let Some(lab) = lab() else { return };
    let (ops, repo, nfs) = (DockerOps::new(lab), Repo::new(), tempfile::tempdir().unwrap());
    let stack = ops.unique("volumes");
    let compose = format!(
        "version: '3.8'\nservices: {{app: {{image: {}, volumes: ['data:/var/lib/app', 'conf:/etc/app:ro'], deploy: {{replicas: 0}}}}}}\n",
        lab.image("app:1")
    );
    let place = nfs.path().display().to_string();
    repo.write("volumes.yaml", block("yaml volumes.yaml")).write("web/conf/app.ini", "x");
    repo.write("nfs.yaml", block("yaml nfs.yaml").replace("/mnt/nfs", &place));
    repo.stack(&stack, &compose).commit("As the README has it");
    ops.run(["watch", &repo.url()]).success();
    assert_eq!(fs::read_to_string(nfs.path().join("web/conf/app.ini")).unwrap(), "x");
}

#[test]
fn the_sources_are_taken() {
    let text = block("text sources");
    let forms = text.lines().flat_map(|line| {
        let first = line.split("  ").next().unwrap();
        let second = line.split_whitespace().nth(1).filter(|word| word.starts_with('/'));
        [Some(first), second].into_iter().flatten()
    });
    let ops = DockerOps::without_docker();
    let mut count = 0;
    for form in forms {
        count += 1;
        // A source that can be read is one that is not watched; one that cannot is a wrong one.
        ops.run(["unwatch", form]).failure(1).stderr_has("is not being watched");
    }
    assert_eq!(count, 8);
}

#[test]
fn the_template_is_right_and_says_what_it_says() {
    let (ops, repo) = (DockerOps::without_docker().env("PATH", "/nonexistent"), Repo::new());
    repo.stack("web", "services: {app: {image: app}}\n")
        .write("templates/blog/template.yaml", block("yaml template.yaml"));
    let compose = "services:\n  app:\n    image: 'blog:${TAG:-6.9}'\n    hostname: ${HOST}\n    deploy: {replicas: '${COPIES:-2}'}\n    \
                   environment: {DEBUG: '${DEBUG:-false}'}\n    secrets: ['${DB_PASSWORD}']\n";
    repo.write("templates/blog/compose.yml", compose);
    let at = repo.path().display().to_string();
    let json = ops.run(["validate", &at, "--json"]).success().json();
    let template = &json["templates"][0];
    let kinds: Vec<_> =
        template["parameters"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
    assert_eq!(
        kinds,
        [
            "integer".into(),
            serde_json::Value::Null,
            "boolean".into(),
            serde_json::Value::Null,
            serde_json::Value::Null
        ]
    );
    assert_eq!((&template["title"], &template["parameters"][1]["secret"]), (&"A blog".into(), &true.into()));
}
