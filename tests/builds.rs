//! Images whose source is in the repository: built when their content changed, pushed, and rolled out to the
//! services that use them, those alone.

use crate::support::builds::{Registry, dockerfile, tasks};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{Lab, lab, on_every_docker};
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{command, stdout_of, try_stdout_of, unique, wait_for};

/// A scene whose repository builds one image from `app/`, for the service `app` of a stack.
struct Shop {
    scene: Scene,
    image: String,
    stack: String,
}

impl Shop {
    fn new(scene: Scene) -> Self {
        let image = scene.lab.image(&format!("{}:1", unique("shop")));
        let stack = scene.ops.unique("shop");
        scene.repo.write("images.yaml", format!("- name: {image}\n  context: app\n"));
        scene.repo.write("app/Dockerfile", dockerfile(scene.lab, "COPY page /page")).write("app/page", "one");
        let shop = Self { scene, image, stack };
        shop.write(&shop.app().replicas(0));
        shop
    }

    fn app(&self) -> App {
        App::new(&self.image)
    }

    /// With a task on each node.
    fn on(self) -> Self {
        self.write(&self.app().deploy("mode: global").update("monitor: 1s, parallelism: 0"));
        self
    }

    fn write(&self, app: &App) {
        let other = self.scene.on();
        self.scene.repo.stack(&self.stack, &compose([("app", app), ("other", &other)]));
    }

    fn service(&self, name: &str) -> String {
        format!("{}_{name}", self.stack)
    }

    /// The page that each container of `app` on both nodes has.
    fn pages(&self) -> Vec<String> {
        self.scene.lab.in_each_container(&self.service("app"), &["cat", "/page"])
    }

    /// The one tag that names what was built of the current commit for good.
    #[track_caller]
    fn lasting(&self, registry: &Registry) -> String {
        let begin = format!("1-{}-", &self.scene.repo.head()[..12]);
        let mut tags = registry.tags().into_iter().filter(|tag| tag.starts_with(&begin));
        tags.next().filter(|_| tags.next().is_none()).unwrap_or_else(|| panic!("{:?}", registry.tags()))
    }

    fn builds(&self) -> usize {
        self.scene.docker.calls().iter().filter(|call| call.starts_with("build ")).count()
    }
}

/// A CLI before 23.0 has it within, a newer one by the buildx component.
fn has_buildkit(docker: &std::path::Path) -> bool {
    let version = stdout_of(command(docker).arg("--version"));
    let major = version.trim_start_matches("Docker version ").split('.').next().unwrap();
    major.parse::<u32>().unwrap() < 23 || try_stdout_of(command(docker).args(["buildx", "version"])).is_ok()
}

#[test]
fn a_push_of_the_source_is_the_image_that_runs_and_nothing_else_moves() {
    let Some(lab) = lab() else { return };
    on_every_docker(|docker| {
        let mut scene = Scene::before(lab, FakeDocker::before(docker));
        scene.ops = scene.ops.env("GITHUB_TOKEN", "token-not-for-builds");
        let shop = Shop::new(scene).on();
        let (scene, registry) = (&shop.scene, Registry::of(lab, &shop.image));
        scene.watch().success().stdout_has("1 built, 1 deployed").stdout_has("pushed");
        assert_eq!(shop.pages(), ["one", "one"]);
        let first = shop.lasting(&registry);
        assert_eq!(registry.tags(), ["1", &first]);
        let kit = if has_buildkit(docker) { "1" } else { "0" };
        let environment = scene.docker.environment().join("\n");
        assert!(environment.contains(&format!("DOCKER_BUILDKIT=\"{kit}\"")), "{docker:?}");
        assert!(!environment.contains("token-not-for-builds"));
        let others = tasks(lab, &shop.service("other"));
        let spec = lab.spec(&shop.service("app"), ".Spec.TaskTemplate.ContainerSpec.Image");
        assert_eq!(spec, format!("{}@{}", shop.image, registry.digest("1")));

        // A commit that touches neither the context nor the entry builds and restarts nothing.
        scene.repo.write("README", "x");
        scene.push().success().stdout_has("1 unchanged").stderr_lacks("building");
        assert_eq!((shop.builds(), scene.docker.calls_with("push").len()), (0, 0));
        scene.reconcile().success();
        assert_eq!(scene.docker.calls().len(), 3, "an idle run");

        scene.repo.write("app/page", "two");
        scene.push().success().stdout_has("1 built, 1 deployed");
        assert_eq!(shop.pages(), ["two", "two"]);
        assert_eq!(tasks(lab, &shop.service("other")), others, "the other service is left alone");
        assert_eq!(registry.tags().len(), 3);
        assert_ne!(registry.digest(&first), registry.digest("1"), "the first build keeps its name");
        assert_eq!(registry.digest(&shop.lasting(&registry)), registry.digest("1"));

        // What builds the same image again is no change of the stack.
        scene.repo.write("app/.dockerignore", "notes").write("app/notes", "x");
        scene.push().success();
        let before = tasks(lab, &shop.service("app"));
        scene.repo.write("app/notes", "y");
        scene.push().success().stdout_has("1 built, 1 unchanged");
        assert_eq!((tasks(lab, &shop.service("app")), shop.builds()), (before, 1));
        assert_eq!(shop.scene.status(&shop.stack)["drift"].to_string(), "[]");
    });
}

