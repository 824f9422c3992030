//! What a checkout declares: `stacks.yaml`, `volumes.yaml`, `nfs.yaml`, validated whole.
//!
//! In: the checkout's folders. Out: a `Manifest`, and every mistake with file, line and key; it knows
//! neither docker nor what is deployed.

mod entries;
mod nfs;
mod stacks;
mod volumes;

use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::stack::{DriftPolicy, StackName};

pub use nfs::Nfs;
pub use volumes::{VolumeEntry, VolumeKind};

/// The largest manifest file taken, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Everything a checkout declares.
#[derive(Debug)]
pub struct Manifest {
    /// In the order of `stacks.yaml`; never empty where there is no mistake.
    pub stacks: Vec<StackEntry>,
    /// Names for volumes and bindings.
    pub volumes: Vec<VolumeEntry>,
    /// Where bindings go; never `None` where there is a binding and no mistake.
    pub nfs: Option<Nfs>,
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
/// holds what is right all the same, so that the mistakes in its files can be told too. `try_writing` says
/// whether `nfs.path` may be written to, to see whether it can be.
pub fn read(root: &Path, dir: &Path, try_writing: bool) -> (Manifest, Vec<Problem>) {
    let (stacks, mut problems) = stacks::read(root, dir);
    let (nfs, wrong) = nfs::read(root, dir, try_writing);
    let has_nfs = nfs.is_some() || !wrong.is_empty();
    problems.extend(wrong);
    let (volumes, wrong) = volumes::read(root, dir, has_nfs);
    problems.extend(wrong);
    (Manifest { stacks, volumes, nfs }, problems)
}
