//! A change of files, made on a tree: nothing is checked out, and what is not named keeps its id.
//!
//! Every path is hostile: it leads through folders alone, never through a symlink, a submodule or a file, and no name
//! of it is git's own, nor one of a neighbour but for its case.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use git2::{ObjectType, Oid, Repository, Tree};

use crate::fault::fault;
use crate::git::listing::{checked, is_plain};
use crate::git::write::{EXECUTABLE, LINK};

const FILE: i32 = 0o100_644;
const FOLDER: i32 = 0o040_000;
/// What a disk takes.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4_095;
const DEEPEST: usize = 100;

/// What becomes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// A file, new or in the place of one, whose mode it keeps.
    Write { bytes: Vec<u8>, executable: bool },
    /// A folder that is this tree, whatever was in it.
    Copy(String),
    /// Away with the file or symlink, or with the folder and all that is in it.
    Remove,
}

/// Paths from the repository's root, with `/` between their parts. What is removed goes before anything is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    files: BTreeMap<String, Change>,
}

impl Edit {
    /// A file comes to hold this; one that was there stays executable, or not.
    pub fn write(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, executable: bool) {
        self.files.insert(path.into(), Change::Write { bytes: bytes.into(), executable });
    }

    /// A folder comes to hold what the tree of this id does, and nothing else; what is written below it comes to that.
    pub fn copy(&mut self, path: impl Into<String>, tree: impl Into<String>) {
        self.files.insert(path.into(), Change::Copy(tree.into()));
    }

    /// What is there goes.
    pub fn remove(&mut self, path: impl Into<String>) {
        self.files.insert(path.into(), Change::Remove);
    }
}

/// The id of `tree` with `edit`. Folders are made as they are needed, and go with their last file.
pub(super) fn apply(repository: &Repository, tree: &Tree<'_>, edit: &Edit) -> Result<Oid> {
    let (mut away, mut new) = (Node::default(), Node::default());
    for (path, change) in &edit.files {
        let parts = parts(path).with_context(|| format!("`{}`", crate::plain::name(path)))?;
        let root = if matches!(change, Change::Remove) { &mut away } else { &mut new };
        parts.iter().fold(root, |node, part| node.below.entry(part).or_default()).change = Some(change);
    }
    let left = away.apply(repository, Some(tree.id()), "")?;
    let made = new.apply(repository, left, "")?;
    Ok(made.map_or_else(|| repository.treebuilder(None)?.write(), Ok)?)
}

/// The parts of a path that names a file of a repository.
fn parts(path: &str) -> Result<Vec<&str>> {
    let hint = "name a file below the repository's root, as in `web/docker-compose.yml`";
    let wrong = |what: &str| fault(what, hint);
    if path.len() > LONGEST_PATH || path.split('/').count() > DEEPEST {
        return Err(wrong("the path is longer or deeper than a disk takes"));
    }
    for part in path.split('/') {
        if !is_plain(part.as_bytes()) || is_gits_own(part) {
            return Err(wrong("a part of the path is empty, `.`, `..`, or git's own"));
        }
        if part.len() > LONGEST_NAME || part.contains(|letter: char| letter.is_control() || letter == '\\') {
            return Err(wrong("a part of the path is too long, or holds a control character or `\\`"));
        }
    }
    if path.eq_ignore_ascii_case(".gitmodules") {
        return Err(wrong("`.gitmodules` says what is fetched besides, and is changed with git alone"));
    }
    Ok(path.split('/').collect())
}

/// Whether a disk may take it for `.git`: Windows passes over dots and blanks at its end, and has a short name for it, and
/// macOS does not see some letters (`is_ntfs_dotgit`, `is_hfs_dotgit` of git).
fn is_gits_own(part: &str) -> bool {
    let seen: String =
        part.chars().filter(|letter| crate::plain::name(&letter.to_string()).starts_with(*letter)).collect();
    let end = seen.find(':').unwrap_or(seen.len());
    let bare = seen[..end].trim_end_matches(['.', ' ']);
    bare.eq_ignore_ascii_case(".git") || bare.eq_ignore_ascii_case("git~1")
}

/// The part of an edit that is below a folder.
#[derive(Debug, Default)]
struct Node<'a> {
    change: Option<&'a Change>,
    below: BTreeMap<&'a str, Node<'a>>,
}

