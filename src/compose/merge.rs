//! Several compose files, made one by docker itself.
//!
//! docker opens files of variables and interpolates while it merges, so it gets no author's file: each is checked and
//! made ready by itself before, with nothing left in it to look up. What docker makes of them is checked again, as if
//! somebody had written it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Error, anyhow};

use super::labels::child;
use super::references::{self, FileReference, section};
use super::{ComposeFile, Part, Stack, Unrenderable, checks, environment, said};
use crate::budget::Count;
use crate::problem::{Collector, Problem};
use crate::stack::StoredKind;
use crate::yaml::{self, Kind, Node};

/// Older versions know neither `name` at a config nor long forms, and those are what docker writes.
const LONG_FORMS: &str = "3.5";

const REFUSED: &str = "docker does not merge them: ";
/// So many files docker is asked about one by one, to tell which of them it means.
const MOST_ASKED: usize = 4;

/// Puts compose files together as docker does.
pub trait Merger: fmt::Debug {
    /// One text of these, the later over the earlier. No value in them holds a `$`, and they name no file to be opened.
    fn merge(&self, texts: &[String]) -> Result<Merged, Unmerged>;
}

/// What docker made of several files.
#[derive(Debug)]
pub struct Merged {
    pub text: String,
    /// Where docker took relative paths to begin.
    pub folder: PathBuf,
}

/// Why there is no such text.
#[derive(Debug)]
pub enum Unmerged {
    /// There is nobody here who can: no docker, or one that does not merge. Of the files nothing was said.
    Nobody(Error),
    /// docker will not have them, in its own words.
    Refused(String),
}

/// Nobody.
#[cfg(test)]
#[derive(Debug)]
pub struct NoMerger;

#[cfg(test)]
impl Merger for NoMerger {
    fn merge(&self, _: &[String]) -> Result<Merged, Unmerged> {
        Err(Unmerged::Nobody(anyhow!("no docker")))
    }
}

/// What docker makes of `parts`, of which none has a mistake. Mistakes of the whole are added to `problems`.
pub fn merged(stack: Stack<'_>, parts: &[Part], problems: &mut Vec<Problem>) -> Result<Part, Unrenderable> {
    let names: Vec<_> = stack.origin.compose_files().iter().map(|file| format!("`{}`", file.path)).collect();
    let names = names.join(", ");
    let whole = |error: Error| Unrenderable::Stack(error.context(names.clone()));
    let filled = |part: &Part| {
        let tree = references::to_copies(&part.effective, &part.files);
        environment::filled(&tree, stack.variables, &part.env_files).map_err(whole)
    };
    let trees = parts.iter().map(filled).collect::<Result<Vec<_>, _>>()?;
    let mark = mark(&trees);
    let mut texts = Vec::new();
    for tree in &trees {
        let tree = marked(tree, &mark);
        let text = yaml::print(&tree);
        yaml::reads_alike(&text, &tree).map_err(|error| whole(anyhow!("{error}")))?;
        texts.push(text);
    }
    let merged = stack.origin.merger.merge(&texts).map_err(|why| match why {
        Unmerged::Nobody(error) => Unrenderable::Unmerged(error.context(names.clone())),
        Unmerged::Refused(words) => {
            let words = format!("{REFUSED}{}", words.replace(&mark, "$"));
            blamed(stack, parts, &texts, &words).unwrap_or_else(|| whole(anyhow!(words)))
        }
    })?;
    let tree = read(stack, &merged, &mark).map_err(whole)?;
    let mut wrong =
        Collector::new(format!("{} and {} more, merged", stack.origin.files.compose.path, parts.len() - 1));
    checks::check(&tree, stack.name, false, &mut wrong);
    let effective = checks::interpolated(&tree, &mut wrong);
    for (service, _) in
        section(&effective, "services").iter().filter(|(_, node)| node.get("env_file").is_some())
    {
        wrong.add(
            0,
            format!("services.{service}.env_file"),
            "is there, though none of the files has one left",
        );
    }
    let files = checked(&effective, parts, &mut wrong);
    problems.extend(wrong.into_problems().into_iter().map(|problem| placed(problem, stack, parts)));
    let env_files = super::EnvFiles::default();
    Ok(Part { effective, env_files, files })
}

