//! What one commit has of a stack: its files, its entry and its template, and how two commits differ in that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use git2::Oid;
use serde::Serialize;
use similar::TextDiff;

use super::{Order, Wish, entries};
use crate::compose::line_without_secrets;
use crate::git::{Tracked, TrackedKind};
use crate::manifest::{Layout, Origin, TEMPLATES, below, files_of, is_template_name};
use crate::reading::Files;

/// The list of stacks.
pub const LIST: &str = "stacks.yaml";
/// The largest list that is edited, in bytes.
pub const MOST_BYTES: u64 = 1 << 20;
/// The largest file whose lines are compared.
const MOST_SHOWN: u64 = 256 << 10;
/// The longest difference that is told of a file, and of all.
const LONGEST: usize = 64 << 10;
const LONGEST_OF_ALL: usize = 1 << 20;
/// So many files are compared by their lines.
const MOST_FILES: usize = 500;
const NOT_SHOWN: &str = "is not shown, as there is more than that\n";

/// A file that differs.
#[derive(Debug, Clone, Serialize)]
pub struct FileChange {
    /// From the repository's root.
    pub path: String,
    pub becomes: Becomes,
    /// How, without what looks like a secret.
    pub difference: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Becomes {
    New,
    Changed,
    Gone,
}

/// What a commit has of a stack: what its files are, and not what they hold.
#[derive(Debug, Default)]
pub struct Side {
    files: Contents,
    list: Option<(PathBuf, Content)>,
    entry: Option<String>,
    template: Contents,
    /// The folder or files of the stack, from that of the list.
    own: Vec<String>,
    /// What was read of them before they went: as much as is shown.
    texts: BTreeMap<PathBuf, String>,
}

/// By their paths from the repository's root, which need not be text.
type Contents = BTreeMap<PathBuf, Content>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    id: Oid,
    kind: TrackedKind,
}

impl Side {
    /// With the layout that the files were seen to have; of what comes `before` it, its files count.
    pub fn of(files: &dyn Files, layout: Layout, order: Order<'_>, before: Option<&Self>) -> Result<Self> {
        let (root, dir, stack) = (files.root(), files.dir(), order.stack);
        let mut side = Self::default();
        let mut list = None;
        if layout != Layout::Files && root.has(dir, LIST) {
            side.list = contents(files, &dir.join(LIST))?.pop_first();
            list = root.read_text(dir, LIST, MOST_BYTES).ok();
        }
        side.entry = list.as_deref().and_then(|list| entries::text(list, stack));
        side.own = match (before, layout) {
            (Some(before), _) => before.own.clone(),
            (None, Layout::Files) => files_of(root, dir, stack),
            (None, Layout::List | Layout::Nothing) => {
                let folder = list.as_deref().and_then(|list| entries::folder(list, stack));
                vec![folder.unwrap_or_else(|| stack.to_string())]
            }
        };
        for name in &side.own {
            side.files.extend(contents(files, &root.path().join(below(root, dir, name)))?);
        }
        let template = match order.wish {
            Wish::Make { template, .. } => Some(template.clone()),
            Wish::Change { template, .. } => template.clone(),
            Wish::Remove => return Ok(side),
        };
        let template =
            template.or_else(|| list.and_then(|list| Some(entries::origin(&list, order.stack)?.name)));
        // What is no name of one may be a path to anywhere.
        if let Some(name) = template.filter(|name| is_template_name(name)) {
            side.template = contents(files, &dir.join(TEMPLATES).join(name))?;
        }
        Ok(side)
    }

    /// Of files that nobody has read so far.
    pub fn at(files: &dyn Files, order: Order<'_>) -> Result<Self> {
        let layout = if files.root().has(files.dir(), LIST) { Layout::List } else { Layout::Files };
        Self::of(files, layout, order, None)
    }

    /// Itself, with what can be shown of it when its files are gone.
    pub fn remembered(mut self, files: &dyn Files) -> Self {
        let mut left = LONGEST_OF_ALL;
        for (path, content) in
            self.files.iter().chain(&self.template).chain(self.list.iter().map(|(path, it)| (path, it)))
        {
            let Some(text) = content.text(files, path) else { continue };
            left = left.saturating_sub(text.len());
            if left == 0 {
                break;
            }
            self.texts.insert(path.clone(), text);
        }
        self
    }

    /// Whether nothing differs that a write depends on.
    pub fn is_same(&self, other: &Self) -> bool {
        self.entry == other.entry && self.template == other.template && self.files == other.files
    }

