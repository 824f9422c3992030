//! A deploy in motion holds up nobody: other pushes are applied meanwhile, a fix overtakes what it fixes, other runs
//! have their turns, and what nobody saw the end of is judged by whoever looks next.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::dockerops::Running;
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::Repo;
use crate::support::scene::{App, Scene, compose};
use crate::support::{unique, wait_for};

/// A service that no node takes.
fn hanging(scene: &Scene) -> App {
    scene.on().deploy("placement: {constraints: [node.labels.none == such]}")
}

/// Tells the daemon to look, and how long it takes until the Swarm has what was pushed.
fn pushed(run: &Running, done: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    run.signal(Signal::HUP);
    wait_for("what was pushed", 60, done);
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_push_is_applied_while_another_stack_hangs_and_a_fix_overtakes_what_it_fixes() {
    let Some(scene) = Scene::new() else { return };
    let mut scene = scene.timeout(300);
    scene.ops = scene.ops.limit(240);
    let good: Vec<_> = (0..20).map(|n| scene.stack(&format!("good{n}"), &scene.off())).collect();
    let hangs = scene.stack("hangs", &hanging(&scene));
    scene.repo.commit("first");
    let other = Repo::new();
    let elsewhere = scene.ops.unique("elsewhere");
    let text = |n: usize| {
        format!(
            "services: {{app: {{image: '{}', environment: {{N: '{n}'}}, deploy: {{replicas: 0}}}}}}",
            scene.lab.image("app:1")
        )
    };
    other.stack(&elsewhere, &text(0)).commit("first");
    let urls = format!("{},{}", scene.repo.url(), other.url());
    // By itself it looks only once in ten minutes.
    scene.ops = scene.ops.env("DOCKEROPS_REPOS", urls).env("DOCKEROPS_SYNC_INTERVAL", "600");
    let mut run = scene.ops.spawn(["run"]);
    run.wait_for(&format!("deployed  {elsewhere} "), 1, 120);
    run.wait_for(&format!("deployed  {} ", good[19]), 1, 120);
    let has = |service: &str, value: &str| scene.lab.spec(service, "json .Spec.TaskTemplate").contains(value);

    let mut times = Vec::new();
    for n in 1..=5 {
        other.stack(&elsewhere, &text(n)).commit("next");
        let service = format!("{elsewhere}_app");
        times.push(pushed(&run, || has(&service, &format!("N={n}"))));
    }
    assert!(median(times.clone()) < Duration::from_secs(5), "a push elsewhere: {times:?}");
    assert!(!run.stdout().contains(&format!("failed    {hangs} ")), "it was waited for meanwhile");

    let service = format!("{hangs}_app");
    let mut times = Vec::new();
    for n in 1..=5 {
        let app = if n == 5 { scene.on() } else { hanging(&scene) };
        scene.change(&hangs, &app.with(format!("environment: {{N: '{n}'}}"))).repo.commit("fix");
        times.push(pushed(&run, || has(&service, &format!("N={n}"))));
    }
    assert!(median(times.clone()) < Duration::from_secs(5), "a fix: {times:?}");
    run.wait_for(&format!("deployed  {hangs} "), 1, 60);
    run.signal(Signal::TERM);
    run.wait().success();
}

#[test]
fn a_call_of_docker_that_hangs_holds_up_no_other_stack_and_no_other_run() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new());
    let hangs = scene.stack("hangs", &scene.off());
    let fake = scene.docker.does(&format!("- {hangs}"), "[[ -e $folder/go ]] || exec sleep 40");
    let mut scene = Scene { docker: fake, ..scene };
    scene.ops = scene.ops.with_fake(&scene.docker).limit(150);
    let web = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    let begun = Instant::now();
    let mut run = scene.ops.spawn(["watch", &scene.repo.url()]);
    run.wait_for(&format!("deployed  {web} "), 1, 20);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let status = scene.ops.run(["status", "--json"]).json();
    let told = |state: &str, what: &str| {
        let all = status["under_way"].as_array().unwrap();
        all.iter().any(|work| work["state"] == state && work["what"] == what)
    };
    assert!(told("deploying", &hangs), "{status}");
    // Another run neither waits for the lock nor gives it to docker as well.
    let second = scene.ops.spawn(["reconcile"]);
    wait_for("its turn", 20, || second.stderr().contains("fetching"));
    assert_eq!(scene.docker.calls_with(&format!("- {hangs}")).len(), 1);
    run.signal(Signal::KILL);
    run.wait();
    scene.docker.release();
    second.wait().success().stdout_has(&format!("deployed  {hangs} "));
    scene.reconcile().success().stdout_has("2 unchanged");
}

