//! The key under which the Swarm is told of contents.
//!
//! It lies in the database, and in the Swarm as a config, which only managers read: so a lost database loses no
//! name of a config or secret, and no fingerprint. All installations of one Swarm share it.

use anyhow::{Context, Result};

use super::Session;
use crate::compose;
use crate::docker::service::Service;
use crate::hash::Key;

/// Of the database, else of the Swarm, else a new one that both get. A preview keeps none. Where `is_new` source is
/// read, or all is deployed again, a copy that the Swarm has lost is put back.
pub fn key(session: &Session<'_>, force: bool, dry_run: bool, is_new: bool) -> Result<Key> {
    if let Some(key) = session.state.key()? {
        if (is_new || force) && !dry_run {
            session.docker.put_key_back(&key)?;
        }
        return Ok(key);
    }
    let what = "cannot make the key of this installation";
    let stored = match session.docker.stored_key()? {
        Some(key) => key,
        None => {
            say_what_it_costs(session)?;
            let new = Key::new().context(what)?;
            if dry_run {
                return Ok(new);
            }
            session.docker.store_key(&new)?
        }
    };
    if !dry_run {
        session.state.note_key(&stored)?;
    }
    Ok(stored)
}

/// A release before this one told of contents without a key, or under one that is lost.
fn say_what_it_costs(session: &Session<'_>) -> Result<()> {
    let recorded = session.state.stacks()?.iter().any(|stack| !stack.hash.is_empty());
    let labelled = |service: &Service| service.labels.contains_key(compose::FINGERPRINT);
    if recorded || session.docker.observe()?.services.iter().any(labelled) {
        session.report.note(
            "names of configs and secrets",
            "are made under a new key, and tell nothing about contents: each stack is deployed once more when its \
             source changes; its services that use configs or secrets with `file:`, secrets as variables, bindings, or \
             dates without quotes, roll once, and its jobs run again",
        );
    }
    Ok(())
}
