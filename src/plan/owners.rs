//! Whose a stack is: who has a name, and what proves that a live stack may be removed, or taken over.

use std::collections::BTreeMap;

use crate::compose::{self, RenderedStack};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::source::{Source, SourceId};
use crate::stack::StackName;
use crate::state::{StackRow, StackStatus};

/// Who owns which name: folded stack name → source identity.
pub type Claims = BTreeMap<String, SourceId>;

/// Who owns the names that are taken: by the labels of live services, then by the rows of stacks
/// that are deployed, or listed as disabled.
pub fn claims(watched: &[(SourceId, Vec<StackRow>)], swarm: &Swarm) -> Claims {
    let mut claims = Claims::new();
    // Nobody takes a name by listing it as disabled from who has had it deployed, or has tried to before.
    let has_failed = |source: &SourceId, stopped: &StackRow| {
        let others = watched.iter().filter(|(other, _)| other != source).flat_map(|(_, rows)| rows);
        others
            .filter(|row| row.status == StackStatus::Error && fold(&row.name) == fold(&stopped.name))
            .any(|row| !row.hash.is_empty() || row.is_older_than(stopped))
    };
    // Who has it deployed goes before who lists it as disabled.
    for status in [StackStatus::Deployed, StackStatus::Stopped] {
        for (source, rows) in watched {
            for row in rows.iter().filter(|row| row.status == status) {
                if status == StackStatus::Deployed || !has_failed(source, row) {
                    claims.entry(fold(&row.name)).or_insert_with(|| source.clone());
                }
            }
        }
    }
    for service in &swarm.services {
        if let Some((owner, _)) = watched.iter().find(|(source, _)| is_of(service, source)) {
            claims.insert(fold(&service.stack), owner.clone());
        }
    }
    claims
}

/// Who owns a name.
pub fn claim<'a>(claims: &'a Claims, name: &StackName) -> Option<&'a SourceId> {
    claims.get(&fold(name))
}

/// Swarm compares names without case.
pub fn fold(name: &StackName) -> String {
    name.as_str().to_ascii_lowercase()
}

/// The source that a service's label names.
pub fn owner(service: &Service) -> Option<&str> {
    service.labels.get(compose::REPOSITORY).map(String::as_str)
}

/// Whether a service's label names that source.
pub fn is_of(service: &Service, source: &SourceId) -> bool {
    owner(service).is_some_and(|owner| *source == *owner)
}

/// Who else deploys a stack: two that put it back by turns would never end. What the `predecessor` has is handed over.
pub fn taken_by<'a>(
    row: Option<&StackRow>,
    source: &SourceId,
    live: &[&'a Service],
    predecessor: Option<&SourceId>,
) -> Option<&'a str> {
    // What still bears our fingerprint is our own deploy, whose label a hand edited; another DockerOps labels all of it,
    // with a name that a source can have.
    let hash = row.map(|row| &row.hash);
    let by_us = |service: &&Service| hash.is_some() && service.labels.get(compose::FINGERPRINT) == hash;
    let is_taken = live.iter().all(|service| !is_of(service, source))
        && (live.len() > 1 || live.iter().any(|service| owner(service).is_some_and(is_canonical)));
    let others = live.iter().copied().filter(|service| is_taken || !by_us(service));
    let mut owners = others.filter_map(owner);
    owners.find(|owner| *source != **owner && predecessor.is_none_or(|predecessor| *predecessor != **owner))
}

/// That somebody else deploys a stack, and the way out.
pub fn taken(name: &StackName, other: &str) -> String {
    format!(
        "another DockerOps deploys the stack `{name}`, from `{other}`; end that with `dockerops unwatch --keep-stacks \
         {other}` where it runs and take the stack over with `dockerops reconcile --force` here, or rename one of both"
    )
}

/// Whether a label is as DockerOps writes it.
fn is_canonical(label: &str) -> bool {
    Source::parse(label).is_ok_and(|source| *source.id() == *label)
}

/// Why a stack of that name is not taken over: it was deployed by hand, and docker would remove services of it
/// that the file does not have.
pub fn somebody_elses(rendered: &RenderedStack, row: Option<&StackRow>, live: &[&Service]) -> Option<String> {
    if deployed_by_older_release(row) || live.iter().any(|service| owner(service).is_some()) {
        return None;
    }
    let was_ours = |live: &Service| row.is_some_and(|row| row.services.contains_key(&live.name));
    let is_wanted = |live: &Service| {
        rendered.services.iter().any(|service| rendered.name.scope(&service.name) == live.name)
    };
    let others = live.iter().filter(|live| !is_wanted(live) && !was_ours(live));
    let others: Vec<_> = others.map(|live| &*live.name).collect();
    (!others.is_empty()).then(|| {
        format!(
            "not deployed: a stack `{}` that DockerOps did not deploy runs already, and has services that the \
             compose file does not have and docker would remove: `{}`; add them to the file, remove them, or \
             rename the folder",
            rendered.name,
            others.join("`, `")
        )
    })
}

/// The older release deployed without labels: its row is the evidence.
fn deployed_by_older_release(row: Option<&StackRow>) -> bool {
    row.is_some_and(|row| !row.hash.is_empty() && row.services.is_empty())
}

/// What of a live stack DockerOps may remove.
#[derive(Debug, PartialEq, Eq)]
pub enum Evidence<'a> {
    /// All of it: every service is ours, or the database says we deployed it and nothing runs.
    Whole,
    /// These services are ours, others were added by hand.
    Services(Vec<&'a str>),
    /// Nothing: it is somebody else's.
    None,
}

/// What proves that the stack `name` is `source`'s.
pub fn evidence<'a>(
    name: &'a StackName,
    source: &SourceId,
    row: Option<&StackRow>,
    swarm: &'a Swarm,
) -> Evidence<'a> {
    let live: Vec<_> = swarm.of_stack(name).collect();
    let ours: Vec<_> =
        live.iter().filter(|service| is_of(service, source)).map(|service| &*service.id).collect();
    let by_older_release = deployed_by_older_release(row);
    if live.is_empty() || (by_older_release && live.iter().all(|service| owner(service).is_none())) {
        return if row.is_some_and(|row| !row.services.is_empty() || !row.hash.is_empty()) {
            Evidence::Whole
        } else {
            Evidence::None
        };
    }
    match ours.len() {
        0 => Evidence::None,
        all if all == live.len() => Evidence::Whole,
        _ => Evidence::Services(ours),
    }
}

/// Gives a name to a source.
pub fn take(claims: &mut Claims, name: &StackName, source: &SourceId) {
    claims.insert(fold(name), source.clone());
}
