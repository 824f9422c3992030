//! Deploying: in place, only what changed, awaited to the truth, with docker's and the tasks' own words.

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::git_server::GitServer;
use crate::support::lab::{docker_binaries, lab, on_every_docker};
use crate::support::scene::{App, Scene, compose};
use crate::support::wait_for;

/// Lets docker's own words begin: it names no such network, so it refuses the stack.
const MISSING_NETWORK: &str = "networks:\n  default:\n    external: true\n    name: no-such-network\n";

#[test]
fn watch_deploys_and_every_service_says_where_it_comes_from() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.ops.unique("web");
    // Labels as a mapping, as a list, and none.
    let (mapped, listed, bare) =
        (scene.off().deploy("labels: {mine: '1'}"), scene.off().deploy("labels: ['mine=1']"), scene.off());
    scene.repo.stack(&stack, &compose([("one", &mapped), ("two", &listed), ("three", &bare)]));
    scene.watch().success().stdout_has(&stack).stdout_has("1 deployed");
    let (hash, status) = scene.row(&stack).unwrap();
    assert_eq!((hash.len(), &*status), (32, "deployed"));
    let mine = ["one", "three", "two"].map(|name| {
        let service = format!("{stack}_{name}");
        assert_eq!(scene.lab.label(&service, "dockerops.commit"), scene.repo.head());
        assert_eq!(scene.lab.label(&service, "dockerops.fingerprint"), hash);
        assert!(
            scene.lab.label(&service, "dockerops.repository").contains(scene.repo.path().to_str().unwrap())
        );
        scene.lab.label(&service, "mine")
    });
    assert_eq!(mine, ["1", "", "1"]);
    let template = scene.lab.spec(&format!("{stack}_one"), "json .Spec.TaskTemplate");
    assert!(!template.contains("dockerops."), "nothing of it restarts a task: {template}");
}

#[test]
fn every_docker_cli_watches_changes_and_unwatches() {
    let Some(lab) = lab() else { return };
    on_every_docker(|binary| {
        let scene = Scene::before(lab, FakeDocker::before(binary));
        let stack = scene.stack("cli", &scene.on());
        scene.watch().success();
        let before = lab.tasks(&stack);
        scene.reconcile().success().stdout_has("1 unchanged");
        scene
            .change(&stack, &scene.on().with("environment: {A: '2'}"))
            .push()
            .success()
            .stdout_has("1 deployed");
        assert_ne!(lab.tasks(&stack), before, "{}", binary.display());
        lab.edit(&format!("{stack}_app"), &["--env-add", "B=1"]);
        scene.reconcile().success().stdout_has("1 deployed");
        scene.run(&["unwatch", &scene.repo.url()]).success();
        assert_eq!(lab.services(&stack), [""; 0]);
    });
}

#[test]
fn a_deploy_is_exactly_one_stack_deploy_and_never_a_removal() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("args", &scene.off());
    scene.watch().success();
    let call = |resolve: &str| {
        let options = "--prune --with-registry-auth --resolve-image";
        format!("stack deploy {options} {resolve} --compose-file - {stack}")
    };
    let created = |scene: &Scene| scene.lab.spec(&format!("{stack}_app"), "json .CreatedAt");
    let before = created(&scene);
    assert_eq!(scene.docker.calls_with("stack deploy"), [call("changed")]);
    scene.change(&stack, &scene.off().with("environment: {A: '2'}")).push().success();
    assert_eq!(scene.docker.calls_with("stack deploy"), [call("changed")]);
    assert_eq!(scene.docker.calls_with(" rm "), [""; 0]);
    scene.run(&["reconcile", "--force"]).success().stdout_has("1 deployed");
    assert_eq!(scene.docker.calls_with("stack deploy"), [call("changed")]);
    assert_eq!(created(&scene), before);
}

