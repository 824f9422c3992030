//! `images.yaml`: images to build from folders of the repository; or, without it, by the names of files.
//!
//! `Dockerfile-<image>` at the root builds `<image>` from the root, `image-<image>.json` is one entry as JSON.

mod options;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::entries::{self, below, boolean, check_keys, display, names, string};
use crate::budget::{Budget, Count};
use crate::image::ImageRef;
use crate::paths::Root;
use crate::problem::{Collector, Problem};
use crate::yaml::{Kind, Node};
use options::{args, platforms};

const FILE: &str = "images.yaml";
const KEYS: [&str; 8] = ["name", "context", "dockerfile", "target", "args", "platforms", "push", "enabled"];

/// An image to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// What it is tagged and pushed as; it has a tag and no digest.
    pub name: ImageRef,
    /// The folder that the build gets, symlinks resolved.
    pub context: PathBuf,
    /// Its Dockerfile, symlinks resolved; it may lie outside the context.
    pub dockerfile: PathBuf,
    /// The stage to build; the last without one.
    pub target: Option<String>,
    /// Build arguments, as they stand: nothing is interpolated.
    pub args: BTreeMap<String, String>,
    /// Platforms to build for; docker's own without one.
    pub platforms: Vec<String>,
    /// Whether it is pushed; else it is on this node alone.
    pub push: bool,
    /// What names it, and in which line.
    pub file: String,
    pub line: usize,
}

/// What an entry takes from a file's name.
#[derive(Debug, Default)]
struct Given {
    pairs: Vec<(&'static str, String)>,
    /// A name out of a file's name bears no registry to push to.
    from_file: bool,
}

/// The entries that are right and enabled, and all mistakes.
pub fn read(root: &Root, dir: &Path, budget: &Budget) -> (Vec<ImageSource>, Vec<Problem>) {
    let mut known = Known::default();
    if root.has(dir, FILE) {
        let problems = listed(root, dir, budget, &mut known);
        return (known.images, problems);
    }
    let dockerfiles = names(root, dir, &[("Dockerfile-", "")]);
    let described = names(root, dir, &[("image-", ".json")]);
    let mut problems = Vec::new();
    if budget.check(Count::Stacks, (dockerfiles.len() + described.len()) as u64).is_err() {
        return (Vec::new(), problems);
    }
    for (file, image) in &described {
        let mut wrong = Collector::new(display(root, dir, file));
        let mut given = Given { pairs: vec![("name", image.clone())], from_file: true };
        if let Some((dockerfile, _)) = dockerfiles.iter().find(|(_, name)| name == image) {
            given.pairs.extend([("context", ".".to_owned()), ("dockerfile", dockerfile.clone())]);
        }
        if let Some(document) = entries::document(root, dir, file, &mut wrong) {
            known.add(root, dir, &document, "", &given, &mut wrong);
        }
        problems.extend(wrong.into_problems());
    }
    for (file, image) in dockerfiles.iter().filter(|(_, image)| !described.iter().any(|(_, d)| d == image)) {
        let mut wrong = Collector::new(display(root, dir, file));
        let pairs = vec![("name", image.clone()), ("context", ".".into()), ("dockerfile", file.clone())];
        known.add(root, dir, &Node::mapping(Vec::new()), "", &Given { pairs, from_file: true }, &mut wrong);
        problems.extend(wrong.into_problems());
    }
    (known.images, problems)
}

fn listed(root: &Root, dir: &Path, budget: &Budget, known: &mut Known) -> Vec<Problem> {
    let mut problems = Collector::new(display(root, dir, FILE));
    if let Some(document) = entries::document(root, dir, FILE, &mut problems) {
        match document.items() {
            Some(items) if budget.check(Count::Stacks, items.len() as u64).is_err() => {}
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    let place = format!("entry {}", index + 1);
                    known.add(root, dir, item, &place, &Given::default(), &mut problems);
                }
            }
            None => problems.add(
                document.line,
                "",
                format!("must be a list of `- name: image`, not {}", document.what()),
            ),
        }
    }
    problems.into_problems()
}

/// The images read so far; the disabled ones by their names only.
#[derive(Debug, Default)]
struct Known {
    images: Vec<ImageSource>,
    names: Vec<ImageRef>,
}

impl Known {
    fn add(
        &mut self,
        root: &Root,
        dir: &Path,
        item: &Rc<Node>,
        place: &str,
        given: &Given,
        problems: &mut Collector,
    ) {
        if item.pairs().is_none() {
            let what = format!("must be a mapping with `name` and `context`, not {}", item.what());
            return problems.add(item.line, place, what);
        }
        check_keys(item, place, &KEYS, problems);
        let item = &with(item, given);
        let enabled = boolean(item, place, "enabled", true, problems);
        let name = name(item, place, problems);
        if let Some(name) = &name {
            if self.names.contains(name) {
                return problems.add(item.line, place, format!("`{name}` is built by an entry before"));
            }
            self.names.push(name.clone());
        }
        let image = image(root, dir, item, place, name, given.from_file, problems);
        self.images.extend(image.filter(|_| enabled));
    }
}

