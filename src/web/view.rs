//! What is shown, read at most so often: rows when the database changed, docker at most every two seconds, for
//! all who ask together. A page that stays open, or a hundred of them, is no load for docker.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::daemon::Handle;
use crate::docker::Docker;
use crate::docker::service::Service;
use crate::docker::task::Task;
use crate::fault::{fault, hint_of};
use crate::logs::{self, Bounds, Told, Wish};
use crate::policy::{self, Trust};
use crate::report::harmless;
use crate::report::status::{self, Status};
use crate::settings::Settings;
use crate::source::Source;
use crate::state::{ImageRow, State};
use crate::watched::{Watched, watched};

/// Docker is asked again after this, or after ten times as long as the last answer took: so it spends at most
/// a tenth of its time on us.
const FRESH: Duration = Duration::from_secs(2);
const STALE: Duration = Duration::from_secs(30);
/// A question of the page is not worth waiting longer for.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many logs are read at once.
const MOST_READERS: usize = 8;

/// What is shown.
#[derive(Debug)]
pub struct View {
    handle: Handle,
    database: PathBuf,
    docker: Docker,
    /// What the operator lets sources do, and where the program is found that reads keys of it.
    policy: Option<(PathBuf, OsString)>,
    rows: Mutex<Rows>,
    known: Mutex<Option<Arc<Snapshot>>>,
    asking: Mutex<()>,
    /// How many logs are just being read.
    readers: Mutex<usize>,
    tasks: Mutex<BTreeMap<String, TasksAt>>,
}

/// A stack's tasks, and when docker told them.
type TasksAt = (Instant, Arc<Vec<Task>>);

#[derive(Debug, Default)]
struct Rows {
    state: Option<State>,
    /// Its inode.
    file: Option<u64>,
    version: Option<i64>,
    watched: Arc<Vec<Watched>>,
    images: Arc<Vec<ImageRow>>,
}

/// The state of everything at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The story that `status --json` tells as well.
    pub status: Status,
    /// The live services, for who wants their tasks.
    pub services: Vec<Service>,
    /// Why docker could not be asked; then nothing live is in the story.
    pub trouble: Option<Trouble>,
    /// Why the policy cannot be used; then nothing is touched.
    pub policy: Option<Trouble>,
    version: Option<i64>,
    taken: Instant,
    cost: Duration,
}

/// Why something could not be asked.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub what: String,
    pub hint: Option<String>,
}

impl Trouble {
    fn of(error: &anyhow::Error) -> Self {
        Self { what: harmless(&format!("{error:#}")), hint: hint_of(error).map(str::to_owned) }
    }
}

/// One who reads a log, until dropped.
struct Reader<'a>(&'a Mutex<usize>);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        *lock(self.0) -= 1;
    }
}