#[test]
fn an_idle_reconcile_is_two_docker_calls_and_one_ls_remote() {
    let Some(scene) = Scene::new() else { return };
    for name in ["one", "two", "three"] {
        scene.stack(name, &scene.off());
    }
    scene.repo.commit("first");
    let folder = tempfile::tempdir().unwrap();
    scene.repo.publish(folder.path(), "r");
    let server = GitServer::start(folder.path(), &[]);
    scene.run(&["watch", &server.url("r")]).success();
    let before = server.requests().len();
    scene.reconcile().success().stdout_has("3 unchanged");
    let calls = scene.docker.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].starts_with("service ls ") && calls[1].starts_with("service inspect "), "{calls:?}");
    let asked = &server.requests()[before..];
    assert!(asked.len() == 1 && asked[0].contains("info/refs"), "{asked:?}");
}

#[test]
fn a_service_of_somebody_else_that_goes_between_two_calls_costs_no_third() {
    let Some(lab) = lab() else { return };
    for binary in docker_binaries() {
        let gone = format!("exec {} \"$@\" no-such-service", binary.display());
        let docker = FakeDocker::before(&binary).does("service inspect", &gone);
        let scene = Scene::before(lab, docker);
        scene.stack("calm", &scene.off());
        scene.watch().success();
        scene.reconcile().success().stdout_has("1 unchanged");
        assert_eq!(scene.docker.calls().len(), 2);
    }
}

#[test]
fn a_commit_deploys_only_the_stack_it_touches() {
    let Some(scene) = Scene::new() else { return };
    let (one, two) = (scene.stack("one", &scene.on()), scene.stack("two", &scene.off()));
    scene.watch().success();
    let (specs, tasks) = (scene.lab.specs(&one), scene.lab.tasks(&one));
    scene.change(&two, &scene.off().with("environment: {A: '2'}"));
    scene.push().success().stdout_has("1 deployed, 1 unchanged");
    assert_eq!(scene.deploys(), [two]);
    scene.repo.write("README.md", "words").commit("words");
    scene.reconcile().success().stdout_has("2 unchanged");
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!((scene.lab.specs(&one), scene.lab.tasks(&one)), (specs, tasks));
    scene.reconcile().success();
    assert_eq!(scene.docker.calls().len(), 3, "the commit without a change is remembered");
}

#[test]
fn a_commit_that_changes_a_label_restarts_no_task() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("label", &scene.on());
    scene.watch().success();
    let tasks = scene.lab.tasks(&stack);
    scene.change(&stack, &scene.on().deploy("labels: {mine: '2'}")).push().success();
    assert_eq!(scene.deploys(), [&*stack]);
    assert_eq!(scene.lab.label(&format!("{stack}_app"), "mine"), "2");
    assert_eq!(scene.lab.tasks(&stack), tasks);
    scene.run(&["reconcile", "--force"]).success();
    assert_eq!(scene.lab.tasks(&stack), tasks);
}

#[test]
fn stacks_without_a_dependency_are_deployed_before_any_is_awaited() {
    let Some(scene) = Scene::new() else { return };
    let stacks = ["one", "two", "three"].map(|name| scene.stack(name, &scene.on()));
    scene.watch().success();
    let calls = scene.docker.calls();
    let last_deploy = calls.iter().rposition(|call| call.starts_with("stack deploy")).unwrap();
    let first_look = calls.iter().position(|call| call.starts_with("service ps")).unwrap();
    scene.deployed(stacks.each_ref().map(String::as_str));
    assert!(last_deploy < first_look, "{calls:?}");
}

#[test]
fn a_stack_that_does_not_converge_fails_at_the_deadline() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(10);
    let stack = scene.stack("late", &scene.on().deploy("placement: {constraints: [node.labels.x == y]}"));
    let begun = std::time::Instant::now();
    scene.watch().failure(3).stdout_has("did not converge within 10 s").stdout_has("no suitable node");
    assert!(begun.elapsed().as_secs() < 25, "the deadline holds");
    assert_eq!(scene.row(&stack).unwrap(), (String::new(), "error".into()));
}

