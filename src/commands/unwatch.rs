//! `unwatch`: removes a source's stacks and forgets it.

use anyhow::Result;

use super::{Ending, Writer, all_removed};
use crate::cli::UnwatchArgs;
use crate::clock;
use crate::fault::fault;
use crate::holding::end_holds;
use crate::reconcile::{clean_after_removal, note_digests, remove_all, remove_bindings, wait_for_others};
use crate::report::Voice;
use crate::settings::Settings;
use crate::source::Source;
use crate::watched::watched;

/// Forgets the source only when all its stacks are gone, or are to stay.
pub fn run(settings: &Settings, arguments: &UnwatchArgs) -> Result<Ending> {
    let source = Source::parse(&arguments.source)?;
    let writer = Writer::open(settings, "unwatch", Voice::from_options(false, arguments.quiet))?;
    let Some(row) = writer.row_of(&source)? else {
        let known: Vec<_> =
            writer.state.sources()?.into_iter().map(|row| format!("`{}`", row.url.shown())).collect();
        let hint = if known.is_empty() {
            let path = settings.database.display();
            format!(
                "nothing is watched in the database `{path}`; if something should be, `DOCKEROPS_DB_PATH` or `HOME` is \
                 another one here"
            )
        } else {
            format!("watched are {}", known.join(", "))
        };
        return Err(fault(format!("`{source}` is not being watched"), hint));
    };
    let session = writer.session();
    wait_for_others(&session)?;
    if !arguments.keep_stacks {
        let swarm = writer.docker.observe()?;
        let watched = watched(&writer.state)?;
        note_digests(&session, &watched, &swarm)?;
        for known in watched.iter().filter(|known| known.row.id == row.id) {
            all_removed(remove_all(&session, &[known], &swarm)?)?;
            remove_bindings(&session, &row.url)?;
        }
    }
    let watched = watched(&writer.state)?;
    let known = || watched.iter().filter(|known| known.row.id == row.id);
    if arguments.keep_stacks {
        // Whoever watches it again finds them in the Swarm.
        let now = clock::wall();
        for held in known().flat_map(|known| &known.holds).filter(|held| !held.hold.is_over(now)) {
            let subject = held.stack.as_ref().map_or_else(|| row.url.shown(), ToString::to_string);
            writer.report.say(&format!(
                "`{subject}` stays on hold for whoever watches it again: {}",
                held.hold.sentence()
            ));
        }
    } else {
        end_holds(&writer, known());
    }
    writer.state.forget(&row)?;
    writer.state.recount_images()?;
    if !arguments.keep_stacks {
        clean_after_removal(&session)?;
    }
    writer.sweep_kept()?;
    writer.report.unwatched(&row.url);
    let stacks = if arguments.keep_stacks { "its stacks run on" } else { "see above for its stacks" };
    writer.report.say(&format!("`{}` is no longer watched; {stacks}", row.url.shown()));
    Ok(Ending::Done)
}
