//! `stacks.yaml`: a list of `name`, `folder`, `compose`, `env`, `enabled`, `depends_on`, `drift`, `template`, `hold`, `windows`,
//! `before`, `after`, `timeout`.

use std::collections::BTreeSet;
use std::path::Path;

use super::entries::{boolean, check_keys, display};
use super::files::{self, COMPOSE_FILES, Wanted};
use super::template::Origin;
use super::{MOST_BYTES, StackEntry, hold, jobs};
use crate::budget::{Budget, Count};
use crate::paths::Root;
use crate::problem::{Collector, Problem};
use crate::stack::{DriftPolicy, StackName};
use crate::yaml::{self, Node};

const FILE: &str = "stacks.yaml";
const KEYS: [&str; 14] = [
    "name",
    "folder",
    "compose",
    "env",
    "enabled",
    "depends_on",
    "drift",
    "template",
    "hold",
    "windows",
    "before",
    "after",
    "timeout",
    "on_failure",
];

/// An entry with its dependencies as written, until all names are known.
struct Draft {
    entry: StackEntry,
    /// Its name as written.
    title: String,
    folder: String,
    line: usize,
    depends_on: Vec<(usize, String)>,
}

/// The entries that are right in the list, each with what is wrong with it alone, and all mistakes of the list.
pub fn read(root: &Root, dir: &Path, budget: &Budget) -> (Vec<StackEntry>, Vec<Problem>) {
    let file = display(root, dir, FILE);
    let mut problems = Collector::new(file);
    let drafts = document(root, dir, budget, &mut problems)
        .map(|list| drafts(root, dir, &list, &mut problems))
        .unwrap_or_default();
    let stacks = resolve(drafts, &mut problems);
    (stacks, problems.into_problems())
}

/// Whether the list is there, also where it cannot be read.
pub fn is_there(root: &Root, dir: &Path) -> bool {
    root.has(dir, FILE)
}

fn document(
    root: &Root,
    dir: &Path,
    budget: &Budget,
    problems: &mut Collector,
) -> Option<Vec<std::rc::Rc<Node>>> {
    let mut fail = |line, what: String| {
        problems.add(line, "", what);
        None
    };
    if !is_there(root, dir) {
        return fail(0, format!("does not exist; {}", folders_hint(root, dir)));
    }
    let text = match root.read_text(dir, FILE, MOST_BYTES) {
        Ok(text) => text,
        Err(error) => return fail(0, format!("{error:#}")),
    };
    let list = match yaml::parse(&text) {
        Ok(Some(list)) => list,
        Ok(None) => return fail(0, "is empty; list at least one stack: `- name: folder`".into()),
        Err(error) => return fail(error.line, error.what),
    };
    match list.items() {
        Some([]) => fail(
            list.line,
            "lists no stack; to remove the last one write `enabled: false`, or unwatch the source".into(),
        ),
        Some(items) => match budget.take(Count::Stacks, items.len() as u64) {
            Ok(()) => Some(items.to_vec()),
            Err(exceeded) => fail(list.line, exceeded.sentence()),
        },
        None => fail(list.line, format!("must be a list of `- name: folder`, not {}", list.what())),
    }
}

/// Which folders could be meant where the list itself is missing.
fn folders_hint(root: &Root, dir: &Path) -> String {
    let names = root.names(dir).into_iter().collect::<BTreeSet<_>>().into_iter();
    let holds_one = |name: &String| COMPOSE_FILES.iter().any(|file| root.has(&dir.join(name), file));
    let folders: Vec<_> =
        names.take(1_000).filter(holds_one).take(10).map(|name| format!("`{name}`")).collect();
    if folders.is_empty() {
        return "it lists the folders that hold a compose file: `- name: folder`".into();
    }
    format!("it lists the stacks; folders with a compose file here: {}", folders.join(", "))
}

fn drafts(root: &Root, dir: &Path, list: &[std::rc::Rc<Node>], problems: &mut Collector) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let Some(draft) = draft(root, dir, index, item, problems) else {
            continue;
        };
        if let Some(same) = drafts.iter().find(|known| known.entry.name.collides_with(&draft.entry.name)) {
            let what = if same.title == draft.title {
                format!("is listed twice, first in line {}", same.line)
            } else if same.entry.name != draft.entry.name {
                format!(
                    "is `{}` of line {} but for the case of its letters, which Swarm does not tell apart",
                    same.title, same.line
                )
            } else {
                format!(
                    "becomes the stack `{}`, as `{}` in line {} does",
                    draft.entry.name, same.title, same.line
                )
            };
            problems.add(draft.line, draft.title.clone(), what);
            continue;
        }
        drafts.push(draft);
    }
    drafts
}

