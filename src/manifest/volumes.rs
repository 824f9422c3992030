//! `volumes.yaml`: a list of `id`, `type`, `path`: names that services may use for volumes and bindings.

use std::path::{Component, Path, PathBuf};

use super::entries;
use super::nfs;
use crate::budget::{Budget, Count};
use crate::paths::Root;
use crate::problem::{Collector, Problem};
use crate::yaml::Node;

const FILE: &str = "volumes.yaml";
const KEYS: [&str; 3] = ["id", "type", "path"];

/// One entry of `volumes.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEntry {
    /// What services call it.
    pub id: String,
    /// Where its path stands.
    pub line: usize,
    /// What it stands for.
    pub kind: VolumeKind,
}

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// The docker volume of this name.
    Volume(String),
    /// A file or folder of the checkout, to be copied.
    Binding {
        /// Below the manifest's folder, normalised; and likewise below `nfs.path`.
        path: PathBuf,
        /// Where it lies, symlinks resolved.
        source: PathBuf,
    },
    /// Nothing that could be mounted: its path is missing, or must not be read. Whoever mounts it is not deployed.
    Wrong(Problem),
}

/// The entries that are clear, with what is wrong with the path of one alone, and all mistakes of the list. `has_nfs` says whether there is an `nfs.yaml`.
pub fn read(root: &Root, dir: &Path, has_nfs: bool, budget: &Budget) -> (Vec<VolumeEntry>, Vec<Problem>) {
    let mut problems = Collector::new(entries::display(root, dir, FILE));
    let mut found: Vec<(usize, VolumeEntry)> = Vec::new();
    let list = entries::document(root, dir, FILE, &mut problems);
    let items = list.as_ref().map(|list| {
        list.items().unwrap_or_else(|| {
            let what = format!("must be a list of `id`, `type` and `path`, not {}", list.what());
            problems.add(list.line, "", what);
            &[]
        })
    });
    let items = items.unwrap_or_default();
    if let Err(exceeded) = budget.take(Count::Volumes, items.len() as u64) {
        problems.add(0, "", exceeded.sentence());
        return (Vec::new(), problems.into_problems());
    }
    for (index, item) in items.iter().enumerate() {
        let place = format!("entry {}", index + 1);
        let Some(entry) = entry(root, dir, &place, item, &mut problems) else { continue };
        if let Some(clash) = found.iter().find_map(|(line, known)| clash(*line, known, &entry)) {
            problems.add(item.line, entry.id, clash);
            continue;
        }
        if !has_nfs && matches!(entry.kind, VolumeKind::Binding { .. }) {
            let what = format!("is a binding, which needs `{}` with the `path` it is copied to", nfs::FILE);
            problems.add(item.line, entry.id.clone(), what);
        }
        found.push((item.line, entry));
    }
    (found.into_iter().map(|(_, entry)| entry).collect(), problems.into_problems())
}

fn entry(root: &Root, dir: &Path, place: &str, item: &Node, problems: &mut Collector) -> Option<VolumeEntry> {
    if item.pairs().is_none() {
        let what = format!("must be a mapping with `id`, `type` and `path`, not {}", item.what());
        problems.add(item.line, place, what);
        return None;
    }
    entries::check_keys(item, place, &KEYS, problems);
    let id = entries::string(item, place, "id", "what services call it", problems);
    if let Some((line, id)) = id.as_ref().filter(|(_, id)| !is_name(id)) {
        let what = format!("`{}` is no id: {NAME_RULE}", crate::plain::name(id));
        problems.add(*line, format!("{place}.id"), what);
    }
    let kind = entries::string(item, place, "type", "`volume` or `binding`", problems);
    let path = entries::string(item, place, "path", "a folder or file here, or the volume's name", problems);
    let (id, (kind_line, kind), (line, path)) = (id?.1, kind?, path?);
    let made = match kind.as_str() {
        "volume" if is_name(&path) => Ok(VolumeKind::Volume(path)),
        "volume" => {
            Err(format!("`{}` is no name of a docker volume: {NAME_RULE}", crate::plain::name(&path)))
        }
        "binding" => Ok(binding(root, dir, &path)
            .unwrap_or_else(|what| VolumeKind::Wrong(problems.problem(line, format!("{place}.path"), what)))),
        _ => {
            problems.add(kind_line, format!("{place}.type"), "must be `volume` or `binding`");
            return None;
        }
    };
    match made {
        Ok(kind) => is_name(&id).then_some(VolumeEntry { id, line, kind }),
        Err(what) => {
            problems.add(line, format!("{place}.path"), what);
            None
        }
    }
}

