//! A compose file, read and made ready for docker.
//!
//! In: one stack's compose files in a checkout and the variables they may see. Out: a `RenderedStack` with
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
mod expand;
#[cfg(test)]
mod fuzz;
mod interpolate;
mod jobs;
mod json;
mod labels;
mod merge;
mod objects;
mod pin;
mod references;
mod rendered;
mod rotate;
mod said;
mod secrets;
mod shown;
mod tags;
mod volumes;
mod wanted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;

use crate::budget::{Budget, Count};
use crate::hash::Key;
use crate::image::ImageRef;
use crate::paths::{self, Root};
use crate::patterns::Patterns;
use crate::problem::{Collector, Problem};
use crate::stack::{RepoFile, StackFiles, StackName};
use crate::yaml::{self, Node};
use asked::At;
use asked::refused;
use env_file::EnvFiles;
use interpolate::Variables;
use references::FileReference;

pub use asked::{Asked, Outside, Want, as_problem};
pub use compare::{Becomes, ServiceChange};
pub use declared::without_slash;
pub use dotenv::dotenv_values;
#[cfg(test)]
pub use dotenv::values as dotenv_of;
pub use jobs::RUN;
pub use labels::{COMMIT, FINGERPRINT, Ownership, REPOSITORY};
pub use merge::{Merged, Merger, Unmerged};
pub use objects::Object;
pub use rendered::{RenderedStack, Service};
pub use rotate::Rotated;
pub use secrets::Script;
pub use shown::line_without_secrets;
pub use volumes::{Mount, Volumes};
pub use wanted::{Wanted, wanted};

/// The largest compose file taken, in bytes.
const MOST_BYTES: u64 = paths::LARGEST_TEXT;

/// What a stack is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The checkout's root: no file outside it is read.
    pub root: &'a Root,
    pub files: &'a StackFiles,
    /// What is left of what its source may cost. Who hands it in asks it whether a limit was passed.
    pub budget: &'a Budget,
    /// Who merges compose files, where there are several.
    pub merger: &'a dyn Merger,
    /// The variables that may be read of what is known outside of its files; all without one.
    pub readable: Option<&'a Patterns>,
}

impl<'a> Origin<'a> {
    /// Its compose files, the one that others are merged over first.
    fn compose_files(self) -> Vec<ComposeFile<'a>> {
        let all = std::iter::once(&self.files.compose).chain(&self.files.overlays);
        all.map(|file| ComposeFile {
            root: self.root,
            file: &file.file,
            path: &file.path,
            budget: self.budget,
        })
        .collect()
    }

    /// Where all relative paths of its compose files begin.
    fn folder(self) -> PathBuf {
        let path = self.root.path().join(&self.files.compose.path);
        path.parent().unwrap_or(self.root.path()).to_path_buf()
    }
}

/// One compose file.
#[derive(Debug, Clone, Copy)]
struct ComposeFile<'a> {
    root: &'a Root,
    /// Where it lies, symlinks resolved.
    file: &'a Path,
    /// Its path from the root, as the author sees it: for messages.
    path: &'a str,
    budget: &'a Budget,
}

/// Why a stack cannot be rendered.
#[derive(Debug)]
pub enum Unrenderable {
    /// Its files are wrong, and these are all mistakes that can be told.
    Invalid(Vec<Problem>),
    /// It cannot be deployed here and now: a variable is missing, say.
    Stack(anyhow::Error),
    /// Nothing is wrong as far as can be told, but there is nobody here who merges its compose files.
    Unmerged(anyhow::Error),
}

