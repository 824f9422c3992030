//! A compose file, read and made ready for docker.
//!
//! In: one stack's compose file in a checkout and the variables it may see. Out: a `RenderedStack` with
//! its images and fingerprint, or what is wrong with it. What docker reads means what the author wrote;
//! only ownership labels, the names of configs and secrets that rotate, what secrets as variables take, and
//! what stands for ids of `volumes.yaml` are added. It knows nothing of what is deployed.

mod checks;
mod dotenv;
mod environment;
mod fingerprint;
mod interpolate;
mod json;
mod labels;
mod pin;
mod references;
mod rotate;
mod secrets;
mod shown;
mod verify;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;

use crate::image::{ImageCommand, ImageRef};
use crate::paths;
use crate::problem::{Collector, Problem};
use crate::stack::StackName;
use crate::yaml::{self, Node};
use interpolate::Variables;

pub use labels::{FINGERPRINT, Ownership, REPOSITORY};
pub use rotate::Rotated;
pub use secrets::Script;
pub use volumes::{Mount, Volumes};

/// The largest compose file taken, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Where a stack's compose file lies.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The checkout's root: no file outside it is read.
    pub root: &'a Path,
    /// The compose file, symlinks resolved.
    pub file: &'a Path,
    /// Its path from the root, as the author sees it: for messages, and for what is relative to it.
    pub path: &'a str,
}

/// A stack as docker will get it.
#[derive(Debug, Clone)]
pub struct RenderedStack {
    /// What docker calls it.
    pub name: StackName,
    /// The folder that relative paths in the file start from: docker's working directory.
    pub folder: PathBuf,
    /// What docker's process needs in its environment besides what it inherits.
    pub environment: BTreeMap<String, String>,
    /// Its services, by name.
    pub services: Vec<Service>,
    /// MD5 over all that decides what runs, in hex.
    pub fingerprint: String,
    /// Its configs and secrets whose names follow their content.
    pub rotated: Vec<Rotated>,
    /// The bindings it mounts, by id.
    pub bindings: BTreeSet<String>,
    /// What its author should know.
    pub notes: Vec<String>,
    tree: Rc<Node>,
    secrets: secrets::Plan,
}

/// One service of a compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in the file, without the stack's.
    pub name: String,
    /// The image it asks for, after interpolation.
    pub image: Option<ImageRef>,
}

/// Why a stack cannot be rendered.
#[derive(Debug)]
pub enum Unrenderable {
    /// The repository is wrong: nothing of it is deployed.
    Invalid(Vec<Problem>),
    /// This stack cannot be deployed here and now, others can: a variable is missing, say.
    Stack(anyhow::Error),
}

impl RenderedStack {
    /// The text docker reads: the author's file with ownership labels on every service, and on configs and
    /// secrets that rotate.
    pub fn text(&self, ownership: &Ownership) -> String {
        let labelled = labels::label(&self.tree, ownership, &self.fingerprint);
        yaml::print(&rotate::label(&labelled, &self.rotated, ownership))
    }

    /// The same for people, less ownership, the commands of images, and what looks like a secret.
    pub fn shown(&self) -> String {
        yaml::print(&shown::without_secrets(&self.tree))
    }

    /// The stack with the images that are built here by what they are to run: by their names, a reference. The
    /// fingerprint takes it in; of a stack that uses none of them nothing changes.
    pub fn pinned(&self, references: &BTreeMap<ImageRef, ImageRef>) -> Self {
        pin::pin(self, references)
    }

    /// Secrets that must exist in the Swarm before it is deployed.
    pub fn secrets(&self) -> &BTreeSet<String> {
        self.secrets.needed()
    }

    /// Scripts that must lie in the Swarm as configs before it is deployed.
    pub fn scripts(&self) -> Vec<&Script> {
        self.secrets.scripts()
    }

    /// Images whose commands its text needs; where there are none, it is complete.
    pub fn images_to_read(&self) -> BTreeSet<&str> {
        self.secrets.images()
    }

    /// What the script of `service` gets as arguments; `None` where it gets no secrets as variables.
    pub fn command_of(
        &self,
        service: &str,
        images: &BTreeMap<String, ImageCommand>,
    ) -> Option<anyhow::Result<Vec<String>>> {
        self.secrets.command_of(service, images)
    }

    /// The stack with the commands of services that get secrets as variables written out.
    pub fn complete(&self, images: &BTreeMap<String, ImageCommand>) -> anyhow::Result<Self> {
        Ok(Self { tree: self.secrets.complete(Rc::clone(&self.tree), images)?, ..self.clone() })
    }
}

