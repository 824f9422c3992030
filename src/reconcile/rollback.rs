//! Stacks that somebody rolls back: what docker gets of an earlier version, and when that is over.
//!
//! A rollback is a hold that has a version. As long as that is not what runs, it is what is desired of the stack, read
//! from its own commit, with the images by the digests they ran by; from then on the hold keeps it as any other does.

mod fall_back;
mod unread;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};

use super::ask::Wanted;
use super::bindings::{changed, gone as gone_bindings};
use super::contain::Contain;
use super::session::{Options, Outcome, Selection, Target, Wish};
use super::source::{Read, Reading, WatchedSource};
use super::{Reconciler, Session};
use crate::compose::RenderedStack;
use crate::fault::{because_of, fault};
use crate::git::{Checkout, Commit, Workplace};
use crate::hold::{Back, Hold};
use crate::image::ImageRef;
use crate::plan::{DesiredStack, Images, Past, images_of};
use crate::source::Source;
use crate::stack::StackName;
use crate::state::{HoldRow, StackRow, StackStatus, Version};
use crate::watched::Watched;

/// What a stack is to go back to, read and checked.
#[derive(Debug)]
pub struct Aim {
    /// What its hold is to say.
    pub back: Back,
    /// The bindings it mounts that do not lie there as they did then.
    pub changed: Vec<String>,
    source: Source,
    stack: StackName,
    commit: Commit,
    files: Checkout,
    place: Option<Workplace>,
}

/// Reads the version of a stack that it is to go back to. Nothing is changed.
pub fn aim(
    session: &Session<'_>,
    known: &Watched,
    row: &StackRow,
    version: &Version,
    (fled, pinned): (Vec<String>, bool),
) -> Result<Aim> {
    let source: Source = known.row.url.parse()?;
    let commit = Commit::parse(&version.commit)?;
    let place = session.door.workplace(session)?;
    let folder = place.as_ref().map_or(Path::new(""), Workplace::path);
    let files = session.door.checkout(&source, &commit, folder).map_err(|error| gone(error, &commit))?;
    let mut back = Back {
        commit: version.commit.clone(),
        images: images_of(version),
        hash: String::new(),
        fled,
        pinned,
        before: None,
    };
    let target = Target::new(source.clone(), Some(known.row.clone()));
    let wanted = Wanted { target, wishes: Vec::new() };
    let as_source =
        Reconciler::default().new_source(&wanted, Some(commit.clone()), std::slice::from_ref(known));
    let read = session.door.read(session, &OnceCell::new(), &as_source, files, true)?;
    let desired = version_of(&read, &row.name, &back)?;
    let rendered = desired.rendered.transpose()?.with_context(|| format!("`{}` was not read", row.name))?;
    back.hash.clone_from(&rendered.fingerprint);
    let changed = changed(session, &known.row.url, &read, &rendered)?;
    let gone = gone_bindings(&read, &changed);
    if !gone.is_empty() {
        let shown: Vec<_> =
            gone.iter().map(|(id, place)| format!("`{id}` in `{}`", place.display())).collect();
        return Err(fault(
            format!(
                "the bindings of that version are gone, and no task starts without them: {}",
                shown.join(", ")
            ),
            format!("`dockerops history {}` tells which other versions are kept", row.name),
        ));
    }
    let changed = changed.into_iter().map(str::to_owned).collect();
    // The run reads them once more, under its own lock.
    let files = read.checkout;
    Ok(Aim { back, changed, source, stack: row.name.clone(), commit, files, place })
}

fn gone(error: anyhow::Error, commit: &Commit) -> anyhow::Error {
    because_of(
        error,
        &format!("the files of commit `{}` cannot be had", commit.short()),
        "`dockerops history` tells which other versions are kept; `--to` names one of them",
    )
}

/// Gives docker what `aim` read, and waits until that runs. The hold that says so was noted before.
pub fn roll_back(session: &Session<'_>, aim: Aim) -> Result<Outcome> {
    let mut reconciler = Reconciler::new(&Options::default());
    let done = reconciler.begin_to_go_back(session, aim).and_then(|()| {
        while reconciler.turn(session)? {
            session.unlock();
            reconciler.wait()?;
            session.lock_again()?;
        }
        Ok(())
    });
    if done.is_err() {
        reconciler.leave(session);
    }
    done.map(|()| reconciler.outcome())
}

