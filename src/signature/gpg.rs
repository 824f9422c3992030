//! Calls of `gpg`, each with a folder of its own for all that it keeps: nobody's keyring, configuration, agent or trust
//! decides, and no server is asked.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{self, Call, Output};

/// So long one call may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Where files may lie for a while, if the system's own folder for that is closed.
const MEMORY: &str = "/dev/shm";
/// What every call says.
const ALWAYS: [&str; 11] = [
    "--no-options",
    "--batch",
    "--no-tty",
    "--no-autostart",
    "--disable-dirmngr",
    "--no-auto-key-retrieve",
    "--no-auto-key-locate",
    "--display-charset=utf-8",
    "--fixed-list-mode",
    "--with-colons",
    "--status-fd=1",
];
/// Its keys.
const KEYS: &str = "pubring.kbx";

/// A folder with keys, gone when dropped.
pub(super) struct Home<'a> {
    folder: TempDir,
    path: &'a OsStr,
}

impl<'a> Home<'a> {
    /// With these keys; `gpg` is looked for on `path`.
    pub(super) fn new(keys: &[u8], path: &'a OsStr) -> Result<Self, String> {
        let mut new = tempfile::Builder::new();
        let new = new.prefix("dockerops-gpg-").permissions(Permissions::from_mode(0o700));
        let folder = new.tempdir().or_else(|_| new.tempdir_in(MEMORY));
        let home = Self { folder: folder.map_err(|error| format!("no temporary folder: {error}"))?, path };
        if !keys.is_empty() {
            home.write(KEYS, keys)?;
        }
        Ok(home)
    }

    /// Writes a file, for `gpg` to read; its path.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<String, String> {
        let path = self.folder.path().join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(content));
        written.map_err(|error| format!("cannot write to a temporary folder: {error}"))?;
        Ok(path.display().to_string())
    }

    /// The keys as they are now.
    pub(super) fn keys(&self) -> Result<Vec<u8>, String> {
        let path: PathBuf = self.folder.path().join(KEYS);
        fs::read(path).map_err(|error| format!("`gpg` kept no keys: {error}"))
    }

    /// Runs `gpg`. An error says why it could not be run.
    pub(super) fn gpg(&self, arguments: &[&str]) -> Result<Output, String> {
        let home = self.folder.path().display().to_string();
        let environment =
            [("PATH", self.path), ("GNUPGHOME", OsStr::new(&home)), ("LC_ALL", OsStr::new("C"))];
        let environment: BTreeMap<OsString, OsString> =
            environment.map(|(name, value)| (name.into(), value.into())).into();
        let call = Call {
            program: "gpg".into(),
            arguments: ALWAYS.iter().chain(arguments).map(|&argument| argument.to_owned()).collect(),
            environment,
            folder: Some("/".into()),
            input: None,
            limit: LIMIT,
        };
        process::run(&call).map_err(|failure| format!("`gpg` {failure}"))
    }
}

/// What `gpg` says line by line for a program to read: a word, and those behind it.
pub(super) fn told(output: &Output) -> impl Iterator<Item = (&str, Vec<&str>)> {
    output.stdout.lines().filter_map(|line| {
        let mut words = line.strip_prefix("[GNUPG:] ")?.split(' ');
        Some((words.next()?, words.collect()))
    })
}

/// What it complains about to people.
pub(super) fn complaint(output: &Output) -> String {
    const NOISE: [&str; 7] =
        ["Total number", " created", "gpg-agent", "Signature made", " using ", " issuer ", "trusted keys"];
    let says_more = |line: &&str| !line.trim().is_empty() && !NOISE.iter().any(|noise| line.contains(noise));
    crate::plain::name(output.stderr.lines().rfind(says_more).unwrap_or("it says nothing"))
}
