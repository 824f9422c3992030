//! What one commit has of a stack: its files, its entry and its template, and how two commits differ in that.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use similar::TextDiff;

use super::{Order, Wish, entries, from_root};
use crate::compose::line_without_secrets;
use crate::git::{Tracked, TrackedKind};
use crate::manifest::{Layout, Origin, TEMPLATES, below, files_of};
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

/// What a commit has of a stack.
#[derive(Debug, Default)]
pub struct Side {
    files: BTreeMap<String, Content>,
    list: Option<(String, Content)>,
    entry: Option<String>,
    template: BTreeMap<String, Content>,
    /// The folder or files of the stack, from that of the list.
    own: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    id: String,
    text: Option<String>,
}

impl Side {
    /// With the layout that the files were seen to have; of what comes `before` it, its files count.
    pub fn of(files: &dyn Files, layout: Layout, order: Order<'_>, before: Option<&Self>) -> Result<Self> {
        let (root, dir, stack) = (files.root(), files.dir(), order.stack.as_str());
        let mut side = Self::default();
        if layout != Layout::Files && root.has(dir, LIST) {
            side.list = contents(files, &dir.join(LIST))?.pop();
        }
        let list = side.list.as_ref().and_then(|(_, content)| content.text.as_deref());
        side.entry = list.and_then(|list| entries::text(list, order.stack));
        side.own = match (before, layout) {
            (Some(before), _) => before.own.clone(),
            (None, Layout::Files) => {
                let (known, new) = (files_of(root, dir, order.stack), file_names(stack));
                let new = new.into_iter().filter(|name| !known.contains(name));
                known.iter().cloned().chain(new).collect()
            }
            (None, Layout::List | Layout::Nothing) => {
                vec![list.and_then(|list| entries::folder(list, order.stack)).unwrap_or_else(|| stack.into())]
            }
        };
        for name in &side.own {
            side.files.extend(contents(files, &root.path().join(below(root, dir, name)))?);
        }
        let template = match order.wish {
            Wish::Make { template, .. } => Some(template.as_str()),
            Wish::Change { template, .. } => template.as_deref(),
            Wish::Remove => None,
        };
        let template = template.map(str::to_owned).or_else(|| {
            let text = side.list.as_ref()?.1.text.as_deref()?;
            Some(entries::origin(text, order.stack)?.name)
        });
        if let Some(name) = template.filter(|_| !matches!(order.wish, Wish::Remove)) {
            let folder = dir.join(TEMPLATES).join(name);
            side.template = contents(files, &folder)?.into_iter().collect();
        }
        Ok(side)
    }

    /// Of files that nobody has read so far.
    pub fn at(files: &dyn Files, order: Order<'_>) -> Result<Self> {
        let layout = if files.root().has(files.dir(), LIST) { Layout::List } else { Layout::Files };
        Self::of(files, layout, order, None)
    }

    /// Whether nothing differs that a write depends on.
    pub fn is_same(&self, other: &Self) -> bool {
        let ids = |side: &Self| -> Vec<_> {
            let all = side.files.iter().chain(&side.template);
            all.map(|(path, content)| (path.clone(), content.id.clone())).collect()
        };
        self.entry == other.entry && ids(self) == ids(other)
    }

    /// The files that differ, the list and those of the template among them.
    pub fn differences(&self, after: &Self) -> Vec<FileChange> {
        let all = |side: &Self| -> BTreeMap<String, Content> {
            let own = side.files.clone().into_iter().chain(side.list.clone());
            own.chain(side.template.clone()).collect()
        };
        let (old, new) = (all(self), all(after));
        let paths: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changes = paths.into_iter().filter_map(|path| change(path, old.get(path), new.get(path)));
        let mut left = LONGEST_OF_ALL;
        let shortened = |mut change: FileChange| {
            match left.checked_sub(change.difference.len()) {
                Some(rest) => left = rest,
                None => change.difference = "is not shown, as there is more than that\n".into(),
            }
            change
        };
        changes.map(shortened).collect()
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

fn contents(files: &dyn Files, path: &Path) -> Result<Vec<(String, Content)>> {
    let root = files.root();
    let tracked = files.tracked(path)?;
    let one = |(number, file): (usize, Tracked)| {
        let path = from_root(root.path(), &path.join(&file.path)).trim_end_matches('/').to_owned();
        let text = match &file.kind {
            TrackedKind::File { .. } if number >= MOST_FILES => None,
            TrackedKind::File { .. } => root.read_text(root.path(), &path, MOST_SHOWN).ok(),
            TrackedKind::Link(target) => Some(format!("symlink to {}\n", target.display())),
            TrackedKind::Folder => Some("submodule\n".to_owned()),
        };
        (path, Content { id: format!("{} {:?}", file.id, file.kind), text })
    };
    Ok(tracked.into_iter().enumerate().map(one).collect())
}

fn change(path: &str, old: Option<&Content>, new: Option<&Content>) -> Option<FileChange> {
    let becomes = match (old, new) {
        (Some(old), Some(new)) if old.id == new.id => return None,
        (Some(_), Some(_)) => Becomes::Changed,
        (None, _) => Becomes::New,
        (_, None) => Becomes::Gone,
    };
    let text = |side: Option<&Content>| match side {
        None => Some(String::new()),
        Some(content) => content.text.as_ref().map(|text| shown(text)),
    };
    let difference = match (text(old), text(new)) {
        (Some(old), Some(new)) if old == new => {
            "differs in what looks like a secret, or in its mode\n".into()
        }
        (Some(old), Some(new)) => {
            let mut told = TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).to_string();
            if told.len() > LONGEST {
                let end = (0..=LONGEST).rev().find(|at| told.is_char_boundary(*at)).unwrap_or_default();
                told.truncate(end);
                told += "\n…\n";
            }
            told
        }
        _ => "is no text, or longer than is shown\n".into(),
    };
    Some(FileChange { path: path.to_owned(), becomes, difference })
}

fn shown(text: &str) -> String {
    text.split_inclusive('\n').map(line_without_secrets).collect()
}
