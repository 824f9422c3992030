//! What one source may do to images that another one builds or runs: replace nothing, and take no name away.

use crate::support::builds::{Registry, dockerfile, tasks};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{lab, on_every_docker};
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

/// Lets `repo` build `image` from `app/`.
fn builds(scene: &Scene, repo: &Repo, image: &str, page: &str) {
    repo.write("images.yaml", format!("- {{name: '{image}', context: app}}\n"));
    repo.write("app/Dockerfile", dockerfile(scene.lab, "COPY page /page")).write("app/page", page);
}

/// Under `always`, where a tag that moved rolls.
fn scene() -> Option<Scene> {
    let scene = Scene::new()?;
    Some(Scene { ops: scene.ops.beside_the_registry(scene.lab).always(), ..scene })
}

/// A commit of another source, watched.
fn watch(scene: &Scene, repo: &Repo) -> crate::support::dockerops::Outcome {
    repo.commit("first");
    scene.run(&["watch", &repo.url()])
}

#[test]
fn a_source_does_not_build_over_what_the_stacks_of_another_one_run() {
    let Some(lab) = lab() else { return };
    on_every_docker(|docker| {
        let scene = Scene::before(lab, FakeDocker::before(docker));
        let scene = Scene { ops: scene.ops.beside_the_registry(lab).always(), ..scene };
        let base = unique("public");
        lab.publish(&format!("{base}:1"), &[]);
        let image = lab.image(&base);
        let stack = scene.stack("web", &App::new(&format!("{image}:1")));
        scene.watch().success();
        let (service, registry) = (format!("{stack}_app"), Registry::of(lab, &format!("{image}:1")));
        let before = (tasks(lab, &service), registry.digest("1"));
        let other = Repo::new();
        let thief = scene.ops.unique("thief");
        for tag in ["1", "2"] {
            let name = format!("{image}:{tag}");
            builds(&scene, &other, &name, tag);
            other.stack(&thief, &compose([("app", &App::new(&name).replicas(0))])).commit(tag);
            let refused =
                if tag == "1" { scene.run(&["watch", &other.url()]) } else { scene.run(&["reconcile"]) };
            refused.failure(3).stdout_has(&scene.repo.url()).stdout_has(&other.url()).stdout_has("must not");
            refused.stdout_has(&service).stdout_has("unwatch --keep-stacks");
            for call in ["build --tag", "push "] {
                assert_eq!(scene.docker.calls_with(call), [""; 0]);
            }
        }
        scene.run(&["reconcile", "--dry-run"]).stdout_has("must not").stdout_lacks("to build");
        assert_eq!(
            ((tasks(lab, &service), registry.digest("1")), registry.tags()),
            (before.clone(), vec!["1".into()])
        );
        // The way out that it tells.
        scene.run(&["unwatch", "--keep-stacks", &scene.repo.url()]).success();
        scene.reconcile().success().stdout_has("1 built, 1 deployed");
        scene.watch().success().stdout_has("adopted");
        assert_eq!((tasks(lab, &service), registry.digest("1")), before);
        other.write("app/page", "three").commit("three");
        scene.reconcile().success().stdout_has("1 built");
    });
}

#[test]
fn an_image_that_one_source_built_first_runs_in_the_stacks_of_another_and_is_built_on() {
    let Some(scene) = scene() else { return };
    let (image, other) = (scene.lab.image(&format!("{}:1", unique("base"))), Repo::new());
    builds(&scene, &scene.repo, &image, "one");
    scene.watch().success().stdout_has("1 built");
    let stack = scene.ops.unique("runs");
    other.stack(&stack, &compose([("app", &App::new(&image).deploy("mode: global"))]));
    watch(&scene, &other).success().stdout_has("1 deployed");
    scene.repo.write("app/page", "two");
    scene.push().success().stdout_has("1 built");
    scene.reconcile().success();
    let service = format!("{stack}_app");
    let pages = || scene.lab.in_each_container(&service, &["cat", "/page"]);
    wait_for("the new page", 30, || pages() == ["two", "two"]);
    // Nor may the one that runs it build another tag of it.
    builds(&scene, &other, &image.replace(":1", ":2"), "theirs");
    other.commit("second");
    scene.reconcile().failure(3).stdout_has("must not").stdout_has(&other.url());
    assert_eq!(pages(), ["two", "two"]);
}

#[test]
fn who_runs_an_image_that_is_not_there_yet_takes_it_from_nobody() {
    let Some(scene) = Scene::new() else { return };
    let scene = Scene { ops: scene.ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "8"), ..scene };
    let image = scene.lab.image(&format!("{}:1", unique("later")));
    scene.stack("early", &App::new(&image));
    scene.watch().failure(3);
    let other = Repo::new();
    builds(&scene, &other, &image, "one");
    watch(&scene, &other).success().stdout_has("1 built");
    let scene = Scene { ops: scene.ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "60"), ..scene };
    scene.reconcile().success().stdout_has("1 deployed");
}

#[test]
fn of_two_sources_that_are_new_in_one_run_the_one_that_builds_comes_first_in_any_order() {
    let Some(scene) = Scene::new() else { return };
    for order in ["builds;runs", "runs;builds"] {
        let scene = Scene::before(scene.lab, FakeDocker::new());
        let (image, other) = (scene.lab.image(&format!("{}:1", unique("both"))), Repo::new());
        let stack = scene.stack("runs", &App::new(&image));
        scene.repo.commit("first");
        builds(&scene, &other, &image, "one");
        other.commit("first");
        let repos = order.replace("builds", &other.url()).replace("runs", &scene.repo.url());
        // A stack does not wait for what another source builds: it fails, and is tried again.
        let ops = scene.ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "8");
        let ops = ops.env("DOCKEROPS_REPOS", repos).env("DOCKEROPS_SYNC_INTERVAL", "5");
        let mut run = ops.spawn(["run"]);
        run.wait_for("built     ", 1, 60);
        run.wait_for(&format!("deployed  {stack} "), 1, 90);
        assert!(!run.stdout().contains("must not"), "{}", run.stdout());
    }
}

