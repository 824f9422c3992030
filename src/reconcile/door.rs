//! The door through which the loop reaches the world: what it asks, what it does, what time it is.
//!
//! Behind it are docker, git and the clock; in tests a simulated Swarm (`simulation`). Builds and the
//! commands that remove whole sources reach docker by themselves.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::fetch::GitFetcher;
use super::giving::{Ends, Giving};
use super::puller::DockerPuller;
use super::source::{Read, WatchedSource};
use super::{Session, read};
use crate::clock::Moment;
use crate::compose::{Ownership, RenderedStack};
use crate::docker::command::ResolveImage;
use crate::docker::objects::Holders;
use crate::docker::stored::Stored;
use crate::docker::task::Task;
use crate::docker::{Deployment, Docker, ImageRemoval, NodeImages, Pull, Roll, SeenTasks, Swarm};
use crate::git::{self, Checkout, Commit, Transfer, Workplace};
use crate::hash::Key;
use crate::health::{self, Look};
use crate::image::{ImageCommand, ImageRef};
use crate::registry::{self, Answer};
use crate::settings::{GitAccess, RegistryAccess};
use crate::signature::Required;
use crate::source::{Source, SourceId};
use crate::stack::{ObjectKind, StackName};
use crate::state::{Motion, StackRow};

/// The commits that sources name, as far as their servers have answered.
pub trait Heads: fmt::Debug {
    /// What was answered since, by the place of the source; waits so long for what is left, without a bound where none
    /// is given. Fails only when interrupted.
    fn answered(&mut self, wait: Option<Duration>) -> Result<Vec<(usize, Result<Commit>)>>;
}

impl Heads for git::Pending {
    fn answered(&mut self, wait: Option<Duration>) -> Result<Vec<(usize, Result<Commit>)>> {
        Self::answered(self, wait)
    }
}

/// Fetches commits beside the loop, a few at a time.
pub trait Fetcher: fmt::Debug {
    /// Fetches the commit of a source, as soon as there is room; one of a source at a time.
    fn want(&mut self, session: &Session<'_>, source: &Source, commit: &Commit) -> Result<()>;
    /// What was fetched since, or why not; waits so long for `awaited`, without a bound where none is given. Fails only
    /// when interrupted.
    fn fetched(
        &mut self,
        session: &Session<'_>,
        awaited: &BTreeSet<SourceId>,
        most: Option<Duration>,
    ) -> Result<Vec<(SourceId, Result<Checkout>)>>;
    /// Sleeps until something is fetched, at most for `time`; whether anything is.
    fn wait(&mut self, time: Duration) -> bool;
}

/// What is new of a pull.
#[derive(Debug)]
pub enum News {
    Progress(String),
    /// It came to its end; `Err` holds docker's words.
    Ended(Result<(), String>),
}

/// Pulls images to this node, beside the loop; those under way are ended when dropped.
pub trait Puller: fmt::Debug {
    /// Pulls an image for a source, as soon as there is room.
    fn want(&mut self, source: &SourceId, image: &str);
    /// Begins what is queued, as far as there is room.
    fn begin_more(&mut self);
    /// What has happened since.
    fn news(&mut self) -> Vec<(String, News)>;
    /// Sleeps until something happens, at most for `time`.
    fn wait(&mut self, time: Duration);
}

/// The registries of a run: what is learnt of one holds for all of it.
pub trait Registries: fmt::Debug {
    /// Which digest the tag of each image names now, as far as there is an answer. Fails only when interrupted.
    fn ask(&mut self, images: BTreeSet<ImageRef>) -> Result<BTreeMap<ImageRef, Answer>>;
}

impl Registries for registry::Registries {
    fn ask(&mut self, images: BTreeSet<ImageRef>) -> Result<BTreeMap<ImageRef, Answer>> {
        Self::ask(self, images)
    }
}

/// The world, as far as the loop goes.
pub trait Door: fmt::Debug {
    fn now(&self) -> Moment;

