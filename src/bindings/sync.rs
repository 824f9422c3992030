//! A tree → a folder that containers read and write: what differs is written, what was dropped removed.
//!
//! Nothing is forced to disk file by file: an NFS client does so when a file is closed, and 1,000 times
//! that on a local disk would cost minutes. A rename is never seen before its content by other nodes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use git2::Oid;
use rustix::fs::{Mode, Stat};
use rustix::io::Errno;

use super::folder::{Folder, Found, chown};
use super::inventory::{self, Inventory, Item};
use super::stage::{self, Stage, Staged};
use super::tree::{Kind, Tree};
use super::{Destination, Synced, compare, kept, removal};
use crate::signal;

/// Between two lines about a long copy.
const PAUSE: Duration = Duration::from_secs(2);

/// The folder that holds a binding, open.
#[derive(Debug)]
pub struct Opened<'a> {
    pub(super) root: Folder,
    destination: Destination<'a>,
    /// What the names of this sync's private folders begin with.
    stage: String,
}

impl<'a> Opened<'a> {
    /// Opens it, if bindings may lie there: else the error is a `Closed`.
    pub fn open(destination: Destination<'a>) -> Result<Self> {
        let root = destination.guard.open(destination.root);
        let root = root.with_context(|| format!("cannot open `{}`", destination.root.display()))?.into();
        Ok(Self { root, destination, stage: stage::name()? })
    }

    /// What a sync of `tree` may put there, to be noted before it begins. Folders that lie there are not its own.
    pub fn planned(&self, tree: &Tree) -> Result<Inventory> {
        let mut planned = Inventory::from([(PathBuf::from(&self.stage), vec![Item::of_stage()])]);
        let owner = self.destination.owner.unwrap_or((0, 0));
        for (path, kind) in &tree.entries {
            let content = match kind {
                Kind::Folder if self.has(&below(self.destination, path))? => continue,
                Kind::Folder => inventory::folder(owner),
                kind => inventory::content(kind),
            };
            planned.insert(path.clone(), vec![Item { content, stamp: Vec::new() }]);
        }
        Ok(planned)
    }

    /// Whether anything lies at `path`.
    fn has(&self, path: &Path) -> Result<bool> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(true) };
        match self.root.walk(parent) {
            Ok(place) => Ok(place.stat(name)?.is_some()),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what syncs left that were cut off, as far as `known` tells of them.
    pub fn sweep(&self, known: &Inventory) -> Result<()> {
        let stages = inventory::stages(known);
        if stages.is_empty() {
            return Ok(());
        }
        let above = self.destination.path.ancestors().skip(1).map(Path::to_path_buf);
        let within =
            known.keys().filter_map(|path| Some(below(self.destination, path).parent()?.to_path_buf()));
        for folder in above.chain(within).collect::<BTreeSet<_>>() {
            if let Ok(place) = self.root.walk(&folder) {
                let what = || format!("cannot clean `{}`", self.destination.root.join(&folder).display());
                stage::sweep(&place, &stages).with_context(what)?;
            }
        }
        Ok(())
    }

    /// Makes it hold `tree`. `known` are the inventory of earlier syncs: of what it lists, what the tree has no more is
    /// removed. Returns what was done, and the inventory of what lies there now.
    pub fn sync(
        &self,
        tree: &Tree,
        known: &Inventory,
        progress: &dyn Fn(&str),
    ) -> Result<(Synced, Inventory)> {
        let (root, destination) = (&self.root, self.destination);
        let (above, name) = above(root, destination)?;
        let stage = Stage::make(root, &self.stage, destination.owner);
        let cannot_write = || format!("cannot write to `{}`", destination.root.display());
        let stage = stage.with_context(cannot_write)?;
        let trial = stage.trial().with_context(cannot_write)?;
        let mut synced = Synced::default();
        let is_file = |items: &[Item]| !items.iter().any(Item::is_stage);
        let dropped =
            || known.iter().filter(|(path, items)| !tree.entries.contains_key(*path) && is_file(items));
        // A folder that is to be a file: what earlier syncs put into it goes first. All else goes last.
        let in_the_way = |path: &Path| {
            path.ancestors().any(|at| tree.entries.get(at).is_some_and(|kind| *kind != Kind::Folder))
        };
        removal::remove_from(root, destination, dropped().filter(|(path, _)| in_the_way(path)), &mut synced)?;
        let mut run = Run {
            root,
            stage: &stage,
            name: &self.stage,
            destination,
            tree,
            known,
            owner: destination.owner.unwrap_or((trial.st_uid, trial.st_gid)),
            now: trial.st_ctime,
            synced,
            inventory: Inventory::new(),
            folders: Vec::new(),
        };
        let mut said = Instant::now();
        for (index, (path, kind)) in tree.entries.iter().enumerate() {
            signal::check()?;
            run.entry(&above, name, path, kind)
                .with_context(|| format!("`{}` cannot be copied", run.target(path).display()))?;
            if said.elapsed() >= PAUSE {
                let of = tree.entries.len();
                progress(&format!("copying to `{}`: {} of {of}", destination.path.display(), index + 1));
                said = Instant::now();
            }
        }
        let Run { mut synced, inventory, .. } = run;
        removal::remove_from(
            root,
            destination,
            dropped().filter(|(path, _)| !in_the_way(path)),
            &mut synced,
        )?;
        Ok((synced, inventory))
    }
}