const NAME_RULE: &str = "two or more of a to z, A to Z, 0 to 9, `_`, `.`, `-`, the first a letter or digit";

/// docker's rule for volumes. One letter alone it takes for a Windows drive.
fn is_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn binding(root: &Root, dir: &Path, text: &str) -> Result<VolumeKind, String> {
    if Path::new(text).components().any(|part| part == Component::ParentDir) {
        return Err(format!("the path `{}` leads out with `..`", crate::plain::name(text)));
    }
    if text.chars().any(|letter| letter == ':' || letter.is_control()) {
        return Err("holds a `:` or a control character, which a mount cannot name".into());
    }
    let source = root.resolve(dir, text).map_err(|error| {
        let text = text.trim_end_matches('/');
        let missing = dir.join(text).symlink_metadata().is_err() && !text.starts_with('/');
        let keep =
            format!("; git has no empty folders: for one that containers fill, commit `{text}/.gitkeep`");
        format!("{error:#}{}", if missing { &keep } else { "" })
    })?;
    let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
    if path.as_os_str().is_empty() {
        return Err("is the whole repository; name a folder or a file of it".into());
    }
    if path.iter().any(|name| name.as_encoded_bytes().starts_with(b".dockerops")) {
        return Err(
            "has a name that begins with `.dockerops`: such are DockerOps' own below `nfs.path`".into()
        );
    }
    Ok(VolumeKind::Binding { path, source })
}

