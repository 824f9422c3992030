//! The daemon is ended in order, as the first process of a container too, and grows by nothing.

use std::fs;
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::dockerops::{DockerOps, PROGRAM, Running};
use crate::support::fake_docker::FakeDocker;
use crate::support::lab::lab;
use crate::support::repo::{Repo, one_service};
use crate::support::{command, path_with, programs, stdout_of, unique, wait_for};

#[test]
fn a_signal_lets_the_docker_call_end_and_the_daemon_exits_with_0_within_10_s() {
    let repo = Repo::new();
    repo.stack("web", "services: {app: {image: app}}").commit("first");
    let one = |rule: &str, is_done: bool| {
        let fake = FakeDocker::of_an_empty_swarm().does("stack deploy", rule);
        let ops = DockerOps::without_docker().with_fake(&fake).limit(60).env("DOCKEROPS_REPOS", repo.url());
        let run = ops.spawn(["run"]);
        fake.wait_for_call("stack deploy");
        let asked = Instant::now();
        run.signal(Signal::TERM);
        run.wait().success().stdout_has("stopped ");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert_eq!(fake.folder().join("done").exists(), is_done);
        assert!(ops.checkouts().is_empty());
        let check: String = ops.db().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let status = ops.run(["status"]);
        status.stdout_has(&repo.url());
        // Nobody has seen the end of what docker took.
        assert_eq!(
            (status.code, status.stdout.contains("deploying")),
            (if is_done { 3 } else { 0 }, is_done)
        );
    };
    scope(|threads| {
        threads.spawn(|| one("sleep 2; touch $folder/bin/done; exit 0", true));
        threads.spawn(|| one("exec sleep 600", false));
    });
}

#[test]
fn a_signal_ends_it_while_it_waits_for_tasks_and_the_next_daemon_goes_on_waiting() {
    let Some(lab) = lab() else { return };
    let (ops, repo, fake) = (DockerOps::new(lab), Repo::new(), FakeDocker::new());
    let stack = ops.unique("pending");
    let never = "      placement: {constraints: [node.labels.x == y]}\n";
    repo.stack(&stack, &(one_service(&lab.image("app:1"), 1) + never)).commit("first");
    let ops = ops.with_fake(&fake).env("DOCKEROPS_REPOS", repo.url()).limit(90);
    let run = ops.spawn(["run"]);
    wait_for("a wait", 60, || fake.calls_with("service ps").len() > 1);
    let asked = Instant::now();
    run.signal(Signal::TERM);
    run.wait().success();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let ops = ops.env("DOCKEROPS_DEPLOY_TIMEOUT", "2");
    let mut run = ops.spawn(["run"]);
    run.wait_for("did not converge within 2 s", 1, 60);
    assert_eq!(fake.calls_with("stack deploy").len(), 1, "deployed again: {}", run.stderr());
    run.signal(Signal::TERM);
    run.wait().success();
}

/// The program, docker's CLI and the libraries of both, as an image whose first process is the program.
fn image_of_the_program(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let docker = programs("docker").into_iter().next().unwrap();
    let mut files = vec![(Path::new(PROGRAM).to_owned(), "bin/dockerops".to_owned())];
    files.push((docker.canonicalize().unwrap(), "bin/docker".to_owned()));
    for program in [PROGRAM.as_ref(), docker.as_path()] {
        // A static program has none, and `ldd` fails.
        let libraries = command("ldd").arg(program).output().unwrap();
        let text = String::from_utf8(libraries.stdout).unwrap();
        let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(paths.map(|path| (path.into(), path[1..].to_owned())));
    }
    for (from, to) in files {
        stdout_of(command("install").args(["-D", "-m", "755"]).arg(from).arg(root.join(to)));
    }
    fs::create_dir(root.join("tmp")).unwrap();
    let tar = folder.path().join("root.tar");
    stdout_of(command("tar").arg("-cf").arg(&tar).arg("-C").arg(&root).arg("."));
    let lab = lab().unwrap();
    let entry = "ENTRYPOINT [\"/bin/dockerops\"]";
    lab.docker(&["import", "--change", entry, "--change", "ENV PATH=/bin", &tar.display().to_string(), name]);
    folder
}