#[test]
fn an_earlier_build_leaves_the_node_once_nothing_would_go_back_to_it() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let (scene, registry) = (&shop.scene, Registry::of(shop.scene.lab, &shop.image));
    let repository = shop.image.strip_suffix(":1").unwrap();
    let here = || {
        let list = ["image", "ls", "--all", "--digests", "--format", "{{.Digest}}", repository];
        scene.lab.docker(&list).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Its own: what another test builds alike is one image, and in use.
    let page = |word: &str| {
        scene.repo.write("app/page", unique(word));
    };
    page("one");
    scene.watch().success().stdout_has("1 built");
    let first = registry.digest("1");
    page("two");
    scene.push().success().stdout_has("1 built");
    let second = registry.digest("1");
    assert!(here().contains(&first), "`docker service rollback` would go back to it: {:?}", here());
    page("three");
    let gone = format!("removed   {repository}@{first}");
    let pushed = scene.push();
    // Whatever keeps it for a moment on a busy machine, the next run looks again.
    if !pushed.success().stdout.contains(&gone) {
        wait_for(&gone, 30, || scene.reconcile().success().stdout.contains(&gone));
    }
    let left = here();
    assert!(
        !left.contains(&first) && left.contains(&second) && left.contains(&registry.digest("1")),
        "{left:?}"
    );
    scene.reconcile().success();
    assert_eq!(scene.docker.calls().len(), 3, "an idle run");
    scene.run(&["unwatch", &scene.repo.url()]).success();
    assert_eq!(here(), [""; 0], "its own tag goes as well");
}

#[test]
fn a_failing_build_leaves_what_runs_tells_its_last_lines_and_waits_for_the_source() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene).on();
    let scene = &shop.scene;
    let unrelated = scene.stack("unrelated", &scene.off());
    scene.watch().success().stdout_has("2 deployed");
    let script = "RUN for i in $(seq 1 90); do echo \"line-$i-\"; done; exit 7";
    scene.repo.write("app/Dockerfile", dockerfile(scene.lab, script));
    scene.change(&unrelated, &scene.off().with("labels: {a: b}"));
    let outcome = scene.push();
    outcome.failure(3).stdout_has("1 deployed, 2 failed").stdout_has("the build failed");
    outcome.stdout_has("line-90-").stdout_has("code: 7").stdout_lacks("line-40-");
    assert_eq!((shop.pages(), shop.builds()), (vec!["one".to_owned(), "one".to_owned()], 1));
    let status = scene.status(&shop.stack);
    assert_eq!((status["status"].as_str(), status["held"].as_bool()), (Some("error"), Some(true)));
    assert!(status["error"].as_str().unwrap().contains("line-90-"), "{status}");
    let status = scene.ops.run(["status", "--json"]).json();
    assert_eq!(status["builds"][0]["name"], shop.image);
    assert_eq!(status["builds"][0]["commit"], scene.repo.head());
    assert!(status["builds"][0]["error"].as_str().unwrap().contains("line-90-"), "{status}");
    assert!(
        status["builds"][0]["reference"].as_str().unwrap().contains("@sha256:"),
        "what still runs: {status}"
    );
    scene.ops.run(["status"]).failure(3).stdout_has(&format!("{}  failed", shop.image));

    scene.reconcile().failure(3).stdout_has("line-90-").stdout_has("held until the repository changes");
    assert_eq!((shop.builds(), scene.deploys().len()), (0, 0), "the source has not changed");
    scene.repo.write("README", "x");
    scene.push().failure(3).stdout_has("the build failed");
    assert_eq!(shop.builds(), 1, "it has changed");
    scene.run(&["reconcile", "--force"]).failure(3).stdout_has("1 deployed");
    assert_eq!(shop.builds(), 1, "forced");
    scene.repo.write("app/Dockerfile", dockerfile(scene.lab, "COPY page /page")).write("app/page", "mended");
    scene.push().success().stdout_has("1 built, 1 deployed");
    assert_eq!(shop.pages(), ["mended", "mended"]);
}

