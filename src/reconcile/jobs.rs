//! Jobs of a stack: a deploy of it goes in steps, a job each before all the rest, that, and a job each behind it.
//!
//! Swarm runs a job once more with every update of it, and `stack deploy` updates all that its text has. So docker is
//! given one step at a time, with the services of that step alone, and no job is in any other text. Each step is noted
//! before docker gets it: a run that is killed leaves word, and the next one looks whether that job is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;

use super::motion::Seen;
use super::words::of;
use super::{Key, Reconciler, Session};
use crate::compose::{FINGERPRINT, RUN, RenderedStack};
use crate::convergence::{Progress, culprit, has_died, judge};
use crate::docker::command::ResolveImage;
use crate::docker::service::Service;
use crate::docker::state::TaskState;
use crate::docker::task::Task;
use crate::docker::{SeenTasks, Swarm};
use crate::fault::{fault, with_hint};
use crate::image::ImageRef;
use crate::plan::{self, RunJobs};
use crate::state::{Given, Jobs, Motion, Phase, Step};

/// So long after it was noted that docker is asked for a job it is there, or that never came so far.
const CREATED: Duration = Duration::from_secs(10);
/// So many lines are told of a job that failed.
const LINES: usize = 40;

impl Reconciler {
    /// What is given now of a stack that has jobs; `None` of one that has none.
    pub fn step(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        rendered: &RenderedStack,
        (run, resolve): (&RunJobs, ResolveImage),
        swarm: &Swarm,
    ) -> Result<Option<Jobs>> {
        let now = session.door.now().wall;
        let name = now.timestamp_millis().to_string();
        let known =
            self.source(key)?.motion(&key.stack).and_then(|motion| motion.given.as_ref()?.jobs.clone());
        if let (RunJobs::GoOn, Some(jobs)) = (run, known)
            && let Some(step) = jobs.next()
        {
            return Ok(Some(Jobs { step, phase: Phase::Asked, name, ..jobs }));
        }
        let Some(jobs) = self.jobs(key, rendered)? else { return Ok(None) };
        let named = self.named(session, key, rendered, &jobs, (run, resolve), swarm)?;
        Ok(Some({
            let again = matches!(run, RunJobs::Again | RunJobs::Moved { .. });
            let (skipped, images) = match run {
                RunJobs::Moved { jobs: moved, images } => {
                    let all = jobs.before.iter().chain(&jobs.after);
                    (all.filter(|job| !moved.contains(*job)).cloned().collect(), images.clone())
                }
                _ => Default::default(),
            };
            let jobs = Jobs {
                run: *run != RunJobs::No,
                again,
                skipped,
                images,
                named,
                phase: Phase::Asked,
                name,
                begun: now,
                ..jobs
            };
            Jobs { step: jobs.first(), ..jobs }
        }))
    }

    /// The jobs of a stack, none of which runs.
    pub fn jobs(&self, key: &Key, rendered: &RenderedStack) -> Result<Option<Jobs>> {
        let desired = self.source(key)?.desired(&key.stack);
        let entry = desired.map(|desired| &desired.entry.jobs).filter(|jobs| !jobs.is_empty());
        let names = |jobs: &[crate::manifest::NamedJob]| {
            jobs.iter().map(|job| rendered.name.scope(&job.service)).collect()
        };
        Ok(entry.map(|entry| Jobs {
            before: names(&entry.before),
            after: names(&entry.after),
            run: false,
            again: false,
            skipped: BTreeSet::new(),
            images: BTreeMap::new(),
            named: BTreeMap::new(),
            step: Step::Rest,
            phase: Phase::Given,
            name: String::new(),
            begun: chrono::DateTime::default(),
            timeout: entry.timeout.map(|timeout| timeout.as_secs()),
        }))
    }

