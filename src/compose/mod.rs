//! A compose file, read and made ready for docker.
//!
//! In: one stack's compose file in a checkout and the variables it may see. Out: a `RenderedStack` with
//! its images and fingerprint, or what is wrong with it. What docker reads means what the author wrote;
//! only ownership labels, the names of configs and secrets that rotate, what secrets as variables take, and
//! what stands for ids of `volumes.yaml` are added. docker looks up nothing: variables are replaced, files of
//! variables are read, other files are copies of what was checked. It knows nothing of what is deployed.

mod cast;
mod checks;
mod declared;
mod dotenv;
mod dropped;
mod env_file;
mod environment;
#[cfg(test)]
mod fuzz;
mod interpolate;
mod json;
mod labels;
mod objects;
mod pin;
mod references;
mod rotate;
mod secrets;
mod shown;
mod tags;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use tempfile::TempDir;

use crate::budget::{Budget, Count};
use crate::fault::OrHint;
use crate::hash::Key;
use crate::image::{ImageCommand, ImageRef};
use crate::paths;
use crate::problem::{Collector, Problem};
use crate::stack::StackName;
use crate::yaml::{self, Node};
use interpolate::Variables;

pub use declared::at;
pub use labels::{FINGERPRINT, Ownership, REPOSITORY};
pub use objects::Object;
pub use rotate::Rotated;
pub use secrets::Script;
pub use volumes::{Mount, Volumes};

/// The largest compose file taken, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Where a stack's compose file lies.
#[derive(Debug, Clone, Copy)]
pub struct ComposeFile<'a> {
    /// The checkout's root: no file outside it is read.
    pub root: &'a Path,
    /// The compose file, symlinks resolved.
    pub file: &'a Path,
    /// Its path from the root, as the author sees it: for messages, and for what is relative to it.
    pub path: &'a str,
    /// What is left of what its source may cost. Who hands it in asks it whether a limit was passed.
    pub budget: &'a Budget,
}

/// A stack as docker will get it. Values of variables stand in it, so it is never printed whole.
#[derive(Clone)]
pub struct RenderedStack {
    /// What docker calls it.
    pub name: StackName,
    pub services: Vec<Service>,
    /// Changes with all that decides what runs: 32 hexadecimal digits.
    pub fingerprint: String,
    /// Its configs and secrets whose names follow their content.
    pub rotated: Vec<Rotated>,
    /// The configs, secrets and networks that docker makes for it.
    pub objects: Vec<Object>,
    /// The docker volumes it declares or takes from `volumes.yaml`: name → what its services call it.
    pub volumes: BTreeMap<String, String>,
    /// The bindings it mounts, by id.
    pub bindings: BTreeSet<String>,
    /// What its author should know.
    pub notes: Vec<String>,
    /// Whole: docker finds no variable in it and no file of the repository.
    tree: Rc<Node>,
    /// As its author wrote it, variables by name.
    shown: Rc<Node>,
    files: Vec<references::FileReference>,
    installation: Key,
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
    /// Its files are wrong, and these are all mistakes that can be told.
    Invalid(Vec<Problem>),
    /// It cannot be deployed here and now: a variable is missing, say.
    Stack(anyhow::Error),
}

impl fmt::Debug for RenderedStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RenderedStack");
        shown.field("name", &self.name).field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl RenderedStack {
    /// One of these services and images, with nothing else in it.
    pub fn of(name: &str, services: &[(&str, &str)], fingerprint: &str) -> Self {
        let service = |(name, image): &(&str, &str)| Service {
            name: (*name).to_owned(),
            image: Some(ImageRef::parse(image).unwrap()),
        };
        Self {
            name: StackName::known(name),
            services: services.iter().map(service).collect(),
            fingerprint: fingerprint.to_owned(),
            rotated: Vec::new(),
            objects: Vec::new(),
            volumes: BTreeMap::new(),
            bindings: BTreeSet::new(),
            notes: Vec::new(),
            tree: Node::mapping(Vec::new()),
            shown: Node::mapping(Vec::new()),
            files: Vec::new(),
            installation: Key::new().unwrap(),
            secrets: secrets::Plan::default(),
        }
    }

    /// With a text that declares, of each service, so many tasks and the environment.
    pub fn declaring(mut self, services: &[(&str, u64, &str)]) -> Self {
        let pair = |name: &str, value: Rc<Node>| (Node::string(name), value);
        let service = |(name, replicas, value): &(&str, u64, &str)| {
            let deploy = Node::mapping(vec![pair("replicas", Node::plain(replicas.to_string()))]);
            let environment = Node::mapping(vec![pair("V", Node::string(*value))]);
            pair(name, Node::mapping(vec![pair("deploy", deploy), pair("environment", environment)]))
        };
        let services = Node::mapping(services.iter().map(service).collect());
        self.tree = Node::mapping(vec![pair("services", services)]);
        self
    }
}

