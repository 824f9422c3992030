//! What a stack can be made from: a folder below `templates`, and values for the variables of its compose file.
//!
//! In: the files of a source. Out: its templates, each with its parameters and all that is wrong with it; and options
//! that somebody gives, checked, as the `.env` of a stack. It makes no stack, and knows of none.

mod described;
mod options;
mod parameter;
mod pattern;
mod schema;

use std::path::{Path, PathBuf};

use crate::budget::Budget;
use crate::compose::wanted;
use crate::manifest::{TEMPLATES, is_template_name, the_compose_file};
use crate::paths::Root;
use crate::problem::{Collector, Problem};
use crate::stack::{RepoFile, StackFiles, StackName};
use crate::yaml;

pub use options::{Values, check};
pub use parameter::{Kind, Parameter};
pub use pattern::{Pattern, Work};
pub use schema::schema;

/// What may be said of a template beside its compose file.
pub const FILE: &str = "template.yaml";
/// So many are read of one source.
const MOST: usize = 200;
/// What is told of all templates of one source, in bytes: everybody who asks is told all of it.
const MOST_TOLD: usize = 1 << 20;

/// A template.
#[derive(Debug)]
pub struct Template {
    /// Its folder's.
    pub name: String,
    /// From the repository's root.
    pub folder: PathBuf,
    pub compose: Option<RepoFile>,
    pub title: Option<String>,
    pub description: Option<String>,
    /// By name.
    pub parameters: Vec<Parameter>,
    /// With any, no stack is made from it.
    pub problems: Vec<Problem>,
}

/// The templates beside the manifest in `dir`, by name. What they cost is counted apart, by the limits of their source.
pub fn read(root: &Root, dir: &Path, budget: &Budget) -> Vec<Template> {
    let folder = dir.join(TEMPLATES);
    let mut names = root.names(&folder);
    names.sort_unstable();
    let budget = Budget::new(budget.limits());
    // A file beside them, a README say, is none.
    names.retain(|name| is_folder(root, &folder, name));
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let (work, mut told) = (Work::new(), 0);
    let mut all: Vec<_> = names
        .into_iter()
        .map(|name| Template::read(root, &folder, name, &budget, &work).within(&mut told))
        .collect();
    if let Some(last) = all.last_mut().filter(|_| more > 0) {
        let what = format!("and {more} templates behind it are not read: {MOST} are");
        last.problems.push(Collector::new(last.folder.display().to_string()).problem(0, "", what));
    }
    all
}

fn is_folder(root: &Root, folder: &Path, name: &str) -> bool {
    // What leads elsewhere is told as wrong; a file is not brought for that.
    root.find_file(folder, name, 0).is_none() && root.is_folder(folder, name).unwrap_or(true)
}

impl Template {
    fn read(root: &Root, above: &Path, name: String, budget: &Budget, work: &Work) -> Self {
        let path = above.join(&name);
        let folder = path.strip_prefix(root.path()).unwrap_or(&path).to_path_buf();
        let shown = folder.display().to_string();
        let mut template = Self {
            name,
            folder,
            compose: None,
            title: None,
            description: None,
            parameters: Vec::new(),
            problems: Vec::new(),
        };
        let mut wrong = Collector::new(shown);
        template.find(root, &path, &mut wrong);
        template.problems = wrong.into_problems();
        if let (Some(file), true) = (&template.compose, template.problems.is_empty()) {
            let mut wrong = Collector::new(&*file.path);
            let found = wanted(root, file, &template.stack(), budget, &mut wrong);
            template.parameters = parameter::of(found, &mut wrong);
            template.problems = wrong.into_problems();
            template.describe(root, &path, budget, work);
        }
        template
    }

    /// The compose file, or why this cannot be a template whatever it says.
    fn find(&mut self, root: &Root, path: &Path, problems: &mut Collector) {
        if !is_template_name(&self.name) {
            let what = "is no name of a template: letters, digits, `.`, `_`, `-`, 63 at most, the first one a letter or a digit";
            problems.add(0, "", what);
        }
        match root.resolve(path, ".") {
            Ok(real) if real == path => {}
            Ok(_) => problems.add(0, "", "is a symlink; a template is a folder of its own"),
            Err(error) => problems.add(0, "", format!("{error:#}")),
        }
        if root.has(path, ".env") {
            let what = "has an `.env`, where the options of a stack are written: \
                        give defaults in the compose file, `${NAME:-default}`";
            problems.add(0, "", what);
        }
        self.compose = the_compose_file(root, &self.folder).map_err(|what| problems.add(0, "", what)).ok();
    }

    /// What it would be deployed as, more or less.
    pub fn stack(&self) -> StackName {
        StackName::from_folder(&self.name).unwrap_or_else(|_| StackName::known("template"))
    }

    /// Its files as those of a stack, whose variables nobody has given.
    pub fn files(&self) -> Option<StackFiles> {
        let (folder, compose) = (self.folder.clone(), self.compose.clone()?);
        Some(StackFiles { folder, compose, overlays: Vec::new(), env: Some(Vec::new()) })
    }

    /// Its mistakes beside those that it has already.
    pub fn also(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    /// Itself, or where more was told already no more than why.
    fn within(mut self, told: &mut usize) -> Self {
        let texts = [&self.title, &self.description].map(|text| text.as_ref().map_or(0, String::len));
        let all = texts.into_iter().chain(self.parameters.iter().map(Parameter::weight));
        let weight: usize = all.sum();
        if *told + weight <= MOST_TOLD {
            *told += weight;
            return self;
        }
        let what = format!(
            "is left out: the parameters, defaults and choices of all templates of a source are at most {} MiB",
            MOST_TOLD >> 20
        );
        let problem = Collector::new(self.folder.display().to_string()).problem(0, "", what);
        (self.title, self.description, self.parameters) = (None, None, Vec::new());
        self.problems.push(problem);
        self
    }

    fn describe(&mut self, root: &Root, path: &Path, budget: &Budget, work: &Work) {
        let mut wrong = Collector::new(self.folder.join(FILE).display().to_string());
        if let Some(document) = described::document(root, path, budget, &mut wrong) {
            described::read(self, &document, work, &mut wrong);
        }
        self.problems.extend(wrong.into_problems());
    }
}

/// The words of a scalar, in one line of JSON or YAML each.
fn scalar(node: &yaml::Node) -> Option<String> {
    (!node.is_null()).then(|| node.text().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests;
