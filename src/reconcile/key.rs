//! The key under which the Swarm is told of contents.
//!
//! It lies in the database, and in the Swarm as a config, which only managers read: so a lost database loses no
//! name of a config or secret, and no fingerprint. All installations of one Swarm share it.

use anyhow::{Context, Result};

use super::{Options, Session};
use crate::hash::Key;

/// Of the database, else of the Swarm, else a new one that both get. A preview keeps none.
pub fn key(session: &Session<'_>, options: &Options) -> Result<Key> {
    if let Some(key) = session.state.key()? {
        return Ok(key);
    }
    let what = "cannot make the key of this installation";
    let stored = match session.docker.stored_key()? {
        Some(key) => key,
        None if options.dry_run => return Key::new().context(what),
        None => {
            let new = Key::new().context(what)?;
            say_what_it_costs(session)?;
            session.docker.store_key(&new)?
        }
    };
    if !options.dry_run {
        session.state.note_key(&stored)?;
    }
    Ok(stored)
}

/// A release before this one told of contents without a key.
fn say_what_it_costs(session: &Session<'_>) -> Result<()> {
    if session.state.stacks()?.iter().any(|stack| !stack.hash.is_empty()) {
        session.report.note(
            "names of configs and secrets",
            "they tell nothing about their contents any more: each stack is deployed once more when its source \
             changes, and its services that use configs or secrets with `file:`, or bindings, roll once",
        );
    }
    Ok(())
}
