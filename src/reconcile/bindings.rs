//! Bindings of all sources: copied before the stacks that mount them are deployed,
//! removed after the stacks that mounted them converged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::contain::Contain;
use super::source::{Read, WatchedSource};
use super::{Key, Reconciler, Session};
use crate::bindings::{self, Destination, Inventory, Item, Opened, Synced};
use crate::compose::RenderedStack;
use crate::guard::{Closed, Guard};
use crate::reading::Binding;
use crate::source::SourceUrl;
use crate::stack::StackName;
use crate::state::{BindingFile, BindingRow, StackStatus, State};

impl Session<'_> {
    /// Where bindings may lie. docker is asked once where its data lies: that is part of no idle run.
    pub fn guard(&self) -> &Guard {
        self.whole_guard.get_or_init(|| {
            let mut guard = self.own_guard.clone();
            if let Some(folder) = self.docker.data_root() {
                guard.keep(folder, "docker's own data");
            }
            guard
        })
    }
}

impl WatchedSource {
    /// The bindings that a stack mounts, by id.
    fn mounted(&self, name: &StackName) -> impl Iterator<Item = (&String, &Binding)> {
        // What an earlier version mounts stays as it lies there.
        let desired = self.desired(name).filter(|desired| desired.past.is_none());
        let rendered = desired.and_then(|desired| desired.rendered());
        let ids = rendered.into_iter().flat_map(|rendered| &rendered.bindings);
        ids.filter_map(|id| self.read()?.bindings.get_key_value(id))
    }

    /// The bindings that any of its stacks mounts.
    fn used(&self) -> BTreeMap<&String, &Binding> {
        let stacks = self.read().into_iter().flat_map(|read| &read.desired);
        stacks.flat_map(|desired| self.mounted(&desired.entry.name)).collect()
    }
}

impl Reconciler {
    /// Why stacks must not be deployed whose bindings lie where another source has one.
    pub fn binding_conflicts(&self, session: &Session<'_>) -> Result<BTreeMap<Key, String>> {
        let mut conflicts = BTreeMap::new();
        if self.sources.iter().filter_map(WatchedSource::read).all(|read| read.bindings.is_empty()) {
            return Ok(conflicts);
        }
        let rows = session.state.bindings()?;
        let mut claims: Vec<_> =
            rows.into_iter().map(|row| (real(&row.root, &row.path), row.repository_url)).collect();
        for source in &self.sources {
            let own = &source.url;
            for (id, binding) in source.used() {
                let place = real(&binding.root, &binding.path);
                let clash = claims.iter().find(|(theirs, url)| {
                    url != own && (theirs.starts_with(&place) || place.starts_with(theirs))
                });
                let Some((theirs, url)) = clash else {
                    claims.push((place, own.clone()));
                    continue;
                };
                let why = conflict(id, own, &place, url, theirs);
                for desired in source.read().into_iter().flat_map(|read| &read.desired) {
                    let name = &desired.entry.name;
                    if source.mounted(name).any(|(mounted, _)| mounted == id) {
                        conflicts.insert(Key::new(&source.id, name), why.clone());
                    }
                }
            }
        }
        Ok(conflicts)
    }

    /// Copies what a stack mounts, once after its source was read.
    pub fn copy_bindings(&mut self, session: &Session<'_>, key: &Key) -> Result<()> {
        let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) else {
            return Ok(());
        };
        let Some(row) = &source.row else { return Ok(()) };
        let mut copied = std::mem::take(&mut source.copied);
        let mut failed = None;
        for (id, binding) in source.mounted(&key.stack) {
            if !copied.contains_key(id) {
                let result = sync(session, &row.url, id, binding).contained()?;
                copied.insert(id.clone(), result.map_err(|why| format!("the binding `{id}`: {why}")));
            }
            if let Some(Err(why)) = copied.get(id) {
                failed.get_or_insert_with(|| why.clone());
            }
        }
        source.copied = copied;
        failed.map_or(Ok(()), |why| Err(anyhow!(why)))
    }
}

