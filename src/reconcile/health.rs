//! The last word on a source that came to rest: whether every stack of it still runs what was applied, whether or not
//! it was touched.

use std::collections::BTreeSet;

use anyhow::Result;
use chrono::{DateTime, Utc};

use super::{Key, Reconciler, Session};
use crate::docker::Swarm;
use crate::health::{self, Health, Verdict};
use crate::report::Subject;
use crate::report::status::stacks_of;
use crate::source::SourceId;
use crate::state::{StackRow, StackStatus};
use crate::watched::{Watched, watched};

/// Judges the stacks of `watched`, says what is degraded, and notes where that begins and ends. `swarm` is as it is
/// now. One call of docker, none where nothing is deployed, one more where something is wrong.
pub fn judge(
    session: &Session<'_>,
    watched: &[Watched],
    swarm: &Swarm,
    dry_run: bool,
) -> Result<BTreeSet<Key>> {
    let look = session.door.health(swarm, &stacks_of(watched))?;
    let mut degraded = BTreeSet::new();
    for known in watched {
        for row in &known.stacks {
            let verdict = health::judge(row, &known.motions, swarm, &look);
            note(session, known, row, &verdict, dry_run)?;
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
    dry_run: bool,
) -> Result<()> {
    let subject =
        Subject { repository: Some(&known.row.url), stack: row.name.as_str(), commit: row.commit.as_deref() };
    match (verdict.health, &row.degraded) {
        (Health::Degraded, since) => {
            let why = verdict.why().unwrap_or_default();
            session.report.degraded(subject, &why, &verdict.troubled(), since.is_none());
            if since.is_none() && !dry_run {
                session.state.note_degraded(row)?;
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
        let mut watched = watched(session.state)?;
        watched.retain(|known| at_rest.contains(&known.identity));
        self.memory.degraded.retain(|key| !at_rest.contains(&key.source));
        let is_deployed = |row: &StackRow| row.status == StackStatus::Deployed;
        if !watched.iter().flat_map(|known| &known.stacks).any(is_deployed) {
            return Ok(());
        }
        // What was done since is not in it.
        let anew = self.memory.has_acted.then(|| session.door.observe()).transpose()?;
        let swarm = anew.as_ref().unwrap_or(before);
        self.memory.degraded.extend(judge(session, &watched, swarm, self.options.dry_run)?);
        Ok(())
    }
}
