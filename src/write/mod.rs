//! Stacks that are written into the repositories that are watched.
//!
//! In: what somebody asks of a stack. Out: a commit in the source, or why there is none; what deploys it is the sync.
//! Of a commit that would be made all is judged as the sync would before anybody has it.

mod attempt;
mod beside;
mod edit;
pub mod entries;
mod side;
mod stop;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::fault::OrHint;
use crate::forge::{Forge, Proposal, Request};
use crate::git::push::{self, Made, Outcome, Target};
use crate::git::{Commit, look_into};
use crate::hash::Key;
use crate::plain;
use crate::policy::{self, Policy, Trust};
use crate::settings::{GitAccess, RunSettings, Settings, WriteSettings, beside};
use crate::source::{Source, SourceId};
use crate::stack::StackName;
use crate::validate::Mistake;
use crate::validate::diff::Diff;
use attempt::Attempt;

pub use beside::Beside;
pub use edit::Current;
pub use side::{Becomes, FileChange, origins};
pub use stop::{About, Stop};

/// How long files are compared with one another, before it is said that they differ.
const COMPARING: Duration = Duration::from_secs(10);

/// Letters of who asks that a request to merge tells.
const LONGEST_NAME: usize = 100;

/// What becomes of a stack.
#[derive(Debug, Clone)]
pub enum Wish {
    /// It is made from a template.
    Make {
        template: String,
        options: Map<String, Value>,
    },
    /// It has these options from now on, and no others; of another template, where one is named.
    Change {
        template: Option<String>,
        options: Map<String, Value>,
        overwrite: bool,
    },
    Remove,
}

/// Who wants what.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    pub source: &'a Source,
    pub stack: &'a StackName,
    pub wish: &'a Wish,
    /// The commit that was looked at: what matters here must be as it was there.
    pub seen: Option<&'a Commit>,
    pub requested_by: Option<&'a str>,
    /// What is known beside the files.
    pub beside: &'a Beside,
    /// Whether to say what would come of it, and leave it at that.
    pub dry_run: bool,
}

/// What a commit would do. Its fields do not change their names.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The commit it would come after.
    pub base: String,
    pub subject: String,
    pub files: Vec<FileChange>,
    /// What the sync would make of it.
    pub changes: Diff,
    /// What a removal leaves: volumes, secrets, a folder that others use.
    pub stays: Vec<String>,
    /// What is wrong already, of other stacks.
    pub problems: Vec<Mistake>,
    pub not_checked: Vec<String>,
}

/// What came of an order, and what was planned last.
#[derive(Debug)]
pub struct Answer {
    pub outcome: Outcome<Stop>,
    pub plan: Option<Plan>,
    /// The pull or merge request, where a branch of its own was pushed to a forge.
    pub request: Option<Result<Request>>,
}

/// What is written with.
#[derive(Debug)]
pub struct Desk {
    settings: Settings,
    write: WriteSettings,
    pushing: GitAccess,
    folder: PathBuf,
    key: Key,
    /// The sources that may be written to; any without one.
    sources: Vec<SourceId>,
}

impl Desk {
    pub fn new(settings: &Settings, run: &RunSettings) -> Result<Self> {
        let folder = folder(settings);
        let named = run.write.repos.iter().map(|name| Source::parse(name).map(|source| source.id().clone()));
        let sources = named.collect::<Result<_>>();
        let sources = sources
            .context("`DOCKEROPS_WRITE_REPOS` names what is no source")
            .or_hint("write sources as they are watched, split on `,`")?;
        let (write, pushing) = (run.write.clone(), settings.git.to_push(&run.write));
        let key = Key::new().context("cannot make a key")?;
        Ok(Self { settings: settings.clone(), write, pushing, folder, key, sources })
    }

    /// Whether `source` may be written to.
    pub fn may_write(&self, source: &Source) -> bool {
        self.sources.is_empty() || self.sources.contains(source.id())
    }

