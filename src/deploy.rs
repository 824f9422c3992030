//! Deploys stacks and waits for them, all together, each after those it depends on.
//!
//! In: jobs and what is settled already. Out: an outcome a stack, told as soon as it is known. One that
//! fails stops nothing but those that depend on it.

mod pulls;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::compose::{Ownership, RenderedStack};
use crate::convergence::{Progress, Watch, judge};
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::docker::task::Task;
use crate::docker::{Deployment, Docker, Roll, Swarm};
use crate::image::ImageCommand;
use crate::signal;
use crate::stack::StackName;
use pulls::Pulls;

/// Between two looks at the Swarm.
const PAUSE: Duration = Duration::from_millis(500);
/// So many looks in a row may fail before the wait is given up.
const MOST_BLIND_LOOKS: u8 = 5;

/// One stack to deploy and wait for.
#[derive(Debug)]
pub struct Job<'a> {
    /// The stack as docker will get it.
    pub rendered: &'a RenderedStack,
    /// What its labels will say.
    pub ownership: Ownership,
    /// Stacks that must have converged before.
    pub depends_on: &'a [StackName],
    /// What is to be done.
    pub work: Work,
    /// Images that are brought to this node before.
    pub pulls: BTreeSet<String>,
    /// Why, in words.
    pub reason: String,
}

/// How a stack comes to be what it should be.
#[derive(Debug)]
pub enum Work {
    /// `docker stack deploy`.
    Deploy {
        /// Which images docker asks for.
        resolve: ResolveImage,
        /// Services that a hand gave another image: docker is to look at these again.
        edited: Vec<String>,
    },
    /// These services get a new image, and nothing else is touched.
    Roll(Vec<Roll>),
    /// It runs already, and is only waited for.
    Nothing,
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was done, and why: it keeps what it runs.
    Kept(String),
    /// Every service has the tasks it asks for; the services as they are now.
    Converged(Vec<Service>),
    /// It did not.
    Failed {
        /// Why, in docker's or the task's own words.
        why: String,
        /// Whether it is not to be tried again until the source changes.
        held: bool,
    },
}

/// What a stack that others of its source may depend on came to: fine, or failed and perhaps held. By the
/// source's identity and the name: another source may list the same name, in vain.
pub type Settled = BTreeMap<(String, StackName), Result<(), bool>>;

/// Who is told how it goes.
pub trait Observer {
    /// The stack is being deployed.
    fn deploying(&mut self, stack: &StackName);
    /// docker accepted the job with this index: what comes of it may be seen by another run.
    fn accepted(&mut self, job: usize) -> Result<()>;
    /// What the stack is waited for.
    fn waiting(&mut self, stack: &StackName, what: &str);
    /// How far the pull of an image is.
    fn pulling(&mut self, image: &str, what: &str);
    /// The pull of an image came to its end; `Err` holds docker's words.
    fn pulled(&mut self, image: &str, result: &Result<(), String>) -> Result<()>;
    /// The job with this index came to its end.
    fn finished(&mut self, job: usize, outcome: &Outcome) -> Result<()>;
}

struct Wait {
    job: usize,
    deadline: Instant,
    watches: BTreeMap<String, Watch>,
}

struct Run<'a> {
    docker: &'a Docker,
    /// Where docker finds copies of what it is to read.
    folder: &'a Path,
    jobs: &'a [Job<'a>],
    timeout: Duration,
    settled: Settled,
    observer: &'a mut dyn Observer,
    pulls: Pulls,
    pending: Vec<usize>,
    waits: Vec<Wait>,
    /// Of the images that were read in this run.
    images: BTreeMap<String, ImageCommand>,
}