#[test]
fn a_failing_push_leaves_what_runs_and_is_tried_again_by_force() {
    let Some(lab) = lab() else { return };
    let refuse = "[[ -e $folder/go ]] || { echo 'denied: requested access' >&2; exit 1; }";
    let shop = Shop::new(Scene::before(lab, FakeDocker::new().does("push ", refuse)));
    let scene = &shop.scene;
    scene.watch().failure(3).stdout_has("the push of").stdout_has("denied: requested access");
    assert_eq!(scene.lab.services(&shop.stack), [""; 0]);
    scene.docker.release();
    scene.reconcile().failure(3);
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 built, 1 deployed");
    assert_eq!(scene.lab.services(&shop.stack).len(), 2);
}

#[test]
fn a_push_that_a_network_cuts_off_is_tried_again_and_never_held() {
    let Some(lab) = lab() else { return };
    let away =
        "[[ -e $folder/go ]] || { echo 'dial tcp 10.0.0.1:5000: connect: connection refused' >&2; exit 1; }";
    let shop = Shop::new(Scene::before(lab, FakeDocker::new().does("push ", away)));
    let scene = &shop.scene;
    let outcome = scene.watch();
    outcome
        .failure(3)
        .stdout_has("is tried again in 2 s")
        .stdout_has("connection refused")
        .stdout_lacks("held");
    assert_eq!(scene.status(&shop.stack)["held"], false);
    scene.docker.release();
    scene.reconcile().success().stdout_has("1 built, 1 deployed");
}

#[test]
fn stacks_that_need_no_image_do_not_wait_for_a_build_and_those_behind_it_do() {
    let Some(lab) = lab() else { return };
    let shop = Shop::new(Scene::before(lab, FakeDocker::new().waits("build --tag")));
    let scene = &shop.scene;
    let unrelated = scene.stack("unrelated", &scene.off());
    let behind = scene.stack("behind", &scene.off());
    let list = format!(
        "- name: {}\n- name: {unrelated}\n- name: {behind}\n  depends_on: [{}]\n",
        shop.stack, shop.stack
    );
    scene.repo.write("stacks.yaml", list).commit("first");
    let running = scene.ops.spawn(["watch", &scene.repo.url()]);
    scene.docker.wait_for_call("build --tag");
    wait_for("what needs no image", 30, || scene.deploys() == [&*unrelated]);
    let status = scene.ops.run(["status", "--json"]).json();
    let mut work = status["under_way"].as_array().unwrap().iter();
    assert!(work.any(|work| work["state"] == "building" && work["since"].is_string()), "{status}");
    scene.docker.release();
    running.wait().success().stdout_has("1 built, 3 deployed");
    assert_eq!(scene.deploys()[1..], [shop.stack.clone(), behind]);
}

