//! A change of a repository: made on the tree of its branch's tip, and pushed there, or to a branch of our own.
//!
//! In: a source, and who makes the change of a tip that is handed to it. Out: what became of it. There is no work tree,
//! no filter is run and no symlink followed; all objects lie in a temporary folder, so nothing stays of what was not
//! pushed. Another change of the same repository waits; a sync neither waits for this nor is it waited for.

mod branch;
mod disk;
mod edit;
mod message;
mod send;
mod turn;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use git2::{Oid, Repository};

use super::checkout::{self, Checkout};
use super::fetch::Way;
use super::local::{self, is_local};
use super::remote::{self, Head};
use super::worker::{Pulse, Worker, patience};
use super::{Commit, explain, memory, redirect};
use crate::fault::{because_of, fault};
use crate::settings::{Author, GitAccess};
use crate::source::Source;
use branch::Existing;
use send::{Answer, Sending};

pub use edit::Edit;
pub use message::Message;

/// How often a change is made again because somebody else was faster.
const ATTEMPTS: usize = 3;
/// How long a change may take, from when it is its turn.
const LONGEST: Duration = Duration::from_secs(60);
/// How long the server is asked what became of a push, whatever time is left.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Where to a change goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub source: &'a Source,
    /// A branch for this change alone; that of the source without one.
    pub branch: Option<&'a str>,
    pub author: &'a Author,
    /// How the source is read, and how it is written to.
    pub reading: &'a GitAccess,
    pub pushing: &'a GitAccess,
    /// A folder for what is temporary, which somebody sweeps.
    pub folder: &'a Path,
}

/// The newest commit of the branch that a source follows.
#[derive(Debug)]
pub struct Tip<'a> {
    target: Target<'a>,
    until: Instant,
    branch: String,
    checkout: Checkout,
}

/// A commit that nobody but us has so far.
#[derive(Debug)]
pub struct Draft {
    commit: Oid,
    tree: Oid,
    checkout: Box<Checkout>,
}

/// What comes of looking at a tip.
#[derive(Debug)]
pub enum Made<S> {
    Push(Draft),
    /// Nothing is to be pushed, and this is why.
    Stop(S),
}

/// What became of a change.
#[derive(Debug)]
pub enum Outcome<S> {
    /// The server has it.
    Pushed {
        commit: Commit,
        branch: String,
        /// The branch that the source follows.
        base: String,
    },
    /// It changes nothing: this is the tip.
    Same(Commit),
    /// It was not to be made.
    Stopped(S),
    /// The source follows no branch that could be written to: `what` it follows.
    NoBranch(String),
    /// The branch for it holds a commit that somebody else made.
    Taken { branch: String, commit: Commit },
    /// Others were faster, each time.
    Moved,
    /// The server took it not, in its own words, fit to be shown.
    Rejected(String),
    /// It cannot be reached or written to.
    Unreachable(Error),
}

/// Makes and pushes a change. Where the tip moves meanwhile, it is made again of the new one.
pub fn change<S>(target: Target<'_>, make: impl FnMut(&Tip<'_>) -> Result<Made<S>>) -> Result<Outcome<S>> {
    attempts(target, make).map_err(|error| {
        if is_full(&error) {
            let hint = "make room on it, beside the database above all, and ask for it again";
            return because_of(error, "there is no room left on the disk, so nothing was written", hint);
        }
        error
    })
}

/// Whether a disk of this machine is why.
pub fn is_full(error: &Error) -> bool {
    let told = format!("{error:#}");
    ["No space left on device", "Disk quota exceeded"].iter().any(|words| told.contains(words))
}

/// What cannot be had of a server; or not be kept here.
fn unreachable<S>(error: Error) -> Result<Outcome<S>> {
    if is_full(&error) { Err(error) } else { Ok(Outcome::Unreachable(error)) }
}