    /// Judges the job that a stack in motion waits for.
    pub fn judge_job(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        motion: &Motion,
        mut given: Given,
        seen: &Seen<'_>,
    ) -> Result<()> {
        let Some(jobs) = given.jobs.clone() else { return Ok(()) };
        let Some(job) = jobs.job() else { return Ok(()) };
        let age = seen.now.age(motion.since);
        let is_it = |live: &&Service| {
            live.name == job
                && plan::is_of(live, &key.source)
                && (jobs.name.is_empty() || run(live) == jobs.name)
        };
        let Some(live) = seen.swarm.services.iter().find(is_it) else {
            if age < CREATED {
                return Ok(());
            }
            if jobs.phase == Phase::Asked {
                if session.state.given_elsewhere(&self.run())?.contains(key.stack.as_str()) {
                    return Ok(());
                }
                // A run was killed before docker had it.
                return self.forget_motion(session, key);
            }
            let why = format!("its job `{job}` was removed, or deployed by somebody else, while it ran");
            return self.job_failed(session, key, motion, given, seen, (&why, true));
        };
        if jobs.phase == Phase::Asked {
            let jobs = Jobs { phase: Phase::Given, ..jobs.clone() };
            given = Given { jobs: Some(jobs), ..given };
            self.note_step(session, key, &given)?;
        }
        let tasks = of(live, seen.tasks);
        let timeout = jobs.timeout.map_or(session.deploy_timeout, Duration::from_secs);
        let watches = self.memory.watches.entry(key.clone()).or_default();
        match judge(live, &tasks, watches.entry(job.to_owned()).or_default(), seen.now) {
            Progress::Done => {
                let seconds = age.as_secs();
                session.report.progress(&format!("`{key}`: its job `{job}` completed in {seconds} s"));
                self.went_well(session, key, motion, &given, seen)
            }
            Progress::Failed { why, .. } => {
                let lacked = {
                    let mut failed = tasks.iter().filter(|task| task.has_failed()).peekable();
                    failed.peek().is_some() && failed.all(|task| task.lacked_its_image())
                };
                let why = format!("its job `{job}` failed: {why}{}", words(session, live, &tasks));
                self.job_failed(session, key, motion, given, seen, (&why, !lacked))
            }
            Progress::Waiting(what) | Progress::Steadying(what) if age >= timeout => {
                let seconds = timeout.as_secs();
                let why = format!("its job `{job}` did not complete within {seconds} s: {what}");
                let why = format!("{why}{}", words(session, live, &tasks));
                self.job_failed(session, key, motion, given, seen, (&why, true))
            }
            Progress::Waiting(what) | Progress::Steadying(what) => {
                session.report.waiting(key.stack.as_str(), &format!("its job `{job}` runs: {what}"));
                let is_new = self.memory.reported.insert((key.clone(), format!("{job} {}", jobs.name)));
                if is_new {
                    session.report.progress(&format!("`{key}`: its job `{job}` runs"));
                }
                if !has_died(live, &tasks) {
                    self.tell_early(session, key, seen.swarm, seen.tasks);
                }
                Ok(())
            }
        }
    }

    /// All else stays as it runs.
    fn job_failed(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        motion: &Motion,
        given: Given,
        seen: &Seen<'_>,
        (why, held): (&str, bool),
    ) -> Result<()> {
        // That what was given runs tells nothing of a job.
        let given = Given { specs: BTreeMap::new(), ..given };
        self.did_not(session, key, motion, &given, why, held)?;
        let is_behind = given.jobs.as_ref().is_some_and(|jobs| matches!(jobs.step, Step::After(_)));
        if !is_behind {
            return Ok(());
        }
        let live: Vec<_> = seen.swarm.of_stack(&key.stack).collect();
        self.fall_back(session, key, motion, &live, why)
    }

