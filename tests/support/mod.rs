//! What the tests are written with: a real Swarm, real repositories, the real program, and faults on demand.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub mod browser;
pub mod builds;
pub mod dockerops;
pub mod fake_docker;
pub mod git_server;
pub mod http;
pub mod lab;
pub mod machine;
pub mod objects;
pub mod registry;
pub mod repo;
pub mod scene;

/// A name no other test uses, also none of another run on the same lab: `web` becomes `web-4711-1`.
pub fn unique(base: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    format!("{base}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Asks until `holds`; fails after `seconds`, naming `what` was waited for.
#[track_caller]
pub fn wait_for(what: impl Display, seconds: u64, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < deadline, "waited {seconds} s in vain for {what}");
        sleep(Duration::from_millis(100));
    }
}

/// The `PATH` the tests run with, and where Debian keeps what root runs.
pub fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

/// `PATH` with `first` before all else.
pub fn path_with(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    path.push(":");
    path.push(search_path());
    path
}

/// Every program of that name on the `PATH`, in its order.
pub fn programs(name: &str) -> Vec<PathBuf> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(name))
        .filter(|file| file.is_file())
        .collect()
}

/// A program that sees only `PATH` and what it is told.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", search_path());
    command
}

/// Runs it to its end; its stdout, or on failure a panic with its stderr.
#[track_caller]
pub fn stdout_of(command: &mut Command) -> String {
    match try_stdout_of(command) {
        Ok(stdout) => stdout,
        Err(stderr) => panic!("{command:?} failed:\n{stderr}"),
    }
}

/// Runs it to its end; `Err` holds its stderr.
pub fn try_stdout_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
