//! Images built and pushed: with BuildKit where the docker CLI has it, with the classic builder where not.
//!
//! In: a folder, a Dockerfile, the tags. Out: what was built, or the last lines that docker said. Its output
//! goes line by line to whoever listens.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::{ANOTHER, Docker, command, failed};
use crate::fault::{OrHint, fault};
use crate::image::ImageRef;
use crate::process::{Failure, hear};

/// How many lines of a failed build or push are kept.
const LAST_LINES: usize = 40;
/// And how much of each.
const LONGEST: usize = 1000;

/// What `docker build` needs.
#[derive(Debug)]
pub struct Build<'a> {
    /// The names it gets, all of one repository.
    pub tags: &'a [ImageRef],
    /// The folder that is sent to the builder.
    pub context: &'a Path,
    /// May lie outside of it.
    pub dockerfile: &'a Path,
    /// The stage; the last without one.
    pub target: Option<&'a str>,
    /// Build arguments.
    pub args: &'a BTreeMap<String, String>,
    /// docker's own without one; with several it is pushed as it is built.
    pub platforms: &'a [String],
}

/// What builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit by the buildx component of the CLI.
    Buildx,
    /// BuildKit by the CLI alone, as those before 23.0 have it.
    BuildKit,
    /// The classic builder.
    Classic,
}

/// Who hears what docker says, line by line.
pub type Listener<'a> = &'a mut dyn FnMut(&str);

impl Docker {
    /// What this CLI builds with: two calls at most. As for docker itself, `DOCKER_BUILDKIT=0` says classic.
    pub fn builder(&self) -> Result<Builder> {
        let chosen = self.environment.get(OsStr::new("DOCKER_BUILDKIT"));
        if chosen.is_some_and(|chosen| chosen == "0" || chosen == "false") {
            return Ok(Builder::Classic);
        }
        if self.raw(&command::buildx_version(), self.question, None, None)?.success {
            return Ok(Builder::Buildx);
        }
        let version = self.raw(&command::client_version(), self.question, None, None)?.stdout;
        let major = version.trim().split('.').next().and_then(|major| major.parse::<u32>().ok());
        let major = major.with_context(|| format!("`docker version` says `{}`", version.trim()));
        // docker/cli 23.0 moved its BuildKit client into buildx.
        Ok(if major.or_hint(ANOTHER)? < 23 { Builder::BuildKit } else { Builder::Classic })
    }

    /// Builds an image of this node, or, for several platforms, one in the registry: then its digest.
    pub fn build(
        &self,
        build: &Build<'_>,
        builder: Builder,
        limit: Duration,
        listener: Listener<'_>,
    ) -> Result<Option<String>> {
        if build.platforms.len() < 2 {
            self.aloud(&command::build(build), builder, limit, listener)?;
            return Ok(None);
        }
        if builder != Builder::Buildx {
            return Err(fault(
                "an image for several platforms takes docker's buildx component, which is not installed",
                "install `docker-buildx-plugin`, and `docker buildx create --use` a builder for these platforms",
            ));
        }
        let metadata = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        self.aloud(&command::buildx_push(build, metadata.path()), builder, limit, listener)?;
        let text = std::fs::read_to_string(metadata.path()).context("buildx left no metadata")?;
        let value: serde_json::Value =
            serde_json::from_str(&text).context("buildx left metadata that are none")?;
        let digest = value["containerimage.digest"].as_str().context("buildx tells no digest")?;
        Ok(Some(digest.to_owned()))
    }

    /// Pushes one tag; the digest that the registry has it under.
    pub fn push(&self, image: &ImageRef, limit: Duration, listener: Listener<'_>) -> Result<String> {
        let mut digest = None;
        let call = command::push(&image.to_string());
        self.aloud(&call, Builder::Classic, limit, &mut |line| {
            // `1: digest: sha256:… size: 735`
            let named = line.split_once("digest: ").and_then(|(_, rest)| rest.split_whitespace().next());
            digest = named.map(str::to_owned).or(digest.take());
            listener(line);
        })?;
        let digest = digest.with_context(|| format!("`docker {}` told no digest", call.join(" ")))?;
        ImageRef::parse(&format!("x@{digest}"))
            .with_context(|| format!("docker told the digest `{digest}`"))?;
        Ok(digest)
    }

    /// The id of an image of this node, 64 hexadecimal digits.
    pub fn image_id(&self, image: &ImageRef) -> Result<String> {
        let value = self.inspect(&command::image_inspect(&image.to_string()))?.into_iter().next();
        let value = value.with_context(|| format!("`{image}` was built, and is not there"))?;
        let id = value["Id"].as_str().and_then(|id| id.strip_prefix("sha256:"));
        Ok(id.with_context(|| format!("`{image}` has no id")).or_hint(ANOTHER)?.to_owned())
    }

    /// Gives an image of this node one more name.
    pub fn tag(&self, image: &ImageRef, name: &ImageRef) -> Result<()> {
        self.ask(&command::tag(&image.to_string(), &name.to_string())).map(drop)
    }

    /// Runs a call that is heard while it runs; what it said last is its error.
    fn aloud(
        &self,
        call: &[String],
        builder: Builder,
        limit: Duration,
        listener: Listener<'_>,
    ) -> Result<()> {
        let mut environment = self.environment.clone();
        let buildkit = if builder == Builder::Classic { "0" } else { "1" };
        environment.insert("DOCKER_BUILDKIT".into(), buildkit.into());
        let mut last: VecDeque<String> = VecDeque::new();
        let docker = Self { environment, ..self.clone() };
        let made = docker.call(call, limit, None, None);
        let ended = hear(&made, &mut |line| {
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line.chars().take(LONGEST).collect());
            listener(line);
        });
        let said = || {
            let lines: Vec<_> = last.iter().map(String::as_str).collect();
            if lines.len() > 1 { format!("\n{}", lines.join("\n")) } else { lines.concat() }
        };
        match ended {
            Ok(true) => Ok(()),
            Ok(false) => bail!("{}", said()),
            Err(failure @ Failure::TimedOut(_)) if crate::signal::received().is_none() => {
                Err(anyhow!("it {failure}; at last it said: {}", said()))
            }
            Err(failure) => Err(failed(&made, failure)),
        }
    }
}
