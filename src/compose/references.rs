//! Files that a compose file names: all of them inside the checkout, or an error before anything is read.
//!
//! A path is read as docker reads it, by its letters first: of `sub/../x` nothing is left of `sub`, whatever
//! that links to. docker then gets a copy of the very file that was checked, under the hash of its content.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::ComposeFile;
use super::labels::child;
use crate::budget::{Budget, Count};
use crate::hash;
use crate::paths::{self, Root};
use crate::problem::Collector;
use crate::stack::StoredKind;
use crate::yaml::Node;

/// Swarm takes no config, and we no other file, of so many bytes (swarmkit `MaxConfigSize`).
pub const MOST_BYTES: u64 = 1000 * 1024;
/// And no secret of so many (swarmkit `MaxSecretSize`).
const MOST_OF_A_SECRET: u64 = 500 * 1024;

/// A file that becomes a config or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReference {
    /// Which of both.
    pub kind: StoredKind,
    /// The entry that names it.
    pub entry: String,
    /// SHA-256 of its content in hex; what the copy is called that docker opens.
    pub content: String,
    path: PathBuf,
}

impl FileReference {
    /// The key that names it, `configs.site.file`.
    pub fn key(&self) -> String {
        format!("{}.{}.file", self.kind.section(), self.entry)
    }
}

/// `configs.*.file` and `secrets.*.file` of an interpolated compose file.
pub fn files(
    tree: &Node,
    compose_file: ComposeFile<'_>,
    folder: &Path,
    problems: &mut Collector,
) -> Vec<FileReference> {
    let mut found = Vec::new();
    for kind in StoredKind::ALL {
        for (entry, node) in section(tree, kind.section()) {
            let key = format!("{}.{entry}.file", kind.section());
            let Some(file) = node.get("file") else { continue };
            let most = if kind == StoredKind::Secret { MOST_OF_A_SECRET } else { MOST_BYTES };
            let Some(path) = resolve(&key, &file, compose_file.root, folder, most, problems) else {
                continue;
            };
            match within(&path, most, compose_file.budget).and_then(|()| content(&path)) {
                Ok(content) => found.push(FileReference { kind, entry, content, path }),
                Err(error) => problems.add(file.line, key, format!("{error:#}")),
            }
        }
    }
    found
}

/// Fails unless the file has less than `most` bytes; counts it into what its source may name in all.
pub fn within(file: &Path, most: u64, budget: &Budget) -> Result<()> {
    let size = file.metadata().map_or(0, |file| file.len());
    ensure!(size < most, too_large(most));
    budget.take(Count::Named, size).map_err(|exceeded| anyhow!(exceeded.sentence()))
}

fn too_large(most: u64) -> String {
    format!("has {} KiB or more, which Swarm does not take", most / 1024)
}

/// Where the file lies that `node` names, symlinks resolved; of one that has not less than `most` bytes nothing is written.
pub fn resolve(
    key: &str,
    node: &Node,
    root: &Root,
    folder: &Path,
    most: u64,
    problems: &mut Collector,
) -> Option<PathBuf> {
    let Some(text) = node.string_text() else {
        problems.add(node.line, key, format!("must be a path, not {}", node.what()));
        return None;
    };
    if root.size_ahead(folder, text).is_some_and(|size| size >= most) {
        problems.add(node.line, key, too_large(most));
        return None;
    }
    match root.resolve(folder, text) {
        Ok(path) if path.is_file() => return Some(path),
        Ok(_) => problems.add(node.line, key, format!("`{text}` is not a file")),
        Err(error) => problems.add(node.line, key, format!("{error:#}")),
    }
    None
}

/// SHA-256 of a file's content in hex; nothing is kept of it.
fn content(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    each_part(path, |part| {
        hash.update(part);
        Ok(())
    })?;
    Ok(hash::to_hex(&hash.finalize()))
}

fn each_part(path: &Path, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut file = paths::open(path)?;
    anyhow::ensure!(file.metadata()?.is_file(), "is not a file");
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).context("cannot be read")? {
            0 => return Ok(()),
            some => take(&buffer[..some])?,
        }
    }
}

/// The tree that names the copies instead of the files.
pub fn to_copies(tree: &Rc<Node>, files: &[FileReference]) -> Rc<Node> {
    let mut tree = Rc::clone(tree);
    for file in files {
        let entry = child(child(&mut tree, file.kind.section()), &file.entry);
        *child(entry, "file") = Node::string(&*file.content);
    }
    tree
}

/// A new folder below `folder`, for root alone, that holds a copy of each file and nothing else.
pub fn copies(files: &[FileReference], folder: &Path) -> Result<TempDir> {
    let mut new = tempfile::Builder::new();
    let new = new.prefix("deploy-").permissions(Permissions::from_mode(0o700)).tempdir_in(folder)?;
    for file in files {
        let path = new.path().join(&file.content);
        if path.exists() {
            continue;
        }
        let mut hash = Sha256::new();
        let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&path)?;
        each_part(&file.path, |part| {
            hash.update(part);
            Ok(copy.write_all(part)?)
        })?;
        if hash::to_hex(&hash.finalize()) != file.content {
            bail!("`{}`: the file is not the one that was checked any more", file.key());
        }
    }
    Ok(new)
}

/// A bind mount of a checkout's file cannot work: the checkout is gone after the run, and other nodes
/// never had it.
pub fn refuse_relative_binds(tree: &Node, root: &Root, folder: &Path, problems: &mut Collector) {
    for (key, service) in section(tree, "services") {
        let Some(volumes) = service.get("volumes") else { continue };
        for volume in volumes.items().unwrap_or_default() {
            let source = match volume.text() {
                Some(short) => {
                    short.split_once(':').map(|(source, _)| source.to_owned()).filter(|s| s.starts_with('.'))
                }
                None if volume.get("type").is_some_and(|kind| kind.text() == Some("bind")) => volume
                    .get("source")
                    .and_then(|source| source.text().map(str::to_owned))
                    .filter(|source| !source.starts_with(['/', '~'])),
                None => None,
            };
            if let Some(source) = source {
                let what = format!(
                    "`{source}` is relative to a checkout that is gone after the run and never was on other nodes; \
                     bind it: write `{}` into `volumes.yaml`, say in `nfs.yaml` where it is copied to, and mount \
                     `{}:…` here",
                    entry(&source, root, folder),
                    id(&source),
                );
                problems.add(volume.line, format!("services.{key}.volumes"), what);
            }
        }
    }
}

/// The entry of `volumes.yaml` that would make a binding of `source`; in the root, where most keep it.
fn entry(source: &str, root: &Root, folder: &Path) -> String {
    let path = root.resolve(folder, source).ok();
    let path = path.as_deref().and_then(|path| path.strip_prefix(root.path()).ok());
    let path = path.filter(|path| !path.as_os_str().is_empty()).map(|path| path.display().to_string());
    format!("- {{id: {}, type: binding, path: {}}}", id(source), path.as_deref().unwrap_or("…"))
}

/// An id made of the last part of a path.
fn id(source: &str) -> String {
    let name = Path::new(source).file_name().map(|name| name.to_string_lossy().into_owned());
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let id: String = name.unwrap_or_default().trim_start_matches('.').chars().map(letter).collect();
    if id.len() < 2 { "files".into() } else { id }
}

/// The entries of a section that have names.
pub fn section(tree: &Node, name: &str) -> Vec<(String, Rc<Node>)> {
    let pairs = tree.get(name).map(|section| section.merged_pairs()).unwrap_or_default();
    pairs.into_iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value))).collect()
}