/// Whether a stack is not what it was rolled back to so far.
pub fn is_to_go_back(stacks: &[StackRow], row: &HoldRow) -> bool {
    let (Some(stack), Some(back)) = (&row.stack, &row.hold.back) else { return false };
    let there = stacks.iter().find(|there| there.name == *stack);
    !there.is_some_and(|there| runs(there, &back.hash) || there.held)
}

fn runs(row: &StackRow, hash: &str) -> bool {
    row.status == StackStatus::Deployed && row.hash == hash
}

impl Read {
    /// Leaves these stacks of it, as they were at an earlier commit, and nothing else.
    fn leave_only(&mut self, pasts: Vec<DesiredStack>) {
        (self.desired, self.is_past) = (pasts, true);
        self.images.clear();
        self.bindings.clear();
        self.unused.clear();
    }
}

impl WatchedSource {
    /// Whether a stack is to be given to docker as it was at an earlier commit.
    pub fn goes_back(&self, name: &StackName) -> bool {
        let Some(desired) = self.desired(name).filter(|desired| desired.past.is_some()) else { return false };
        let runs = desired
            .rendered()
            .is_some_and(|rendered| self.stack(name).is_some_and(|row| runs(row, &rendered.fingerprint)));
        self.forced.contains_key(name) || self.motion(name).is_some() || !runs
    }

    /// Whether it was read for one stack alone, at the commit of an earlier version of that.
    pub fn is_past(&self) -> bool {
        self.read().is_some_and(|read| read.is_past)
    }

    /// Whether what was put in place of a stack is not what it is rolled back to by now: somebody released it, or went
    /// further back.
    pub fn is_stale(&self) -> bool {
        let noted = |name: &StackName, commit: &str| {
            let mut its = self.holds.iter().filter(|row| row.stack.as_ref() == Some(name));
            its.any(|row| row.hold.back.as_ref().is_some_and(|back| back.commit == commit))
        };
        let desired = self.read().into_iter().filter(|read| !read.is_past).flat_map(|read| &read.desired);
        let mut pasts = desired.filter_map(|desired| Some((&desired.entry.name, desired.past.as_ref()?)));
        pasts.any(|(name, past)| !noted(name, past.commit.as_str()))
    }

    /// Whether a rollback is over, now that the source says something else of the stack than what was fled.
    pub fn is_mended(&self, row: &HoldRow) -> bool {
        let stack = row.stack.as_ref().filter(|_| row.hold.back.is_some());
        let is_this = |stack: &StackName| {
            let mended = self.read().map(|read| &read.mended);
            mended.is_some_and(|mended| mended.contains(&(stack.clone(), row.hold.since)))
        };
        stack.is_some_and(is_this)
    }

    /// Of a source that was read at the commit of an earlier version of one stack, all but that stack is left out; whether
    /// it was.
    fn leave_out_others(&mut self, backs: &[(StackName, Hold, Back)]) -> bool {
        let Some(name) = self.back.clone() else { return false };
        let at = self.commit().map(str::to_owned);
        let back = backs.iter().find(|(stack, _, back)| *stack == name && Some(&back.commit) == at.as_ref());
        let Some((_, hold, back)) = back else { return false };
        // Somebody asked for it now, whatever it was tried with before.
        self.forced.insert(name.clone(), hold.reason_to_go_back());
        self.wish.selection = Selection::Some(BTreeSet::from([name.clone()]));
        let Reading::Read(read) = &mut self.reading else { return true };
        match version_of(read, &name, back) {
            Ok(desired) => read.leave_only(vec![desired]),
            // It was read before by who asked for this: somebody changed the rules meanwhile.
            Err(error) => self.reading = Reading::Failed(error),
        }
        true
    }

    fn backs(&self) -> Vec<(StackName, Hold, Back)> {
        let backs = self.holds.iter().filter_map(|row| {
            Some((row.stack.clone()?, row.hold.clone(), row.hold.back.as_deref()?.clone()))
        });
        backs.collect()
    }
}

