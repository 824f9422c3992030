//! Stacks are removed side by side, each after those that depend on it.
//!
//! In: stacks that are proven ours, in an order without circles. Out: each one's end, told to the caller's thread as
//! soon as it is known. A stack that waits for a network to come free keeps no other from going.

pub mod order;

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};

use crate::docker::{DeployedAnew, Docker};
use crate::fault::fault;
use crate::signal::{self, Interrupted};
use crate::stack::StackName;

/// So many docker calls run at a time.
const CALLS: usize = 8;
/// Between two calls for one stack: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(400), Duration::from_secs(1)];
/// Between two looks for a signal.
const TICK: Duration = Duration::from_millis(50);

/// A stack that is to go.
#[derive(Debug, Clone)]
pub struct Leaving {
    pub name: StackName,
    /// Its services that go, by id.
    pub services: BTreeSet<String>,
    /// Whether others of it stay.
    pub is_part: bool,
    /// By their index in the list: no container of these runs any more when this one's turn comes.
    pub after: Vec<usize>,
}

/// Who is told, on the thread that asked.
pub trait Observer {
    /// The stack at this index is waited for.
    fn waiting(&mut self, index: usize, what: &str);
    /// It came to its end: nothing of it is left, or why not. An error ends the whole.
    fn ended(&mut self, index: usize, result: Result<()>) -> Result<()>;
}

#[derive(Debug, Clone, Copy)]
enum Ask {
    Remove,
    IsDown,
    Users,
}

enum Answer {
    /// Whether nothing is left.
    Removed(Result<bool>),
    Down(Result<bool>),
    Users(Result<Vec<String>>),
}

#[derive(Debug)]
enum Turn {
    /// Others go first.
    Waits,
    /// This is asked next, not before then.
    Due(Ask, Instant),
    /// docker is being asked.
    Asked,
    Ended {
        well: bool,
    },
}

struct Stack {
    turn: Turn,
    until: Instant,
    pause: Duration,
    /// Whether others wait for its containers to end.
    is_awaited: bool,
    is_down: bool,
    is_gone: bool,
    trouble: Option<Error>,
}

/// Removes all `leaving`; each has `patience` from its first call on. An error only where the run must end.
pub fn run(
    docker: &Docker,
    leaving: &[Leaving],
    patience: Duration,
    observer: &mut dyn Observer,
) -> Result<()> {
    let (asks, asked) = mpsc::channel::<(usize, Ask)>();
    let (answers, answered) = mpsc::channel();
    let asked = Mutex::new(asked);
    thread::scope(|threads| {
        for _ in 0..CALLS.min(leaving.len()) {
            let (asked, answers) = (&asked, answers.clone());
            threads.spawn(move || work(docker, leaving, asked, &answers));
        }
        // Dropped at the end, which lets the threads go.
        Removals::new(leaving, patience, observer, asks).run(&answered)
    })
}

fn work(
    docker: &Docker,
    leaving: &[Leaving],
    asked: &Mutex<Receiver<(usize, Ask)>>,
    answers: &Sender<(usize, Answer)>,
) {
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((index, ask)) = next else { return };
        let Leaving { name, services, is_part, .. } = &leaving[index];
        let answer = match ask {
            Ask::Remove if *is_part => {
                let ids: Vec<_> = services.iter().map(String::as_str).collect();
                Answer::Removed(docker.remove_services(&ids).map(|()| true))
            }
            Ask::Remove => Answer::Removed(docker.remove_stack(name, services)),
            Ask::IsDown => Answer::Down(docker.is_down(name)),
            Ask::Users => Answer::Users(docker.users_of_networks(name)),
        };
        if answers.send((index, answer)).is_err() {
            return;
        }
    }
}

struct Removals<'a> {
    leaving: &'a [Leaving],
    stacks: Vec<Stack>,
    patience: Duration,
    observer: &'a mut dyn Observer,
    asks: Sender<(usize, Ask)>,
    under_way: usize,
}

impl<'a> Removals<'a> {
    fn new(
        leaving: &'a [Leaving],
        patience: Duration,
        observer: &'a mut dyn Observer,
        asks: Sender<(usize, Ask)>,
    ) -> Self {
        let stacks = (0..leaving.len()).map(|index| Stack {
            turn: Turn::Waits,
            until: Instant::now(),
            pause: PAUSES[0],
            is_awaited: leaving.iter().any(|other| other.after.contains(&index)),
            is_down: false,
            is_gone: false,
            trouble: None,
        });
        Self { stacks: stacks.collect(), leaving, patience, observer, asks, under_way: 0 }
    }

