//! Stacks that are to go: on evidence that they are ours, side by side, dependents first, looked at in later turns
//! until nothing of them is left.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::contain::Contain;
use super::memory::{Ended, Removing};
use super::{Key, Reconciler, Session, removals};
use crate::docker::{DeployedAnew, Swarm};
use crate::fault::with_hint;
use crate::plan::{self, Decision, Evidence, Remove};
use crate::signal;
use crate::state::{Record, StackStatus, WorkKind};

/// So many docker calls that remove run at a time.
const AT_ONCE: usize = 8;
/// Networks go only after the last container has left them.
const PATIENCE: Duration = Duration::from_secs(60);

impl Reconciler {
    /// Begins to remove a stack, unless what depends on it goes first.
    pub fn remove(&mut self, session: &Session<'_>, key: &Key, disabled: bool, swarm: &Swarm) -> Result<()> {
        if self.memory.removing.contains_key(key) {
            return Ok(());
        }
        self.memory.has_acted = true;
        let source = self.source(key)?;
        let row = source.stack(&key.stack);
        let subject = source.subject(&key.stack);
        let found = plan::evidence(&key.stack, &source.id, row, swarm);
        let evidence = if is_broken!(RemovesWithoutEvidence) { Evidence::Whole } else { found };
        match evidence {
            Evidence::None => {
                let text = "left alone: nothing shows that DockerOps deployed it from this source";
                session.report.note(subject, text);
                self.removed(session, key, disabled, Ended::NotOurs)
            }
            Evidence::Services(ids) => {
                session.state.begin_work(&self.run(), WorkKind::Removing, key.stack.as_str())?;
                let removed = session.door.remove_services(&ids).map(|()| {
                    let text = "its services were removed; those added by hand, and their networks, stay";
                    session.report.removed(subject, text);
                });
                let removed = removed.and_then(|()| self.removed(session, key, disabled, Ended::Removed));
                self.removes_no_more(session, key)?;
                removed
            }
            Evidence::Whole => {
                if !self.has_leaving_dependent(key) {
                    let services = swarm.ids_of(&key.stack);
                    let removing = Removing { since: session.door.now().instant, disabled, services };
                    session.state.begin_work(&self.run(), WorkKind::Removing, key.stack.as_str())?;
                    self.memory.removing.insert(key.clone(), removing);
                }
                Ok(())
            }
        }
    }

    fn has_leaving_dependent(&self, key: &Key) -> bool {
        let Ok(source) = self.source(key) else { return false };
        let depends = |other: &&Key| {
            let row = source.stack(&other.stack);
            other.source == key.source && row.is_some_and(|row| row.depends_on.contains(&key.stack))
        };
        let leaves = |decision: &Decision| matches!(decision, Decision::Remove(Remove::FromSwarm { .. }));
        let mut leaving = self.memory.decisions.iter().filter(|(_, decision)| leaves(decision));
        self.memory.removing.keys().any(|other| depends(&other)) || leaving.any(|(other, _)| depends(&other))
    }

    /// One `docker stack rm` for each stack that is being removed.
    pub fn go_on_removing(&mut self, session: &Session<'_>) -> Result<()> {
        let removing: Vec<_> = self.memory.removing.clone().into_iter().collect();
        for some in removing.chunks(AT_ONCE) {
            signal::check()?;
            let stacks: Vec<_> = some.iter().map(|(key, it)| (&key.stack, &it.services)).collect();
            for ((key, removing), gone) in some.iter().zip(session.door.remove_stacks(&stacks)) {
                if let Err(why) = self.removed_once(session, key, removing, gone).contained()? {
                    self.fail(session, key, &why, false)?;
                }
            }
        }
        Ok(())
    }

    fn removed_once(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        removing: &Removing,
        gone: Result<bool>,
    ) -> Result<()> {
        if self.source(key)?.desired(&key.stack).is_some_and(|desired| desired.entry.enabled) {
            // It is wanted again: a decision is taken about what is there, as about any stack. What is not was no hand's doing.
            if let Some(row) = self.source(key)?.stack(&key.stack) {
                session.state.note_leaving(row, "its removal had begun when it was listed again")?;
            }
            self.removes_no_more(session, key)?;
            (self.stirred, self.memory.has_acted) = (true, true);
            return Ok(());
        }
        let anew = gone.as_ref().err().and_then(anyhow::Error::downcast_ref::<DeployedAnew>);
        if let Some(anew) = anew {
            self.removes_no_more(session, key)?;
            return Err(anyhow!("not removed: {anew}"));
        }
        let gone = gone.contained()?;
        if gone == Ok(true) {
            session.report.stop_waiting(key.stack.as_str());
            session.report.removed(self.source(key)?.subject(&key.stack), "removed; its volumes stay");
            // Before that nobody is to look for what is gone.
            self.removed(session, key, removing.disabled, Ended::Removed)?;
            return self.removes_no_more(session, key);
        }
        let patience = PATIENCE.min(session.deploy_timeout.max(Duration::from_secs(10)));
        if session.door.now().instant.duration_since(removing.since) < patience {
            session.report.waiting(key.stack.as_str(), "is being removed");
            return Ok(());
        }
        self.removes_no_more(session, key)?;
        let users = session.door.users_of_networks(&key.stack).contained()?.unwrap_or_default();
        let why = removals::kept(&key.stack, gone.err().map(|why| anyhow!(why)), &users);
        Err(anyhow!("not removed: {}", with_hint(&why)))
    }

    /// Others need not wait for it any more.
    pub fn removes_no_more(&mut self, session: &Session<'_>, key: &Key) -> Result<()> {
        self.memory.removing.remove(key);
        session.state.end_work(&self.run(), WorkKind::Removing, key.stack.as_str())
    }

    fn removed(&mut self, session: &Session<'_>, key: &Key, disabled: bool, ended: Ended) -> Result<()> {
        self.memory.happened.removed += usize::from(ended == Ended::Removed);
        self.memory.ended.insert(key.clone(), ended);
        self.stirred = true;
        self.memory.decided(key, Decision::in_sync());
        // Another run may have read the source since; it records nothing of a stack that is being removed.
        if self.source(key)?.is_overtaken && ended == Ended::NotOurs {
            return Ok(());
        }
        if disabled {
            return self.note_stopped(session, key);
        }
        match &self.source(key)?.row {
            Some(row) => session.state.forget_stack(&key.stack, &row.url),
            None => Ok(()),
        }
    }

    /// It is disabled, and does not run.
    pub fn note_stopped(&mut self, session: &Session<'_>, key: &Key) -> Result<()> {
        self.memory.decided(key, Decision::in_sync());
        let Some(record) = self.source(key)?.record(&key.stack, None) else { return Ok(()) };
        let services = Some(BTreeMap::new());
        session.state.record(&Record { status: StackStatus::Stopped, hash: Some(""), services, ..record })
    }

    /// It is another source's, or gone.
    pub fn forget(&mut self, session: &Session<'_>, key: &Key) -> Result<()> {
        self.memory.decisions.remove(key);
        match &self.source(key)?.row {
            Some(row) => session.state.forget_stack(&key.stack, &row.url),
            None => Ok(()),
        }
    }
}

impl Removing {
    /// The decision that is being carried out.
    pub fn decision(&self) -> Decision {
        let reason = "it is being removed".to_owned();
        Decision::Remove(Remove::FromSwarm { reason, disabled: self.disabled })
    }
}