#[test]
fn without_its_database_it_builds_from_docker_s_cache_and_restarts_nothing() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    shop.write(&shop.app());
    scene.watch().success();
    let (service, registry) = (shop.service("app"), Registry::of(scene.lab, &shop.image));
    let before = (tasks(scene.lab, &service), registry.digest("1"));
    std::fs::remove_file(scene.ops.database()).unwrap();
    scene.watch().success().stdout_has("1 built").stdout_has("adopted");
    assert_eq!((tasks(scene.lab, &service), registry.digest("1")), before);
    assert_eq!(scene.deploys(), [""; 0]);
}

#[test]
fn a_run_that_is_killed_while_it_builds_is_made_good_by_the_next() {
    let Some(lab) = lab() else { return };
    let shop = Shop::new(Scene::before(lab, FakeDocker::new().waits("build --tag")));
    let scene = &shop.scene;
    scene.repo.commit("first");
    let running = scene.ops.spawn(["watch", &scene.repo.url()]);
    scene.docker.wait_for_call("build --tag");
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.wait().code, -9);
    scene.docker.release();
    scene.reconcile().success().stdout_has("1 built, 1 deployed");
    assert_eq!(scene.ops.checkouts(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_a_stack_mounts_is_not_copied_where_its_image_could_not_be_built() {
    let Some(scene) = Scene::new() else { return };
    let (shop, nfs) = (Shop::new(scene), tempfile::tempdir().unwrap());
    let scene = &shop.scene;
    shop.write(&shop.app().replicas(0).with("volumes: ['site:/site']"));
    scene.repo.write("volumes.yaml", "- {id: site, type: binding, path: site}\n").write("site/index", "one");
    scene.repo.write("nfs.yaml", format!("path: {}\n", nfs.path().display()));
    let index = || std::fs::read_to_string(nfs.path().join("site/index")).unwrap();
    scene.watch().success();
    assert_eq!(index(), "one");
    scene.repo.write("site/index", "two").write("app/Dockerfile", dockerfile(scene.lab, "RUN exit 3"));
    scene.push().failure(3);
    assert_eq!(index(), "one", "what runs expects the old file");
    scene.repo.write("app/Dockerfile", dockerfile(scene.lab, ""));
    scene.push().success();
    assert_eq!(index(), "two");
}

#[test]
fn a_dry_run_says_what_would_be_built_and_builds_nothing() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    scene.watch().success();
    scene.repo.write("app/page", "two").commit("next");
    let outcome = scene.run(&["reconcile", "--dry-run"]);
    outcome
        .success()
        .stdout_has(&format!("{}  build: changed", shop.image))
        .stdout_has("1 to build, 1 to deploy");
    assert_eq!((shop.builds(), scene.deploys().len()), (0, 0));
}

#[test]
fn an_image_that_is_not_pushed_rolls_on_the_node_that_built_it_and_no_registry_is_asked_for_it() {
    let Some(scene) = Scene::new() else { return };
    let ops = scene.ops.beside_the_registry(scene.lab).always();
    let shop = Shop::new(Scene { ops, ..scene });
    let scene = &shop.scene;
    scene.repo.write("images.yaml", format!("- {{name: '{}', context: app, push: false}}\n", shop.image));
    shop.write(&App::new(&shop.image).deploy("placement: {constraints: [node.role==manager]}"));
    scene.watch().success().stdout_has("on this node only").stdout_lacks("its registry");
    assert_eq!(shop.pages(), ["one"]);
    scene.repo.write("app/page", "two");
    scene.push().success().stdout_has("1 built, 1 deployed").stdout_lacks("its registry");
    assert_eq!((shop.pages(), scene.docker.calls_with("push ").len()), (vec!["two".to_owned()], 0));
    scene.reconcile().success().stdout_has("1 unchanged").stdout_lacks("its registry");
    // Gone from the node, it is built again once its source is read for another reason.
    let image = scene.lab.spec(&shop.service("app"), ".Spec.TaskTemplate.ContainerSpec.Image");
    scene.lab.docker(&["service", "rm", &shop.service("app")]);
    let filter = format!("label=com.docker.swarm.service.name={}", shop.service("app"));
    let containers = ["ps", "--all", "--quiet", "--filter", &filter];
    wait_for("the container to go", 30, || scene.lab.docker(&containers).is_empty());
    wait_for("the image to go", 30, || scene.lab.try_docker(&["image", "rm", "--force", &image]).is_ok());
    scene.reconcile().success().stdout_has("not on this node any more").stdout_has("1 built");
    assert_eq!(shop.pages(), ["two"]);
}

#[test]
fn every_key_of_an_entry_reaches_the_build_and_git_adds_nothing() {
    let Some(scene) = Scene::new() else { return };
    let name = unique("keys");
    let [full, json, root] = ["full", "json", "root"].map(|part| format!("{name}-{part}"));
    let base = dockerfile(scene.lab, "COPY . /src\nARG WORD=none\nRUN echo \"$WORD\" >/word");
    let staged = base.replace("FROM", "AS").replacen("AS", "FROM", 1);
    scene.repo.write(
        "docker/App",
        format!(
            "{} AS first\n{}\nFROM first\nRUN echo last >/word\n",
            staged.lines().next().unwrap(),
            staged.lines().skip(1).collect::<Vec<_>>().join("\n")
        ),
    );
    scene.repo.write("src/app/x", "x");
    let entry = serde_json::json!({
        "name": full, "context": "src", "dockerfile": "../docker/App", "target": "first",
        "args": {"WORD": "${HOME} it is"}, "platforms": ["linux/amd64"], "push": false,
    });
    scene.repo.write(&format!("image-{full}.json"), entry.to_string());
    scene.repo.write(&format!("image-{json}.json"), "{\"args\": [\"WORD=json\"]}");
    for image in [&json, &root] {
        scene.repo.write(&format!("Dockerfile-{image}"), &base);
    }
    scene.watch().success().stdout_has("3 built");
    for (image, word, file) in [
        (&full, "${HOME} it is", "/src/app/x"),
        (&json, "json", "/src/docker/App"),
        (&root, "none", "/src/src/app/x"),
    ] {
        let script = format!("cat /word && cat {file} >/dev/null && test ! -e /src/.git");
        let said = scene.lab.docker(&["run", "--rm", image, "sh", "-c", &script]);
        assert_eq!(said, word, "{image}");
    }
    // By a list, of which these are none.
    scene.repo.write("images.yaml", "[]").write("docker/App", "FROM none");
    scene.stack("list", &scene.off());
    scene.push().success().stderr_lacks("building");
    scene.lab.docker(&["image", "rm", "--force", &full, &json, &root]);
}

#[test]
fn two_sources_cannot_build_one_image() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    scene.watch().success();
    let other = Repo::new();
    let stack = scene.ops.unique("thief");
    other.write("images.yaml", format!("- {{name: '{}', context: app}}\n", shop.image));
    other
        .write("app/Dockerfile", dockerfile(scene.lab, ""))
        .stack(&stack, &compose([("app", &shop.app().replicas(0))]));
    other.commit("first");
    let outcome = scene.run(&["watch", &other.url()]);
    outcome.failure(3).stdout_has(&scene.repo.url()).stdout_has(&other.url()).stdout_has("must not");
    assert_eq!((shop.builds(), scene.lab.services(&stack)), (0, vec![]));
    scene.reconcile().failure(3).stdout_has("must not");
    // Free again, it is built.
    scene.run(&["unwatch", &scene.repo.url()]).success();
    scene.reconcile().success().stdout_has("1 built, 1 deployed");
}

