//! The program under test, run as a user runs it, in an environment that says nothing but what the test says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use super::fake_docker::FakeDocker;
use super::lab::Lab;
use super::{command, path_with};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dockerops");

/// Runs its arguments on a terminal and passes on what they print.
const TERMINAL: &str = "
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', int(os.environ.get('LINES', 40)), int(os.environ.get('COLUMNS', 120)), 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
try:
    while data := os.read(fd, 65536):
        os.write(1, data)
        if b'[y/N]' in data:
            os.write(fd, os.environ.get('KEYS', '').encode())
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// One machine's DockerOps: its database, its home, its environment. When dropped it removes the stacks
/// whose names came from `unique`.
#[derive(Debug)]
pub struct DockerOps {
    folder: TempDir,
    environment: BTreeMap<OsString, OsString>,
    wrapper: Vec<OsString>,
    limit: Duration,
    lab: Option<&'static Lab>,
    stacks: RefCell<Vec<String>>,
}

impl DockerOps {
    /// Talks to the lab's manager. The database does not exist yet, nor does its folder.
    pub fn new(lab: &'static Lab) -> Self {
        let mut new = Self::without_docker();
        new.lab = Some(lab);
        new.env("DOCKER_HOST", lab.docker_host())
    }

    /// Talks to a daemon that is not there, so never to the machine's own.
    pub fn without_docker() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let new = Self {
            environment: BTreeMap::new(),
            wrapper: Vec::new(),
            limit: Duration::from_secs(180),
            lab: None,
            stacks: RefCell::default(),
            folder,
        };
        let (home, database) = (new.home(), new.database());
        let no_daemon = format!("unix://{}", new.folder.path().join("no-daemon.sock").display());
        new.env("HOME", home).env("DOCKEROPS_DB_PATH", database).env("DOCKER_HOST", no_daemon)
    }

    /// Sets a variable of its environment, which else is `PATH`, `HOME`, `DOCKER_HOST`, `DOCKEROPS_DB_PATH`.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.into(), value.as_ref().into());
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// Starts it by another program, which gets its path and arguments behind `words`.
    pub fn through<A: Into<OsString>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        self.wrapper = words.into_iter().map(Into::into).collect();
        self
    }

    /// Starts it, and what else starts it, by yet another program.
    pub fn within<A: Into<OsString>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        let inner = std::mem::take(&mut self.wrapper);
        self.wrapper = words.into_iter().map(Into::into).chain(inner).collect();
        self
    }

    /// Starts it, and what else starts it, on a terminal of 120 columns, whose every byte becomes its stdout. The variable `KEYS` is what is
    /// typed when it asks.
    pub fn on_a_terminal(self) -> Self {
        self.env("TERM", "xterm-256color").within(["python3", "-c", TERMINAL])
    }

    /// Starts it in a mount namespace of its own, behind `script`; `$state` is the database's folder.
    pub fn with_mounts(self, script: &str) -> Self {
        let state = self.database().parent().unwrap().display().to_string();
        let script = format!("set -e; state='{state}'; {script}");
        self.through(["unshare", "--mount", "bash", "-c", &script, "bash"])
    }

    /// A run that takes longer is killed and fails the test.
    pub fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Lets it find the fake as `docker`.
    pub fn with_fake(self, fake: &FakeDocker) -> Self {
        self.env("PATH", path_with(&fake.folder()))
    }

    /// Lets it find this docker CLI as `docker`; see `lab::docker_binaries`.
    pub fn with_docker(self, program: &Path) -> Self {
        let folder = self.folder.path().join("bin");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(program, folder.join("docker")).unwrap();
        self.env("PATH", path_with(&folder))
    }

    /// A name for a stack of this test alone, which is removed at the end.
    pub fn unique(&self, base: &str) -> String {
        let name = super::unique(base);
        self.stacks.borrow_mut().push(name.clone());
        name
    }

    /// Its `HOME`.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Where its database is, once it has run.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("state/dockerops.db")
    }

    /// The checkouts that lie beside its database now.
    pub fn checkouts(&self) -> Vec<PathBuf> {
        let folder = self.database().with_file_name("dockerops.db.checkouts");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// It watches no repository, and left no checkout behind.
    #[track_caller]
    pub fn remembers_nothing(&self) {
        self.run(["debug-cache"]).failure(1).error_has("No repositories found in cache");
        assert_eq!(self.checkouts(), Vec::<PathBuf>::new());
    }

    /// Its database, opened beside it.
    pub fn db(&self) -> Connection {
        let path = self.database();
        assert!(path.exists(), "there is no database at {}", path.display());
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.spawn(arguments).wait()
    }

    /// Starts it, for tests that do something meanwhile.
    #[track_caller]
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        let mut words = self.wrapper.iter().map(OsString::as_os_str).chain([OsStr::new(PROGRAM)]);
        let mut program = command(words.next().unwrap());
        program.args(words).args(arguments).envs(&self.environment).current_dir(self.home());
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = program.spawn().unwrap();
        Running {
            what: format!("{:?}", program.get_args().collect::<Vec<_>>()),
            stdout: Some(Output::of(child.stdout.take().unwrap())),
            stderr: Some(Output::of(child.stderr.take().unwrap())),
            deadline: Instant::now() + self.limit,
            child,
        }
    }
}

