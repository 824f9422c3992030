//! Drift: a live service that is not what DockerOps last applied. Pure.

use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::state::{StackRow, StackStatus};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Its full name.
    pub service: String,
    /// What is different, in words.
    pub what: String,
}

/// What drifted in a stack that was deployed; a failed or stopped one has nothing to compare with.
pub fn find(row: &StackRow, swarm: &Swarm) -> Vec<Drift> {
    compare(row, &swarm.of_stack(&row.name).collect::<Vec<_>>())
}

/// Likewise, of a stack whose live services are known.
pub fn compare(row: &StackRow, live: &[&Service]) -> Vec<Drift> {
    // A row of the older release holds no services: its source is synced anew anyway.
    if row.status != StackStatus::Deployed || row.services.is_empty() {
        return Vec::new();
    }
    if is_broken!(SeesNoDrift) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut note = |service: &str, what: String| found.push(Drift { service: service.to_owned(), what });
    for (name, applied) in row.services.iter().filter(|(_, applied)| applied.is_kept()) {
        match live.iter().find(|service| service.name == *name) {
            None => note(name, "removed by hand".into()),
            Some(live) => {
                let differences = live.differences_from(&applied.spec);
                if !differences.is_empty() {
                    note(name, format!("by hand: {}", differences.join(", ")));
                }
            }
        }
    }
    for live in live.iter().filter(|live| !row.services.contains_key(&live.name)) {
        note(&live.name, "added by hand".into());
    }
    found
}

/// The drift of a stack in one line.
pub fn sentence(drifts: &[Drift]) -> String {
    let parts: Vec<_> = drifts.iter().map(|drift| format!("`{}` {}", drift.service, drift.what)).collect();
    parts.join("; ")
}
