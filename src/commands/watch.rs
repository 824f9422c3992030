//! `watch`: deploys a source and remembers it.

use anyhow::Result;

use super::ending::{Preview, end};
use super::{Ending, Writer};
use crate::cli::WatchArgs;
use crate::fault::fault;
use crate::reconcile::{Options, Target, reconcile};
use crate::report::Voice;
use crate::settings::Settings;
use crate::source::Source;

/// Refuses a source that is watched already; validates everything first. A dry run remembers nothing.
pub fn run(settings: &Settings, arguments: &WatchArgs) -> Result<Ending> {
    let source = Source::parse(&arguments.source)?;
    let open = if arguments.dry_run { Writer::open_to_preview } else { Writer::open };
    let writer = open(settings, "watch", Voice::from_options(arguments.json, arguments.quiet))?;
    if let Some(row) = writer.row_of(&source)? {
        return Err(fault(
            format!("Repository is already being watched: `{}`, last synced {}", row.url, row.last_watch),
            "`sudo dockerops reconcile` syncs it now, `sudo dockerops unwatch` forgets it",
        ));
    }
    let targets = vec![Target::new(source.clone(), None)];
    let options = Options { dry_run: arguments.dry_run, ..Options::default() };
    let done = reconcile(&writer.session(), targets, &options);
    let forgotten = if arguments.dry_run { forget_files(&writer) } else { Ok(()) };
    let outcome = done?;
    forgotten?;
    if arguments.dry_run {
        let preview = Preview::from_options(true, arguments.exit_code);
        return end(&writer.report, &outcome, preview, arguments.json);
    }
    let Some(row) = writer.row_of(&source)? else {
        let what = format!("`{source}` is not watched any more: another run ended that meanwhile");
        return Err(fault(what, "see what it said; `dockerops watch` begins anew"));
    };
    writer.report.watched(&row.url);
    end(&writer.report, &outcome, Preview::No, arguments.json)
}

/// What git sent is kept for watched sources alone.
fn forget_files(writer: &Writer) -> Result<()> {
    let session = writer.session();
    session.unlock();
    session.lock_again()?;
    writer.sweep_kept()
}