/// Reads and renders the stack `name`. What others may see of contents is told under the key of the
/// `installation`.
pub fn load<'a>(
    name: &StackName,
    origin: Origin<'_>,
    inherited: impl Into<Outside<'a>>,
    volumes: &Volumes,
    installation: &Key,
) -> Result<RenderedStack, Unrenderable> {
    let is_part = !origin.files.overlays.is_empty();
    let (mut problems, mut authors) = (Vec::new(), Vec::new());
    for compose_file in origin.compose_files() {
        let mut wrong = Collector::new(compose_file.path);
        if let Some(tree) = read(compose_file, &mut wrong) {
            checks::check(&tree, name, is_part, &mut wrong);
            authors.push((compose_file, tree.without_merges()));
        }
        problems.extend(wrong.into_problems());
    }
    let variables = variables(origin, inherited.into());
    let are_all_read = authors.len() > origin.files.overlays.len();
    let (entries, wrong_entries) = if are_all_read {
        secrets::read(origin, authors.iter().map(|(_, tree)| &**tree))
    } else {
        Default::default()
    };
    let found = match &variables {
        // What else is wrong shows only where the files as such are right, and their variables are known.
        Ok(variables) if problems.is_empty() => {
            let stack = Stack { name, origin, variables, entries: &entries, volumes, installation };
            let found = stack.render(&authors);
            problems.extend(refused(variables));
            found
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

/// A stack whose files are read.
#[derive(Clone, Copy)]
struct Stack<'a> {
    name: &'a StackName,
    origin: Origin<'a>,
    variables: &'a Variables<'a>,
    entries: &'a [secrets::Entry],
    volumes: &'a Volumes,
    installation: &'a Key,
}

impl Stack<'_> {
    fn whole(self, error: anyhow::Error) -> Unrenderable {
        Unrenderable::Stack(error.context(format!("`{}`", self.origin.files.compose.path)))
    }

    fn render(self, authors: &[(ComposeFile<'_>, Rc<Node>)]) -> Result<RenderedStack, Unrenderable> {
        let Self { name, origin, variables, installation, .. } = self;
        let whole = |error| self.whole(error);
        let folder = origin.folder();
        let mut problems = Vec::new();
        let mut parts = Vec::new();
        for (compose_file, author) in authors {
            let mut wrong = Collector::new(compose_file.path);
            variables.in_file(compose_file.path);
            parts.push(Part::of(author, *compose_file, &folder, variables, &mut wrong).map_err(whole)?);
            problems.extend(wrong.into_problems());
        }
        let Part { effective, env_files, files } = match (parts.pop(), parts.is_empty()) {
            (Some(alone), true) => alone,
            (last, _) if problems.is_empty() => {
                parts.extend(last);
                merge::merged(self, &parts, &mut problems)?
            }
            _ => return Err(Unrenderable::Invalid(problems)),
        };
        let services = services(&effective).map_err(|error| {
            // `app:${TAG}` without a tag, most likely.
            whole(match dropped::variables(&variables.unset()) {
                Some(unset) => error.context(unset),
                None => error,
            })
        })?;
        let mut wrong = Collector::new(&*origin.files.compose.path);
        let secrets = secrets::plan(name, self.entries, &effective, &services, installation, &mut wrong);
        problems.extend(wrong.into_problems());
        problems.extend(volumes::wrong(&effective, self.volumes));
        if !problems.is_empty() {
            return Err(Unrenderable::Invalid(problems));
        }
        let rotated = rotate::find(name, &effective, &files, installation);
        let edited = |tree| secrets.inject(rotate::rename(tree, &rotated));
        let volumes_of = |tree| volumes::rewrite(tree, &effective, self.volumes, installation);
        let filled = environment::filled(&references::to_copies(&effective, &files), variables, &env_files);
        let filled = filled.map_err(whole)?;
        let spent = origin.budget.take(Count::Text, variables.spent() as u64);
        spent.map_err(|exceeded| whole(anyhow::anyhow!(exceeded.sentence())))?;
        let rewritten = volumes_of(&filled);
        let mut notes = rewritten.notes;
        notes.extend(dropped::note(&effective, &variables.unset()));
        let tree = edited(&rewritten.tree);
        let objects = objects::made(name, &effective, &rotated);
        let volumes = objects::volumes(name, &effective, &tree);
        let shown = match authors {
            [(_, author)] => vec![edited(&volumes_of(author).tree)],
            // What becomes of them when they are merged holds values in the place of variables.
            several => several.iter().map(|(_, author)| Rc::clone(author)).collect(),
        };
        Ok(RenderedStack {
            name: name.clone(),
            services,
            fingerprint: fingerprint(&tree, installation),
            shown,
            paths: origin.compose_files().iter().map(|file| file.path.to_owned()).collect(),
            secrets_file: origin.files.folder.join("secrets.yaml").display().to_string(),
            rotated,
            objects,
            volumes,
            bindings: rewritten.bindings,
            notes,
            tree,
            files,
            installation: installation.clone(),
            secrets,
            is_part: false,
        })
    }
}

/// A compose file with its variables replaced, checked, and what it takes from other files.
struct Part {
    effective: Rc<Node>,
    env_files: EnvFiles,
    files: Vec<FileReference>,
}

impl Part {
    fn of(
        author: &Rc<Node>,
        compose_file: ComposeFile<'_>,
        folder: &Path,
        variables: &Variables,
        problems: &mut Collector,
    ) -> anyhow::Result<Self> {
        let effective = environment::interpolated(author, variables)?;
        let effective = checks::interpolated(&effective, problems);
        let env_files = env_file::read(&effective, compose_file, folder, variables, problems);
        let files = references::files(&effective, compose_file, folder, problems);
        references::refuse_relative_binds(&effective, compose_file.root, folder, problems);
        Ok(Self { effective, env_files, files })
    }
}

/// Over the whole text, in which every file of the repository is named by its content.
fn fingerprint(tree: &Node, installation: &Key) -> String {
    installation.tag([yaml::print(tree)])
}

/// The file as its author wrote it, if docker would read it so.
fn read(compose_file: ComposeFile<'_>, problems: &mut Collector) -> Option<Rc<Node>> {
    let text =
        compose_file.root.text(compose_file.file, MOST_BYTES).map_err(|error| (0, format!("{error:#}")));
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

fn variables<'a>(origin: Origin<'_>, outside: Outside<'a>) -> Result<Variables<'a>, Vec<Problem>> {
    let mut variables = Variables::beside(outside, BTreeMap::new()).readable(origin.readable);
    let Origin { root, files, budget, .. } = origin;
    let folder = root.path().join(&files.folder);
    let listed: Vec<(String, anyhow::Result<String>)> = match &files.env {
        Some(listed) => {
            let text = |one: &RepoFile| (one.path.clone(), root.text(&one.file, MOST_BYTES));
            listed.iter().map(text).collect()
        }
        None if root.has(&folder, ".env") => {
            let path = files.folder.join(".env").display().to_string();
            vec![(path, root.read_text(&folder, ".env", MOST_BYTES))]
        }
        None => Vec::new(),
    };
    let mut all = Vec::new();
    for (path, text) in listed {
        let mut problems = Collector::new(&*path);
        match text {
            Ok(text) => match budget.take(Count::Text, text.len() as u64) {
                Ok(()) => dotenv::read(&text, &path, &mut variables, &mut problems),
                Err(exceeded) => problems.add(0, "", exceeded.sentence()),
            },
            Err(error) => problems.add(0, "", format!("{error:#}")),
        }
        all.extend(problems.into_problems());
    }
    if !all.is_empty() {
        all.extend(refused(&variables));
    }
    if all.is_empty() { Ok(variables) } else { Err(all) }
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
