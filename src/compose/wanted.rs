//! The variables of a compose file that nobody gives a value yet: what each `${…}` says of its own.
//!
//! In: one compose file. Out: its variables, each with what all places say of it together, and what is wrong with the file
//! whatever they are.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::interpolate::{Form, Use, uses};
use super::{ComposeFile, checks, read};
use crate::budget::Budget;
use crate::paths::Root;
use crate::problem::Collector;
use crate::stack::{RepoFile, StackName};
use crate::yaml::{Kind, Node};

/// So many places may name a variable, and so many bytes are looked through: aliases make thousands of one.
const MOST_USES: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;

/// A default, and the line where it stands first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    pub text: String,
    pub line: usize,
}

/// A variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where it stands first.
    pub line: usize,
    /// Whether any place has no default for it.
    pub is_required: bool,
    /// Whether any place takes no empty value.
    pub never_empty: bool,
    /// What the first place says that says why it is required.
    pub why: Option<String>,
    pub default: Option<Fallback>,
}

/// The variables of the compose file of what is to be called `name`. It is copied with its folder: a file that it names
/// outside of that is a mistake.
pub fn wanted(
    root: &Root,
    file: &RepoFile,
    name: &StackName,
    budget: &Budget,
    problems: &mut Collector,
) -> BTreeMap<String, Wanted> {
    let compose_file = ComposeFile { root, file: &file.file, path: &file.path, budget };
    let Some(tree) = read(compose_file, problems) else { return BTreeMap::new() };
    checks::check(&tree, name, false, problems);
    let mut looked = Looked { found: BTreeMap::new(), uses: 0, bytes: 0, problems };
    looked.at(&tree.without_merges(), &mut Vec::new());
    if looked.is_over() {
        let what = format!(
            "names variables in more than {MOST_USES} places, or is too long with aliases written out"
        );
        looked.problems.add(0, "", what);
    }
    looked.found
}

struct Looked<'a> {
    found: BTreeMap<String, Wanted>,
    uses: usize,
    bytes: usize,
    problems: &'a mut Collector,
}

impl Looked<'_> {
    fn is_over(&self) -> bool {
        self.uses > MOST_USES || self.bytes > MOST_BYTES
    }

    /// Values, never keys, as docker replaces them.
    fn at<'a>(&mut self, node: &'a Node, path: &mut Vec<&'a str>) {
        if self.is_over() {
            return;
        }
        match &node.kind {
            Kind::Scalar { text, .. } => self.scalar(node.line, text, path),
            Kind::Sequence(items) => items.iter().for_each(|item| self.at(item, path)),
            Kind::Mapping(pairs) => {
                for (key, value) in pairs {
                    path.push(key.text().unwrap_or("…"));
                    self.at(value, path);
                    path.pop();
                }
            }
        }
    }

    fn scalar(&mut self, line: usize, text: &str, path: &[&str]) {
        self.bytes += text.len() + 1;
        let is_file = matches!(path, ["configs" | "secrets", _, "file"] | ["services", _, "env_file", ..]);
        if is_file && Path::new(text).components().any(|part| part == Component::ParentDir) {
            let what =
                format!("`{text}` leads out of the template's folder, with which it is copied elsewhere");
            self.problems.add(line, path.join("."), what);
        }
        if !text.contains('$') {
            return;
        }
        match uses(text) {
            Ok(all) => {
                // What such a field holds is no part of a stack, but nothing is deployed without what it requires.
                let is_aside = path.first().is_some_and(|key| key.starts_with("x-"));
                for one in all.into_iter().filter(|one| !is_aside || matches!(one.form, Form::Required(_))) {
                    self.note(line, one, path);
                }
            }
            Err(error) => self.problems.add(line, path.join("."), format!("{error:#}")),
        }
    }

    fn note(&mut self, line: usize, Use { name, form, is_strict }: Use<'_>, path: &[&str]) {
        self.uses += 1;
        let new = || Wanted { line, ..Wanted::default() };
        let known = self.found.entry(name.to_owned()).or_insert_with(new);
        known.is_required |= !matches!(form, Form::Default(_));
        known.never_empty |= is_strict && matches!(form, Form::Required(_));
        match (form, &known.default) {
            (Form::Required(why), _) if known.why.is_none() && !why.trim().is_empty() => {
                known.why = Some(why.trim().to_owned());
            }
            (Form::Default(text), None) => known.default = Some(Fallback { text: text.to_owned(), line }),
            (Form::Default(text), Some(first)) if first.text != text => {
                let what = format!(
                    "`{name}` has the default `{text}`, and `{}` in line {}: one value is to stand for both",
                    first.text, first.line
                );
                self.problems.add(line, path.join("."), what);
            }
            _ => {}
        }
    }
}
