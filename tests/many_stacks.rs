//! A thousand stacks, by a docker that only tells of them: whatever is done with them, DockerOps takes little memory.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::Site;
use crate::support::repo::Repo;

const STACKS: usize = 1_000;
/// Anonymous memory of the program, in KiB: while all are deployed, shown and looked at, and once a change had all of their
/// files read.
const MOST: u64 = 44 * 1024;
const MOST_WITH_FILES: u64 = 60 * 1024;
const SWARM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/swarm.py");

/// The anonymous memory of a process, at its most since it was last asked for; in KiB.
struct Peak {
    most: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
}

impl Peak {
    fn of(pid: u32) -> Self {
        let (most, ends) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, ended) = (Arc::clone(&most), Arc::clone(&ends));
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
                let now = line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap());
                seen.fetch_max(now, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { most, ends }
    }

    fn take(&self) -> u64 {
        self.most.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn compose(revision: usize) -> String {
    format!(
        "services:\n  app:\n    image: app:1\n    command: [serve, --verbose, --port, '8080']\n    networks: [inner]\n    \
         labels:\n      revision: '{revision}'\n    deploy:\n      replicas: 1\nnetworks:\n  inner: {{}}\n"
    )
}

#[test]
fn a_thousand_stacks_take_little_memory() {
    let fake = FakeDocker::of_an_empty_swarm();
    let given = fake.folder().join("stacks");
    fs::create_dir(&given).unwrap();
    let told = format!("exec python3 '{SWARM}' '{}' \"$@\"", given.display());
    let keeps = format!("cat >'{}'/\"${{@: -1}}\"; exit 0", given.display());
    // Those that come first are asked first.
    let fake = FakeDocker::before("/bin/false".as_ref())
        .does("stack deploy", &keeps)
        .does("service ls", &told)
        .does("service inspect", &told)
        .does("service ps", &told)
        .does("inspect --type task", &told)
        .does("node ls", &told)
        .prints("pull", "")
        .with_an_empty_swarm();
    let repo = Repo::new();
    let names: Vec<_> = (0..STACKS).map(|number| format!("many{number}")).collect();
    for name in &names {
        repo.write(&format!("{name}/compose.yml"), compose(0));
    }
    repo.write("stacks.yaml", format!("- name: {}\n", names.join("\n- name: ")));
    repo.commit("first");

    let ops = DockerOps::without_docker().with_fake(&fake).that_listens().env("DOCKEROPS_REPOS", repo.url());
    let mut run = ops.spawn(["run"]);
    let peak = Peak::of(run.pid());
    run.wait_for("cycle ", 1, 240);
    assert!(run.stdout().contains(&format!("{STACKS} deployed")), "{}", run.stdout());
    let mut peaks = vec![("first deploy", peak.take())];
    let site = Site::of(run);
    for _ in 0..3 {
        assert_eq!(site.get("/").is(200).body.matches("id=\"stack-").count(), STACKS);
        site.get("/api/v1/stacks").is(200);
    }
    peaks.push(("page", peak.take()));
    let mut run = site.run;
    for (cycle, what) in [(2, "idle"), (3, "one change")] {
        if what == "one change" {
            repo.write("many7/compose.yml", compose(1)).commit("next");
        }
        run.signal(Signal::HUP);
        run.wait_for("cycle ", cycle, 120);
        peaks.push((what, peak.take()));
    }
    assert!(run.stdout().contains("999 unchanged"), "{}", run.stdout());
    println!("{peaks:?} KiB");
    for (what, peak) in &peaks {
        let most = if *what == "one change" { MOST_WITH_FILES } else { MOST };
        assert!((1..most).contains(peak), "{what}: {peaks:?} KiB");
    }
}