    /// Asks every source which commit it names, and returns at once.
    fn heads(&self, sources: &[Source]) -> Box<dyn Heads>;
    fn fetcher(&self) -> Box<dyn Fetcher>;
    /// Reads what was fetched of a source.
    fn read(
        &self,
        session: &Session<'_>,
        keys: &OnceCell<Key>,
        source: &WatchedSource,
        files: Checkout,
        dry_run: bool,
    ) -> Result<Read>;
    /// The files of a commit of a source, an earlier one most likely, in a folder below `place`; waited for.
    fn checkout(&self, source: &Source, commit: &Commit, place: &Path) -> Result<Checkout>;
    /// A folder for a run, by which others see that it lives.
    fn workplace(&self, session: &Session<'_>) -> Result<Option<Workplace>>;

    fn registries(&self) -> Box<dyn Registries>;
    fn puller(&self) -> Box<dyn Puller>;

    /// All services of stacks.
    fn observe(&self) -> Result<Swarm>;
    /// The services of these stacks, by their own names, and their tasks; what did not move is taken from `seen`.
    fn observe_tasks(
        &self,
        stacks: &BTreeSet<&StackName>,
        services: &BTreeSet<&str>,
        seen: &mut SeenTasks,
    ) -> Result<(Swarm, Vec<Task>)>;
    /// How the tasks of these stacks fare.
    fn health(&self, swarm: &Swarm, stacks: &[(&StackRow, &[Motion])]) -> Result<Look>;
    /// The last words of a task, in so many lines; empty where there are none.
    fn last_words(&self, service: &str, task: &Task, lines: usize) -> String;
    /// Likewise of one that is known by its id.
    fn last_words_of(&self, service: &str, task: &str) -> String;
    /// Configs, secrets or networks by name: whose each is.
    fn holders(&self, kind: ObjectKind) -> Result<Holders>;
    fn network_names(&self) -> Result<BTreeSet<String>>;
    fn secret_names(&self) -> Result<BTreeSet<String>>;
    /// The stack that this program runs in.
    fn own_stack(&self) -> Result<Option<StackName>>;
    /// Who still uses the networks that are left of a stack.
    fn users_of_networks(&self, stack: &StackName) -> Result<Vec<String>>;
    /// The configs and secrets of all stacks, with the value of the label `mark`.
    fn stored(&self, mark: &str) -> Result<Vec<Stored>>;
    /// The configs that have the label `mark`, of a stack or not.
    fn marked_configs(&self, mark: &str) -> Result<Vec<Stored>>;
    /// Those of `ids` that a service uses, or would after a rollback.
    fn in_use<'a>(&self, ids: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>>;
    /// What an image runs by itself.
    fn image_command(&self, image: &str, pull: &Pull) -> Result<ImageCommand>;
    fn node_images(&self) -> Result<NodeImages>;
    /// The containers of this node.
    fn containers(&self) -> Result<BTreeSet<String>>;
    /// The images that these were made from.
    fn images_of(&self, containers: &BTreeSet<String>) -> Result<BTreeSet<String>>;

    /// Begins to give docker a stack; its files are copied below `folder`.
    fn deploy(
        &self,
        rendered: &RenderedStack,
        ownership: &Ownership,
        resolve: ResolveImage,
        folder: &Path,
        ends: &Ends,
    ) -> Result<Giving>;
    /// Gives a service a new image.
    fn roll(&self, roll: &Roll, command: Option<&[String]>) -> Result<()>;
    /// Lets docker forget which image the author wrote for a service.
    fn forget_image(&self, service: &str) -> Result<()>;
    /// Puts a script into the Swarm.
    fn ensure_config(&self, name: &str, text: &str, labels: &[(&str, &str)]) -> Result<()>;
    /// One `docker stack rm` for each, side by side, unless it has other services than these; whether nothing was
    /// left of it.
    fn remove_stacks(&self, stacks: &[(&StackName, &BTreeSet<String>)]) -> Vec<Result<bool>>;
    /// Removes services by id.
    fn remove_services(&self, ids: &[&str]) -> Result<()>;
    /// Removes a config or secret; `Err` holds docker's reason to keep it.
    fn remove_stored(&self, stored: &Stored) -> Result<Result<(), String>>;
    /// Removes an image from this node.
    fn remove_image(&self, name: &str) -> Result<ImageRemoval>;
}

/// The real world.
#[derive(Debug)]
pub struct World {
    docker: Docker,
    git: GitAccess,
    registry: RegistryAccess,
    required: Required,
}

impl World {
    /// By these ways; of sources only what is signed as is required of them.
    pub fn new(docker: &Docker, git: &GitAccess, registry: &RegistryAccess, required: &Required) -> Self {
        let (docker, git, registry) = (docker.clone(), git.clone(), registry.clone());
        Self { docker, git, registry, required: required.clone() }
    }
}

impl Door for World {
    fn now(&self) -> Moment {
        Moment::now()
    }

    fn heads(&self, sources: &[Source]) -> Box<dyn Heads> {
        Box::new(git::heads(sources, &self.git))
    }

    fn fetcher(&self) -> Box<dyn Fetcher> {
        Box::new(GitFetcher::new(&self.git, &self.required))
    }

    fn read(
        &self,
        session: &Session<'_>,
        keys: &OnceCell<Key>,
        source: &WatchedSource,
        files: Checkout,
        dry_run: bool,
    ) -> Result<Read> {
        read::read(session, keys, source, files, dry_run)
    }

