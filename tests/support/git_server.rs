//! `git_server.py`: smart HTTP on loopback, with the delays, passwords and faults its options ask for.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::command;

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

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
