//! A `docker` before the real one on `PATH`: writes down every call and passes it on, or does what it was told.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{command, programs, stdout_of, wait_for};

/// Gone when dropped.
#[derive(Debug)]
pub struct FakeDocker {
    folder: TempDir,
    rules: String,
}

impl FakeDocker {
    /// Passes on to the docker of the `PATH`; where there is none, it must be told what to do.
    pub fn new() -> Self {
        let real = programs("docker").into_iter().next().unwrap_or_else(|| "/nonexistent/docker".into());
        Self::before(&real)
    }

    /// Passes on to this docker CLI.
    pub fn before(real: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = SCRIPT
            .replace("FOLDER", &quoted(&folder.path().display().to_string()))
            .replace("REAL", &quoted(&real.display().to_string()));
        let draft = folder.path().join("draft");
        fs::write(&draft, script).unwrap();
        fs::write(folder.path().join("rules"), "").unwrap();
        // By another process: a test beside this one may be forking, and while its child holds the file
        // open for writing, running it fails with "text file busy".
        stdout_of(
            command("install").args(["-D", "-m", "755"]).arg(draft).arg(folder.path().join("bin/docker")),
        );
        Self { folder, rules: String::new() }
    }

    /// The folder to put on the `PATH`; `DockerOps::with_fake` does.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// A Swarm without services, on nodes without images; whatever else docker is asked fails.
    pub fn of_an_empty_swarm() -> Self {
        Self::before("/bin/false".as_ref()).with_an_empty_swarm()
    }

    /// Likewise, of one that has rules already: these come first.
    pub fn with_an_empty_swarm(self) -> Self {
        self.knows_no_key()
            .prints("config ls --format", "")
            .prints("secret ls --format [", "")
            .prints("network ls", "")
            .prints("service ls", "")
            .prints("service inspect", "[]")
            .prints("image ls", "")
    }

    /// The Swarm has no key of DockerOps, and takes the one it gets.
    pub fn knows_no_key(self) -> Self {
        let rule = "[[ \"$1 $2\" == 'config create' ]] && exit 0; echo 'no such config' >&2; exit 1";
        self.does("dockerops-key", rule)
    }

    /// Calls whose arguments contain `part` wait for `release`; they end with who called them.
    pub fn waits(self, part: &str) -> Self {
        self.does(part, "until [[ -e $folder/go ]]; do kill -0 $PPID || exit 1; sleep 0.05; done 2>/dev/null")
    }

    /// Lets go the calls that wait, and all later ones.
    pub fn release(&self) {
        fs::write(self.folder.path().join("go"), "").unwrap();
    }

    /// Waits until there was a call whose arguments contain `part`.
    #[track_caller]
    pub fn wait_for_call(&self, part: &str) {
        wait_for(part, 60, || !self.calls_with(part).is_empty());
    }

    /// Calls whose arguments contain `part` print `text` and succeed.
    pub fn prints(self, part: &str, text: &str) -> Self {
        self.does(part, &format!("printf %s {}; exit 0", quoted(text)))
    }

    /// Calls whose arguments contain `part` fail, with `text` on stderr.
    pub fn fails(self, part: &str, code: i32, text: &str) -> Self {
        self.does(part, &format!("printf '%s\\n' {} >&2; exit {code}", quoted(text)))
    }

    /// Calls whose arguments contain `part` do not end within ten minutes.
    pub fn hangs(self, part: &str) -> Self {
        self.does(part, "exec sleep 600")
    }

    /// Calls whose arguments contain `part` run this bash text, then the real docker if it did not exit.
    pub fn does(mut self, part: &str, bash: &str) -> Self {
        writeln!(self.rules, "if [[ \" $* \" == *{}* ]]; then {bash}; fi", quoted(part)).unwrap();
        // Replaced at once, for a call may be reading it.
        let (new, rules) = (self.folder.path().join("rules.new"), self.folder.path().join("rules"));
        fs::write(&new, &self.rules).unwrap();
        fs::rename(new, rules).unwrap();
        self
    }

    /// The calls so far, each its arguments as a shell would take them.
    pub fn calls(&self) -> Vec<String> {
        self.lines("calls")
    }

    /// The calls whose arguments contain `part`.
    pub fn calls_with(&self, part: &str) -> Vec<String> {
        self.calls().into_iter().filter(|call| call.contains(part)).collect()
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        for name in ["calls", "environment"] {
            let _ = fs::remove_file(self.folder.path().join(name));
        }
    }

    /// `NAME=value` of every call so far.
    pub fn environment(&self) -> Vec<String> {
        self.lines("environment")
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

// A line is written in one go, so calls that run side by side do not mix.
const SCRIPT: &str = r#"#!/bin/bash
folder=FOLDER
line=
for argument; do
    case $argument in
    '' | *[!A-Za-z0-9_.:/=,@%+{}-]*) argument="'${argument//\'/\'\\\'\'}'" ;;
    esac
    line+=" ${argument//$'\n'/\\n}"
done
printf '%s\n' "${line:1}" >>"$folder/calls"
export -p >>"$folder/environment"
source "$folder/rules"
exec REAL "$@"
"#;