/// A path of the binding, from `nfs.path`; `join` would add a slash to a binding that is one file.
fn below(destination: Destination<'_>, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { destination.path.into() } else { destination.path.join(path) }
}

/// The folder that holds the binding, made where it is missing, and the binding's name in it.
fn above<'a>(root: &Folder, destination: Destination<'a>) -> Result<(Folder, &'a OsStr)> {
    let name = destination.path.file_name().context("the binding has no name")?;
    let mut here = root.walk(Path::new(""))?;
    let mut walked = destination.root.to_path_buf();
    for part in destination.path.parent().unwrap_or(Path::new("")).components() {
        let part = part.as_os_str();
        walked.push(part);
        here = match here.enter(part) {
            Err(Errno::NOENT) => here.make_folder(part, destination.owner, 0o755).map_err(Into::into),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(anyhow::anyhow!("{IN_THE_WAY}")),
            entered => entered.map_err(Into::into),
        }
        .with_context(|| format!("`{}` cannot be made a folder", walked.display()))?;
    }
    Ok((here, name))
}

const IN_THE_WAY: &str = "something that is not from DockerOps is in the way; move it away";

struct Run<'a> {
    root: &'a Folder,
    stage: &'a Stage<'a>,
    name: &'a str,
    destination: Destination<'a>,
    tree: &'a Tree,
    known: &'a Inventory,
    /// What files are to belong to.
    owner: (u32, u32),
    /// The file system's time, in seconds, when the sync began.
    now: i64,
    synced: Synced,
    inventory: Inventory,
    /// The folders that lead to the last entry, each with its path below the binding.
    folders: Vec<(PathBuf, Folder)>,
}

