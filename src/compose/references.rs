//! Files that a compose file names: all of them inside the checkout, or an error before anything is read.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::paths;
use crate::problem::Collector;
use crate::yaml::Node;

/// A file that docker will read when it deploys.
#[derive(Debug, PartialEq, Eq)]
pub struct FileReference {
    /// The key that names it, `configs.site.file`.
    pub key: String,
    /// Where it lies, symlinks resolved.
    pub path: PathBuf,
}

/// `env_file`, `configs.*.file` and `secrets.*.file` of an interpolated compose file.
pub fn files(tree: &Node, root: &Path, folder: &Path, problems: &mut Collector) -> Vec<FileReference> {
    let mut named: Vec<(String, Rc<Node>)> = Vec::new();
    for (key, service) in section(tree, "services") {
        let Some(value) = service.get("env_file") else { continue };
        let single = [Rc::clone(&value)];
        for item in value.items().unwrap_or(&single) {
            // Newer files write `{path: …, required: …}`.
            named.push((
                format!("services.{key}.env_file"),
                item.get("path").unwrap_or_else(|| Rc::clone(item)),
            ));
        }
    }
    for kind in ["configs", "secrets"] {
        for (key, entry) in section(tree, kind) {
            named.extend(entry.get("file").map(|file| (format!("{kind}.{key}.file"), file)));
        }
    }
    named.into_iter().filter_map(|(key, node)| resolve(key, &node, root, folder, problems)).collect()
}

fn resolve(
    key: String,
    node: &Node,
    root: &Path,
    folder: &Path,
    problems: &mut Collector,
) -> Option<FileReference> {
    let resolved = match node.text() {
        Some(text) => paths::resolve_inside(root, folder, text),
        None => Err(anyhow::anyhow!("must be a path, not {}", node.what())),
    };
    match resolved {
        Ok(path) if path.is_file() => Some(FileReference { key, path }),
        Ok(_) => {
            problems.add(node.line, key, format!("`{}` is not a file", node.text().unwrap_or_default()));
            None
        }
        Err(error) => {
            problems.add(node.line, key, format!("{error:#}"));
            None
        }
    }
}

/// A bind mount of a checkout's file cannot work: the checkout is gone after the run, and other nodes
/// never had it.
pub fn refuse_relative_binds(tree: &Node, problems: &mut Collector) {
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
                     use a `configs` entry with `file: {source}` for a file, or an absolute path that every node has"
                );
                problems.add(volume.line, format!("services.{key}.volumes"), what);
            }
        }
    }
}

fn section(tree: &Node, name: &str) -> Vec<(String, Rc<Node>)> {
    let pairs = tree.get(name).map(|section| section.merged_pairs()).unwrap_or_default();
    pairs.into_iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value))).collect()
}
