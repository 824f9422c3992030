//! `rollback`: an earlier version of a stack runs again, and stays.

use anyhow::Result;

use super::{Ending, Writer, nothing_watched};
use crate::cli::RollbackArgs;
use crate::clock;
use crate::fault::fault;
use crate::hold::{Hold, Kind};
use crate::plan::Course;
use crate::reconcile::{aim, keep_in_swarm, roll_back};
use crate::report::history;
use crate::settings::Settings;
use crate::state::{HoldRow, Version};
use crate::watched::watched;

/// Reads the version, notes that it is to stay, deploys it, and waits until it runs.
pub fn run(settings: &Settings, arguments: &RollbackArgs) -> Result<Ending> {
    let writer = Writer::open(settings, "rollback")?;
    let watched = watched(&writer.state)?;
    if watched.is_empty() {
        return Err(nothing_watched(settings));
    }
    let Some(row) = history::find(&watched, &arguments.stack, None) else {
        return Err(super::history::unknown(&watched, &arguments.stack));
    };
    let known = watched.iter().find(|known| known.row.url == row.repository_url);
    let Some(known) = known else { return Err(nothing_watched(settings)) };
    let before = known.holds.iter().find(|held| held.stack.as_ref() == Some(&row.name));
    let before = before.filter(|held| !held.hold.is_over(clock::wall()));
    let versions = writer.state.history(&row.name, &row.repository_url)?;
    let texts = writer.state.texts(&row.repository_url)?;
    let course = Course {
        row,
        motion: known.motions.iter().find(|motion| motion.name == row.name),
        versions: &versions,
        failed: texts.get(&row.name).and_then(|texts| texts.attempted.as_deref()),
        back: before.and_then(|held| held.hold.back.as_deref()),
    };
    let version = course.target(arguments.to.as_deref())?;
    let session = writer.session();
    let aim = aim(&session, known, row, version, (course.fled(), arguments.pin))?;
    if !aim.changed.is_empty() && !arguments.without_bindings {
        return Err(changed(&arguments.stack, version, &aim.changed));
    }
    let hold = Hold {
        kind: Kind::Rollback,
        reason: arguments.reason.clone(),
        by: Some(settings.person.clone()),
        since: Some(clock::wall()),
        until: None,
        back: Some(Box::new(aim.back.clone())),
    };
    tell_what_was(&writer, row.name.as_str(), before);
    writer.state.note_hold(&known.row, Some(&row.name), &hold)?;
    writer.sweep_kept()?;
    if let Err(error) = keep_in_swarm(&session, &known.identity, Some(&row.name), &hold) {
        writer
            .report
            .warn(&format!("the Swarm does not remember it, a lost database would forget it: {error:#}"));
    }
    for id in &aim.changed {
        writer.report.note(id, "this binding stays as it lies there: its files do not go back");
    }
    let tally = roll_back(&session, aim)?.tally;
    writer.report.on_hold(row.name.as_str(), &hold.sentence());
    writer.report.summary(&tally, false);
    Ok(tally.into())
}

fn tell_what_was(writer: &Writer, stack: &str, before: Option<&HoldRow>) {
    if let Some(before) = before {
        writer.report.say(&format!("`{stack}` was {} already", before.hold.sentence()));
    }
}

fn changed(stack: &str, version: &Version, changed: &[String]) -> anyhow::Error {
    let ids: Vec<_> = changed.iter().map(|id| format!("`{id}`")).collect();
    let commit = version.commit.get(..12).unwrap_or(&version.commit);
    fault(
        format!(
            "`{stack}` was not rolled back: of what it mounts at {commit} {} is not as it was then, and the files of \
             bindings do not go back",
            ids.join(", ")
        ),
        "`--without-bindings` goes back all the same, and leaves them as they lie there",
    )
}