    /// Makes the commit that is asked for, and pushes it.
    pub fn carry_out(&self, order: Order<'_>) -> Result<Answer> {
        let policy = self.policy()?;
        let (plan, first) = (RefCell::new(None), RefCell::new(None));
        let branch = self.write.branch(order.stack.as_str());
        if branch.is_some() && branch.as_deref() == order.source.reference() {
            let outcome = Outcome::Stopped(Stop::is_watched(order.stack));
            return Ok(Answer { outcome, plan: None, request: None });
        }
        let target = self.target(order.source, branch.as_deref());
        // Without a token for the forge nothing is to be pushed.
        let forge = branch.as_ref().filter(|_| !order.dry_run);
        let forge = forge.map(|_| Forge::of(order.source, &self.pushing)).transpose()?.flatten();
        let outcome = push::change(target, |tip| {
            let attempt = Attempt { desk: self, order, policy: policy.as_deref(), tip };
            let made = attempt.make(&mut first.borrow_mut(), &mut plan.borrow_mut())?;
            tip.checkout().take_failure().map_or(Ok(made), Err)
        })?;
        let plan: Option<Plan> = plan.into_inner();
        let request = match (&outcome, forge) {
            (Outcome::Pushed { branch, base, .. }, Some(forge)) => {
                let title = plan.as_ref().map_or("", |plan| plan.subject.as_str());
                let body = plan.as_ref().map(|plan| plan.told(order.requested_by)).unwrap_or_default();
                Some(forge.propose(&Proposal { head: branch, base, title, body: &body }))
            }
            _ => None,
        };
        Ok(Answer { outcome, plan, request })
    }

    /// The options of a stack as they are in `commit`, and the template that it was made from.
    pub fn options_of(&self, source: &Source, commit: &Commit, stack: &StackName) -> Result<Current> {
        look_into(source, commit, &self.settings.git, |base| Ok(edit::current(base, stack)))
    }

    /// Likewise in the newest commit, which no sync may have seen; `None` where there is no branch, or its server cannot
    /// be asked.
    pub fn newest_options(&self, source: &Source, stack: &StackName) -> Result<Option<(Commit, Current)>> {
        let target = self.target(source, None);
        let found = RefCell::new(None);
        push::change(target, |tip| {
            let current = edit::current(tip.checkout(), stack);
            tip.checkout().take_failure().map_or(Ok(()), Err)?;
            *found.borrow_mut() = Some((tip.commit().clone(), current));
            Ok(Made::Stop(()))
        })?;
        Ok(found.into_inner())
    }

    fn target<'a>(&'a self, source: &'a Source, branch: Option<&'a str>) -> Target<'a> {
        Target {
            source,
            branch,
            author: &self.write.author,
            reading: &self.settings.git,
            pushing: &self.pushing,
            folder: &self.folder,
        }
    }

    fn policy(&self) -> Result<Option<Arc<Policy>>> {
        let read = |path: &PathBuf| policy::read(path, Trust::Root, &self.settings.programs());
        self.settings.policy.as_ref().map(read).transpose()
    }
}

/// What an earlier daemon left goes. The caller is the only daemon of the database.
pub fn sweep(settings: &Settings) -> Result<()> {
    let folder = folder(settings);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let what = format!("cannot clean `{}`", folder.display());
            Err(error).context(what).or_hint("check the permissions there")
        }
        _ => Ok(()),
    }
}

/// Where what is temporary lies.
fn folder(settings: &Settings) -> PathBuf {
    beside(&settings.database, ".writes")
}

impl Plan {
    /// For who reads the request to merge it, as markdown.
    fn told(&self, requested_by: Option<&str>) -> String {
        let mut lines: Vec<_> = self.changes.lines().into_iter().skip(1).collect();
        lines.extend(self.stays.iter().map(|what| format!("  stays: {}", plain::line(what))));
        if let Some(name) = requested_by {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            lines.push(format!("  asked for by {}", plain::name(&name)));
        }
        // Four blanks make it text that is shown as it is.
        let lines: Vec<_> = lines.iter().map(|line| format!("    {line}\n")).collect();
        format!("Made by DockerOps. A merge would:\n\n{}", lines.concat())
    }
}

/// The path of a file of the source from the repository's root.
fn path(source: &Source, file: &str) -> String {
    source.dir().map_or_else(|| file.to_owned(), |dir| format!("{dir}/{file}"))
}

/// `path`, given from the repository's root, as git has it.
fn from_root(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
