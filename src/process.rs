//! The one place that starts processes: with a time limit, in a group of their own.
//!
//! A group of its own keeps Ctrl-C on the terminal from cutting a docker call in half: a run that was
//! asked to end lets the call finish, and ends it only after `GRACE`.

mod listen;
mod orphans;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::signal;

pub use listen::{Pipe, listen};
pub use orphans::reap;

use orphans::Ours;

/// How long a running call may go on after SIGINT or SIGTERM.
const GRACE: Duration = Duration::from_secs(7);
/// So long after a program's end its last words may take to come. A helper that it left behind (ssh's, say) may
/// hold its output open for as long as it likes.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A longer line is given in parts.
const LONGEST_LINE: u64 = 64 * 1024;

/// A program to run, as a value.
#[derive(Debug, Clone)]
pub struct Call {
    /// Name looked up on the `PATH` of `environment`.
    pub program: String,
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Its working directory, if not ours.
    pub folder: Option<PathBuf>,
    /// What it reads; nothing if `None`.
    pub input: Option<String>,
    /// When it is killed.
    pub limit: Duration,
}

/// What a program that ran left behind.
#[derive(Debug)]
pub struct Output {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

/// Why there is no output.
#[derive(Debug)]
pub enum Failure {
    /// The program is not there.
    NotFound,
    /// It ran longer than this and was killed.
    TimedOut(Duration),
    /// The system refused.
    System(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("is not on the PATH"),
            Self::TimedOut(limit) => write!(f, "did not answer within {} s and was ended", limit.as_secs()),
            Self::System(error) => write!(f, "could not be run: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::NotFound } else { Self::System(error) }
    }
}

/// Runs `call` to its end, and gives every line to `on_line` as soon as it is whole, those of its standard output
/// and its standard error as they come. Whether it exited with 0.
pub fn hear(call: &Call, on_line: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
    let (mut child, _ours) = start(call)?;
    let (sender, lines) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for pipe in pipes.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let success = wait(&mut child, call.limit, &mut || lines.try_iter().for_each(|line| on_line(&line)));
    let until = Instant::now() + LAST_WORDS;
    while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
        on_line(&line);
    }
    success
}

/// Runs `call` to its end.
pub fn run(call: &Call) -> Result<Output, Failure> {
    let (mut child, _ours) = start(call)?;
    if let Some((mut stdin, input)) = child.stdin.take().zip(call.input.clone()) {
        // A program that does not read to the end says why by its exit.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    let stdout = child.stdout.take().map(Gathered::from);
    let stderr = child.stderr.take().map(Gathered::from);
    let success = wait(&mut child, call.limit, &mut || ())?;
    let until = Instant::now() + LAST_WORDS;
    Ok(Output { success, stdout: text(stdout, until), stderr: text(stderr, until) })
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
fn start(call: &Call) -> Result<(Child, Ours), Failure> {
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).env_clear().envs(&call.environment).process_group(0);
    command.stdin(if call.input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(folder) = &call.folder {
        command.current_dir(folder);
    }
    Ok(orphans::spawn(&mut command)?)
}

/// Runs `call` to its end and tells each line of its standard output when it comes. Ended at once, without
/// grace, when `stop` is set or a signal comes: only for what may be cut off anywhere.
pub fn follow(call: &Call, stop: &AtomicBool, on_line: &mut dyn FnMut(&str)) -> Result<Output, Failure> {
    let (mut child, _ours) = start(call)?;
    let (sender, lines) = mpsc::channel();
    let stdout = child.stdout.take();
    thread::spawn(move || {
        for line in stdout
            .map(BufReader::new)
            .into_iter()
            .flat_map(|stdout| stdout.split(b'\n').map_while(Result::ok))
        {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    let stderr = child.stderr.take().map(Gathered::from);
    let begun = Instant::now();
    let (mut stdout, mut ended) = (String::new(), None);
    loop {
        let mut all_said = false;
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                on_line(line.trim_end());
                stdout += &line;
                stdout.push('\n');
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Its output has ended, and so it is about to.
            Err(RecvTimeoutError::Disconnected) => {
                all_said = true;
                thread::sleep(Duration::from_millis(1));
            }
        }
        if let Some(status) = child.try_wait()? {
            let until = *ended.get_or_insert_with(|| Instant::now() + LAST_WORDS);
            if all_said || Instant::now() >= until {
                return Ok(Output { success: status.success(), stdout, stderr: text(stderr, until) });
            }
        } else if begun.elapsed() >= call.limit
            || stop.load(Ordering::Relaxed)
            || signal::received().is_some()
        {
            end(&mut child);
            return Err(Failure::TimedOut(begun.elapsed()));
        }
    }
}

/// What comes out of a pipe, part by part, as another thread reads it.
struct Gathered(Receiver<Vec<u8>>);

impl<P: Read + Send + 'static> From<P> for Gathered {
    fn from(mut pipe: P) -> Self {
        let (sender, parts) = mpsc::channel();
        thread::spawn(move || {
            let mut part = vec![0; 64 * 1024];
            loop {
                match pipe.read(&mut part) {
                    Ok(read @ 1..) if sender.send(part[..read].to_vec()).is_ok() => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => return,
                }
            }
        });
        Self(parts)
    }
}

/// All of it; what has come `until` then, where the pipe is held open.
fn text(gathered: Option<Gathered>, until: Instant) -> String {
    let mut bytes = Vec::new();
    if let Some(Gathered(parts)) = gathered {
        while let Ok(part) = parts.recv_timeout(until.saturating_duration_since(Instant::now())) {
            bytes.extend(part);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn wait(child: &mut Child, limit: Duration, meanwhile: &mut dyn FnMut()) -> Result<bool, Failure> {
    let begun = Instant::now();
    let mut asked_to_end: Option<Instant> = None;
    let ended = Ended::of(child);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if asked_to_end.is_none() && signal::received().is_some() {
            asked_to_end = Some(Instant::now());
        }
        let out_of_grace = asked_to_end.is_some_and(|since| since.elapsed() >= GRACE);
        if begun.elapsed() >= limit || out_of_grace {
            end(child);
            return Err(Failure::TimedOut(begun.elapsed()));
        }
        meanwhile();
        ended.wait(TICK.min(limit.saturating_sub(begun.elapsed())));
    }
}

/// How often a wait looks for signals.
const TICK: Duration = Duration::from_millis(50);

/// Wakes when a child ends, where the kernel has pidfds (Linux 5.3); ticks elsewhere.
struct Ended(Option<OwnedFd>);

impl Ended {
    fn of(child: &Child) -> Self {
        Self(pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok())
    }

    fn wait(&self, time: Duration) {
        match (&self.0, Timespec::try_from(time)) {
            (Some(pidfd), Ok(time)) => drop(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&time))),
            _ => thread::sleep(time.min(Duration::from_millis(5))),
        }
    }
}

/// Ends the whole group, so that no helper of the program lives on.
fn end(child: &mut Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: Option<&str>, limit: Duration) -> Result<Output, Failure> {
        run(&Call {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "1".into())]),
            folder: Some("/".into()),
            input: input.map(str::to_owned),
            limit,
        })
    }

