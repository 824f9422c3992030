//! Images that no stack uses any more go: from this node, and from all where that is wanted.
//!
//! Gone is only what DockerOps tracked and what was not here before it; never by force. What a container uses,
//! what a service runs, or would go back to, and what a kept version of a stack ran, stays, keeps its row, and is looked
//! at again in the next run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use md5::{Digest, Md5};

use super::{Session, versions};
use crate::docker::{ImageRemoval, Swarm};
use crate::hash::hex;
use crate::image::ImageRef;
use crate::plan;
use crate::signal;
use crate::state::ImageRow;
use crate::watched::Watched;

/// Containers that are told to stop have so long to let go of their image.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may go: by image, the names it is to lose, `app:1` and `app@sha256:…`.
type Unused = BTreeMap<String, BTreeSet<String>>;

/// Notes by which digests our services run their images, as `swarm` shows them.
pub fn note_digests(session: &Session<'_>, watched: &[Watched], swarm: &Swarm) -> Result<()> {
    let foreign = session.state.foreign_images()?;
    let known = session.state.image_digests()?;
    let tracked: BTreeSet<_> = session.state.images()?.into_iter().map(|row| row.name).collect();
    let ours = swarm
        .services
        .iter()
        .filter(|service| watched.iter().any(|known| plan::is_of(service, &known.identity)));
    let new: BTreeSet<_> = ours
        .filter_map(|service| {
            let image = ImageRef::parse(&service.image).ok()?;
            Some((image.unpinned().to_string(), image.pulled()?.to_string()))
        })
        .filter(|(image, reference)| {
            let noted = known.get(image).is_some_and(|references| references.contains(reference));
            tracked.contains(image) && !noted && !foreign.contains(reference)
        })
        .collect();
    if new.is_empty() { Ok(()) } else { session.state.note_digests(&new) }
}

