//! What is in motion is judged and recorded at every look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;

use super::contain::ends_the_run;
use super::first::{applied, edits, is_edited, is_edited_and_paused};
use super::memory::{Converged, Ended};
use super::motion::{Seen, due_of, judge_stack, lacked_images, lost};
use super::source::WatchedSource;
use super::words::with_last_words;
use super::{Key, Reconciler, Session, versions};
use crate::convergence::{Progress, notes};
use crate::docker::service::Service;
use crate::docker::task::Task;
use crate::docker::{Roll, Swarm};
use crate::drift;
use crate::image::ImageRef;
use crate::plan::{self, Decision, DesiredStack, Tried};
use crate::stack::DriftPolicy;
use crate::state::{AppliedService, Given, GivenHow, Motion, Record, StackRow, StackStatus};

/// Of a stack that did not stay as it was given.
const EDITED: &str = "a hand edited it while it was being deployed";

/// So long after docker took a stack its services are there, or somebody removed them.
const CREATED: Duration = Duration::from_secs(10);

/// How long a look may be without an answer before a stack is given up.
const MOST_BLIND_LOOKS: u8 = 5;

impl Reconciler {
    /// One look at all stacks in motion: those that converged, and those that will not, are recorded.
    pub fn judge(&mut self, session: &Session<'_>) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let motions: Vec<_> = self
            .sources
            .iter()
            .flat_map(|source| self.seen_motions(source).map(move |motion| (source, motion)))
            .filter_map(|(source, motion)| {
                Some((Key::new(&source.id, &motion.name), motion.clone(), motion.given.clone()?))
            })
            .collect();
        self.memory.due = None;
        if motions.is_empty() {
            return Ok(());
        }
        let stacks = motions.iter().map(|(key, ..)| &key.stack).collect();
        let names = motions.iter().flat_map(|(.., given)| looked_at(given)).collect();
        let begun = session.door.now().instant;
        let (swarm, tasks) = match session.door.observe_tasks(&stacks, &names, &mut self.memory.seen) {
            Ok(seen) => seen,
            Err(error) if ends_the_run(&error) => return Err(error),
            Err(error) => {
                self.memory.blind_looks += 1;
                if self.memory.blind_looks < MOST_BLIND_LOOKS {
                    return Ok(());
                }
                return self.give_up(session, motions.into_iter().map(|(key, ..)| key).collect(), error);
            }
        };
        self.memory.blind_looks = 0;
        let now = session.door.now();
        self.memory.look_took = now.instant.duration_since(begun);
        let ids: BTreeSet<_> = self.sources.iter().map(|source| source.id.clone()).collect();
        for (key, motion, given) in motions {
            if self.memory.giving.contains_key(&key) {
                continue;
            }
            if self.has_changed_hands(&key, &swarm) {
                self.forget_motion(session, &key)?;
                continue;
            }
            let seen = Seen { swarm: &swarm, tasks: &tasks, now };
            if given.job().is_some() {
                self.judge_job(session, &key, &motion, given, &seen)?;
                continue;
            }
            let is_due = now.age(motion.since) > CREATED && !is_broken!(WaitsForWhatIsGone);
            if let Some(why) = lost(&motion, &given, &swarm).filter(|_| is_due) {
                self.put_back(session, &key, &why)?;
                continue;
            }
            let given = self.first_seen(session, &key, given, &swarm)?;
            let watches = self.memory.watches.entry(key.clone()).or_default();
            let (age, most) = (now.age(motion.since), session.deploy_timeout);
            let late = age >= most;
            let updating = swarm.of_stack(&key.stack).filter(|live| live.is_updating());
            let pauses = updating.map(|live| live.delays).max().unwrap_or_default();
            match judge_stack(&key, &given, &swarm, &tasks, watches, now, &ids) {
                Ok(_) => self.went_well(session, &key, &motion, &given, &seen)?,
                Err((Progress::Steadying(_), _)) if late => {
                    self.went_well(session, &key, &motion, &given, &seen)?;
                }
                Err((Progress::Failed { .. }, _)) if is_edited_and_paused(&given, &key, &swarm) => {
                    self.put_back(session, &key, EDITED)?;
                    if let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) {
                        source.forced.insert(key.stack.clone(), format!("drifted: {EDITED}"));
                    }
                }
                Err((Progress::Failed { why, stopped }, _)) => {
                    let why = with_last_words(session, &why, &key, &swarm, &tasks);
                    // A run that began since a pull failed knows nothing of that; the tasks do.
                    let lacked = lacked_images(&key, &motion, &given, &seen) || self.lacks_an_image(&key);
                    let held = stopped && !lacked;
                    self.did_not(session, &key, &motion, &given, &why, held)?;
                }
                // Given again it would lose the pauses that its author asked for. No run is kept for as long as those take.
                Err((Progress::Waiting(what), _)) if late && age < most.saturating_add(pauses) => {
                    let seconds = most.as_secs();
                    let why = format!("goes on after {seconds} s, and the next run looks again: {what}");
                    self.leave_in_motion(session, key, &why);
                }
                Err((Progress::Waiting(what), _)) if late => {
                    let seconds = session.deploy_timeout.as_secs();
                    let why = format!("did not converge within {seconds} s: {what}");
                    let why = with_last_words(session, &why, &key, &swarm, &tasks);
                    self.did_not(session, &key, &motion, &given, &why, false)?;
                }
                Err((Progress::Waiting(_) | Progress::Steadying(_), services)) => {
                    session.report.waiting_for(key.stack.as_str(), &services);
                    let due = due_of(&key, &swarm, &tasks, now);
                    self.memory.due = self.memory.due.into_iter().chain(due).min();
                    self.tell_early(session, &key, &swarm, &tasks);
                }
                Err((Progress::Done, _)) => {}
            }
        }
        Ok(())
    }

    /// What docker was given is not what is there: somebody removed or replaced it meanwhile. It is given again, once
    /// a run.
    fn put_back(&mut self, session: &Session<'_>, key: &Key, why: &str) -> Result<()> {
        if !self.memory.reported.insert((key.clone(), "put back".into())) {
            return self.fail(session, key, why, false);
        }
        if let Ok(source) = self.source(key) {
            session.report.note(source.subject(&key.stack), &format!("{why}; it is deployed again"));
        }
        self.forget_motion(session, key)
    }

    pub fn forget_motion(&mut self, session: &Session<'_>, key: &Key) -> Result<()> {
        if let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) {
            source.motions.retain(|known| known.name != key.stack);
            if let Some(row) = &source.row {
                session.state.forget_motion(row, &key.stack)?;
            }
        }
        self.memory.watches.remove(key);
        self.stirred = true;
        Ok(())
    }

    /// Whether a stack in motion is another watched source's by now: its own one lists it no more.
    fn has_changed_hands(&self, key: &Key, swarm: &Swarm) -> bool {
        let lists_it_no_more =
            |source: &WatchedSource| source.read().is_some() && source.desired(&key.stack).is_none();
        let others = || self.sources.iter().filter(|source| source.id != key.source);
        let is_theirs = |live: &Service| others().any(|source| plan::is_of(live, &source.id));
        let mut live = swarm.of_stack(&key.stack).peekable();
        self.source(key).is_ok_and(lists_it_no_more) && live.peek().is_some() && live.all(is_theirs)
    }

    /// The Swarm cannot be asked. What docker was given stays in motion: the next run judges it.
    fn give_up(&mut self, session: &Session<'_>, keys: Vec<Key>, error: anyhow::Error) -> Result<()> {
        if self.options.go_on {
            return Err(error);
        }
        let why = format!("deployed, but the Swarm could not be asked whether it converged: {error:#}");
        for key in keys {
            self.leave_in_motion(session, key, &why);
        }
        self.memory.blind_looks = 0;
        Ok(())
    }

    /// This run has seen enough of a stack in motion: the next one judges it.
    fn leave_in_motion(&mut self, session: &Session<'_>, key: Key, why: &str) {
        let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { return };
        session.report.stop_waiting(key.stack.as_str());
        session.report.failed(source.subject(&key.stack), why);
        self.memory.reported.insert((key.clone(), why.to_owned()));
        self.memory.tried.insert(key, Tried::Unseen { why: why.to_owned() });
        self.stirred = true;
    }

    pub fn converged(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        motion: &Motion,
        given: &Given,
        live: &[Service],
        tasks: &[Task],
    ) -> Result<()> {
        // What a hand made of it before it was adopted was to be left.
        let is_left = given.how == GivenHow::Adopt && given.drift != DriftPolicy::Correct;
        let edited = is_edited(given, live) && !is_left;
        // It is put back once a run: who edits it again and again is not fought.
        if edited && !self.memory.reported.insert((key.clone(), EDITED.to_owned())) {
            return self.did_not(session, key, motion, given, EDITED, false);
        }
        let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) else {
            return Ok(());
        };
        source.motions.retain(|known| known.name != key.stack);
        let (took, told) = match given.how {
            GivenHow::Adopt => match edits(given, live) {
                left if left.is_empty() => (Duration::ZERO, given.reason.clone()),
                left => (Duration::ZERO, plan::adopted_with(&drift::sentence(&left))),
            },
            GivenHow::Deploy | GivenHow::Rollback | GivenHow::Roll => {
                let took = session.door.now().age(motion.since);
                (took, format!("{}; converged in {} s", given.reason, took.as_secs()))
            }
        };
        let subject = crate::report::Subject { commit: Some(&given.commit), ..source.subject(&key.stack) };
        session.report.stop_waiting(key.stack.as_str());
        if edited {
            session.report.note(subject, EDITED);
        } else {
            session.report.deployed(subject, &told);
        }
        self.memory.took.insert(key.clone(), (given.reason.clone(), Some(took)));
        for service in live {
            let own: Vec<_> = tasks.iter().filter(|task| task.service == service.id).collect();
            for note in notes(service, &own) {
                session.report.note(&service.name, &note);
            }
        }
        let rolls: Vec<_> = rolls(motion);
        let services = match given.how {
            GivenHow::Roll => {
                session.state.forget_failed_rolls(rolls.iter().map(|roll| &*roll.service))?;
                rolled(source.stack(&key.stack), &rolls, given, live)
            }
            GivenHow::Deploy | GivenHow::Rollback => {
                session.state.forget_failed_rolls(live.iter().map(|live| &*live.name))?;
                applied(given, live)
            }
            GivenHow::Adopt => applied(given, live),
        };
        // What a hand had edited by then nobody goes back to.
        let stack = (&key.stack, &source.url);
        let ran = if is_edited(given, live) {
            None
        } else {
            Some(versions::ran(session, stack, given, &motion.hash, took, live)?)
        };
        let record = Record {
            status: StackStatus::Deployed,
            hash: Some(&motion.hash),
            services: Some(services),
            ran,
            jobs_due: Some(false),
            ..record(source, key, given)
        };
        session.state.record(&record)?;
        session.state.note_text(&key.stack, &source.url, &given.text, true)?;
        if given.how == GivenHow::Adopt {
            session.state.forget_convergence(&key.stack, &source.url)?;
        }
        let kept = session.state.needed_by_versions(&key.stack, &source.url, session.keep_versions)?;
        self.memory.converged.retain(|earlier| earlier.key != *key);
        self.memory.converged.push(Converged { key: key.clone(), versions: given.versions.clone(), kept });
        if !edited {
            self.memory.ended.insert(key.clone(), Ended::Deployed);
            self.memory.happened.deployed += 1;
        }
        self.memory.decided(key, Decision::in_sync());
        self.memory.watches.remove(key);
        self.stirred |= edited || self.changes_decisions(key, motion);
        Ok(())
    }

    /// Whether decisions may change now that a stack has converged: where its source came to rest, somebody may have
    /// waited for it, or it is not what Git says by now.
    fn changes_decisions(&self, key: &Key, motion: &Motion) -> bool {
        let waits = |decision: &Decision| matches!(decision, Decision::Blocked(it) if it.until.passes());
        let is_wanted = |source: &WatchedSource| {
            let desired = source.desired(&key.stack).and_then(DesiredStack::rendered);
            desired.is_some_and(|desired| desired.fingerprint == motion.hash)
        };
        self.source(key).is_ok_and(|source| !self.is_moving(source) || !is_wanted(source))
            || self.memory.decisions.values().any(waits)
    }

    pub fn did_not(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        motion: &Motion,
        given: &Given,
        why: &str,
        held: bool,
    ) -> Result<()> {
        if held {
            session.state.note_failed_rolls(motion.repository_id, &key.stack)?;
        }
        if let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) {
            source.motions.retain(|known| known.name != key.stack);
        }
        self.memory.watches.remove(key);
        self.fail(session, key, why, held)?;
        let Some(source) = self.sources.iter().find(|source| source.id == key.source) else { return Ok(()) };
        let desired = source.desired(&key.stack).and_then(DesiredStack::rendered);
        let is_forced = source.forced.contains_key(&key.stack);
        if is_forced || desired.is_some_and(|rendered| rendered.fingerprint != motion.hash) {
            // What failed is not what Git says by now, or what is wished by force: that was not tried so far.
            self.memory.tried.remove(key);
        }
        // Of a first attempt at least the images are known; later ones keep what had converged.
        let first = source.stack(&key.stack).is_none_or(StackRow::is_unapplied);
        let services = first.then(|| applied(given, &[]));
        // A newer commit that says the same failed with it.
        let is_read = desired.is_some_and(|rendered| rendered.fingerprint == motion.hash);
        let commit = source.commit_of(&key.stack).filter(|_| is_read).unwrap_or(&given.commit);
        // The jobs of another version are due with that by themselves.
        let is_same = source.stack(&key.stack).is_some_and(|row| row.hash == motion.hash);
        let jobs_due = given.jobs.as_ref().is_some_and(|jobs| jobs.run && is_same).then_some(true);
        let failed =
            Record { error: Some(why), held, services, commit, jobs_due, ..record(source, key, given) };
        session.state.record(&failed)?;
        session.state.note_text(&key.stack, &source.url, &given.text, false)
    }
}

