//! What keeps a stack as it is: read before each decision, told and recorded after it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::kept_holds::{all_kept, forget_in_swarm, keep_in_swarm, kept};
use super::source::WatchedSource;
use super::{Key, Reconciler, Session, first};
use crate::compose::{COMMIT, FINGERPRINT};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::hold::{Hold, Kind};
use crate::manifest::{JobsEntry, NamedJob};
use crate::plan::{self, Apply, Blocked, Decision, DesiredStack, How, Until};
use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{AppliedService, HoldRow, OnHold, Record, StackStatus};
use crate::watched::Watched;

impl Reconciler {
    /// What keeps a stack as it is now: a person first, then what its source says. What comes over from another source
    /// is held with that one, too.
    pub fn hold_of(&self, session: &Session<'_>, source: &WatchedSource, name: &StackName) -> Option<Hold> {
        let now = session.door.now().wall;
        // A name is one stack of the Swarm, whichever source lists it by now.
        let rows = self.sources.iter().flat_map(|source| &source.holds);
        let mut its = rows.filter(|row| row.stack.as_ref() == Some(name));
        let by_name = its.find_map(|row| source.counts(row, now));
        let predecessor = self.memory.predecessor(&source.id, name);
        let both = self.sources.iter().filter(|it| it.id == source.id || Some(&it.id) == predecessor);
        let mut rows = both.flat_map(|source| &source.holds);
        let mut of_all = || rows.find(|row| row.stack.is_none() && !row.hold.is_over(now));
        if let Some(hold) = by_name.or_else(|| of_all().map(|row| &row.hold)) {
            return Some(hold.clone());
        }
        if source.read().is_none() {
            let found = source.on_hold.iter().find(|stack| stack.name == *name);
            return found
                .filter(|stack| !is_released(stack, &source.holds, now))
                .map(|stack| stack.hold.clone());
        }
        let entry = &source.desired(name)?.entry.hold;
        let of_file = |kind, until| {
            let reason = entry.reason.clone().filter(|_| kind == Kind::Manifest);
            Some(Hold { kind, reason, by: None, since: None, until, back: None })
        };
        if entry.hold {
            return of_file(Kind::Manifest, None);
        }
        let is_forced = source.forced.contains_key(name);
        if entry.windows.is_empty() || is_forced || entry.windows.iter().any(|window| window.is_open(now)) {
            return None;
        }
        of_file(Kind::Window, entry.windows.iter().filter_map(|window| window.opens(now)).min())
    }

    /// Records that a stack is on hold, or is no more.
    pub fn note_on_hold(
        &self,
        session: &Session<'_>,
        key: &Key,
        decision: &Decision,
        swarm: &Swarm,
    ) -> Result<()> {
        // Nothing was found out about it.
        if let Decision::Blocked(Blocked { until: Until::Selected { .. } | Until::Given, .. }) = decision {
            return Ok(());
        }
        self.take_over(session, key, decision, swarm)?;
        let source = self.source(key)?;
        let Some(row) = source.row.as_ref().filter(|_| source.read().is_some()) else { return Ok(()) };
        let before = source.on_hold.iter().find(|known| known.name == key.stack);
        let change = match decision {
            Decision::Blocked(Blocked { detail, until: Until::Released(_), .. }) => detail.clone(),
            _ => None,
        };
        let hold = self.hold_of(session, source, &key.stack);
        let back = hold.as_ref().and_then(|hold| hold.back.clone());
        let past = source.desired(&key.stack).and_then(|desired| desired.past.as_ref());
        let otherwise = match past {
            Some(past) if !past.is_listed => "would be removed: its source lists it no more",
            _ => "what its source says is not deployed",
        };
        let change = change.or_else(|| back.as_ref().map(|_| otherwise.to_owned()));
        // A hold by hand is told of by its own row, and an open door by nothing.
        let hold = hold.filter(|hold| change.is_some() || hold.kind == Kind::Manifest);
        let Some(hold) = hold else {
            return before.map_or(Ok(()), |_| session.state.forget_on_hold(row.id, &key.stack));
        };
        let known = source.stack(&key.stack).and_then(|row| row.commit.as_deref());
        let fled =
            back.as_ref().filter(|_| source.commit_of(&key.stack) != source.commit() || source.is_past());
        let fled = fled.and_then(|back| back.fled.first()).map(String::as_str);
        let seen = before.map(|before| &*before.commit);
        // Who goes back reads an earlier commit, and sees no new one.
        let newest = if fled.is_some() { seen.or(fled) } else { source.commit().or(seen) };
        let commit = newest.or(known).unwrap_or_default();
        let behind = match before {
            Some(before) => before.behind + u32::from(before.commit != commit),
            // What it fled is one.
            None => u32::from(known != Some(commit) || back.is_some()),
        };
        let behind = if change.is_some() { behind } else { 0 };
        let since =
            before.filter(|before| before.hold.kind == hold.kind).and_then(|before| before.hold.since);
        let hold = Hold { since: hold.since.or(since).or(Some(session.door.now().wall)), ..hold };
        let (name, commit) = (key.stack.clone(), commit.to_owned());
        let on_hold = OnHold { repository_id: row.id, name, hold, change, commit, behind };
        if before == Some(&on_hold) { Ok(()) } else { session.state.note_on_hold(&on_hold) }
    }