fn attempts<S>(target: Target<'_>, mut make: impl FnMut(&Tip<'_>) -> Result<Made<S>>) -> Result<Outcome<S>> {
    let _turn = turn::take(target.source, LONGEST)?;
    let until = Instant::now() + LONGEST;
    for _ in 0..ATTEMPTS {
        let heads = match heads(target, until) {
            Ok(heads) => heads,
            Err(error) => return unreachable(error),
        };
        let (followed, commit) = match branch::followed(&heads, target.source.reference())? {
            Ok(found) => found,
            Err(what) => return Ok(Outcome::NoBranch(what)),
        };
        let tip = match Tip::fetch(target, until, followed, commit) {
            Ok(tip) => tip,
            Err(error) => return unreachable(error),
        };
        let goal = match tip.goal(&heads) {
            Ok(Goal::Free(goal)) => goal,
            Ok(Goal::Taken { branch, commit }) => return Ok(Outcome::Taken { branch, commit }),
            Err(error) => return unreachable(error),
        };
        let draft = match make(&tip)? {
            Made::Push(draft) => draft,
            Made::Stop(why) => return Ok(Outcome::Stopped(why)),
        };
        if tip.is_as(&draft)? {
            return Ok(Outcome::Same(tip.commit().clone()));
        }
        let base = tip.oid()?;
        if let Some(there) = goal.existing.filter(|there| there.is(base, draft.tree)) {
            return Ok(Outcome::Pushed {
                commit: there.commit.into(),
                branch: goal.branch,
                base: tip.branch,
            });
        }
        match tip.push(&goal, &draft)? {
            Answer::Taken => {
                return Ok(Outcome::Pushed {
                    commit: draft.commit.into(),
                    branch: goal.branch,
                    base: tip.branch,
                });
            }
            Answer::Moved => {}
            Answer::Rejected(words) => return Ok(Outcome::Rejected(words)),
            Answer::Failed(error) => return Ok(Outcome::Unreachable(error)),
            Answer::Silent => {
                return Ok(Outcome::Unreachable(explain::silent(target.source.url(), LAST_WORD)));
            }
        }
    }
    Ok(Outcome::Moved)
}

/// The branch that is pushed to.
#[derive(Debug)]
struct Place {
    branch: String,
    /// What it holds of ours; `None` also where it is the followed one.
    existing: Option<Existing>,
    /// What it must point at for the push to be right.
    lease: Option<Oid>,
}

enum Goal {
    Free(Place),
    Taken { branch: String, commit: Commit },
}

impl Tip<'_> {
    /// Its files.
    pub fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    pub fn commit(&self) -> &Commit {
        self.checkout.commit()
    }

    /// git's id of a folder, given from the repository's root, as it would be without one of its files; `None` where there
    /// is no such folder.
    pub fn id_without(&self, folder: &str, file: &str) -> Result<Option<String>> {
        let (git, tip) = (self.checkout.git().to_path_buf(), self.oid()?);
        let (folder, file) = (folder.to_owned(), file.to_owned());
        self.work(move |_| {
            let repository = Repository::open_bare(&git)?;
            let root = repository.find_commit(tip)?.tree()?;
            let Ok(entry) = root.get_path(Path::new(&folder)) else { return Ok(None) };
            let Some(tree) = entry.to_object(&repository)?.into_tree().ok() else { return Ok(None) };
            let mut builder = repository.treebuilder(Some(&tree))?;
            if builder.get(&file)?.is_some() {
                builder.remove(&file)?;
            }
            Ok(Some(builder.write()?.to_string()))
        })
    }

    /// What it would be with the edit.
    pub fn draft(&self, edit: &Edit, message: &Message) -> Result<Draft> {
        let (git, tip) = (self.checkout.git().to_path_buf(), self.oid()?);
        let (edit, message, author) = (edit.clone(), message.clone(), self.target.author.clone());
        let made = self.work(move |_| {
            let repository = Repository::open_bare(&git)?;
            let tip = repository.find_commit(tip)?;
            let tree = edit::apply(&repository, &tip.tree()?, &edit)?;
            let commit = message::commit(&repository, &tip, tree, &author, &message)?;
            Ok((commit, tree))
        });
        let (commit, tree) = made?;
        let Target { source, folder, reading, .. } = self.target;
        let here = Way::Here(self.checkout.git().join("objects"));
        let checkout = checkout::apart(source, &commit.into(), folder, reading, here, self.left())?;
        Ok(Draft { commit, tree, checkout: Box::new(checkout) })
    }

    /// Whether the draft has the same files.
    pub fn is_as(&self, draft: &Draft) -> Result<bool> {
        Ok(draft.tree == self.tree()?)
    }

    fn oid(&self) -> Result<Oid> {
        self.commit().oid()
    }

    fn tree(&self) -> Result<Oid> {
        Ok(Repository::open_bare(self.checkout.git())?.find_commit(self.oid()?)?.tree_id())
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What `work` comes to, in a thread that may be given up.
    fn work<T: Send + 'static>(&self, work: impl FnOnce(&Pulse) -> Result<T> + Send + 'static) -> Result<T> {
        in_thread(self.target.reading, self.target.source, self.left(), work)
    }
}

impl<'a> Tip<'a> {
    /// As if this commit were the newest.
    pub fn at(&self, commit: &Commit) -> Result<Self> {
        Self::fetch(self.target, self.until, self.branch.clone(), commit.oid()?)
    }

    fn fetch(target: Target<'a>, until: Instant, branch: String, commit: Oid) -> Result<Self> {
        let Target { source, folder, reading, .. } = target;
        let left = until.saturating_duration_since(Instant::now());
        let checkout = checkout::apart(source, &commit.into(), folder, reading, Way::Beside, left)?;
        Ok(Self { target, until, branch, checkout })
    }

