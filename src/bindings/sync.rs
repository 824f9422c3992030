//! A tree → a folder that containers read and write: what differs is written, what was dropped removed.
//!
//! Nothing is forced to disk file by file: an NFS client does so when a file is closed, and 1,000 times
//! that on a local disk would cost minutes. A rename is never seen before its content by other nodes.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use git2::Oid;
use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;

use super::place::{Place, own};
use super::trace::{self, Trace, Traces};
use super::tree::{Kind, Tree};
use super::{Spot, Synced, aside, compare, removal};
use crate::signal;

/// Between two lines about a long copy.
const PAUSE: Duration = Duration::from_secs(2);

/// Makes `spot` hold `tree`. `known` are the traces of earlier syncs: of what they tell, what the tree has
/// no more is removed. Returns what was done, and the traces of what lies there now.
pub fn sync(
    tree: &Tree,
    spot: Spot<'_>,
    known: &Traces,
    progress: &dyn Fn(&str),
) -> Result<(Synced, Traces)> {
    let root = Place::open(spot.root).with_context(|| format!("cannot open `{}`", spot.root.display()))?;
    let (above, name) = above(&root, spot)?;
    let trial = above.trial().with_context(|| format!("cannot write to `{}`", spot.root.display()))?;
    let mut synced = Synced::default();
    let dropped = || known.iter().filter(|(path, _)| !tree.entries.contains_key(*path));
    // A folder that is to be a file: what earlier syncs put into it goes first. All else goes last.
    let in_the_way =
        |path: &Path| path.ancestors().any(|at| tree.entries.get(at).is_some_and(|k| *k != Kind::Folder));
    removal::remove_from(&root, spot, dropped().filter(|(path, _)| in_the_way(path)), &mut synced)?;
    let mut run = Run {
        root: &root,
        spot,
        tree,
        known,
        owner: spot.owner.unwrap_or((trial.st_uid, trial.st_gid)),
        now: trial.st_ctime,
        synced,
        traces: Traces::new(),
        folders: Vec::new(),
    };
    let mut said = Instant::now();
    for (index, (path, kind)) in tree.entries.iter().enumerate() {
        signal::check()?;
        run.entry(&above, name, path, kind)
            .with_context(|| format!("`{}` cannot be copied", run.target(path).display()))?;
        if said.elapsed() >= PAUSE {
            let of = tree.entries.len();
            progress(&format!("copying to `{}`: {} of {of}", spot.path.display(), index + 1));
            said = Instant::now();
        }
    }
    let Run { mut synced, traces, .. } = run;
    removal::remove_from(&root, spot, dropped().filter(|(path, _)| !in_the_way(path)), &mut synced)?;
    Ok((synced, traces))
}

/// The folder that holds the binding, made where it is missing, and the binding's name in it.
fn above<'a>(root: &Place, spot: Spot<'a>) -> Result<(Place, &'a OsStr)> {
    let name = spot.path.file_name().context("the binding has no name")?;
    let mut here = root.walk(Path::new(""))?;
    let mut walked = spot.root.to_path_buf();
    for part in spot.path.parent().unwrap_or(Path::new("")).components() {
        let part = part.as_os_str();
        walked.push(part);
        here = match here.enter(part) {
            Err(Errno::NOENT) => here.make_folder(part, spot.owner, 0o755).map_err(Into::into),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(anyhow::anyhow!("{IN_THE_WAY}")),
            entered => entered.map_err(Into::into),
        }
        .with_context(|| format!("`{}` cannot be made a folder", walked.display()))?;
    }
    Ok((here, name))
}

const IN_THE_WAY: &str = "something that is not from DockerOps is in the way; move it away";

struct Run<'a> {
    root: &'a Place,
    spot: Spot<'a>,
    tree: &'a Tree,
    known: &'a Traces,
    /// What files are to belong to.
    owner: (u32, u32),
    /// The file system's time, in seconds, when the sync began.
    now: i64,
    synced: Synced,
    traces: Traces,
    /// The folders that lead to the last entry, each with its path below the binding.
    folders: Vec<(PathBuf, Place)>,
}

