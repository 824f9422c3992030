//! Environments: several stacks of one folder, as `watch` would read them.

use super::{GOOD, at, bare};
use crate::fidelity::docker_with_stack_config;
use crate::support::dockerops::DockerOps;
use crate::support::repo::Repo;

const PROD: &str =
    "version: '3.8'\nservices:\n  app:\n    deploy: {replicas: 2}\n    environment: {LEVEL: '${LEVEL}'}\n";

fn environments() -> Repo {
    let repo = Repo::new();
    repo.write("app/docker-compose.yml", GOOD).write("app/prod.yml", PROD);
    repo.write("app/common.env", "BASE=b\n").write("env/prod.env", "LEVEL=${BASE}-${FROM_OUTSIDE}\n");
    let prod = "- {name: prod, folder: app, compose: [docker-compose.yml, prod.yml], env: [common.env, ../env/prod.env]}\n";
    repo.write("stacks.yaml", format!("- {{name: test, folder: app}}\n{prod}"));
    repo
}

#[test]
fn compose_files_are_merged_where_docker_is_and_told_as_not_checked_where_it_is_not() {
    let repo = environments();
    repo.commit("first");
    let outcome = bare().run(["validate", &at(&repo)]);
    outcome.success().stdout_has("not checked: what docker makes of the compose files of `prod`: ");
    outcome.stdout_has("wanted of the daemon's environment: `FROM_OUTSIDE` (prod)\n");
    // Each of the files is checked all the same.
    repo.write("app/prod.yml", PROD.replace("deploy:", "volumes: ['./x:/y']\n    deploy:"));
    bare()
        .run(["validate", &at(&repo)])
        .failure(1)
        .stdout_has("app/prod.yml:4: `services.app.volumes`: `./x`");
    repo.write("app/prod.yml", PROD.replace("2}", "3}"));

    let Some(docker) = docker_with_stack_config() else { return };
    let ops = DockerOps::without_docker().with_docker(&docker);
    let outcome = ops.run(["validate", &at(&repo), "--diff", "HEAD", "--json"]);
    let json = outcome.success().json();
    assert_eq!(
        (&json["not_checked"], &json["stacks"][1]["services"][0]),
        (&serde_json::json!([]), &"app".into())
    );
    let changed: Vec<_> =
        json["diff"]["stacks"].as_array().unwrap().iter().map(|stack| &stack["name"]).collect();
    assert_eq!(changed, ["prod"], "{json}");
    assert!(
        json["diff"]["stacks"][0]["services"][0]["why"].to_string().contains("replicas `2` → `3`"),
        "{json}"
    );
    // A file that is listed and missing is a mistake, never skipped.
    repo.remove("env/prod.env");
    ops.run(["validate", &at(&repo)]).failure(1).stdout_has("stacks.yaml:2: `prod.env`: ");
}