impl RenderedStack {
    /// The text docker reads: the author's file with ownership labels on every service, and on configs and
    /// secrets that rotate. An error where a reader of docker's family would find another meaning in it.
    pub fn text(&self, ownership: &Ownership) -> anyhow::Result<String> {
        let labelled = labels::label(&self.tree, ownership, &self.fingerprint);
        let labelled = rotate::label(&labelled, &self.rotated, ownership);
        let tree = environment::literal(&rotate::follow_credential_specs(&labelled, &self.rotated));
        let text = yaml::print(&tree);
        yaml::reads_alike(&text, &tree)
            .map_err(|error| anyhow::anyhow!("cannot be handed to docker unchanged: {error}"))
            .or_hint("please report this compose file as a bug of DockerOps")?;
        Ok(text)
    }

    /// The files that the text names, in a new folder below `folder`, where docker is to start.
    pub fn copies(&self, folder: &Path) -> anyhow::Result<TempDir> {
        references::copies(&self.files, folder)
            .with_context(|| format!("cannot copy the configs and secrets of `{}`", self.name))
    }

    /// The file for people, less ownership, the commands of images, and what looks like a secret.
    pub fn shown(&self) -> String {
        yaml::show(&shown::without_secrets(&self.shown))
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

/// Reads and renders the compose file as the stack `name`. What others may see of contents is
/// told under the key of the `installation`.
pub fn load(
    name: &StackName,
    compose_file: ComposeFile<'_>,
    inherited: &BTreeMap<OsString, OsString>,
    volumes: &Volumes,
    installation: &Key,
) -> Result<RenderedStack, Unrenderable> {
    let mut problems = Collector::new(compose_file.path);
    let tree = read(compose_file, &mut problems);
    let folder =
        compose_file.root.join(compose_file.path).parent().unwrap_or(compose_file.root).to_path_buf();
    let variables = variables(compose_file, &folder, inherited);
    let Some(tree) = tree else {
        let mut problems = problems.into_problems();
        problems.extend(variables.err().unwrap_or_default());
        return Err(Unrenderable::Invalid(problems));
    };
    checks::check(&tree, name, &mut problems);
    let author = tree.without_merges();
    let (entries, wrong_entries) = secrets::read(compose_file, &folder, &author);
    let mut problems = problems.into_problems();
    let found = match &variables {
        // What else is wrong shows only where the file as such is right, and its variables are known.
        Ok(variables) if problems.is_empty() => {
            render(name, compose_file, &folder, &author, variables, &entries, volumes, installation)
        }
        _ => Err(Unrenderable::Invalid(Vec::new())),
    };
    problems.extend(variables.err().unwrap_or_default());
    problems.extend(wrong_entries);
    match found {
        found if problems.is_empty() => found,
        Err(Unrenderable::Invalid(mut found)) => {
            found.extend(problems);
            Err(Unrenderable::Invalid(found))
        }
        _ => Err(Unrenderable::Invalid(problems)),
    }
}

#[allow(clippy::too_many_arguments)] // it is the second half of `load`
fn render(
    name: &StackName,
    compose_file: ComposeFile<'_>,
    folder: &Path,
    author: &Rc<Node>,
    variables: &Variables,
    entries: &[secrets::Entry],
    volumes: &Volumes,
    installation: &Key,
) -> Result<RenderedStack, Unrenderable> {
    let whole = |error: anyhow::Error| Unrenderable::Stack(error.context(format!("`{}`", compose_file.path)));
    let mut problems = Collector::new(compose_file.path);
    let effective = environment::interpolated(author, variables).map_err(whole)?;
    let effective = tags::with_plain_externals(&effective, &mut problems);
    checks::labels(&effective, &mut problems);
    checks::files(&effective, &mut problems);
    checks::tasks(&effective, &mut problems);
    let services = services(&effective).map_err(|error| {
        // `app:${TAG}` without a tag, most likely.
        whole(match dropped::variables(&variables.unset()) {
            Some(unset) => error.context(unset),
            None => error,
        })
    })?;
    let env_files = env_file::read(&effective, compose_file, folder, variables, &mut problems);
    let files = references::files(&effective, compose_file, folder, &mut problems);
    references::refuse_relative_binds(&effective, compose_file.root, folder, &mut problems);
    let secrets = secrets::plan(name, entries, &effective, &services, installation, &mut problems);
    let mut problems = problems.into_problems();
    problems.extend(volumes::wrong(&effective, volumes));
    if !problems.is_empty() {
        return Err(Unrenderable::Invalid(problems));
    }
    let rotated = rotate::find(name, &effective, &files, installation);
    let edited = |tree| secrets.inject(rotate::rename(tree, &rotated));
    let volumes_of = |tree| volumes::rewrite(tree, &effective, volumes, installation);
    let filled = environment::filled(&references::to_copies(&effective, &files), variables, &env_files);
    let filled = filled.map_err(whole)?;
    let spent = compose_file.budget.take(Count::Text, variables.spent() as u64);
    spent.map_err(|exceeded| whole(anyhow::anyhow!(exceeded.sentence())))?;
    let rewritten = volumes_of(&filled);
    let mut notes = rewritten.notes;
    notes.extend(dropped::note(&effective, &variables.unset()));
    let tree = edited(&rewritten.tree);
    let objects = objects::made(name, &effective, &rotated);
    let volumes = objects::volumes(name, &effective, &tree);
    Ok(RenderedStack {
        name: name.clone(),
        services,
        fingerprint: fingerprint(&tree, installation),
        shown: edited(&volumes_of(author).tree),
        rotated,
        objects,
        volumes,
        bindings: rewritten.bindings,
        notes,
        tree,
        files,
        installation: installation.clone(),
        secrets,
    })
}

/// Over the whole text, in which every file of the repository is named by its content.
fn fingerprint(tree: &Node, installation: &Key) -> String {
    installation.tag([yaml::print(tree)])
}

/// The file as its author wrote it, if docker would read it so.
fn read(compose_file: ComposeFile<'_>, problems: &mut Collector) -> Option<Rc<Node>> {
    let text = paths::read_text(compose_file.file, MOST_BYTES).map_err(|error| (0, format!("{error:#}")));
    let text = match text.and_then(|text| json::as_yaml(compose_file.path, text)) {
        Ok(text) => text,
        Err((line, what)) => {
            problems.add(line, "", what);
            return None;
        }
    };
    let spent = compose_file.budget.take(Count::Text, text.len() as u64).err();
    if let Some(exceeded) = spent {
        problems.add(0, "", exceeded.sentence());
        return None;
    }
    match yaml::parse(&text) {
        Ok(Some(tree)) if tree.pairs().is_some() => {
            if let Err(exceeded) = compose_file.budget.take(Count::Values, tree.weight()) {
                problems.add(0, "", exceeded.sentence());
                return None;
            }
            if let Err(error) = yaml::reads_alike(&text, &tree) {
                problems.add(error.line, "", error.what);
            }
            let tree = tags::without_tags(&tree, problems);
            Some(json::without_enabled(compose_file.path, tree))
        }
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
    compose_file: ComposeFile<'_>,
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
    let file = Path::new(compose_file.path).with_file_name(".env");
    let mut problems = Collector::new(file.display().to_string());
    let text = paths::resolve_inside(compose_file.root, folder, ".env")
        .and_then(|path| paths::read_text(&path, MOST_BYTES));
    let parsed = match text {
        Ok(text) => match compose_file.budget.take(Count::Text, text.len() as u64) {
            Ok(()) => dotenv::parse(&text),
            Err(exceeded) => Err((0, exceeded.sentence())),
        },
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