    /// Fails where the first step of a deploy would cut off a job of another version, or of an earlier run, that took too
    /// long and is still at work. By force it does.
    pub fn cuts_off_none(
        &self,
        session: &Session<'_>,
        key: &Key,
        rendered: &RenderedStack,
        step: Option<&Jobs>,
        swarm: &Swarm,
    ) -> Result<()> {
        let is_forced = self.source(key)?.forced.contains_key(&key.stack);
        let is_first = step.is_none_or(|jobs| jobs.run && jobs.step == jobs.first());
        if is_forced || !is_first {
            return Ok(());
        }
        match at_work(session, key, rendered, step, swarm)? {
            Some(job) => Err(fault(
                format!("not deployed: its job `{job}` of an earlier version is still at work"),
                "the next run looks again; `dockerops reconcile --force` ends that job",
            )),
            None => Ok(()),
        }
    }

    /// A deploy whose jobs ran goes on no more: its version is not what Git says by now, and that one is on hold.
    pub fn end_half_way(&mut self, session: &Session<'_>, key: &Key) -> Result<()> {
        let motion = self.source(key)?.motion(&key.stack).filter(|motion| motion.is_between_steps()).cloned();
        let Some((motion, given)) = motion.and_then(|motion| Some((motion.clone(), motion.given?))) else {
            return Ok(());
        };
        let commit = given.commit.get(..12).unwrap_or(&given.commit);
        let stack = &key.stack;
        let why = with_hint(&fault(
            format!("half deployed: a job of {commit} ran, and then it was put on hold"),
            format!(
                "`dockerops release {stack}` goes on with what Git says, `dockerops rollback {stack}` back to what ran"
            ),
        ));
        self.did_not(session, key, &motion, &given, &why, false)
    }

    /// A step came to a good end: the next one is to be given, or the stack converged.
    pub fn went_well(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        motion: &Motion,
        given: &Given,
        seen: &Seen<'_>,
    ) -> Result<()> {
        let Some(jobs) = given.jobs.as_ref().filter(|_| given.next().is_some()) else {
            let live = seen.swarm.of_stack(&key.stack).filter(|live| given.services.contains_key(&live.name));
            let live: Vec<_> = live.cloned().collect();
            let begun = given.jobs.as_ref().filter(|jobs| jobs.run).map(|jobs| jobs.begun);
            let motion = Motion { since: begun.unwrap_or(motion.since), ..motion.clone() };
            return self.converged(session, key, &motion, given, &live, seen.tasks);
        };
        let jobs = Jobs { phase: Phase::Done, ..jobs.clone() };
        self.note_step(session, key, &Given { jobs: Some(jobs), ..given.clone() })?;
        self.memory.watches.remove(key);
        self.stirred = true;
        Ok(())
    }

    fn note_step(&mut self, session: &Session<'_>, key: &Key, given: &Given) -> Result<()> {
        let source = self.sources.iter_mut().find(|source| source.id == key.source);
        let motion = source.and_then(|source| source.motions.iter_mut().find(|it| it.name == key.stack));
        let Some(motion) = motion else { return Ok(()) };
        motion.given = Some(given.clone());
        session.state.note_motion(motion)
    }
}

/// The run of a job for this version that did its work, or is at it: it is not started once more.
pub fn run_of(
    session: &Session<'_>,
    key: &Key,
    rendered: &RenderedStack,
    (jobs, job): (&Jobs, &str),
    swarm: &Swarm,
) -> Result<Option<String>> {
    let is_of_version =
        |live: &&Service| live.name == job && plan::is_of(live, &key.source) && is_for(live, rendered, jobs);
    if !swarm.of_stack(&key.stack).any(|live| is_of_version(&live)) {
        return Ok(None);
    }
    let (stacks, names) = (BTreeSet::from([&key.stack]), BTreeSet::from([job]));
    let (swarm, tasks) = session.door.observe_tasks(&stacks, &names, &mut SeenTasks::default())?;
    let live = swarm.services.iter().find(is_of_version);
    Ok(live.filter(|live| !has_died(live, &of(live, &tasks))).map(run))
}

