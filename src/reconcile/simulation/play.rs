//! A story, played: who acts, event by event, and what they are heard to say.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::door::SimDoor;
use super::git::Transfer;
use super::rules::{NO_WAITING, TRUTH};
use super::story::{Event, SOURCES, Story};
use super::world::{ACTORS, Broken, Killed, Shared, SimSource, World, controller};
use crate::docker::Docker;
use crate::guard::Guard;
use crate::lock::Lock;
use crate::reconcile::{Options, Paths, Reconciler, Selection, Session, Target, Wish};
use crate::report::{Report, Tally};
use crate::settings::{GitAccess, PullPolicy};
use crate::source::{Source, SourceId, SourceUrl};
use crate::stack::DriftPolicy;
use crate::state::State;

/// How long a stack may take.
const DEADLINE: Duration = Duration::from_secs(40);

/// What all stories of a thread are played with.
pub struct Stage {
    docker: Docker,
    git: GitAccess,
    guard: Guard,
    pub states: [State; 2],
    report: Report,
    held: RefCell<Option<Lock>>,
}

impl Stage {
    pub fn new() -> Self {
        let git = GitAccess {
            purpose: crate::settings::Purpose::Fetch,
            github_token: None,
            gh_host: None,
            credentials_file: None,
            timeout: Duration::ZERO,
            home: None,
            limits: crate::budget::Limits::default(),
            kept: None,
        };
        Self {
            docker: Docker::new(&BTreeMap::new(), Duration::ZERO),
            git,
            guard: Guard::default(),
            states: [State::in_memory(), State::in_memory()],
            report: Report::silent(),
            held: RefCell::default(),
        }
    }

    fn session<'a>(&'a self, door: &'a SimDoor<'a>) -> Session<'a> {
        let always = door.world.borrow().always[controller(door.actor)];
        let pull_policy = if always { PullPolicy::Always } else { PullPolicy::IfNotPresent };
        Session {
            door,
            docker: &self.docker,
            state: &self.states[controller(door.actor)],
            git: &self.git,
            pull_policy,
            prune_nodes: None,
            history: 10,
            keep_versions: 2,
            deploy_timeout: DEADLINE,
            installation: "simulated",
            build_timeout: DEADLINE,
            policy: None,
            own_guard: &self.guard,
            whole_guard: OnceCell::new(),
            report: &self.report,
            paths: Paths {
                lock: PathBuf::new(),
                build_lock: PathBuf::new(),
                checkouts: PathBuf::new(),
                command: "simulated",
                held: &self.held,
            },
        }
    }
}

/// A run of one who acts.
#[derive(Debug, Clone)]
struct Run {
    /// Among all that happened.
    begun: usize,
    ids: Vec<SourceId>,
    /// How often anybody on its database had asked when it did.
    asked: usize,
}

/// One who acts.
#[derive(Debug, Default)]
struct Actor {
    reconciler: Option<Reconciler>,
    run: Option<Run>,
}

/// A story under way.
pub struct Play<'a> {
    pub stage: &'a Stage,
    pub world: Shared,
    actors: [Actor; ACTORS],
    asked: [usize; 2],
    pub version: u16,
}

impl<'a> Play<'a> {
    /// The first commits are there, and nothing else.
    pub fn new(stage: &'a Stage, story: &Story, listen: bool) -> Self {
        stage.states.iter().for_each(|state| state.clear().unwrap());
        stage.report.take_heard();
        let source = |at: usize| SimSource {
            source: Source::parse(&format!("https://h/r{at}")).unwrap(),
            controller: usize::from(at == 2),
            up: true,
            transfer: Transfer::default(),
            commits: vec![story.first[at].clone()],
        };
        let world = World::new((0..SOURCES).map(source).collect(), story.always, listen);
        let actors = std::array::from_fn(|_| Actor::default());
        Self { stage, world: Rc::new(RefCell::new(world)), actors, asked: [0; 2], version: 10 }
    }

    pub fn is_broken(&self) -> bool {
        !self.world.borrow().broken.is_empty()
    }