/// The bindings of an earlier version of a stack that do not lie there as they did then, by id.
pub fn changed<'a>(
    session: &Session<'_>,
    url: &SourceUrl,
    read: &'a Read,
    rendered: &'a RenderedStack,
) -> Result<Vec<&'a str>> {
    let rows = session.state.bindings()?;
    let mut changed = Vec::new();
    for (id, binding) in rendered.bindings.iter().filter_map(|id| read.bindings.get_key_value(id)) {
        let row = rows
            .iter()
            .find(|row| row.repository_url == *url && row.root == binding.root && row.path == binding.path);
        let files = row.map(|row| session.state.binding_files(row)).transpose()?;
        if !files.is_some_and(|files| bindings::holds(&inventory(&files), &binding.tree)) {
            changed.push(id.as_str());
        }
    }
    Ok(changed)
}

/// Those of these bindings of which nothing lies there, and where that would be: no task starts with one.
pub fn gone<'a>(read: &Read, ids: &[&'a str]) -> Vec<(&'a str, PathBuf)> {
    let place = |id: &&'a str| {
        let binding = read.bindings.get(*id)?;
        Some((*id, binding.root.join(&binding.path)))
    };
    let is_gone = |(_, place): &(&str, PathBuf)| !place.try_exists().unwrap_or(true);
    ids.iter().filter_map(place).filter(is_gone).collect()
}

impl WatchedSource {
    /// Says of bindings that no stack mounts.
    pub fn note_unused_bindings(&self, session: &Session<'_>) {
        let source = self;
        let (Some(read), used) = (source.read(), source.used()) else { return };
        // What a stack would mount whose files are wrong is not known.
        if read.is_incomplete() {
            return;
        }
        for id in read.bindings.keys().filter(|id| !used.contains_key(id)) {
            session.report.note(id, "this binding is not copied: no service mounts it");
        }
    }

    /// Removes the files of bindings that are mounted no more, once all stacks of their source are fine. What cannot
    /// be removed is said, and tried again after the next change.
    pub fn clean_bindings(&self, session: &Session<'_>) -> Result<()> {
        let source = self;
        let (Some(read), Some(row)) = (source.read(), &source.row) else { return Ok(()) };
        if read.is_incomplete() {
            return Ok(());
        }
        let rows = session.state.bindings()?;
        if rows.is_empty() || source.stacks.iter().any(|stack| stack.status == StackStatus::Error) {
            return Ok(());
        }
        let used = source.used();
        let stays =
            |known: &BindingRow| used.values().any(|used| used.root == known.root && used.path == known.path);
        let places: Vec<_> = used.values().map(|used| real(&used.root, &used.path)).collect();
        for gone in rows.iter().filter(|known| known.repository_url == row.url && !stays(known)) {
            if let Err(why) = remove(session, gone, &places).contained()? {
                let name = gone.path.display().to_string();
                session.report.note(&name, &format!("its copied files could not be removed: {why}"));
            }
        }
        Ok(())
    }
}

fn real(root: &Path, path: &Path) -> PathBuf {
    root.canonicalize().unwrap_or_else(|_| root.into()).join(path)
}

fn conflict(id: &str, own: &SourceUrl, place: &Path, url: &SourceUrl, theirs: &Path) -> String {
    format!(
        "the binding `{id}`: `{}` of `{own}` and `{}` of `{url}`, which is watched as well, lie inside one \
         another; give one of them another path in `volumes.yaml`",
        place.display(),
        theirs.display(),
    )
}

fn sync(session: &Session<'_>, url: &SourceUrl, id: &str, binding: &Binding) -> Result<()> {
    let state = session.state;
    let (root, path, owner) = (&*binding.root, &*binding.path, binding.owner);
    let opened = Opened::open(Destination { root, path, owner, guard: session.guard() })?;
    let row = state.claim_binding(url, &binding.root, &binding.path)?;
    let before = state.binding_files(&row)?;
    let mut both = before.clone();
    add(&mut both, inherited(state, &row)?);
    let mut known = inventory(&both);
    opened.sweep(&known)?;
    known.retain(|_, items| !items.iter().any(Item::is_stage));
    // Noted first: a run that is cut off must know what it may have put there.
    both = rows(&known).collect();
    add(&mut both, rows(&opened.planned(&binding.tree)?));
    state.note_binding_files(&row, &before, &both)?;
    let (synced, inventory) = opened.sync(&binding.tree, &known, &|text| session.report.progress(text))?;
    say(session, id, &synced, &root.join(path));
    state.note_binding_files(&row, &both, &rows(&inventory).collect())
}

