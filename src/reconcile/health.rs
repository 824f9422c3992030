//! The last word on a source that came to rest: whether every stack of it still runs what was applied, whether or not
//! it was touched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::{Key, Reconciler, Session};
use crate::docker::Swarm;
use crate::health::{self, Health, Verdict};
use crate::report::Subject;
use crate::report::status::stacks_of;
use crate::source::SourceId;
use crate::state::{LastWords, StackRow, StackStatus};
use crate::watched::Watched;

/// So long failed tasks are asked for their last words; those that are left are asked at the next look.
const ASKING: Duration = Duration::from_secs(3);

/// Judges the stacks of `watched`, says what is degraded, and notes where that begins and ends. `swarm` is as it is
/// now. One call of docker, none where nothing is deployed, one more where something is wrong, and three at the most for
/// each service of which another task failed.
pub fn judge(
    session: &Session<'_>,
    watched: &[&Watched],
    swarm: &Swarm,
    dry_run: bool,
) -> Result<BTreeSet<Key>> {
    let look = session.door.health(swarm, &stacks_of(watched.iter().copied()))?;
    let until = session.door.now().instant + ASKING;
    let mut degraded = BTreeSet::new();
    for known in watched.iter().copied() {
        for row in &known.stacks {
            let verdict = health::judge(row, &known.motions, swarm, &look);
            note(session, known, row, &verdict, until, dry_run)?;
            if verdict.is_degraded() {
                degraded.insert(Key::new(&known.identity, &row.name));
            }
        }
    }
    Ok(degraded)
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
            session.report.recovered(subject, &format!("runs as Git says again{}", lasted(since)));
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

fn lasted(since: &str) -> String {
    let since = since.parse::<DateTime<Utc>>().ok();
    let lasted = since.and_then(|since| (Utc::now() - since).to_std().ok());
    lasted.map(|lasted| format!("; it began to be degraded {}", health::ago(lasted))).unwrap_or_default()
}

impl Reconciler {
    /// Judges the stacks of the sources that came to rest in this turn, and remembers which are degraded.
    pub fn judge_health(
        &mut self,
        session: &Session<'_>,
        at_rest: &BTreeSet<SourceId>,
        before: &Swarm,
    ) -> Result<()> {
        let watched = self.known.read(session.state)?;
        let watched: Vec<_> = watched.iter().filter(|known| at_rest.contains(&known.identity)).collect();
        self.memory.degraded.retain(|key| !at_rest.contains(&key.source));
        let is_deployed = |row: &StackRow| row.status == StackStatus::Deployed;
        if !watched.iter().copied().flat_map(|known| &known.stacks).any(is_deployed) {
            return Ok(());
        }
        // What was done since is not in it.
        let anew = self.memory.has_acted.then(|| session.door.observe()).transpose()?;
        let swarm = anew.as_ref().unwrap_or(before);
        self.memory.degraded.extend(judge(session, &watched, swarm, self.options.dry_run)?);
        Ok(())
    }
}