#[test]
fn a_failed_stack_keeps_its_fingerprint_back_and_is_tried_again() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(10);
    let good = scene.stack("good", &scene.off());
    let bad = scene.stack("bad", &App::new(&scene.lab.image("missing:1")));
    let outcome = scene.watch();
    outcome.failure(3).stdout_has("manifest unknown").stdout_has("1 deployed, 1 failed");
    assert_eq!(scene.deploys(), [&*good], "docker was told of a tag that its registry denies");
    assert_eq!(scene.row(&bad).unwrap(), (String::new(), "error".into()));
    assert_eq!(scene.row(&good).unwrap().1, "deployed");
    assert!(scene.status(&bad)["error"].as_str().unwrap().contains("manifest unknown"));
    let untouched = scene.lab.specs(&good);
    scene.reconcile().failure(3).stdout_has("manifest unknown");
    assert_eq!(scene.deploys(), [""; 0]);
    assert_eq!(scene.lab.specs(&good), untouched);
    let scene = scene.timeout(60);
    scene.change(&bad, &scene.on()).push().success().stdout_has("1 deployed, 1 unchanged");
    assert_eq!(scene.row(&bad).unwrap().1, "deployed");
}

#[test]
fn a_later_failure_leaves_the_fingerprint_that_converged() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(60);
    let stack = scene.stack("late", &scene.on());
    scene.watch().success();
    let (hash, _) = scene.row(&stack).unwrap();
    let live = || (scene.lab.specs(&stack), scene.lab.tasks(&stack));
    let before = live();
    scene.change(&stack, &App::new(&scene.lab.image("missing:2"))).push().failure(3);
    assert_eq!(
        (scene.deploys(), live()),
        (vec![], before),
        "docker is not told of a tag that its registry denies"
    );
    assert_eq!(scene.row(&stack).unwrap(), (hash.clone(), "error".into()));
    scene.change(&stack, &scene.on()).push().success();
    assert_eq!(scene.row(&stack).unwrap(), (hash, "deployed".into()));
}

#[test]
fn what_docker_refuses_is_shown_in_its_own_words_whole() {
    let Some(lab) = lab() else { return };
    for binary in docker_binaries() {
        let scene = Scene::before(lab, FakeDocker::before(&binary));
        let good = scene.stack("good", &scene.off());
        for (base, more) in
            [("network", MISSING_NETWORK.to_owned()), ("key", "    imagine: dragons\n".to_owned())]
        {
            let stack = scene.stack(base, &scene.off());
            let file = format!("{stack}/docker-compose.yml");
            let text = compose([("app", &scene.off())]) + &more;
            scene.repo.write(&file, text);
        }
        let outcome = scene.watch();
        outcome.failure(3).stdout_has("1 deployed, 2 failed");
        for stack in scene.deploys().into_iter().filter(|stack| *stack != good) {
            let file = scene.repo.path().join(&stack).join("docker-compose.yml");
            let mut deploy = crate::support::command(&binary);
            deploy.env("HOME", scene.ops.home()).env("DOCKER_HOST", lab.docker_host());
            let deploy = deploy.args(["stack", "deploy", "-c"]).arg(&file).arg(&stack);
            let words = crate::support::try_stdout_of(deploy).unwrap_err();
            let words = words.trim().lines().filter(|line| !line.contains("--detach")).collect::<Vec<_>>();
            outcome.stdout_has(&words.join("\n"));
            assert_eq!(lab.services(&stack), [""; 0]);
        }
        assert_eq!(lab.services(&good).len(), 1);
    }
}

