//! Jobs of a stack: a migration before the rest, a smoke test behind it, each once for a version.

mod failing;
mod killed;
mod put_back;
mod tags;

use std::fs;
use std::path::Path;

use crate::support::dockerops::Outcome;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::{lab, on_every_docker};
use crate::support::registry::Registry;
use crate::support::scene::{App, Scene, compose};
use crate::support::{command, stdout_of, unique};

/// A stack with jobs, whose services write down what they do.
struct Shop {
    scene: Scene,
    stack: String,
    /// All of them mount it.
    log: tempfile::TempDir,
}

impl Shop {
    fn of(scene: Scene) -> Self {
        let (stack, log) = (scene.ops.unique("shop"), tempfile::tempdir().unwrap());
        Self { scene, stack, log }
    }

    /// What its jobs are, by `stacks.yaml`.
    fn list(&self, jobs: &str) -> &Self {
        self.scene
            .repo
            .write("stacks.yaml", format!("- name: {}\n  {}\n", self.stack, jobs.replace('\n', "\n  ")));
        self
    }

    fn service(&self, image: &str, script: &str) -> App {
        let app = App::new(&self.scene.lab.image(image)).shell(script);
        app.with(format!("volumes: ['{}:/log']", self.log.path().display()))
    }

    /// One that Swarm calls a job.
    fn job(&self, script: &str) -> App {
        self.shot(script, "mode: replicated-job").deploy("restart_policy: {condition: none}")
    }

    fn shot(&self, script: &str, deploy: &str) -> App {
        self.service("app:1", script).update("").deploy(deploy)
    }

    /// A server of that version.
    fn web(&self, version: &str) -> App {
        self.service("app:1", &format!("echo web {version} >> /log/said; exec sleep 100000"))
    }

    fn write(&self, services: &[(&str, &App)]) -> &Self {
        self.scene
            .repo
            .write(&format!("{}/docker-compose.yml", self.stack), compose(services.iter().copied()));
        self
    }

    #[track_caller]
    fn watch(&self) -> Outcome {
        self.scene.watch()
    }

    #[track_caller]
    fn push(&self) -> Outcome {
        self.scene.push()
    }

