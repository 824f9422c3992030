//! What the policy of the operator says of the files of a source.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Contents, Files};
use crate::compose::{RenderedStack, Unrenderable};
use crate::image::ImageRef;
use crate::manifest::{self, ImageSource, Layout, StackEntry, VolumeEntry};
use crate::policy::{Given, Rules};
use crate::problem::{Collector, Problem};

/// The rules that the stacks of a source are held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held<'a> {
    rules: Option<&'a Rules>,
    /// What the source builds.
    built: Option<&'a BTreeSet<ImageRef>>,
}

impl<'a> Held<'a> {
    pub fn new(rules: Option<&'a Rules>, built: &'a BTreeSet<ImageRef>) -> Self {
        Self { rules, built: Some(built) }
    }

    /// The stack, if it may be.
    pub fn judge(self, rendered: RenderedStack) -> Result<RenderedStack, Unrenderable> {
        let Some(rules) = self.rules else { return Ok(rendered) };
        let scripts = rendered.scripts().iter().map(|script| script.name.clone()).collect();
        let nothing = BTreeSet::new();
        let built = self.built.unwrap_or(&nothing);
        let found = rules.check(Given { tree: rendered.tree(), scripts: &scripts, built });
        if found.is_empty() {
            return Ok(rendered);
        }
        let problem = |found: &crate::policy::Found| {
            let path: Vec<_> = found.path.iter().map(String::as_str).collect();
            let (file, line) = rendered.place_in_files(&path, found.line);
            Collector::new(file).problem(line, path.join("."), &*found.what)
        };
        let mut problems: Vec<_> = found.iter().map(problem).collect();
        problems.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
        problems.dedup();
        Err(Unrenderable::Invalid(problems))
    }
}

/// Why bindings may not lie where `nfs.yaml` says; nothing was written there yet.
pub fn folder(files: &dyn Files, rules: Option<&Rules>) -> Option<Problem> {
    let (file, line, folder) = manifest::binding_folder(files.root(), files.dir())?;
    let what = rules?.may_bind_in(&folder).err()?;
    let what = format!("`{}` {what}", folder.display());
    Some(Collector::new(file).problem(line, "path", what))
}

/// Why a binding may not be mounted where it would lie.
pub fn binding(
    files: &dyn Files,
    rules: Option<&Rules>,
    entry: &VolumeEntry,
    path: &Path,
) -> Option<Problem> {
    let what = rules?.check_binding(path).err()?;
    Some(Collector::new(file_of(files, "volumes.yaml")).problem(entry.line, &*entry.id, what))
}

/// Why images may not be built.
pub fn builds<'a>(rules: Option<&'a Rules>, images: &'a [ImageSource]) -> impl Iterator<Item = Problem> + 'a {
    images.iter().filter_map(move |image| {
        let what = rules?.check_build(&image.name).err()?;
        Some(Collector::new(&*image.file).problem(image.line, image.name.to_string(), what))
    })
}

/// Why a stack may not have its name.
pub fn name(
    files: &dyn Files,
    contents: &Contents,
    rules: Option<&Rules>,
    entry: &StackEntry,
) -> Option<Problem> {
    let what = rules?.check_name(&entry.name).err()?;
    let file = match contents.layout {
        Layout::List => file_of(files, "stacks.yaml"),
        Layout::Files | Layout::Nothing => entry.compose_path.clone(),
    };
    Some(Collector::new(file).problem(entry.line, entry.name.as_str(), what))
}

fn file_of(files: &dyn Files, name: &str) -> String {
    let dir = files.dir();
    dir.strip_prefix(files.root().path()).unwrap_or(dir).join(name).display().to_string()
}
