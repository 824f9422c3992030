//! A compose file, read and made ready for docker.
//!
//! In: one stack's compose file in a checkout and the variables it may see. Out: a `RenderedStack` with
//! its images and fingerprint, or what is wrong with it. What docker reads means what the author wrote;
//! only ownership labels, the names of configs and secrets that rotate, what secrets as variables take, and
//! what stands for ids of `volumes.yaml` are added. docker looks up nothing: variables are replaced, files of
//! variables are read, other files are copies of what was checked. It knows nothing of what is deployed.

mod asked;
mod cast;
mod checks;
mod compare;
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
mod rendered;
mod rotate;
mod secrets;
mod shown;
mod tags;
mod volumes;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;

use crate::budget::{Budget, Count};
use crate::hash::Key;
use crate::image::ImageRef;
use crate::paths::{self, Root};
use crate::problem::{Collector, Problem};
use crate::stack::StackName;
use crate::yaml::{self, Node};
use asked::At;
use interpolate::Variables;

pub use asked::{Asked, Outside, Want, as_problem};
pub use compare::{Becomes, ServiceChange};
pub use declared::without_slash;
pub use labels::{FINGERPRINT, Ownership, REPOSITORY};
pub use objects::Object;
pub use rendered::{RenderedStack, Service};
pub use rotate::Rotated;
pub use secrets::Script;
pub use volumes::{Mount, Volumes};

/// The largest compose file taken, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Where a stack's compose file lies.
#[derive(Debug, Clone, Copy)]
pub struct ComposeFile<'a> {
    /// The checkout's root: no file outside it is read.
    pub root: &'a Root,
    /// The compose file, symlinks resolved.
    pub file: &'a Path,
    /// Its path from the root, as the author sees it: for messages, and for what is relative to it.
    pub path: &'a str,
    /// What is left of what its source may cost. Who hands it in asks it whether a limit was passed.
    pub budget: &'a Budget,
}

/// Why a stack cannot be rendered.
#[derive(Debug)]
pub enum Unrenderable {
    /// Its files are wrong, and these are all mistakes that can be told.
    Invalid(Vec<Problem>),
    /// It cannot be deployed here and now: a variable is missing, say.
    Stack(anyhow::Error),
}

/// Reads and renders the compose file as the stack `name`. What others may see of contents is
/// told under the key of the `installation`.
pub fn load<'a>(
    name: &StackName,
    compose_file: ComposeFile<'_>,
    inherited: impl Into<Outside<'a>>,
    volumes: &Volumes,
    installation: &Key,
) -> Result<RenderedStack, Unrenderable> {
    let mut problems = Collector::new(compose_file.path);
    let tree = read(compose_file, &mut problems);
    let path = compose_file.root.path().join(compose_file.path);
    let folder = path.parent().unwrap_or(compose_file.root.path()).to_path_buf();
    let variables = variables(compose_file, &folder, inherited.into());
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
    outside: Outside<'_>,
) -> Result<Variables, Vec<Problem>> {
    if !compose_file.root.has(folder, ".env") {
        return Ok(Variables::beside(outside, BTreeMap::new()));
    }
    let file = Path::new(compose_file.path).with_file_name(".env");
    let mut problems = Collector::new(file.display().to_string());
    let text = compose_file.root.resolve(folder, ".env").and_then(|path| paths::read_text(&path, MOST_BYTES));
    let parsed = match text {
        Ok(text) => match compose_file.budget.take(Count::Text, text.len() as u64) {
            Ok(()) => dotenv::parse(&text),
            Err(exceeded) => Err((0, exceeded.sentence())),
        },
        Err(error) => Err((0, format!("{error:#}"))),
    };
    parsed.map(|dotenv| Variables::beside(outside, dotenv)).map_err(|(line, what)| {
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
                    let at = || At {
                        line: service.get("image").map_or(0, |image| image.line),
                        key: format!("services.{name}.image"),
                        shown: format!("service `{name}`: the image `{text}`"),
                    };
                    Some(ImageRef::parse(text).with_context(at)?)
                }
                None => None,
            };
            Ok(Service { name, image })
        })
        .collect()
}

#[cfg(test)]
mod tests;