impl Node<'_> {
    /// The folder with the changes below; `None` where nothing is left of it.
    fn apply(&self, repository: &Repository, folder: Option<Oid>, path: &str) -> Result<Option<Oid>> {
        let before = folder.map(|id| checked(repository, id)).transpose()?;
        let mut builder = repository.treebuilder(before.as_ref())?;
        for (name, node) in &self.below {
            let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}/{name}") };
            let shown = || format!("`{}`", crate::plain::name(&path));
            let there = builder.get(name)?.map(|entry| (entry.id(), entry.kind(), entry.filemode()));
            let was_executable = there.map(|(_, _, mode)| mode == EXECUTABLE);
            let there = there.map(|(id, kind, mode)| (id, Found::of(kind, mode)));
            match (node.change, there) {
                (Some(Change::Remove), None) => bail!("{} is not there", shown()),
                (Some(Change::Remove), Some((id, found))) => {
                    removable(repository, id, found).with_context(shown)?;
                    builder.remove(name)?;
                }
                (Some(Change::Write { bytes, executable }), there) => {
                    ensure!(node.below.is_empty(), "{} cannot be a file and a folder", shown());
                    if let Some((_, found)) = there.filter(|(_, found)| *found != Found::File) {
                        bail!("{} is {}, and not written over", shown(), found.words());
                    }
                    if there.is_none() {
                        alone(before.as_ref(), self, name).with_context(shown)?;
                    }
                    let mode = if was_executable.unwrap_or(*executable) { EXECUTABLE } else { FILE };
                    builder.insert(name, repository.blob(bytes)?, mode)?;
                }
                (Some(Change::Copy(_)), Some((_, found))) if found != Found::Folder => {
                    bail!("{} is {}, and not written over", shown(), found.words());
                }
                (Some(Change::Copy(tree)), there) => {
                    match there {
                        Some((id, found)) => removable(repository, id, found).with_context(shown)?,
                        None => alone(before.as_ref(), self, name).with_context(shown)?,
                    }
                    let tree = Oid::from_str(tree)?;
                    removable(repository, tree, Found::Folder).with_context(shown)?;
                    match node.apply(repository, Some(tree), &path)? {
                        Some(id) => drop(builder.insert(name, id, FOLDER)?),
                        None => bail!("{} would be empty", shown()),
                    }
                }
                (None, Some((_, found))) if found != Found::Folder => {
                    bail!("{} is {}: no path leads through it", shown(), found.words());
                }
                (None, there) => {
                    if there.is_none() {
                        alone(before.as_ref(), self, name).with_context(shown)?;
                    }
                    match node.apply(repository, there.map(|(id, _)| id), &path)? {
                        Some(id) => drop(builder.insert(name, id, FOLDER)?),
                        None if there.is_some() => builder.remove(name)?,
                        None => {}
                    }
                }
            }
        }
        if builder.is_empty() { Ok(None) } else { Ok(Some(builder.write()?)) }
    }
}

/// What git has at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    File,
    Link,
    Folder,
    Submodule,
}

impl Found {
    fn of(kind: Option<ObjectType>, mode: i32) -> Self {
        match (kind, mode) {
            (Some(ObjectType::Tree), _) => Self::Folder,
            (Some(ObjectType::Commit), _) => Self::Submodule,
            (_, LINK) => Self::Link,
            _ => Self::File,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Link => "a symlink",
            Self::Folder => "a folder",
            Self::Submodule => "a submodule",
        }
    }
}

/// A submodule stands in `.gitmodules` as well, which would then name what is not there.
fn removable(repository: &Repository, id: Oid, found: Found) -> Result<()> {
    match found {
        Found::File | Found::Link => Ok(()),
        Found::Submodule => {
            Err(fault("it is a submodule, or holds one", "remove it with git: `.gitmodules` names it"))
        }
        Found::Folder => {
            let tree = checked(repository, id)?;
            tree.iter().try_for_each(|entry| {
                removable(repository, entry.id(), Found::of(entry.kind(), entry.filemode()))
            })
        }
    }
}

/// Whether no neighbour has the same name but for its case: some disks hold only one of them.
fn alone(before: Option<&Tree<'_>>, beside: &Node<'_>, name: &str) -> Result<()> {
    let lower = name.to_lowercase();
    let collides = |other: &str| other != name && other.to_lowercase() == lower;
    let there = before
        .into_iter()
        .flat_map(Tree::iter)
        .map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned());
    let beside = beside.below.keys().map(|other| (*other).to_owned());
    match there.chain(beside).find(|other| collides(other)) {
        None => Ok(()),
        Some(other) => Err(fault(
            format!("there is `{}`, which some disks take for the same name", crate::plain::name(&other)),
            "choose a name that differs by more than the case of its letters",
        )),
    }
}

#[cfg(test)]
mod tests;