/// Whether a job was given for this version, by the image that it is to run by.
fn is_for(live: &Service, rendered: &RenderedStack, jobs: &Jobs) -> bool {
    let runs_by = |image: &str| ImageRef::parse(image).ok() == ImageRef::parse(&live.image).ok();
    live.labels.get(FINGERPRINT) == Some(&rendered.fingerprint) && jobs.image(&live.name).is_none_or(runs_by)
}

/// A job of another version, or of an earlier run, that is still at work: the first step of a deploy would cut it off.
fn at_work(
    session: &Session<'_>,
    key: &Key,
    rendered: &RenderedStack,
    jobs: Option<&Jobs>,
    swarm: &Swarm,
) -> Result<Option<String>> {
    // One of this version is joined.
    let is_joined = |live: &Service| {
        jobs.is_some_and(|jobs| jobs.has(&live.name) && !jobs.again && is_for(live, rendered, jobs))
    };
    let is_left = |live: &Service| jobs.is_some_and(|jobs| jobs.skipped.contains(&live.name));
    let is_other = |live: &&Service| {
        !run(live).is_empty() && plan::is_of(live, &key.source) && !is_joined(live) && !is_left(live)
    };
    let others: BTreeSet<_> = swarm.of_stack(&key.stack).filter(is_other).map(|live| &*live.name).collect();
    if others.is_empty() {
        return Ok(None);
    }
    let stacks = BTreeSet::from([&key.stack]);
    let (swarm, tasks) = session.door.observe_tasks(&stacks, &others, &mut SeenTasks::default())?;
    let runs = |live: &&Service| {
        others.contains(&*live.name) && of(live, &tasks).iter().any(|task| task.state == TaskState::Running)
    };
    Ok(swarm.services.iter().find(runs).map(|live| live.name.clone()))
}

/// The part of a stack that docker gets for a step.
pub fn part(jobs: &Jobs, rendered: &RenderedStack) -> RenderedStack {
    let full = |service: &crate::compose::Service| rendered.name.scope(&service.name);
    let is_in_it = |service: &&crate::compose::Service| match jobs.job() {
        Some(job) => full(service) == job,
        None => !jobs.has(&full(service)),
    };
    let services: BTreeSet<_> = rendered.services.iter().filter(is_in_it).map(|it| &*it.name).collect();
    let part = rendered.part(&services).by_digests(&jobs.named).by_digests(&jobs.images);
    match services.first().filter(|_| jobs.job().is_some()) {
        Some(job) => part.with_run(job, &jobs.name),
        None => part,
    }
}

/// Whether the step mounts bindings: what runs goes on with those of before until they are needed.
pub fn mounts_bindings(jobs: &Jobs, rendered: &RenderedStack) -> bool {
    let job = rendered.services.iter().find(|it| Some(&*rendered.name.scope(&it.name)) == jobs.job());
    !matches!(jobs.step, Step::Before(_)) || job.is_some_and(|job| rendered.mounts_bindings(&job.name))
}

/// Removes the services that the file lacks: docker does not, since the text of a step lacks others as well.
pub fn prune(session: &Session<'_>, rendered: &RenderedStack, swarm: &Swarm) -> Result<()> {
    let names: BTreeSet<_> = rendered.services.iter().map(|it| rendered.name.scope(&it.name)).collect();
    let gone = swarm.of_stack(&rendered.name).filter(|live| !names.contains(&live.name));
    let ids: Vec<_> = gone.map(|live| &*live.id).collect();
    if ids.is_empty() { Ok(()) } else { session.door.remove_services(&ids) }
}

/// The run of a job, as its tasks are labelled.
fn run(live: &Service) -> String {
    live.template.value()["ContainerSpec"]["Labels"][RUN].as_str().unwrap_or_default().to_owned()
}

/// What the job said last.
fn words(session: &Session<'_>, live: &Service, tasks: &[&Task]) -> String {
    let task = culprit(live, tasks).or_else(|| tasks.first().copied());
    task.map(|task| session.door.last_words(&live.name, task, LINES)).unwrap_or_default()
}
