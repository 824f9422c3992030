//! The two-node Swarm of `tests/lab.sh`: one for all tests of a run.
//!
//! Given by `DOCKEROPS_TEST_LAB` or started by the first test that asks, and then taken down when this
//! process is gone. Without root or the packages a test is skipped; `DOCKEROPS_TEST_STRICT=1` forbids that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{command, programs, stdout_of, try_stdout_of};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab.sh");

/// Two nodes that are ready, and a registry both can pull from.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    values: BTreeMap<String, String>,
}

/// The lab, or `None` where there can be none; the test then returns. Says so once on stderr.
pub fn lab() -> Option<&'static Lab> {
    static LAB: OnceLock<Result<Lab, String>> = OnceLock::new();
    let strict = std::env::var_os("DOCKEROPS_TEST_STRICT").is_some_and(|value| value == "1");
    let lab = LAB.get_or_init(|| {
        Lab::find_or_start().inspect_err(|why| {
            // Not `eprintln!`: of a test that passes the harness hides what that prints.
            let _ = writeln!(std::io::stderr(), "skipped: all tests that need a Swarm: {why}");
        })
    });
    match lab {
        Ok(lab) => Some(lab),
        Err(why) if strict => panic!("no lab, and DOCKEROPS_TEST_STRICT forbids to skip: {why}"),
        Err(_) => None,
    }
}

/// A lab of one test's own, which may do with its nodes what no other would survive. Gone when dropped.
#[derive(Debug)]
pub struct OwnLab(Lab);

impl OwnLab {
    /// `None` where there can be none.
    pub fn start() -> Option<Self> {
        lab()?;
        Some(Self(Lab::start().unwrap()))
    }
}

impl std::ops::Deref for OwnLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl Drop for OwnLab {
    fn drop(&mut self) {
        let _ = try_stdout_of(command(SCRIPT).arg("down").arg(&self.0.folder));
    }
}

impl Lab {
    fn find_or_start() -> Result<Self, String> {
        match std::env::var_os("DOCKEROPS_TEST_LAB") {
            Some(folder) => Self::open(Path::new(&folder)),
            None => Self::start(),
        }
    }

    fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("starting one takes root: sudo tests/run.sh".into());
        }
        // Not below TMPDIR: unix sockets bear no long path.
        let folder = tempfile::Builder::new().prefix("dockerops-lab.").tempdir_in("/tmp");
        let folder = folder.map_err(|error| error.to_string())?.keep();
        let owner = std::process::id().to_string();
        try_stdout_of(command(SCRIPT).arg("up").arg(&folder).args(["--owner", &owner])).inspect_err(
            |_| {
                let _ = std::fs::remove_dir(&folder);
            },
        )?;
        Self::open(&folder)
    }

    fn open(folder: &Path) -> Result<Self, String> {
        let file = folder.join("env");
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let values = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { folder: folder.to_owned(), values })
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Brings this thread, and what it starts from now on, to where the lab's registry is reached.
    pub fn enter_network(&self) {
        let network = File::open(Path::new("/run/netns").join(self.value("LAB_BRIDGE_NETNS"))).unwrap();
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    fn value(&self, name: &str) -> &str {
        &self.values[name]
    }

    /// Of node 1, the manager.
    pub fn docker_host(&self) -> &str {
        self.value("DOCKER_HOST")
    }

    /// Of node 2, a worker.
    pub fn docker_host2(&self) -> &str {
        self.value("LAB_NODE2")
    }

    /// `host:port`, as the nodes reach it; this machine itself does so only from `network_namespace()`.
    pub fn registry(&self) -> &str {
        self.value("LAB_REGISTRY")
    }

    /// The network namespace that joins the nodes; for `ip netns exec`.
    pub fn network_namespace(&self) -> &str {
        self.value("LAB_BRIDGE_NETNS")
    }

    /// The network namespace of node 1 or 2.
    pub fn node_namespace(&self, number: usize) -> &str {
        self.value(&format!("LAB_NODE{number}_NETNS"))
    }

    /// `app:1` as the nodes call it. There are `app:1`, `app:2`, `entry:1`, `user:1`, `shellform:1`,
    /// `noshell:1`, `health:1`; on node 1 alone `base`, which has neither entrypoint nor command.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry())
    }

    /// A docker call on either node, whichever knows of what it names; its stdout, or the stderr of node 2.
    pub fn docker_somewhere(&self, arguments: &[&str]) -> Result<String, String> {
        self.try_docker(arguments).or_else(|_| self.try_on(self.docker_host2(), arguments))
    }

    /// A docker call on node 1; its stdout, without the last line end.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        stdout_of(self.command(self.docker_host()).args(arguments)).trim_end().to_owned()
    }

    /// Likewise on node 2.
    #[track_caller]
    pub fn docker2(&self, arguments: &[&str]) -> String {
        stdout_of(self.command(self.docker_host2()).args(arguments)).trim_end().to_owned()
    }

    /// A docker call on node 1 that may fail: its stderr.
    pub fn try_docker(&self, arguments: &[&str]) -> Result<String, String> {
        self.try_on(self.docker_host(), arguments)
    }

    /// Likewise by the address of either node.
    pub fn try_on(&self, host: &str, arguments: &[&str]) -> Result<String, String> {
        try_stdout_of(self.command(host).args(arguments)).map(|text| text.trim_end().to_owned())
    }

    fn command(&self, host: &str) -> Command {
        let mut command = command("docker");
        command.env("HOME", &self.folder).env("DOCKER_HOST", host);
        command
    }
}

/// The different docker CLIs of this machine: the first on the `PATH`, and the distribution's.
pub fn docker_binaries() -> Vec<PathBuf> {
    let mut found = Vec::<PathBuf>::new();
    for program in programs("docker").into_iter().take(1).chain([PathBuf::from("/usr/bin/docker")]) {
        if let Ok(program) = program.canonicalize()
            && !found.contains(&program)
        {
            found.push(program);
        }
    }
    found
}

/// Runs a test with every docker CLI of this machine, side by side, for it mostly waits.
pub fn on_every_docker(test: impl Fn(&Path) + Sync) {
    std::thread::scope(|threads| {
        for binary in docker_binaries() {
            let test = &test;
            threads.spawn(move || test(&binary));
        }
    });
}
