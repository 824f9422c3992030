//! The door to the simulated world, one for each who acts.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::clock::moment;
use super::git::{Answers, SimFetcher, desired};
use super::pull::{SimPuller, SimRegistries};
use super::registry::{content_of, tag_of};
use super::rules::EVIDENCE;
use super::service::{Labels, Live};
use super::spec::Entry;
use super::swarm::Removal;
use super::world::{Fault, Killed, Shared, SimSource};
use crate::clock::Moment;
use crate::compose::{Ownership, RenderedStack};
use crate::docker::command::ResolveImage;
use crate::docker::objects::Holders;
use crate::docker::stored::Stored;
use crate::docker::task::Task;
use crate::docker::{DeployedAnew, ImageRemoval, NodeImages, Pull, Roll, SeenTasks, Swarm};
use crate::git::{Checkout, Commit, Workplace};
use crate::hash::Key;
use crate::health::{Look, look_by};
use crate::image::ImageCommand;
use crate::manifest::Layout;
use crate::reconcile::Session;
use crate::reconcile::door::{Door, Fetcher, Heads, Puller, Registries};
use crate::reconcile::giving::{Ends, Giving};
use crate::reconcile::source::{Read, WatchedSource};
use crate::source::Source;
use crate::stack::{ObjectKind, StackName};
use crate::state::{Motion, StackRow};

/// The door of one who acts.
#[derive(Debug)]
pub struct SimDoor<'a> {
    pub world: &'a Shared,
    pub actor: usize,
}

fn away() -> anyhow::Error {
    anyhow!("`docker` gave no answer")
}

impl SimDoor<'_> {
    /// A call that only asks.
    fn asks<T>(&self, answer: impl FnOnce() -> T) -> Result<T> {
        self.world.borrow_mut().views[self.actor].calls += 1;
        self.hears(answer)
    }

    /// What it is told, if it is told anything.
    fn hears<T>(&self, answer: impl FnOnce() -> T) -> Result<T> {
        let fault = self.world.borrow_mut().trouble(self.actor);
        match fault {
            Some(Fault::KilledBefore | Fault::KilledAfter) => self.die(),
            Some(Fault::Refused | Fault::Unanswered | Fault::Half) => Err(away()),
            Some(Fault::Slow(_)) | None => Ok(answer()),
        }
    }

    /// A call that changes something: `act` is told whether only half of it is done.
    fn acts<T>(&self, what: &str, act: impl FnOnce(bool) -> T) -> Result<T> {
        let fault = {
            let mut world = self.world.borrow_mut();
            let fault = world.trouble(self.actor);
            world.views[self.actor].acts += 1;
            world.views[self.actor].calls += 1;
            let actor = self.actor;
            world.tell(|| {
                format!("  {actor}: {what}{}", fault.map(|it| format!(" ({it:?})")).unwrap_or_default())
            });
            fault
        };
        match fault {
            Some(Fault::KilledBefore) => self.die(),
            Some(Fault::Refused) => Err(away()),
            Some(Fault::Slow(_)) | None => Ok(act(false)),
            Some(Fault::Unanswered) => {
                act(false);
                Err(away())
            }
            Some(Fault::Half) => {
                act(true);
                Err(away())
            }
            Some(Fault::KilledAfter) => {
                act(false);
                self.die()
            }
        }
    }

    fn die(&self) -> ! {
        let actor = self.actor;
        self.world.borrow_mut().tell(|| format!("  {actor}: is killed"));
        resume_unwind(Box::new(Killed))
    }

    fn services(&self, of: impl Fn(&Live) -> bool) -> Swarm {
        let world = self.world.borrow();
        Swarm::of(world.swarm.services.values().filter(|live| of(live)).map(Live::shown).collect())
    }
}

