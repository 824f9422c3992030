//! The files that an entry of `stacks.yaml` names: `folder`, `compose`, `env`.
//!
//! In: the entry. Out: its files, all of them there and inside of the checkout, or all that is wrong with them, which
//! is the stack's own trouble. A value that is none of its kind is the list's.

use std::path::{Component, Path, PathBuf};

use super::entries::string;
use super::template::{is_one, names_one};
use crate::paths::{LARGEST_TEXT, Root};
use crate::problem::Collector;
use crate::stack::{RepoFile, StackFiles};
use crate::yaml::Node;

/// In this order, as the compose specification lists them behind docker's older names.
pub const COMPOSE_FILES: [&str; 5] =
    ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml", "compose.json"];

/// Files of one list.
const MOST: usize = 50;

/// What an entry asks for, each with its line.
#[derive(Debug)]
pub struct Wanted {
    pub folder: String,
    line: usize,
    /// The folder's key, behind the entry's name.
    key: &'static str,
    compose: Option<Vec<(usize, String)>>,
    env: Option<Vec<(usize, String)>>,
}

/// A file or folder that cannot be had.
#[derive(Debug)]
pub struct Mistake {
    pub line: usize,
    /// Behind the entry's name.
    pub key: &'static str,
    pub what: String,
}

impl Wanted {
    /// The keys of `item`, which is called `title` in `line`; `None` where one is of a wrong kind, which is noted.
    pub fn read(item: &Node, title: &str, line: usize, problems: &mut Collector) -> Option<Self> {
        let lists = ["compose", "env"].map(|key| list(item, title, key, problems));
        let (folder, line, key) = match item.get("folder") {
            None => (title.to_owned(), line, ""),
            Some(_) => {
                let (line, folder) = string(item, title, "folder", "the stack's folder", problems)?;
                (folder, line, ".folder")
            }
        };
        let [compose, env] = lists;
        let (compose, env) = (compose?, env?);
        if compose.as_ref().is_some_and(Vec::is_empty) {
            let what =
                format!("lists no file; without it the first of `{}` counts", COMPOSE_FILES.join("`, `"));
            problems.add(line, format!("{title}.compose"), what);
            return None;
        }
        Some(Self { folder, line, key, compose, env })
    }

    /// The files, from the manifest's folder `dir`.
    pub fn find(&self, root: &Root, dir: &Path) -> Result<StackFiles, Vec<Mistake>> {
        if let Some(file) = self.alone(root, dir) {
            let folder = below(root, dir, &self.folder);
            return Ok(StackFiles { folder, compose: file, overlays: Vec::new(), env: None });
        }
        let of_folder = |what| Err(vec![Mistake { line: self.line, key: self.key, what }]);
        match root.is_folder(dir, &self.folder) {
            Err(error) => return of_folder(format!("the stack's folder: {error:#}")),
            Ok(false) => return of_folder(format!("`{}` is not a folder", self.folder)),
            Ok(true) if is_one(root, dir, &self.folder) => {
                return of_folder(format!(
                    "`{}` is a template, which is never deployed itself: copy it to a folder of the stack's own",
                    self.folder
                ));
            }
            Ok(true) => {}
        }
        let folder = below(root, dir, &self.folder);
        let mut mistakes = Vec::new();
        let mut all = |key, list: &[(usize, String)]| -> Vec<RepoFile> {
            let found = list.iter().map(|(line, path)| (line, file(root, &folder, path)));
            let mut files = Vec::new();
            for (line, found) in found {
                match found {
                    Ok(file) => files.push(file),
                    Err(what) => mistakes.push(Mistake { line: *line, key, what }),
                }
            }
            files
        };
        let env = self.env.as_ref().map(|list| all(".env", list));
        let mut compose = match &self.compose {
            Some(list) => all(".compose", list),
            None => match the_compose_file(root, &folder) {
                Ok(file) => vec![file],
                Err(what) => {
                    mistakes.push(Mistake { line: self.line, key: self.key, what });
                    Vec::new()
                }
            },
        };
        for (index, file) in compose.iter().enumerate() {
            if compose[..index].iter().any(|known| known.file == file.file) {
                let what = format!("`{}` is listed twice", file.path);
                mistakes.push(Mistake { line: self.line, key: ".compose", what });
            }
        }
        if !mistakes.is_empty() || compose.is_empty() {
            return Err(mistakes);
        }
        let overlays = compose.split_off(1);
        Ok(StackFiles { folder, compose: compose.remove(0), overlays, env })
    }