impl Drop for DockerOps {
    fn drop(&mut self) {
        let stacks = self.stacks.borrow();
        if let Some(lab) = self.lab.filter(|_| !stacks.is_empty()) {
            let names = stacks.iter().map(String::as_str);
            // The test may have removed them itself, or never deployed them.
            let _ = lab.try_docker(&["stack", "rm"].into_iter().chain(names).collect::<Vec<_>>());
        }
    }
}

/// What a run prints, as far as it came.
#[derive(Debug)]
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let into = Arc::clone(&bytes);
        let reader = spawn(move || {
            let mut part = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut part) {
                into.lock().unwrap().extend_from_slice(&part[..count]);
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn whole(self) -> String {
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// A run that goes on. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    stdout: Option<Output>,
    stderr: Option<Output>,
    deadline: Instant,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.as_ref().unwrap().so_far()
    }

    /// What it said beside so far.
    pub fn stderr(&self) -> String {
        self.stderr.as_ref().unwrap().so_far()
    }

    /// Waits until it printed `text` so many times.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str, times: usize, seconds: u64) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while self.stdout().matches(text).count() < times {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            let lives = self.is_running() && Instant::now() < deadline;
            assert!(lives, "not {times} times `{text}` within {seconds} s:\n{stdout}\n-- stderr\n{stderr}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal, and it alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; kills it and fails the test at its time limit.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() >= self.deadline {
                break None;
            }
            sleep(Duration::from_millis(2));
        };
        if status.is_none() {
            self.kill();
        }
        let outcome = Outcome {
            what: self.what.clone(),
            code: status.map_or(0, code),
            stdout: self.stdout.take().unwrap().whole(),
            stderr: self.stderr.take().unwrap().whole(),
        };
        assert!(status.is_some(), "it took too long and was killed: {outcome}");
        outcome
    }

    fn kill(&mut self) {
        if self.is_running() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// What a run left. The checks return it, so they can follow one another.
#[derive(Debug)]
pub struct Outcome {
    what: String,
    /// The exit code; −n if signal n ended it, rather than it itself with 128+n.
    pub code: i32,
    /// What it printed, whole.
    pub stdout: String,
    /// What it said beside, whole.
    pub stderr: String,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, code, stdout, stderr } = self;
        write!(f, "dockerops {what}\n-- code {code}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
    }
}

impl Outcome {
    /// It exited with 0.
    #[track_caller]
    pub fn success(&self) -> &Self {
        self.failure(0)
    }

    /// It exited with `code`.
    #[track_caller]
    pub fn failure(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Its stdout holds `text`.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "no `{text}` on stdout: {self}");
        self
    }

    /// Its stdout does not hold `text`.
    #[track_caller]
    pub fn stdout_lacks(&self, text: &str) -> &Self {
        assert!(!self.stdout.contains(text), "`{text}` on stdout: {self}");
        self
    }

    /// Its stderr holds `text`.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no `{text}` on stderr: {self}");
        self
    }

    /// Its stderr says `what` as its one error, and what to do next.
    #[track_caller]
    pub fn error_has(&self, what: &str) -> &Self {
        assert_eq!(self.stderr.matches("error: ").count(), 1, "not one error: {self}");
        assert!(self.stderr.contains("\nhint: "), "no hint: {self}");
        self.stderr_has(what)
    }

    /// Its stderr does not hold `text`.
    #[track_caller]
    pub fn stderr_lacks(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text), "`{text}` on stderr: {self}");
        self
    }

    /// Its stdout, which is JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON, {error}: {self}"))
    }
}
