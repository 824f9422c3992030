//! THE LOOP: makes the Swarm be what the watched sources say. Read this file and you know the product.
//!
//! ask: one `ls-remote` a source, and what changed is fetched beside the loop, and read by the turn that has its files.
//! turn: look at the Swarm, judge what is in motion, decide about every stack, do what can be done now, record.
//! A command takes turns until nothing is in motion any more, the daemon for ever. The lock is held for a turn.

mod act;
mod ask;
mod bindings;
mod build;
mod builds;
mod clean;
mod command;
mod contain;
mod dependencies;
mod door;
mod fetch;
mod fetching;
mod first;
mod giving;
mod health;
mod holds;
mod images;
mod jobs;
mod kept_holds;
mod key;
mod look;
mod makers;
#[cfg(test)]
mod measure;
mod memory;
mod motion;
mod moves;
mod nodes;
mod objects;
mod observe;
mod order;
mod outcome;
mod progress;
mod prune;
mod puller;
mod pulls;
mod read;
mod record;
mod removals;
mod remove;
mod rest;
mod retire;
mod rollback;
mod rolls;
mod secrets;
mod session;
#[cfg(test)]
mod simulation;
mod source;
mod survey;
mod tell;
mod versions;
mod waits;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::docker::Swarm;
use crate::git::{Commit, Workplace};
use crate::plan::{Decision, How, Remove};
use crate::signal;
use crate::source::SourceId;
use crate::watched::Known;

use ask::Asking;
use builds::Builds;
use contain::Contain;
use fetching::Fetching;
use giving::Ends;
use memory::{Key, Memory};
use pulls::Pulls;
use source::WatchedSource;

pub use bindings::remove_bindings;
pub use builds::{LOCAL_TAG, lasting_tag};
pub use clean::{clean_after_removal, note_digests};
pub use door::World;
pub use kept_holds::{
    forget_all_in_swarm, forget_every_in_swarm, forget_in_swarm, forget_name_in_swarm, replace_in_swarm,
};
pub use remove::{remove_all, wait_for_others};
pub use rollback::{Aim, aim, roll_back};
pub use session::{Options, Outcome, Paths, Selection, Session, Target, Wish};

/// Between two looks at what is in motion.
const PAUSE: Duration = Duration::from_millis(500);
/// Likewise, where nothing moves.
const LONGER_PAUSE: Duration = Duration::from_secs(1);

/// Makes the Swarm be what `targets` say, and waits until nothing of them is in motion. An error means that the run as
/// a whole could not be done; what failed in it is counted.
pub fn reconcile(session: &Session<'_>, targets: Vec<Target>, options: &Options) -> Result<Outcome> {
    let mut reconciler = Reconciler::new(options);
    let done = reconciler.bring_to_rest(session, targets);
    if done.is_err() {
        reconciler.leave(session);
    }
    done.map(|()| reconciler.outcome())
}

/// The sources that are looked after, and what is known of them from turn to turn.
#[derive(Debug, Default)]
pub struct Reconciler {
    options: Options,
    sources: Vec<WatchedSource>,
    /// Those whose servers have not answered so far.
    asking: Vec<Asking>,
    /// Those whose files are not here so far.
    fetching: Fetching,
    known: Known,
    memory: Memory,
    pulls: Pulls,
    builds: Builds,
    /// The sources that failed and are not to be tried again yet: at which commit, `None` where they gave no answer.
    pub backing_off: BTreeMap<SourceId, Option<Commit>>,
    /// Where calls of docker tell that they ended.
    ends: Ends,
    /// The Swarm as it was when the sources were asked, for the turn that follows.
    swarm: Option<Swarm>,
    /// What others see of this run, and where files lie that docker is given.
    workplace: Option<Workplace>,
    /// Whether anything happened since the last decisions that may change them.
    stirred: bool,
}

