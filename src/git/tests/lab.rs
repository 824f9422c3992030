//! Repositories, git servers and probes of one test, gone with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use tempfile::TempDir;

use crate::git::{Checkout, Commit, configure, heads};
use crate::settings::GitAccess;
use crate::source::Source;

pub(super) struct Lab {
    pub(super) dir: TempDir,
}

/// A bare repository, and the work tree that pushes to it.
pub(super) struct Origin {
    pub(super) bare: PathBuf,
    work: PathBuf,
}

pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    log: PathBuf,
}

impl Lab {
    pub(super) fn new() -> Self {
        static ONCE: Once = Once::new();
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        ONCE.call_once(|| configure(&lab.access()).unwrap());
        fs::create_dir(lab.path("home")).unwrap();
        lab
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn access(&self) -> GitAccess {
        GitAccess {
            purpose: crate::settings::Purpose::Fetch,
            github_token: None,
            gh_host: None,
            credentials_file: None,
            timeout: Duration::from_secs(20),
            home: Some(self.path("home")),
            limits: crate::budget::Limits::default(),
            kept: Some(self.path("git")),
        }
    }

    /// Like `access`, with a credentials file of these lines.
    pub(super) fn access_with(&self, lines: &str) -> GitAccess {
        fs::write(self.path("credentials"), lines).unwrap();
        GitAccess { credentials_file: Some(self.path("credentials")), ..self.access() }
    }

    /// `NAME.git` with no commit.
    pub(super) fn empty(&self, name: &str) -> Origin {
        let (bare, work) = (self.path(&format!("{name}.git")), self.path(&format!("{name}-work")));
        git(self.dir.path(), &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        git(self.dir.path(), &["init", "-q", "-b", "main", work.to_str().unwrap()]);
        git(&work, &["remote", "add", "origin", bare.to_str().unwrap()]);
        Origin { bare, work }
    }

    /// `NAME.git` with two commits; the file `a` holds `2`.
    pub(super) fn origin(&self, name: &str) -> Origin {
        let origin = self.empty(name);
        origin.commit(&[("a", "1")]);
        origin.commit(&[("a", "2"), ("d/e", "deep")]);
        origin
    }

    pub(super) fn server(&self, arguments: &[&str]) -> Server {
        let log = tempfile::NamedTempFile::new_in(&self.dir).unwrap().into_temp_path().keep().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/git_server.py");
        let mut child = Command::new("python3")
            .args([script, "--root"])
            .arg(self.dir.path())
            .arg("--log")
            .arg(&log)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Server { child, port, log }
    }

    /// Fetches in a process of its own, see `super::probe`; returns what it printed.
    pub(super) fn probe(&self, source: &str, environment: &[(&str, &str)]) -> String {
        let output = self.start_probe(source, environment).wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn start_probe(&self, source: &str, environment: &[(&str, &str)]) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "git::tests::probe", "--nocapture"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("PROBE_SOURCE", source)
            .env("PROBE_FOLDER", self.path("checkouts"))
            .env("PROBE_TIMEOUT", "20")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(super) fn fetch(&self, source: &str, access: &GitAccess) -> anyhow::Result<Checkout> {
        super::fetch(source, access, &self.path("checkouts"))
    }

    /// How many folders lie where checkouts are made.
    pub(super) fn leftovers(&self) -> usize {
        fs::read_dir(self.path("checkouts")).map_or(0, Iterator::count)
    }
}

impl Origin {
    /// Commits these files to the current branch and pushes it; returns the commit's id.
    pub(super) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            let path = self.work.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        self.git(&["push", "-q", "--force", "origin", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        git(&self.work, arguments)
    }

    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    pub(super) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub(super) fn path(&self) -> &str {
        self.bare.to_str().unwrap()
    }
}

impl Server {
    /// The URL of `NAME.git` at this server.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}.git", self.port)
    }

    /// One line per request so far.
    pub(super) fn log(&self) -> Vec<String> {
        fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }

    pub(super) fn authorized(&self) -> usize {
        self.log().iter().filter(|line| line.contains(" auth ")).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs git, undisturbed by the configuration of whoever runs the tests.
pub(super) fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "test")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "test@localhost")))
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The commit that `source` names.
pub(super) fn head(source: &str, access: &GitAccess) -> anyhow::Result<Commit> {
    heads(&[Source::parse(source).unwrap()], access).wait().unwrap().remove(0)
}

/// The message and the hint of a failure.
pub(super) fn refusal<T>(result: anyhow::Result<T>) -> (String, String) {
    let error = result.err().expect("it should fail");
    let hint = crate::fault::hint_of(&error).expect("it should have a hint").to_owned();
    (format!("{error:#}"), hint)
}