/// `item` with what the file's name gives, where it does not say it itself.
fn with(item: &Rc<Node>, given: &Given) -> Rc<Node> {
    let mut item = Rc::clone(item);
    for (key, value) in &given.pairs {
        if item.get(key).is_none()
            && let Kind::Mapping(pairs) = &mut Rc::make_mut(&mut item).kind
        {
            pairs.push((Node::string(*key), Node::string(value.clone())));
        }
    }
    item
}

fn name(item: &Node, place: &str, problems: &mut Collector) -> Option<ImageRef> {
    let (line, text) = string(item, place, "name", "the reference to tag and push", problems)?;
    let mut fail = |what: String| {
        problems.add(line, below(place, "name"), what);
        None
    };
    match ImageRef::parse(&text) {
        Err(error) => fail(format!("`{}`: {error:#}", crate::plain::name(&text))),
        Ok(name) if name.pulled().is_some() => fail(format!("`{text}` has a digest; a build gets a tag")),
        Ok(name) => Some(name),
    }
}

fn image(
    root: &Root,
    dir: &Path,
    item: &Node,
    place: &str,
    name: Option<ImageRef>,
    from_file: bool,
    problems: &mut Collector,
) -> Option<ImageSource> {
    let context = string(item, place, "context", "the folder of the repository to build from", problems)
        .and_then(|(line, folder)| context(root, dir, line, &folder, place, problems));
    let dockerfile = context.as_ref().and_then(|context| dockerfile(root, context, item, place, problems));
    let target = item.get("target").and_then(|_| string(item, place, "target", "a stage", problems));
    let args = args(item, place, problems);
    let platforms = platforms(item, place, problems);
    let name = name?;
    let pushable = !name.is_library();
    let push = boolean(item, place, "push", pushable || !from_file, problems);
    if push && !pushable {
        let what = format!(
            "`{name}` would be pushed to Docker Hub's own `library/`; put a registry before it \
             (`registry.example.org:5000/{name}`), or write `push: false`"
        );
        problems.add(item.line, below(place, "push"), what);
    }
    if platforms.len() > 1 && !push {
        let what = "several platforms need `push: true`: docker cannot keep them as one image on this node";
        problems.add(item.line, below(place, "platforms"), what);
    }
    let target = target.map(|(_, target)| target);
    let (context, dockerfile) = (context?, dockerfile?);
    let (file, line) = (problems.file().to_owned(), item.line);
    Some(ImageSource { name, context, dockerfile, target, args, platforms, push, file, line })
}

fn context(
    root: &Root,
    dir: &Path,
    line: usize,
    folder: &str,
    place: &str,
    problems: &mut Collector,
) -> Option<PathBuf> {
    let mut fail = |what: String| {
        problems.add(line, below(place, "context"), what);
        None
    };
    match root.resolve(dir, folder) {
        Err(error) => fail(format!("{error:#}")),
        Ok(path) if !path.is_dir() => fail(format!("`{folder}` is not a folder")),
        // docker follows this one link itself.
        Ok(path) => match link_out(root, &path, ".dockerignore") {
            Some(why) => fail(why),
            None => Some(path),
        },
    }
}

/// As Compose has it, the path is relative to the context.
fn dockerfile(
    root: &Root,
    context: &Path,
    item: &Node,
    place: &str,
    problems: &mut Collector,
) -> Option<PathBuf> {
    let (line, file) = match item.get("dockerfile") {
        Some(_) => string(item, place, "dockerfile", "a file of the repository", problems)?,
        None => (item.line, "Dockerfile".to_owned()),
    };
    let mut fail = |what: String| {
        problems.add(line, below(place, "dockerfile"), what);
        None
    };
    match root.resolve(context, &file) {
        Err(error) => fail(format!("{error:#} (it is relative to `context`)")),
        Ok(path) if !path.is_file() => fail(format!("`{file}` is not a file")),
        Ok(path) => {
            // docker looks beside the file that it is given, wherever a symlink led to it.
            let real =
                path.file_name().zip(path.parent()).map(|(name, folder)| (name.to_string_lossy(), folder));
            let ignored = |folder: &Path, name: &str| link_out(root, folder, &format!("{name}.dockerignore"));
            let why =
                ignored(context, &file).or_else(|| real.and_then(|(name, folder)| ignored(folder, &name)));
            match why {
                Some(why) => fail(why),
                None => Some(path),
            }
        }
    }
}

/// Why docker must not read this file, which need not be there.
fn link_out(root: &Root, folder: &Path, file: &str) -> Option<String> {
    if !root.has(folder, file) {
        return None;
    }
    match root.resolve(folder, file) {
        Ok(path) if path.is_file() => None,
        Ok(_) => Some(format!("`{file}` is not a file")),
        Err(error) => Some(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests;
