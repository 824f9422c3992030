//! The files of a commit, which come to disk when they are named. A thread of its own brings them out of the objects:
//! what a repository says of its size or a disk of its health delays neither a signal nor the run.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, ensure};
use git2::Oid;

use super::ahead::Ahead;
use super::fetch::{self, Fetched, Folders, Way, Work};
use super::kept::Kept;
use super::ls::{self, Tag};
use super::tracked::Reader;
use super::trees::Modules;
use super::worker::{LONGEST_TRANSFER, Pulse, Worker, patience};
use super::write::{Objects, Writer};
use super::{Commit, NoRoom, Tracked, Transfer, explain, memory, pack, submodules};
use crate::budget::Budget;
use crate::clock;
use crate::fault::{fault, hint_of};
use crate::settings::GitAccess;
use crate::signal;
use crate::signature::{Signed, Signers};

/// How long others are waited for that take of git's memory.
const LONG: Duration = Duration::from_secs(30);

/// What is to be fetched, and where to.
#[derive(Debug)]
pub(super) struct Wanted {
    pub url: String,
    /// What the source follows; the remote's HEAD without one.
    pub name: Option<String>,
    /// Those of whom one must have signed it.
    pub signers: Option<Arc<Signers>>,
    /// The tag that the source follows, where that must be signed.
    pub tag: Option<Tag>,
    pub commit: Oid,
    pub folders: Folders,
    pub way: Way,
    pub kept: Option<Kept>,
    /// How long that may take.
    pub longest: Duration,
    pub access: GitAccess,
    pub transfer: Arc<Transfer>,
}

/// A commit that was fetched.
#[derive(Debug)]
pub(super) struct Opened {
    pub commit: Commit,
    /// By whom it is, where somebody must have signed it.
    pub signed: Option<Signed>,
}

/// A commit that was fetched, and what was written of it. It lives in the thread.
struct Desk {
    wanted: Wanted,
    budget: Budget,
    notes: RefCell<Vec<String>>,
    fetched: Fetched,
    modules: Modules,
    writer: Writer,
    /// Whether what is kept was damaged already.
    was_damaged: bool,
}

/// What is done at a desk, once more if need be.
type Task = Box<dyn Fn(&mut Desk, &Pulse) -> Result<()> + Send>;

/// The files of a commit.
#[derive(Debug)]
pub(super) struct Files {
    url: String,
    patience: Duration,
    worker: Worker<Option<Desk>>,
    pub(super) ahead: Mutex<Ahead>,
    notes: Mutex<Vec<String>>,
    failure: Mutex<Option<Error>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Files {
    /// Fetches the objects of the commit; submodules are fetched, and written out, with it. Files' modules are noted in
    /// `modules`.
    pub(super) fn fetch(wanted: Wanted, modules: Modules) -> Result<(Self, Opened)> {
        let patience = patience(wanted.access.timeout);
        let files = Self {
            url: wanted.url.clone(),
            patience,
            worker: Worker::start()?,
            ahead: Mutex::default(),
            notes: Mutex::default(),
            failure: Mutex::default(),
        };
        let opened = files.worker.ask(patience, wanted.longest, move |desk, pulse| {
            super::configure(&wanted.access)?;
            let (made, signed) = Desk::open(wanted, modules, pulse)?;
            let desk = desk.insert(made);
            Ok((Opened { commit: desk.fetched.commit.into(), signed }, desk.notes.take()))
        })?;
        let (opened, notes) = opened.ok_or_else(|| explain::silent(&files.url, patience))?;
        files.note(notes);
        Ok((files, opened))
    }

    /// What is worth telling of how they came that was not taken yet.
    pub(super) fn take_notes(&self) -> Vec<String> {
        self.notes.lock().map(|mut notes| std::mem::take(&mut *notes)).unwrap_or_default()
    }

    /// The first error, if there was one: what was read since may not be what the commit has.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().ok()?.take()
    }

    /// git's id of what lies at `path`, which is absolute and has no symlink in it.
    pub(super) fn id(&self, path: &Path) -> Result<String> {
        let path = path.to_path_buf();
        self.ask(move |desk, _| desk.modules.id(&path))
    }