    fn run(mut self, answered: &Receiver<(usize, Answer)>) -> Result<()> {
        loop {
            signal::check()?;
            self.begin()?;
            self.ask()?;
            if self.stacks.iter().all(|stack| matches!(stack.turn, Turn::Ended { .. })) {
                return Ok(());
            }
            match answered.recv_timeout(TICK) {
                Ok((index, answer)) => {
                    self.under_way -= 1;
                    self.hear(index, answer)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("nobody asks docker any more")),
            }
        }
    }

    /// Those whose turn has come. One that others depend on stays while these could not be taken down.
    fn begin(&mut self) -> Result<()> {
        let now = Instant::now();
        for index in 0..self.stacks.len() {
            if !matches!(self.stacks[index].turn, Turn::Waits) {
                continue;
            }
            let before = || self.leaving[index].after.iter();
            let runs_on = |other: &&usize| {
                matches!(self.stacks[**other].turn, Turn::Ended { well: false })
                    && !self.stacks[**other].is_down
            };
            if let Some(other) = before().find(runs_on) {
                let other = &self.leaving[*other].name;
                let why = anyhow!("`{other}`, which needs it, could not be removed");
                self.end(index, Err(why))?;
            } else if before().all(|other| {
                self.stacks[*other].is_down || matches!(self.stacks[*other].turn, Turn::Ended { .. })
            }) {
                self.stacks[index].until = now + self.patience;
                self.stacks[index].turn = Turn::Due(Ask::Remove, now);
                self.observer.waiting(index, "is being removed");
            }
        }
        Ok(())
    }

    /// Asks docker for those that are due, the longest due first.
    fn ask(&mut self) -> Result<()> {
        let now = Instant::now();
        let mut due: Vec<_> = (0..self.stacks.len())
            .filter_map(|index| match self.stacks[index].turn {
                Turn::Due(ask, when) if when <= now => Some((when, index, ask)),
                _ => None,
            })
            .collect();
        due.sort_by_key(|(when, index, _)| (*when, *index));
        for (_, index, ask) in due.into_iter().take(CALLS - self.under_way) {
            self.stacks[index].turn = Turn::Asked;
            self.under_way += 1;
            self.asks.send((index, ask)).context("nobody asks docker any more")?;
        }
        Ok(())
    }

    fn hear(&mut self, index: usize, answer: Answer) -> Result<()> {
        let Leaving { name, is_part, .. } = &self.leaving[index];
        let stack = &mut self.stacks[index];
        let was_removal = matches!(answer, Answer::Removed(_));
        match answer {
            Answer::Removed(Err(error)) | Answer::Down(Err(error)) | Answer::Users(Err(error))
                if error.is::<Interrupted>() =>
            {
                return Err(error);
            }
            Answer::Removed(Err(error)) if *is_part || error.is::<DeployedAnew>() => {
                return self.end(index, Err(error));
            }
            Answer::Removed(result) => {
                stack.is_gone = matches!(result, Ok(true));
                stack.trouble = result.err();
            }
            Answer::Down(result) => stack.is_down = matches!(result, Ok(true)),
            Answer::Users(users) => {
                let why = kept(name, stack.trouble.take(), &users.unwrap_or_default());
                return self.end(index, Err(why));
            }
        }
        let is_late = Instant::now() >= stack.until;
        let is_awaited = stack.is_awaited && !stack.is_down;
        if stack.is_gone && (is_late || !is_awaited) {
            return self.end(index, Ok(()));
        }
        let (ask, pause) = if is_late {
            (Ask::Users, Duration::ZERO)
        } else if is_awaited && was_removal {
            (Ask::IsDown, if stack.is_gone { stack.pause } else { Duration::ZERO })
        } else {
            (if stack.is_gone { Ask::IsDown } else { Ask::Remove }, stack.pause)
        };
        if !pause.is_zero() {
            stack.pause = (stack.pause * 2).min(PAUSES[1]);
        }
        stack.turn = Turn::Due(ask, Instant::now() + pause);
        let what = if stack.is_gone { "stops its containers" } else { "is being removed" };
        self.observer.waiting(index, what);
        Ok(())
    }

    fn end(&mut self, index: usize, result: Result<()>) -> Result<()> {
        self.stacks[index].turn = Turn::Ended { well: result.is_ok() };
        self.observer.ended(index, result)
    }
}

/// Why a stack is still there, and who keeps it.
pub fn kept(name: &StackName, trouble: Option<Error>, users: &[String]) -> Error {
    let trouble = trouble.map_or_else(
        || format!("`docker stack rm {name}` leaves something behind"),
        |error| format!("{error:#}"),
    );
    if users.is_empty() {
        return fault(trouble, "what docker names still uses it: remove that, and run the command again");
    }
    fault(
        format!("{}; docker says: {trouble}", users.join("; ")),
        "remove or disconnect these, and run again",
    )
}