impl Run<'_> {
    fn target(&self, path: &Path) -> PathBuf {
        self.destination.root.join(below(self.destination, path))
    }

    fn entry(&mut self, above: &Folder, name: &OsStr, path: &Path, kind: &Kind) -> Result<()> {
        while self.folders.last().is_some_and(|(folder, _)| !path.starts_with(folder)) {
            self.folders.pop();
        }
        let last = self.folders.pop();
        let (place, name) = match (&last, path.file_name()) {
            (Some((_, place)), Some(name)) => (place, name),
            _ => (above, name),
        };
        let put = match kind {
            Kind::Folder => self.folder(place, name, path).map(Some),
            Kind::Link { target, .. } => self.link(place, name, path, kind, target).map(|()| None),
            Kind::File { executable, id } => self.file(place, name, path, (*executable, *id)).map(|()| None),
        };
        self.folders.extend(last);
        self.folders.extend(put?.map(|place| (path.to_path_buf(), place)));
        Ok(())
    }

    /// One that is there keeps mode and owner, which containers set as they need them; but an owner that
    /// an earlier sync gave follows `nfs.yaml`.
    fn folder(&mut self, place: &Folder, name: &OsStr, path: &Path) -> Result<Folder> {
        let (found, ours) = match place.enter(name) {
            Ok(found) => (found, self.items_at(path).iter().any(Item::is_folder)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                if let Some(ours) = self.clear(place, name, path)? {
                    place.remove(name, ours)?;
                }
                (place.make_folder(name, self.destination.owner, 0o755)?, true)
            }
            Err(error) => return Err(error.into()),
        };
        if ours {
            let (stat, content) = (found.stat_now()?, inventory::folder(self.owner));
            let has = inventory::folder((stat.st_uid, stat.st_gid));
            if has != content && self.items_at(path).iter().any(|item| item.content == has) {
                found.give_to(Some(self.owner))?;
            }
            self.inventory.insert(path.to_path_buf(), vec![Item { content, stamp: Vec::new() }]);
        }
        Ok(found)
    }

    fn link(&mut self, place: &Folder, name: &OsStr, path: &Path, kind: &Kind, target: &Path) -> Result<()> {
        if place.link(name).as_deref() != Some(target.as_os_str().as_encoded_bytes()) {
            drop(self.clear(place, name, path)?);
            self.put(place, name, |stage| stage.link(target))?;
        }
        let content = inventory::content(kind);
        self.inventory.insert(path.to_path_buf(), vec![Item { content, stamp: Vec::new() }]);
        Ok(())
    }

    fn file(
        &mut self,
        place: &Folder,
        name: &OsStr,
        path: &Path,
        (executable, id): (bool, Oid),
    ) -> Result<()> {
        let content = inventory::content(&Kind::File { executable, id });
        let mode = if executable { 0o755 } else { 0o644 };
        let stamp = match place.look(name)? {
            Some(found) if self.holds(&found, path, &content)? && self.put_right(&found, mode)? => {
                // What changed within the last second may change again and bear the same time.
                let lay_still = found.stat.st_ctime + 1 < self.now && self.is_right(&found.stat, mode);
                lay_still.then_some(found.stat)
            }
            found => {
                // An NFS client gives another name to what goes while it is held.
                drop(found);
                drop(self.clear(place, name, path)?);
                let (tree, owner) = (self.tree, self.destination.owner);
                self.put(place, name, |stage| {
                    let (mut file, name) = stage.file()?;
                    io::copy(&mut tree.open(path)?, &mut file)?;
                    chown(&file, owner)?;
                    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
                    drop(file);
                    stage.finished(name)
                })?
            }
        };
        let stamp = stamp.as_ref().map(inventory::stamp).unwrap_or_default();
        self.inventory.insert(path.to_path_buf(), vec![Item { content, stamp }]);
        Ok(())
    }

    fn items_at(&self, path: &Path) -> &[Item] {
        self.known.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether it has the content: by the stamp of an earlier sync, else by reading both.
    fn holds(&self, found: &Found, path: &Path, content: &[u8]) -> Result<bool> {
        if !found.is_file() {
            return Ok(false);
        }
        let stamp = inventory::stamp(&found.stat);
        if let Some(known) = self.items_at(path).iter().find(|item| item.stamp == stamp) {
            return Ok(known.content == content);
        }
        let Some(mut theirs) = found.open()? else { return Ok(false) };
        let mut ours = self.tree.open(path)?;
        Ok(theirs.metadata()?.len() == ours.metadata()?.len() && compare::same(&mut ours, &mut theirs)?)
    }

    fn is_right(&self, stat: &Stat, mode: u32) -> bool {
        stat.st_mode & 0o7777 == mode && (stat.st_uid, stat.st_gid) == self.owner
    }

    /// Sets mode and owner. Another name of the same file may be a container's: such a one is left alone,
    /// and `false` asks for a new file.
    fn put_right(&self, found: &Found, mode: u32) -> Result<bool> {
        if self.is_right(&found.stat, mode) {
            return Ok(true);
        }
        let Some(file) = found.open()? else { return Ok(false) };
        if rustix::fs::fstat(&file)?.st_nlink != 1 {
            return Ok(false);
        }
        chown(&file, Some(self.owner))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        Ok(true)
    }

    /// Makes room at `name`: what others put there is kept aside. What a sync did stays, and is returned.
    fn clear(&mut self, place: &Folder, name: &OsStr, path: &Path) -> Result<Option<Found>> {
        let Some(found) = place.look(name)? else { return Ok(None) };
        if found.is_folder() {
            place.remove_folder(name)?;
            if place.stat(name)?.is_some() {
                bail!("a folder with files that are not from DockerOps is in the way; move it away");
            }
            return Ok(None);
        }
        if inventory::is_ours(&found, self.items_at(path))? {
            // A file is renamed over, so that a reader never finds none.
            return Ok(Some(found));
        }
        drop(found);
        let kept = kept::keep(self.root, self.destination, place, name, path)?;
        self.synced.kept.push((self.target(path), kept));
        Ok(None)
    }

    /// Puts what `make` makes in the place of `name`; beside it, where that is in another file system. Returns what
    /// is known of it, if nobody wrote to it since.
    fn put(
        &mut self,
        place: &Folder,
        name: &OsStr,
        make: impl Fn(&Stage<'_>) -> Result<Staged>,
    ) -> Result<Option<Stat>> {
        let stat = match self.stage.put(&make(self.stage)?, place, name) {
            Err(Errno::XDEV) => {
                let beside = Stage::make(place, self.name, self.destination.owner)?;
                beside.put(&make(&beside)?, place, name)
            }
            put => put,
        }?;
        self.synced.written += 1;
        Ok(stat)
    }
}
