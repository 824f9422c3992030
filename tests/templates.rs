//! Templates: told by `validate` and by the daemon's API, and never deployed.

use std::fs;

use crate::support::repo::Repo;
use crate::support::scene::Scene;
use crate::validate::{at, bare};

const BLOG: &str = "services:
  app:
    image: 'blog:${TAG:-1}'
    hostname: ${HOST:?where it answers}
    configs: [site]
    deploy: {replicas: '${COPIES:-2}'}
configs: {site: {file: site.conf}}
";
const DESCRIBED: &str = "title: A blog\nparameters: {COPIES: {type: integer, min: 1, max: 9}}\n";

fn blog(repo: &Repo) -> &Repo {
    repo.write("templates/blog/compose.yml", BLOG).write("templates/blog/site.conf", "x");
    repo.write("templates/blog/template.yaml", DESCRIBED).write("templates/README.md", "# Ours\n")
}

/// A source that deploys nothing.
fn off(repo: &Repo) -> &Repo {
    repo.write("web/compose.yml", "services: {a: {image: a}}\n")
        .write("stacks.yaml", "- {name: web, enabled: false}\n")
}

#[test]
fn validate_tells_right_ones_and_all_that_is_wrong_with_others() {
    let (ops, repo) = (bare(), Repo::new());
    let id = "0123456789abcdef0123456789abcdef01234567";
    blog(&repo).stack("web", "services: {app: {image: app}}\n");
    repo.write("stacks.yaml", format!("- {{name: web, template: gone@{id}}}\n"));
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.success().stdout_has("1 stack and 1 template, all right\n");
    outcome.stdout_has("note: web: was made from the template `gone`, which is not there any more\n");
    let json = ops.run(["validate", &at(&repo), "--json"]).success().json();
    assert_eq!(json["stacks"][0]["template"], format!("gone@{id}"));
    let template = &json["templates"][0];
    assert_eq!((&template["name"], &template["right"]), (&"blog".into(), &true.into()));
    let names: Vec<_> = template["parameters"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["COPIES", "HOST", "TAG"]);

    // What is wrong with one is told at once, also what only a stack of it would show.
    repo.write(
        "templates/blog/template.yaml",
        "title: A blog\nparameters:\n  COPY: {min: 1}\n  COPIES: {type: integer, min: 3}\n",
    );
    repo.write("templates/blog/compose.yml", format!("{BLOG}secrets: {{s: {{file: gone}}}}\n"));
    repo.write("templates/bad/compose.yml", "services: {a: {image: '${', volumes: ['./x:/y']}}\n");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("4 mistakes: no stack can be made from 2 of 2 templates");
    for line in [
        "templates/bad/compose.yml:1: `services.a.image`: invalid template `${`",
        "templates/blog/compose.yml:6: `COPIES`: the default of `COPIES` is less than 3",
        "templates/blog/template.yaml:3: `parameters.COPY`: unknown key; known are `COPIES`, `HOST`, `TAG`",
        "templates/blog/compose.yml:8: `secrets.s.file`: `gone` does not exist",
    ] {
        outcome.stdout_has(line);
    }
    let json = ops.run(["validate", &at(&repo), "--json"]).json();
    let of: Vec<_> =
        json["problems"].as_array().unwrap().iter().map(|it| (&it["stack"], &it["template"])).collect();
    assert!(of.iter().all(|(stack, template)| stack.is_null() && template.is_string()), "{of:?}");
    assert_eq!(json["stacks"][0]["right"], true);
}

#[test]
fn what_values_decide_is_no_mistake_and_what_they_do_not_is_one() {
    let (ops, repo) = (bare(), Repo::new());
    off(&repo);
    // By a number, by a path, by what is said of it: some value is right.
    let compose = "services:
  a:
    image: ${IMAGE}
    ports: ['${PORT}:80']
    volumes: [{type: bind, source: '${PATH_OF_IT}', target: /data}]
    deploy: {replicas: '${COPIES}', update_config: {parallelism: '${N:-1}'}}
";
    repo.write("templates/a/compose.yml", compose);
    ops.run(["validate", &at(&repo)]).success();
    repo.write("templates/a/compose.yml", compose.replace("/data}", "/data}, './x:/y'"));
    ops.run(["validate", &at(&repo)])
        .failure(1)
        .stdout_has("templates/a/compose.yml:5: `services.a.volumes`: `./x` is relative");
    // Nothing leads out of it.
    repo.remove("templates").symlink("templates/out", "/etc").write("templates/b/.env", "A=1\n");
    repo.symlink("templates/b/compose.yml", "/etc/passwd");
    let outcome = ops.run(["validate", &at(&repo)]);
    outcome.failure(1).stdout_has("templates/out: ").stdout_has("leads out of the repository");
    outcome.stdout_has("templates/b: has an `.env`").stdout_lacks("root:");
}

#[test]
fn a_wrong_template_stops_no_sync_and_one_that_is_listed_only_itself() {
    let Some(scene) = Scene::new() else { return };
    let web = scene.stack("web", &scene.off());
    scene
        .repo
        .write("templates/blog/compose.yml", "services: [\n")
        .write("templates/blog/template.yaml", "x: 1\n");
    scene.watch().success().stdout_has("1 deployed");
    let other = scene.ops.unique("other");
    let list = fs::read_to_string(scene.repo.path().join("stacks.yaml")).unwrap();
    scene.repo.write("stacks.yaml", format!("{list}- {{name: {other}, folder: templates/blog}}\n"));
    let outcome = scene.push();
    outcome
        .failure(3)
        .stdout_has("`templates/blog` is a template, which is never deployed itself")
        .stdout_has("1 unchanged");
    assert_eq!((scene.lab.services(&web).len(), scene.lab.services(&other).len()), (1, 0));
}
