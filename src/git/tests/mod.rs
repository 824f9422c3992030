//! Git against real servers on loopback: smart HTTP, TLS, sshd, and their faults.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start servers, and themselves with another environment"
)]

mod failures;
mod files;
mod http;
mod kept;
mod lab;
mod local;
mod looks;
mod push;
mod signed;
mod ssh;
mod submodules;

use std::path::PathBuf;
use std::time::Duration;

use lab::Lab;

use super::{Checkout, Commit, configure, heads};
use crate::fault::hint_of;
use crate::settings::GitAccess;
use crate::signal;
use crate::source::Source;

impl GitAccess {
    /// Without credentials.
    pub fn of_tests() -> Self {
        Self {
            purpose: crate::settings::Purpose::Fetch,
            github_token: None,
            gh_host: None,
            credentials_file: None,
            timeout: Duration::from_secs(20),
            home: None,
            limits: crate::budget::Limits::default(),
            kept: None,
        }
    }
}

/// What a probe needs of the environment is set once for a process: CA store, HOME, proxy, timeouts.
///
/// Does nothing unless `Lab::probe` runs it, in a process of its own.
#[test]
fn probe() {
    let Ok(source) = std::env::var("PROBE_SOURCE") else {
        return;
    };
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let access = GitAccess {
        purpose: crate::settings::Purpose::Fetch,
        github_token: std::env::var("PROBE_TOKEN").ok().map(crate::redact::Secret::new),
        gh_host: std::env::var("PROBE_GH_HOST").ok(),
        credentials_file: path("PROBE_CREDENTIALS"),
        timeout: Duration::from_secs(std::env::var("PROBE_TIMEOUT").unwrap().parse().unwrap()),
        home: path("HOME"),
        limits: crate::budget::Limits::default(),
        kept: path("PROBE_KEPT"),
    };
    signal::install().unwrap();
    configure(&access).unwrap();
    let fetched = fetch(&source, &access, &path("PROBE_FOLDER").unwrap());
    match fetched {
        Ok(checkout) => println!("fetched {}", checkout.commit()),
        Err(error) => println!("error {error:#}\nhint {}", hint_of(&error).unwrap_or("none")),
    }
}

fn fetch(source: &str, access: &GitAccess, folder: &std::path::Path) -> anyhow::Result<Checkout> {
    let source = Source::parse(source)?;
    let commit = heads(std::slice::from_ref(&source), access).wait()?.remove(0)?;
    whole(&source, &commit, folder, access)
}

/// A commit, of which no file is on disk.
fn checkout(
    source: &Source,
    commit: &Commit,
    folder: &std::path::Path,
    access: &GitAccess,
) -> anyhow::Result<Checkout> {
    super::checkout(source, commit, folder, access, &std::sync::Arc::new(super::Transfer::new()), None)
}

/// A commit with all its files written out.
fn whole(
    source: &Source,
    commit: &Commit,
    folder: &std::path::Path,
    access: &GitAccess,
) -> anyhow::Result<Checkout> {
    let checkout = checkout(source, commit, folder, access)?;
    checkout
        .root()
        .bring_all(checkout.root().path())
        .map_err(|error| checkout.take_failure().unwrap_or(error).context(format!("source `{source}`")))?;
    Ok(checkout)
}