/// Reads and renders the compose file at `place` as the stack `name`.
pub fn load(
    name: &StackName,
    place: Place<'_>,
    inherited: &BTreeMap<OsString, OsString>,
    volumes: &Volumes,
) -> Result<RenderedStack, Unrenderable> {
    let mut problems = Collector::new(place.path);
    let Some((text, tree)) = read(place, &mut problems) else {
        return Err(Unrenderable::Invalid(problems.into_problems()));
    };
    let folder = place.root.join(place.path).parent().unwrap_or(place.root).to_path_buf();
    let variables = variables(place, &folder, inherited).map_err(Unrenderable::Invalid)?;
    verify::same_meaning(&text, &yaml::print(&tree), &mut problems);
    let tree = json::without_enabled(place.path, tree);
    checks::check(&tree, name, &mut problems);
    let (entries, wrong_entries) = secrets::read(place, &folder, &tree);
    let mut problems = problems.into_problems();
    problems.extend(wrong_entries);
    if !problems.is_empty() {
        return Err(Unrenderable::Invalid(problems));
    }
    render(name, place, &folder, &tree, &variables, &entries, volumes)
}

fn render(
    name: &StackName,
    place: Place<'_>,
    folder: &Path,
    tree: &Rc<Node>,
    variables: &Variables,
    entries: &[secrets::Entry],
    volumes: &Volumes,
) -> Result<RenderedStack, Unrenderable> {
    let whole = |error: anyhow::Error| Unrenderable::Stack(error.context(format!("`{}`", place.path)));
    let mut used = BTreeSet::new();
    let effective = environment::interpolated(tree, variables, &mut used).map_err(whole)?;
    let services = services(&effective).map_err(whole)?;
    let mut problems = Collector::new(place.path);
    let files = references::files(&effective, place.root, folder, &mut problems);
    references::refuse_relative_binds(&effective, place.root, folder, &mut problems);
    let secrets = secrets::plan(name, entries, &effective, &services, &mut problems);
    let problems = problems.into_problems();
    if !problems.is_empty() {
        return Err(Unrenderable::Invalid(problems));
    }
    let rewritten = volumes::rewrite(tree, &effective, volumes);
    let tree = &rewritten.tree;
    let fingerprint =
        fingerprint::fingerprint(&(yaml::print(tree) + &secrets.decides()), &used, variables, &files)
            .map_err(whole)?;
    let rotated = rotate::find(name, &effective, &files).map_err(whole)?;
    let tree = environment::for_docker(&tree.without_merges(), variables).map_err(whole)?;
    let tree = secrets.inject(rotate::rename(&tree, &rotated));
    Ok(RenderedStack {
        name: name.clone(),
        folder: folder.to_path_buf(),
        environment: variables.for_docker(&used),
        services,
        fingerprint,
        rotated,
        bindings: rewritten.bindings,
        notes: rewritten.notes,
        tree,
        secrets,
    })
}

fn read(place: Place<'_>, problems: &mut Collector) -> Option<(String, Rc<Node>)> {
    let text = paths::read_text(place.file, MOST_BYTES).map_err(|error| (0, format!("{error:#}")));
    let text = match text.and_then(|text| json::as_yaml(place.path, text)) {
        Ok(text) => text,
        Err((line, what)) => {
            problems.add(line, "", what);
            return None;
        }
    };
    match yaml::parse(&text) {
        Ok(Some(tree)) if tree.pairs().is_some() => Some((text, tree)),
        Ok(Some(tree)) => {
            problems.add(tree.line, "", format!("must be a mapping with `services`, not {}", tree.what()));
            None
        }
        Ok(None) => {
            problems.add(0, "", "is empty");
            None
        }
        Err(error) => {
            problems.add(error.line, "", error.what);
            None
        }
    }
}

fn variables(
    place: Place<'_>,
    folder: &Path,
    inherited: &BTreeMap<OsString, OsString>,
) -> Result<Variables, Vec<Problem>> {
    let process = inherited
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
        .collect();
    if folder.join(".env").symlink_metadata().is_err() {
        return Ok(Variables::new(process, BTreeMap::new()));
    }
    let file = Path::new(place.path).with_file_name(".env");
    let mut problems = Collector::new(file.display().to_string());
    let text = paths::resolve_inside(place.root, folder, ".env")
        .and_then(|path| paths::read_text(&path, MOST_BYTES));
    let parsed = match text {
        Ok(text) => dotenv::parse(&text),
        Err(error) => Err((0, format!("{error:#}"))),
    };
    parsed.map(|dotenv| Variables::new(process, dotenv)).map_err(|(line, what)| {
        problems.add(line, "", what);
        problems.into_problems()
    })
}

fn services(effective: &Node) -> anyhow::Result<Vec<Service>> {
    let section = effective.get("services");
    let pairs = section.map(|section| section.merged_pairs()).unwrap_or_default();
    pairs
        .iter()
        .map(|(key, service)| {
            let name = key.text().unwrap_or_default().to_owned();
            let image = match service.get("image").as_ref().and_then(|image| image.text()) {
                Some(text) => {
                    let parsed = ImageRef::parse(text);
                    Some(parsed.with_context(|| format!("service `{name}`: the image `{text}`"))?)
                }
                None => None,
            };
            Ok(Service { name, image })
        })
        .collect()
}

#[cfg(test)]
mod tests;