/// The mistake in the file that docker means, which names none of those that it reads one after the other: the one that
/// has what it names; where several have, the first that it does not take alone.
fn blamed(stack: Stack<'_>, parts: &[Part], texts: &[String], words: &str) -> Option<Unrenderable> {
    let path = said::path_in(words.strip_prefix(REFUSED)?);
    let places: Vec<_> = parts.iter().map(|part| said::place_in(&part.effective, &path)).collect();
    let most = places.iter().map(|(_, known)| known.len()).max().filter(|most| *most > 0)?;
    let holders: Vec<_> = (0..parts.len()).filter(|at| places[*at].1.len() == most).collect();
    let is_refused = |at: &usize| {
        let alone = stack.origin.merger.merge(texts.get(*at..=*at).unwrap_or_default());
        matches!(alone, Err(Unmerged::Refused(_)))
    };
    let at = match holders.as_slice() {
        [only] => *only,
        // Each costs a call of docker.
        several => several.iter().take(MOST_ASKED).copied().find(is_refused)?,
    };
    let (line, known) = &places[at];
    let problem =
        Collector::new(stack.origin.compose_files()[at].path).problem(*line, known.join("."), words);
    Some(Unrenderable::Invalid(vec![problem]))
}

/// What is wrong with the whole, in the last file that has it: that one counts.
fn placed(problem: Problem, stack: Stack<'_>, parts: &[Part]) -> Problem {
    let path: Vec<_> = problem.key.split('.').collect();
    let place = |(file, part): (&ComposeFile<'_>, &Part)| {
        let (line, known) = said::place_in(&part.effective, &path);
        (known.len() == path.len() && line > 0).then(|| (file.path.to_owned(), line))
    };
    let found = stack.origin.compose_files().iter().zip(parts).rev().find_map(place);
    match found {
        Some((file, line)) => Problem { file, line: Some(line), ..problem },
        None => problem,
    }
}

/// docker's text as a tree, which tells no line: the author knows none of them.
fn read(stack: Stack<'_>, merged: &Merged, mark: &str) -> Result<Rc<Node>, Error> {
    let budget = stack.origin.budget;
    budget.take(Count::Text, merged.text.len() as u64).map_err(|exceeded| anyhow!(exceeded.sentence()))?;
    let unread = |what: String| anyhow!("what docker makes of them cannot be read: {what}");
    let tree = yaml::parse(&merged.text).map_err(|error| unread(error.to_string()))?;
    let tree = tree.filter(|tree| tree.pairs().is_some()).ok_or_else(|| unread("it is no mapping".into()))?;
    budget.take(Count::Values, tree.weight()).map_err(|exceeded| anyhow!(exceeded.sentence()))?;
    yaml::reads_alike(&merged.text, &tree).map_err(|error| unread(error.to_string()))?;
    let mut tree = restored(&tree.without_merges(), mark);
    for (service, node) in section(&tree, "services") {
        without_doubles(&node, child(child(&mut tree, "services"), &service));
    }
    for kind in StoredKind::ALL {
        for (key, entry) in section(&tree, kind.section()) {
            let Some(path) = entry.get("file").and_then(|file| file.text().map(str::to_owned)) else {
                continue;
            };
            if let Ok(copy) = Path::new(&path).strip_prefix(&merged.folder) {
                let entry = child(child(&mut tree, kind.section()), &key);
                *child(entry, "file") = Node::string(copy.display().to_string());
            }
        }
    }
    if tree.get("version").is_some_and(|version| is_older(&version)) {
        *child(&mut tree, "version") = Node::string(LONG_FORMS);
    }
    Ok(tree)
}