impl Door for SimDoor<'_> {
    fn now(&self) -> Moment {
        moment(self.world.borrow().now)
    }

    fn heads(&self, sources: &[Source]) -> Box<dyn Heads> {
        let mut world = self.world.borrow_mut();
        let mut heads = Vec::new();
        for source in sources {
            let at = world.source_of(source.id().as_str()).unwrap();
            let last = world.sources[at].commits.len() - 1;
            world.views[self.actor].sources.insert(at);
            if world.sources[at].up {
                world.views[self.actor].heads.insert(at, last);
                heads.push(Ok(SimSource::commit(at, last)));
            } else {
                world.views[self.actor].heads.remove(&at);
                heads.push(Err(anyhow!("the remote gave no answer")));
            }
        }
        Box::new(Answers(heads.into_iter().enumerate().collect()))
    }

    fn registries(&self) -> Box<dyn Registries> {
        Box::new(SimRegistries::new(self.world, self.actor))
    }

    fn puller(&self) -> Box<dyn Puller> {
        Box::new(SimPuller::new(self.world, self.actor))
    }

    fn fetcher(&self) -> Box<dyn Fetcher> {
        Box::new(SimFetcher::new(self.world, self.actor))
    }

    fn read(
        &self,
        _: &Session<'_>,
        _: &OnceCell<Key>,
        source: &WatchedSource,
        checkout: Checkout,
        _: bool,
    ) -> Result<Read> {
        let mut world = self.world.borrow_mut();
        let at = world.source_of(source.id.as_str()).unwrap();
        let commit = SimSource::place(checkout.commit().as_str());
        let content = &world.sources[at].commits[commit];
        if content.broken {
            bail!("`stacks.yaml` cannot be read");
        }
        let desired = content.stacks.iter().map(desired).collect();
        world.views[self.actor].read.insert(at, commit);
        world.watched.insert(at);
        world.owes(self.actor, at, commit);
        Ok(Read::of(checkout, Layout::List, desired))
    }

    fn checkout(&self, _: &Source, commit: &Commit, _: &Path) -> Result<Checkout> {
        Ok(Checkout::at(commit.clone()))
    }

    fn workplace(&self, _: &Session<'_>) -> Result<Option<Workplace>> {
        Ok(None)
    }

    fn health(&self, swarm: &Swarm, stacks: &[(&StackRow, &[Motion])]) -> Result<Look> {
        let begun = {
            let mut world = self.world.borrow_mut();
            world.views[self.actor].healths += 1;
            world.now
        };
        let tasks = |asked: &[&str]| self.hears(|| self.world.borrow().swarm.lines(asked));
        let nodes = || self.hears(|| self.world.borrow().swarm.shown_nodes());
        let look = look_by(swarm, stacks, tasks, nodes)?;
        self.world.borrow_mut().judged(swarm, stacks, &look, begun);
        Ok(look)
    }

    fn observe(&self) -> Result<Swarm> {
        self.asks(|| {
            let now = self.world.borrow().now;
            self.world.borrow_mut().views[self.actor].observed = now;
            self.services(|_| true)
        })
    }

    fn observe_tasks(
        &self,
        stacks: &BTreeSet<&StackName>,
        _: &BTreeSet<&str>,
        _: &mut SeenTasks,
    ) -> Result<(Swarm, Vec<Task>)> {
        self.asks(|| {
            let swarm = self.services(|live| stacks.iter().any(|name| name.as_str() == live.stack));
            let mut world = self.world.borrow_mut();
            let mut tasks = Vec::new();
            for stack in stacks {
                for live in world.swarm.of_stack(stack.as_str()) {
                    tasks.extend(live.tasks.iter().map(|task| task.shown(&live.id)));
                }
                let (mut well, mut ran) = (Vec::new(), None);
                for (at, source) in world.sources.iter().enumerate() {
                    for (commit, content) in source.commits.iter().enumerate() {
                        let entry = content.entry(stack.as_str());
                        if entry.is_some_and(|it| world.swarm.is_as(it, source.source.id().as_str(), true)) {
                            ran = entry.map(Entry::fingerprint);
                            well.push((at, commit));
                        }
                    }
                }
                world.views[self.actor].well.insert(stack.to_string(), well);
                if ran.is_some() {
                    world.ledger(stack.as_str()).ran = ran;
                }
            }
            tasks.sort_by(|one, other| other.created.cmp(&one.created));
            (swarm, tasks)
        })
    }

    fn last_words(&self, _: &str, _: &Task, _: usize) -> String {
        String::new()
    }

    fn last_words_of(&self, _: &str, _: &str) -> String {
        String::new()
    }

    fn holders(&self, _: ObjectKind) -> Result<Holders> {
        self.asks(Holders::default)
    }

    fn network_names(&self) -> Result<BTreeSet<String>> {
        self.asks(BTreeSet::default)
    }

    fn secret_names(&self) -> Result<BTreeSet<String>> {
        self.asks(BTreeSet::default)
    }

    fn own_stack(&self) -> Result<Option<StackName>> {
        Ok(None)
    }

    fn users_of_networks(&self, _: &StackName) -> Result<Vec<String>> {
        self.asks(Vec::new)
    }

    fn stored(&self, _: &str) -> Result<Vec<Stored>> {
        self.asks(Vec::new)
    }

    fn marked_configs(&self, _: &str) -> Result<Vec<Stored>> {
        self.asks(Vec::new)
    }

    fn in_use<'a>(&self, _: &BTreeSet<&'a str>) -> Result<BTreeSet<&'a str>> {
        self.asks(BTreeSet::default)
    }

    fn image_command(&self, _: &str, _: &Pull) -> Result<ImageCommand> {
        bail!("no image is looked into in these stories")
    }

    fn node_images(&self) -> Result<NodeImages> {
        self.hears(|| {
            let world = self.world.borrow();
            let entries = world.sources.iter().flat_map(|at| &at.commits).flat_map(|commit| &commit.stacks);
            let tags = entries.flat_map(|entry| entry.services.values()).map(|spec| spec.image);
            world.swarm.nodes.registry.images(&tags.collect())
        })
    }

    fn containers(&self) -> Result<BTreeSet<String>> {
        self.hears(|| self.world.borrow().swarm.here().map(|(task, _)| task).collect())
    }

    fn images_of(&self, containers: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        self.hears(|| {
            let world = self.world.borrow();
            world.swarm.here().filter(|(task, _)| containers.contains(task)).map(|(_, image)| image).collect()
        })
    }

    fn deploy(
        &self,
        rendered: &RenderedStack,
        ownership: &Ownership,
        resolve: ResolveImage,
        _: &Path,
        _: &Ends,
    ) -> Result<Giving> {
        let (entry, labels) = {
            let world = self.world.borrow();
            let source = world.source_of(ownership.repository.as_str()).unwrap();
            let commit = SimSource::place(&ownership.commit);
            let entry = world.sources[source].commits[commit].entry(rendered.name.as_str()).cloned();
            let labels = Labels {
                owner: ownership.repository.to_string(),
                fingerprint: rendered.fingerprint.clone(),
                commit: ownership.commit.clone(),
                image: None,
            };
            (entry.unwrap(), labels)
        };
        let what = format!("deploys `{}` of commit {}", entry.name, &ownership.commit[38..]);
        let done = self.acts(&what, |half| {
            let mut world = self.world.borrow_mut();
            let forced = world.views[self.actor].forced;
            world.before_deploy(self.actor, &entry, &labels, forced);
            world.before_images(self.actor, &entry, resolve);
            let most = if half { entry.services.len() - 1 } else { usize::MAX };
            world.swarm.deploy(&entry, &labels, resolve, most);
        });
        if done.is_err() {
            self.world.borrow_mut().ledger(entry.name).excused = true;
        }
        Ok(Giving::Done(done))
    }

    fn roll(&self, roll: &Roll, _: Option<&[String]>) -> Result<()> {
        let (name, tag) = (&roll.service, tag_of(&roll.image));
        let content = content_of(roll.image.digest().unwrap());
        let done = self.acts(&format!("rolls `{name}` to content {content} of `app:{tag}`"), |_| {
            let mut world = self.world.borrow_mut();
            world.before_roll(self.actor, name, tag, content);
            world.swarm.roll(name, tag, content)
        });
        if done.is_err() {
            let stack = self.world.borrow().swarm.services.get(name).map(|live| live.stack);
            if let Some(stack) = stack {
                self.world.borrow_mut().ledger(stack).excused = true;
            }
        }
        if done? { Ok(()) } else { bail!("no such service") }
    }

    fn forget_image(&self, service: &str) -> Result<()> {
        let done = self.acts(&format!("lets docker forget the image of `{service}`"), |_| {
            self.world.borrow_mut().swarm.forget_image(service)
        });
        if done? { Ok(()) } else { bail!("no such service") }
    }

    fn ensure_config(&self, _: &str, _: &str, _: &[(&str, &str)]) -> Result<()> {
        Ok(())
    }

    fn remove_stacks(&self, stacks: &[(&StackName, &BTreeSet<String>)]) -> Vec<Result<bool>> {
        let remove = |(name, proven): &(&StackName, &BTreeSet<String>)| {
            self.acts(&format!("removes `{name}`"), |_| {
                let mut world = self.world.borrow_mut();
                if world.swarm.of_stack(name.as_str()).any(|live| !proven.contains(&live.id)) {
                    return Err(DeployedAnew((*name).clone()).into());
                }
                world.before_removal(self.actor, name.as_str(), None);
                match world.swarm.remove_stack(name.as_str()) {
                    Removal::Nothing => Ok(true),
                    Removal::Done => Ok(false),
                    Removal::InUse => Err(anyhow!("its network has active endpoints")),
                }
            })
            .and_then(|done| done)
        };
        stacks.iter().map(remove).collect()
    }

    fn remove_services(&self, ids: &[&str]) -> Result<()> {
        self.acts(&format!("removes the services {ids:?}"), |_| {
            let mut world = self.world.borrow_mut();
            let stacks: BTreeSet<_> = world.swarm.services.values().map(|live| live.stack).collect();
            for stack in stacks {
                let concerns = world.swarm.of_stack(stack).any(|live| ids.contains(&live.id.as_str()));
                if concerns {
                    world.before_removal(self.actor, stack, Some(ids));
                }
            }
            world.swarm.remove_services(ids);
        })
    }

    fn remove_stored(&self, _: &Stored) -> Result<Result<(), String>> {
        Ok(Ok(()))
    }

    fn remove_image(&self, name: &str) -> Result<ImageRemoval> {
        self.acts(&format!("removes the image `{name}`"), |_| {
            let mut world = self.world.borrow_mut();
            if !world.swarm.nodes.registry.remove(name) {
                world.breaks(EVIDENCE, format!("`{name}`, which was there before, is removed"));
            }
            ImageRemoval::Removed
        })
    }
}
