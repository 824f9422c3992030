//! A machine to install DockerOps on, and a release server on loopback for it.
//!
//! The machine is this one with a prefix, a home, an empty `/var/log` and changes to `/etc` of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{command, stdout_of};

/// The script under test.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dockerops.sh");

/// Where the script puts what comes beside the program, below the prefix.
pub const SHARED: [&str; 4] = [
    "share/bash-completion/completions/dockerops",
    "share/fish/vendor_completions.d/dockerops.fish",
    "share/man/man1/dockerops.1",
    "share/zsh/site-functions/_dockerops",
];

/// What a run of the script left.
#[derive(Debug)]
pub struct Said {
    /// The exit code; 128+n where signal n ended it.
    pub code: i32,
    /// stdout and stderr, one after the other.
    pub text: String,
}

impl Said {
    /// It exited with `code` and said each of `texts`.
    #[track_caller]
    pub fn is(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "no `{text}` in: {}", self.text);
        }
        self
    }

    /// It did not say `text`.
    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        assert!(!self.text.contains(text), "`{text}` in: {}", self.text);
        self
    }
}

/// The server ends, and the folders go, when it is dropped.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    server: Child,
    /// Run before the script, in the mount namespace that is its own.
    pub mounts: String,
    /// Variables of the script's environment.
    pub variables: BTreeMap<String, String>,
}

impl Machine {
    /// Nothing is installed, nothing is released. `None` where the test cannot be: it takes root.
    pub fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("DOCKEROPS_TEST_STRICT").is_none(), "this test takes root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // Others than root may look inside, as they may into /usr/local.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["served/api/repos/TomBedinoVT/DockerOps/releases", "served/downloads", "home", "prefix"]
        {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let mut server = command("python3");
        server.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/release_server.py"));
        server.arg("--root").arg(folder.path().join("served")).arg("--log").arg(folder.path().join("log"));
        let mut server = server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("the server's first line is its port");
        let mut new = Self { folder, server, mounts: String::new(), variables: BTreeMap::new() };
        for (name, value) in [
            ("DOCKEROPS_PREFIX", new.prefix().display().to_string()),
            ("DOCKEROPS_API_URL", format!("http://127.0.0.1:{port}/api")),
            ("DOCKEROPS_DOWNLOAD_URL", format!("http://127.0.0.1:{port}/downloads")),
            ("HOME", new.home().display().to_string()),
            ("DOCKER_HOST", format!("unix://{}/none", new.folder.path().display())),
        ] {
            new.set(name, &value);
        }
        Some(new)
    }

    /// Sets a variable of the script's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    /// `DOCKEROPS_PREFIX`.
    pub fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    /// Root's home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The installed program.
    pub fn program(&self) -> PathBuf {
        self.prefix().join("bin/dockerops")
    }

    /// A file of the release `version`, `0.2.0`.
    pub fn asset(&self, version: &str, name: &str) -> PathBuf {
        self.folder.path().join("served/downloads").join(format!("v{version}")).join(name)
    }

    /// What the API says of the latest release.
    pub fn latest(&self) -> PathBuf {
        self.folder.path().join("served/api/repos/TomBedinoVT/DockerOps/releases/latest")
    }

    /// Releases a program that knows `version` alone, and makes it the latest.
    pub fn release(&self, version: &str) {
        self.release_program(version, format!("#!/bin/sh\necho dockerops {version}\n").as_bytes());
    }

    /// Releases `program` and makes it the latest.
    pub fn release_program(&self, version: &str, program: &[u8]) {
        let asset = self.asset(version, "dockerops-linux-x86_64");
        let folder = asset.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        let share = self.folder.path().join("share");
        fs::create_dir_all(&share).unwrap();
        let names = ["dockerops.bash", "_dockerops", "dockerops.fish", "dockerops.1"];
        for name in names {
            fs::write(share.join(name), format!("{name} of {version}\n")).unwrap();
        }
        let archive = folder.join("dockerops-share.tar.gz");
        stdout_of(command("tar").arg("-czf").arg(&archive).arg("-C").arg(&share).args(names));
        fs::write(&asset, program).unwrap();
        fs::copy(&asset, folder.join("dockerops-linux-aarch64")).unwrap();
        for name in ["dockerops-linux-x86_64", "dockerops-linux-aarch64", "dockerops-share.tar.gz"] {
            let sum = stdout_of(command("sha256sum").arg(name).current_dir(folder));
            fs::write(folder.join(format!("{name}.sha256")), sum).unwrap();
        }
        fs::write(self.latest(), format!(r#"{{"name": "x", "tag_name": "v{version}"}}"#)).unwrap();
    }

    /// Paths that were asked for so far.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Runs the script to its end, without a terminal.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut words = vec!["bash", SCRIPT];
        words.extend(arguments);
        finish(self.command(&words).spawn().unwrap())
    }

    /// Any program on this machine, in a session of its own; stdout and stderr are piped.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut run = command("unshare");
        let private = self.folder.path().join("etc");
        let mounts = format!(
            "set -e; mount -t tmpfs tmpfs /var/log
            mkdir -p {0}; mount -t tmpfs tmpfs {0}; mkdir {0}/upper {0}/work
            mount -t overlay -o lowerdir=/etc,upperdir={0}/upper,workdir={0}/work overlay /etc
            {1}
            # A shell that was started in the background leaves interrupts ignored.
            exec /usr/bin/env --default-signal=INT \"$@\"",
            private.display(),
            self.mounts
        );
        // No group leader, so `setsid` need not fork: the child is the script, and its group is the script's.
        run.args(["--mount", "setsid", "bash", "-c", &mounts, "bash"]).args(words);
        run.envs(&self.variables).current_dir(self.folder.path());
        run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        run
    }

    /// Every file below the prefix, with its content.
    pub fn installed(&self) -> BTreeMap<String, Vec<u8>> {
        let prefix = self.prefix();
        let files = walkdir::WalkDir::new(&prefix).into_iter().map(Result::unwrap);
        files
            .filter(|entry| !entry.file_type().is_dir())
            .map(|entry| (inside(entry.path(), &prefix), fs::read(entry.path()).unwrap()))
            .collect()
    }
}

fn inside(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap().display().to_string()
}

/// Waits for its end; all that it said.
pub fn finish(mut child: Child) -> Said {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = err.read_to_end(&mut bytes);
        bytes
    });
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).unwrap();
    bytes.extend(errors.join().unwrap());
    let status = child.wait().unwrap();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Said { code, text: String::from_utf8_lossy(&bytes).into_owned() }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
