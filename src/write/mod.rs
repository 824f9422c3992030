//! Stacks that are written into the repositories that are watched.
//!
//! In: what somebody asks of a stack. Out: a commit in the source, or why there is none; what deploys it is the sync.

pub mod entries;

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;

use crate::git::Checkout;
use crate::git::push::{self, Edit, Made, Message, Outcome, Target, Tip};
use crate::settings::{GitAccess, RunSettings};
use crate::source::Source;
use crate::stack::StackName;
use entries::{Refusal, Value};

const LIST: &str = "stacks.yaml";
/// The largest list that is edited, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// How sources are written to.
#[derive(Debug)]
pub struct Pen<'a> {
    settings: &'a RunSettings,
    reading: &'a GitAccess,
    pushing: GitAccess,
}

impl<'a> Pen<'a> {
    pub fn new(settings: &'a RunSettings, git: &'a GitAccess) -> Self {
        Self { settings, reading: git, pushing: git.to_push(&settings.write) }
    }

    /// Makes a change of a stack and pushes it; temporary files come into `folder`.
    pub fn change<S>(
        &self,
        source: &Source,
        stack: &StackName,
        folder: &Path,
        make: impl FnMut(&Tip<'_>) -> Result<Made<S>>,
    ) -> Result<Outcome<S>> {
        let branch = self.settings.write.branch(stack.as_str());
        let (author, reading, pushing) = (&self.settings.write.author, self.reading, &self.pushing);
        push::change(Target { source, branch: branch.as_deref(), author, reading, pushing, folder }, make)
    }

    /// Takes a stack off the list, and `files` of the source's folder with it; the last one is disabled, and keeps them.
    /// `check` looks at what the source would be then, and may say why it is not to be.
    pub fn remove<S: From<Refusal>>(
        &self,
        source: &Source,
        stack: &StackName,
        folder: &Path,
        (files, requested_by): (&[&str], Option<&str>),
        mut check: impl FnMut(&Tip<'_>, &Checkout) -> Result<Option<S>>,
    ) -> Result<Outcome<S>> {
        let message = Message::new(&format!("Remove {stack}"), requested_by);
        self.change(source, stack, folder, |tip| {
            let before = tip.checkout().root().read_text(tip.checkout().dir(), LIST, MOST_BYTES)?;
            let mut edit = Edit::default();
            let list = match entries::remove(&before, stack) {
                Err(Refusal::Last) => entries::set(&before, stack, "enabled", &Value::Switch(false)),
                list => {
                    for file in files {
                        edit.remove(path(source, file));
                    }
                    list
                }
            };
            match list {
                Ok(list) => edit.write(path(source, LIST), list, false),
                Err(refusal) => return Ok(Made::Stop(refusal.into())),
            }
            let draft = tip.draft(&edit, &message)?;
            Ok(match check(tip, draft.checkout())? {
                Some(why) => Made::Stop(why),
                None => Made::Push(draft),
            })
        })
    }
}

/// The path of a file of the source from the repository's root.
fn path(source: &Source, file: &str) -> String {
    source.dir().map_or_else(|| file.to_owned(), |dir| format!("{dir}/{file}"))
}

/// What became of a change, for people.
pub fn told<S: Display>(outcome: &Outcome<S>) -> String {
    match outcome {
        Outcome::Pushed { commit, branch, base } if branch != base => {
            format!("pushed `{}` to `{branch}`, for `{base}`", commit.short())
        }
        Outcome::Pushed { commit, branch, .. } => format!("pushed `{}` to `{branch}`", commit.short()),
        Outcome::Same(tip) => format!("`{}` is so already", tip.short()),
        Outcome::Stopped(why) => why.to_string(),
        Outcome::NoBranch(what) => format!("the source follows {what}: nothing can be written to it"),
        Outcome::Taken { branch, commit } => {
            format!("the branch `{branch}` holds the commit `{}`, which somebody else made", commit.short())
        }
        Outcome::Moved => "others pushed to the branch meanwhile, three times".into(),
        Outcome::Rejected(words) => format!("the server refused it: {words}"),
        Outcome::Unreachable(error) => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests;
