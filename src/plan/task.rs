//! A stack of a source, as it is wanted, recorded and live, side by side.

use std::rc::Rc;

use anyhow::Error;

use crate::compose::RenderedStack;
use crate::docker::service::Service;
use crate::git::{Checkout, Commit};
use crate::manifest::{Layout, StackEntry};
use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{Motion, StackRow, StackStatus};

/// What a source that was read says of one stack.
#[derive(Debug)]
pub struct DesiredStack {
    /// Its entry in the manifest.
    pub entry: StackEntry,
    /// What docker would get, or why this stack alone cannot be rendered; `None` where it is disabled.
    pub rendered: Option<Result<RenderedStack, Error>>,
    /// Whether what its source builds for it is there.
    pub images: Images,
    /// The earlier version that somebody rolled it back to, and that stands here in place of what its source says now.
    pub past: Option<Past>,
}

/// An earlier version of a stack.
#[derive(Debug, Clone)]
pub struct Past {
    pub commit: Commit,
    /// The fingerprint of its files, whichever images it runs by.
    pub hash: String,
    /// Whether its source lists the stack now.
    pub is_listed: bool,
    /// Holds its files until docker has read them, where its source was read at another commit.
    pub _files: Option<Rc<Checkout>>,
}

impl DesiredStack {
    /// What docker would get; `None` where it is disabled or wrong.
    pub fn rendered(&self) -> Option<&RenderedStack> {
        self.rendered.as_ref()?.as_ref().ok()
    }
}

/// The images of a stack that its source builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Images {
    /// They are there, and the rendered stack says which.
    Ready,
    /// These are to be built first.
    ToBuild(Vec<String>),
    /// This one could not be built, and why; it is not tried again until the source changes.
    Failed { image: String, why: String, is_held: bool },
    /// This one is not to be built by this source, and why.
    Refused(String, String),
}

/// What is desired of a stack.
#[derive(Debug, Clone, Copy)]
pub enum Desired<'a> {
    /// Unknown: its source was not read, since it did not change or could not be had.
    Unread,
    /// Nothing: its source was read, and does not list it.
    Unlisted(Layout),
    /// That it does not run.
    Disabled,
    /// Something that cannot be read, and why.
    Wrong(&'a Error),
    Rendered(&'a RenderedStack, &'a DesiredStack),
}

/// One stack of one source.
#[derive(Debug)]
pub struct Task<'a> {
    pub source: &'a SourceId,
    pub name: &'a StackName,
    /// What Git says.
    pub desired: Desired<'a>,
    /// What the database knows.
    pub recorded: Option<&'a StackRow>,
    /// What docker was given, and nobody has seen the end of.
    pub motion: Option<&'a Motion>,
    /// Its services, as Swarm has them.
    pub live: Vec<&'a Service>,
}

impl Task<'_> {
    /// What the database knows of it, unless that is that it was removed.
    pub fn applied(&self) -> Option<&StackRow> {
        self.recorded.filter(|row| row.status != StackStatus::Stopped)
    }

    /// Whether the database says that it was removed.
    pub fn is_stopped(&self) -> bool {
        self.recorded.is_some_and(|row| row.status == StackStatus::Stopped)
    }
}

impl<'a> Desired<'a> {
    /// What a source that was read says of a stack.
    pub fn of(listed: Option<&'a DesiredStack>, layout: Layout) -> Self {
        match listed {
            None => Self::Unlisted(layout),
            Some(listed) => match &listed.rendered {
                None => Self::Disabled,
                Some(Err(error)) => Self::Wrong(error),
                Some(Ok(rendered)) => Self::Rendered(rendered, listed),
            },
        }
    }
}
