//! What a commit may touch beside the files of its own stack: what runs already, and what others watch.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Stop, from_root};
use crate::budget::{Budget, Limits};
use crate::git::Tracked;
use crate::guard::Guard;
use crate::manifest::{self, Manifest, Place, StackEntry, VolumeKind};
use crate::paths::Root;
use crate::reading::{Contents, Files};
use crate::source::Source;
use crate::stack::StackName;
use crate::validate::change::Manager;
use crate::validate::diff::{Diff, StackBecomes, StackChange};

/// What the files of a source do not say.
#[derive(Debug, Default)]
pub struct Beside {
    /// The stacks of the source that were deployed and not removed since.
    pub deployed: Vec<StackName>,
    /// The other sources that are watched.
    pub sources: Vec<Source>,
}

/// Another watched source of the same repository, in the commit that is changed.
pub struct Neighbour {
    pub source: Source,
    dir: PathBuf,
    manifest: Manifest,
}

/// The files of a commit, as that source sees them.
struct Seen<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
}

impl Files for Seen<'_> {
    fn root(&self) -> &Root {
        self.files.root()
    }

    fn dir(&self) -> &Path {
        self.dir
    }

    fn tracked(&self, path: &Path) -> Result<Vec<Tracked>> {
        self.files.tracked(path)
    }
}

impl Beside {
    /// Who else reads the branch that `source` follows, from another folder.
    pub fn neighbours(
        &self,
        source: &Source,
        files: &dyn Files,
        guard: &Guard,
        limits: Limits,
    ) -> Vec<Neighbour> {
        let may_be_one =
            |one: Option<&str>, other: Option<&str>| one.is_none() || other.is_none() || one == other;
        let others = self.sources.iter().filter(|other| {
            other.repository() == source.repository()
                && other.dir() != source.dir()
                && may_be_one(other.reference(), source.reference())
        });
        let root = files.root();
        let neighbour = |source: &Source| {
            let dir = match source.dir() {
                Some(dir) => root.resolve(root.path(), dir).ok()?,
                None => root.path().to_path_buf(),
            };
            let place = Place::Here { guard, try_writing: false };
            let (manifest, _) = manifest::read(root, &dir, place, &Budget::new(limits));
            Some(Neighbour { source: source.clone(), dir, manifest })
        };
        others.filter_map(neighbour).collect()
    }

    /// Says of what is deployed that the sync would remove it, where only earlier commits took it off.
    pub fn tell_what_leaves(&self, after: &Contents, diff: &mut Diff) {
        if !after.unclear.is_empty() {
            return;
        }
        let is_on =
            |name: &StackName| after.stacks.iter().any(|it| it.entry.name == *name && it.entry.enabled);
        let is_told = |diff: &Diff, name: &StackName| diff.stacks.iter().any(|it| it.name == name.as_str());
        for name in self.deployed.iter().filter(|name| !is_on(name)) {
            if is_told(diff, name) {
                continue;
            }
            diff.lost.push(format!("the stack `{name}`, which an earlier commit took off; its volumes stay"));
            diff.stacks.push(StackChange {
                name: name.to_string(),
                becomes: StackBecomes::Removed,
                services: Vec::new(),
                rotated: Vec::new(),
                why: vec!["an earlier commit took it off, and no sync has removed it so far".into()],
                difference: String::new(),
            });
        }
        diff.stacks.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

impl Neighbour {
    /// Whether it names something in the folder, which is given from the repository's root.
    pub fn names(&self, folder: &Path, root: &Path) -> bool {
        let at = root.join(folder);
        let binds =
            |kind: &VolumeKind| matches!(kind, VolumeKind::Binding { source, .. } if source.starts_with(&at));
        let Manifest { stacks, volumes, images, .. } = &self.manifest;
        stacks.iter().any(|stack| has_files_in(stack, folder))
            || volumes.iter().any(|volume| binds(&volume.kind))
            || images.iter().any(|it| it.context.starts_with(&at) || it.dockerfile.starts_with(&at))
    }

    /// A stack that was right and would be wrong, if there is one.
    pub fn harmed(
        &self,
        manager: &Manager<'_>,
        before: &dyn Files,
        after: &dyn Files,
    ) -> Result<Option<Stop>> {
        let dir = &self.dir;
        let [old, new] = [before, after].map(|files| {
            let below = dir.strip_prefix(before.root().path()).unwrap_or(Path::new(""));
            let dir = files.root().path().join(below);
            manager.read(&Seen { files, dir: &dir })
        });
        let (old, new) = (old?, new?);
        let is_right = |contents: &Contents, name: &StackName| {
            contents.unclear.is_empty()
                && contents
                    .stacks
                    .iter()
                    .any(|it| it.entry.name == *name && matches!(it.rendered, Some(Ok(_))))
        };
        let mut names = old.stacks.iter().map(|stack| &stack.entry.name);
        let harmed = names.find(|name| is_right(&old, name) && !is_right(&new, name));
        Ok(harmed.map(|name| {
            Stop::conflict(
                format!("`{name}` of the source `{}` would be wrong without it", self.source),
                "change with git what that stack takes of it, then ask again",
            )
        }))
    }
}

/// Whether a file that makes the stack lies in the folder.
pub fn has_files_in(entry: &StackEntry, folder: &Path) -> bool {
    entry.files.as_ref().is_some_and(|its| {
        let mut all = its.overlays.iter().chain(its.env.iter().flatten()).chain([&its.compose]);
        its.folder.starts_with(folder) || all.any(|file| Path::new(&file.path).starts_with(folder))
    })
}

/// Whether a folder lies below that of the list; both are given from the repository's root.
pub fn is_below(files: &dyn Files, folder: &Path) -> bool {
    let own = from_root(files.root().path(), files.dir());
    let own = Path::new(&own);
    folder.starts_with(own) && folder != own
}
