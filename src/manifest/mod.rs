//! What a checkout declares: `stacks.yaml`, validated whole.
//!
//! In: the checkout's folders. Out: a `Manifest`, and every mistake with file, line and key; it knows
//! neither docker nor what is deployed.

mod stacks;

use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::stack::{DriftPolicy, StackName};

/// The largest manifest file taken, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Everything a checkout declares.
#[derive(Debug)]
pub struct Manifest {
    /// In the order of `stacks.yaml`; never empty where there is no mistake.
    pub stacks: Vec<StackEntry>,
}

/// One entry of `stacks.yaml`.
#[derive(Debug, Clone)]
pub struct StackEntry {
    /// What docker calls it.
    pub name: StackName,
    /// `enabled`: a disabled stack is removed and has the status `stopped`.
    pub enabled: bool,
    /// Stacks that must have converged before this one is deployed.
    pub depends_on: Vec<StackName>,
    /// What to do about drift.
    pub drift: DriftPolicy,
    /// The compose file, symlinks resolved; `None` where a disabled stack has none.
    pub compose_file: Option<PathBuf>,
    /// The compose file's path from the repository's root, as the author sees it.
    pub compose_path: String,
}

/// Reads the manifest in `dir`, a folder of the checkout at `root`. Where there are mistakes, the manifest
/// holds what is right all the same, so that the mistakes in its files can be told too.
pub fn read(root: &Path, dir: &Path) -> (Manifest, Vec<Problem>) {
    let (stacks, problems) = stacks::read(root, dir);
    (Manifest { stacks }, problems)
}
