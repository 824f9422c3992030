//! Stacks that are given to docker. A call that takes long goes on beside the loop: docker asks registries meanwhile,
//! and one that does not answer holds up no other stack.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::memory::Given;
use super::{Key, Reconciler, Session};
use crate::source::SourceId;
use crate::state::WorkKind;

/// So long a turn waits for a call; most take less.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long a turn waits for all its calls; those that begin later go on beside the loop at once.
const ALL_PATIENCE: Duration = Duration::from_secs(4);
/// So many calls of one source go on beside the loop at a time, and so many of all.
const OF_A_SOURCE: usize = 8;
const MOST: usize = 32;

/// How long a call may be waited for that begins so long after its turn.
pub fn patience(turn: Duration) -> Duration {
    if turn < ALL_PATIENCE { PATIENCE } else { Duration::ZERO }
}

/// A call of docker.
#[derive(Debug)]
pub enum Giving {
    /// It came to its end.
    Done(Result<()>),
    /// It goes on.
    Running(Running),
}

/// A call that goes on; waited for when dropped, so that none is cut in half.
#[derive(Debug)]
pub struct Running {
    result: Receiver<Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Giving {
    /// Begins `call`, and waits for it as long as `patience` lasts.
    pub fn begin(patience: Duration, call: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        let (sender, result) = mpsc::channel();
        let work = move || drop(sender.send(call()));
        let thread = match thread::Builder::new().name("deploy".into()).spawn(work) {
            Ok(thread) => thread,
            Err(error) => return Self::Done(Err(anyhow!("cannot start a thread: {error}"))),
        };
        let running = Running { result, thread: Some(thread) };
        match running.result.recv_timeout(patience) {
            Ok(result) => Self::Done(result),
            Err(RecvTimeoutError::Timeout) => Self::Running(running),
            Err(RecvTimeoutError::Disconnected) => Self::Done(Err(cut_off())),
        }
    }
}

impl Running {
    fn ended(&self) -> Option<Result<()>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(cut_off())),
        }
    }

    fn end(&self) -> Result<()> {
        self.result.recv().unwrap_or_else(|_| Err(cut_off()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn cut_off() -> anyhow::Error {
    anyhow!("the call of docker came to an unexpected end")
}

impl Reconciler {
    /// A call goes on beside the loop.
    pub fn goes_on(&mut self, session: &Session<'_>, key: &Key, given: Given) -> Result<()> {
        session.state.begin_work(&self.run(), WorkKind::Deploying, key.stack.as_str())?;
        let tags = given.rendered.services.iter().filter_map(|service| service.image.as_ref());
        let asked: BTreeSet<_> = tags
            .filter(|image| image.digest().is_none())
            .map(|image| format!("`{}`", image.registry()))
            .collect();
        if !asked.is_empty() {
            let asked: Vec<_> = asked.into_iter().collect();
            let text = format!("docker has not answered: it asks {} for digests", asked.join(", "));
            session.report.waiting(key.stack.as_str(), &text);
        }
        self.memory.giving.insert(key.clone(), given);
        Ok(())
    }

    /// The calls that came to their end since.
    pub fn collect_given(&mut self, session: &Session<'_>) -> Result<()> {
        let ended: Vec<_> = self
            .memory
            .giving
            .iter()
            .filter_map(|(key, given)| Some((key.clone(), given.call.ended()?)))
            .collect();
        for (key, result) in ended {
            let Some(given) = self.memory.giving.remove(&key) else { continue };
            session.state.end_work(&self.run(), WorkKind::Deploying, key.stack.as_str())?;
            // What was seen before is not what docker has by now.
            (self.stirred, self.swarm) = (true, None);
            self.accepted(session, &key, result, &given)?;
        }
        Ok(())
    }

    /// Whether one more call of the source may go on beside the loop; else one of those that do ends first.
    pub fn may_give(&self, source: &SourceId) -> bool {
        let giving = &self.memory.giving;
        giving.len() < MOST && giving.keys().filter(|key| key.source == *source).count() < OF_A_SOURCE
    }

    /// Whether docker is being given a stack.
    pub fn is_giving(&self) -> bool {
        !self.memory.giving.is_empty()
    }

    /// Before a run is given up: waits for the calls that go on, and records what docker took. The next run would give
    /// it once more, and that of the stack which DockerOps runs in, whose new version ends this run, without an end.
    pub fn leave(&mut self, session: &Session<'_>) {
        for (key, given) in std::mem::take(&mut self.memory.giving) {
            if let Ok(()) = given.call.end() {
                let _ = self.accepted(session, &key, Ok(()), &given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_call_that_takes_long_goes_on_and_is_waited_for_at_the_end() {
        let begun = Instant::now();
        let Giving::Done(Err(error)) = Giving::begin(PATIENCE, || Err(anyhow!("no"))) else { panic!() };
        assert_eq!(error.to_string(), "no");
        let (sender, done) = mpsc::channel();
        let call = move || {
            thread::sleep(PATIENCE + Duration::from_secs(1));
            sender.send(()).unwrap();
            Ok(())
        };
        let Giving::Running(running) = Giving::begin(PATIENCE, call) else { panic!() };
        assert!(begun.elapsed() < PATIENCE + Duration::from_millis(900));
        assert!(running.ended().is_none());
        drop(running);
        done.try_recv().unwrap();
    }
}
