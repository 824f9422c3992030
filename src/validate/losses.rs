//! What a merge would take away, or out of sight: stacks, what lies in volumes, files of bindings.

use std::collections::BTreeSet;

use super::diff::{Change, Sides, StackBecomes, StackChange};
use super::text::counted;
use crate::bindings::Tree;
use crate::compose::Mount;
use crate::reading::Binding;

impl Sides<'_> {
    pub(super) fn lost(&self, stacks: &[StackChange]) -> Vec<String> {
        let mut lost = Vec::new();
        for stack in stacks.iter().filter(|stack| stack.becomes == StackBecomes::Removed) {
            let services = counted(stack.services.len(), "service");
            lost.push(format!("the stack `{}`, with {services}; its volumes stay", stack.name));
        }
        let (before, after) = (self.before.1, self.after.1);
        for (id, was) in &before.volumes {
            match (was, after.volumes.get(id)) {
                (Mount::Volume(was), Some(Mount::Volume(is))) if was != is => lost.push(elsewhere(id, was, is)),
                (Mount::Volume(was), Some(Mount::Bind { path, .. })) => lost.push(elsewhere(id, was, path)),
                (Mount::Bind { path: was, .. }, Some(Mount::Bind { path: is, .. })) if was != is => lost.push(
                    format!("`{id}` is `{is}` and no more `{was}`: what containers wrote there stays there, unseen"),
                ),
                (Mount::Bind { path, .. }, Some(Mount::Volume(is))) => lost.push(elsewhere(id, path, is)),
                (Mount::Bind { path, .. }, None) => lost.push(format!(
                    "the binding `{id}`: files that were copied to `{path}` go, those of containers stay"
                )),
                _ => {}
            }
        }
        for change in stacks.iter().filter(|stack| stack.becomes == StackBecomes::Changed) {
            let of = |side: &crate::reading::Contents| {
                side.stacks.iter().position(|stack| stack.entry.name.as_str() == change.name)
            };
            let both = of(before).zip(of(after));
            let Some((old, new)) = both.map(|(old, new)| (&before.stacks[old], &after.stacks[new])) else {
                continue;
            };
            let (Some(Ok(old)), Some(Ok(new))) = (&old.rendered, &new.rendered) else { continue };
            for (key, was, is) in new.volumes_left(old) {
                if before.volumes.contains_key(&key) {
                    continue;
                }
                let name = &change.name;
                lost.push(match is {
                    Some(is) => format!("`{name}`: {}", elsewhere(&key, &was, &is)),
                    None => format!("`{name}`: no service mounts the volume `{was}` any more; it stays"),
                });
            }
        }
        lost
    }

    pub(super) fn bindings(&self) -> Vec<Change> {
        let (before, after) = (&self.before.1.bindings, &self.after.1.bindings);
        let ids: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let change = |id: &String| {
            let what = match (before.get(id), after.get(id)) {
                (Some(was), Some(is)) => differs(was, is)?,
                (None, Some(is)) => format!("is new, with {}", counted(files(&is.tree), "file")),
                _ => "is removed".into(),
            };
            Some(Change { name: id.clone(), what })
        };
        ids.into_iter().filter_map(change).collect()
    }
}

fn elsewhere(id: &str, was: &str, is: &str) -> String {
    format!("`{id}` is `{is}` and no more `{was}`: what lies in the old one stays there, unseen")
}

fn files(tree: &Tree) -> usize {
    tree.entries.values().filter(|kind| !matches!(kind, crate::bindings::Kind::Folder)).count()
}

fn differs(was: &Binding, is: &Binding) -> Option<String> {
    let (old, new) = (&was.tree.entries, &is.tree.entries);
    let added = new.keys().filter(|path| !old.contains_key(*path)).count();
    let gone = old.keys().filter(|path| !new.contains_key(*path)).count();
    let changed = new.iter().filter(|(path, kind)| old.get(*path).is_some_and(|old| old != *kind)).count();
    let mut parts = Vec::new();
    for (count, what) in [(added, "added"), (changed, "changed"), (gone, "removed")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if (&was.root, &was.path) != (&is.root, &is.path) {
        parts.push(format!("it is copied to `{}`", is.root.join(&is.path).display()));
    }
    if was.owner != is.owner {
        parts.push("another owner".into());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