/// The services that a look is about: all of them where this is the last of it.
fn looked_at(given: &Given) -> Vec<&str> {
    if given.next().is_none() {
        return given.services.keys().map(String::as_str).collect();
    }
    given.at_stake().collect()
}

/// What was given, as a record that failed unless the caller says better.
fn record<'a>(source: &'a WatchedSource, key: &'a Key, given: &'a Given) -> Record<'a> {
    Record {
        name: &key.stack,
        repository_url: &source.url,
        compose_path: &given.compose_path,
        status: StackStatus::Error,
        hash: None,
        commit: &given.commit,
        drift: given.drift,
        depends_on: &given.depends_on,
        error: None,
        held: false,
        jobs_due: None,
        services: None,
        given: Some(&given.specs),
        ran: None,
    }
}

fn rolls(motion: &Motion) -> Vec<Roll> {
    let roll = |(service, image): (&String, &String)| {
        Some(Roll { service: service.clone(), image: ImageRef::parse(image).ok()? })
    };
    motion.rolls.iter().filter_map(roll).collect()
}

/// The services as they were applied before, but for what a new image brings along: so other drift still shows.
fn rolled(
    row: Option<&StackRow>,
    rolls: &[Roll],
    given: &Given,
    live: &[Service],
) -> BTreeMap<String, AppliedService> {
    let mut services = row.map(|row| row.services.clone()).unwrap_or_default();
    for roll in rolls {
        let live = live.iter().find(|live| live.name == roll.service).map(|live| &live.summary);
        // What a hand edited since it was rolled is drift.
        let seen = given.specs.get(&roll.service).or(live);
        let applied = services.get_mut(&roll.service).filter(|applied| applied.is_kept());
        if let Some((applied, seen)) = applied.zip(seen) {
            for part in ["image", "command"] {
                match seen.get(part) {
                    Some(value) => applied.spec.insert(part.to_owned(), value.clone()),
                    None => applied.spec.remove(part),
                };
            }
        }
    }
    services
}