/// What other bindings of the source put where this one is now: of a part of it, of a folder around it, or of
/// the same place under another `nfs.path`. They are to go; their files are this one's from now on.
fn inherited(state: &State, heir: &BindingRow) -> Result<Vec<BindingFile>> {
    let place = real(&heir.root, &heir.path);
    let mut files = Vec::new();
    for row in state.bindings()? {
        let from = real(&row.root, &row.path);
        let meets = from.starts_with(&place) || place.starts_with(&from);
        if row == *heir || row.repository_url != heir.repository_url || !meets {
            continue;
        }
        let inside = |file: BindingFile| {
            let path = below(&from, &file.path).strip_prefix(&place).ok()?.to_owned();
            Some(BindingFile { path, ..file })
        };
        files.extend(state.binding_files(&row)?.into_iter().filter_map(inside));
    }
    Ok(files)
}

/// The place of a file; `join` would add a slash to a binding that is one file.
fn below(place: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { place.into() } else { place.join(path) }
}

/// Adds what is not there by path and content.
fn add(files: &mut BTreeSet<BindingFile>, more: impl IntoIterator<Item = BindingFile>) {
    let key = |file: &BindingFile| (file.path.clone(), file.content.clone());
    let mut known: BTreeSet<_> = files.iter().map(key).collect();
    files.extend(more.into_iter().filter(|file| known.insert(key(file))));
}

fn inventory(files: &BTreeSet<BindingFile>) -> Inventory {
    let mut inventory = Inventory::new();
    for BindingFile { path, content, stamp } in files {
        let item = Item { content: content.clone(), stamp: stamp.clone() };
        inventory.entry(path.clone()).or_default().push(item);
    }
    inventory
}

fn rows(inventory: &Inventory) -> impl Iterator<Item = BindingFile> {
    inventory.iter().flat_map(|(path, items)| {
        items.iter().map(|item| BindingFile {
            path: path.clone(),
            content: item.content.clone(),
            stamp: item.stamp.clone(),
        })
    })
}

fn say(session: &Session<'_>, id: &str, synced: &Synced, place: &Path) {
    let Synced { written, removed, .. } = synced;
    if written + removed > 0 {
        let place = place.display();
        session.report.progress(&format!("copied `{id}` to `{place}`: {written} written, {removed} removed"));
    }
    for (path, kept) in &synced.kept {
        let (path, kept) = (path.display(), kept.display());
        let what = format!(
            "`{path}` was not as DockerOps left it: it is the repository's now, and was kept as `{kept}`"
        );
        session.report.note(id, &what);
    }
    for path in &synced.left {
        session.report.note(id, &format!("`{}` stays: it holds what others wrote", path.display()));
    }
}

/// Removes what syncs put there for a source whose stacks are gone.
pub fn remove_bindings(session: &Session<'_>, repository_url: &SourceUrl) -> Result<()> {
    for row in session.state.bindings()?.iter().filter(|row| row.repository_url == *repository_url) {
        remove(session, row, &[])?;
    }
    Ok(())
}

/// What lies in one of `places`, where other bindings are now, is theirs and stays.
fn remove(session: &Session<'_>, row: &BindingRow, places: &[PathBuf]) -> Result<()> {
    let (place, own) = (row.root.join(&row.path), real(&row.root, &row.path));
    let name = row.path.display().to_string();
    let destination = Destination { root: &row.root, path: &row.path, owner: None, guard: session.guard() };
    let mut known = inventory(&session.state.binding_files(row)?);
    let count = known.len();
    known.retain(|path, _| !places.iter().any(|place| below(&own, path).starts_with(place)));
    match bindings::remove(destination, &known) {
        Err(error) if matches!(error.downcast_ref(), Some(Closed::Forbidden(_))) => {
            let what = "its copied files stay where they are, and are forgotten";
            session.report.note(&name, &format!("{what}: {error:#}"));
            return session.state.forget_binding(row);
        }
        removed => removed.with_context(|| format!("the binding `{}`", place.display()))?,
    };
    if known.len() < count {
        session.report.progress(&format!("`{}` is part of another binding now", place.display()));
    } else if place.symlink_metadata().is_ok() {
        let what =
            format!("its copied files are removed; what containers wrote stays in `{}`", place.display());
        session.report.note(&name, &what);
    } else {
        session.report.removed(&name, "its copied files are removed; no service mounts them any more");
    }
    session.state.forget_binding(row)
}
