//! Files of a checkout, copied to where every node sees them.
//!
//! In: the tree that a binding is to hold, a folder to copy it to, and the inventory of what earlier syncs put
//! there. Out: that folder, with what differed written and what was dropped removed, and a new inventory. It
//! knows nothing of stacks, nor who remembers. Below the folder no symlink is followed: containers write
//! there too, and could put one in the way to make root write elsewhere. What they wrote is never lost: what
//! is to go is judged by what is held open, and files are made where no container sees them.

mod compare;
mod folder;
mod inventory;
mod kept;
mod removal;
mod stage;
mod sync;
#[cfg(test)]
mod tests;
mod tree;

pub use inventory::{Inventory, Item, holds};
pub use removal::remove;
pub use sync::Opened;
pub use tree::{File, Kind, Tree};

use std::path::{Path, PathBuf};

use crate::guard::Guard;

/// Where files of containers are put that were in the way of the repository's, below `nfs.path`.
pub const KEPT: &str = ".dockerops-kept";

/// Where a binding goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// `nfs.path`.
    pub root: &'a Path,
    /// Below it.
    pub path: &'a Path,
    /// User and group of its files; root where there is none.
    pub owner: Option<(u32, u32)>,
    /// Who says whether bindings may lie there.
    pub guard: &'a Guard,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Files and symlinks written.
    pub written: usize,
    /// Files, symlinks and folders of earlier syncs removed.
    pub removed: usize,
    /// Files that were in the way, and where they lie now.
    pub kept: Vec<(PathBuf, PathBuf)>,
    /// Dropped files that somebody changed since they were copied, or folders with files of others: they
    /// stay where they are.
    pub left: Vec<PathBuf>,
}
