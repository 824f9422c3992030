//! Stacks rolled back over HTTP: in a thread of its own, which goes on once the request is answered.
//!
//! It does what the command does, beside the loop: it waits for no git server and for no other stack. The hold is noted
//! before anything else, so the next sync goes on with what was cut off.

use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, SendError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Error;

use super::wish::Wish;
use super::{Done, failed, refused};
use crate::daemon::Handle;
use crate::holding::{self, Back, Refusal, RolledBack, Subject};
use crate::report::{Pulse, Report};
use crate::settings::{LogFormat, Settings};
use crate::signal::Interrupted;
use crate::watched::watched;
use crate::web::response::Response;
use crate::writer::Writer;

/// So many go back at once; each waits until its stack runs.
const MOST: usize = 4;
/// A request waits so long for what is noted: a turn of another run, and files that are read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those that are under way.
#[derive(Debug)]
pub struct Backs {
    settings: Settings,
    log: LogFormat,
    places: Places,
}

/// The names of their stacks.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<Vec<String>>>);

/// One of them, until dropped.
struct Place {
    all: Places,
    stack: String,
}

/// What a thread is for.
struct Task {
    settings: Settings,
    log: LogFormat,
    stack: String,
    repository: Option<String>,
    back: Back,
    _place: Place,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(at) = all.iter().position(|stack| *stack == self.stack) {
            all.swap_remove(at);
        }
    }
}

impl Backs {
    pub fn new(settings: &Settings, log: LogFormat) -> Self {
        Self { settings: settings.clone(), log, places: Places::default() }
    }

    /// Whether a stack of that name is one of them.
    pub fn goes_back(&self, stack: &str) -> bool {
        self.places.lock().iter().any(|known| known == stack)
    }

    /// Begins it, and tells what was noted; what comes of it is told as of any deploy.
    pub fn begin(&self, handle: &Handle, subject: &Subject, wish: &Wish, by: &str) -> Result<Done, Response> {
        handle.has_database().map_err(|error| failed(&error))?;
        let stack = subject.to_string();
        let Some(place) = self.places.take(&stack) else {
            let what = format!("{MOST} stacks are just being rolled back");
            let hint = "nothing was noted: ask again when one of them runs, or has failed";
            return Err(Response::refusal(503, &what, hint).with("retry-after", "30"));
        };
        let back = Back {
            to: wish.to.clone(),
            reason: wish.reason.clone(),
            by: by.to_owned(),
            pin: wish.pin,
            without_bindings: wish.without_bindings,
        };
        let (settings, log) = (self.settings.clone(), self.log);
        let task = Task { settings, log, stack, repository: wish.repository.clone(), back, _place: place };
        let (tell, told) = channel();
        let begun = thread::Builder::new().name("rollback".to_owned()).spawn(move || task.run(&tell));
        begun.map_err(|error| failed(&Error::new(error).context("cannot begin it")))?;
        match told.recv_timeout(PATIENCE) {
            Ok(done) => done.map_err(refused),
            Err(RecvTimeoutError::Timeout) => {
                let hint = "`/api/v1/events` will tell whether it was; it is not given up";
                Err(Response::refusal(503, "it was not noted so far", hint))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let hint = "`/api/v1/events` tells whether it was noted";
                Err(Response::refusal(503, "it ended before it was told whether it was noted", hint))
            }
        }
    }
}

impl Task {
    fn run(self, tell: &Sender<Result<Done, Refusal>>) {
        let report = Rc::new(Report::of_daemon(self.log, Arc::new(Pulse::new())));
        let (writer, back, done) = match self.note(Rc::clone(&report)) {
            Ok(noted) => noted,
            Err(refusal) => {
                // Nobody waits for it any more.
                if let Err(SendError(Err(refusal))) = tell.send(Err(refusal)) {
                    report.failed(&*self.stack, &format!("not rolled back: {:#}", Error::from(refusal)));
                }
                return;
            }
        };
        let subject = done.subject.clone();
        let _ = tell.send(Ok(done));
        if let Err(error) = back.carry_out(&writer).map(drop)
            && !error.is::<Interrupted>()
        {
            let what = format!("the rollback was not seen to its end: {error:#}");
            report.failed(subject.about(&self.stack), &what);
        }
    }

    fn note(&self, report: Rc<Report>) -> Result<(Writer, RolledBack, Done), Refusal> {
        let writer = Writer::open_for(&self.settings, "rollback", report)?;
        let before = watched(&writer.state)?;
        let subject = Subject::stack(&before, &self.stack, self.repository.as_deref())?;
        let back = holding::roll_back(&writer, &before, &subject, self.back.clone())?;
        let done = Done::told(&writer, subject, back.noted.clone())?;
        Ok((writer, back, done))
    }
}

impl Places {
    fn take(&self, stack: &str) -> Option<Place> {
        let mut all = self.lock();
        if all.len() >= MOST {
            return None;
        }
        all.push(stack.to_owned());
        Some(Place { all: self.clone(), stack: stack.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_go_back_at_once_and_make_room_when_they_end() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..MOST).map(|_| places.take("web").unwrap()).collect();
        assert!(places.take("web").is_none() && places.take("db").is_none());
        taken.pop();
        let other = places.take("db");
        assert_eq!((places.lock().len(), other.is_some()), (MOST, true));
        taken.clear();
        assert_eq!(*places.lock(), ["db"]);
    }
}