#[test]
fn a_hostile_entry_builds_and_deploys_nothing() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    scene.repo.remove("app/Dockerfile").symlink("app/Dockerfile", "/etc/passwd");
    let outcome = scene.watch();
    outcome
        .failure(1)
        .error_has("images.yaml:1: `entry 1.dockerfile`: ")
        .stderr_has("leads out of the repository");
    assert_eq!(shop.builds(), 0);
    scene.ops.remembers_nothing();
}

#[test]
fn a_build_is_heard_on_a_terminal() {
    let Some(lab) = lab() else { return };
    let mut scene = Scene::before(lab, FakeDocker::new());
    scene.ops = scene.ops.on_a_terminal();
    let shop = Shop::new(scene);
    // In two parts, for the builder shows the line as well; and unlike those of an earlier run.
    let word = unique("heard");
    let script = word.replace("heard", "hea\"\"rd");
    shop.scene.repo.write("app/Dockerfile", dockerfile(lab, &format!("RUN echo {script}")));
    shop.scene.watch().success().stdout_has(&word);
}

#[test]
fn a_source_of_images_alone_is_one_and_removes_no_stack_that_it_had() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    let images = Repo::new();
    let image = scene.lab.image(&format!("{}:1", unique("only")));
    images.write("images.yaml", format!("- {{name: '{image}', context: .}}\n"));
    images.write("Dockerfile", dockerfile(scene.lab, "RUN exit 1")).commit("first");
    scene.run(&["watch", &images.url()]).failure(3).stdout_has("the build failed");
    scene.reconcile().failure(3).stdout_has("the build failed").stdout_has("held until");
    images.write("Dockerfile", dockerfile(scene.lab, "")).commit("second");
    scene.reconcile().success().stdout_has("1 built");

    scene.watch().success();
    scene.repo.remove("stacks.yaml");
    scene.push().failure(3).stdout_has("no file of the source names a stack any more");
    assert_eq!(scene.lab.services(&shop.stack).len(), 2);
}