/// Why two entries cannot stand together.
fn clash(line: usize, known: &VolumeEntry, new: &VolumeEntry) -> Option<String> {
    if known.id == new.id {
        return Some(format!("is listed twice, first in line {line}"));
    }
    let (VolumeKind::Binding { path: one, .. }, VolumeKind::Binding { path: other, .. }) =
        (&known.kind, &new.kind)
    else {
        return None;
    };
    let inside = one.starts_with(other) || other.starts_with(one);
    inside.then(|| {
        format!(
            "`{}` and `{}` of `{}` in line {line} lie inside one another; each file needs one binding",
            other.display(),
            one.display(),
            known.id
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;
    use std::os::unix::fs::symlink;

    fn read_text(text: &str, has_nfs: bool) -> (Vec<VolumeEntry>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("conf/deep")).unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::create_dir(dir.path().join(".dockerops-kept")).unwrap();
        std::fs::create_dir_all(dir.path().join("conf/.dockerops-kept/x")).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let (entries, mut problems) =
            read(&Root::on_disk(dir.path()), dir.path(), has_nfs, &Budget::new(Limits::default()));
        problems.extend(entries.iter().filter_map(|entry| match &entry.kind {
            VolumeKind::Wrong(problem) => Some(problem.clone()),
            _ => None,
        }));
        (entries, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn volumes_and_bindings_are_taken() {
        let text =
            "- {id: data, type: volume, path: shop-data}\n- {id: conf, type: binding, path: ./conf//deep/}\n";
        let (entries, problems) = read_text(text, true);
        assert_eq!(problems, [""; 0]);
        assert_eq!(entries[0].kind, VolumeKind::Volume("shop-data".into()));
        let VolumeKind::Binding { path, source } = &entries[1].kind else { panic!("{entries:?}") };
        assert_eq!(path, Path::new("conf/deep"));
        assert!(source.ends_with("conf/deep"));
    }

    #[test]
    fn a_wrong_path_is_no_mistake_of_the_list_and_its_id_stays_taken() {
        let text = "- {id: gone, type: binding, path: gone}\n- {id: conf, type: binding, path: conf}\n";
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("conf")).unwrap();
        let read = |text: &str| {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            read(&Root::on_disk(dir.path()), dir.path(), true, &Budget::new(Limits::default()))
        };
        let (entries, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        assert!(matches!(entries[0].kind, VolumeKind::Wrong(_)) && entries[0].id == "gone", "{entries:?}");
        assert!(matches!(entries[1].kind, VolumeKind::Binding { .. }), "{entries:?}");
        let (_, problems) = read(&format!("{text}- {{id: gone, type: volume, path: data}}\n"));
        assert_eq!(problems[0].to_string(), "volumes.yaml:3: `gone`: is listed twice, first in line 1");
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_key() {
        let binding = |path: &str| format!("- id: conf\n  type: binding\n  path: {path}\n");
        for (text, what) in [
            (binding("/etc"), "volumes.yaml:3: `entry 1.path`: the path `/etc` is absolute"),
            (binding("../etc"), "volumes.yaml:3: `entry 1.path`: the path `../etc` leads out with `..`"),
            (binding("conf/../conf"), "volumes.yaml:3: `entry 1.path`: the path `conf/../conf` leads out"),
            (binding("."), "volumes.yaml:3: `entry 1.path`: is the whole repository"),
            (binding("out/ssl"), "volumes.yaml:3: `entry 1.path`: `out/ssl` is a symlink that leads out"),
            (binding(".git"), "volumes.yaml:3: `entry 1.path`: the path `.git` leads into `.git`"),
            (binding("none/"), "volumes.yaml:3: `entry 1.path`: `none/` does not exist; git has no empty"),
            (
                binding(".dockerops-kept"),
                "volumes.yaml:3: `entry 1.path`: has a name that begins with `.dockerops`",
            ),
            (
                binding("conf/.dockerops-kept/x"),
                "volumes.yaml:3: `entry 1.path`: has a name that begins with `.dockerops`",
            ),
            (binding("\"a:b\""), "volumes.yaml:3: `entry 1.path`: holds a `:`"),
            (binding("[]"), "volumes.yaml:3: `entry 1.path`: must be a string, not a list"),
            (
                "- {id: a/b, type: volume, path: data}\n".into(),
                "volumes.yaml:1: `entry 1.id`: `a/b` is no id",
            ),
            ("- {id: c, type: volume, path: data}\n".into(), "volumes.yaml:1: `entry 1.id`: `c` is no id"),
            (
                "- {id: aa, type: volume, path: a/b}\n".into(),
                "volumes.yaml:1: `entry 1.path`: `a/b` is no name",
            ),
            (
                "- {id: aa, type: nfs, path: ab}\n".into(),
                "volumes.yaml:1: `entry 1.type`: must be `volume` or",
            ),
            ("- {id: aa, type: volume}\n".into(), "volumes.yaml:1: `entry 1`: has no `path`"),
            (
                "- {id: aa, type: volume, path: ab, ro: 1}\n".into(),
                "volumes.yaml:1: `entry 1.ro`: unknown key",
            ),
            ("- conf\n".into(), "volumes.yaml:1: `entry 1`: must be a mapping"),
            ("id: conf\n".into(), "volumes.yaml:1: must be a list"),
            (
                binding("conf") + &binding("conf/deep").replace("id: conf", "id: deep"),
                "volumes.yaml:4: `deep`: `conf/deep` and `conf`",
            ),
            (
                binding("conf") + "- {id: conf, type: volume, path: ab}\n",
                "volumes.yaml:4: `conf`: is listed twice",
            ),
        ] {
            let (_, problems) = read_text(&text, true);
            assert!(problems.iter().any(|problem| problem.starts_with(what)), "{text:?}: {problems:?}");
        }
        let (_, problems) = read_text(&binding("conf"), false);
        assert!(problems[0].starts_with("volumes.yaml:1: `conf`: is a binding, which needs `nfs.yaml`"));
    }
}
