//! How a source is fetched: one `ls-remote` decides, a shallow fetch brings one commit.
//!
//! In: a `Source` and how git is reached. Out: the commit it names, or that commit's files in a private
//! temporary folder. Errors name the source and say the way out; no credential is in any of them.

mod ahead;
mod base;
mod bounds;
mod checkout;
mod count;
mod credentials;
mod explain;
mod fetch;
mod files;
mod kept;
mod known;
mod listing;
mod local;
mod ls;
mod memory;
mod pack;
pub mod push;
mod redirect;
mod remote;
mod size;
mod submodules;
mod supply;
#[cfg(test)]
mod tests;
mod tracked;
mod transfer;
mod trees;
mod walk;
mod worker;
mod worktree;
mod write;

use std::ffi::c_int;
use std::fmt;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use git2::{ConfigLevel, Oid};

pub use base::Base;
pub use checkout::{Checkout, Workplace, checkout, sweep};
pub use credentials::password;
pub use kept::sweep as sweep_kept;
pub use known::{Said, look_into, said};
pub use ls::{Pending, heads};
pub use memory::NoRoom;
pub use tracked::{Tracked, TrackedKind};
pub use transfer::Transfer;
pub use worker::LONGEST_TRANSFER;
pub use worktree::Worktree;

use crate::fault::fault;
use crate::settings::GitAccess;

/// Of libgit2's cache of objects, in bytes.
const CACHE: isize = 8 << 20;
/// Of one window into a pack, and of all.
const WINDOW: usize = 1 << 20;
const WINDOWS: usize = 32 << 20;

/// A commit's id: 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit(String);

impl Commit {
    /// Reads a whole id; an abbreviated one is an error.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(fault(
            format!("`{}` is no commit id", crate::plain::name(text)),
            "a commit is given by all its 40 digits",
        ))
    }

    /// All 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    fn oid(&self) -> Result<Oid> {
        Ok(Oid::from_str(&self.0)?)
    }
}

impl From<Oid> for Commit {
    fn from(oid: Oid) -> Self {
        Self(oid.to_string())
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sets libgit2 up, once in a process. Every thread begins with it: reading the system's certificates
/// takes longer than asking docker, which is done meanwhile.
fn configure(access: &GitAccess) -> Result<()> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    let milliseconds = c_int::try_from(access.timeout.as_millis()).unwrap_or(c_int::MAX);
    let set =
        || set_options(milliseconds, access.limits.git_memory).map_err(|error| error.message().to_owned());
    DONE.get_or_init(set).clone().map_err(|error| anyhow!("libgit2 cannot be set up: {error}"))
}

#[expect(
    unsafe_code,
    reason = "libgit2's options are global and unsynchronised: nothing uses it before they are set"
)]
fn set_options(milliseconds: c_int, most_memory: u64) -> Result<(), git2::Error> {
    memory::bound(most_memory)?;
    // SAFETY: `configure` does this once, and every thread that uses libgit2 waits for it first.
    unsafe {
        git2::opts::set_server_connect_timeout_in_milliseconds(milliseconds)?;
        git2::opts::set_server_timeout_in_milliseconds(milliseconds)?;
        // Objects are read once; and packs through windows that are given back.
        git2::opts::set_cache_max_size(CACHE)?;
        git2::opts::set_mwindow_size(WINDOW)?;
        git2::opts::set_mwindow_mapped_limit(WINDOWS)?;
        // Root may watch a user's repository by its path. The check guards against that repository's
        // hooks and configured programs; libgit2 runs neither.
        git2::opts::set_verify_owner_validation(false)?;
        // A commit must be the same files on every manager: nobody's `core.autocrlf` or `insteadOf`.
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            git2::opts::set_search_path(level, "")?;
        }
    }
    Ok(())
}
