//! Objects that are kept from fetch to fetch: what was fetched once is not fetched again.
//!
//! `<database>.objects/<id of the remote>/<number>` is a bare repository. A fetch adds to the newest one. When that has grown
//! to twice what its tips need, or is damaged, the next one is made beside it, and the old one goes once no checkout
//! uses it. Submodules are not kept, and a source that names a commit asks its server before it reads: so no source
//! reads what another one's credentials brought. Two locks: `fetching` of who adds, and in each repository `in-use` of who reads.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use git2::{Oid, Repository};
use md5::{Digest, Md5};

use super::worker::{Pulse, alive};
use super::{Commit, fetch, remote};
use crate::hash::hex;

/// What lies there has this form; what has another one is made anew.
const FORM: &str = "1";
/// So much may lie there beside twice what the tips need: small repositories are not worth a fetch of all.
const SLACK: u64 = 16 << 20;
/// Each fetch adds a pack, and git looks for an object in one after the other.
const MOST_PACKS: usize = 200;
/// So many tips are told to a server, which sends what none of them has.
const MOST_TIPS: usize = 32;
/// So many commits without their parents are noted: a fetch brings one. git's library compares each with each.
const MOST_SHALLOW: usize = 10_000;
/// Of a repository: the commits that are to stay, a line each.
const PINNED: &str = "pinned";
/// So long somebody else's fetch of the same remote is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is kept of one remote.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    folder: PathBuf,
}

/// A repository that stays as long as this is held.
#[derive(Debug)]
pub(super) struct InUse {
    folder: PathBuf,
    _lock: File,
}

impl InUse {
    pub(super) fn objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    fn open(folder: &Path) -> Result<Self> {
        let lock = lock_file(&folder.join("in-use"))?;
        lock.lock_shared()?;
        // It may have gone before it was locked.
        folder.join("objects").metadata()?;
        Ok(Self { folder: folder.into(), _lock: lock })
    }

    fn repository(&self) -> Result<Repository> {
        Ok(Repository::open_bare(&self.folder)?)
    }

    /// The ids of its commits whose parents are not here, a line each.
    pub(super) fn shallow(&self) -> String {
        fs::read_to_string(self.folder.join("shallow")).unwrap_or_default()
    }

    /// The commits whose files are all here.
    pub(super) fn tips(&self) -> Result<Vec<Oid>> {
        let repository = self.repository()?;
        let tips = repository.references_glob("refs/dockerops/*")?;
        Ok(tips.filter_map(|tip| tip.ok()?.target()).collect())
    }

    /// Whether the files of a commit are all here.
    pub(super) fn has(&self, wanted: Oid) -> bool {
        let noted = |repository: Repository| repository.refname_to_id(&tip(wanted)).is_ok();
        self.repository().is_ok_and(noted)
    }
}