/// Does all `jobs`, with copies of their files below `folder`, and adds what they came to to `settled`; an error only where the run itself must end (a
/// signal, the database).
pub fn run<'a>(
    docker: &'a Docker,
    folder: &'a Path,
    jobs: &'a [Job<'a>],
    settled: Settled,
    timeout: Duration,
    observer: &'a mut dyn Observer,
) -> Result<Settled> {
    let pending = (0..jobs.len()).collect();
    let (waits, images) = (Vec::new(), BTreeMap::new());
    let pulls = Pulls::start(docker, jobs.iter().flat_map(|job| job.pulls.iter().cloned()).collect())?;
    let mut run = Run { docker, folder, jobs, timeout, settled, observer, pulls, pending, waits, images };
    let mut blind_looks = 0;
    loop {
        run.pulls.tell(run.observer)?;
        run.begin_what_can_begin()?;
        if run.waits.is_empty() && run.pending.is_empty() {
            return Ok(run.settled);
        }
        match run.look() {
            Ok(()) => blind_looks = 0,
            Err(error) if error.is::<signal::Interrupted>() => return Err(error),
            Err(error) => {
                blind_looks += 1;
                if blind_looks >= MOST_BLIND_LOOKS {
                    run.give_up(&error)?;
                }
            }
        }
        if run.waits.is_empty() {
            run.pulls.wait(PAUSE)?;
        } else {
            pause(PAUSE)?;
        }
    }
}

/// Sleeps, unless a signal asks the run to end.
pub fn pause(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        signal::check()?;
        thread::sleep(Duration::from_millis(50).min(time));
    }
    signal::check()
}

impl Run<'_> {
    /// Deploys every pending stack whose dependencies are fine, and fails those whose are not.
    fn begin_what_can_begin(&mut self) -> Result<()> {
        loop {
            let ready = self.pending.iter().position(|job| self.readiness(*job).is_some());
            let Some(at) = ready else { return Ok(()) };
            signal::check()?;
            let job = self.pending.remove(at);
            if let Some(Err(outcome)) = self.readiness(job) {
                self.finish(job, &outcome)?;
                continue;
            }
            match self.work(job) {
                Ok(None) => self.observer.accepted(job)?,
                Ok(Some(outcome)) => {
                    self.finish(job, &outcome)?;
                    continue;
                }
                Err(error) if error.is::<signal::Interrupted>() => return Err(error),
                Err(error) => {
                    self.finish(job, &Outcome::Failed { why: format!("{error:#}"), held: false })?;
                    continue;
                }
            }
            let deadline = Instant::now() + self.timeout;
            self.waits.push(Wait { job, deadline, watches: BTreeMap::new() });
        }
    }

    /// `None` while a dependency or a pull is under way.
    fn readiness(&self, job: usize) -> Option<Result<(), Outcome>> {
        let Job { ownership, depends_on, pulls, .. } = &self.jobs[job];
        for name in *depends_on {
            match self.settled.get(&(ownership.repository.clone(), name.clone())) {
                Some(Err(held)) => {
                    let why = format!("not deployed: it depends on `{name}`, which failed");
                    return Some(Err(Outcome::Failed { why, held: *held }));
                }
                None if self.is_job(&ownership.repository, name) => return None,
                // It is fine, or not touched in this run.
                Some(Ok(())) | None => {}
            }
        }
        if pulls.iter().any(|image| self.pulls.is_under_way(image)) {
            return None;
        }
        Some(Ok(()))
    }

    fn is_job(&self, repository: &str, name: &StackName) -> bool {
        self.jobs.iter().any(|job| job.ownership.repository == repository && job.rendered.name == *name)
    }

    /// `None` where the stack is now to be waited for.
    fn work(&mut self, job: usize) -> Result<Option<Outcome>> {
        match &self.jobs[job].work {
            Work::Deploy { resolve, edited } => self.deploy(job, *resolve, edited).map(|()| None),
            Work::Roll(rolls) => self.roll(job, rolls),
            Work::Nothing => Ok(None),
        }
    }

    /// A new image that this node cannot pull would most likely fail on the others too: what runs stays.
    fn roll(&mut self, job: usize, rolls: &[Roll]) -> Result<Option<Outcome>> {
        let Job { rendered, pulls, .. } = &self.jobs[job];
        let failed = pulls.iter().find_map(|image| Some((image, self.pulls.failure(image)?)));
        if let Some((image, why)) = failed.filter(|(_, why)| !pulls::is_for_other_platforms(why)) {
            let why = format!("`{image}` has changed in its registry, and could not be pulled: {why}");
            return Ok(Some(Outcome::Kept(why)));
        }
        self.observer.deploying(&rendered.name);
        for roll in rolls {
            let command = self.command_after(rendered, roll)?;
            self.docker.roll(roll, command.as_deref())?;
        }
        Ok(None)
    }

    fn deploy(&mut self, job: usize, resolve: ResolveImage, edited: &[String]) -> Result<()> {
        let Job { rendered, ownership, .. } = &self.jobs[job];
        self.observer.deploying(&rendered.name);
        let rendered = &self.with_secrets(rendered, ownership, resolve)?;
        for service in edited {
            self.docker.forget_image(service)?;
        }
        let (text, copies) = (rendered.text(ownership)?, rendered.copies(self.folder)?);
        self.docker.deploy(Deployment { name: &rendered.name, text, folder: copies.path(), resolve })
    }

    /// One look at all stacks that are waited for.
    fn look(&mut self) -> Result<()> {
        let names: BTreeSet<&StackName> =
            self.waits.iter().map(|wait| &self.jobs[wait.job].rendered.name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let (swarm, tasks) = self.docker.observe_tasks(&names)?;
        let now = Instant::now();
        for mut wait in std::mem::take(&mut self.waits) {
            let rendered = self.jobs[wait.job].rendered;
            match judge_stack(rendered, &swarm, &tasks, &mut wait.watches, now) {
                Ok(services) => self.finish(wait.job, &Outcome::Converged(services))?,
                Err(Progress::Failed { why, stopped }) => {
                    self.finish(wait.job, &Outcome::Failed { why, held: stopped })?;
                }
                Err(Progress::Steadying(_)) if now >= wait.deadline => {
                    let services = swarm.of_stack(&rendered.name).cloned().collect();
                    self.finish(wait.job, &Outcome::Converged(services))?;
                }
                Err(Progress::Waiting(what)) if now >= wait.deadline => {
                    let why = format!("did not converge within {} s: {what}", self.timeout.as_secs());
                    self.finish(wait.job, &Outcome::Failed { why, held: false })?;
                }
                Err(Progress::Waiting(what) | Progress::Steadying(what)) => {
                    self.observer.waiting(&rendered.name, &what);
                    self.waits.push(wait);
                }
                Err(Progress::Done) => self.waits.push(wait),
            }
        }
        Ok(())
    }

    fn give_up(&mut self, error: &anyhow::Error) -> Result<()> {
        for wait in std::mem::take(&mut self.waits) {
            let why = format!("deployed, but the Swarm could not be asked whether it converged: {error:#}");
            self.finish(wait.job, &Outcome::Failed { why, held: false })?;
        }
        Ok(())
    }

    fn finish(&mut self, job: usize, outcome: &Outcome) -> Result<()> {
        let settled = match outcome {
            Outcome::Converged(_) | Outcome::Kept(_) => Ok(()),
            Outcome::Failed { held, .. } => Err(*held),
        };
        let Job { rendered, ownership, .. } = &self.jobs[job];
        self.settled.insert((ownership.repository.clone(), rendered.name.clone()), settled);
        self.observer.finished(job, outcome)
    }
}