    /// All files that git has at and below `path`, which is taken from `root`.
    pub(super) fn tracked(&self, root: &Path, path: &Path) -> Result<Vec<Tracked>> {
        let (root, path) = (root.to_path_buf(), path.to_path_buf());
        self.ask(move |desk, pulse| {
            let length = Cell::new(0);
            Reader { modules: &desk.modules, budget: &desk.budget, pulse, length }.tracked(&root, &path)
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Desk, &Pulse) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let answer = Arc::new(Mutex::new(None));
        let to_fill = Arc::clone(&answer);
        self.have_done(Box::new(move |desk, pulse| {
            let found = work(desk, pulse)?;
            *to_fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            Ok(())
        }))?;
        let found = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        found.context("git's thread ended without a result")
    }

    /// For all kinds of answers the same code.
    fn have_done(&self, work: Task) -> Result<()> {
        let answer = self.worker.ask(self.patience, LONGEST_TRANSFER, move |desk, pulse| {
            let desk = desk.as_mut().context("nothing was fetched")?;
            let answer = desk.done(&*work, pulse);
            Ok((answer, desk.notes.take()))
        })?;
        let (answer, notes) = answer.ok_or_else(|| explain::silent(&self.url, self.patience))?;
        self.note(notes);
        answer
    }

    fn note(&self, more: Vec<String>) {
        if let Ok(mut notes) = self.notes.lock() {
            notes.extend(more);
        }
    }

    /// Writes, and remembers an error: who reads files takes it for one of a single file.
    pub(super) fn write<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl Fn(&mut Writer, &Objects<'_>, Oid, &Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = path.to_path_buf();
        let written = self.ask(move |desk, pulse| desk.write(&path, pulse, &work));
        written.map_err(|error| self.failed(error))
    }

    /// What is told of an error, which is remembered.
    fn failed(&self, error: Error) -> Error {
        let text = format!("{error:#}");
        let told = hint_of(&error).map_or_else(|| anyhow!("{text}"), |hint| fault(&*text, hint));
        // An interrupted run has no failure of its own.
        if signal::check().is_ok()
            && let Ok(mut failure) = self.failure.lock()
        {
            failure.get_or_insert(error);
        }
        told
    }
}

impl Desk {
    fn open(mut wanted: Wanted, mut modules: Modules, pulse: &Pulse) -> Result<(Self, Option<Signed>)> {
        let (budget, notes) = (Budget::new(wanted.access.limits), RefCell::default());
        let mut writer = Writer::new(&wanted.folders.files);
        let (access, transfer) = (&wanted.access, &*wanted.transfer);
        let work = Work { access, pulse, budget: &budget, notes: &notes, transfer };
        if wanted.signers.is_some() {
            pulse.begin(&wanted.url, access.timeout)?;
            let (name, commit) = (wanted.name.as_deref(), wanted.commit);
            wanted.tag = memory::within(1, || ls::tag(&wanted.url, name, commit, access))?;
        }
        let mut was_damaged = false;
        let mut open = |modules: &mut Modules, is_damaged: &mut bool| {
            let (fetched, signed) = wanted.fetch(work)?;
            let brought = submodules::fetch_all(&fetched, &wanted.url, work, modules, &mut writer);
            // Those of submodules are not kept.
            let of_its_own = modules.count() == 1;
            *is_damaged = of_its_own && brought.as_ref().is_err_and(|error| wanted.is_damage(error));
            brought.map(|()| (fetched, signed))
        };
        let mut fetched = memory::within(1, || open(&mut modules, &mut was_damaged));
        if was_damaged && fetched.is_err() {
            wanted.discard(&notes);
            fetched = memory::within(1, || open(&mut modules, &mut false));
        }
        let (fetched, signed) = fetched?;
        Ok((Self { wanted, budget, notes, fetched, modules, writer, was_damaged }, signed))
    }

    /// What `work` comes to. Where what is kept is damaged it is fetched anew, once; where there was no memory beside
    /// others, it is tried again without them.
    fn done(&mut self, work: &dyn Fn(&mut Self, &Pulse) -> Result<()>, pulse: &Pulse) -> Result<()> {
        let (mut is_damaged, mut was_alone) = (false, true);
        let first = memory::within(1, || {
            let result = work(self, pulse);
            was_alone = memory::is_alone();
            is_damaged = result.as_ref().is_err_and(|error| self.wanted.is_damage(error));
            result
        });
        match first {
            Err(error) if error.is::<NoRoom>() && !was_alone && memory::wait_alone(LONG, pulse) => {
                memory::within(1, || work(self, pulse))
            }
            Err(_) if is_damaged && !self.was_damaged => {
                self.was_damaged = true;
                memory::within(1, || self.fetch_anew(pulse))?;
                memory::within(1, || {
                    let again = work(self, pulse);
                    if again.is_err() && memory::was_refused() {
                        self.wanted.note_too_large();
                    }
                    again
                })
            }
            first => first,
        }
    }

