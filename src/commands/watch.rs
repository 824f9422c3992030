//! `watch`: deploys a source and remembers it.

use anyhow::Result;

use super::{Ending, Writer};
use crate::cli::WatchArgs;
use crate::fault::fault;
use crate::reconcile::{Options, Target, reconcile};
use crate::settings::Settings;
use crate::source::Source;

/// Refuses a source that is watched already; validates everything first.
pub fn run(settings: &Settings, arguments: &WatchArgs) -> Result<Ending> {
    let source = Source::parse(&arguments.source)?;
    let writer = Writer::open(settings, "watch")?;
    if let Some(row) = writer.row_of(&source)? {
        return Err(fault(
            format!("Repository is already being watched: `{}`, last synced {}", row.url, row.last_watch),
            "`sudo dockerops reconcile` syncs it now, `sudo dockerops unwatch` forgets it",
        ));
    }
    let targets = vec![Target::new(source.clone(), None)];
    let tally = reconcile(&writer.session(), targets, &Options::default())?.tally;
    let Some(row) = writer.row_of(&source)? else {
        let what = format!("`{source}` is not watched any more: another run ended that meanwhile");
        return Err(fault(what, "see what it said; `dockerops watch` begins anew"));
    };
    writer.report.watched(&row.url);
    writer.report.summary(&tally, false);
    Ok(tally.into())
}
