//! What bindings are to hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Files;
use crate::bindings::{File, Kind, Tree};
use crate::budget::{Budget, Count};
use crate::compose::{Mount, Volumes};
use crate::fault::hint_of;
use crate::git::{Tracked, TrackedKind};
use crate::manifest::{Manifest, VolumeKind};
use crate::policy::Rules;
use crate::problem::Problem;

/// A binding of a checkout.
#[derive(Debug)]
pub struct Binding {
    /// `nfs.path`.
    pub root: PathBuf,
    /// Below it.
    pub path: PathBuf,
    /// To whom its files belong.
    pub owner: Option<(u32, u32)>,
    /// What it holds.
    pub tree: Tree,
}

/// Bindings by id.
pub type Bindings = BTreeMap<String, Binding>;

/// What compose files may refer to, and the bindings among it.
pub fn read(
    files: &dyn Files,
    manifest: &Manifest,
    rules: Option<&Rules>,
    budget: &Budget,
) -> (Volumes, Bindings) {
    let (mut volumes, mut bindings) = (Volumes::new(), Bindings::new());
    for entry in &manifest.volumes {
        let mount = match &entry.kind {
            VolumeKind::Volume(name) => Mount::Volume(name.clone()),
            VolumeKind::Wrong(problem) => Mount::Wrong(problem.clone()),
            VolumeKind::Binding { path, source } => {
                let counted = |tree: Tree| {
                    budget.take(Count::Copied, tree.entries.len() as u64)?;
                    Ok(tree)
                };
                let tree = match tree(files, source).and_then(counted) {
                    Ok(tree) => tree,
                    Err(_) if budget.exceeded().is_some() => break,
                    Err(error) => {
                        let dir = files.dir().strip_prefix(files.root().path()).unwrap_or(Path::new(""));
                        let way_out = hint_of(&error).map(|hint| format!("; {hint}")).unwrap_or_default();
                        let (file, what) =
                            (dir.join(path).display().to_string(), format!("{error:#}{way_out}"));
                        let problem = Problem { file, line: None, key: entry.id.clone(), what, more: 0 };
                        volumes.insert(entry.id.clone(), Mount::Wrong(problem));
                        continue;
                    }
                };
                // Without `nfs.yaml`, which is a mistake noted elsewhere, compose files are still read.
                let root = manifest.nfs.as_ref().map_or_else(|| PathBuf::from("/"), |nfs| nfs.path.clone());
                let owner = manifest.nfs.as_ref().and_then(|nfs| nfs.owner);
                if let Some(problem) = super::policy::binding(files, rules, entry, &root.join(path)) {
                    volumes.insert(entry.id.clone(), Mount::Wrong(problem));
                    continue;
                }
                let mount =
                    Mount::Bind { path: root.join(path).display().to_string(), hash: tree.hash.clone() };
                bindings.insert(entry.id.clone(), Binding { root, path: path.clone(), owner, tree });
                mount
            }
        };
        volumes.insert(entry.id.clone(), mount);
    }
    (volumes, bindings)
}

/// What git has of a checkout at `source`.
pub fn tree(files: &dyn Files, source: &Path) -> Result<Tree> {
    let tracked = files.tracked(source)?;
    Tree::new(files.root(), source, tracked.into_iter().map(file))
}

fn file(Tracked { path, kind, id }: Tracked) -> File {
    let kind = match kind {
        TrackedKind::File { executable } => Kind::File { executable, id },
        TrackedKind::Link(target) => Kind::Link { target, id },
        TrackedKind::Folder => Kind::Folder,
    };
    File { path, kind }
}
