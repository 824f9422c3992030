//! What keeps stacks as they are, for the tables, JSON and the page.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::status::{Stack, StackState};
use super::{Report, Subject, harmless};
use crate::health::Health;
use crate::hold::{Hold, Kind, stamp};
use crate::stack::{DriftPolicy, StackName};
use crate::state::{HoldRow, Level, OnHold, StackStatus};
use crate::watched::Watched;

/// Why a stack, or all of a source, stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackHold {
    /// What it comes from: `hand`, `manifest`, `window` or `rollback`.
    pub kind: Kind,
    /// In the words of the person.
    pub reason: Option<String>,
    /// Who; `null` where a file says it.
    pub by: Option<String>,
    /// Since when, and until when; UTC.
    pub since: Option<String>,
    pub until: Option<String>,
    /// The commit that it was rolled back to; `null` of other holds.
    pub to: Option<String>,
    /// What would be done to it; `null` where it is as Git says.
    pub change: Option<String>,
    /// How many commits that change it were seen since.
    pub behind: u32,
    /// All of that in a sentence.
    #[serde(skip)]
    pub sentence: String,
}

impl StackHold {
    /// With what was found to be kept back by it.
    pub fn of(hold: &Hold, found: Option<&OnHold>) -> Self {
        let change = found.and_then(|found| found.change.as_deref()).map(harmless);
        let behind = found.map_or(0, |found| found.behind);
        let mut sentence = harmless(&hold.sentence());
        if let Some(change) = &change {
            sentence += &format!("; {change}");
        }
        if behind > 1 {
            sentence += &format!(" ({behind} commits behind)");
        }
        Self {
            kind: hold.kind,
            reason: hold.reason.as_deref().map(harmless),
            by: hold.by.as_deref().map(harmless),
            since: hold.since.map(stamp),
            until: hold.until.map(stamp),
            to: hold.back.as_ref().map(|back| back.commit.clone()),
            change,
            behind,
            sentence,
        }
    }
}

impl Report {
    /// A stack stays as it is though Git says something else: somebody, or its source, wants that.
    pub fn on_hold<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        let subject = subject.into();
        if self.is_new(&format!("hold {:?}", Subject { commit: None, ..subject }), text) {
            self.happened("hold", Level::Info, subject, text, true);
        }
    }

    /// A hold began or ended.
    pub fn released<'a>(&self, subject: impl Into<Subject<'a>>, text: &str) {
        self.happened("released", Level::Info, subject.into(), text, false);
    }
}

/// What keeps a stack as it is at `now`.
pub fn of_stack(
    watched: &[Watched],
    known: &Watched,
    name: &StackName,
    now: DateTime<Utc>,
) -> Option<StackHold> {
    let found = known.on_hold.iter().find(|stack| stack.name == *name);
    let is_its = |row: &&HoldRow| row.stack.as_ref() == Some(name) && !row.hold.is_over(now);
    let by_name = watched.iter().flat_map(|known| &known.holds).find(is_its);
    match by_name.or_else(|| of_all(known, now)) {
        Some(row) => {
            let mut told = StackHold::of(&row.hold, found);
            // The source that had it then may list it no more.
            let owner = watched.iter().find(|known| known.row.id == row.repository_id).unwrap_or(known);
            let stack = owner.stacks.iter().find(|stack| stack.name == *name);
            let runs = |hash: &str| {
                stack.is_some_and(|stack| stack.status == StackStatus::Deployed && stack.hash == hash)
            };
            if row.hold.back.as_ref().is_some_and(|back| !runs(&back.hash)) {
                let change = "that version does not run so far".to_owned();
                told.sentence += &format!("; {change}");
                told.change = Some(change);
            }
            Some(told)
        }
        // What was found stands until the next sync finds something else.
        None => found
            .filter(|found| {
                matches!(found.hold.kind, Kind::Manifest | Kind::Window) && !found.hold.is_over(now)
            })
            .map(|found| StackHold::of(&found.hold, Some(found))),
    }
}

/// What keeps all of a source as it is at `now`.
pub fn of_source(known: &Watched, now: DateTime<Utc>) -> Option<StackHold> {
    of_all(known, now).map(|row| StackHold::of(&row.hold, None))
}

fn of_all(known: &Watched, now: DateTime<Utc>) -> Option<&HoldRow> {
    known.holds.iter().find(|row| row.stack.is_none() && !row.hold.is_over(now))
}

/// The stacks on hold that were never deployed, and the names that are held and that no source lists: no row tells of
/// them.
pub fn never_deployed(watched: &[Watched], known: &Watched, now: DateTime<Utc>) -> Vec<Stack> {
    let has_row = |known: &Watched, name: &StackName| {
        known.stacks.iter().any(|row| row.name == *name)
            || known.motions.iter().any(|motion| motion.name == *name)
    };
    let is_told = |known: &Watched, name: &StackName| {
        has_row(known, name) || known.on_hold.iter().any(|stack| stack.name == *name)
    };
    let new = known.on_hold.iter().map(|stack| &stack.name).filter(|name| !has_row(known, name));
    let held = known.holds.iter().filter(|row| !row.hold.is_over(now)).filter_map(|row| row.stack.as_ref());
    let held = held.filter(|name| !watched.iter().any(|known| is_told(known, name)));
    new.chain(held)
        .map(|name| Stack {
            name: name.to_string(),
            repository: known.row.url.shown(),
            source: known.row.url.clone(),
            compose_path: String::new(),
            status: StackState::Stopped,
            hash: String::new(),
            commit: None,
            converged: None,
            error: None,
            stays: None,
            health: Health::Stopped,
            why: None,
            degraded_since: None,
            held: false,
            hold: of_stack(watched, known, name, now),
            drift_policy: DriftPolicy::default(),
            updating: false,
            drift: Vec::new(),
            services: Vec::new(),
            rendered: None,
        })
        .collect()
}
