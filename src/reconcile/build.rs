//! Images built, pushed and recorded, between the deploy of the stacks that need none of them and of those that do.

use std::time::{Instant, SystemTime};

use anyhow::{Context, Result};
use md5::{Digest, Md5};

use super::builds::{Image, ImageState};
use super::fetch::Content;
use super::planned::Planned;
use super::{Options, Session, only};
use crate::docker::Swarm;
use crate::docker::build::{Build, Builder, Listener};
use crate::git::Commit;
use crate::hash::{hex, part};
use crate::image::ImageRef;
use crate::plan;
use crate::report::Tally;
use crate::signal;
use crate::state::{BuildRow, SourceRow};

/// So many digits tell one build from another.
const DIGITS: usize = 12;
/// The longest tag there is.
const LONGEST_TAG: usize = 128;

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
            let all = read.images.iter_mut();
            for image in all.filter(|image| concerned.contains(&image.source.name)) {
                image.state = match &image.state {
                    ImageState::ToBuild(reason) => {
                        signal::check()?;
                        let work = Work { session, image, commit, row };
                        work.done(reason, &mut builder, tally)?
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

/// The tag that names a build for good: what it was tagged as, the commit, and digits of what came of it. So
/// neither another environment of the repository nor a build of the same commit by force or by another entry
/// takes it away. An image's id tells no more than the image does to whoever can pull it.
pub fn lasting_tag(name: &ImageRef, commit: &str, id: &str) -> ImageRef {
    let end = format!("-{commit}-{id}", id = &id[..DIGITS]);
    let own = name.tag().unwrap_or_default();
    name.with_tag(format!("{}{end}", &own[..own.len().min(LONGEST_TAG - end.len())]))
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

/// What came of a build.
struct Built {
    /// What services are to run.
    reference: ImageRef,
    /// What names it for good.
    tag: ImageRef,
}

/// One image to build.
struct Work<'a> {
    session: &'a Session<'a>,
    image: &'a Image,
    commit: &'a Commit,
    row: &'a SourceRow,
}

impl Work<'_> {
    /// Builds and records it; an error only where the run itself must end.
    fn done(&self, reason: &str, builder: &mut Option<Builder>, tally: &mut Tally) -> Result<ImageState> {
        let (session, begun) = (self.session, Instant::now());
        let name = self.image.source.name.to_string();
        session.report.progress(&format!("building `{name}`: {reason}"));
        let built = self.built(builder);
        let (built, error) = match built {
            Ok(built) => (Some(built), None),
            Err(error) if error.is::<signal::Interrupted>() => return Err(error),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        session.state.record_build(&BuildRow {
            repository_id: self.row.id,
            name: name.clone(),
            content: self.image.content.clone(),
            commit: self.commit.as_str().to_owned(),
            reference: built.as_ref().map(|built| built.reference.to_string()),
            error: error.clone(),
        })?;
        match (built, error) {
            (Some(Built { reference, tag }), _) => {
                let pushed = if self.image.source.push { "pushed" } else { "on this node only" };
                let took = begun.elapsed().as_secs();
                session.report.built(&name, &format!("{reason}; {pushed}, also as `{tag}`; {took} s"));
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

    fn built(&self, builder: &mut Option<Builder>) -> Result<Built> {
        let (docker, limit) = (self.session.docker, self.session.build_timeout);
        let source = &self.image.source;
        let listener = &mut |line: &str| self.session.report.output(line);
        let builder = match *builder {
            Some(builder) => builder,
            None => *builder.insert(docker.builder()?),
        };
        // Built for several platforms it is in the registry at once, so its tag has digits that no other has.
        let at_once = (source.platforms.len() > 1).then(|| self.tag(&self.digits()));
        let tags: Vec<_> = [Some(&source.name), at_once.as_ref()].into_iter().flatten().cloned().collect();
        let build = Build {
            tags: &tags,
            context: &source.context,
            dockerfile: &source.dockerfile,
            target: source.target.as_deref(),
            args: &source.args,
            platforms: &source.platforms,
        };
        let pushed = docker.build(&build, builder, limit, listener).context("the build failed")?;
        if let Some((digest, tag)) = pushed.zip(at_once) {
            return Ok(Built { reference: source.name.pinned(&digest), tag });
        }
        let id = docker.image_id(&source.name)?;
        let tag = self.tag(&id);
        docker.tag(&source.name, &tag)?;
        if !source.push {
            // A tag that moves would roll nothing, and there is no digest without a registry.
            let reference = source.name.with_tag(format!("{LOCAL_TAG}{}", &id[..DIGITS]));
            docker.tag(&source.name, &reference)?;
            return Ok(Built { reference, tag });
        }
        // The tag that services look for moves last.
        let push = |tag: &ImageRef, listener: Listener<'_>| {
            docker.push(tag, limit, listener).with_context(|| format!("the push of `{tag}` failed"))
        };
        let digest = push(&tag, listener).and_then(|_| push(&source.name, listener));
        // The registry has it: here it would only hold the image when the next build has taken its place.
        docker.remove_image(&tag.to_string())?;
        let digest = digest?;
        Ok(Built { reference: source.name.pinned(&digest), tag })
    }

    fn tag(&self, id: &str) -> ImageRef {
        lasting_tag(&self.image.source.name, self.commit.short(), id)
    }

    /// Of this one build.
    fn digits(&self) -> String {
        let mut hash = Md5::new();
        for text in [&self.row.url, &self.image.content, &format!("{:?}", SystemTime::now())] {
            part(&mut hash, text);
        }
        hex(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_tag_is_one_and_has_the_image_s_own_the_commit_and_the_build() {
        let tag = |own: &str, id: &str| {
            let name = ImageRef::parse(&format!("r.io/app:{own}")).unwrap();
            let tag = lasting_tag(&name, "0123456789ab", id).to_string();
            assert!(ImageRef::parse(&tag).is_ok(), "{tag}");
            tag
        };
        let (id, other) = ("ba9876543210".repeat(5), "ca9876543210".repeat(5));
        assert_eq!(tag("latest", &id), "r.io/app:latest-0123456789ab-ba9876543210");
        for (own, id) in [("latest", &other), ("2", &id)] {
            assert_ne!(tag(own, id), tag("latest", &"ba9876543210".repeat(5)));
        }
        let longest = tag(&"x".repeat(128), &id);
        assert_eq!(longest.len(), "r.io/app:".len() + 128);
        assert!(longest.ends_with("x-0123456789ab-ba9876543210"), "{longest}");
    }
}
