//! `reconcile`: syncs every watched source.

use anyhow::Result;

use super::{Ending, Writer, nothing_watched};
use crate::cli::ReconcileArgs;
use crate::reconcile::{Options, Target, Wish, reconcile};
use crate::report::Show;
use crate::settings::Settings;

/// Shows the state, then syncs. A dry run takes the lock as well: what it says must not be moving.
pub fn run(settings: &Settings, arguments: &ReconcileArgs) -> Result<Ending> {
    let writer = match arguments.dry_run {
        // It makes no database either.
        true if !settings.database.exists() => return Err(nothing_watched(settings)),
        true => Writer::open_to_preview(settings, "reconcile")?,
        false => Writer::open(settings, "reconcile")?,
    };
    let mut targets = Vec::new();
    let mut unreadable = 0;
    for row in writer.state.sources()? {
        match row.url.parse() {
            Ok(source) => targets.push(Target::new(source, Some(row))),
            Err(error) => {
                unreadable += 1;
                writer.report.source_failed(row.url.as_str(), &error);
            }
        }
    }
    if targets.is_empty() && unreadable == 0 {
        return Err(nothing_watched(settings));
    }
    let options = Options {
        dry_run: arguments.dry_run,
        show: Show::from_options(arguments.rendered, arguments.diff),
        wish: Wish { forced: arguments.force.then(|| "forced".to_owned()), ..Wish::default() },
        ..Options::default()
    };
    let mut tally = reconcile(&writer.session(), targets, &options)?.tally;
    tally.failed += unreadable;
    writer.report.summary(&tally, arguments.dry_run);
    Ok(tally.into())
}
