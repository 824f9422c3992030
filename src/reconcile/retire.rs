//! Earlier versions of configs and secrets go, once no service needs them.
//!
//! In: the stacks that converged. Gone afterwards: what DockerOps itself put there for one of them, and its
//! file no longer names. A version that a service would need to roll back stays until the next deploy, as
//! does what cannot be removed; that is a note and no failure.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Session;
use crate::compose::REPOSITORY;
use crate::deploy::Job;
use crate::docker::payload::Stored;
use crate::signal;

/// Two docker calls, and more only where there is something to remove.
pub fn retire(session: &Session<'_>, converged: &[&Job<'_>]) -> Result<()> {
    if converged.is_empty() {
        return Ok(());
    }
    match remove(session, converged) {
        Err(error) if error.is::<signal::Interrupted>() => Err(error),
        Err(error) => {
            let stacks: Vec<_> = converged.iter().map(|job| job.rendered.name.as_str()).collect();
            let what = "earlier versions of its configs and secrets were not looked for";
            session.report.note(&stacks.join(", "), &format!("{what}: {error:#}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn remove(session: &Session<'_>, converged: &[&Job<'_>]) -> Result<()> {
    let stored = session.docker.stored(REPOSITORY)?;
    let earlier: Vec<_> =
        stored.iter().filter(|stored| converged.iter().any(|job| is_earlier(stored, job))).collect();
    if earlier.is_empty() {
        return Ok(());
    }
    let used = session.docker.in_use(&earlier.iter().map(|stored| &*stored.id).collect::<BTreeSet<_>>())?;
    for stored in earlier.into_iter().filter(|stored| !used.contains(&*stored.id)) {
        signal::check()?;
        let what = format!("the {} `{}`, an earlier version", stored.payload.word(), stored.name);
        match session.docker.remove_stored(stored)? {
            Ok(()) => session.report.progress(&format!("removed {what}")),
            Err(why) => {
                let text = format!("could not remove {what}; it is tried again at the next deploy: {why}");
                session.report.note(stored.stack.as_str(), &text);
            }
        }
    }
    Ok(())
}

/// Whether `stored` was put there for the job's stack by its source, and is no part of it any more. The
/// mark proves it; without one, a release that did not rotate yet made it if `docker stack deploy` did, under
/// the very name that an entry would have without its hash.
fn is_earlier(stored: &Stored, job: &Job<'_>) -> bool {
    let rendered = job.rendered;
    let mut of_kind = rendered.rotated.iter().filter(|rotated| rotated.payload == stored.payload);
    let is_script = rendered.scripts().iter().any(|script| script.name == stored.name);
    stored.stack == rendered.name
        && !is_script
        && !of_kind.clone().any(|rotated| rotated.name == stored.name)
        && (stored.mark == job.ownership.repository
            || (stored.mark.is_empty() && of_kind.any(|rotated| rotated.plain == stored.name)))
}