    /// A stack on hold that runs, and that no row tells of since a database was lost or its source was unwatched, is
    /// recorded as it runs: it would be told as gone.
    fn take_over(&self, session: &Session<'_>, key: &Key, decision: &Decision, swarm: &Swarm) -> Result<()> {
        let Decision::Blocked(Blocked { until: Until::Released(_), .. }) = decision else { return Ok(()) };
        let source = self.source(key)?;
        let live: Vec<_> = swarm.of_stack(&key.stack).collect();
        let is_known = source.stack(&key.stack).is_some_and(|row| row.status != StackStatus::Stopped)
            || source.motion(&key.stack).is_some();
        if is_known || live.is_empty() || !live.iter().all(|service| plan::is_of(service, &source.id)) {
            return Ok(());
        }
        let desired = source.desired(&key.stack);
        let entry = desired.map(|desired| &desired.entry);
        let jobs = |of: fn(&JobsEntry) -> &[NamedJob]| {
            let jobs = entry.map(|entry| of(&entry.jobs)).unwrap_or_default();
            jobs.iter().map(|job| key.stack.scope(&job.service)).collect::<BTreeSet<_>>()
        };
        let (before, after) = (jobs(|jobs| &jobs.before), jobs(|jobs| &jobs.after));
        let is_job = |name: &str| before.contains(name) || after.contains(name);
        // A job before the rest may have run for a version that was not deployed.
        let rest: Vec<_> = live.iter().copied().filter(|service| !is_job(&service.name)).collect();
        let stays = if rest.is_empty() { live.clone() } else { rest };
        let version = one_version(stays.iter().copied());
        // Of the version that Git has, what a hand edited while nobody knew of it is drift still, and what it removed; it
        // is not all there while a job behind it did not run.
        let rendered = desired.and_then(DesiredStack::rendered);
        let rendered = rendered.filter(|rendered| version == Some(&*rendered.fingerprint));
        let has_run =
            |job: &String| live.iter().any(|live| live.name == *job && one_version([*live]) == version);
        let is_whole = rendered.is_none() || after.iter().all(has_run);
        let service = |service: &&Service| {
            let spec = match rendered {
                _ if is_job(&service.name) => BTreeMap::new(),
                Some(rendered) => plan::as_given(rendered, service),
                None => service.summary.clone(),
            };
            (service.name.clone(), AppliedService { image: service.summary.get("image").cloned(), spec })
        };
        let mut services = rendered.map(first::unapplied).unwrap_or_default();
        services.retain(|name, _| !is_job(name));
        // What is not there was wanted all the same.
        for service in services.values_mut() {
            service.spec.insert("image".to_owned(), service.image.clone().unwrap_or_default());
        }
        services.extend(live.iter().map(service));
        let commit = stays.first().and_then(|service| service.labels.get(COMMIT));
        let record = Record {
            name: &key.stack,
            repository_url: &source.url,
            compose_path: entry.map_or("", |entry| &entry.compose_path),
            status: StackStatus::Deployed,
            // None is another one than Git's, whichever that is.
            hash: Some(version.filter(|_| is_whole).unwrap_or_default()),
            commit: commit.map(String::as_str).unwrap_or_default(),
            drift: entry.map(|entry| entry.drift).unwrap_or_default(),
            depends_on: entry.map_or(&[], |entry| &entry.depends_on),
            error: None,
            held: false,
            services: Some(services),
            jobs_due: None,
            given: None,
            ran: None,
        };
        session.state.record(&record)
    }

