//! Earlier versions of configs and secrets go, once no service needs them.
//!
//! In: the stacks that converged. Gone afterwards: what DockerOps itself put there for one of them, and its
//! file no longer names. One that a service would need to roll back stays until the next deploy, as does what cannot be
//! removed; that is a note and no failure. So does one of a version of the stack that is kept.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Session;
use super::contain::Contain;
use super::memory::Converged;
use super::versions;
use crate::compose::REPOSITORY;
use crate::docker::stored::Stored;
use crate::signal;
use crate::stack::StoredKind;

/// Two docker calls, and more only where there is something to remove.
pub fn retire(session: &Session<'_>, converged: &[Converged]) -> Result<()> {
    if converged.is_empty() {
        return Ok(());
    }
    if let Err(why) = remove(session, converged).contained()? {
        let stacks: Vec<_> = converged.iter().map(|one| one.key.stack.as_str()).collect();
        let what = "earlier versions of its configs and secrets were not looked for";
        session.report.note(&stacks.join(", "), &format!("{what}: {why}"));
    }
    Ok(())
}

fn remove(session: &Session<'_>, converged: &[Converged]) -> Result<()> {
    let stored = session.door.stored(REPOSITORY)?;
    let earlier: Vec<_> =
        stored.iter().filter(|stored| converged.iter().any(|one| is_earlier(stored, one))).collect();
    if earlier.is_empty() {
        return Ok(());
    }
    let used = session.door.in_use(&earlier.iter().map(|stored| &*stored.id).collect::<BTreeSet<_>>())?;
    for stored in earlier.into_iter().filter(|stored| !used.contains(&*stored.id)) {
        signal::check()?;
        let what = format!("the {} `{}`, an earlier version", stored.kind.word(), stored.name);
        match session.door.remove_stored(stored)? {
            Ok(()) => session.report.progress(&format!("removed {what}")),
            Err(why) => {
                let text = format!("could not remove {what}; it is tried again at the next deploy: {why}");
                session.report.note(stored.stack.as_str(), &text);
            }
        }
    }
    Ok(())
}

/// Whether `stored` was put there for the stack by its source, and is no part of it any more. The
/// mark proves it; without one, a release that did not rotate yet made it if `docker stack deploy` did, under
/// the very name that an entry would have without its hash.
fn is_earlier(stored: &Stored, of: &Converged) -> bool {
    let own = match stored.kind {
        StoredKind::Config => &of.versions.configs,
        StoredKind::Secret => &of.versions.secrets,
    };
    stored.stack == of.key.stack
        && !versions::holds(&of.versions, stored)
        && !versions::are_in_need(&of.kept, stored)
        && (of.key.source == *stored.mark
            || (stored.mark.is_empty() && own.iter().any(|(_, plain)| *plain == stored.name)))
}
