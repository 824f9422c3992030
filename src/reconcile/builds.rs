//! Which images of the sources are to be built, and what their stacks run meanwhile. Nothing is built here.
//!
//! An image is built again when the id of all that decides about it has changed: git's ids of its context and
//! its Dockerfile, and its entry.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use md5::{Digest, Md5};

use super::fetch::{Content, Fetched, Read};
use super::makers::makers;
use super::planned::{HELD, Planned, PlannedSource};
use super::{Options, Session};
use crate::docker::Swarm;
use crate::git::Checkout;
use crate::hash::{hex, part};
use crate::image::ImageRef;
use crate::manifest::ImageSource;
use crate::plan::{self, Desired, Images};
use crate::report::{Report, Tally};
use crate::state::BuildRow;
use crate::watched::Watched;

/// An image that a source builds.
#[derive(Debug)]
pub struct Image {
    /// Its entry.
    pub source: ImageSource,
    /// The id of all that decides what is built.
    pub content: String,
    /// Where it stands.
    pub state: ImageState,
}

/// Where an image stands.
#[derive(Debug)]
pub enum ImageState {
    /// It was built, and this is what services run.
    Ready(ImageRef),
    /// It is to be built, and why.
    ToBuild(&'static str),
    /// It could not be built from this content at this commit.
    Failed(String),
    /// It is another source's.
    Refused(String),
}

impl Read {
    /// The names of the images it builds.
    pub fn image_names(&self) -> BTreeSet<String> {
        self.images.iter().map(|image| image.source.name.to_string()).collect()
    }

    /// Tells every stack what it runs of the images that its source builds, or that it has to wait.
    pub fn pin(&mut self) {
        let Self { desired, images, .. } = self;
        for desired in desired {
            pin(desired, images);
        }
    }
}

fn pin(desired: &mut Desired, images: &[Image]) {
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
            ImageState::Failed(why) => desired.images = Images::Failed(name, why.clone()),
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
        Ok(Image { source, content, state: ImageState::ToBuild("new") })
    };
    images.into_iter().map(one).collect()
}

fn content(checkout: &Checkout, source: &ImageSource) -> Result<String> {
    let id = |path| checkout.content_id(path);
    let mut parts = vec![id(&source.context)?, id(&source.dockerfile)?];
    // The same file under another name ignores other files (`<Dockerfile>.dockerignore`).
    parts.push(source.dockerfile.strip_prefix(checkout.root())?.display().to_string());
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
    fetched: &mut [Fetched],
    watched: &[Watched],
    swarm: &Swarm,
    options: &Options,
) -> Result<()> {
    let mut makers = makers(fetched, watched, swarm, options);
    let mut local = None;
    for Fetched { target, content } in fetched {
        let Content::Read(read) = content else { continue };
        let url = target.source.to_string();
        let identity = target.source.id();
        let rows = watched.iter().find(|known| known.identity == identity);
        let commit = read.checkout.commit().as_str();
        for image in &mut read.images {
            let name = image.source.name.to_string();
            let row = rows.and_then(|known| known.builds.iter().find(|row| row.name == name));
            image.state = match plan::claim_image(&mut makers, identity, &url, &image.source.name) {
                Ok(()) => state(image, row, commit, options),
                Err(why) => ImageState::Refused(why),
            };
            if let (ImageState::Ready(reference), false) = (&image.state, image.source.push) {
                if local.is_none() {
                    local = Some(session.docker.node_images()?);
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

fn state(image: &Image, row: Option<&BuildRow>, commit: &str, options: &Options) -> ImageState {
    let Some(row) = row else { return ImageState::ToBuild("new") };
    let same = row.content == image.content;
    let reference = row.reference.as_ref().and_then(|reference| ImageRef::parse(reference).ok());
    match (&row.error, reference) {
        _ if options.force => ImageState::ToBuild("forced"),
        (Some(error), _) if same && row.commit == commit => ImageState::Failed(error.clone()),
        (Some(_), _) => ImageState::ToBuild("the last build failed"),
        (None, Some(reference)) if same => ImageState::Ready(reference),
        (None, _) => ImageState::ToBuild("changed"),
    }
}

impl PlannedSource {
    /// The images that this run is about: all, or in one for some stacks those which they use.
    pub fn concerned(&self, options: &Options) -> BTreeSet<ImageRef> {
        let Some(read) = self.read() else { return BTreeSet::new() };
        let Some(only) = &options.only else {
            return read.images.iter().map(|image| image.source.name.clone()).collect();
        };
        let stacks = read.desired.iter().filter(|desired| only.stacks.contains(&desired.entry.name));
        let rendered = stacks.filter_map(|desired| desired.rendered.as_ref()?.as_ref().ok());
        rendered.flat_map(|rendered| &rendered.services).filter_map(|service| service.image.clone()).collect()
    }
}

impl Planned {
    /// All that is built here, by name and by what services run of it.
    pub fn built_names(&self) -> BTreeSet<String> {
        let names = self.images().map(|image| image.source.name.to_string());
        names.chain(self.built().map(ToString::to_string)).collect()
    }

    /// What services run of the images that are built here.
    pub fn built(&self) -> impl Iterator<Item = &ImageRef> {
        self.images().filter_map(|image| match &image.state {
            ImageState::Ready(reference) => Some(reference),
            _ => None,
        })
    }

    fn images(&self) -> impl Iterator<Item = &Image> {
        self.sources.iter().filter_map(|source| source.read()).flat_map(|read| &read.images)
    }

    /// Says what would be built, and what failed before and is not tried again.
    pub fn say_builds(&self, report: &Report, options: &Options, tally: &mut Tally) {
        for source in &self.sources {
            let mut failed = Vec::new();
            match &source.content {
                Content::Read(read) => {
                    let concerned = source.concerned(options);
                    for image in read.images.iter().filter(|image| concerned.contains(&image.source.name)) {
                        let name = image.source.name.to_string();
                        match &image.state {
                            ImageState::ToBuild(reason) if options.dry_run => {
                                report.would(&name, &format!("build: {reason}"), &mut tally.built);
                            }
                            ImageState::Failed(why) => failed.push((name, format!("{why}{HELD}"))),
                            ImageState::Refused(why) => failed.push((name, why.clone())),
                            _ => {}
                        }
                    }
                }
                // Which stacks use them is not known here; those that do say so themselves.
                Content::Idle | Content::Waits if options.only.is_some() => {}
                Content::Idle | Content::Waits => {
                    let rows = source.builds.iter().filter_map(|row| Some((row, row.error.as_ref()?)));
                    failed.extend(rows.map(|(row, why)| (row.name.clone(), format!("{why}{HELD}"))));
                }
                Content::Failed(_) => {}
            }
            for (name, why) in failed {
                report.stays_failed(&*name, &why);
                tally.failed += 1;
            }
        }
    }
}