#[test]
fn a_rollback_is_a_failure_and_is_not_pushed_again_until_asked() {
    let Some(scene) = Scene::new() else { return };
    let careful = "monitor: 1s, failure_action: rollback";
    let good = scene.on().update(careful);
    let bad = good.clone().shell("echo no way >&2; exit 42");
    let stack = scene.stack("roll", &good);
    scene.watch().success();
    let (hash, _) = scene.row(&stack).unwrap();
    scene.change(&stack, &bad);
    scene.push().failure(3).stdout_has("rolled it back").stdout_has("non-zero exit (42)");
    assert_eq!(scene.row(&stack).unwrap(), (hash, "error".into()));
    assert_eq!(scene.status(&stack)["held"], true);
    scene.reconcile().failure(3).stdout_has("non-zero exit (42)").stdout_has("held until");
    assert_eq!(scene.deploys(), [""; 0]);
    scene.run(&["reconcile", "--force"]).failure(3).stdout_has("rolled it back");
    assert_eq!(scene.deploys(), [&*stack]);
    scene.repo.write("README.md", "words");
    scene.push().failure(3).stdout_has("rolled it back");
    assert_eq!(scene.deploys(), [&*stack]);
    scene.change(&stack, &good).push().success().stdout_has("1 deployed");
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn an_update_that_swarm_pauses_is_a_failure_and_is_not_pushed_on() {
    let Some(scene) = Scene::new() else { return };
    // However late a busy docker tells of the task's end.
    let bad = scene.on().update("monitor: 30s").shell("exit 43");
    let stack = scene.stack("pause", &scene.on());
    scene.watch().success();
    scene.change(&stack, &bad).push().failure(3).stdout_has("non-zero exit (43)");
    assert_eq!(scene.status(&stack)["held"], true);
    // Of several tasks most run as before: every further deploy would take one of them.
    scene.reconcile().failure(3).stdout_has("non-zero exit (43)").stdout_has("held until");
    assert_eq!(scene.deploys(), [""; 0]);
    scene.change(&stack, &scene.on()).push().success().stdout_has("1 deployed");
}

#[test]
fn a_service_that_changes_its_mode_says_what_to_do() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("mode", &scene.on());
    scene.watch().success();
    scene
        .change(&stack, &scene.on().deploy("mode: global"))
        .push()
        .failure(3)
        .stdout_has("`docker service rm` it");
    scene.lab.docker(&["service", "rm", &format!("{stack}_app")]);
    scene.reconcile().success().stdout_has("1 deployed");
}

#[test]
fn an_update_that_is_asked_to_pause_between_its_tasks_is_left_to_do_so() {
    let Some(scene) = Scene::new() else { return };
    let app = scene.on().replicas(3).update("monitor: 1s, delay: 20s");
    let stack = scene.stack("slowly", &app);
    scene.watch().success();
    let scene = scene.timeout(60);
    let said = scene.change(&stack, &app.with("environment: {N: '2'}")).push();
    said.failure(3).stdout_has("goes on after 60 s").stdout_has("`update_config.delay`");
    let mut deploys = 0;
    wait_for("its end", 150, || {
        let ended = scene.reconcile().stdout.contains("converged in");
        deploys += scene.deploys().len();
        ended
    });
    assert_eq!(deploys, 0, "given again it would lose its pauses");
}