    /// The compose file of a folder that nothing more is said of, where the first look finds it: it needs no other one.
    fn alone(&self, root: &Root, dir: &Path) -> Option<RepoFile> {
        let is_template = || names_one(root, dir, &self.folder);
        if self.compose.is_some() || self.env.is_some() || is_template() {
            return None;
        }
        let path = format!("{}/{}", self.folder, COMPOSE_FILES[0]);
        let (file, size) = root.find_file(dir, &path, LARGEST_TEXT)?;
        let path = below(root, dir, &path).display().to_string();
        (size <= LARGEST_TEXT).then_some(RepoFile { file, path })
    }
}

/// The first of the usual names in `folder`, which is given from the root.
pub fn the_compose_file(root: &Root, folder: &Path) -> Result<RepoFile, String> {
    let at = root.path().join(folder);
    match COMPOSE_FILES.iter().find(|name| root.has(&at, name)) {
        None => Err(format!("the folder holds none of `{}`", COMPOSE_FILES.join("`, `"))),
        Some(name) => file(root, folder, name).map_err(|what| format!("the compose file: {what}")),
    }
}

/// The list of files at `key`: `Some(None)` without one, `None` where it is wrong, which is noted.
#[allow(clippy::option_option)] // what is wrong and what is not there are two things
fn list(
    item: &Node,
    title: &str,
    key: &str,
    problems: &mut Collector,
) -> Option<Option<Vec<(usize, String)>>> {
    let Some(value) = item.get(key) else { return Some(None) };
    let place = format!("{title}.{key}");
    let Some(items) = value.items() else {
        let text = value.text().filter(|text| !text.is_empty()).unwrap_or("file");
        let what = format!("must be a list of files, `[{text}]`, not {}", value.what());
        problems.add(value.line, place, what);
        return None;
    };
    if items.len() > MOST {
        problems.add(value.line, place, format!("lists more than {MOST} files"));
        return None;
    }
    let mut files = Vec::new();
    for item in items {
        match item.as_string() {
            Some(path) => files.push((item.line, path.to_owned())),
            None => problems.add(item.line, &place, format!("must list files, not {}", item.what())),
        }
    }
    (files.len() == items.len()).then_some(Some(files))
}

/// The file at `path` from the stack's `folder`.
pub fn file(root: &Root, folder: &Path, path: &str) -> Result<RepoFile, String> {
    let base = root.path().join(folder);
    if let Some((file, _)) =
        root.find_file(&base, path, LARGEST_TEXT).filter(|(_, size)| *size <= LARGEST_TEXT)
    {
        return Ok(RepoFile { file, path: below(root, &base, path).display().to_string() });
    }
    if root.size_ahead(&base, path).is_some_and(|size| size > LARGEST_TEXT) {
        return Err(format!("`{path}` is larger than {} KiB", LARGEST_TEXT / 1024));
    }
    let file = root.resolve(&base, path).map_err(|error| format!("{error:#}"))?;
    if !file.is_file() {
        return Err(format!("`{path}` is not a file"));
    }
    Ok(RepoFile { file, path: below(root, &base, path).display().to_string() })
}

/// Where `path` from `base` lies, from the root: by its letters, as `Root::resolve` reads it.
pub fn below(root: &Root, base: &Path, path: &str) -> PathBuf {
    let mut below = base.strip_prefix(root.path()).unwrap_or(Path::new("")).to_path_buf();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => drop(below.pop()),
            Component::Normal(name) => below.push(name),
            Component::CurDir | Component::Prefix(_) | Component::RootDir => {}
        }
    }
    below
}
