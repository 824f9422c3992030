//! What runs are at, those that live.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::harmless;
use crate::source::SourceUrl;
use crate::state::{Motion, Work, WorkKind};
use crate::watched::Watched;

/// A deploy whose end nobody has seen yet, a stack that is removed or waits, an image that is built or pulled, or a source
/// that is fetched.
#[derive(Debug, Serialize)]
pub struct UnderWay {
    pub state: WorkKind,
    /// The stack, the image, or the source.
    pub what: String,
    /// The stack's source, or the one that is fetched.
    pub repository: Option<String>,
    pub since: String,
    /// What it waits for.
    pub why: Option<String>,
}

pub fn under_way(watched: &[Watched], work: &[Work]) -> Vec<UnderWay> {
    let time = |since: &DateTime<Utc>| since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let motions = watched.iter().flat_map(|known| known.motions.iter().map(move |motion| (known, motion)));
    let deploys = motions.map(|(known, motion)| UnderWay {
        state: WorkKind::Deploying,
        what: motion.name.to_string(),
        repository: Some(known.row.url.shown()),
        since: time(&motion.since),
        why: job_of(motion),
    });
    let others = work.iter().map(|work| UnderWay {
        state: work.kind,
        what: work.what.clone(),
        repository: repository_of(watched, work),
        since: time(&work.since),
        why: work.why.as_deref().map(harmless),
    });
    deploys.chain(others).collect()
}

fn job_of(motion: &Motion) -> Option<String> {
    let job = motion.given.as_ref()?.job().filter(|_| motion.runs_a_job())?;
    Some(harmless(&format!("its job `{job}` runs")))
}

/// Of a stack that several sources know it is none.
fn repository_of(watched: &[Watched], work: &Work) -> Option<String> {
    match work.kind {
        WorkKind::Fetching => Some(work.what.clone()),
        WorkKind::Waiting => work.repository.as_ref().map(SourceUrl::shown),
        WorkKind::Deploying | WorkKind::Removing => {
            let has_it = |known: &&Watched| known.stacks.iter().any(|row| row.name.as_str() == work.what);
            let mut owners = watched.iter().filter(has_it);
            let owner = owners.next()?;
            owners.next().is_none().then(|| owner.row.url.shown())
        }
        WorkKind::Building | WorkKind::Pulling | WorkKind::Syncing => None,
    }
}
