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
pub fn refuse_relative_binds(tree: &Node, root: &Path, folder: &Path, problems: &mut Collector) {
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
fn entry(source: &str, root: &Path, folder: &Path) -> String {
    let path = paths::resolve_inside(root, folder, source).ok();
    let path = path.as_deref().and_then(|path| path.strip_prefix(root).ok());
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

fn section(tree: &Node, name: &str) -> Vec<(String, Rc<Node>)> {
    let pairs = tree.get(name).map(|section| section.merged_pairs()).unwrap_or_default();
    pairs.into_iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value))).collect()
}
