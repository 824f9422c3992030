//! The last word on a source that came to rest: whether every stack of it still runs what was applied, whether or not
//! it was touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::contain::ends_the_run;
use super::{Key, Reconciler, Session};
use crate::docker::Swarm;
use crate::health::{self, Health, Look, Verdict};
use crate::plan::{Decision, Until};
use crate::report::Subject;
use crate::report::status::stacks_of;
use crate::source::SourceId;
use crate::state::{LastWords, StackRow, StackStatus};
use crate::watched::Watched;

/// While deploys go on, the other stacks of their sources are looked at so often.
const MEANWHILE: Duration = Duration::from_secs(20);
/// So long failed tasks are asked for their last words; those that are left are asked at the next look.
const ASKING: Duration = Duration::from_secs(3);

/// Judges the stacks of `watched` but those that are left out, says what is degraded, and notes where that begins and ends. `swarm` is as it is
/// now. One call of docker, none where nothing is deployed, one more where something is wrong, and three at the most for
/// each service of which another task failed.
fn judge(
    session: &Session<'_>,
    watched: &[&Watched],
    is_left_out: impl Fn(&Key) -> bool,
    swarm: &Swarm,
    dry_run: bool,
) -> Result<(BTreeSet<Key>, Look)> {
    let look = session.door.health(swarm, &stacks_of(watched.iter().copied()))?;
    let until = session.door.now().instant + ASKING;
    let mut degraded = BTreeSet::new();
    for known in watched.iter().copied() {
        for row in &known.stacks {
            let key = Key::new(&known.identity, &row.name);
            if is_left_out(&key) {
                continue;
            }
            let verdict = health::judge(row, &known.motions, swarm, &look);
            note(session, known, row, &verdict, until, dry_run)?;
            if verdict.is_degraded() {
                degraded.insert(key);
            }
        }
    }
    Ok((degraded, look))
}

fn note(
    session: &Session<'_>,
    known: &Watched,
    row: &StackRow,
    verdict: &Verdict,
    until: Instant,
    dry_run: bool,
) -> Result<()> {
    let subject =
        Subject { repository: Some(&known.row.url), stack: row.name.as_str(), commit: row.commit.as_deref() };
    match (verdict.health, &row.degraded) {
        (Health::Degraded, since) => {
            let words = if dry_run { row.words.clone() } else { last_words(session, row, verdict, until) };
            let why = verdict.why(&words).unwrap_or_default();
            session.report.degraded(subject, &why, &verdict.troubled(), since.is_none());
            if since.is_none() && !dry_run {
                session.state.note_degraded(row)?;
            }
            if words != row.words {
                session.state.note_last_words(row, &words)?;
            }
        }
        (Health::Healthy, Some(since)) if !dry_run => {
            let lasted = lasted(since, session.door.now().wall);
            session.report.recovered(subject, &format!("runs as Git says again{lasted}"));
            session.state.note_recovered(row)?;
        }
        // Until a deploy ended, or what failed is mended, nobody knows whether it is over.
        _ => {}
    }
    Ok(())
}

/// What the tasks of its services said that failed last. A task is asked once.
fn last_words(
    session: &Session<'_>,
    row: &StackRow,
    verdict: &Verdict,
    until: Instant,
) -> BTreeMap<String, LastWords> {
    let mut words = row.words.clone();
    words.retain(|name, _| verdict.services.get(name).is_some_and(|service| service.why.is_some()));
    let failed = verdict.services.iter().filter_map(|(name, service)| Some((name, service.failed.as_ref()?)));
    let mut to_ask: Vec<_> =
        failed.filter(|(name, task)| words.get(*name).is_none_or(|words| words.task != **task)).collect();
    to_ask.sort_by_key(|(name, _)| words.contains_key(*name));
    for (name, task) in to_ask {
        if session.door.now().instant < until {
            let text = session.door.last_words_of(name, task);
            words.insert(name.clone(), LastWords { task: task.clone(), text });
        }
    }
    words
}

fn lasted(since: &str, now: DateTime<Utc>) -> String {
    let since = since.parse::<DateTime<Utc>>().ok();
    let lasted = since.and_then(|since| (now - since).to_std().ok());
    lasted.map(|lasted| format!("; it began to be degraded {}", health::ago(lasted))).unwrap_or_default()
}

impl Reconciler {
    /// A stack that dies is not to wait for another one of its source that is being deployed.
    pub fn judge_meanwhile(&mut self, session: &Session<'_>) -> Result<()> {
        let now = session.door.now().instant;
        let last = *self.memory.health_judged.get_or_insert(now);
        let is_blind = self.memory.blind_looks > 0;
        if self.options.dry_run || is_blind || now.duration_since(last) < MEANWHILE {
            return Ok(());
        }
        let moving = self.sources.iter().filter(|source| !source.is_overtaken && self.is_moving(source));
        let moving: BTreeSet<_> = moving.map(|source| source.id.clone()).collect();
        if moving.is_empty() {
            return Ok(());
        }
        let judged = session.door.observe().and_then(|swarm| self.judge_health(session, &moving, &swarm));
        self.memory.health_judged = Some(session.door.now().instant);
        // Who looks at what is in motion says it where docker cannot be asked.
        judged.or_else(|error| if ends_the_run(&error) { Err(error) } else { Ok(()) })
    }

    /// Judges the stacks of these sources by the Swarm as it is now, and remembers which are degraded.
    pub fn judge_health(
        &mut self,
        session: &Session<'_>,
        sources: &BTreeSet<SourceId>,
        swarm: &Swarm,
    ) -> Result<()> {
        self.memory.health_judged = Some(session.door.now().instant);
        let watched = self.known.read(session.state)?;
        let watched: Vec<_> = watched.iter().filter(|known| sources.contains(&known.identity)).collect();
        self.memory.degraded.retain(|key| !sources.contains(&key.source));
        let is_deployed = |row: &StackRow| row.status == StackStatus::Deployed;
        if watched.iter().copied().flat_map(|known| &known.stacks).any(is_deployed) {
            let memory = &self.memory;
            let elsewhere = session.state.given_elsewhere(&self.run())?;
            // Also what another source is about to have.
            let changing: BTreeSet<_> =
                memory.giving.keys().chain(memory.removing.keys()).map(|key| &key.stack).collect();
            let motions = || self.sources.iter().flat_map(|source| &source.motions);
            let goes = |decision: &Decision| matches!(decision, Decision::Blocked(it) if it.until == Until::Handover);
            let is_changing = |key: &Key| {
                changing.contains(&key.stack)
                    || elsewhere.contains(key.stack.as_str())
                    || motions().any(|motion| motion.name == key.stack)
                    || memory.decisions.get(key).is_some_and(goes)
            };
            let (degraded, look) = judge(session, &watched, is_changing, swarm, self.options.dry_run)?;
            self.memory.degraded.extend(degraded);
            self.memory.look = Some(look);
        }
        Ok(())
    }
}