impl View {
    pub fn new(settings: &Settings, handle: Handle) -> Self {
        Self {
            handle,
            database: settings.database.clone(),
            docker: Docker::new(&settings.docker_environment, PATIENCE),
            policy: settings.policy.clone().map(|path| (path, settings.programs())),
            rows: Mutex::default(),
            known: Mutex::default(),
            asking: Mutex::default(),
            readers: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// The watched sources; one that cannot be read is passed over.
    pub fn sources(&self) -> Result<Vec<Source>> {
        let rows = self.rows()?;
        Ok(rows.watched.iter().filter_map(|known| known.row.url.parse().ok()).collect())
    }

    /// The watched sources, as the database knows them.
    pub fn watched(&self) -> Result<Arc<Vec<Watched>>> {
        Ok(Arc::clone(&self.rows()?.watched))
    }

    /// The images of all services of watched stacks, as their compose files name them.
    pub fn images_in_use(&self) -> Result<Vec<String>> {
        let rows = self.rows()?;
        let stacks = rows.watched.iter().flat_map(|known| &known.stacks);
        Ok(stacks.flat_map(|stack| stack.services.values()).filter_map(|it| it.image.clone()).collect())
    }

    /// The names of all stacks, those that are stopped included.
    pub fn stack_names(&self) -> Result<Vec<String>> {
        let rows = self.rows()?;
        let stacks = rows.watched.iter().flat_map(|known| &known.stacks);
        Ok(stacks.map(|stack| stack.name.to_string()).collect())
    }

    /// Asks the database something else; nothing is the answer of one that is not there yet.
    pub fn ask<T: Default>(&self, question: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let mut rows = lock(&self.rows);
        self.open(&mut rows)?.map_or_else(|| Ok(T::default()), question)
    }

    /// The state, at most so old that asking for it would load docker.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let version = self.rows()?.version;
        let fresh = |known: &&Arc<Snapshot>| {
            known.version == version && known.taken.elapsed() < (known.cost * 10).clamp(FRESH, STALE)
        };
        if let Some(known) = lock(&self.known).as_ref().filter(fresh) {
            return Ok(Arc::clone(known));
        }
        let _asking = match self.asking.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            // Somebody asks already: what was known before will do, if there is anything.
            Err(TryLockError::WouldBlock) => {
                if let Some(known) = lock(&self.known).as_ref() {
                    return Ok(Arc::clone(known));
                }
                lock(&self.asking)
            }
        };
        if let Some(known) = lock(&self.known).as_ref().filter(fresh) {
            return Ok(Arc::clone(known));
        }
        let snapshot = Arc::new(self.look()?);
        *lock(&self.known) = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    fn look(&self) -> Result<Snapshot> {
        let begun = Instant::now();
        let (watched, images, version) = {
            let rows = self.rows()?;
            (Arc::clone(&rows.watched), Arc::clone(&rows.images), rows.version)
        };
        // A run that was killed shows nowhere but by its lock.
        let work = self.ask(State::work)?;
        let (status, services, trouble) = match status::read(&watched, &images, &work, &self.docker) {
            Ok((status, swarm)) => (status, swarm.services, None),
            Err(error) => (status::recorded(&watched, &images, &work), Vec::new(), Some(Trouble::of(&error))),
        };
        let policy = self.policy.as_ref().and_then(|(path, programs)| {
            policy::read(path, Trust::Root, programs).err().as_ref().map(Trouble::of)
        });
        Ok(Snapshot {
            status,
            services,
            trouble,
            policy,
            version,
            taken: Instant::now(),
            cost: begun.elapsed(),
        })
    }

    /// The tasks of a stack's services, newest first, those that ended included.
    pub fn tasks(&self, snapshot: &Snapshot, stack: &str) -> Result<Arc<Vec<Task>>> {
        // Held while docker is asked, so that many askers are one.
        let mut tasks = lock(&self.tasks);
        tasks.retain(|_, (taken, _)| taken.elapsed() < FRESH);
        if let Some((_, known)) = tasks.get(stack) {
            return Ok(Arc::clone(known));
        }
        let services: Vec<_> =
            snapshot.services.iter().filter(|service| service.stack.as_str() == stack).cloned().collect();
        let found = Arc::new(self.docker.tasks(&services)?);
        tasks.insert(stack.to_owned(), (Instant::now(), Arc::clone(&found)));
        Ok(found)
    }

    /// What these services print; an error while too many others are being told that, for each is a docker process.
    pub fn log(&self, services: &[&Service], wish: &Wish, bounds: Bounds, fewer: &str) -> Result<Told> {
        let mut readers = lock(&self.readers);
        if *readers >= MOST_READERS {
            return Err(fault("too many logs are being read", "try again in a moment"));
        }
        *readers += 1;
        drop(readers);
        let _reader = Reader(&self.readers);
        logs::read(&self.docker, services, wish, bounds, fewer)
    }

    fn rows(&self) -> Result<MutexGuard<'_, Rows>> {
        let mut rows = lock(&self.rows);
        let known = rows.version;
        let Some(state) = self.open(&mut rows)? else {
            *rows = Rows::default();
            return Ok(rows);
        };
        let version = state.version()?;
        if state.is_copy() || known != Some(version) {
            let (watched, images) = (watched(state)?, state.images()?);
            (rows.watched, rows.images, rows.version) = (Arc::new(watched), Arc::new(images), Some(version));
        }
        Ok(rows)
    }

    /// Opens the database once, and anew where another file has taken its place or this is a mere copy.
    fn open<'a>(&self, rows: &'a mut Rows) -> Result<Option<&'a State>> {
        self.handle.has_database()?;
        let file = std::fs::metadata(&self.database).map(|file| file.ino()).ok();
        let lasts = rows.state.as_ref().is_some_and(|state| !state.is_copy());
        if !lasts || rows.file != file {
            (rows.state, rows.file, rows.version) = (State::read(&self.database)?, file, None);
        }
        Ok(rows.state.as_ref())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
