//! Runs a docker CLI against the stand-in.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::docker_api::{Api, Request};
use super::ours::{Ours, STACK};
use super::place::{Fixture, inherited};

/// docker is through in a hundredth of it.
const LIMIT: Duration = Duration::from_secs(60);

/// What one call of docker did.
#[derive(Debug)]
pub struct Outcome {
    /// Whether docker was content.
    pub success: bool,
    /// What it said.
    pub stderr: String,
    /// What it created.
    pub requests: Vec<Request>,
}

/// The docker CLIs of this machine: the first on the usual places of a hand, and the distribution's.
pub fn binaries() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in ["/usr/local/bin/docker", "/usr/bin/docker"] {
        if let Ok(program) = Path::new(place).canonicalize()
            && !found.contains(&program)
        {
            found.push(program);
        }
    }
    found
}

/// One worker's docker: CLIs, the stand-in, and a number that keeps its files apart from others'.
pub struct Docker<'a> {
    /// Where the cases lie.
    pub fixture: &'a Fixture,
    /// What docker talks to.
    pub api: Api,
    pub worker: usize,
}

impl Docker<'_> {
    /// Gives docker one text as DockerOps does.
    pub fn deploy(&self, program: &Path, ours: &Ours) -> Outcome {
        self.run(program, ours.copies.path(), &["-".into()], &ours.text)
    }

    /// Gives docker several texts at once, which are one stack to it. Each is read by itself, then their
    /// sections are put together: no key may be in two of them.
    pub fn deploy_together(&self, program: &Path, all: &[&Ours]) -> Outcome {
        let folder = self.fixture.top().join(format!("together-{}", self.worker));
        fs::create_dir_all(&folder).unwrap();
        let mut files = Vec::new();
        for (index, ours) in all.iter().enumerate() {
            // Copies have names by their content, so they lie in one folder.
            for copy in fs::read_dir(ours.copies.path()).unwrap().map(Result::unwrap) {
                if !folder.join(copy.file_name()).exists() {
                    fs::hard_link(copy.path(), folder.join(copy.file_name())).unwrap();
                }
            }
            files.push(folder.join(format!("{index}.yml")).display().to_string());
            fs::write(&files[index], &ours.text).unwrap();
        }
        self.run(program, &folder, &files, "")
    }

    #[expect(clippy::disallowed_methods, reason = "docker's CLI is what our reading is compared with")]
    fn run(&self, program: &Path, folder: &Path, files: &[String], input: &str) -> Outcome {
        drop(self.api.take());
        let mut command = Command::new(program);
        command
            .args(["stack", "deploy", "--prune", "--with-registry-auth", "--resolve-image", "never"])
            .args(files.iter().flat_map(|file| ["--compose-file", file]))
            .arg(STACK)
            .env_clear()
            .envs(inherited())
            // A garbage collector and more threads cost more than they bring in 20 milliseconds.
            .envs([("GOMAXPROCS", "1"), ("GOGC", "off")])
            .env("HOME", self.fixture.home())
            .env("DOCKER_CONFIG", self.fixture.home())
            .env("DOCKER_HOST", format!("unix://{}", self.api.socket.display()))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Where docker ends without reading it there is nobody to write to.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (success, stderr) = end(child);
        Outcome { success, stderr, requests: self.api.take() }
    }
}

/// Waits; a docker that hangs is ended and has failed.
fn end(mut child: Child) -> (bool, String) {
    let mut pipe = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = pipe.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let begun = Instant::now();
    while !reader.is_finished() && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(1));
    }
    let hangs = !reader.is_finished();
    if hangs {
        let _ = child.kill();
    }
    let success = child.wait().unwrap().success();
    let said = reader.join().unwrap();
    (success && !hangs, if hangs { format!("docker hangs\n{said}") } else { said })
}
