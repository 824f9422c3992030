//! Templates: told by `validate` and by the daemon's API, and never deployed.

use std::fs;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
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

#[test]
fn the_api_tells_templates_of_all_sources_without_asking_a_server() {
    let (fake, folder) = (FakeDocker::of_an_empty_swarm(), tempfile::tempdir().unwrap());
    let (far, near) = (Repo::new(), Repo::new());
    blog(off(&far)).commit("first");
    far.publish(folder.path(), "far");
    let tree = far.git(["rev-parse", "HEAD:templates/blog"]);
    off(&near).write("deep/templates/wiki/compose.yml", "services: {a: {image: '${TAG:-${'}}\n");
    near.symlink("deep/templates/out", "/etc");
    near.write("deep/stacks.yaml", "- {name: none, enabled: false}\n").commit("first");
    let server = GitServer::start(folder.path(), &[]);
    let (far_url, near_url) = (server.url("far"), format!("{}#main:deep", near.url()));
    let ops = DockerOps::without_docker().with_fake(&fake).that_listens();
    let ops = ops.env("DOCKEROPS_REPOS", format!("{far_url},{near_url}"));
    let site = ops.site();
    let asked = server.requests().len();
    let all = site.get("/api/v1/stackDefinitions").is(200).json();
    let names: Vec<_> = all["stackDefinitions"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    let blog_told = site.get("/api/v1/stackDefinitions/blog").is(200).json();
    assert!(names.len() == 3 && all["stackDefinitions"].as_array().unwrap().contains(&blog_told), "{all}");
    assert_eq!((&blog_told["tree"], &blog_told["commit"]), (&tree.into(), &far.head().into()));
    assert_eq!((&blog_told["repository"], &blog_told["title"]), (&far_url.clone().into(), &"A blog".into()));
    assert_eq!(blog_told["schema"]["required"], serde_json::json!(["HOST"]));
    assert_eq!(blog_told["problems"], serde_json::json!([]));
    let wiki = site.get("/api/v1/stackDefinitions/wiki").is(200).json();
    assert_eq!(wiki["problems"][0]["file"], "deep/templates/wiki/compose.yml");
    let out = site.get("/api/v1/stackDefinitions/out").is(200).has("leads out of the repository").json();
    assert!(out["tree"].is_null(), "{out}");
    site.get("/api/v1/stackDefinitions/none").is(404);
    site.get("/api/v1/stackDefinitions?repository=nobody").is(404);
    let one = site.get(&format!("/api/v1/stackDefinitions?repository={far_url}")).is(200).json();
    assert_eq!(one["stackDefinitions"].as_array().unwrap().len(), 1);
    assert_eq!(server.requests().len(), asked);

    // What a push brings is told, and of two that have one name the caller says whose.
    near.write("deep/templates/blog/compose.yml", "services: {a: {image: a}}\n")
        .remove("deep/templates/wiki")
        .commit("second");
    site.job(&site.post("/api/v1/reconcile", "{}"));
    site.get("/api/v1/stackDefinitions/wiki").is(404);
    site.get("/api/v1/stackDefinitions/blog").is(409).has("?repository=");
    let path = format!("/api/v1/stackDefinitions/blog?repository={}", near_url.replace('#', "%23"));
    assert_eq!(site.get(&path).is(200).json()["commit"], near.head());
    drop(site);

    // What cannot be read is no empty list.
    drop(server);
    let site = ops.site();
    site.get("/api/v1/stackDefinitions").is(200).has("A blog");
    drop(site);
    let kept = ops.database().with_extension("db.objects");
    fs::remove_dir_all(&kept).unwrap_or_else(|error| panic!("{}: {error}", kept.display()));
    let site = ops.site();
    site.get("/api/v1/stackDefinitions").is(503).has("is not kept beside the database").has(&far_url);
    site.get("/api/v1/stackDefinitions/blog").is(503);
    site.get(&path).is(200);
}

#[test]
fn a_source_that_was_never_read_is_no_empty_list() {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).that_listens();
    let none = ops.site().get("/api/v1/stackDefinitions").is(200).json();
    assert_eq!(none, serde_json::json!({ "stackDefinitions": [] }));
    let repo = Repo::new();
    off(&repo).symlink("templates", "/etc").commit("first");
    let ops = ops.env("DOCKEROPS_REPOS", repo.url());
    ops.site().get("/api/v1/stackDefinitions").is(503).has("leads out of the repository");
    repo.remove("templates").write("templates", "a file").commit("second");
    ops.site().get("/api/v1/stackDefinitions").is(200);
    ops.db().execute("UPDATE source_states SET commit_id = NULL, error = 'no way'", []).unwrap();
    repo.remove("stacks.yaml").commit("third");
    let site = ops.site();
    site.get("/api/v1/stackDefinitions").is(503).has("was not read yet: ");
}