#[test]
fn as_the_first_process_of_a_container_it_deploys_heeds_signals_and_ends_with_0() {
    let Some(lab) = lab() else { return };
    let (ops, repo) = (DockerOps::new(lab), Repo::new());
    let stack = ops.unique("inside");
    repo.stack(&stack, &one_service(&lab.image("app:1"), 0)).commit("first");
    let (image, container) = (format!("{}:test", unique("dockerops")), unique("dockerops"));
    let folder = image_of_the_program(&image);
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let mount = |from: &str, to: &str| format!("--volume={from}:{to}");
    lab.docker(&[
        "run",
        "--detach",
        "--name",
        &container,
        "--network=none",
        &mount(lab.docker_host().trim_start_matches("unix://"), "/var/run/docker.sock"),
        &mount(&repo.path().display().to_string(), "/srv/repo:ro"),
        &mount(&data.display().to_string(), "/data"),
        "--env=DOCKEROPS_DB_PATH=/data/dockerops.db",
        "--env=DOCKEROPS_REPOS=/srv/repo",
        &image,
        "run",
    ]);
    let log = || lab.docker(&["logs", &container]);
    wait_for("the deploy", 60, || log().contains(&format!("deployed  {stack} ")));
    repo.stack(&stack, &one_service(&lab.image("app:2"), 0)).commit("second");
    lab.docker(&["kill", "--signal=HUP", &container]);
    wait_for("the push", 60, || log().matches(&format!("deployed  {stack} ")).count() == 2);
    let inside = ["exec", &container, "dockerops", "status"];
    assert!(lab.docker(&inside).contains("/srv/repo"));
    let asked = Instant::now();
    lab.docker(&["stop", "--time=30", &container]);
    let took = asked.elapsed();
    let code = lab.docker(&["inspect", "--format={{.State.ExitCode}}", &container]);
    let log = log();
    lab.docker(&["rm", "--volumes", &container]);
    lab.docker(&["image", "rm", &image]);
    assert_eq!(code, "0", "{log}");
    assert!(took < Duration::from_secs(10) && log.contains("stopped "), "{took:?} {log}");
}

/// The children of a process, each with its state's letter: `Z` is dead and not waited for.
fn children(pid: u32) -> Vec<(u32, char)> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let state = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, stat.rsplit_once(") ")?.1.chars().next()?))
    };
    list.split_whitespace().filter_map(|pid| state(pid.parse().unwrap())).collect()
}

#[test]
fn as_the_first_process_it_waits_for_what_docker_leaves_behind() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Its parent is gone before it ends.
    let orphan = "(sleep 0.2 </dev/null >/dev/null 2>&1 &); exit 0";
    let fake = FakeDocker::before("/bin/false".as_ref()).does("service ls", orphan);
    let repo = Repo::new();
    repo.write("stacks.yaml", "- {name: web, enabled: false}\n");
    repo.write("web/compose.yml", "services: {app: {image: app}}").commit("first");
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_REPOS", repo.url()).limit(60);
    let ops = ops.through(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let mut run = ops.spawn(["run"]);
    run.wait_for("\ncycle ", 1, 30);
    let (daemon, _) = children(run.pid())[0];
    let hangup = || stdout_of(command("kill").args(["-HUP", &daemon.to_string()]));
    for cycle in 2..6 {
        hangup();
        run.wait_for("\ncycle ", cycle, 30);
    }
    wait_for("the orphans to end", 20, || children(daemon).iter().all(|(_, state)| *state == 'Z'));
    let left = children(daemon).len();
    assert!((1..=5).contains(&left), "{left} orphans: the test shows nothing");
    hangup();
    run.wait_for("\ncycle ", 6, 30);
    // That of the last cycle may still sleep.
    assert!(children(daemon).len() <= 1, "{:?}", children(daemon));
    stdout_of(command("kill").args(["-TERM", &daemon.to_string()]));
    run.wait().success();
}

/// What must not grow: threads, file descriptors, children, and memory in KiB.
#[derive(Debug)]
struct Size {
    threads: usize,
    files: usize,
    children: usize,
    memory: u64,
}

impl Size {
    fn of(run: &Running) -> Self {
        let process = Path::new("/proc").join(run.pid().to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            threads: usize::try_from(field("Threads:")).unwrap(),
            files: fs::read_dir(process.join("fd")).unwrap().count(),
            children: children(run.pid()).len(),
            memory: field("VmRSS:"),
        }
    }
}

