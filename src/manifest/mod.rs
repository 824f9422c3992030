//! What a checkout declares: `stacks.yaml` or stacks by their files' names, `volumes.yaml`, `nfs.yaml`,
//! `images.yaml`, validated whole.
//!
//! In: the checkout's folders. Out: a `Manifest`, and every mistake with file, line and key; it knows
//! neither docker nor what is deployed.

mod entries;
mod files;
mod hold;
mod images;
mod jobs;
mod layout;
mod nfs;
mod stacks;
mod template;
mod volumes;

use std::path::Path;

use crate::budget::Budget;
use crate::guard::Guard;
use crate::hold::Window;
use crate::paths::Root;
use crate::problem::Problem;
use crate::stack::{DriftPolicy, StackFiles, StackName};

pub use entries::{boolean, check_keys, document_within, string};
pub use files::{below, the_compose_file};
pub use images::ImageSource;
pub use jobs::{JobsEntry, NamedJob};
pub use layout::{files_of, names_a_stack};
pub use nfs::{Nfs, binding_folder};
pub use template::{Origin, TEMPLATES, is_template_name};
pub use volumes::{VolumeEntry, VolumeKind};

/// The largest manifest file taken, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// Everything a checkout declares.
#[derive(Debug)]
pub struct Manifest {
    /// In the order of `stacks.yaml`; empty, where there is no mistake, only beside images.
    pub stacks: Vec<StackEntry>,
    /// What names them.
    pub layout: Layout,
    /// Names for volumes and bindings.
    pub volumes: Vec<VolumeEntry>,
    /// Where bindings go; never `None` where there is a binding and no mistake.
    pub nfs: Option<Nfs>,
    /// In the order of `images.yaml`.
    pub images: Vec<ImageSource>,
}

/// What names the stacks of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `stacks.yaml`.
    List,
    /// The files at its root.
    Files,
    /// Nothing: it holds images only.
    Nothing,
}

/// One entry of `stacks.yaml`.
#[derive(Debug, Clone)]
pub struct StackEntry {
    /// What docker calls it.
    pub name: StackName,
    /// Where it is named in `stacks.yaml`; 0 where the name is that of a file.
    pub line: usize,
    /// `enabled`: a disabled stack is removed and has the status `stopped`.
    pub enabled: bool,
    /// Stacks that must have converged before this one is deployed.
    pub depends_on: Vec<StackName>,
    pub drift: DriftPolicy,
    /// Its files; `None` where some are not there, which is wrong unless it is disabled.
    pub files: Option<Box<StackFiles>>,
    /// The first compose file's path from the repository's root, as the author sees it.
    pub compose_path: String,
    /// The template that it was made from.
    pub template: Option<Origin>,
    /// When it stays as it is.
    pub hold: HoldEntry,
    /// What runs to its end before and behind the rest.
    pub jobs: JobsEntry,
    /// What is wrong with it and with no other stack: its folder is missing, say. It is not deployed.
    pub wrong: Vec<Problem>,
    /// Whether a policy does not let its source have a stack of that name.
    pub is_forbidden: bool,
}

/// What `stacks.yaml` says of when a stack stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldEntry {
    /// `hold`: `true`, or why.
    pub hold: bool,
    pub reason: Option<String>,
    /// `windows`: changes are applied while one of them is open; at any time where there is none.
    pub windows: Vec<Window>,
}

/// Where what is read is to run.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// On this machine. `guard` says where bindings may lie; `try_writing` whether `nfs.path` may be written to, to see
    /// whether it can be.
    Here { guard: &'a Guard, try_writing: bool },
    /// On another one: of `nfs.path` only the name can be judged.
    Elsewhere(&'a Guard),
}

impl Place<'_> {
    /// The same, where nothing is written to be tried.
    pub fn without_writing(self) -> Self {
        match self {
            Place::Here { guard, .. } => Place::Here { guard, try_writing: false },
            Place::Elsewhere(_) => self,
        }
    }
}

/// Reads the manifest in `dir`, a folder of the checkout at `root`. The mistakes are those that make the whole
/// unclear; a wrong stack or binding bears its own. Where there are some, the manifest holds what is right all
/// the same, so that the mistakes in its files can be told too.
pub fn read(root: &Root, dir: &Path, place: Place<'_>, budget: &Budget) -> (Manifest, Vec<Problem>) {
    let (images, wrong_images) = images::read(root, dir, budget);
    let by_files = if stacks::is_there(root, dir) { None } else { layout::read(root, dir, budget) };
    let (layout, (stacks, mut problems)) = match by_files {
        Some(read) => (Layout::Files, read),
        None if images.is_empty() || stacks::is_there(root, dir) => {
            (Layout::List, stacks::read(root, dir, budget))
        }
        None => (Layout::Nothing, (Vec::new(), Vec::new())),
    };
    let (nfs, wrong) = nfs::read(root, dir, place);
    let has_nfs = nfs.is_some() || !wrong.is_empty();
    problems.extend(wrong);
    let (volumes, wrong) = volumes::read(root, dir, has_nfs, budget);
    problems.extend(wrong);
    problems.extend(wrong_images);
    (Manifest { stacks, layout, volumes, nfs, images }, problems)
}

/// Whether there is a word about bindings in `dir`.
pub fn has_nfs(root: &Root, dir: &Path) -> bool {
    root.has(dir, nfs::FILE)
}