#[test]
fn a_source_whose_calls_of_docker_all_hang_takes_no_room_from_another() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new());
    let mut docker = scene.docker;
    for number in 0..12 {
        let hangs = scene.ops.unique(&format!("hangs{number}"));
        docker = docker.does(&format!("- {hangs}"), "[[ -e $folder/go ]] || exec sleep 60");
        scene.repo.stack(&hangs, &compose([("app", &App::new(&lab.image("app:1")).replicas(0))]));
    }
    scene.repo.commit("first");
    let (other, web) = (Repo::new(), scene.ops.unique("web"));
    other.stack(&web, &compose([("app", &App::new(&lab.image("app:1")).replicas(0))])).commit("first");
    let urls = format!("{},{}", scene.repo.url(), other.url());
    let ops = scene.ops.with_fake(&docker).env("DOCKEROPS_REPOS", urls).limit(150);
    let begun = Instant::now();
    let mut run = ops.spawn(["run"]);
    run.wait_for(&format!("deployed  {web} "), 1, 40);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(docker.calls_with("stack deploy").len(), 9);
    docker.release();
    run.signal(Signal::KILL);
    run.wait();
}

#[test]
fn pulls_of_a_registry_that_says_nothing_hold_up_no_other_pull() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new());
    let mut docker = scene.docker;
    for number in 0..5 {
        let silent = format!("{}/silent-{}:{number}", lab.registry(), unique("pull"));
        docker = docker.does(&format!("pull {silent}"), "exec sleep 90");
        let name = scene.ops.unique(&format!("a-silent-{number}"));
        scene.repo.stack(&name, &compose([("app", &App::new(&silent))]));
    }
    let mut scene = Scene { docker, ..scene };
    let late = format!("{}:1", unique("late"));
    scene.lab.publish(&late, &[]);
    let web = scene.stack("web", &App::new(&scene.lab.image(&late)));
    scene.ops = scene.ops.with_fake(&scene.docker).limit(150);
    scene.repo.commit("first");
    let begun = Instant::now();
    let mut run = scene.ops.spawn(["watch", &scene.repo.url()]);
    run.wait_for(&format!("deployed  {web} "), 1, 40);
    assert!(begun.elapsed() > Duration::from_secs(9), "none had to wait: {:?}", begun.elapsed());
    assert_eq!(scene.docker.calls_with("/silent-").len(), 5);
    run.signal(Signal::INT);
    run.wait().failure(130);
}

#[test]
fn a_command_that_waits_lets_others_have_their_turn_and_undoes_nothing_of_theirs() {
    let Some(scene) = Scene::new() else { return };
    let mut scene = scene.timeout(60);
    scene.ops = scene.ops.limit(200);
    let (hangs, web) = (scene.stack("hangs", &scene.off()), scene.stack("web", &scene.off()));
    scene.watch().success();
    scene.change(&hangs, &hanging(&scene)).repo.commit("it hangs");
    scene.docker.forget();
    let first = scene.ops.spawn(["reconcile"]);
    scene.docker.wait_for_call("service ps");
    // Another run has a newer commit: the first one has read the older, and must not put that back.
    scene.change(&web, &scene.off().with("environment: {N: '2'}"));
    scene.change(&hangs, &scene.off().with("environment: {N: '2'}")).repo.commit("mended");
    let second = scene.ops.run(["reconcile"]);
    second.success().stdout_has(&format!("deployed  {web} ")).stdout_has(&format!("deployed  {hangs} "));
    let specs = [scene.lab.specs(&web), scene.lab.specs(&hangs)];
    first.wait().success().stdout_lacks("failed");
    assert_eq!([scene.lab.specs(&web), scene.lab.specs(&hangs)], specs);
    scene.reconcile().success().stdout_has("2 unchanged");
    assert_eq!(scene.deploys(), [""; 0]);
}