    /// All of it; the first rule that was broken.
    pub fn whole(mut self, story: &Story) -> (Option<Broken>, Vec<String>) {
        for event in &story.events {
            self.world.borrow_mut().tell(|| format!("{event:?}"));
            self.event(event);
            if self.is_broken() {
                break;
            }
        }
        if !self.is_broken() {
            self.end();
        }
        let mut world = self.world.borrow_mut();
        (world.broken.first().cloned(), world.log.take().unwrap_or_default())
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Ask(who) => self.ask(*who, false),
            Event::Force(who) => self.ask(*who, true),
            Event::Turns(who, count, millis) => {
                for _ in 0..*count {
                    if self.actors[*who].run.is_none() || self.is_broken() {
                        break;
                    }
                    self.world.borrow_mut().pass(*millis);
                    self.turn(*who);
                }
            }
            Event::Kill(who) => self.drop_run(*who),
            Event::Hold(stack) => self.hold(stack),
            Event::Release(stack) => self.release(stack),
            other => self.world_event(other),
        }
    }

    pub fn drop_run(&mut self, who: usize) {
        self.actors[who] = Actor::default();
        // What it had read went with it.
        self.world.borrow_mut().views[who].read.clear();
    }

    pub fn is_running(&self, who: usize) -> bool {
        self.actors[who].run.is_some()
    }

    pub fn forget_asked(&mut self, controller: usize) {
        self.stage.states[controller].clear().unwrap();
        for who in (0..ACTORS).filter(|who| super::world::controller(*who) == controller) {
            self.drop_run(who);
        }
    }

    /// Whether a stack of the source is held.
    pub fn has_held(&self, source: usize) -> bool {
        let world = self.world.borrow();
        let source = &world.sources[source];
        let rows = self.stage.states[source.controller].stacks().unwrap();
        rows.iter().any(|row| row.held && row.repository_url == SourceUrl::of(&source.source))
    }

    /// It does something with its reconciler; `None` where it failed or was killed.
    fn with<T>(
        &mut self,
        who: usize,
        act: impl FnOnce(&mut Reconciler, &Session<'_>) -> Result<T>,
    ) -> Option<T> {
        let mut reconciler = self.actors[who].reconciler.take().unwrap_or_else(|| match who {
            1 => Reconciler::new(&Options::default()),
            _ => Reconciler::of_daemon(),
        });
        let door = SimDoor { world: &self.world, actor: who };
        let session = self.stage.session(&door);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let done = act(&mut reconciler, &session);
            (reconciler, done)
        }));
        self.hear(who);
        match done {
            Ok((reconciler, Ok(done))) => {
                self.actors[who].reconciler = Some(reconciler);
                Some(done)
            }
            Ok((_, Err(error))) => {
                let mut world = self.world.borrow_mut();
                world.tell(|| format!("  {who}: the run ends: {error:#}"));
                if world.views[who].troubles == 0 {
                    world
                        .breaks(NO_WAITING, format!("an error of one stack ends the run for all: {error:#}"));
                }
                drop(world);
                self.drop_run(who);
                None
            }
            Err(panic) if panic.is::<Killed>() => {
                let mut world = self.world.borrow_mut();
                if let Some(given) = world.views[who].deployed.last().cloned() {
                    let ledger = world.ledger(&given);
                    ledger.excused |= ledger.is_retry;
                }
                drop(world);
                self.drop_run(who);
                None
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// What it said is true, or a rule is broken.
    fn hear(&mut self, who: usize) {
        let mut world = self.world.borrow_mut();
        for heard in self.stage.report.take_heard() {
            let is_news = matches!(heard.kind.as_str(), "deployed" | "failed" | "removed" | "note");
            let is_news = is_news || matches!(heard.kind.as_str(), "degraded" | "recovered");
            if is_news || heard.kind == "source_failed" {
                world.tell(|| format!("  {who}: says {} {}: {}", heard.kind, heard.stack, heard.text));
            }
            if heard.kind == "failed" {
                world.heard_failed(&heard.stack, heard.commit.as_deref(), &heard.text);
            }
            if let Some(owner) = heard.repository.as_deref().filter(|_| heard.kind == "removed") {
                let owner = world.source_of(owner).map(|at| world.sources[at].source.id().to_string());
                world.heard_removed(&heard.stack, &owner.unwrap_or_default());
            }
            if heard.kind != "deployed" {
                continue;
            }
            let source = heard.repository.as_deref().and_then(|url| world.source_of(url));
            let commit = heard.commit.as_deref().map(SimSource::place);
            let Some(claim) = source.zip(commit) else { continue };
            let entry = world.sources[claim.0].commits[claim.1].entry(&heard.stack);
            // It says so, or rolled an image under it, and its author asked for it.
            let rolled = world.ledgers.get(&heard.stack).is_some_and(|it| it.edited && !it.rolled.is_empty());
            let is_left = (rolled || heard.text.contains("left as it is"))
                && entry.is_some_and(|entry| entry.drift != DriftPolicy::Correct);
            let well = world.views[who].well.get(&heard.stack);
            if !is_left && !well.is_some_and(|well| well.contains(&claim)) {
                let what = format!("`{}` is called deployed: {}", heard.stack, heard.text);
                world.breaks(TRUTH, what);
            }
        }
    }

    fn targets(&self, who: usize) -> Vec<Target> {
        let rows = self.stage.states[controller(who)].sources().unwrap();
        let world = self.world.borrow();
        let own = world.sources.iter().filter(|source| source.controller == controller(who));
        let target = |source: &SimSource| {
            let row = rows.iter().find(|row| row.url == SourceUrl::of(&source.source)).cloned();
            Target::new(source.source.clone(), row)
        };
        // A command is for what is watched.
        own.map(target).filter(|target| who != 1 || target.row.is_some()).collect()
    }

    /// It asks all its sources, and takes a turn.
    pub fn ask(&mut self, who: usize, forced: bool) {
        let targets = self.targets(who);
        if who == 1 {
            self.drop_run(who);
        }
        if targets.is_empty() {
            return;
        }
        {
            let mut world = self.world.borrow_mut();
            for ledger in world.ledgers.values_mut() {
                ledger.excused |= std::mem::take(&mut ledger.failed) || forced;
            }
            let now = world.now;
            // A wish lasts until it is met.
            let forced = forced || (world.views[who].forced && self.actors[who].run.is_some());
            let view = &mut world.views[who];
            (view.calls, view.healths, view.acts, view.troubles) = (0, 0, 0, 0);
            (view.asked, view.forced) = (now, forced);
            if self.actors[who].run.is_none() {
                // What another run of it had read went with that.
                view.read.clear();
                view.owed.clear();
            }
            view.deployed.clear();
            view.fetched.clear();
            view.sources.clear();
        }
        self.asked[controller(who)] += 1;
        let ids = targets.iter().map(|target| target.source.id().clone()).collect();
        let wish = Wish { forced: forced.then(|| "forced".to_owned()), ..Wish::default() };
        if self.with(who, |reconciler, session| reconciler.ask(session, targets, &wish)).is_none() {
            return;
        }
        let begun = self.world.borrow_mut().happens();
        self.actors[who].run = Some(Run { begun, ids, asked: self.asked[controller(who)] });
        let due = self.world.borrow().due(who, forced);
        self.world.borrow_mut().views[who].owed.extend(due);
        self.turn(who);
    }

    /// What it read is given to docker in the turn that follows.
    fn pays(&mut self, who: usize) {
        let mut world = self.world.borrow_mut();
        let view = &mut world.views[who];
        let owed = std::mem::take(&mut view.owed);
        let mut waits = owed.into_iter().filter(|name| !view.deployed.iter().any(|it| it == name));
        if let Some(name) = waits.next().filter(|_| view.troubles == 0) {
            world.breaks(NO_WAITING, format!("`{name}` was read, and is not deployed in this turn"));
        }
    }

    /// Whether it was not cut short.
    pub fn turn(&mut self, who: usize) -> bool {
        let Some(run) = self.actors[who].run.clone() else { return false };
        let Some((goes_on, tally)) = self.with(who, |reconciler, session| {
            let goes_on = reconciler.turn(session)?;
            let at_rest = reconciler.is_at_rest(&run.ids, &Selection::All);
            let ended = if who == 1 { !goes_on } else { at_rest };
            let tally = ended.then(|| reconciler.tally(&run.ids, &Selection::All));
            if ended {
                reconciler.forget_settled(|_| false);
            }
            Ok((goes_on, tally))
        }) else {
            self.world.borrow_mut().views[who].owed.clear();
            return false;
        };
        let _ = goes_on;
        self.pays(who);
        if let Some(tally) = tally {
            self.actors[who].run = None;
            self.ended(who, &run, &tally);
        }
        true
    }

    /// What a run comes to is true.
    fn ended(&mut self, who: usize, run: &Run, tally: &Tally) {
        let mut world = self.world.borrow_mut();
        world.tell(|| format!("  {who}: ends: {}", tally.words(false)));
        world.views[who].failed = tally.failed > 0;
        // Another one on the same database took over.
        if tally.failed > 0 || run.asked != self.asked[controller(who)] {
            return;
        }
        world.ends_well(who, run.begun, tally.degraded > 0);
    }
}