#[test]
fn stop_removes_what_was_built_from_the_node_under_all_its_names() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    let local = shop.image.replace(":1", ":local");
    let listed = format!(
        "- {{name: '{}', context: app}}\n- {{name: '{local}', context: app, push: false}}\n",
        shop.image
    );
    scene.repo.write("images.yaml", listed);
    scene.watch().success().stdout_has("2 built");
    let repository = shop.image.strip_suffix(":1").unwrap();
    let names = || {
        let listed = scene.lab.docker(&["image", "ls", "--format", "{{.Tag}}", repository]);
        let mut tags: Vec<_> = listed.lines().map(str::to_owned).collect();
        tags.sort_unstable();
        tags
    };
    let registry = Registry::of(scene.lab, &shop.image);
    assert_eq!(registry.tags(), ["1".to_owned(), shop.lasting(&registry)]);
    let begin = format!("local-{}-", &scene.repo.head()[..12]);
    assert!(names().len() == 4 && names().iter().any(|name| name.starts_with(&begin)), "{:?}", names());
    scene.run(&["stop", "--yes"]).success();
    assert_eq!(names(), [""; 0]);
}

#[test]
fn a_run_for_one_stack_builds_what_that_stack_uses() {
    let Some(mut scene) = Scene::new() else { return };
    scene.ops = scene.ops.that_listens();
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    let (broken, behind) = (shop.image.replace(":1", ":broken"), scene.ops.unique("behind"));
    let images = format!(
        "- {{name: '{}', context: app}}\n- {{name: '{broken}', context: app, target: none}}\n",
        shop.image
    );
    scene.repo.write("images.yaml", images);
    scene.repo.stack(&behind, &compose([("app", &App::new(&broken).replicas(0))]));
    scene.watch().failure(3).stdout_has("1 built, 1 deployed, 2 failed");
    let site = scene.ops.site();
    scene.docker.forget();
    let ask = |stack: &str| {
        site.job(&site.post("/api/v1/reconcile", &format!(r#"{{"stack": "{stack}", "force": true}}"#)))
    };
    let job = ask(&shop.stack);
    assert_eq!((job["state"].as_str(), job["outcome"].as_str()), (Some("done"), Some("1 built, 1 deployed")));
    assert_eq!(shop.builds(), 1);
    let job = ask(&behind);
    assert_eq!((job["state"].as_str(), shop.builds()), (Some("failed"), 2));
    // One image alone, whatever uses it; also one that failed, and no other one.
    for (image, state, builds) in [(&shop.image, "done", 3), (&shop.image, "done", 4), (&broken, "failed", 5)]
    {
        let job = site.job(&site.post(&format!("/api/v1/images/{image}/build"), ""));
        assert_eq!((&job["target"], shop.builds()), (&format!("build of `{image}`").into(), builds), "{job}");
        assert_eq!(job["state"], state, "{job}");
    }
    site.post("/api/v1/images/nothing:1/build", "").is(404).has("/api/v1/builds");
    let path = format!("/api/v1/images/{}/build", shop.image);
    site.send("POST", &path, &[], b"").is(401);
}

#[test]
fn what_bears_the_name_of_an_image_that_was_never_built_is_nobody_s_to_remove() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::new(scene);
    let scene = &shop.scene;
    scene.lab.docker(&["tag", &scene.lab.image("base"), &shop.image]);
    scene.repo.write("app/Dockerfile", dockerfile(scene.lab, "RUN exit 3"));
    scene.watch().failure(3).stdout_has("the build failed");
    scene.run(&["stop", "--yes"]).success();
    scene.lab.docker(&["image", "rm", &shop.image]);
}

/// A registry with TLS and a password, beside the lab's own. Ended when dropped.
struct Guarded {
    process: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Guarded {
    const ADDRESS: &str = "10.77.0.254:5917";

    /// The user is `bob`, the password `hunter2`.
    fn up(lab: &Lab) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        let certificate =
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=lab -addext subjectAltName=IP:10.77.0.254";
        let mut openssl = command("openssl");
        openssl.args(certificate.split(' ')).args([
            "-keyout",
            &format!("{at}/key"),
            "-out",
            &format!("{at}/crt"),
        ]);
        stdout_of(&mut openssl);
        let hash = "bob:$2b$04$OnVr6gPwpurGCIJcw5GtWOzYzGfeo2E/yg4C0/JZ4JO8pJ18A2WJ2\n";
        std::fs::write(folder.path().join("htpasswd"), hash).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {at}/data}}}}\n\
             http: {{addr: '{}', tls: {{certificate: {at}/crt, key: {at}/key}}}}\n\
             auth: {{htpasswd: {{realm: lab, path: {at}/htpasswd}}}}\n",
            Self::ADDRESS
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let mut registry = command("ip");
        registry.args(["netns", "exec", lab.network_namespace(), "docker-registry", "serve"]);
        let null = std::process::Stdio::null;
        let process =
            registry.arg(folder.path().join("config.yml")).stdout(null()).stderr(null()).spawn().unwrap();
        let login = ["login", "--username", "bob", "--password", "hunter2", Self::ADDRESS];
        let mut docker = command("docker");
        docker.env("HOME", folder.path()).env("DOCKER_HOST", lab.docker_host()).args(login);
        wait_for("the guarded registry", 30, || try_stdout_of(&mut docker).is_ok());
        Self { process, _folder: folder }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_push_goes_by_the_credentials_of_docker_login_and_the_nodes_get_them() {
    let Some(lab) = lab() else { return };
    let _registry = Guarded::up(lab);
    let scene = Scene::before(lab, FakeDocker::new());
    let (image, stack) = (format!("{}/{}:1", Guarded::ADDRESS, unique("shop")), scene.ops.unique("shop"));
    scene.repo.write("images.yaml", format!("- name: {image}\n  context: app\n"));
    scene.repo.write("app/Dockerfile", dockerfile(lab, &format!("RUN echo {image} >/page")));
    scene.repo.stack(&stack, &compose([("app", &App::new(&image).deploy("mode: global"))]));
    let outcome = scene.watch();
    outcome.failure(3).stdout_has("the push of").stdout_has("no basic auth credentials");

    let auth = "Ym9iOmh1bnRlcjI="; // bob:hunter2
    let config = format!("{{\"auths\": {{\"{}\": {{\"auth\": \"{auth}\"}}}}}}", Guarded::ADDRESS);
    std::fs::create_dir_all(scene.ops.home().join(".docker")).unwrap();
    std::fs::write(scene.ops.home().join(".docker/config.json"), config).unwrap();
    let outcome = scene.run(&["reconcile", "--force"]);
    outcome.success().stdout_has("1 built, 1 deployed");
    let pages = lab.in_each_container(&format!("{stack}_app"), &["cat", "/page"]);
    assert_eq!(pages, [&*image, &*image]);
    for secret in [auth, "hunter2"] {
        outcome.stdout_lacks(secret).stderr_lacks(secret);
        let seen = [scene.docker.calls(), scene.docker.environment()].concat().join("\n");
        assert!(!seen.contains(secret));
    }
}
