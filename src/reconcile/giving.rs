//! Stacks that are given to docker, side by side. A call that takes long goes on beside the loop: docker asks registries
//! meanwhile, and one that does not answer holds up no other stack.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::memory::Given;
use super::{Key, Reconciler, Session};
use crate::compose::RenderedStack;
use crate::signal;
use crate::source::SourceId;
use crate::state::WorkKind;

/// So long a turn waits for the calls it began; most take less.
const PATIENCE: Duration = Duration::from_secs(4);
/// After so long it is looked whether a signal came.
const GLANCE: Duration = Duration::from_millis(250);
/// So many calls of one source go on at a time, and so many of all.
const OF_A_SOURCE: usize = 8;
const MOST: usize = 32;

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

/// By which calls tell that they came to their end, and where that is waited for.
#[derive(Debug)]
pub struct Ends {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl Default for Ends {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { sender, receiver }
    }
}

impl Ends {
    /// Sleeps until a call ends, at most for `time`.
    pub fn wait(&self, time: Duration) {
        let _ = self.receiver.recv_timeout(time);
        while self.receiver.try_recv().is_ok() {}
    }
}

impl Giving {
    /// Begins `call`.
    pub fn begin(ends: &Ends, call: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        let (sender, result) = mpsc::channel();
        let ended = ends.sender.clone();
        let work = move || {
            drop(sender.send(call()));
            let _ = ended.send(());
        };
        match thread::Builder::new().name("deploy".into()).spawn(work) {
            Ok(thread) => Self::Running(Running { result, thread: Some(thread) }),
            Err(error) => Self::Done(Err(anyhow!("cannot start a thread: {error}"))),
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
    /// Waits until one more call of the source may begin; `false` where that is not to be had in this turn.
    pub fn may_give(&mut self, session: &Session<'_>, source: &SourceId) -> Result<bool> {
        loop {
            let giving = &self.memory.giving;
            let of_it = giving.keys().filter(|key| key.source == *source).count();
            if giving.len() < MOST && of_it < OF_A_SOURCE {
                return Ok(true);
            }
            if !self.wait_for_calls(session)? {
                return Ok(false);
            }
        }
    }

    /// Waits for the calls that make what a stack takes from others: docker refuses it where that is not there.
    pub fn wait_for_makers(&mut self, session: &Session<'_>, rendered: &RenderedStack) -> Result<()> {
        let taken = rendered.taken();
        let makes = |given: &Given| given.rendered.objects.iter().any(|object| taken.contains(&object.name));
        while self.memory.giving.values().any(makes) && self.wait_for_calls(session)? {}
        Ok(())
    }

    /// Waits for the calls that this turn began. Those that take long go on beside the loop.
    pub fn wait_for_given(&mut self, session: &Session<'_>) -> Result<()> {
        while self.memory.giving.values().any(|given| !given.goes_on) && self.wait_for_calls(session)? {}
        let late = self.memory.giving.iter_mut().filter(|(_, given)| !given.goes_on);
        let late: Vec<_> = late
            .map(|(key, given)| {
                given.goes_on = true;
                let tags = given.rendered.services.iter().filter_map(|service| service.image.as_ref());
                let tags = tags.filter(|image| image.digest().is_none());
                let asked: BTreeSet<_> = tags.map(|image| format!("`{}`", image.registry())).collect();
                (key.clone(), asked.into_iter().collect::<Vec<_>>().join(", "))
            })
            .collect();
        for (key, asked) in late {
            session.state.begin_work(&self.run(), WorkKind::Deploying, key.stack.as_str())?;
            if !asked.is_empty() {
                let text = format!("docker has not answered: it asks {asked} for digests");
                session.report.waiting(key.stack.as_str(), &text);
            }
        }
        Ok(())
    }

    /// Takes up what came of calls; `false` where the turn has waited long enough.
    fn wait_for_calls(&mut self, session: &Session<'_>) -> Result<bool> {
        let now = session.door.now().instant;
        let begun = self.memory.turn_begun.unwrap_or(now);
        let left = PATIENCE.saturating_sub(now.duration_since(begun));
        if left.is_zero() {
            return Ok(false);
        }
        self.ends.wait(left.min(GLANCE));
        signal::check()?;
        for (key, given, result) in self.ended(session)? {
            self.accepted(session, &key, result, &given)?;
        }
        Ok(true)
    }

    /// The calls that came to their end since, and what came of each.
    fn ended(&mut self, session: &Session<'_>) -> Result<Vec<(Key, Given, Result<()>)>> {
        let ended =
            self.memory.giving.iter().filter_map(|(key, given)| Some((key.clone(), given.call.ended()?)));
        let ended: Vec<_> = ended.collect();
        let mut taken = Vec::new();
        for (key, result) in ended {
            let Some(given) = self.memory.giving.remove(&key) else { continue };
            if given.goes_on {
                session.state.end_work(&self.run(), WorkKind::Deploying, key.stack.as_str())?;
            }
            taken.push((key, given, result));
        }
        Ok(taken)
    }

    /// What came of the calls that went on beside the loop.
    pub fn collect_given(&mut self, session: &Session<'_>) -> Result<()> {
        for (key, given, result) in self.ended(session)? {
            // What was seen before is not what docker has by now.
            (self.stirred, self.swarm) = (true, None);
            self.accepted(session, &key, result, &given)?;
        }
        Ok(())
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
    fn a_call_tells_that_it_ended_and_is_waited_for_when_dropped() {
        let (ends, begun) = (Ends::default(), Instant::now());
        let Giving::Running(running) = Giving::begin(&ends, || Err(anyhow!("no"))) else { panic!() };
        ends.wait(Duration::from_secs(10));
        assert_eq!(running.ended().unwrap().unwrap_err().to_string(), "no");
        let (sender, done) = mpsc::channel();
        let call = move || {
            thread::sleep(Duration::from_millis(300));
            sender.send(()).unwrap();
            Ok(())
        };
        let Giving::Running(running) = Giving::begin(&ends, call) else { panic!() };
        ends.wait(Duration::from_millis(20));
        assert!(running.ended().is_none());
        drop(running);
        done.try_recv().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
