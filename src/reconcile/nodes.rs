//! Unused images on all nodes: Swarm leaves on a worker for ever what its tasks ran (moby #31254).
//!
//! One short job on every node, which removes by digest: that is how Swarm pulls, so a name somebody gave an
//! image there is not touched. Bounded in time, and taken away whatever came of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Session;
use crate::docker::prune::{self, Job};
use crate::signal;

/// Nodes that lack the job's image must pull it first.
const PATIENCE: Duration = Duration::from_secs(120);

/// Removes `references` from every node; whether all nodes are rid of them. A node that is not is reported.
pub fn prune(session: &Session<'_>, image: &str, references: &BTreeSet<&String>) -> Result<bool> {
    let docker = session.docker;
    let patience = PATIENCE.min(session.deploy_timeout);
    session.report.progress(&format!("removing {} unused images from all nodes", references.len()));
    let job = docker.start_prune(image, session.installation, references)?;
    let outcome = wait(session, &job, patience);
    let removed = docker.remove_services(&[&job.id]);
    let mut failures = outcome?;
    // Swarm may have tried more than once.
    failures.sort_unstable();
    failures.dedup_by(|one, other| one.0 == other.0);
    removed?;
    for (node, why) in &failures {
        session.report.note(node, &format!("images that nothing uses stay on this node: {why}"));
    }
    Ok(failures.is_empty())
}

/// The nodes that failed, and why.
fn wait(session: &Session<'_>, job: &Job, patience: Duration) -> Result<Vec<(String, String)>> {
    let until = Instant::now() + patience;
    loop {
        let (tasks, wanted) = session.docker.prune_tasks(job)?;
        signal::check()?;
        let over = tasks.iter().filter(|task| prune::is_over(task)).count() as u64;
        let late = Instant::now() >= until;
        if (wanted > 0 && over >= wanted) || late {
            let mut failures: Vec<_> =
                tasks.iter().filter_map(|task| prune::failure(task, patience)).collect();
            if tasks.is_empty() {
                failures.push(("the job".to_owned(), "no node took it".to_owned()));
            }
            return Ok(failures);
        }
        signal::pause(Duration::from_millis(300))?;
    }
}