    /// The files that differ, the list among them; those of the template too, where it is told what changed meanwhile.
    /// What they hold is read from `was` and `is`, or from what was remembered, one at a time.
    pub fn differences(
        &self,
        was: Option<&dyn Files>,
        (after, is): (&Self, &dyn Files),
        with_template: bool,
        longest: Duration,
    ) -> Vec<FileChange> {
        let all = |side: &Self| -> Contents {
            let template = with_template.then_some(&side.template).into_iter().flatten();
            let list = side.list.iter().map(|(path, content)| (path, content));
            let all = side.files.iter().chain(template).chain(list);
            all.map(|(path, content)| (path.clone(), content.clone())).collect()
        };
        let (old, new) = (all(self), all(after));
        let paths: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let (mut left, mut compared, until) = (LONGEST_OF_ALL, 0, Instant::now() + longest);
        let mut changes = Vec::new();
        for path in paths {
            let (old, new) = (old.get(path), new.get(path));
            let becomes = match (old, new) {
                (Some(old), Some(new)) if old == new => continue,
                (Some(_), Some(_)) => Becomes::Changed,
                (None, _) => Becomes::New,
                (_, None) => Becomes::Gone,
            };
            compared += 1;
            let difference = if left == 0 || compared > MOST_FILES {
                NOT_SHOWN.to_owned()
            } else {
                let old = match (old, was) {
                    (None, _) => Some(String::new()),
                    (Some(old), Some(was)) => old.text(was, path),
                    (Some(_), None) => self.texts.get(path).cloned(),
                };
                let new = new.map_or_else(|| Some(String::new()), |new| new.text(is, path));
                difference(old.as_deref(), new.as_deref(), until)
            };
            left = left.saturating_sub(difference.len());
            changes.push(FileChange {
                path: path.display().to_string(),
                becomes,
                difference: if left == 0 { NOT_SHOWN.to_owned() } else { difference },
            });
        }
        changes
    }
}

impl Content {
    /// What is shown of it; `None` where it is no text, or too long.
    fn text(&self, files: &dyn Files, path: &Path) -> Option<String> {
        match &self.kind {
            TrackedKind::File { .. } => {
                files.root().read_text(files.root().path(), path.to_str()?, MOST_SHOWN).ok()
            }
            TrackedKind::Link(target) => Some(format!("symlink to {}\n", target.display())),
            TrackedKind::Folder => Some("submodule\n".to_owned()),
        }
    }
}

/// The files of a stack without a folder: the compose file, and its variables.
pub fn file_names(stack: &str) -> [String; 2] {
    [format!("docker-compose-{stack}.yml"), format!(".env-{stack}")]
}

/// The templates that the stacks of a source were made from, by stack; `None` where stacks are files at the root, which
/// do not say so.
pub fn origins(files: &dyn Files) -> Option<BTreeMap<String, Origin>> {
    let (root, dir) = (files.root(), files.dir());
    let text = || root.read_text(dir, LIST, MOST_BYTES).unwrap_or_default();
    root.has(dir, LIST).then(|| entries::origins(&text()))
}

fn contents(files: &dyn Files, path: &Path) -> Result<Contents> {
    let root = files.root().path();
    let from_root = path.strip_prefix(root).unwrap_or(path);
    let one = |file: Tracked| {
        // A file is found as itself.
        let path =
            if file.path.as_os_str().is_empty() { from_root.into() } else { from_root.join(&file.path) };
        (path, Content { id: file.id, kind: file.kind })
    };
    Ok(files.tracked(path)?.into_iter().map(one).collect())
}

/// Of two texts; `None` is one of which nothing is shown.
fn difference(old: Option<&str>, new: Option<&str>, until: Instant) -> String {
    match (old.map(shown), new.map(shown)) {
        (Some(old), Some(new)) if old == new => {
            "differs in what looks like a secret, or in its mode\n".into()
        }
        (Some(old), Some(new)) => {
            let diff = TextDiff::configure().deadline(until).diff_lines(&*old, &*new);
            if Instant::now() >= until {
                return "differs in too much to compare\n".into();
            }
            let mut told = diff.unified_diff().context_radius(3).to_string();
            if told.len() > LONGEST {
                let end = (0..=LONGEST).rev().find(|at| told.is_char_boundary(*at)).unwrap_or_default();
                told.truncate(end);
                told += "\n…\n";
            }
            told
        }
        _ => "is no text, or longer than is shown\n".into(),
    }
}

fn shown(text: &str) -> String {
    text.split_inclusive('\n').map(line_without_secrets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_ends() {
        let mut rng = crate::rng::Rng::new(7);
        let mut lines =
            || -> String { (0..131_000).map(|_| ["a\n", "b\n", "c\n", "d\n"][rng.below(4)]).collect() };
        let (old, new, begun) = (lines(), lines(), Instant::now());
        let told = difference(Some(&old), Some(&new), begun + Duration::from_millis(300));
        assert_eq!(told, "differs in too much to compare\n");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