    /// Before a stack is deployed that this source does not have as deployed: another source's stack of the name may be
    /// under a hold. Of one that runs the Swarm is asked as well. Whether any was found.
    pub fn restore_by_name(
        &mut self,
        session: &Session<'_>,
        decided: &[(Key, Decision)],
        swarm: &Swarm,
    ) -> Result<bool> {
        let is_new = |(key, decision): &&(Key, Decision)| {
            let is_deploy = matches!(decision, Decision::Apply(Apply { how: How::Deploy { .. }, .. }));
            let known = |source: &WatchedSource| {
                source.motion(&key.stack).is_some()
                    || source.stack(&key.stack).is_some_and(|row| row.status == StackStatus::Deployed)
            };
            is_deploy && self.source(key).is_ok_and(|source| !known(source))
        };
        let new: Vec<_> = decided.iter().filter(is_new).map(|(key, _)| key.clone()).collect();
        if new.is_empty() {
            return Ok(false);
        }
        let noted = session.state.holds()?;
        let runs = |key: &Key| swarm.of_stack(&key.stack).next().is_some();
        let kept = if new.iter().any(runs) { all_kept(session)? } else { Vec::new() };
        let now = session.door.now().wall;
        let mut found = false;
        for key in new {
            let Some(source) = self.sources.iter_mut().find(|source| source.id == key.source) else {
                continue;
            };
            let is_its = |row: &&HoldRow| row.stack.as_ref() == Some(&key.stack) && !row.hold.is_over(now);
            let known = noted.iter().find(is_its).map(|row| &row.hold);
            let mut kept = kept.iter().map(|(_, kept)| kept).filter(|kept| !kept.hold.is_over(now));
            let in_swarm = kept.find(|kept| kept.stack.as_deref() == Some(key.stack.as_str()));
            let hold = known.or(in_swarm.map(|kept| &kept.hold));
            let Some(hold) =
                hold.filter(|_| !source.holds.iter().any(|row| row.stack.as_ref() == Some(&key.stack)))
            else {
                continue;
            };
            // The version that another source's stack was rolled back to is none of this one.
            let hold = Hold { kind: Kind::Hand, back: None, ..hold.clone() };
            let repository_id = source.row.as_ref().map_or(0, |row| row.id);
            if known.is_none() {
                let text = format!("{}; the Swarm remembers it", hold.sentence());
                session.report.note(source.subject(&key.stack), &text);
                if let Some(row) = source.row.as_ref().filter(|_| !self.options.dry_run) {
                    session.state.note_hold(row, Some(&key.stack), &hold)?;
                }
            }
            source.holds.push(HoldRow { repository_id, stack: Some(key.stack.clone()), hold });
            found = true;
        }
        Ok(found)
    }

    /// What was kept back of stacks that no source lists any more, and that never ran, is told no more.
    pub fn forget_unlisted(&self, session: &Session<'_>) -> Result<()> {
        for source in self.sources.iter().filter(|source| source.read().is_some()) {
            let Some(row) = source.row.as_ref().filter(|_| !self.options.dry_run) else { continue };
            let is_gone = |name: &StackName| {
                source.desired(name).is_none()
                    && source.stack(name).is_none()
                    && source.motion(name).is_none()
            };
            for stack in source.on_hold.iter().filter(|stack| is_gone(&stack.name)) {
                session.state.forget_on_hold(row.id, &stack.name)?;
            }
        }
        Ok(())
    }

    /// Holds that have ended by themselves go.
    pub fn end_holds(&self, session: &Session<'_>) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let now = session.door.now().wall;
        for source in &self.sources {
            for row in source.holds.iter().filter(|row| row.hold.is_over(now) || source.is_mended(row)) {
                let subject = row.stack.as_ref().map_or(source.url.as_str(), StackName::as_str);
                session.report.released(subject, &format!("{}: that is over", row.hold.sentence()));
                let stack = row.stack.as_ref();
                if let (Some(before), Some(owner)) = (source.counts(row, now), &source.row) {
                    if let Err(error) = keep_in_swarm(session, &source.id, stack, before) {
                        session
                            .report
                            .note(subject, &format!("the Swarm keeps another hold of it: {error:#}"));
                    }
                    session.report.on_hold(subject, &format!("as before: {}", before.sentence()));
                    session.state.note_hold(owner, stack, before)?;
                    continue;
                }
                if let Err(error) = forget_in_swarm(session, &source.id, stack) {
                    session.report.note(subject, &format!("what the Swarm keeps of a hold stays: {error:#}"));
                }
                session.state.forget_hold(row.repository_id, stack)?;
            }
        }
        Ok(())
    }
}