/// The stack's services if all are done, else the worst that can be said of it.
fn judge_stack(
    rendered: &RenderedStack,
    swarm: &Swarm,
    tasks: &[Task],
    watches: &mut BTreeMap<String, Watch>,
    now: Instant,
) -> Result<Vec<Service>, Progress> {
    let (mut services, mut waiting, mut steadying, mut failed) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut by_swarm = false;
    for service in &rendered.services {
        let name = rendered.name.scope(&service.name);
        let Some(live) = swarm.of_stack(&rendered.name).find(|live| live.name == name) else {
            waiting.push(format!("`{name}` is not there"));
            continue;
        };
        let own: Vec<_> = tasks.iter().filter(|task| task.service == live.id).collect();
        match judge(live, &own, watches.entry(name.clone()).or_default(), now) {
            Progress::Done => services.push(live.clone()),
            Progress::Steadying(what) => steadying.push(format!("`{name}` {what}")),
            Progress::Waiting(what) => waiting.push(format!("`{name}` {what}")),
            Progress::Failed { why, stopped } => {
                by_swarm |= stopped;
                failed.push(format!("`{name}`: {why}"));
            }
        }
    }
    if !failed.is_empty() {
        return Err(Progress::Failed { why: failed.join("; "), stopped: by_swarm });
    }
    if !waiting.is_empty() {
        return Err(Progress::Waiting(waiting.join("; ")));
    }
    if steadying.is_empty() { Ok(services) } else { Err(Progress::Steadying(steadying.join("; "))) }
}