fn draft(root: &Root, dir: &Path, index: usize, item: &Node, problems: &mut Collector) -> Option<Draft> {
    let place = format!("entry {}", index + 1);
    if item.pairs().is_none() {
        problems.add(item.line, place, format!("must be a mapping with `name`, not {}", item.what()));
        return None;
    }
    check_keys(item, &place, &KEYS, problems);
    let Some(name) = item.get("name") else {
        problems.add(
            item.line,
            place,
            "has no `name`: the stack's, and its folder's unless there is a `folder`",
        );
        return None;
    };
    let Some(title) = name.as_string() else {
        problems.add(name.line, format!("{place}.name"), format!("must be a string, not {}", name.what()));
        return None;
    };
    let stack = match StackName::from_folder(title) {
        Ok(stack) => stack,
        Err(error) => {
            let shown: String = title.chars().take(40).collect();
            problems.add(
                name.line,
                format!("{place}.name"),
                format!("`{}` {error}", crate::plain::name(&shown)),
            );
            return None;
        }
    };
    let enabled = boolean(item, title, "enabled", true, problems);
    let drift = drift(item, title, problems);
    let depends_on = depends_on(item, title, problems);
    let template = template(item, title, problems);
    let hold = hold::read(item, title, problems);
    let jobs = jobs::read(item, title, problems);
    let wanted = Wanted::read(item, title, name.line, problems);
    let folder = wanted.as_ref().map_or(title, |wanted| &wanted.folder).to_owned();
    let mut wrong = Vec::new();
    let files = wanted.and_then(|wanted| match wanted.find(root, dir) {
        Ok(files) => Some(Box::new(files)),
        Err(mistakes) => {
            let of_this = mistakes.into_iter().filter(|_| enabled);
            wrong.extend(of_this.map(|mistake| {
                problems.problem(mistake.line, format!("{title}{}", mistake.key), mistake.what)
            }));
            None
        }
    });
    let compose_path = match &files {
        Some(files) => files.compose.path.clone(),
        None => files::below(root, dir, &folder).display().to_string(),
    };
    let depends = Vec::new();
    let entry = StackEntry {
        name: stack,
        line: name.line,
        is_forbidden: false,
        enabled,
        depends_on: depends,
        drift,
        files,
        compose_path,
        template,
        hold,
        jobs,
        wrong,
    };
    Some(Draft { entry, title: title.to_owned(), folder, line: name.line, depends_on })
}

fn drift(item: &Node, title: &str, problems: &mut Collector) -> DriftPolicy {
    let Some(value) = item.get("drift") else {
        return DriftPolicy::default();
    };
    value.text().and_then(DriftPolicy::parse).unwrap_or_else(|| {
        problems.add(value.line, format!("{title}.drift"), "must be `correct`, `report` or `ignore`");
        DriftPolicy::default()
    })
}

fn template(item: &Node, title: &str, problems: &mut Collector) -> Option<Origin> {
    let value = item.get("template")?;
    let found = value.as_string().and_then(Origin::parse);
    if found.is_none() {
        let what =
            "must be `<template>@<tree id>`: a folder of `templates`, and the 40 digits of git's id of it";
        problems.add(value.line, format!("{title}.template"), what);
    }
    found
}

fn depends_on(item: &Node, title: &str, problems: &mut Collector) -> Vec<(usize, String)> {
    let Some(value) = item.get("depends_on") else {
        return Vec::new();
    };
    let Some(items) = value.items() else {
        let what = format!(
            "must be a list of stacks, `[{}]`, not {}",
            value.text().unwrap_or("other"),
            value.what()
        );
        problems.add(value.line, format!("{title}.depends_on"), what);
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in items {
        match item.as_string() {
            Some(name) => names.push((item.line, name.to_owned())),
            None => problems.add(
                item.line,
                format!("{title}.depends_on"),
                format!("must list names, not {}", item.what()),
            ),
        }
    }
    names
}

/// Turns the dependencies into stack names; unknown ones, disabled ones and circles are mistakes.
fn resolve(mut drafts: Vec<Draft>, problems: &mut Collector) -> Vec<StackEntry> {
    let known: Vec<_> = drafts
        .iter()
        .map(|d| (d.title.clone(), d.entry.name.clone(), d.entry.enabled, d.folder.clone()))
        .collect();
    let of_folder = |folder: &str| -> String {
        let stacks = known.iter().filter(|(.., known)| known == folder);
        let stacks: Vec<_> = stacks.take(10).map(|(_, name, ..)| format!("`{name}`")).collect();
        if stacks.is_empty() { String::new() } else { format!(", but the folder of {}", stacks.join(", ")) }
    };
    for draft in &mut drafts {
        for (line, wanted) in std::mem::take(&mut draft.depends_on) {
            let key = format!("{}.depends_on", draft.title);
            match known.iter().find(|(title, name, ..)| *title == wanted || name.as_str() == wanted) {
                None => {
                    let what = format!("`{wanted}` is no stack of this file{}", of_folder(&wanted));
                    problems.add(line, key, what);
                }
                Some((_, name, ..)) if *name == draft.entry.name => {
                    problems.add(line, key, "a stack cannot depend on itself");
                }
                Some((_, _, false, _)) if draft.entry.enabled => {
                    problems.add(line, key, format!("`{wanted}` has `enabled: false`"));
                }
                Some((_, name, ..)) => draft.entry.depends_on.push(name.clone()),
            }
        }
    }
    if let Some(circle) = circle(&drafts) {
        problems.add(circle.line, format!("{}.depends_on", circle.title), "the dependencies run in a circle");
    }
    drafts.into_iter().map(|draft| draft.entry).collect()
}

/// A stack that is never ready however many others are.
fn circle(drafts: &[Draft]) -> Option<&Draft> {
    let mut ready: BTreeSet<&StackName> = BTreeSet::new();
    let mut left: Vec<&Draft> = drafts.iter().collect();
    loop {
        let (now, later): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|draft| draft.entry.depends_on.iter().all(|name| ready.contains(name)));
        if later.is_empty() {
            return None;
        }
        if now.is_empty() {
            return later.into_iter().next();
        }
        ready.extend(now.iter().map(|draft| &draft.entry.name));
        left = later;
    }
}

#[cfg(test)]
mod tests;