    fn checkout(&self, source: &Source, commit: &Commit, place: &Path) -> Result<Checkout> {
        let transfer = &Arc::new(Transfer::new());
        git::checkout(source, commit, place, &self.git, transfer, self.required.of(source))
    }

    fn workplace(&self, session: &Session<'_>) -> Result<Option<Workplace>> {
        Workplace::new(&session.paths.checkouts).map(Some)
    }

    fn registries(&self) -> Box<dyn Registries> {
        let docker = self.docker.clone();
        Box::new(registry::Registries::new(&self.registry, Box::new(move || docker.insecure_registries())))
    }

    fn puller(&self) -> Box<dyn Puller> {
        Box::new(DockerPuller::new(&self.docker))
    }

    fn observe(&self) -> Result<Swarm> {
        self.docker.observe()
    }

    fn observe_tasks(
        &self,
        _stacks: &BTreeSet<&StackName>,
        services: &BTreeSet<&str>,
        seen: &mut SeenTasks,
    ) -> Result<(Swarm, Vec<Task>)> {
        let swarm = self.docker.observe_services(services, seen)?;
        Ok((swarm, seen.tasks().to_vec()))
    }

    fn health(&self, swarm: &Swarm, stacks: &[(&StackRow, &[Motion])]) -> Result<Look> {
        health::look(&self.docker, swarm, stacks)
    }

    fn last_words(&self, service: &str, task: &Task, lines: usize) -> String {
        self.docker.last_words(service, task, lines)
    }

    fn last_words_of(&self, service: &str, task: &str) -> String {
        self.docker.last_words_of(service, task)
    }

    fn holders(&self, kind: ObjectKind) -> Result<Holders> {
        self.docker.holders(kind)
    }

    fn network_names(&self) -> Result<BTreeSet<String>> {
        self.docker.network_names()
    }

    fn secret_names(&self) -> Result<BTreeSet<String>> {
        self.docker.secret_names()
    }

    fn own_stack(&self) -> Result<Option<StackName>> {
        self.docker.own_stack()
    }

    fn users_of_networks(&self, stack: &StackName) -> Result<Vec<String>> {
        self.docker.users_of_networks(stack)
    }

    fn stored(&self, mark: &str) -> Result<Vec<Stored>> {
        self.docker.stored(mark)
    }

    fn marked_configs(&self, mark: &str) -> Result<Vec<Stored>> {
        self.docker.marked_configs(mark)
    }

    fn in_use<'a>(&self, ids: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>> {
        self.docker.in_use(ids)
    }

    fn image_command(&self, image: &str, pull: &Pull) -> Result<ImageCommand> {
        self.docker.image_command(image, pull)
    }

    fn node_images(&self) -> Result<NodeImages> {
        self.docker.node_images()
    }

    fn containers(&self) -> Result<BTreeSet<String>> {
        self.docker.containers()
    }

    fn images_of(&self, containers: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        self.docker.images_of(containers)
    }

    fn deploy(
        &self,
        rendered: &RenderedStack,
        ownership: &Ownership,
        resolve: ResolveImage,
        folder: &Path,
        ends: &Ends,
    ) -> Result<Giving> {
        let (text, copies) = (rendered.text(ownership)?, rendered.copies(folder)?);
        let (docker, name, prune) = (self.docker.clone(), rendered.name.clone(), !rendered.is_part());
        Ok(Giving::begin(ends, move || {
            docker.deploy(&Deployment { name: &name, text, folder: copies.path(), resolve, prune })
        }))
    }

    fn roll(&self, roll: &Roll, command: Option<&[String]>) -> Result<()> {
        self.docker.roll(roll, command)
    }

    fn forget_image(&self, service: &str) -> Result<()> {
        self.docker.forget_image(service)
    }

    fn ensure_config(&self, name: &str, text: &str, labels: &[(&str, &str)]) -> Result<()> {
        self.docker.ensure_config(name, text, labels)
    }

    fn remove_stacks(&self, stacks: &[(&StackName, &BTreeSet<String>)]) -> Vec<Result<bool>> {
        let called: Vec<_> = thread::scope(|threads| {
            let remove = |(name, proven)| threads.spawn(move || self.docker.remove_stack(name, proven));
            let started: Vec<_> = stacks.iter().copied().map(remove).collect();
            started.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let ended = |call: thread::Result<Result<bool>>| {
            call.unwrap_or_else(|_| Err(anyhow!("the call came to an unexpected end")))
        };
        called.into_iter().map(ended).collect()
    }

    fn remove_services(&self, ids: &[&str]) -> Result<()> {
        self.docker.remove_services(ids)
    }

    fn remove_stored(&self, stored: &Stored) -> Result<Result<(), String>> {
        self.docker.remove_stored(stored)
    }

    fn remove_image(&self, name: &str) -> Result<ImageRemoval> {
        self.docker.remove_image(name)
    }
}