    fn goal(&self, heads: &[Head]) -> Result<Goal> {
        let Some(branch) = self.target.branch else {
            let lease = Some(self.oid()?);
            return Ok(Goal::Free(Place { branch: self.branch.clone(), existing: None, lease }));
        };
        if branch == self.branch {
            return Err(fault(
                format!("the branch `{branch}` is the one that is watched"),
                "name another one in `DOCKEROPS_WRITE_BRANCH`, or unset it to push to that one",
            ));
        }
        let branch = branch.to_owned();
        let name = format!("refs/heads/{branch}");
        let Some(there) = heads.iter().find(|head| head.name == name).map(|head| head.id) else {
            return Ok(Goal::Free(Place { branch, existing: None, lease: None }));
        };
        let (git, url) = (self.checkout.git().to_path_buf(), self.target.source.url().to_owned());
        let (access, author) = (self.target.reading.clone(), self.target.author.clone());
        let existing =
            self.work(move |pulse| branch::existing(&git, &url, there, &access, &author, pulse))?;
        Ok(match existing {
            Some(ours) => Goal::Free(Place { branch, lease: Some(there), existing: Some(ours) }),
            None => Goal::Taken { branch, commit: there.into() },
        })
    }

    fn push(&self, place: &Place, draft: &Draft) -> Result<Answer> {
        let Target { source, pushing, .. } = self.target;
        let kept = pushing.kept.as_deref().map(|folder| super::kept::Kept::of(folder, source.url()));
        let sending = Sending {
            url: source.url().to_owned(),
            name: format!("refs/heads/{}", place.branch),
            lease: place.lease,
            commit: draft.commit,
            tip: self.oid()?,
            // One of ours is made anew; one that is watched only goes on.
            is_forced: place.existing.is_some(),
        };
        let (git, access, what) = (self.checkout.git().to_path_buf(), pushing.clone(), sending.clone());
        let sent = in_thread(pushing, source, self.left(), move |pulse| {
            if is_local(&what.url) {
                disk::push(&git, &what)
            } else {
                send::push(&git, kept.as_ref(), &what, &access, pulse)
            }
        });
        let answer = match sent {
            Ok(Answer::Taken) => return Ok(Answer::Taken),
            Ok(Answer::Moved) => return Ok(Answer::Moved),
            Ok(answer) => answer,
            Err(error) => Answer::Failed(error),
        };
        // A server that died may have taken it, and one that refused may mean that another was faster.
        let until = self.until.max(Instant::now() + LAST_WORD);
        let there = heads(self.target, until)
            .map(|heads| heads.iter().find(|head| head.name == sending.name).map(|head| head.id));
        let lost = |error: Error| {
            let what = format!("nobody can tell whether commit `{}` arrived", draft.commit);
            Answer::Failed(because_of(error, &what, "ask for it again: what arrived is not made twice"))
        };
        Ok(match (there, answer) {
            (Ok(there), _) if there == Some(draft.commit) => Answer::Taken,
            (Ok(there), _) if there != place.lease => Answer::Moved,
            (Err(_), Answer::Failed(error)) => lost(error),
            (Err(error), Answer::Silent) => {
                lost(error.context("the server did not say what became of the push"))
            }
            (Ok(_), Answer::Silent) => Answer::Failed(fault(
                "the server did not say what became of the push, and its branch is as it was",
                "ask for it again; what the server's own log says may tell more",
            )),
            (_, answer) => answer,
        })
    }
}

impl Draft {
    /// Its files, which nobody has pushed so far. The tip that it was made of must still be there to read them.
    pub fn checkout(&self) -> &Checkout {
        &self.checkout
    }
}

/// What the source's server has, as it is read; an error where that has moved.
fn heads(target: Target<'_>, until: Instant) -> Result<Vec<Head>> {
    let (url, access) = (target.source.url().to_owned(), target.reading.clone());
    let left = until.saturating_duration_since(Instant::now());
    in_thread(target.reading, target.source, left, move |pulse| {
        pulse.begin(&url, access.timeout)?;
        if is_local(&url) {
            local::check_names(&url)?;
        }
        redirect::refuse(&url, &access)?;
        remote::ls(&url, &access)
    })
}

/// What `work` comes to within a bound of memory and of time, in a thread of its own.
fn in_thread<T: Send + 'static>(
    access: &GitAccess,
    source: &Source,
    longest: Duration,
    work: impl FnOnce(&Pulse) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (patience, owned) = (patience(access.timeout), access.clone());
    let answer = Worker::<()>::start()?.ask(patience, longest, move |(), pulse| {
        super::configure(&owned)?;
        memory::within(1, || work(pulse))
    });
    let what = || format!("source `{source}`");
    answer.with_context(what)?.ok_or_else(|| explain::silent(source.url(), patience))
}