/// Removes what is unused by the rows and by `swarm`; containers that are stopping have `patience` to let
/// go. Without anything to remove it makes no docker call; one, where all is as when nothing could be removed.
fn clean(session: &Session<'_>, swarm: &Swarm, patience: Duration) -> Result<()> {
    let mut used = used(swarm);
    if unused(session, &used)?.is_empty() {
        return Ok(());
    }
    // Read only where that decides.
    used.extend(versions::images(session)?);
    let unused = unused(session, &used)?;
    if unused.is_empty() {
        return Ok(());
    }
    // What was here before is kept likewise.
    used.extend(session.state.foreign_images()?);
    match look(session, &unused, &used, patience) {
        Err(error) if error.is::<signal::Interrupted>() => Err(error),
        Err(error) => {
            session.report.note("images", &format!("those that nothing uses were not removed: {error:#}"));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn look(session: &Session<'_>, before: &Unused, used: &BTreeSet<String>, patience: Duration) -> Result<()> {
    let state = session.state;
    let containers = session.door.containers()?;
    if state.kept_images()?.as_ref() == Some(&found(before, used, &containers)) {
        return Ok(());
    }
    let all_nodes = remove(session, before, used, &containers, patience)?;
    let after = unused(session, used)?;
    // Of other nodes nothing is known until the next look.
    state.note_kept_images(all_nodes.then(|| found(&after, used, &containers)).as_deref())
}

/// All that decides which images can go. A container that came or went makes another one of it.
fn found(unused: &Unused, used: &BTreeSet<String>, containers: &BTreeSet<String>) -> String {
    hex(Md5::new_with_prefix(format!("{unused:?} {used:?} {containers:?}")))
}

/// Whether the rows know of anything that might go.
fn has_candidates(session: &Session<'_>) -> Result<bool> {
    Ok(!unused(session, &BTreeSet::new())?.is_empty())
}

fn unused(session: &Session<'_>, used: &BTreeSet<String>) -> Result<Unused> {
    let mut digests = session.state.image_digests()?;
    let mut unused = Unused::new();
    for row in session.state.images()? {
        let mut names = digests.remove(&row.name).unwrap_or_default();
        let goes = row.reference_count == 0 && !row.foreign;
        if goes {
            names.insert(name_here(&row.name));
        }
        names.retain(|name| !used.contains(name));
        if !names.is_empty() {
            unused.insert(row.name, names);
        }
    }
    Ok(unused)
}

/// What a node calls it: `app:1@sha256:…` was pulled, or pushed, as `app@sha256:…`.
fn name_here(image: &str) -> String {
    let pulled = ImageRef::parse(image).ok().and_then(|image| image.pulled());
    pulled.map_or_else(|| image.to_owned(), |pulled| pulled.to_string())
}

/// What services run, and would go back to: by tag and by digest.
fn used(swarm: &Swarm) -> BTreeSet<String> {
    let images = swarm
        .services
        .iter()
        .flat_map(|service| [Some(service.image.as_str()), service.previous_image.as_deref()]);
    let images = images.flatten().filter_map(|image| ImageRef::parse(image).ok());
    images.flat_map(|image| versions::names(&image)).collect()
}

/// Removes what can go; whether no other node is left to look at.
fn remove(
    session: &Session<'_>,
    unused: &Unused,
    used: &BTreeSet<String>,
    containers: &BTreeSet<String>,
    patience: Duration,
) -> Result<bool> {
    let until = Instant::now() + patience;
    let (mut gone, mut containers) = (Unused::new(), Cow::Borrowed(containers));
    loop {
        let kept = remove_free(session, unused, used, &containers, &mut gone)?;
        if kept.is_empty() || Instant::now() >= until {
            for (name, why) in kept {
                session.report.progress(&format!("the image `{name}` is used by no stack and stays: {why}"));
            }
            break;
        }
        signal::pause(Duration::from_millis(500))?;
        containers = Cow::Owned(session.door.containers()?);
    }
    if let Some(job_image) = session.prune_nodes {
        let references: BTreeSet<_> = gone.values().flatten().filter(|name| name.contains('@')).collect();
        if !references.is_empty() && !super::nodes::prune(session, job_image, &references)? {
            return Ok(false);
        }
    }
    let rows = session.state.images()?;
    for (image, names) in &gone {
        for name in names {
            session.state.forget_digest(image, name)?;
        }
        let whole = unused.get(image) == Some(names) && names.contains(&name_here(image));
        if whole && rows.iter().any(|row| row.name == *image && is_free(row)) {
            session.state.forget_image(image)?;
        }
    }
    Ok(true)
}

fn is_free(row: &ImageRow) -> bool {
    row.reference_count == 0 && !row.foreign
}

/// Removes what can go and adds it to `gone`; the rest with the reason, where waiting may help.
fn remove_free(
    session: &Session<'_>,
    unused: &Unused,
    used: &BTreeSet<String>,
    containers: &BTreeSet<String>,
    gone: &mut Unused,
) -> Result<Vec<(String, String)>> {
    let here = session.door.node_images()?;
    let needed: BTreeSet<_> = used.iter().filter_map(|name| here.id(name)).collect();
    let mut of_containers = None;
    let mut kept = Vec::new();
    for (image, names) in unused {
        for name in names {
            signal::check()?;
            let Some(id) = here.id(name) else {
                gone.entry(image.clone()).or_default().insert(name.clone());
                continue;
            };
            // The last tag of a repository would take its digests along.
            if needed.contains(id) {
                continue;
            }
            if of_containers.is_none() {
                of_containers = Some(session.door.images_of(containers)?);
            }
            // docker itself takes a name from an image that has others, also while a container uses it.
            if of_containers.as_ref().is_some_and(|ids| ids.contains(id)) {
                kept.push((name.clone(), "a container uses it".to_owned()));
                continue;
            }
            match session.door.remove_image(name)? {
                ImageRemoval::Kept(why) => {
                    kept.push((name.clone(), why));
                    continue;
                }
                ImageRemoval::Removed => {
                    session.report.removed(name, "no stack uses the image any more; removed from this node");
                }
                ImageRemoval::NotHere => {}
            }
            gone.entry(image.clone()).or_default().insert(name.clone());
        }
    }
    Ok(kept)
}

/// Images that nothing uses go after stacks were removed, whose containers may still be stopping.
pub fn clean_after_removal(session: &Session<'_>) -> Result<()> {
    if has_candidates(session)? {
        clean(session, &session.door.observe()?, PATIENCE)?;
    }
    Ok(())
}

/// Unused images go after a run.
pub fn clean_after_run(session: &Session<'_>, watched: &[Watched], swarm: &Swarm) -> Result<()> {
    note_digests(session, watched, swarm)?;
    clean(session, swarm, Duration::ZERO)
}
