//! `git_server.py`: smart HTTP on loopback, with the delays, passwords and faults its options ask for.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::command;
use super::repo::Repo;

/// Ends when dropped.
#[derive(Debug)]
pub struct GitServer {
    child: Child,
    scheme: &'static str,
    port: u16,
    folder: TempDir,
}

impl GitServer {
    /// Serves the bare repositories below `root` (see `Repo::publish`); `options` are the script's.
    pub fn start(root: &Path, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = command("python3");
        server.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/git_server.py"));
        server.arg("--root").arg(root).arg("--log").arg(folder.path().join("log")).args(options);
        let mut child = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port = port.trim().parse().expect("the server's first line is its port");
        let scheme = if options.contains(&"--tls") { "https" } else { "http" };
        Self { child, scheme, port, folder }
    }

    /// Of the repository `name.git`.
    pub fn url(&self, name: &str) -> String {
        format!("{}://127.0.0.1:{}/{name}.git", self.scheme, self.port)
    }

    /// On 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One line for every request so far: method, path, `auth` or `anon`, host.
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A repository whose packs drip as long as that is wished.
#[derive(Debug)]
pub struct Dripping {
    pub repo: Repo,
    pub server: GitServer,
    folder: TempDir,
}

impl Dripping {
    /// They flow.
    pub fn new() -> Self {
        let (repo, folder) = (Repo::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("drips");
        let server = GitServer::start(folder.path(), &["--drip", file.to_str().unwrap()]);
        Self { repo, server, folder }
    }

    /// Where it is served.
    pub fn url(&self) -> String {
        self.server.url("slow")
    }

    /// What was written becomes a commit that is served.
    pub fn publish(&self) {
        self.repo.commit("next");
        self.repo.publish(self.folder.path(), "slow");
    }

    /// Likewise, and its files do not come to their end before `flows`.
    pub fn drips(&self) {
        self.publish();
        fs::write(self.folder.path().join("drips"), "").unwrap();
    }

    /// From now on they come.
    pub fn flows(&self) {
        fs::remove_file(self.folder.path().join("drips")).unwrap();
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