    /// What its services wrote down, in that order.
    fn said(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log.path().join("said")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn forget(&self) {
        fs::write(self.log.path().join("said"), "").unwrap();
    }

    fn name(&self, service: &str) -> String {
        format!("{}_{service}", self.stack)
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Outcome {
        self.scene.run(arguments)
    }
}

/// A script that says a word.
fn says(word: &str) -> String {
    format!("echo {word} >> /log/said")
}

fn is_old(binary: &Path) -> bool {
    stdout_of(command(binary).arg("--version")).contains(" 20.")
}

#[test]
fn a_new_version_runs_its_jobs_in_order_around_the_rest_and_nothing_else_runs_them() {
    let Some(lab) = lab() else { return };
    on_every_docker(|binary| {
        let shop = Shop::of(Scene::before(lab, FakeDocker::before(binary)));
        // The older CLI's `stack deploy` knows no jobs.
        let kind = if is_old(binary) { "restart_policy: {condition: none}" } else { "mode: replicated-job" };
        let seed = shop.shot(&says("seed"), "restart_policy: {condition: none}");
        let write = |version: &str| {
            let [migrate, smoke] =
                ["migrate", "smoke"].map(|job| shop.shot(&says(&format!("{job} {version}")), kind));
            shop.write(&[
                ("migrate", &migrate),
                ("seed", &seed),
                ("smoke", &smoke),
                ("web", &shop.web(version)),
            ]);
        };
        shop.list("before: [migrate, seed]\nafter: [smoke]");
        write("1");
        let outcome = shop.watch();
        outcome.success().stdout_has("1 deployed");
        assert_eq!(shop.said(), ["migrate 1", "seed", "web 1", "smoke 1"]);
        outcome.stderr_has(&format!("its job `{}` completed in ", shop.name("seed")));
        assert_eq!(shop.scene.docker.calls_with("stack deploy").len(), 4);
        assert_eq!(shop.scene.docker.calls_with("--prune"), [""; 0]);

        // Nothing moved; a restart of DockerOps; drift; and a scale by hand.
        shop.forget();
        let jobs = || ["migrate", "smoke"].map(|job| lab.docker(&["service", "inspect", &shop.name(job)]));
        let before = jobs();
        shop.scene.reconcile().success().stdout_has("1 unchanged");
        lab.docker(&["service", "scale", "--detach", &format!("{}=2", shop.name("web"))]);
        let drifted = shop.scene.reconcile();
        drifted.success().stdout_has("drifted").stdout_has("1 deployed");
        shop.scene.repo.write("README", "elsewhere");
        shop.push().success().stdout_has("1 unchanged");
        lab.docker(&["service", "rm", &shop.name("seed")]);
        shop.scene.reconcile().success().stdout_has("1 unchanged");
        assert_eq!(jobs(), before);
        assert!(shop.said().iter().all(|said| said == "web 1"), "{:?}", shop.said());

        // Only the server changes, and a service goes: a new version all the same.
        shop.forget();
        let web = shop.web("2");
        let job = |word: &str| shop.shot(&says(&format!("{word} 1")), kind);
        shop.write(&[
            ("migrate", &job("migrate")),
            ("seed", &seed),
            ("smoke", &job("smoke")),
            ("web", &web),
            ("gone", &shop.scene.off()),
        ]);
        let dry = shop.scene.repo.commit("next");
        assert!(!dry.is_empty());
        shop.run(&["reconcile", "--dry-run"])
            .success()
            .stdout_has("with `migrate`, `seed` before it and `smoke` behind it");
        shop.scene.reconcile().success();
        assert_eq!(shop.said(), ["migrate 1", "seed", "web 2", "smoke 1"]);
        assert_eq!(lab.services(&shop.stack).len(), 5);
        shop.forget();
        write("3");
        shop.push().success();
        assert_eq!(shop.said(), ["migrate 3", "seed", "web 3", "smoke 3"]);
        assert_eq!(lab.services(&shop.stack).len(), 4, "what the file lacks is removed");

        // By force they run again, though nothing changed.
        shop.forget();
        shop.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
        assert_eq!(shop.said(), ["migrate 3", "seed", "smoke 3"]);
        // A lost database takes the stack over, and runs none.
        shop.forget();
        fs::remove_file(shop.scene.ops.database()).unwrap();
        shop.watch().success().stdout_has("adopted");
        shop.scene.reconcile().success().stdout_has("1 unchanged");
        assert_eq!(shop.said(), [""; 0]);
    });
}

#[test]
fn stacks_beside_each_other_do_not_wait_for_jobs_and_those_that_depend_do() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let slow = shop.job("sleep 8; echo smoke >> /log/said");
    shop.write(&[("smoke", &slow), ("web", &shop.web("1"))]);
    let [beside, behind] = ["beside", "behind"].map(|base| shop.scene.ops.unique(base));
    for stack in [&beside, &behind] {
        let app = shop.service("app:1", &format!("echo {stack} >> /log/said; exec sleep 100000"));
        shop.scene.repo.write(&format!("{stack}/docker-compose.yml"), compose([("app", &app)]));
    }
    let list = format!("after: [smoke]\n- name: {beside}\n- name: {behind}\n  depends_on: [{}]", shop.stack);
    let list = format!("- name: {}\n  {list}\n", shop.stack);
    shop.scene.repo.write("stacks.yaml", list);
    shop.watch().success().stdout_has("3 deployed");
    let said = shop.said();
    let at = |word: &str| said.iter().position(|said| said == word).unwrap_or_else(|| panic!("{said:?}"));
    assert!(at(&beside) < at("smoke") && at("smoke") < at(&behind), "{said:?}");
}

#[test]
fn a_tag_that_moved_runs_the_job_that_has_it_before_the_rest_and_no_other() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new());
    let ops = scene.ops.beside_the_registry(lab).always();
    let shop = Shop::of(Scene { ops, ..scene });
    let registry = Registry::start(lab, &[]);
    let [own, other] = ["own", "other"].map(|base| {
        let short = format!("{}:1", unique(base));
        lab.publish(&short, &[]);
        short
    });
    let image = |short: &str| format!("{}/{short}", registry.name(lab));
    let with_image = |short: &str, script: &str| {
        let volume = format!("volumes: ['{}:/log']", shop.log.path().display());
        App::new(&image(short)).shell(script).with(volume)
    };
    let server = |word: &str| format!("echo {word} >> /log/said; exec sleep 100000");
    let migrate = with_image(&own, &says("migrate")).update("").deploy("mode: replicated-job");
    let [web, api] = [(&own, "web"), (&other, "api")].map(|(short, word)| with_image(short, &server(word)));
    shop.list("before: [migrate]").write(&[("migrate", &migrate), ("web", &web), ("api", &api)]);
    shop.watch().success();
    assert_eq!(shop.said()[0], "migrate");
    shop.forget();
    lab.publish(&other, &[]);
    shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(shop.said(), ["api"]);
    shop.forget();
    lab.publish(&own, &[]);
    shop.scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(shop.said(), ["migrate", "web"]);
    shop.scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn a_job_gets_its_secrets_as_variables_and_the_configs_of_its_version() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let (lab, secret) = (shop.scene.lab, unique("password"));
    let file = shop.log.path().join("secret");
    fs::write(&file, "s3cret").unwrap();
    lab.docker(&["secret", "create", &secret, file.to_str().unwrap()]);
    let job = shop.job("echo $$PASSWORD $$(cat /site) >> /log/said");
    let job = job.with("configs: [{source: site, target: /site}]").with("entrypoint: [/bin/busybox, env]");
    let write = |version: &str| {
        let text = compose([("migrate", &job), ("web", &shop.web(version))]);
        let text = format!("{text}configs: {{site: {{file: site}}}}\n");
        shop.scene
            .repo
            .write(&format!("{}/docker-compose.yml", shop.stack), text)
            .write(&format!("{}/site", shop.stack), format!("site {version}"))
            .write(
                &format!("{}/secrets.yaml", shop.stack),
                format!("- {{secret: {secret}, env: PASSWORD, services: [migrate]}}\n"),
            );
    };
    shop.list("before: [migrate]");
    write("1");
    shop.watch().success();
    write("2");
    shop.push().success();
    assert_eq!(shop.said(), ["s3cret site 1", "web 1", "s3cret site 2", "web 2"]);
    shop.scene.repo.write("stacks.yaml", format!("- {{name: {}, enabled: false}}\n", shop.stack));
    shop.push().success();
    let _ = lab.try_docker(&["secret", "rm", &secret]);
}

#[test]
fn what_is_no_job_is_a_mistake_with_file_line_and_key() {
    let Some(scene) = Scene::new() else { return };
    let shop = Shop::of(scene);
    let job = shop.job("true");
    let services = [("migrate", &job), ("web", &shop.scene.off())];
    shop.list("before: [migrate, web, nothing]\nafter: [migrate]\ntimeout: soon").write(&services);
    let said = shop.watch();
    said.failure(1).error_has(&format!("stacks.yaml:3: `{}.after`: `migrate` is named twice", shop.stack));
    said.error_has(&format!("stacks.yaml:4: `{}.timeout`: must be from `1s` to `24h`", shop.stack));
    said.error_has(&format!("stacks.yaml:2: `{}.before`: `web` does not end by itself", shop.stack));
    said.error_has("`nothing` is no service of its compose file, which has `migrate`, `web`");
    // Where the list is right as such, only that stack is wrong.
    shop.list("before: [web]");
    shop.watch()
        .failure(3)
        .stdout_has("`web` does not end by itself: a job has `deploy.mode: replicated-job`");
}