impl WatchedSource {
    /// What a row says by now: of a rollback that is over, the hold by hand that was there before it.
    fn counts<'a>(&self, row: &'a HoldRow, now: DateTime<Utc>) -> Option<&'a Hold> {
        let hold = if self.is_mended(row) { row.hold.by_hand() } else { Some(&row.hold) };
        hold.filter(|hold| !hold.is_over(now))
    }

    /// It is held as the Swarm remembers; a dry run has no row of it.
    pub fn is_held(&mut self, session: &Session<'_>, holds: Vec<(Option<StackName>, Hold)>) {
        let repository_id = self.row.as_ref().map_or(0, |row| row.id);
        for (stack, hold) in holds {
            let subject = stack.as_ref().map_or(self.url.as_str(), StackName::as_str);
            session.report.note(subject, &format!("{}; the Swarm remembers it", hold.sentence()));
            self.holds.retain(|row| row.stack != stack);
            self.holds.push(HoldRow { repository_id, stack, hold });
        }
    }

    /// The hold by hand on a stack.
    pub fn hold_by_hand(&self, name: &StackName, now: DateTime<Utc>) -> Option<Hold> {
        let row = self.holds.iter().find(|row| row.stack.as_ref() == Some(name))?;
        row.hold.by_hand().filter(|hold| !hold.is_over(now)).cloned()
    }
}

/// The version that all of these services are labelled with.
fn one_version<'a>(services: impl IntoIterator<Item = &'a Service>) -> Option<&'a str> {
    let mut versions = services.into_iter().map(|service| service.labels.get(FINGERPRINT));
    let first = versions.next()??;
    versions.all(|version| version == Some(first)).then_some(first)
}

/// The holds that the Swarm remembers of a source that is watched anew: the database that knew may be lost.
pub fn remembered(
    session: &Session<'_>,
    source: &SourceId,
    dry_run: bool,
) -> Result<Vec<(Option<StackName>, Hold)>> {
    let now = session.door.now().wall;
    let mut all = kept(session, source)?;
    // Of two of one subject, which a run that was killed left, the later one counts.
    all.sort_by_key(|(_, kept)| kept.hold.since);
    let mut holds: Vec<(Option<StackName>, Hold)> = Vec::new();
    for (stored, kept) in all {
        if kept.hold.is_over(now) {
            if !dry_run {
                session.door.remove_stored(&stored)?.map_err(anyhow::Error::msg)?;
            }
            continue;
        }
        let stack = kept.stack.map(StackName::known);
        holds.retain(|(other, _)| *other != stack);
        holds.push((stack, kept.hold));
    }
    Ok(holds)
}

/// What an earlier run would have done to a stack of a source that was not read by this one.
pub fn kept_back<'a>(source: &'a WatchedSource, name: &StackName) -> Option<&'a str> {
    let found = source.on_hold.iter().find(|stack| stack.name == *name)?;
    found.change.as_deref().filter(|_| source.read().is_none())
}

/// Whether a stack that was on hold may be dealt with now: its source is read again then.
pub fn is_released(on_hold: &OnHold, holds: &[HoldRow], now: DateTime<Utc>) -> bool {
    let is_held = |row: &HoldRow| {
        row.stack.as_ref().is_none_or(|stack| *stack == on_hold.name) && !row.hold.is_over(now)
    };
    match on_hold.hold.kind {
        Kind::Hand | Kind::Rollback => !holds.iter().any(is_held),
        Kind::Window => on_hold.hold.is_over(now),
        Kind::Manifest => false,
    }
}

/// Whether a stack of a source that was not read stays as it is, as far as the database tells.
pub fn is_on_hold(known: &Watched, name: &StackName, now: DateTime<Utc>) -> bool {
    let by_hand =
        |row: &HoldRow| row.stack.as_ref().is_none_or(|stack| stack == name) && !row.hold.is_over(now);
    let as_found = |stack: &OnHold| stack.name == *name && !is_released(stack, &known.holds, now);
    known.holds.iter().any(by_hand) || known.on_hold.iter().any(as_found)
}
