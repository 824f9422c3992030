//! All of it, docker's CLI included, in a cgroup of 128 MiB: what it reads and writes counts there as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::release::program;
use crate::support::git_server::GitServer;
use crate::support::scene::Scene;
use crate::support::{command, stdout_of, unique};

const BYTES: u64 = 128 << 20;
/// More than the cgroup holds; each byte is written several times, and other tests wait for the disk meanwhile.
const FILES: usize = 80;
const EACH: usize = 2 << 20;

/// A memory cgroup of either version; gone when dropped.
struct Cgroup {
    folder: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    fn new(bytes: u64) -> std::io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let is_v2 = controllers.split_whitespace().any(|name| name == "memory");
        if is_v2 {
            fs::write(root.join("cgroup.subtree_control"), "+memory")?;
        }
        let above = if is_v2 { root.to_owned() } else { root.join("memory") };
        let new = Self { folder: above.join(unique("dockerops-test")), is_v2 };
        fs::create_dir(&new.folder)?;
        let limits = if is_v2 {
            [("memory.max", bytes), ("memory.swap.max", 0)]
        } else {
            [("memory.limit_in_bytes", bytes), ("memory.memsw.limit_in_bytes", bytes)]
        };
        fs::write(new.folder.join(limits[0].0), limits[0].1.to_string())?;
        // The kernel may count no swap.
        let _ = fs::write(new.folder.join(limits[1].0), limits[1].1.to_string());
        Ok(new)
    }

    /// What runs a command in it: the second of its arguments and what follows, behind `first`.
    fn enters(&self, first: &str) -> [String; 4] {
        let script =
            format!("echo $$ >'{}/cgroup.procs' && shift && exec '{first}' \"$@\"", self.folder.display());
        ["bash".into(), "-c".into(), script, "bash".into()]
    }

    fn killed(&self) -> u64 {
        let name = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.folder.join(name)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_first_fetch_of_more_than_its_memory_and_all_that_follows() {
    let Some(mut scene) = Scene::new() else { return };
    let cgroup = match Cgroup::new(BYTES) {
        Ok(cgroup) => cgroup,
        Err(error) => {
            assert!(std::env::var_os("DOCKEROPS_TEST_STRICT").is_none(), "no memory cgroup: {error}");
            return;
        }
    };
    // It holds what it promises.
    let [bash, option, script, name] = cgroup.enters("python3");
    let mut greedy = command(bash);
    greedy.args([option, script, name, "-".into(), "-c".into(), "bytes(b'x') * (200 << 20)".into()]);
    assert!(!greedy.status().unwrap().success() && cgroup.killed() == 1, "{}", cgroup.killed());

    // Who packs them for the server is not what is tried here.
    let plain = ["core.compression=0", "pack.window=0"].map(|setting| setting.split_once('=').unwrap());
    for (key, value) in plain {
        scene.repo.git(["config", key, value]);
    }
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        let file = scene.repo.path().join(format!("data/{number}"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        stdout_of(command("sh").args(["-c", &format!("head -c {EACH} /dev/urandom >{}", file.display())]));
    }
    let stack = scene.stack("web", &scene.off());
    scene.repo.commit("first");
    scene.repo.publish(folder.path(), "r");
    for (key, value) in plain {
        scene.repo.git(["--git-dir", folder.path().join("r.git").to_str().unwrap(), "config", key, value]);
    }
    let server = GitServer::start(folder.path(), &[]);
    scene.ops = scene.ops.through(cgroup.enters(program().to_str().unwrap()));
    scene.run(&["watch", &server.url("r")]).success().stdout_has("1 deployed");
    scene.change(&stack, &scene.off().with("environment: {A: '2'}")).repo.commit("next");
    scene.repo.publish(folder.path(), "r");
    scene.reconcile().success().stdout_has("1 deployed");
    scene.lab.edit(&format!("{stack}_app"), &["--env-add", "BY_HAND=1"]);
    scene.reconcile().success().stdout_has("1 deployed");
    assert_eq!(cgroup.killed(), 1);
}
