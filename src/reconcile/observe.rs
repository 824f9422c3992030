//! The Swarm as the loop sees it: looked at again only where what was seen may be wrong by now.

use std::time::Duration;

use anyhow::Result;

use super::source::WatchedSource;
use super::{Reconciler, Session};
use crate::docker::Swarm;

/// So long the Swarm is taken to be as it was seen, where nothing was done to it.
const FRESH: Duration = Duration::from_secs(5);
/// Likewise, where nothing is to be done either: a run that waits for servers tells how it was when it began.
const IDLE: Duration = Duration::from_secs(30);

impl Reconciler {
    /// The Swarm, as it was when the sources were asked or as it is now.
    pub fn observe(&mut self, session: &Session<'_>) -> Result<Swarm> {
        match self.swarm.take() {
            Some(swarm) => self.fresh(session, swarm),
            None => self.observe_anew(session),
        }
    }

    pub fn observe_anew(&mut self, session: &Session<'_>) -> Result<Swarm> {
        // What is done from now on may not be in it.
        self.memory.has_acted = false;
        let swarm = session.door.observe()?;
        self.memory.looked = Some(session.door.now().instant);
        Ok(swarm)
    }

    /// The Swarm as it is now: `swarm`, where that was seen in this turn and nothing was done since.
    pub fn fresh(&mut self, session: &Session<'_>, swarm: Swarm) -> Result<Swarm> {
        let most = if self.is_idle() { IDLE } else { FRESH };
        let is_old =
            self.memory.looked.is_none_or(|looked| session.door.now().instant.duration_since(looked) > most);
        if is_old || self.memory.has_acted || is_broken!(LooksAgainAndAgain) {
            self.observe_anew(session)
        } else {
            Ok(swarm)
        }
    }

    /// Whether nothing that was answered so far was read, and nothing is in motion.
    pub fn is_idle(&self) -> bool {
        let rests = |source: &WatchedSource| {
            source.read().is_none() && !source.is_overtaken && source.motions.is_empty()
        };
        self.sources.iter().all(rests)
            && self.memory.ended.is_empty()
            && self.memory.removing.is_empty()
            && self.memory.giving.is_empty()
            && !self.memory.given_elsewhere
    }

    /// Whether it is told by a later turn how the stacks fare that nobody touched: a command is still waiting for servers, and
    /// says all of it in the end.
    pub fn is_told_later(&self) -> bool {
        !self.options.go_on && self.expected().next().is_some() && self.is_idle()
    }
}