#[test]
fn a_stack_and_the_build_of_its_image_change_hands_in_one_push() {
    let Some(scene) = scene() else { return };
    let base = unique("moves");
    scene.lab.publish(&format!("{base}:1"), &[]);
    let image = scene.lab.image(&format!("{base}:1"));
    let (stack, stays) = (scene.stack("moves", &App::new(&image)), scene.stack("stays", &scene.off()));
    scene.watch().success();
    let other = Repo::new();
    builds(&scene, &other, &image, "one");
    other.stack(&stack, &compose([("app", &App::new(&image))]));
    watch(&scene, &other).failure(3).stdout_has("must not");
    scene.repo.remove(&stack).write("stacks.yaml", format!("- name: {stays}\n"));
    scene.push().success().stdout_has("1 built, 1 deployed").stdout_lacks("removed");
}

#[test]
fn environments_of_one_repository_keep_their_builds_apart() {
    let Some(scene) = Scene::new() else { return };
    let image = scene.lab.image(&unique("shop"));
    for environment in ["production", "staging"] {
        let file = |name: &str| format!("{environment}/{name}");
        let name = format!("{image}:{environment}");
        scene.repo.write(
            &file("images.yaml"),
            format!("- {{name: '{name}', context: ../app, args: {{E: {environment}}}}}\n"),
        );
        let stack = scene.ops.unique(environment);
        scene.repo.write(&file("stacks.yaml"), format!("- name: {stack}\n"));
        scene
            .repo
            .write(&file(&format!("{stack}/compose.yml")), compose([("app", &App::new(&name).replicas(0))]));
    }
    let lines = "ARG E\nRUN echo $E >/page";
    scene.repo.write("app/Dockerfile", dockerfile(scene.lab, lines));
    let commit = scene.repo.commit("first");
    let source = |environment: &str| format!("{}#main:{environment}", scene.repo.url());
    for environment in ["production", "staging"] {
        scene.run(&["watch", &source(environment)]).success().stdout_has("1 built, 1 deployed");
    }
    let registry = Registry::of(scene.lab, &format!("{image}:1"));
    let lasting = |environment: &str| {
        let begin = format!("{environment}-{}-", &commit[..12]);
        let tags = registry.tags().into_iter().filter(|tag| tag.starts_with(&begin));
        tags.map(|tag| (registry.digest(&tag), tag)).collect::<Vec<_>>()
    };
    let (production, staging) = (lasting("production"), lasting("staging"));
    assert_eq!((production.len(), staging.len()), (1, 1), "{:?}", registry.tags());
    assert_eq!(production[0].0, registry.digest("production"));
    assert_ne!(production[0].0, staging[0].0);
    // The same commit, built again on another base: the first build keeps its name.
    scene.lab.docker(&["tag", &scene.lab.image("base"), &format!("{image}-base")]);
    scene.repo.write("app/Dockerfile", format!("FROM {image}-base\n{lines}\n"));
    let commit = scene.repo.commit("on a base of its own");
    let lasting = || {
        let begin = format!("production-{}-", &commit[..12]);
        let tags = registry.tags().into_iter().filter(|tag| tag.starts_with(&begin));
        tags.map(|tag| (registry.digest(&tag), tag)).collect::<Vec<_>>()
    };
    scene.reconcile().success().stdout_has("2 built");
    let first = lasting();
    let container = scene.lab.docker(&["create", &scene.lab.image("app:1")]);
    scene.lab.docker(&["commit", "--change", "LABEL new=base", &container, &format!("{image}-base")]);
    scene.lab.docker(&["rm", &container]);
    scene.run(&["reconcile", "--force"]).success().stdout_has("2 built");
    let both = lasting();
    assert!(both.len() == 2 && both.contains(&first[0]), "{first:?} {both:?}");
    scene.run(&["reconcile", "--force"]).success().stdout_has("2 built");
    assert_eq!(lasting(), both, "what comes to the same image is one build");
    scene.lab.docker(&["image", "rm", &format!("{image}-base")]);
    // A name that the other one builds is not to be had.
    let entry = format!("- {{name: '{image}:production', context: ../app}}\n");
    scene.repo.write("staging/images.yaml", entry).commit("mistaken");
    scene.reconcile().failure(3).stdout_has("must not").stdout_has(&source("production"));
}

#[test]
fn a_source_that_an_older_release_wrote_with_a_slash_builds_its_own_image() {
    let Some(scene) = Scene::new() else { return };
    let image = scene.lab.image(&format!("{}:1", unique("slash")));
    builds(&scene, &scene.repo, &image, "one");
    scene.stack("web", &App::new(&image).replicas(0));
    scene.watch().success();
    for (table, column) in [("repository_cache", "url"), ("stacks", "repository_url")] {
        scene.ops.db().execute(&format!("UPDATE {table} SET {column} = {column} || '/'"), []).unwrap();
    }
    scene.repo.write("app/page", "two");
    scene.push().success().stdout_has("1 built, 1 deployed");
}
