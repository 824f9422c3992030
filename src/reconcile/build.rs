//! Images built, pushed and recorded, between the deploy of the stacks that need none of them and of those that do.

use std::time::Instant;

use anyhow::{Context, Result};

use super::builds::{Image, ImageState};
use super::fetch::Content;
use super::planned::Planned;
use super::{Options, Session, only};
use crate::docker::Swarm;
use crate::docker::build::{Build, Builder};
use crate::image::ImageRef;
use crate::plan;
use crate::report::Tally;
use crate::signal;
use crate::state::{BuildRow, SourceRow};

/// How the tag begins that services run of an image that is not pushed; its id follows.
pub const LOCAL_TAG: &str = "local-";

impl Planned {
    /// Builds what is to be built, one after the other, and plans the stacks that waited for it; whether there
    /// are any. What fails stops neither the other images nor the stacks that do not use it.
    pub fn build(
        &mut self,
        session: &Session<'_>,
        swarm: &Swarm,
        options: &Options,
        tally: &mut Tally,
    ) -> Result<bool> {
        let mut builder = None;
        for source in &mut self.sources {
            let concerned = source.concerned(options);
            let (Content::Read(read), Some(row)) = (&mut source.content, &source.row) else { continue };
            let commit = read.checkout.commit();
            let tags: Vec<_> =
                read.images.iter().map(|image| commit_tag(image, &read.images, commit.short())).collect();
            let all = read.images.iter_mut().zip(tags);
            for (image, tag) in all.filter(|(image, _)| concerned.contains(&image.source.name)) {
                image.state = match &image.state {
                    ImageState::ToBuild(reason) => {
                        signal::check()?;
                        let work = Work { session, image, tag };
                        work.done(row, commit.as_str(), reason, &mut builder, tally)?
                    }
                    ImageState::Refused(why) => {
                        note_refused(session, row, image, commit.as_str(), why)?;
                        continue;
                    }
                    _ => continue,
                };
            }
            read.pin();
            let Some(read) = source.read() else { continue };
            let mut again = plan::plan_waiting(&source.input(read, swarm, options), &source.steps);
            if let Some(only) = &options.only {
                only::keep_to(only, source, &mut again);
            }
            for step in again {
                if let Some(old) = source.steps.iter_mut().find(|old| old.name == step.name) {
                    *old = step;
                }
            }
        }
        Ok(self.sources.iter().any(|source| !source.waiting.is_empty()))
    }
}

/// The tag that names this build for good. Where two images are tags of one repository, it says which.
fn commit_tag(image: &Image, all: &[Image], commit: &str) -> ImageRef {
    let name = &image.source.name;
    let siblings = all.iter().filter(|other| other.source.name.repository() == name.repository()).count();
    match name.tag() {
        Some(tag) if siblings > 1 => name.with_tag(format!("{tag}-{commit}")),
        _ => name.with_tag(commit),
    }
}

fn note_refused(
    session: &Session<'_>,
    row: &SourceRow,
    image: &Image,
    commit: &str,
    why: &str,
) -> Result<()> {
    session.state.record_build(&BuildRow {
        repository_id: row.id,
        name: image.source.name.to_string(),
        content: String::new(),
        commit: commit.to_owned(),
        reference: None,
        error: Some(why.to_owned()),
    })
}

/// One image to build.
struct Work<'a> {
    session: &'a Session<'a>,
    image: &'a Image,
    /// The tag of the commit.
    tag: ImageRef,
}

impl Work<'_> {
    /// Builds and records it; an error only where the run itself must end.
    fn done(
        &self,
        row: &SourceRow,
        commit: &str,
        reason: &str,
        builder: &mut Option<Builder>,
        tally: &mut Tally,
    ) -> Result<ImageState> {
        let (session, begun) = (self.session, Instant::now());
        let name = self.image.source.name.to_string();
        session.report.progress(&format!("building `{name}`: {reason}"));
        let built = self.built(builder);
        let (reference, error) = match built {
            Ok(reference) => (Some(reference), None),
            Err(error) if error.is::<signal::Interrupted>() => return Err(error),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        session.state.record_build(&BuildRow {
            repository_id: row.id,
            name: name.clone(),
            content: self.image.content.clone(),
            commit: commit.to_owned(),
            reference: reference.as_ref().map(ToString::to_string),
            error: error.clone(),
        })?;
        match (reference, error) {
            (Some(reference), _) => {
                let pushed = if self.image.source.push { "pushed" } else { "on this node only" };
                let took = begun.elapsed().as_secs();
                session.report.built(&name, &format!("{reason}; {pushed}, also as `{}`; {took} s", self.tag));
                tally.built += 1;
                // Another source may have built it before, and dropped it.
                session.state.forget_image(&name)?;
                Ok(ImageState::Ready(reference))
            }
            (None, error) => {
                let why = error.unwrap_or_default();
                session.report.failed(&name, &why);
                tally.failed += 1;
                Ok(ImageState::Failed(why))
            }
        }
    }

    /// What services are to run.
    fn built(&self, builder: &mut Option<Builder>) -> Result<ImageRef> {
        let (docker, limit) = (self.session.docker, self.session.build_timeout);
        let source = &self.image.source;
        let listener = &mut |line: &str| self.session.report.output(line);
        let builder = match *builder {
            Some(builder) => builder,
            None => *builder.insert(docker.builder()?),
        };
        let tags = [source.name.clone(), self.tag.clone()];
        let build = Build {
            tags: &tags,
            context: &source.context,
            dockerfile: &source.dockerfile,
            target: source.target.as_deref(),
            args: &source.args,
            platforms: &source.platforms,
        };
        if let Some(digest) = docker.build(&build, builder, limit, listener).context("the build failed")? {
            return Ok(source.name.pinned(&digest));
        }
        if !source.push {
            // A tag that moves would roll nothing, and there is no digest without a registry.
            let local = source.name.with_tag(format!("{LOCAL_TAG}{}", &docker.image_id(&source.name)?[..12]));
            docker.tag(&source.name, &local)?;
            return Ok(local);
        }
        let mut digest = String::new();
        // The tag that services look for moves last.
        for tag in [&self.tag, &source.name] {
            digest =
                docker.push(tag, limit, listener).with_context(|| format!("the push of `{tag}` failed"))?;
        }
        // The registry has it: here it would only hold the image when the next build has taken its place.
        docker.remove_image(&self.tag.to_string())?;
        Ok(source.name.pinned(&digest))
    }
}
