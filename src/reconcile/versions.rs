//! Versions that converged: what is noted of one, and what stays for those that are kept. Their images on this node,
//! and their configs and secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;

use super::Session;
use crate::docker::service::Service;
use crate::docker::stored::Stored;
use crate::image::ImageRef;
use crate::source::SourceUrl;
use crate::stack::{StackName, StoredKind};
use crate::state::{Given, Needed, Ran, Versions};

/// What converged, by the images that it runs by; a job that did not run for it, by the image it ran by for this version
/// before: whatever docker has of it is of another one.
pub fn ran<'a>(
    session: &Session<'_>,
    stack: (&StackName, &SourceUrl),
    given: &'a Given,
    hash: &'a str,
    took: Duration,
    live: &[Service],
) -> Result<Ran<'a>> {
    // By which images it is to run is told beside them.
    let hash = given.plain.as_deref().unwrap_or(hash);
    let jobs = given.jobs.as_ref();
    let leaves_jobs = jobs.is_some_and(|jobs| !jobs.run || !jobs.skipped.is_empty());
    let before = if leaves_jobs { ran_by(session, stack, hash)? } else { BTreeMap::new() };
    let service = |(name, image): (&String, &Option<String>)| {
        let is_left = jobs.is_some_and(|jobs| jobs.has(name) && (!jobs.run || jobs.skipped.contains(name)));
        if let Some(before) = before.get(name).filter(|_| is_left) {
            return (name.clone(), before.clone());
        }
        let live = live.iter().find(|live| live.name == *name).map(|live| live.image.as_str());
        let image = live.filter(|live| !live.is_empty()).map(str::to_owned).or_else(|| image.clone());
        (name.clone(), image)
    };
    let services: BTreeMap<_, _> = given.services.iter().map(service).collect();
    let seconds = u32::try_from(took.as_secs()).unwrap_or(u32::MAX);
    Ok(Ran { given, hash, seconds, services, most: session.history })
}

/// By which images the services of a version ran when it converged last, by full name; nothing of one that is not kept.
pub fn ran_by(
    session: &Session<'_>,
    (name, url): (&StackName, &SourceUrl),
    hash: &str,
) -> Result<BTreeMap<String, Option<String>>> {
    let versions = session.state.history(name, url)?;
    Ok(versions.into_iter().find(|version| version.hash == hash).map(|it| it.services).unwrap_or_default())
}

/// The images of the versions that are kept, by tag and by digest.
pub fn images(session: &Session<'_>) -> Result<BTreeSet<String>> {
    let images = session.state.images_of_versions(session.keep_versions)?;
    let images = images.iter().filter_map(|image| ImageRef::parse(image).ok());
    Ok(images.flat_map(|image| names(&image)).collect())
}

/// What a node may call an image: by its tag, and by its digest where that is known.
pub fn names(image: &ImageRef) -> impl Iterator<Item = String> + use<> {
    [Some(image.unpinned()), image.pulled()].into_iter().flatten().map(|image| image.to_string())
}

/// Whether it is a config or secret of one of them.
pub fn are_in_need(versions: &[Needed], stored: &Stored) -> bool {
    versions.iter().any(|version| holds(&version.versions, stored))
}

/// Whether it is a config or secret of that version.
pub fn holds(versions: &Versions, stored: &Stored) -> bool {
    let own = match stored.kind {
        StoredKind::Config => &versions.configs,
        StoredKind::Secret => &versions.secrets,
    };
    own.iter().any(|(name, _)| *name == stored.name)
        || (stored.kind == StoredKind::Config && versions.scripts.contains(&stored.name))
}