impl Run<'_> {
    fn target(&self, path: &Path) -> PathBuf {
        self.spot.root.join(if path.as_os_str().is_empty() {
            self.spot.path.into()
        } else {
            self.spot.path.join(path)
        })
    }

    fn entry(&mut self, above: &Place, name: &OsStr, path: &Path, kind: &Kind) -> Result<()> {
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
    fn folder(&mut self, place: &Place, name: &OsStr, path: &Path) -> Result<Place> {
        let (found, ours) = match place.enter(name) {
            Ok(found) => (found, self.traces_at(path).iter().any(Trace::is_folder)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.clear(place, name, path)?;
                place.unlink(name)?;
                (place.make_folder(name, self.spot.owner, 0o755)?, true)
            }
            Err(error) => return Err(error.into()),
        };
        found.sweep()?;
        if ours {
            let (stat, content) = (found.own_stat()?, trace::folder(self.owner));
            let has = trace::folder((stat.st_uid, stat.st_gid));
            if has != content && self.traces_at(path).iter().any(|trace| trace.content == has) {
                found.give_to(Some(self.owner))?;
            }
            self.traces.insert(path.to_path_buf(), vec![Trace { content, stamp: Vec::new() }]);
        }
        Ok(found)
    }

    fn link(&mut self, place: &Place, name: &OsStr, path: &Path, kind: &Kind, target: &Path) -> Result<()> {
        if place.link(name).as_deref() != Some(target.as_os_str().as_encoded_bytes()) {
            self.clear(place, name, path)?;
            let temporary = place.temporary_link(target, self.spot.owner)?;
            self.finish(place, &temporary, name)?;
        }
        let content = trace::content(kind);
        self.traces.insert(path.to_path_buf(), vec![Trace { content, stamp: Vec::new() }]);
        Ok(())
    }

    fn file(
        &mut self,
        place: &Place,
        name: &OsStr,
        path: &Path,
        (executable, id): (bool, Oid),
    ) -> Result<()> {
        let content = trace::content(&Kind::File { executable, id });
        let mode = if executable { 0o755 } else { 0o644 };
        let mut stamp = Vec::new();
        match place.stat(name)? {
            Some(stat)
                if self.holds(place, name, path, &stat, &content)?
                    && self.put_right(place, name, &stat, mode)? =>
            {
                // What changed within the last second may change again and bear the same time.
                if stat.st_ctime + 1 < self.now && self.is_right(&stat, mode) {
                    stamp = trace::stamp(&stat);
                }
            }
            found => {
                if found.is_some() {
                    self.clear(place, name, path)?;
                }
                self.write(place, name, &self.tree.file(path), mode)?;
                stamp = place.stat(name)?.as_ref().map(trace::stamp).unwrap_or_default();
            }
        }
        self.traces.insert(path.to_path_buf(), vec![Trace { content, stamp }]);
        Ok(())
    }

    fn traces_at(&self, path: &Path) -> &[Trace] {
        self.known.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether `name` has the content: by the stamp of an earlier sync, else by reading both.
    fn holds(&self, place: &Place, name: &OsStr, path: &Path, stat: &Stat, content: &[u8]) -> Result<bool> {
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(false);
        }
        let stamp = trace::stamp(stat);
        if let Some(known) = self.traces_at(path).iter().find(|trace| trace.stamp == stamp) {
            return Ok(known.content == content);
        }
        let Some(mut theirs) = place.file(name)? else { return Ok(false) };
        let mut ours = File::open(self.tree.file(path))?;
        Ok(theirs.metadata()?.len() == ours.metadata()?.len() && compare::same(&mut ours, &mut theirs)?)
    }

    fn is_right(&self, stat: &Stat, mode: u32) -> bool {
        stat.st_mode & 0o7777 == mode && (stat.st_uid, stat.st_gid) == self.owner
    }

    /// Sets mode and owner. Another name of the same file may be a container's: such a one is left alone,
    /// and `false` asks for a new file.
    fn put_right(&self, place: &Place, name: &OsStr, stat: &Stat, mode: u32) -> Result<bool> {
        if self.is_right(stat, mode) {
            return Ok(true);
        }
        let Some(file) = place.file(name)?.filter(|_| stat.st_nlink == 1) else { return Ok(false) };
        own(&file, Some(self.owner))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        Ok(true)
    }

    /// Makes room at `name`: what a sync put there goes, what others did is kept aside.
    fn clear(&mut self, place: &Place, name: &OsStr, path: &Path) -> Result<()> {
        let Some(stat) = place.stat(name)? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            place.remove_folder(name)?;
            if place.stat(name)?.is_some() {
                bail!("a folder with files that are not from DockerOps is in the way; move it away");
            }
            return Ok(());
        }
        if trace::is_ours(place, name, &stat, self.traces_at(path))? {
            // A file is renamed over, so that a reader never finds none.
            return Ok(());
        }
        let kept = aside::keep(self.root, self.spot, place, name, path)?;
        self.synced.kept.push((self.target(path), kept));
        Ok(())
    }

    fn write(&mut self, place: &Place, name: &OsStr, source: &Path, mode: u32) -> Result<()> {
        let (mut file, temporary) = place.temporary()?;
        let copied = File::open(source)
            .and_then(|mut source| io::copy(&mut source, &mut file))
            .and_then(|_| Ok(own(&file, self.spot.owner)?))
            .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?));
        drop(file);
        if let Err(error) = copied {
            place.unlink(OsStr::new(&temporary))?;
            return Err(error.into());
        }
        self.finish(place, &temporary, name)
    }

    fn finish(&mut self, place: &Place, temporary: &str, name: &OsStr) -> Result<()> {
        if let Err(error) = place.rename(temporary, name) {
            place.unlink(OsStr::new(temporary))?;
            return Err(error.into());
        }
        self.synced.written += 1;
        Ok(())
    }
}