#[test]
fn of_two_runs_at_once_both_end_when_all_of_it_runs() {
    let Some(mut scene) = Scene::new() else { return };
    scene.ops = scene.ops.limit(200);
    let app = |n: u8| scene.on().update("monitor: 1s").with(format!("environment: {{N: '{n}'}}"));
    let names = ["base", "middle", "top"].map(|base| scene.stack(base, &app(1)));
    let [base, middle, top] = &names;
    scene.repo.write(
        "stacks.yaml",
        format!(
            "- name: {base}\n- {{name: {middle}, depends_on: [{base}]}}\n- {{name: {top}, depends_on: [{middle}]}}\n"
        ),
    );
    scene.watch().success();
    for stack in &names {
        scene.repo.write(&format!("{stack}/docker-compose.yml"), compose([("app", &app(2))]));
    }
    scene.repo.commit("next");
    scene.docker.forget();
    let first = scene.ops.spawn(["reconcile"]);
    scene.docker.wait_for_call("stack deploy");
    let second = scene.ops.spawn(["reconcile"]);
    let first = first.wait();
    let runs = names
        .clone()
        .map(|stack| scene.lab.spec(&format!("{stack}_app"), "json .Spec.TaskTemplate").contains("N=2"));
    first.success();
    assert_eq!(runs, [true; 3], "it ended before all runs: {first}");
    second.wait().success();
    assert_eq!(scene.deploys().len(), 3, "{:?}", scene.deploys());
}

#[test]
fn of_two_runs_at_once_both_tell_what_failed_and_count_it_once() {
    let Some(mut scene) = Scene::new() else { return };
    scene.ops = scene.ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "12").limit(200);
    let (bad, good) = (scene.stack("bad", &hanging(&scene)), scene.stack("good", &scene.off()));
    scene.repo.commit("first");
    let first = scene.ops.spawn(["watch", &scene.repo.url()]);
    scene.docker.wait_for_call(&format!("- {bad}"));
    wait_for("the good one", 60, || !scene.lab.services(&good).is_empty());
    let second = scene.ops.spawn(["reconcile"]);
    let (first, second) = (first.wait(), second.wait());
    for said in [&first, &second] {
        said.failure(3).stdout_has(&format!("failed    {bad} "));
        let counted = said.stdout.lines().last().unwrap_or_default();
        assert!(["1 deployed, 1 failed", "1 unchanged, 1 failed"].contains(&counted), "{said}");
    }
    let calls = scene.docker.calls_with(&format!("- {bad}"));
    assert_eq!(calls.len(), 1, "who saw it fail tries it again: {calls:?}");
}

#[test]
fn a_source_that_is_unwatched_beside_a_waiting_run_is_left_by_it() {
    let Some(scene) = Scene::new() else { return };
    let mut scene = scene.timeout(60);
    scene.ops = scene.ops.limit(200);
    let stack = scene.stack("hangs", &hanging(&scene));
    scene.repo.commit("first");
    let url = scene.repo.url();
    let run = scene.ops.spawn(["watch", &url]);
    scene.docker.wait_for_call("service ps");
    scene.ops.run(["unwatch", &url]).success();
    run.wait().failure(1).stdout_has("it is not watched any more").error_has("is not watched any more");
    assert_eq!(scene.lab.services(&stack), [""; 0]);
}

#[test]
fn what_a_killed_run_left_in_motion_is_judged_by_the_next_look_without_another_deploy() {
    let Some(scene) = Scene::new() else { return };
    let mut scene = scene.timeout(60);
    scene.ops = scene.ops.limit(120);
    let stack = scene.stack("slow", &scene.on().shell("sleep 600"));
    scene.repo.commit("first");
    let run = scene.ops.spawn(["watch", &scene.repo.url()]);
    scene.docker.wait_for_call("service ps");
    run.signal(Signal::KILL);
    run.wait();
    let specs = scene.lab.specs(&stack).len();
    assert_eq!(specs, 1);
    scene.reconcile().success().stdout_has(&format!("deployed  {stack}  new; converged in "));
    assert_eq!(scene.deploys(), [""; 0], "it was in motion already");
    scene.reconcile().success().stdout_has("1 unchanged");
}