#[test]
fn two_thousand_cycles_grow_neither_memory_threads_descriptors_nor_files() {
    let (idle, broken, folder) = (Repo::new(), Repo::new(), tempfile::tempdir().unwrap());
    for repo in [&idle, &broken] {
        repo.write("stacks.yaml", "- {name: web, enabled: false}\n");
        repo.write("web/compose.yml", "services: {app: {image: app}}").commit("first");
    }
    let [bin, temporary] = ["bin", "tmp"].map(|name| folder.path().join(name));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&temporary).unwrap();
    // It prints nothing and succeeds, as docker does of an empty Swarm, and is quick.
    let quick = programs("true").into_iter().next().unwrap();
    std::os::unix::fs::symlink(quick, bin.join("docker")).unwrap();
    let repos = format!("{},{},/nonexistent/repository", idle.url(), broken.url());
    let ops = DockerOps::without_docker().env("PATH", path_with(&bin)).env("TMPDIR", &temporary);
    let ops = ops.env("DOCKEROPS_REPOS", repos).limit(700);
    let mut run = ops.spawn(["run"]);
    run.wait_for("\ncycle ", 1, 30);
    // From now on it is fetched, and found wrong, in every cycle: a hangup waits for nobody.
    broken.write("stacks.yaml", "- nonsense: 1\n").commit("broken");
    let cycles = |run: &Running| run.stdout().matches("\ncycle ").count();
    let mut go_on = |until: usize| {
        let deadline = Instant::now() + Duration::from_secs(300);
        while cycles(&run) < until {
            assert!(Instant::now() < deadline && run.is_running(), "{} cycles", cycles(&run));
            for _ in 0..20 {
                run.signal(Signal::HUP);
                sleep(Duration::from_millis(3));
            }
        }
        // Until it sleeps, as it does between two cycles.
        wait_for("the last cycle", 20, || {
            let before = cycles(&run);
            sleep(Duration::from_millis(300));
            cycles(&run) == before
        });
        Size::of(&run)
    };
    let first = go_on(200);
    go_on(500);
    broken.write("stacks.yaml", "- {name: web, enabled: false}\n").commit("mended");
    idle.write("web/compose.yml", "services: {app: {image: other}}").commit("second");
    let last = go_on(2_200);
    println!("{first:?} {last:?}");
    assert_eq!((last.threads, last.files, last.children), (first.threads, first.files, first.children));
    assert!(last.memory <= first.memory + 2_048, "{first:?} {last:?}");
    assert!(ops.checkouts().is_empty());
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "temporary files");
    run.signal(Signal::TERM);
    run.wait().success();
}

#[test]
fn a_database_that_vanished_is_said_and_nothing_is_done_until_it_is_back() {
    let repo = Repo::new();
    repo.write("stacks.yaml", "- {name: web, enabled: false}\n");
    repo.write("web/compose.yml", "services: {app: {image: app}}").commit("first");
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).limit(90).that_listens();
    let ops = ops.env("DOCKEROPS_REPOS", repo.url());
    let mut site = ops.site();
    let database = ops.database();
    let away = database.with_extension("away");
    let sync = |site: &mut crate::support::http::Site, said: &str, count: usize| {
        site.run.signal(Signal::HUP);
        site.run.wait_for(said, count, 30);
    };
    site.get("/healthz").is(200);

    fs::rename(&database, &away).unwrap();
    site.get("/healthz").is(503).has("vanished");
    site.get("/api/v1/stacks").is(503).has("vanished");
    site.get("/").is(503).has("vanished").has(database.to_str().unwrap());
    site.get("/metrics").is(200).has("dockerops_up 0\n");
    fake.forget();
    sync(&mut site, "vanished while it was in use; nothing is synced; put the file back", 1);
    assert!(fake.calls().is_empty() && !database.exists());

    // A command made a new one.
    ops.run(["reconcile"]).failure(1).error_has("No repositories found in cache");
    assert!(database.exists());
    site.get("/healthz").is(503).has("nothing is watched");
    fake.forget();
    sync(&mut site, "by one in which nothing is watched; nothing is synced", 1);
    assert_eq!(fake.calls(), [""; 0]);

    fs::rename(&away, &database).unwrap();
    site.get("/healthz").is(200);
    sync(&mut site, "1 unchanged in ", 2);
    site.get("/api/v1/repositories").is(200).has(&repo.url());

    // Started anew it begins anew.
    site.run.signal(Signal::TERM);
    site.run.wait().success();
    fs::remove_file(&database).unwrap();
    let site = ops.site();
    site.get("/healthz").is(200);
    site.get("/api/v1/repositories").is(200).has(&repo.url());
}

#[test]
fn a_daemon_that_watches_nothing_is_well_for_a_watch_may_come() {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).limit(90).that_listens();
    let site = ops.site();
    assert!(
        site.run.stdout().contains("nothing is watched: set `DOCKEROPS_REPOS`, or"),
        "{}",
        site.run.stdout()
    );
    site.get("/healthz").is(200);
    ops.run(["stop", "--yes"]).success();
    site.get("/healthz").is(200);
}
