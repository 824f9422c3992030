//! What is known of who builds and who runs which image: from rows, from what is live, and from what this run read.

use super::session::Selection;
use super::source::{Read, WatchedSource};
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::image::ImageRef;
use crate::plan::{self, Maker};
use crate::stack::StackName;
use crate::state::{BuildRow, StackRow};
use crate::watched::Watched;

/// One of each watched source, in the order they were watched. A source that is new in this run has nothing
/// yet: where both are new, the one that builds comes before the one that runs what is built.
pub fn makers(sources: &[WatchedSource], watched: &[Watched], swarm: &Swarm) -> Vec<Maker> {
    let of = |known: &Watched| {
        let source = sources.iter().find(|source| source.id == known.identity);
        let read = source.and_then(WatchedSource::read);
        let listed = read.map(Read::image_names);
        let still = |row: &&BuildRow| listed.as_ref().is_none_or(|listed| listed.contains(&row.name));
        let built = known.builds.iter().filter(still).filter(|row| !row.was_refused());
        // In a run for some stacks the others stay as they are, whatever was read.
        let is_whole = source.is_some_and(|source| source.wish.selection == Selection::All);
        let read = read.filter(|_| is_whole);
        let runs = applied(known).chain(live(known, swarm));
        Maker {
            built: built.filter_map(|row| ImageRef::parse(&row.name).ok()).collect(),
            runs: runs
                .filter(|used| read.is_none_or(|read| keeps(read, used)))
                .map(|used| (used.image, used.service))
                .collect(),
            ..Maker::new(&known.identity, &known.row.url)
        }
    };
    watched.iter().map(of).collect()
}

/// An image that a service runs.
struct Used<'a> {
    stack: &'a StackName,
    service: String,
    image: ImageRef,
}

/// What converged once: a deploy in vain replaced nothing.
fn applied(known: &Watched) -> impl Iterator<Item = Used<'_>> {
    let services = known.stacks.iter().flat_map(|row| row.services.iter().map(move |service| (row, service)));
    services.filter(|(_, (_, service))| !service.spec.is_empty()).filter_map(|(row, (name, service))| {
        let image = ImageRef::parse(service.image.as_ref()?).ok()?;
        Some(Used { stack: &row.name, service: name.clone(), image })
    })
}

/// What has tasks, by its label; or by the row alone where the older release deployed it.
fn live<'a>(known: &'a Watched, swarm: &'a Swarm) -> impl Iterator<Item = Used<'a>> {
    let by_row = |service: &Service| {
        let is_its = |row: &StackRow| row.name == service.stack && !row.hash.is_empty();
        plan::owner(service).is_none() && known.stacks.iter().any(is_its)
    };
    let has_tasks =
        |service: &Service| service.running > 0 || service.completed.is_some_and(|(done, _)| done > 0);
    let services = swarm.services.iter().filter(move |service| {
        has_tasks(service) && (plan::is_of(service, &known.identity) || by_row(service))
    });
    services.filter_map(|service| {
        let image = ImageRef::parse(&service.image).ok()?;
        Some(Used { stack: &service.stack, service: service.name.clone(), image })
    })
}

/// Whether the service is still to run something of that repository, as far as its source could be read.
fn keeps(read: &Read, used: &Used<'_>) -> bool {
    let desired =
        read.desired.iter().find(|desired| desired.entry.name == *used.stack && desired.entry.enabled);
    desired.is_some_and(|desired| match &desired.rendered {
        Some(Ok(rendered)) => rendered.services.iter().any(|service| {
            service.image.as_ref().is_some_and(|image| image.repository() == used.image.repository())
        }),
        _ => true,
    })
}