#[test]
fn what_docker_took_while_the_run_was_asked_to_end_is_in_motion_for_the_next_one() {
    let Some(scene) = Scene::new() else { return };
    let stack = scene.stack("slow", &scene.off());
    scene.repo.commit("first");
    let scene = Scene { docker: scene.docker.does(&format!("- {stack}"), "sleep 4"), ..scene };
    let end = |run: Running| {
        scene.docker.wait_for_call(&format!("- {stack}"));
        run.signal(Signal::TERM);
        run.wait()
    };
    end(scene.ops.spawn(["watch", &scene.repo.url()])).failure(128 + 15);
    scene.reconcile().success().stdout_has(&format!("deployed  {stack}  new; converged in "));
    assert_eq!(scene.deploys(), [""; 0], "docker had it");

    scene.change(&stack, &scene.off().with("environment: {N: '2'}")).repo.commit("second");
    scene.docker.forget();
    end(scene.ops.spawn(["run"])).success();
    scene.reconcile().success().stdout_has(&format!("deployed  {stack}  changed; converged in "));
    assert_eq!(scene.deploys(), [""; 0], "docker had it");
}

#[test]
fn what_others_change_while_a_deploy_is_in_motion_is_no_part_of_it() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new()).timeout(90);
    let stack = scene.stack("edited", &scene.on().update("monitor: 12s"));
    let service = format!("{stack}_app");
    scene.watch().success();
    let environment = || scene.lab.spec(&service, "json .Spec.TaskTemplate.ContainerSpec.Env");
    for (n, edit) in [(1, ["--env-add", "FOREIGN=1"]), (2, ["--replicas", "2"])] {
        let app = scene.on().update("monitor: 12s").with(format!("environment: {{N: '{n}'}}"));
        scene.change(&stack, &app).repo.commit("next");
        scene.docker.forget();
        let run = scene.ops.spawn(["reconcile"]);
        wait_for("a second look", 60, || scene.docker.calls_with("service ps").len() > 1);
        scene.lab.edit(&service, &edit);
        let outcome = run.wait();
        // Whether this run or the next one puts it back, nothing calls it deployed and leaves it.
        if !outcome.stdout.contains("drifted") {
            scene.reconcile().success().stdout_has("drifted: ");
        }
        assert_eq!(environment(), format!(r#"["N={n}"]"#), "{edit:?}");
        assert!(scene.lab.spec(&service, "json .Spec.Mode").contains("\"Replicas\":1"));
        scene.reconcile().success().stdout_has("1 unchanged");
    }
    // Removed altogether it is given again at once, not at the deadline.
    let app = scene.on().update("monitor: 12s").with("environment: {N: '3'}");
    scene.change(&stack, &app).repo.commit("next");
    scene.docker.forget();
    let run = scene.ops.spawn(["reconcile"]);
    wait_for("a second look", 60, || scene.docker.calls_with("service ps").len() > 1);
    scene.lab.docker(&["service", "rm", &service]);
    let outcome = run.wait();
    outcome.success().stdout_has("was removed by hand while it was deployed");
    assert_eq!(environment(), r#"["N=3"]"#);
}

#[test]
fn what_another_version_in_motion_changed_is_no_drift_when_the_source_goes_back() {
    let Some(scene) = Scene::new() else { return };
    let mut scene = scene.timeout(60);
    scene.ops = scene.ops.limit(120);
    let stack = scene.stack("web", &scene.off());
    scene.watch().success();
    scene.change(&stack, &hanging(&scene)).repo.commit("it hangs");
    scene.docker.forget();
    let run = scene.ops.spawn(["reconcile"]);
    scene.docker.wait_for_call("service ps");
    run.signal(Signal::KILL);
    run.wait();
    let back = scene.change(&stack, &scene.off()).push();
    back.success().stdout_has(&format!("deployed  {stack}  changed")).stdout_lacks("drift");
}

#[test]
fn a_commit_that_was_begun_and_reverted_is_undone_as_well() {
    let Some(scene) = Scene::new() else { return };
    let (changes, goes, late) = (
        scene.stack("changes", &scene.off()),
        scene.stack("goes", &scene.off()),
        scene.stack("late", &scene.off()),
    );
    scene.watch().success();
    let first = scene.repo.head();
    let environment =
        || scene.lab.spec(&format!("{changes}_app"), "json .Spec.TaskTemplate.ContainerSpec.Env");
    // The run is ended when some of it is done.
    scene.repo.remove(&goes).write("stacks.yaml", format!("- name: {changes}\n- name: {late}\n"));
    scene.change(&changes, &scene.off().with("environment: {N: '2'}"));
    scene.change(&late, &hanging(&scene)).repo.commit("half");
    let mut run = scene.ops.spawn(["reconcile"]);
    run.wait_for(&format!("deployed  {changes} "), 1, 30);
    run.signal(Signal::KILL);
    run.wait();
    assert_eq!((&*environment(), scene.lab.services(&goes)), (r#"["N=2"]"#, vec![]));
    scene.repo.reset(&first);
    scene.reconcile().success();
    assert_eq!((&*environment(), scene.lab.services(&goes).len()), ("null", 1));
    scene.reconcile().success().stdout_has("3 unchanged");
    assert_eq!(scene.docker.calls().len(), 2, "{:?}", scene.docker.calls());
}

#[test]
fn a_stack_that_is_put_back_while_another_run_removes_it_runs_in_the_end() {
    let Some(scene) = Scene::new() else { return };
    let app = scene.on().with("stop_grace_period: 6s").shell("trap '' TERM; while :; do sleep 0.1; done");
    let (web, stays) = (scene.stack("web", &app), scene.stack("stays", &scene.off()));
    scene.watch().success();
    let first = scene.repo.head();
    scene.repo.remove(&web).write("stacks.yaml", format!("- name: {stays}\n")).commit("it goes");
    scene.docker.forget();
    let removes = scene.ops.spawn(["reconcile"]);
    scene.docker.wait_for_call(&format!("stack rm {web}"));
    scene.repo.reset(&first);
    scene.reconcile().success();
    removes.wait().success();
    assert_eq!((scene.lab.services(&web).len(), scene.row(&web).is_some()), (1, true));
    scene.reconcile().success().stdout_has("2 unchanged");
}

#[test]
fn what_another_run_gives_to_docker_is_removed_by_unwatch_and_stop_as_well() {
    let Some(lab) = lab() else { return };
    let scene = Scene::before(lab, FakeDocker::new());
    scene.stack("stays", &scene.off());
    scene.watch().success();
    for command in [vec!["unwatch".to_owned(), scene.repo.url()], vec!["stop".into(), "--yes".into()]] {
        let Scene { lab, ops, repo, docker } = Scene::before(scene.lab, FakeDocker::new());
        let new = ops.unique("new");
        let docker = docker.does(&format!("- {new}"), "sleep 5");
        let beside = Scene { ops: ops.with_fake(&docker).limit(90), docker, lab, repo };
        beside.repo.stack(&new, &compose([("app", &beside.off())])).commit("new");
        let command: Vec<_> = command
            .iter()
            .map(|word| if word.starts_with("file://") { beside.repo.url() } else { word.clone() })
            .collect();
        let run = beside.ops.spawn(["watch", &beside.repo.url()]);
        beside.docker.wait_for_call(&format!("- {new}"));
        std::thread::sleep(Duration::from_secs(3));
        beside.ops.run(&command).success().stdout_has("removed");
        run.wait();
        assert_eq!(beside.lab.services(&new), [""; 0], "{command:?}");
    }
}

#[test]
fn a_stack_that_a_hand_removes_is_back_in_the_run_that_sees_it() {
    let Some(scene) = Scene::new() else { return };
    let app = scene.on().with("stop_grace_period: 4s").shell("trap '' TERM; while :; do sleep 0.1; done");
    let web = scene.stack("web", &app);
    scene.watch().success();
    scene.lab.try_docker(&["stack", "rm", &web]).ok();
    scene.reconcile().success().stdout_has(&format!("deployed  {web} "));
    assert_eq!(scene.lab.services(&web).len(), 1);
}