fn is_older(version: &Node) -> bool {
    version.text().is_some_and(|text| ["3.0", "3.1", "3.2", "3.3", "3.4"].contains(&text))
}

/// What stands for a dollar sign while docker merges: a text that is in none of `trees`.
fn mark(trees: &[Rc<Node>]) -> String {
    let texts: Vec<_> = trees.iter().map(|tree| yaml::print(tree)).collect();
    let behind = texts.iter().flat_map(|text| text.split("dollar").skip(1));
    let number = |text: &str| text.split_once("sign")?.0.parse::<u32>().ok();
    let taken: BTreeSet<_> = behind.filter_map(number).collect();
    let free = (0..=u32::MAX).find(|number| !taken.contains(number)).unwrap_or_default();
    format!("dollar{free}sign")
}

/// The tree without a dollar sign in its values: docker would take it for a variable's, and CLIs may differ in whether
/// they write `$` or `$$` of `$$`.
fn marked(node: &Rc<Node>, mark: &str) -> Rc<Node> {
    let kind = match &node.kind {
        Kind::Scalar { text, .. } if !text.contains('$') => return Rc::clone(node),
        Kind::Scalar { text, plain } => Kind::Scalar { text: text.replace('$', mark), plain: *plain },
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(|item| marked(item, mark)).collect()),
        Kind::Mapping(pairs) => {
            Kind::Mapping(pairs.iter().map(|(key, value)| (Rc::clone(key), marked(value, mark))).collect())
        }
    };
    Rc::new(Node { line: node.line, tag: node.tag.clone(), kind })
}

/// The tree with its dollar signs, and without lines. docker makes keys of what were values of lists.
fn restored(node: &Rc<Node>, mark: &str) -> Rc<Node> {
    let kind = match &node.kind {
        Kind::Scalar { text, plain } => Kind::Scalar { text: text.replace(mark, "$"), plain: *plain },
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(|item| restored(item, mark)).collect()),
        Kind::Mapping(pairs) => Kind::Mapping(
            pairs.iter().map(|(key, value)| (restored(key, mark), restored(value, mark))).collect(),
        ),
    };
    Rc::new(Node { line: 0, tag: node.tag.clone(), kind })
}

/// Lists of a service that docker appends one to the other, and reads only if nothing is twice in them.
const UNIQUE: [&str; 12] = [
    "cap_add",
    "cap_drop",
    "depends_on",
    "devices",
    "dns",
    "dns_search",
    "expose",
    "external_links",
    "extra_hosts",
    "links",
    "security_opt",
    "tmpfs",
];

fn without_doubles(service: &Node, edited: &mut Rc<Node>) {
    for key in UNIQUE {
        let Some(list) = service.get(key) else { continue };
        let Some(items) = list.items() else { continue };
        let mut once: Vec<Rc<Node>> = Vec::new();
        for item in items.iter().filter(|item| item.text().is_some()) {
            if !once.contains(item) {
                once.push(Rc::clone(item));
            }
        }
        if once.len() < items.len() {
            *child(edited, key) = Rc::new(Node { line: 0, tag: None, kind: Kind::Sequence(once) });
        }
    }
}

/// The files that the whole names: those which were checked when the parts were, and no other.
fn checked(tree: &Node, parts: &[Part], problems: &mut Collector) -> Vec<FileReference> {
    let mut found = Vec::new();
    for kind in StoredKind::ALL {
        for (entry, node) in section(tree, kind.section()) {
            let Some(file) = node.get("file") else { continue };
            let known = parts.iter().flat_map(|part| &part.files).find(|known| {
                known.kind == kind && known.entry == entry && file.text() == Some(&*known.content)
            });
            match known {
                Some(known) => found.push(known.clone()),
                None => {
                    problems.add(
                        0,
                        format!("{}.{entry}.file", kind.section()),
                        "is a file that was not checked",
                    );
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
