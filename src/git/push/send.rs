//! A push to a server, with a lease: the branch must be what was asked of it, or nothing is sent.
//!
//! libgit2's push succeeds where the server refuses: the answer for the one reference counts. And it walks a history
//! until the end of what a server has, past the commits whose parents are not here, unless the repository was opened
//! in the one way that reads its list of these.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;

use anyhow::{Error, Result};
use git2::{Oid, PushOptions, RemoteRedirect, Repository};

use crate::git::kept::Kept;
use crate::git::redirect;
use crate::git::remote::{self, callbacks, proxy};
use crate::git::worker::Pulse;
use crate::plain;
use crate::redact::{Secret, without_credentials, without_secrets};
use crate::settings::GitAccess;

/// Of what a server says this is kept.
const MOST_WORDS: usize = 4_096;
const MOST_LINES: usize = 20;
const NOT_UNPACKED: &str = "unpacking the sent packfile failed on the remote";

/// What goes where to.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    pub url: String,
    /// The whole name of the branch.
    pub name: String,
    /// What it points at; `None` where it is not there.
    pub lease: Option<Oid>,
    pub commit: Oid,
    /// The commit that it was made of, which the server has.
    pub tip: Oid,
    /// Whether the branch need not hold what it held.
    pub is_forced: bool,
}

/// What the other side made of it.
#[derive(Debug)]
pub(super) enum Answer {
    Taken,
    /// The branch points at something else.
    Moved,
    /// In its own words, fit to be shown.
    Rejected(String),
    Failed(Error),
    /// All went well, but for its word on the branch.
    Silent,
}

/// Pushes out of the repository in `git`, which may borrow from what is kept of the same remote.
pub(super) fn push(
    git: &Path,
    kept: Option<&Kept>,
    sending: &Sending,
    access: &GitAccess,
    pulse: &Pulse,
) -> Result<Answer> {
    pulse.begin(&sending.url, access.timeout)?;
    redirect::refuse(&sending.url, access)?;
    note_shallow(git, kept, sending.tip)?;
    // Not `open_bare`, which does not read that list (libgit2 1.9).
    let repository = Repository::open(git)?;
    remote::forbid_redirects(&mut repository.config()?)?;
    let (is_moved, told, said) = (Cell::new(false), RefCell::new(None), RefCell::new(Vec::new()));
    let secrets = RefCell::new(Vec::new());
    let talked = remote::talk(&sending.url, access, |url, keyring| {
        let mut remote = repository.remote_anonymous(url)?;
        let mut callbacks = callbacks(keyring);
        callbacks.push_negotiation(|updates| {
            let lease = sending.lease.unwrap_or(Oid::ZERO_SHA1);
            is_moved.set(updates.iter().any(|update| update.src() != lease));
            if is_moved.get() { Err(git2::Error::from_str("the branch has moved")) } else { Ok(()) }
        });
        callbacks.sideband_progress(|words| {
            let mut said = said.borrow_mut();
            // A secret that a cut goes through would not be known as one.
            let room = (2 * MOST_WORDS).saturating_sub(said.len());
            said.extend_from_slice(&words[..words.len().min(room)]);
            pulse.beat()
        });
        callbacks.push_transfer_progress(|_, _, _| {
            pulse.beat();
        });
        callbacks.push_update_reference(|name, refusal| {
            if name == sending.name {
                *told.borrow_mut() = Some(refusal.map(str::to_owned));
            }
            Ok(())
        });
        let mut options = PushOptions::new();
        options.remote_callbacks(callbacks).proxy_options(proxy());
        options.follow_redirects(RemoteRedirect::None).packbuilder_parallelism(1);
        let force = if sending.is_forced { "+" } else { "" };
        let pushed =
            remote.push(&[format!("{force}{}:{}", sending.commit, sending.name)], Some(&mut options));
        *secrets.borrow_mut() = keyring.secrets();
        pushed
    });
    let (said, secrets) = (said.into_inner(), secrets.into_inner());
    let words = |refusal: &str| words(refusal, &said, &secrets);
    Ok(match (talked, told.into_inner()) {
        _ if is_moved.get() => Answer::Moved,
        (Ok(()), Some(None)) => Answer::Taken,
        (_, Some(Some(refusal))) => Answer::Rejected(words(&refusal)),
        (Err(error), _) if format!("{error:#}").contains(NOT_UNPACKED) => {
            Answer::Rejected(words("the server could not store it"))
        }
        (Err(error), _) => Answer::Failed(error),
        (Ok(()), None) => Answer::Silent,
    })
}

/// The commits whose parents are not here: those of what is kept, and the tip, behind which nothing needs to be looked at.
fn note_shallow(git: &Path, kept: Option<&Kept>, tip: Oid) -> Result<()> {
    let path = git.join("shallow");
    let mut all = fs::read_to_string(&path).unwrap_or_default();
    let kept = kept.and_then(Kept::newest).map(|newest| newest.shallow());
    all.push_str(&kept.unwrap_or_default());
    let tip = tip.to_string();
    let mut lines: Vec<_> = all.lines().chain([&*tip]).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(fs::write(path, lines.join("\n") + "\n")?)
}

/// The refusal, and behind it what the server said beside it, a line each; without the secrets that it was shown.
fn words(refusal: &str, said: &[u8], secrets: &[Secret]) -> String {
    let said = without_secrets(&String::from_utf8_lossy(said), secrets);
    let said: String = said.chars().take(MOST_WORDS).collect();
    let refusal = &*without_secrets(refusal, secrets);
    let lines = said.split(['\n', '\r']).map(str::trim_end).filter(|line| !line.is_empty()).take(MOST_LINES);
    let all: Vec<_> = [refusal].into_iter().chain(lines).collect();
    plain::text(&without_credentials(&all.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_neither_drive_a_terminal_nor_go_on_without_end() {
        let said = b"\x1b[2Jno stacks\r\non fridays\r\r\n\nerror: see https://u:p@h/x \xff";
        let told = words("pre-receive hook declined", said, &[]);
        let wanted = "pre-receive hook declined\n  \\u{1b}[2Jno stacks\n  on fridays\n  error: see https://\u{2026}@h/x \u{fffd}";
        assert_eq!(told, wanted);
        assert_eq!(words("no", "x\n".repeat(1_000).as_bytes(), &[]).lines().count(), 1 + MOST_LINES);
    }
}