    fn fetch_anew(&mut self, pulse: &Pulse) -> Result<()> {
        self.wanted.discard(&self.notes);
        let Wanted { access, transfer, .. } = &self.wanted;
        let work = Work { access, pulse, budget: &self.budget, notes: &self.notes, transfer };
        (self.fetched, _) = self.wanted.fetch(work)?;
        Ok(())
    }

    fn write<T>(
        &mut self,
        path: &Path,
        pulse: &Pulse,
        work: &impl Fn(&mut Writer, &Objects<'_>, Oid, &Path) -> Result<T>,
    ) -> Result<T> {
        let objects = Objects::of(&self.fetched.repository, &self.budget, pulse)?;
        work(&mut self.writer, &objects, self.fetched.tree, path)
            .map_err(|error| fetch::not_written(error, self.fetched.commit))
    }
}

impl Wanted {
    /// Nobody reads the commit before its signature was verified, nor is anything fetched that it names.
    fn fetch(&self, work: Work<'_>) -> Result<(Fetched, Option<Signed>)> {
        let object = self.tag.as_ref().map_or(self.commit, |tag| tag.object);
        let name = self.name.as_deref().unwrap_or("HEAD");
        let fetched =
            fetch::fetch(&self.url, name, object, &self.folders, (&self.way, self.kept.as_ref()), work)?;
        let signed = self.verify(&fetched)?;
        Ok((fetched, signed))
    }

    /// By what was fetched, not by what the server said of it.
    fn verify(&self, fetched: &Fetched) -> Result<Option<Signed>> {
        let (Some(signers), repository, now) = (&self.signers, &fetched.repository, clock::wall()) else {
            return Ok(None);
        };
        if let Some(tag) = &self.tag {
            signers.verify_tag(repository, tag.object, tag.name.as_deref(), now)?;
            ensure!(fetched.commit == self.commit, "the server names another commit than the tag itself");
        }
        Ok(Some(signers.verify_commit(repository, fetched.commit, now)?))
    }

    fn is_damage(&self, error: &Error) -> bool {
        self.kept.as_ref().is_some_and(|kept| fetch::is_damage(error, kept))
    }

    fn discard(&self, notes: &RefCell<Vec<String>>) {
        memory::forget_refusal();
        let _ = fs::remove_file(pack::alternates(&self.folders.git));
        if let Some(kept) = &self.kept {
            fetch::discard(&self.url, kept, notes);
        }
    }

    fn note_too_large(&self) {
        if let Some(kept) = &self.kept {
            kept.note_too_large();
        }
    }
}

#[cfg(test)]
impl Files {
    /// Of a repository that lies on disk already with all its files.
    pub(super) fn of(root: &Path, access: GitAccess) -> Self {
        use git2::Signature;
        let (root, git) = (root.to_path_buf(), root.join(".git"));
        let worker = Worker::start().unwrap();
        let url = root.display().to_string();
        let files = Self {
            url: url.clone(),
            patience: Duration::from_secs(60),
            worker,
            ahead: Mutex::default(),
            notes: Mutex::default(),
            failure: Mutex::default(),
        };
        let open = move |desk: &mut Option<Desk>, _: &Pulse| {
            let repository = git2::Repository::open(&git)?;
            let tree = repository.index()?.write_tree()?;
            let commit = {
                let who = Signature::now("test", "test@localhost")?;
                let tree = repository.find_tree(tree)?;
                repository.commit(None, &who, &who, "", &tree, &[])?
            };
            repository.set_head_detached(commit)?;
            let folders = Folders { files: root.clone(), git: git.clone() };
            let wanted = Wanted {
                url,
                name: None,
                signers: None,
                tag: None,
                commit,
                folders,
                way: Way::Keep,
                kept: None,
                longest: LONGEST_TRANSFER,
                access,
                transfer: Arc::new(Transfer::new()),
            };
            *desk = Some(Desk {
                budget: Budget::new(wanted.access.limits),
                notes: RefCell::default(),
                fetched: Fetched { repository, commit, tree, _kept: None },
                modules: Modules::of(&root, &git),
                writer: Writer::new(&root),
                wanted,
                was_damaged: false,
            });
            Ok(())
        };
        files.worker.ask(files.patience, LONGEST_TRANSFER, open).unwrap().unwrap();
        files
    }

    /// The outermost repository, as git sees it.
    pub(super) fn repository(&self) -> git2::Repository {
        let git: std::path::PathBuf = self.ask(|desk, _| Ok(desk.wanted.folders.git.clone())).unwrap();
        git2::Repository::open_bare(git).unwrap()
    }
}