impl Reconciler {
    /// Looks after nothing yet.
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), ..Self::default() }
    }

    /// For the daemon: a source that cannot be watched is only told of.
    pub fn of_daemon() -> Self {
        Self::new(&Options { go_on: true, ..Options::default() })
    }

    fn bring_to_rest(&mut self, session: &Session<'_>, targets: Vec<Target>) -> Result<()> {
        let wish = self.options.wish.clone();
        self.ask(session, targets, &wish)?;
        while self.turn(session)? {
            session.unlock();
            self.wait()?;
            session.lock_again()?;
        }
        self.tell_how_it_is(session)
    }

    /// One turn; whether another one has anything to do. An error ends the run: docker or the database are away, or
    /// a signal came. What concerns one source, stack, binding or image alone ends nothing.
    pub fn turn(&mut self, session: &Session<'_>) -> Result<bool> {
        signal::check()?;
        self.memory.turn_begun = Some(session.door.now().instant);
        self.collect_answers(session)?;
        self.reload(session)?;
        self.end_holds(session)?;
        self.collect(session)?;
        self.stirred |= self.memory.given_elsewhere || !self.memory.synced_elsewhere.is_empty();
        self.judge(session)?;
        self.judge_meanwhile(session)?;
        let waits = is_broken!(WaitsForWhatStruggles)
            && self.sources.iter().any(|source| self.seen_motions(source).next().is_some());
        if self.stirred && !waits {
            self.stirred = false;
            self.reload(session)?;
            let swarm = self.observe(session)?;
            if self.options.dry_run {
                self.describe_builds(session);
            }
            let mut decided = self.decide(session, &swarm)?;
            if self.ask_others(session, &decided, &swarm)? {
                (self.stirred, self.memory.objects) = (false, objects::Objects::default());
                decided = self.decide(session, &swarm)?;
            }
            if self.restore_by_name(session, &decided, &swarm)? {
                decided = self.decide(session, &swarm)?;
            }
            self.forget_unlisted(session)?;
            self.memory.forget_vanished(&decided);
            let goes = |(_, decision): &(Key, Decision)| matches!(decision, Decision::Remove(_));
            let (gone, rest): (Vec<_>, Vec<_>) = decided.into_iter().partition(goes);
            for (key, decision) in gone {
                self.act(session, &key, decision, &swarm)?;
            }
            // Names, ports and networks are free then.
            self.go_on_removing(session)?;
            for (key, decision) in rest {
                self.act(session, &key, decision, &swarm)?;
            }
            self.wait_for_given(session)?;
            self.rest(session, swarm)?;
            self.show_waits(session)?;
        }
        Ok(self.is_under_way())
    }

    /// What can be done now is done; what cannot is told and recorded.
    fn act(&mut self, session: &Session<'_>, key: &Key, decision: Decision, swarm: &Swarm) -> Result<()> {
        if self.options.dry_run {
            return self.describe(session, key, decision, swarm);
        }
        self.memory.decided(key, decision.clone());
        self.note_on_hold(session, key, &decision, swarm)?;
        let done = match &decision {
            Decision::InSync { drifts } => self.keep(session, key, drifts),
            Decision::InMotion => Ok(()),
            Decision::Blocked(blocked) => return self.block(session, key, blocked, decision.clone()),
            Decision::Remove(Remove::FromSwarm { disabled, .. }) => {
                self.remove(session, key, *disabled, swarm)
            }
            Decision::Remove(Remove::NoteStopped) => self.note_stopped(session, key),
            Decision::Remove(Remove::Forget) => self.forget(session, key),
            Decision::Apply(apply) => match &apply.how {
                How::Deploy { .. } => self.deploy(session, key, apply, swarm),
                How::Roll(rolls) => self.roll(session, key, rolls, apply),
                How::Adopt | How::Judge => self.adopt(session, key, &apply.reason, swarm),
            },
        };
        match done.contained()? {
            Ok(()) => Ok(()),
            Err(why) => self.fail(session, key, &why, false),
        }
    }
}