fn pinned(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join(PINNED)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn tip(commit: Oid) -> String {
    format!("refs/dockerops/{commit}")
}

impl Kept {
    /// Of the remote at `url`, below `folder`.
    pub(super) fn of(folder: &Path, url: &str) -> Self {
        Self { folder: folder.join(id(url)) }
    }

    /// A repository with commit `wanted`, which `fetch` brings where it is not there; it is told whether there is anything
    /// yet. `name` is what the source follows. `None` where somebody else's fetch takes too long.
    pub(super) fn with(
        &self,
        wanted: Oid,
        name: &str,
        pulse: &Pulse,
        fetch: impl Fn(&Repository, bool) -> Result<()>,
    ) -> Result<Option<InUse>> {
        if let Some(newest) = self.holding(wanted) {
            return Ok(Some(newest));
        }
        make_folder(&self.folder)?;
        let Some(_fetching) = self.lock(pulse)? else { return Ok(None) };
        match self.newest() {
            Some(newest) if newest.has(wanted) => return Ok(Some(newest)),
            Some(newest) if !is_full(&newest.folder) && tidy(&newest.folder).is_ok() => {
                if let Ok(repository) = newest.repository() {
                    remote::forbid_redirects(&mut repository.config()?)?;
                    let before = size(&newest.folder);
                    fetch(&repository, true)?;
                    note(&newest.folder, &repository, wanted, name, before)?;
                    return Ok(Some(newest));
                }
            }
            _ => {}
        }
        let new = self.folder.join("new");
        remove(&new)?;
        let repository = Repository::init_bare(&new)?;
        remote::forbid_redirects(&mut repository.config()?)?;
        let made = fetch(&repository, false).and_then(|()| note(&new, &repository, wanted, name, 0));
        if let Err(error) = made.and_then(|()| Ok(fs::write(new.join("form"), FORM)?)) {
            let _ = remove(&new);
            return Err(error);
        }
        let number = self.numbers().last().map_or(1, |last| last + 1);
        let folder = self.folder.join(number.to_string());
        fs::rename(&new, &folder)?;
        let made = InUse::open(&folder)?;
        self.remove_earlier();
        Ok(Some(made))
    }

    /// A repository with commit `wanted`, if there is one: nothing is fetched.
    pub(super) fn holding(&self, wanted: Oid) -> Option<InUse> {
        let newest = self.newest().filter(|newest| newest.has(wanted));
        newest.or_else(|| self.pinned_by(wanted).into_iter().find(|earlier| earlier.has(wanted)))
    }

    /// The repositories, newest first, for which the commit is pinned.
    fn pinned_by(&self, wanted: Oid) -> Vec<InUse> {
        let folders = self.numbers().into_iter().rev().map(|number| self.folder.join(number.to_string()));
        let pinned = folders.filter(|folder| pinned(folder).contains(&wanted.to_string()));
        let is_whole =
            |folder: &PathBuf| fs::read_to_string(folder.join("form")).is_ok_and(|form| form == FORM);
        pinned.filter(is_whole).filter_map(|folder| InUse::open(&folder).ok()).collect()
    }

    /// Only these commits stay, each in the newest repository that has it.
    fn pin(&self, commits: &[Commit]) {
        let mut left: Vec<_> = commits.iter().collect();
        for number in self.numbers().into_iter().rev() {
            let folder = self.folder.join(number.to_string());
            if left.is_empty() && !folder.join(PINNED).exists() {
                continue;
            }
            let Ok(repository) = InUse::open(&folder) else { continue };
            let has = |commit: &mut &Commit| commit.oid().is_ok_and(|commit| repository.has(commit));
            let here: Vec<_> = left.extract_if(.., has).map(|commit| format!("{commit}\n")).collect();
            let _ = if here.is_empty() {
                fs::remove_file(folder.join(PINNED))
            } else {
                fs::write(folder.join(PINNED), here.concat())
            };
        }
        self.remove_earlier();
    }

    /// Removes all but the newest, and what holds a commit that is to stay.
    fn remove_earlier(&self) {
        let mut numbers = self.numbers();
        numbers.pop();
        for folder in numbers.into_iter().map(|number| self.folder.join(number.to_string())) {
            if !folder.join(PINNED).exists() {
                let _ = remove_unused(&folder);
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the newest one was seen to be more than git's memory holds, though it is whole.
    pub(super) fn is_too_large(&self) -> bool {
        self.newest().is_some_and(|newest| newest.folder.join("too-large").exists())
    }

    pub(super) fn note_too_large(&self) {
        if let Some(newest) = self.newest() {
            let _ = fs::write(newest.folder.join("too-large"), "");
        }
    }

    /// The newest one is damaged, and used no more; whether there was one.
    pub(super) fn discard(&self) -> bool {
        let newest = self.numbers().last().map(|number| self.folder.join(number.to_string()).join("form"));
        newest.is_some_and(|form| fs::remove_file(form).is_ok())
    }

    pub(super) fn newest(&self) -> Option<InUse> {
        let folder = self.folder.join(self.numbers().last()?.to_string());
        let form = || fs::read_to_string(folder.join("form")).ok();
        InUse::open(&folder).ok().filter(|_| form().is_some_and(|form| form == FORM))
    }

    fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut numbers: Vec<_> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn lock(&self, pulse: &Pulse) -> Result<Option<File>> {
        let (lock, begun) = (lock_file(&self.folder.join("fetching"))?, Instant::now());
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    alive(pulse)?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}

/// Removes what is kept below `folder` of other remotes than these; what somebody works with stays. Of these
/// remotes the commits that are named beside them stay, whatever comes.
pub fn sweep(folder: &Path, remotes: &BTreeMap<String, Vec<Commit>>) {
    for (url, commits) in remotes {
        Kept::of(folder, url).pin(commits);
    }
    let used: Vec<_> = remotes.keys().map(|url| id(url)).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, kept) = (entry.file_name(), Kept { folder: entry.path() });
        // What does not look like it is somebody else's.
        let is_ours = name.len() == 32
            && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit)
            && kept.folder.join("fetching").is_file();
        if !is_ours || used.iter().any(|used| *name == **used) {
            continue;
        }
        let Some(lock) = lock_file(&kept.folder.join("fetching")).ok().filter(|lock| lock.try_lock().is_ok())
        else {
            continue;
        };
        let all_gone =
            kept.numbers().iter().all(|number| remove_unused(&kept.folder.join(number.to_string())).is_ok());
        if all_gone {
            let _ = remove(&kept.folder);
        }
        drop(lock);
    }
}

fn id(url: &str) -> String {
    hex(Md5::new_with_prefix(url))
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn lock_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_unused(folder: &Path) -> Result<()> {
    let lock = lock_file(&folder.join("in-use"))?;
    lock.try_lock().ok().context("somebody reads it")?;
    Ok(remove(folder)?)
}

/// The bytes of all packs.
fn size(folder: &Path) -> u64 {
    packs(folder).iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("objects/pack")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Whether it has grown beyond what its tips need.
fn is_full(folder: &Path) -> bool {
    let need: u64 = needs(folder).iter().map(|(_, bytes)| bytes).sum();
    size(folder) > 2 * need + SLACK || packs(folder).len() / 2 > MOST_PACKS
}

/// What each name that sources follow took when it was fetched first, in bytes.
fn needs(folder: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(folder.join("needs")).unwrap_or_default();
    let line = |line: &str| {
        let (bytes, name) = line.split_once(' ')?;
        Some((name.to_owned(), bytes.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Clears what a fetch left that was cut off: packs without their other half, and git's own locks.
fn tidy(folder: &Path) -> Result<()> {
    for path in packs(folder) {
        let half = match path.extension().and_then(|extension| extension.to_str()) {
            Some("pack") => path.with_extension("idx"),
            Some("idx") => path.with_extension("pack"),
            _ => PathBuf::new(),
        };
        if !half.exists() {
            fs::remove_file(&path)?;
        }
    }
    for place in ["", "refs/dockerops"] {
        for entry in fs::read_dir(folder.join(place)).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "lock") {
                fs::remove_file(path)?;
            }
        }
    }
    // git reads neither where a line of it is none.
    let is_id = |line: &str| line.len() == 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let shallow = fs::read_to_string(folder.join("shallow")).unwrap_or_default();
    ensure!(shallow.lines().all(is_id), "the list of its commits is damaged");
    ensure!(shallow.lines().count() <= MOST_SHALLOW, "the list of its commits is too long");
    for entry in fs::read_dir(folder.join("refs/dockerops")).into_iter().flatten() {
        let path = entry?.path();
        if !fs::read_to_string(&path).is_ok_and(|text| is_id(text.trim_end())) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Notes that `wanted` came, where it did, and forgets all but the newest tips.
fn note(folder: &Path, repository: &Repository, wanted: Oid, name: &str, before: u64) -> Result<()> {
    let object = fetch::object(repository, wanted)?;
    let mut needs = needs(folder);
    if !needs.iter().any(|(known, _)| known == name) {
        needs.push((name.to_owned(), size(folder).saturating_sub(before)));
        let lines: Vec<_> = needs.iter().map(|(name, bytes)| format!("{bytes} {name}")).collect();
        fs::write(folder.join("needs"), lines.join("\n"))?;
    }
    repository.reference(&tip(object.id()), object.id(), true, "fetched")?;
    let stays = pinned(folder);
    let mut tips: Vec<_> = repository
        .references_glob("refs/dockerops/*")?
        .filter_map(Result::ok)
        .map(|tip| (tip.peel_to_commit().map_or(0, |commit| commit.time().seconds()), tip))
        .filter(|(_, tip)| tip.target() != Some(wanted))
        .filter(|(_, tip)| !tip.target().is_some_and(|tip| stays.contains(&tip.to_string())))
        .collect();
    tips.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    for (_, tip) in tips.iter_mut().skip(MOST_TIPS - 1) {
        tip.delete()?;
    }
    Ok(())
}
