//! Work that was asked for: waiting, under way, and what became of it, as long as memory is bounded.
//!
//! Repeated triggers of the same target merge while they wait. Pure but for the clock.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::Serialize;

use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::now;

/// So many jobs may wait; a trigger beyond them fails at once.
const MOST_WAITING: usize = 1_000;
/// So many jobs that came to their end are remembered.
const MOST_ENDED: usize = 1_000;
/// The most letters of a job's causes.
const MOST_LETTERS: usize = 300;

/// What is to be synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every watched source.
    All,
    /// One source, by its identity.
    Source(SourceId),
    /// One source, for a commit that changed this stack.
    Change { source: SourceId, stack: StackName },
    /// One stack of the source that has it, by name.
    Stack(String),
    /// The services that use this image, `name:tag`, whatever the pull policy.
    Image(String),
    /// The source that builds this image, which is built again.
    Build(String),
}

impl Scope {
    /// The source that is synced, where it is one, and as a whole.
    pub fn source(&self) -> Option<&SourceId> {
        match self {
            Self::Source(source) | Self::Change { source, .. } => Some(source),
            Self::All | Self::Stack(_) | Self::Image(_) | Self::Build(_) => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all sources"),
            Self::Source(identity) => write!(f, "source `{identity}`"),
            Self::Change { source, stack } => write!(f, "stack `{stack}` of source `{source}`"),
            Self::Stack(name) => write!(f, "stack `{name}`"),
            Self::Build(reference) => write!(f, "build of `{reference}`"),
            Self::Image(reference) => write!(f, "image `{reference}`"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Trigger {
    pub scope: Scope,
    /// Whether to deploy again what did not change, held stacks included.
    pub force: bool,
    /// Who or what asked, in words: `push to main`.
    pub cause: String,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forced = if self.force { ", forced" } else { "" };
        write!(f, "{}{forced}", self.scope)
    }
}

/// Names a job: grows, and is not used again after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(u64);

impl JobId {
    /// Reads what `Display` wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    Running,
    Done,
    /// It, or a stack or source of it, failed.
    Failed,
}

/// A job as others may see it.
#[derive(Debug, Clone, Serialize)]
pub struct JobView {
    pub id: JobId,
    /// For what, in words.
    pub target: String,
    pub force: bool,
    /// Who asked; several, if triggers merged.
    pub cause: String,
    pub state: JobState,
    /// How it went, in words; none before its end.
    pub outcome: Option<String>,
    /// When it was first asked for, RFC 3339.
    pub queued: String,
    pub started: Option<String>,
    pub finished: Option<String>,
}

/// A job that is handed out to be done.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    pub trigger: Trigger,
}

#[derive(Debug)]
pub struct Queue {
    next: u64,
    waiting: VecDeque<Job>,
    views: BTreeMap<JobId, JobView>,
    ended: VecDeque<JobId>,
}

impl Queue {
    /// Empty; ids begin behind `first`.
    pub fn new(first: u64) -> Self {
        Self { next: first, waiting: VecDeque::new(), views: BTreeMap::new(), ended: VecDeque::new() }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a wish; merges it with a waiting job for the same target.
    pub fn push(&mut self, trigger: Trigger) -> JobId {
        if let Some(job) = self.waiting.iter_mut().find(|job| job.trigger.scope == trigger.scope) {
            job.trigger.force |= trigger.force;
            if let Some(view) = self.views.get_mut(&job.id) {
                view.force = job.trigger.force;
                add_cause(&mut view.cause, &trigger.cause);
            }
            return job.id;
        }
        self.next += 1;
        let id = JobId(self.next);
        self.views.insert(
            id,
            JobView {
                id,
                target: trigger.scope.to_string(),
                force: trigger.force,
                cause: trigger.cause.chars().take(MOST_LETTERS).collect(),
                state: JobState::Queued,
                outcome: None,
                queued: now(),
                started: None,
                finished: None,
            },
        );
        if self.waiting.len() >= MOST_WAITING {
            self.end(id, Err(format!("not done: {MOST_WAITING} jobs are waiting already")));
        } else {
            self.waiting.push_back(Job { id, trigger });
        }
        id
    }

    /// The next job; with one for a source come all others for sources, which are done together.
    pub fn take(&mut self) -> Vec<Job> {
        let Some(first) = self.waiting.pop_front() else { return Vec::new() };
        let mut jobs = vec![first];
        if joins(&jobs[0]) {
            let (more, rest) = self.waiting.drain(..).partition(joins);
            self.waiting = rest;
            jobs.extend::<VecDeque<_>>(more);
        }
        for job in &jobs {
            if let Some(view) = self.views.get_mut(&job.id) {
                view.state = JobState::Running;
                view.started = Some(now());
            }
        }
        jobs
    }

    /// Notes how a job went; the oldest that ended are forgotten.
    pub fn end(&mut self, id: JobId, outcome: Result<String, String>) {
        let Some(view) = self.views.get_mut(&id) else { return };
        view.state = if outcome.is_ok() { JobState::Done } else { JobState::Failed };
        view.outcome = Some(outcome.unwrap_or_else(|why| why));
        view.finished = Some(now());
        self.ended.push_back(id);
        if self.ended.len() > MOST_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.views.remove(&oldest);
        }
    }

    /// The job, unless it is unknown or long ended.
    pub fn view(&self, id: JobId) -> Option<JobView> {
        self.views.get(&id).cloned()
    }
}

fn joins(job: &Job) -> bool {
    job.trigger.scope.source().is_some() && !job.trigger.force
}

fn add_cause(causes: &mut String, cause: &str) {
    if !causes.split(", ").any(|known| known == cause) && causes.len() + cause.len() < MOST_LETTERS {
        causes.push_str(", ");
        causes.push_str(cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(scope: Scope, force: bool, cause: &str) -> Trigger {
        Trigger { scope, force, cause: cause.into() }
    }

    fn source(name: &str) -> Trigger {
        trigger(Scope::Source(name.into()), false, "push")
    }

    #[test]
    fn repeated_triggers_merge_while_they_wait_and_not_later() {
        let mut queue = Queue::new(7);
        let first = queue.push(source("a"));
        assert_eq!(queue.push(trigger(Scope::Source("a".into()), true, "button")), first);
        assert_eq!(queue.push(source("a")), first);
        let view = queue.view(first).unwrap();
        assert_eq!((view.force, &*view.cause, view.state), (true, "push, button", JobState::Queued));
        assert_eq!(queue.take().len(), 1);
        assert_eq!(queue.view(first).unwrap().state, JobState::Running);
        assert_ne!(queue.push(source("a")), first, "what comes while it runs needs another run");
    }

    #[test]
    fn sources_are_done_together_in_their_turn() {
        let mut queue = Queue::new(0);
        queue.push(trigger(Scope::Stack("web".into()), false, "x"));
        queue.push(source("a"));
        queue.push(trigger(Scope::All, false, "x"));
        queue.push(source("b"));
        queue.push(trigger(Scope::Source("c".into()), true, "x"));
        let mut scopes =
            || queue.take().into_iter().map(|job| job.trigger.scope.to_string()).collect::<Vec<_>>();
        assert_eq!(scopes(), ["stack `web`"]);
        assert_eq!(scopes(), ["source `a`", "source `b`"]);
        assert_eq!(scopes(), ["all sources"]);
        assert_eq!(scopes(), ["source `c`"]);
        assert!(scopes().is_empty() && queue.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut queue = Queue::new(0);
        let ids: Vec<_> =
            (0..MOST_WAITING + 2).map(|number| queue.push(source(&number.to_string()))).collect();
        let refused = queue.view(*ids.last().unwrap()).unwrap();
        assert_eq!(refused.state, JobState::Failed);
        for job in queue.take() {
            queue.end(job.id, Ok("1 unchanged".into()));
        }
        assert_eq!((queue.views.len(), queue.ended.len()), (MOST_ENDED, MOST_ENDED));
        assert_eq!(queue.view(ids[MOST_WAITING - 1]).unwrap().outcome.as_deref(), Some("1 unchanged"));
        for number in 0..50 {
            queue.push(trigger(Scope::All, false, &format!("cause {number} of many")));
        }
        assert!(queue.waiting.len() == 1);
        let view = queue.views.values().last().unwrap();
        assert!(view.cause.len() <= MOST_LETTERS, "{}", view.cause);
    }

    #[test]
    fn an_id_is_read_back() {
        let id = Queue::new(41).push(source("a"));
        assert_eq!((id.to_string().as_str(), JobId::parse("42")), ("42", Some(id)));
        assert!(JobId::parse("x").is_none());
    }
}