    #[test]
    fn output_input_folder_and_environment() {
        let output =
            shell("cat; pwd; echo $A; echo e >&2; exit 3", Some("in\n"), Duration::from_secs(9)).unwrap();
        assert_eq!((output.success, &*output.stdout, &*output.stderr), (false, "in\n/\n1\n", "e\n"));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let begun = Instant::now();
        let failure = shell("sleep 60 & sleep 60", None, Duration::from_millis(200)).unwrap_err();
        assert!(matches!(failure, Failure::TimedOut(_)));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_helper_that_lives_on_with_the_output_in_its_hands_holds_up_nothing() {
        let call = |script: &str| Call {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            folder: None,
            input: Some("in".into()),
            limit: Duration::from_secs(60),
        };
        let left = call("sleep 8 & echo a");
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| run(&left).unwrap());
            let heard = scope.spawn(|| {
                let mut lines = Vec::new();
                (hear(&left, &mut |line| lines.push(line.to_owned())).unwrap(), lines)
            });
            let followed = scope.spawn(|| follow(&left, &AtomicBool::new(false), &mut |_| ()).unwrap());
            for output in [ran.join().unwrap(), followed.join().unwrap()] {
                assert_eq!((output.success, &*output.stdout), (true, "a\n"));
            }
            assert_eq!(heard.join().unwrap(), (true, vec!["a".to_owned()]));
        });
        assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    }

    #[test]
    fn lines_are_told_as_they_come_and_the_program_can_be_stopped() {
        let call = |script: &str| Call {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            folder: None,
            input: None,
            limit: Duration::from_secs(30),
        };
        let (stop, mut lines) = (AtomicBool::new(false), Vec::new());
        let output = follow(&call("echo a; echo b; echo e >&2; exit 3"), &stop, &mut |line| {
            lines.push(line.to_owned());
        });
        let output = output.unwrap();
        assert_eq!((output.success, &*output.stdout, &*output.stderr), (false, "a\nb\n", "e\n"));
        assert_eq!(lines, ["a", "b"]);
        let begun = Instant::now();
        let stopped = follow(&call("echo a; sleep 60"), &stop, &mut |_| stop.store(true, Ordering::Relaxed));
        assert!(matches!(stopped, Err(Failure::TimedOut(_))) && begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn lines_are_told_while_the_program_runs() {
        let mut call = Call {
            program: "sh".into(),
            arguments: vec![
                "-c".into(),
                "echo one; echo two >&2; sleep 0.2; echo three; printf four; exit 3".into(),
            ],
            environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            folder: None,
            input: None,
            limit: Duration::from_secs(9),
        };
        let mut lines = Vec::new();
        assert!(!hear(&call, &mut |line| lines.push(line.to_owned())).unwrap());
        lines[..2].sort_unstable();
        assert_eq!(lines, ["one", "two", "three", "four"]);
        call.arguments[1] = "echo early; sleep 60".into();
        call.limit = Duration::from_millis(300);
        lines.clear();
        let failure = hear(&call, &mut |line| lines.push(line.to_owned())).unwrap_err();
        assert!(matches!(failure, Failure::TimedOut(_)) && lines == ["early"], "{failure} {lines:?}");
    }

    #[test]
    fn a_missing_program_is_told_apart() {
        let call = Call {
            program: "no-such-program".into(),
            arguments: vec![],
            environment: BTreeMap::new(),
            folder: None,
            input: None,
            limit: Duration::from_secs(1),
        };
        assert!(matches!(run(&call), Err(Failure::NotFound)));
    }
}
