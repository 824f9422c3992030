//! Which images of the sources are to be built, and what their stacks run meanwhile. Nothing is built here.
//!
//! An image is built again when the id of all that decides about it has changed: git's ids of its context and
//! its Dockerfile, and its entry.

use std::collections::BTreeMap;

use anyhow::Result;
use md5::{Digest, Md5};

use super::Session;
use super::makers::makers;
use super::source::{Read, Reading, WatchedSource};
use crate::docker::Swarm;
use crate::git::Checkout;
use crate::hash::{hex, part};
use crate::image::ImageRef;
use crate::manifest::ImageSource;
use crate::plan::{self, DesiredStack, Images};
use crate::state::BuildRow;
use crate::watched::Watched;

pub use super::build::{Builds, LOCAL_TAG, lasting_tag};

/// An image that a source builds.
#[derive(Debug)]
pub struct Image {
    pub source: ImageSource,
    /// The id of all that decides what is built.
    pub content: String,
    /// Where it stands.
    pub state: ImageState,
    /// Whether it was built, or tried, in this run.
    pub is_done: bool,
}

/// Where an image stands.
#[derive(Debug)]
pub enum ImageState {
    /// It was built, and this is what services run.
    Ready(ImageRef),
    /// It is to be built, and why.
    ToBuild(&'static str),
    /// It could not be built from this content at this commit, and is not tried again; or a network cut it off.
    Failed { why: String, is_held: bool },
    /// It is another source's.
    Refused(String),
}

impl Read {
    /// Tells every stack what it runs of the images that its source builds, or that it has to wait.
    pub fn pin(&mut self) {
        let Self { desired, images, .. } = self;
        for desired in desired {
            pin(desired, images);
        }
    }
}

fn pin(desired: &mut DesiredStack, images: &[Image]) {
    let Some(Ok(rendered)) = &desired.rendered else { return };
    let used: Vec<_> = images
        .iter()
        .filter(|image| {
            rendered.services.iter().any(|service| service.image.as_ref() == Some(&image.source.name))
        })
        .collect();
    let (mut references, mut to_build) = (BTreeMap::new(), Vec::new());
    desired.images = Images::Ready;
    for image in used {
        let name = image.source.name.to_string();
        match &image.state {
            ImageState::Ready(reference) => {
                references.insert(image.source.name.clone(), reference.clone());
            }
            ImageState::ToBuild(_) => to_build.push(name),
            ImageState::Failed { why, is_held } => {
                desired.images = Images::Failed { image: name, why: why.clone(), is_held: *is_held };
            }
            ImageState::Refused(why) => desired.images = Images::Refused(name, why.clone()),
        }
    }
    if desired.images != Images::Ready {
        return;
    }
    if !to_build.is_empty() {
        desired.images = Images::ToBuild(to_build);
    } else if !references.is_empty() {
        desired.rendered = Some(Ok(rendered.pinned(&references)));
    }
}

/// The images of a manifest with the ids of their contents.
pub fn identify(checkout: &Checkout, images: Vec<ImageSource>) -> Result<Vec<Image>> {
    let one = |source: ImageSource| {
        let content = content(checkout, &source)?;
        Ok(Image { source, content, state: ImageState::ToBuild("new"), is_done: false })
    };
    images.into_iter().map(one).collect()
}

fn content(checkout: &Checkout, source: &ImageSource) -> Result<String> {
    let id = |path| checkout.content_id(path);
    let mut parts = vec![id(&source.context)?, id(&source.dockerfile)?];
    // The same file under another name ignores other files (`<Dockerfile>.dockerignore`).
    parts.push(source.dockerfile.strip_prefix(checkout.root().path())?.display().to_string());
    let mut ignored = source.dockerfile.clone().into_os_string();
    ignored.push(".dockerignore");
    parts.push(id(ignored.as_ref()).unwrap_or_default());
    parts.push(source.target.clone().unwrap_or_default());
    parts.push(source.push.to_string());
    parts.push(source.platforms.join(","));
    parts.extend(source.args.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
    let mut hash = Md5::new();
    for text in parts {
        part(&mut hash, text);
    }
    Ok(hex(hash))
}

/// Finds out where each image stands, and tells the stacks. One docker call, and only where an image that is
/// not pushed may have gone from this node.
pub fn survey(
    session: &Session<'_>,
    sources: &mut [WatchedSource],
    watched: &[Watched],
    swarm: &Swarm,
) -> Result<()> {
    let mut makers = makers(sources, watched, swarm);
    let mut local = None;
    for source in sources {
        let url = source.url.clone();
        let (forced, asked) = (source.wish.forced.is_some(), source.wish.build.clone());
        let Reading::Read(read) = &mut source.reading else { continue };
        let rows = watched.iter().find(|known| known.identity == source.id);
        let commit = read.checkout.commit().as_str();
        for image in &mut read.images {
            // What this run has built stays so.
            if image.is_done {
                continue;
            }
            let name = image.source.name.to_string();
            let row = rows.and_then(|known| known.builds.iter().find(|row| row.name == name));
            let claimed = reserved(session, &image.source.name)
                .and_then(|()| plan::claim_image(&mut makers, &source.id, &url, &image.source.name));
            image.state = match claimed {
                Ok(()) if asked.as_ref() == Some(&image.source.name) => ImageState::ToBuild("asked for"),
                Ok(()) => state(image, row, commit, forced),
                Err(why) => ImageState::Refused(why),
            };
            if let (ImageState::Ready(reference), false) = (&image.state, image.source.push) {
                if local.is_none() {
                    local = Some(session.door.node_images()?);
                }
                if !local.as_ref().is_some_and(|local| local.has(reference)) {
                    image.state = ImageState::ToBuild("it is not on this node any more");
                }
            }
        }
        read.pin();
    }
    Ok(())
}

/// What cleans the nodes has docker's socket on each of them.
fn reserved(session: &Session<'_>, name: &ImageRef) -> Result<(), String> {
    let own = session.prune_nodes.and_then(|image| ImageRef::parse(image).ok());
    match own.filter(|own| own.repository() == name.repository()) {
        Some(own) => Err(format!(
            "`{own}` is what DockerOps cleans the nodes with (`DOCKEROPS_PRUNE_IMAGE`), which no source may build; give \
             the image another name"
        )),
        None => Ok(()),
    }
}

pub fn state(image: &Image, row: Option<&BuildRow>, commit: &str, forced: bool) -> ImageState {
    let Some(row) = row else { return ImageState::ToBuild("new") };
    let same = row.content == image.content;
    let reference = row.reference.as_ref().and_then(|reference| ImageRef::parse(reference).ok());
    match (&row.error, reference) {
        _ if forced => ImageState::ToBuild("forced"),
        (Some(error), _) if same && row.commit == commit => {
            ImageState::Failed { why: error.clone(), is_held: true }
        }
        (Some(_), _) => ImageState::ToBuild("the last build failed"),
        (None, Some(reference)) if same => ImageState::Ready(reference),
        (None, _) => ImageState::ToBuild("changed"),
    }
}