#[test]
fn an_update_that_an_operator_brings_to_its_end_is_held_no_more() {
    let Some(scene) = Scene::new() else { return };
    let app = scene.on().update("monitor: 5s").deploy("placement: {constraints: [node.role == manager]}");
    let stack = scene.stack("resumed", &app);
    scene.watch().success();
    // It fails as long as a file is not there.
    let needs = app.with("volumes: ['data:/d']").shell("test -e /d/ok || exit 46; exec sleep 100000");
    let text = compose([("app", &needs)]) + "volumes: {data: {}}\n";
    scene.repo.write(&format!("{stack}/docker-compose.yml"), text);
    scene.push().failure(3).stdout_has("non-zero exit (46)");
    assert_eq!(scene.status(&stack)["held"], true);
    let (volume, image) = (format!("{stack}_data:/d"), scene.lab.image("app:1"));
    scene.lab.docker(&["run", "--rm", "--volume", &volume, &image, "touch", "/d/ok"]);
    let service = format!("{stack}_app");
    scene.lab.docker(&["service", "update", "--force", &service]);
    let tasks = || scene.lab.docker(&["service", "ps", "--quiet", &service]);
    let before = tasks();
    scene.reconcile().success().stdout_has("by now all runs as the source says").stdout_has("1 deployed");
    assert_eq!(tasks(), before, "nothing restarts");
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn a_new_service_that_crashes_again_and_again_is_not_called_deployed() {
    let Some(scene) = Scene::new() else { return };
    let scene = scene.timeout(15);
    // It dies after the first look and within its monitor period, and is up again at the deadline.
    let crashing =
        scene.on().update("monitor: 5s").deploy("restart_policy: {delay: 0s}").shell("sleep 1; exit 44");
    let stack = scene.stack("crash", &crashing);
    scene.watch().failure(3).stdout_has("non-zero exit (44)");
    assert_eq!(scene.row(&stack).unwrap(), (String::new(), "error".into()));
}

#[test]
fn a_one_shot_and_a_job_are_done_when_they_completed() {
    let Some(scene) = Scene::new() else { return };
    let shot = scene.on().deploy("restart_policy: {condition: none}");
    let job = scene.on().update("").deploy("mode: replicated-job").replicas(2).shell("sleep 1");
    let one = scene.stack("once", &shot.clone().shell("sleep 1"));
    scene.stack("job", &job);
    scene.watch().success().stdout_has("2 deployed");
    // What a look without tasks cannot know is not told.
    scene.reconcile().success().stdout_has("2 unchanged").stdout_lacks("0/1");
    scene.change(&one, &shot.shell("true")).push().success().stdout_has("1 deployed, 1 unchanged");
}

#[test]
fn a_one_shot_that_fails_is_a_failure() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("once", &scene.on().deploy("restart_policy: {condition: none}").shell("exit 45"));
    scene.watch().failure(3).stdout_has("non-zero exit (45)");
    assert_eq!(scene.row(&stack).unwrap().1, "error");
}

#[test]
fn global_services_and_health_checks_are_awaited() {
    let Some(scene) = Scene::new() else { return };
    let global = scene.on().deploy("mode: global");
    let health = App::new(&scene.lab.image("health:1"));
    let sick = health.clone().with("healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 1}");
    let (global, health) = (scene.stack("global", &global), scene.stack("health", &health));
    scene.watch().success().stdout_has("2 deployed");
    assert_eq!((scene.lab.tasks(&global).len(), scene.lab.tasks(&health).len()), (2, 1));
    scene.change(&health, &sick).push().failure(3).stdout_has("unhealthy");
}

#[test]
fn a_file_that_the_compose_file_names_decides_what_runs() {
    let Some(scene) = Scene::new() else { return };
    let app = scene.off().with("env_file: app.env");
    let (one, two) = (scene.stack("env", &app), scene.ops.unique("config"));
    let configs = "configs:\n  page:\n    file: page.html\n";
    scene.repo.stack(&two, &(compose([("app", &scene.off().with("configs: [page]"))]) + configs));
    scene.repo.write(&format!("{one}/app.env"), "A=1\n").write(&format!("{two}/page.html"), "one");
    scene.watch().success();
    scene.repo.write(&format!("{one}/app.env"), "A=2\n");
    scene.push().success().stdout_has("1 deployed, 1 unchanged");
    assert_eq!(scene.deploys(), [&*one]);
    assert!(scene.lab.spec(&format!("{one}_app"), "json .Spec.TaskTemplate").contains("A=2"));
    scene.repo.write(&format!("{two}/page.html"), "two");
    scene.push();
    assert_eq!(scene.deploys(), [two]);
}

#[test]
fn without_a_docker_nothing_else_is_tried() {
    let ops = DockerOps::without_docker();
    let outcome = ops.run(["watch", "/no/such/repository"]);
    outcome.failure(1).stderr_has("Cannot connect to the Docker daemon").stderr_has("hint:");
    assert!(!outcome.stderr.contains("/no/such/repository: "), "{outcome}");
}