impl Reconciler {
    fn begin_to_go_back(&mut self, session: &Session<'_>, aim: Aim) -> Result<()> {
        let Aim { source, stack, commit, files, place, .. } = aim;
        let swarm = self.observe_anew(session)?;
        let watched = self.known.read(session.state)?;
        let known = watched.iter().find(|known| known.identity == *source.id());
        let target =
            Target { back: Some(stack.clone()), ..Target::new(source, known.map(|known| known.row.clone())) };
        let selection = Selection::Some(BTreeSet::from([stack]));
        let wish = Wish { selection, ..Wish::default() };
        self.workplace = place;
        self.fetching.begin_with(session, Wanted { target, wishes: vec![wish] }, commit, files, &watched)?;
        self.take_up(session, Vec::new(), &swarm, None)?;
        (self.swarm, self.stirred) = (Some(swarm), true);
        Ok(())
    }

    /// Puts the versions that stacks were rolled back to in place of what their source says now, as long as they do not
    /// run, and notes which rollbacks are over.
    pub fn go_back(&mut self, session: &Session<'_>, source: &mut WatchedSource, is_new: bool) -> Result<()> {
        let backs = source.backs();
        if source.leave_out_others(&backs) {
            return Ok(());
        }
        match source.reading {
            Reading::Read(_) => {}
            Reading::Failed(_) => return self.go_back_unread(session, source, &backs),
            Reading::Unchanged | Reading::BackingOff => return Ok(()),
        }
        for (name, hold, back) in backs {
            let is_selected = source.wish.selection.holds(&name);
            if is_selected && is_new && !back.pinned && self.is_mended(session, source, &name, &back)? {
                if let Reading::Read(read) = &mut source.reading {
                    read.mended.insert((name, hold.since));
                }
                continue;
            }
            let is_there = source.stack(&name).is_some_and(|row| runs(row, &back.hash));
            if (is_there && source.motion(&name).is_none()) || !is_selected {
                continue;
            }
            let past = self.past(session, source, &name, &back).contained()?;
            self.put(session, source, &name, &hold, past)?;
        }
        Ok(())
    }

    /// An earlier version of a stack, read from its own commit.
    fn past(
        &mut self,
        session: &Session<'_>,
        source: &WatchedSource,
        name: &StackName,
        back: &Back,
    ) -> Result<DesiredStack> {
        let read = self.read_at(session, source, &back.commit)?;
        let mut desired = version_of(&read, name, back)?;
        let files = Rc::new(read.checkout);
        desired.past = desired.past.map(|past| Past { _files: Some(files), ..past });
        Ok(desired)
    }

    fn read_at(&mut self, session: &Session<'_>, source: &WatchedSource, commit: &str) -> Result<Read> {
        if self.workplace.is_none() {
            self.workplace = session.door.workplace(session)?;
        }
        let folder = self.workplace.as_ref().map_or(Path::new(""), Workplace::path);
        let commit = Commit::parse(commit)?;
        let files =
            session.door.checkout(&source.source, &commit, folder).map_err(|error| gone(error, &commit))?;
        session.door.read(session, &OnceCell::new(), source, files, true)
    }

    fn put(
        &self,
        session: &Session<'_>,
        source: &mut WatchedSource,
        name: &StackName,
        hold: &Hold,
        past: Result<DesiredStack, String>,
    ) -> Result<()> {
        if let Ok(past) = &past {
            self.note_hash(session, source, hold.clone(), past)?;
        }
        let Reading::Read(read) = &mut source.reading else { return Ok(()) };
        let at = read.desired.iter().position(|desired| desired.entry.name == *name);
        match (past, at) {
            (Ok(past), Some(at)) => read.desired[at] = past,
            // It is listed no more, and goes back first; then its removal waits.
            (Ok(mut past), None) => {
                past.past = past.past.map(|past| Past { is_listed: false, ..past });
                read.desired.push(past);
            }
            (Err(why), Some(at)) => {
                let commit = Commit::parse(hold.back.as_deref().map_or("", |back| &back.commit))?;
                let desired = &mut read.desired[at];
                desired.past = Some(Past { commit, hash: String::new(), is_listed: true, _files: None });
                desired.rendered = Some(Err(anyhow!("cannot go back: {why}")));
            }
            (Err(_), None) => {}
        }
        Ok(())
    }

