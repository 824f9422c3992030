//! Triggers, against a docker that writes down what it is asked and knows of no service: so no stack converges,
//! and what was deployed shows by the calls.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::queue::{JobState, JobView, Scope, Trigger};
use super::{Daemon, Handle, with_jitter};
use crate::process::{Call, run};
use crate::settings::{LogFormat, RunSettings, Settings};
use crate::stack::StackName;
use crate::state::State;
use crate::watched::watched;

/// A daemon that watches one repository of the stacks `db`, `web` (which depends on `db`) and `job`.
struct Scene {
    folder: TempDir,
    daemon: Daemon,
    handle: Handle,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let docker = folder.path().join("bin/docker");
        fs::create_dir(folder.path().join("bin")).unwrap();
        let calls = folder.path().join("calls");
        let script = "case $* in 'config inspect'*) echo 'no such config' >&2; exit 1 ;; 'service inspect'*) echo '[]' ;; \
             'stack rm'*) echo \"Nothing found in stack: $3\" ;; esac";
        fs::write(&docker, format!("#!/bin/sh\necho \"$*\" >>{}\n{script}\n", calls.display())).unwrap();
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().join("bin").display());
        let database = folder.path().join("state/dockerops.db").display().to_string();
        let environment =
            [("PATH", &*path), ("DOCKEROPS_DB_PATH", &*database), ("DOCKEROPS_DEPLOY_TIMEOUT", "1")];
        let settings =
            Settings::from(&environment.map(|(name, value)| (name.into(), value.into())).into()).unwrap();
        let run = RunSettings {
            repos: vec![folder.path().join("repo").display().to_string()],
            interval: Duration::from_secs(300),
            log: LogFormat::Text,
            listen: None,
            webhook_secret: None,
            api_token: None,
            write: RunSettings::from(&[].into()).unwrap().write,
        };
        let daemon = Daemon::new(&settings, &run).unwrap();
        let scene = Self { handle: daemon.handle(), daemon, folder };
        fs::create_dir(scene.repo()).unwrap();
        scene.git(&["init", "--quiet", "--initial-branch=main"]);
        scene.write("stacks.yaml", "- name: db\n- {name: web, depends_on: [db]}\n- name: job\n");
        for (stack, image) in
            [("db", "127.0.0.1:1/db:1"), ("web", "127.0.0.1:1/app:1"), ("job", "127.0.0.1:1/app:1")]
        {
            scene.write(&format!("{stack}/compose.yml"), &format!("services: {{app: {{image: '{image}'}}}}"));
        }
        scene.commit();
        scene
    }

    fn repo(&self) -> std::path::PathBuf {
        self.folder.path().join("repo")
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.repo().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        git(&self.repo(), arguments);
    }

    fn commit(&self) {
        commit(&self.repo());
    }

    /// Does what was asked for, and gives the stacks that were deployed, each with the images that docker resolves.
    fn deploys(&mut self) -> Vec<String> {
        let calls = self.folder.path().join("calls");
        let _ = fs::remove_file(&calls);
        let jobs = self.handle.shared.queue().take();
        self.daemon.work(Some(jobs));
        while self.daemon.is_under_way() {
            std::thread::sleep(Duration::from_millis(20));
            self.daemon.work(None);
        }
        let text = fs::read_to_string(calls).unwrap_or_default();
        let deploys = text.lines().filter(|line| line.starts_with("stack deploy"));
        let words =
            |line: &str| line.split("--resolve-image ").nth(1).unwrap().replace(" --compose-file -", "");
        let mut deploys: Vec<_> = deploys.map(words).collect();
        deploys.sort_unstable();
        deploys
    }

    fn trigger(&mut self, scope: Scope, force: bool) -> (Vec<String>, JobView) {
        let id = self.handle.trigger(Trigger { scope, force, cause: "test".into() });
        let deploys = self.deploys();
        (deploys, self.handle.job(id).unwrap())
    }

    fn state(&self) -> State {
        State::read(&self.folder.path().join("state/dockerops.db")).unwrap().unwrap()
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let path = |name: &str| Path::new(name).as_os_str().to_owned();
    let output = run(&Call {
        program: "git".into(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        environment: BTreeMap::from([("PATH".into(), path("/usr/bin:/bin"))]),
        folder: Some(folder.to_path_buf()),
        input: None,
        limit: Duration::from_secs(20),
    });
    let output = output.unwrap();
    assert!(output.success, "{arguments:?}: {}", output.stderr);
}

fn commit(folder: &Path) {
    git(folder, &["add", "--all"]);
    git(folder, &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=x"]);
}

#[test]
fn a_trigger_for_a_stack_leaves_the_others_and_the_commit_for_the_next_cycle() {
    let mut scene = Scene::new();
    // In a cycle `web` waits for `db`, which does not converge here.
    assert_eq!(scene.deploys(), ["changed db", "changed job"]);
    let before = scene.state().sources().unwrap()[0].commit.clone();
    for stack in ["db", "web", "job"] {
        scene.write(&format!("{stack}/compose.yml"), "services: {app: {image: '127.0.0.1:1/other'}}");
    }
    scene.commit();
    let (deploys, job) = scene.trigger(Scope::Stack("job".into()), false);
    assert_eq!(deploys, ["changed job"]);
    assert_eq!((job.state, job.outcome.as_deref()), (JobState::Failed, Some("1 failed")));
    let (deploys, _) = scene.trigger(Scope::Stack("job".into()), true);
    assert!(deploys.len() == 1 && deploys[0].ends_with(" job"), "{deploys:?}");
    let (deploys, job) = scene.trigger(Scope::Stack("web".into()), true);
    assert!(deploys.is_empty() && job.state == JobState::Failed, "it went before what it depends on");
    assert_eq!(scene.state().sources().unwrap()[0].commit, before);
    let (deploys, job) = scene.trigger(Scope::Stack("none".into()), true);
    assert!(deploys.is_empty() && job.state == JobState::Done);
    assert_eq!(job.outcome.as_deref(), Some("nothing to do: no watched source has that stack"));
}

#[test]
fn a_trigger_for_an_image_is_for_its_users_alone_and_asks_the_registry() {
    let mut scene = Scene::new();
    scene.write("stacks.yaml", "- name: db\n- name: web\n- name: job\n");
    scene.commit();
    scene.deploys();
    let (deploys, job) = scene.trigger(Scope::Image("127.0.0.1:1/app:1".into()), false);
    assert_eq!(deploys, ["always job", "always web"]);
    assert_eq!(job.target, "image `127.0.0.1:1/app:1`");
    let (deploys, _) = scene.trigger(Scope::Image("127.0.0.1:1/db:1".into()), false);
    assert_eq!(deploys, ["always db"]);
    for nobodys in ["127.0.0.1:1/app:2", "127.0.0.1:1/app", "127.0.0.1:2/app:1", "nonsense::", ""] {
        let (deploys, job) = scene.trigger(Scope::Image(nobodys.into()), false);
        assert!(deploys.is_empty() && job.state == JobState::Done, "{nobodys}");
        assert_eq!(job.outcome.as_deref(), Some("nothing to do: no watched stack uses that image"));
    }
    let events = scene.state().events(None, 100).unwrap();
    assert!(
        events
            .iter()
            .any(|event| event.kind == "triggered" && event.message == "image `127.0.0.1:1/db:1`: test")
    );
    assert!(events.iter().any(|event| event.stack.as_deref() == Some("db") && event.kind == "failed"));
}

#[test]
fn a_trigger_for_a_source_ends_its_wait_and_touches_no_other() {
    let mut scene = Scene::new();
    scene.deploys();
    let identity = format!("file://{}", scene.repo().display());
    assert!(scene.deploys().is_empty(), "a source that just failed waits");
    let (deploys, job) = scene.trigger(Scope::Source(identity.as_str().into()), false);
    assert_eq!(deploys, ["changed db", "changed job"]);
    assert!(job.outcome.unwrap().contains("did not converge"), "its own error, for whoever asked");
    let (deploys, job) = scene.trigger(Scope::Source("file:///another".into()), false);
    assert!(deploys.is_empty() && job.outcome.unwrap().contains("not watched"));
    let counters = scene.handle.counters();
    assert_eq!((counters.cycles, counters.jobs, counters.deploys, counters.failures), (2, 2, 0, 6));
    assert!(counters.last_success.is_empty() && counters.last_cycle > 0);
}

#[test]
fn of_cycles_that_end_together_the_first_tells_what_came_of_them() {
    let mut scene = Scene::new();
    scene.deploys();
    let both = ["- name: job\n", ""].map(|job| {
        scene.write("stacks.yaml", &format!("- name: db\n- {{name: web, depends_on: [db]}}\n{job}# \n"));
        scene.commit();
        let id = scene.handle.trigger(Trigger { scope: Scope::All, force: false, cause: "test".into() });
        let jobs = scene.handle.shared.queue().take();
        scene.daemon.work(Some(jobs));
        id
    });
    assert_eq!(scene.daemon.runs.len(), 2);
    while scene.daemon.is_under_way() {
        std::thread::sleep(Duration::from_millis(20));
        scene.daemon.work(None);
    }
    let told = both.map(|id| scene.handle.job(id).unwrap().outcome.unwrap());
    assert_eq!(told, ["1 removed, 2 failed", "2 failed"]);
}

#[test]
fn what_keeps_runs_from_being_done_is_told_and_ends_with_it() {
    let mut scene = Scene::new();
    let docker = scene.folder.path().join("bin/docker");
    let works = fs::read(&docker).unwrap();
    fs::write(&docker, "#!/bin/sh\necho away >&2\nexit 1\n").unwrap();
    let (_, job) = scene.trigger(Scope::All, false);
    assert!(job.state == JobState::Failed && job.outcome.unwrap().contains("away"));
    let health = scene.handle.health();
    assert!(health.trouble.unwrap().contains("away") && health.stuck.is_none());
    assert_eq!(scene.handle.counters().cycles_failed, 1);
    fs::write(&docker, works).unwrap();
    scene.deploys();
    assert_eq!(scene.handle.health().trouble, None);
    assert_eq!(scene.state().sources().unwrap().len(), 1);
}

#[test]
fn jitter_is_at_most_a_tenth_and_never_shortens() {
    let interval = Duration::from_secs(300);
    let times: Vec<_> = (0..200).map(|_| with_jitter(interval)).collect();
    assert!(times.iter().all(|time| *time >= interval && *time <= interval * 11 / 10));
    assert!(times.iter().any(|time| *time != times[0]), "it is always the same");
}

#[test]
fn a_cycle_in_which_every_source_waits_does_not_say_that_nothing_is_watched() {
    let mut scene = Scene::new();
    scene.deploys();
    fs::rename(scene.repo(), scene.folder.path().join("away")).unwrap();
    scene.trigger(Scope::All, false);
    let selection = scene.daemon.select(&[], &watched(&scene.state()).unwrap());
    assert!(selection.targets.is_empty());
    assert!(selection.nothing.unwrap().contains("every source waits"));
}

#[test]
fn a_build_that_says_nothing_is_not_taken_for_a_stuck_loop() {
    let mut scene = Scene::new();
    scene.daemon.settings.build_timeout = Duration::from_secs(86_400);
    assert!(scene.daemon.longest_step(1) > Duration::from_secs(86_400));
}

#[test]
fn a_check_before_a_removal_leaves_alone_what_waits_for_its_turn() {
    let mut scene = Scene::new();
    let other = scene.folder.path().join("other");
    fs::create_dir_all(other.join("late")).unwrap();
    fs::write(other.join("stacks.yaml"), "- name: late\n").unwrap();
    fs::write(other.join("late/compose.yml"), "services: {app: {image: '127.0.0.1:1/app:1'}}").unwrap();
    git(&other, &["init", "--quiet", "--initial-branch=main"]);
    commit(&other);
    let repos = [scene.repo(), other.clone()].map(|path| path.display().to_string());
    scene.daemon.pending = super::targets::pending(&repos);
    assert_eq!(scene.deploys(), ["changed db", "changed job", "changed late"]);
    let identity = || format!("file://{}", scene.repo().display());
    let source = Scope::Source(identity().as_str().into());
    let of_other = format!("file://{}", other.display());
    assert!(
        scene.handle.backs_off(&of_other.as_str().into()).is_none(),
        "its turn comes with the next cycle"
    );

    // It may be read, and failed at a commit that is the same: it says what it lists, and is not tried.
    scene.write("stacks.yaml", "- name: db\n- {name: web, depends_on: [db]}\n");
    scene.commit();
    let (deploys, _) = scene.trigger(source.clone(), false);
    assert_eq!(deploys, ["changed db"]);
    let names = |scene: &Scene| {
        let all = scene.state().stacks().unwrap();
        all.into_iter().map(|row| (row.name.to_string(), row.stays)).collect::<BTreeMap<_, _>>()
    };
    assert!(!names(&scene).contains_key("job"), "{:?}", names(&scene));

    // It gave no answer: what it lists is not known, and it is not asked once more.
    fs::rename(&other, scene.folder.path().join("away")).unwrap();
    scene.trigger(Scope::All, false);
    fs::rename(scene.folder.path().join("away"), &other).unwrap();
    scene.write("stacks.yaml", "- name: db\n");
    scene.commit();
    let (deploys, _) = scene.trigger(source, false);
    assert_eq!(deploys, ["changed db"]);
    let stays = names(&scene).remove("web").flatten().unwrap();
    assert!(stays.contains("other` cannot be read, and may list it now"), "{stays}");
}

#[test]
fn a_job_for_one_stack_is_not_failed_by_another() {
    let mut scene = Scene::new();
    scene.trigger(Scope::All, false);
    // Nothing runs on this docker; what was taken off is off all the same.
    scene.write("stacks.yaml", "- name: db\n- {name: web, depends_on: [db]}\n");
    scene.commit();
    let source = watched(&scene.state()).unwrap().remove(0).identity;
    let of = |stack: &str| Scope::Change { source: source.clone(), stack: StackName::known(stack) };
    let (_, job) = scene.trigger(of("job"), false);
    assert_eq!(job.state, JobState::Done, "{job:?}");
    assert!(job.outcome.unwrap().contains("failing: `db`"));
    assert!(job.target.contains("stack `job`"), "{}", job.target);
    for scope in [of("db"), Scope::Source(source.clone())] {
        let (_, job) = scene.trigger(scope, false);
        assert_eq!(job.state, JobState::Failed, "{job:?}");
    }
}
