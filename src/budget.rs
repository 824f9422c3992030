//! What one source may cost, and what it has cost so far.
//!
//! In: the limits of the settings. Out: one `Budget` a source, handed down while the source is read, that says no
//! when it is spent. A limit for each file would be none: a thousand symlinks make a thousand of one file.

use std::cell::{Cell, RefCell};

use anyhow::Error;

use crate::fault::fault;

/// What a source may be at most. An honest one of 20,000 files and 2 GB is far below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `DOCKEROPS_MAX_FILES`: files, folders and symlinks, submodules included.
    pub files: u64,
    /// `DOCKEROPS_MAX_BYTES`: of its files, and again of what git sends for them.
    pub bytes: u64,
    /// `DOCKEROPS_MAX_STACKS`: stacks; what all compose files hold together grows with it.
    pub stacks: u64,
    /// `DOCKEROPS_GIT_MEMORY`: bytes that git's library may hold, for all sources together.
    pub git_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 200_000, bytes: 4 << 30, stacks: 1_000, git_memory: 96 << 20 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Files, folders and symlinks of the commit.
    Files,
    /// Bytes of these files.
    Bytes,
    /// Bytes that git sent.
    Received,
    /// Stacks, and likewise images.
    Stacks,
    /// Entries of `volumes.yaml`.
    Volumes,
    /// Bytes of compose files, of `.env` and of `secrets.yaml`, each time one is read.
    Text,
    /// Values in compose files, aliases written out.
    Values,
    /// Bytes of the files that compose files name, each time one is named.
    Named,
    /// Files of bindings.
    Copied,
}

const COUNTS: usize = Count::Copied as usize + 1;

/// Entries of `volumes.yaml` for a stack on average.
const VOLUMES: u64 = 4;
/// Bytes of text that a stack may hold on average.
const TEXT: u64 = 64 << 10;
/// Values that a stack may hold on average: a service has about twenty.
const VALUES: u64 = 500;
/// Bytes of configs, secrets and `env_file`s that a stack may name on average.
const NAMED: u64 = 1 << 20;

impl Count {
    fn limit(self, limits: &Limits) -> u64 {
        let stacks = |each: u64| limits.stacks.saturating_mul(each);
        match self {
            Self::Files | Self::Copied => limits.files,
            Self::Bytes | Self::Received => limits.bytes,
            Self::Stacks => limits.stacks,
            Self::Volumes => stacks(VOLUMES),
            Self::Text => stacks(TEXT),
            Self::Values => stacks(VALUES),
            Self::Named => stacks(NAMED),
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Files | Self::Copied => "DOCKEROPS_MAX_FILES",
            Self::Bytes | Self::Received => "DOCKEROPS_MAX_BYTES",
            Self::Stacks | Self::Volumes | Self::Text | Self::Values | Self::Named => "DOCKEROPS_MAX_STACKS",
        }
    }

    fn more_than(self, limit: u64) -> String {
        match self {
            Self::Files => format!("it has more than {limit} files and folders"),
            Self::Bytes => format!("its files are more than {}", bytes(limit)),
            Self::Received => format!("git sends more than {} for it", bytes(limit)),
            Self::Stacks => format!("it lists more than {limit} stacks, or images"),
            Self::Volumes => format!("its `volumes.yaml` has more than {limit} entries"),
            Self::Text => format!("its compose files are more than {} in all", bytes(limit)),
            Self::Values => format!("its compose files hold more than {limit} values in all"),
            Self::Named => {
                format!("the files that its compose files name are more than {} in all", bytes(limit))
            }
            Self::Copied => format!("its bindings hold more than {limit} files in all"),
        }
    }
}

/// Says no to more than its limits. Shared by all that reads one source, one after the other.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    counted: [Cell<u64>; COUNTS],
    exceeded: RefCell<Option<Exceeded>>,
}

/// A limit that was passed: how much, and what raises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    what: String,
    variable: &'static str,
}

impl Budget {
    /// With nothing counted yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, counted: Default::default(), exceeded: RefCell::default() }
    }

    /// Counts `more`; fails where that is too much.
    pub fn take(&self, count: Count, more: u64) -> Result<(), Exceeded> {
        let counted = &self.counted[count as usize];
        counted.set(counted.get().saturating_add(more));
        self.check(count, counted.get())
    }

    /// Fails where so many at once would be too much; they are not counted.
    pub fn check(&self, count: Count, all: u64) -> Result<(), Exceeded> {
        let limit = count.limit(&self.limits);
        if all <= limit {
            return Ok(());
        }
        let exceeded = Exceeded { what: count.more_than(limit), variable: count.variable() };
        self.exceeded.borrow_mut().get_or_insert_with(|| exceeded.clone());
        Err(exceeded)
    }

    /// The first limit that was passed: there is no sense in reading on.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.borrow().clone()
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub fn counted(&self, count: Count) -> u64 {
        self.counted[count as usize].get()
    }
}

impl Exceeded {
    /// In one sentence, for a list of mistakes.
    pub fn sentence(&self) -> String {
        format!("{} (`{}`)", self.what, self.variable)
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        let hint = format!("if that is meant, raise `{}`", exceeded.variable);
        fault(exceeded.what, hint)
    }
}

/// A number of bytes as people write it.
pub fn bytes(count: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if count >= 1 << shift {
            let tenths = ((count >> (shift - 10)) * 10) >> 10;
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                part => format!("{}.{part} {unit}", tenths / 10),
            };
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::hint_of;

    #[test]
    fn it_says_no_from_the_limit_on_and_names_what_raises_it() {
        let budget = Budget::new(Limits { files: 3, bytes: 5 << 30, ..Limits::default() });
        budget.take(Count::Files, 3).unwrap();
        assert!(budget.exceeded().is_none());
        let error = Error::from(budget.take(Count::Files, 1).unwrap_err());
        assert_eq!(error.to_string(), "it has more than 3 files and folders");
        assert!(hint_of(&error).unwrap().contains("`DOCKEROPS_MAX_FILES`"));
        assert!(budget.exceeded().is_some());
        assert!(budget.take(Count::Files, u64::MAX).is_err(), "it does not begin again at nothing");
        assert_eq!(
            budget.take(Count::Bytes, u64::MAX).unwrap_err().sentence(),
            "its files are more than 5 GiB (`DOCKEROPS_MAX_BYTES`)"
        );
    }

    #[test]
    fn bytes_are_told_as_people_write_them() {
        assert_eq!(
            [bytes(1 << 20), bytes(3 << 29), bytes(300 << 10), bytes(9)],
            ["1 MiB", "1.5 GiB", "300 KiB", "9 bytes"]
        );
    }
}