    /// Another release of DockerOps may give docker something else for it.
    fn note_hash(
        &self,
        session: &Session<'_>,
        source: &WatchedSource,
        mut hold: Hold,
        past: &DesiredStack,
    ) -> Result<()> {
        let now = past.rendered().map(|rendered| rendered.fingerprint.clone());
        if let (Some(now), Some(back), Some(row)) = (now, hold.back.as_deref_mut(), &source.row)
            && back.hash != now
            && !self.options.dry_run
        {
            back.hash = now;
            session.state.note_hold(row, Some(&past.entry.name), &hold)?;
        }
        Ok(())
    }

    /// Whether what the source says now of a stack is none of the versions that were fled. Read by this very program,
    /// all of them: another release may give docker something else for the same files.
    fn is_mended(
        &mut self,
        session: &Session<'_>,
        source: &WatchedSource,
        name: &StackName,
        back: &Back,
    ) -> Result<bool> {
        let at = source.commit().unwrap_or_default();
        let Some(now) = source.read().and_then(|read| content(read, name)) else { return Ok(false) };
        if back.fled.is_empty() || back.fled.iter().any(|fled| fled == at) {
            return Ok(false);
        }
        for fled in &back.fled {
            match self.read_at(session, source, fled).contained()? {
                Ok(read) if content(&read, name).as_ref() == Some(&now) => return Ok(false),
                Ok(_) => {}
                Err(why) => {
                    let what = format!(
                        "it stays rolled back: whether its source has another version by now is not known: {why}\n  \
                         hint: `dockerops release {name}` ends the rollback"
                    );
                    session.report.note(source.subject(name), &what);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// What tells a version of a stack from others: what docker gets but for images that are built, and what these are
/// built of, and how its jobs run; `None` where that cannot be told.
fn content(read: &Read, name: &StackName) -> Option<(String, BTreeMap<String, String>, String)> {
    let desired = read.desired.iter().find(|desired| desired.entry.name == *name)?;
    let rendered = desired.rendered()?;
    let uses =
        |image: &ImageRef| rendered.services.iter().any(|service| service.image.as_ref() == Some(image));
    let built = read.images.iter().filter(|image| uses(&image.source.name));
    let built = built.map(|image| (image.source.name.to_string(), image.content.clone()));
    Some((rendered.fingerprint.clone(), built.collect(), format!("{:?}", desired.entry.jobs.told())))
}

/// A stack as it ran then: its files at that commit, and its images by their digests.
fn version_of(read: &Read, name: &StackName, back: &Back) -> Result<DesiredStack> {
    let commit = read.checkout.commit();
    let desired = read.desired.iter().find(|desired| desired.entry.name == *name);
    let desired = desired.filter(|desired| desired.entry.enabled).ok_or_else(|| {
        fault(
            format!("commit `{}` does not list the stack `{name}`", commit.short()),
            format!("`dockerops history {name}` tells which other versions are kept"),
        )
    })?;
    let (rendered, hash) = match &desired.rendered {
        Some(Ok(rendered)) => (with_images(rendered, back), rendered.fingerprint.clone()),
        Some(Err(error)) => {
            return Err(anyhow!("`{name}` cannot be read at commit `{}`: {error:#}", commit.short()));
        }
        None => return Err(anyhow!("`{name}` cannot be read at commit `{}`", commit.short())),
    };
    let past = Some(Past { commit: commit.clone(), hash, is_listed: true, _files: None });
    Ok(DesiredStack {
        entry: desired.entry.clone(),
        rendered: Some(Ok(rendered)),
        images: Images::Ready,
        past,
    })
}

fn with_images(rendered: &RenderedStack, back: &Back) -> RenderedStack {
    let of = |service: &crate::compose::Service| {
        let image = back.images.get(&rendered.name.scope(&service.name))?;
        Some((service.name.clone(), ImageRef::parse(image).ok()?))
    };
    rendered.with_images(&rendered.services.iter().filter_map(of).collect())
}
