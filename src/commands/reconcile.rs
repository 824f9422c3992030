//! `reconcile`: syncs every watched source, or what is named.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Error, Result};

use super::ending::{Preview, end};
use super::{Ending, Writer, nothing_watched};
use crate::cli::ReconcileArgs;
use crate::holding::Subject;
use crate::reconcile::{Options, Selection, Target, Wish, reconcile};
use crate::report::run::FailedSource;
use crate::report::{Show, Voice, print_error};
use crate::settings::Settings;
use crate::watched::{Watched, watched};

/// Shows the state, then syncs. A dry run takes the lock as well: what it says must not be moving.
pub fn run(settings: &Settings, arguments: &ReconcileArgs) -> Result<Ending> {
    let voice = Voice::from_options(arguments.json, arguments.quiet);
    let writer = match arguments.dry_run {
        // It makes no database either.
        true if !settings.database.exists() => return Err(nothing_watched(settings)),
        true => Writer::open_to_preview(settings, "reconcile", voice)?,
        false => Writer::open(settings, "reconcile", voice)?,
    };
    let watched = watched(&writer.state)?;
    if watched.is_empty() {
        return Err(nothing_watched(settings));
    }
    let wanted = match wanted(&watched, &arguments.subjects) {
        Ok(wanted) => wanted,
        Err(wrong) => {
            wrong.iter().for_each(print_error);
            return Ok(Ending::Wrong);
        }
    };
    let mut targets = Vec::new();
    let mut unreadable = Vec::new();
    for (known, stacks) in watched.iter().zip(wanted).filter_map(|(known, stacks)| Some((known, stacks?))) {
        match known.row.url.parse() {
            Ok(source) => targets.push(Target { stacks, ..Target::new(source, Some(known.row.clone())) }),
            Err(error) => {
                writer.report.source_failed(known.row.url.as_str(), &error);
                unreadable.push(FailedSource::of(&known.row.url, &error));
            }
        }
    }
    let options = Options {
        dry_run: arguments.dry_run,
        show: Show::from_options(arguments.rendered, arguments.diff),
        wish: Wish { forced: arguments.force.then(|| "forced".to_owned()), ..Wish::default() },
        ..Options::default()
    };
    let mut outcome = reconcile(&writer.session(), targets, &options)?;
    outcome.tally.failed += unreadable.len();
    outcome.failed_sources.append(&mut unreadable);
    let preview = Preview::from_options(arguments.dry_run, arguments.exit_code);
    end(&writer.report, &outcome, preview, arguments.json)
}

/// Of each source the stacks that it is for, `None` where it is for none; all of all where nobody names any. The error
/// is every name that is none.
fn wanted(watched: &[Watched], names: &[String]) -> Result<Vec<Option<Selection>>, Vec<Error>> {
    if names.is_empty() {
        return Ok(vec![Some(Selection::All); watched.len()]);
    }
    let (mut wanted, mut wrong) = (BTreeMap::new(), Vec::new());
    for name in names {
        match Subject::named(watched, name) {
            Err(refusal) => wrong.push(refusal.into()),
            Ok(Subject { source, stack: None, .. }) => {
                wanted.insert(source.id, Selection::All);
            }
            Ok(Subject { source, stack: Some(stack), .. }) => {
                let known = wanted.entry(source.id).or_insert_with(|| Selection::Some(BTreeSet::new()));
                if let Selection::Some(stacks) = known {
                    stacks.insert(stack);
                }
            }
        }
    }
    if wrong.is_empty() {
        return Ok(watched.iter().map(|known| wanted.remove(&known.row.id)).collect());
    }
    Err(wrong)
}
