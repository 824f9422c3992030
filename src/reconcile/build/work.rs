//! One build, beside the loop. In: an image's entry and its content; out, line by line, how it goes, and at last what
//! services are to run. It knows neither stacks nor the database.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use md5::{Digest, Md5};

use crate::docker::Docker;
use crate::docker::build::{Build, Builder, Listener};
use crate::hash::{hex, part};
use crate::image::ImageRef;
use crate::manifest::ImageSource;
use crate::paths::Root;
use crate::source::SourceUrl;

/// So many digits tell one build from another.
const DIGITS: usize = 12;
const LONGEST_TAG: usize = 128;

/// How the tag begins that services run of an image that is not pushed; its id follows.
pub const LOCAL_TAG: &str = "local-";

/// The tag that names a build for good: what it was tagged as, the commit, and digits of what came of it. So
/// neither another environment of the repository nor a build of the same commit by force or by another entry
/// takes it away. An image's id tells no more than the image does to whoever can pull it.
pub fn lasting_tag(name: &ImageRef, commit: &str, id: &str) -> ImageRef {
    let end = format!("-{commit}-{id}", id = &id[..DIGITS]);
    let own = name.tag().unwrap_or_default();
    name.with_tag(format!("{}{end}", &own[..own.len().min(LONGEST_TAG - end.len())]))
}

/// What came of a build.
#[derive(Debug)]
pub struct Built {
    /// What services are to run.
    pub reference: ImageRef,
    /// What names it for good.
    pub tag: ImageRef,
}

#[derive(Debug)]
pub enum News {
    /// A line that docker said.
    Line(String),
    Builder(Builder),
    Ended(Result<Built>),
}

pub struct BuildJob {
    pub docker: Docker,
    /// Where the files lie, or come to lie.
    pub root: Root,
    pub limit: Duration,
    pub source: ImageSource,
    pub content: String,
    pub commit: String,
    pub url: SourceUrl,
}

impl BuildJob {
    pub fn run(&self, builder: Option<Builder>, sender: &Sender<News>) {
        let mut listener = |line: &str| drop(sender.send(News::Line(line.to_owned())));
        let built = self.built(builder, sender, &mut listener);
        let _ = sender.send(News::Ended(built));
    }

    fn built(
        &self,
        builder: Option<Builder>,
        sender: &Sender<News>,
        listener: Listener<'_>,
    ) -> Result<Built> {
        let (docker, limit, source) = (&self.docker, self.limit, &self.source);
        let builder = match builder {
            Some(builder) => builder,
            None => docker.builder()?,
        };
        let _ = sender.send(News::Builder(builder));
        // Built for several platforms it is in the registry at once, so its tag has digits that no other has.
        let at_once = (source.platforms.len() > 1).then(|| self.tag(&self.digits()));
        let tags: Vec<_> = [Some(&source.name), at_once.as_ref()].into_iter().flatten().cloned().collect();
        let context: &Path = &source.context;
        self.root.bring_all(context)?;
        let build = Build {
            tags: &tags,
            context,
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
        lasting_tag(&self.source.name, &self.commit, id)
    }

    /// Of this one build.
    fn digits(&self) -> String {
        let mut hash = Md5::new();
        for text in [self.url.as_str(), &self.content, &format!("{:?}", SystemTime::now())] {
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
