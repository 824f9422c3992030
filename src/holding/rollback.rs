//! Stacks rolled back by people: the version found, read and checked, noted, and deployed.

use anyhow::Result;

use super::{Noted, Refusal, Subject};
use crate::clock;
use crate::docker::Swarm;
use crate::docker::service::Service;
use crate::fault::fault;
use crate::hold::{self, Hold, Kind};
use crate::plan::Course;
use crate::reconcile::{Aim, aim, replace_in_swarm, roll_back as deploy};
use crate::report::Tally;
use crate::state::{StackRow, StackStatus, State, Version};
use crate::watched::{Watched, watched};
use crate::writer::Writer;

/// What somebody wants to go back to.
#[derive(Debug, Clone, Default)]
pub struct Back {
    /// The commit of the version, or its first digits; the one before what runs, or failed, without it.
    pub to: Option<String>,
    /// Nothing, where none is given.
    pub reason: String,
    pub by: String,
    /// Whether it stays whatever the source says.
    pub pin: bool,
    /// Whether it goes back though the files of bindings do not.
    pub without_bindings: bool,
}

/// What is kept of a stack, to go back to.
#[derive(Debug)]
pub struct Kept {
    /// The versions of it that converged, newest first.
    pub versions: Vec<Version>,
    back: Option<Box<hold::Back>>,
}

impl Kept {
    /// Of a stack that this hold is on.
    pub fn read(state: &State, row: &StackRow, hold: Option<&Hold>) -> Result<Self> {
        Ok(Self {
            versions: state.history(&row.name, &row.repository_url)?,
            back: hold.and_then(|hold| hold.back.clone()),
        })
    }

    /// Which of them it would be, of a stack whose services Swarm has like that.
    pub fn course<'a>(
        &'a self,
        known: &'a Watched,
        row: &'a StackRow,
        live: &'a [&'a Service],
    ) -> Course<'a> {
        Course {
            row,
            motion: known.motions.iter().find(|motion| motion.name == row.name),
            versions: &self.versions,
            live,
            back: self.back.as_deref(),
        }
    }
}

/// A rollback that is noted, and not carried out so far.
#[derive(Debug)]
pub struct RolledBack {
    pub noted: Noted,
    subject: Subject,
    aim: Aim,
}

/// Reads the version and notes that it is to stay: from then on every sync goes on with it.
pub fn roll_back(
    writer: &Writer,
    watched: &[Watched],
    subject: &Subject,
    wish: Back,
) -> Result<RolledBack, Refusal> {
    let Some((known, row)) = watched.iter().find_map(|known| {
        let row = known.stacks.iter().find(|row| Some(&row.name) == subject.stack.as_ref())?;
        (known.row.id == subject.source.id).then_some((known, row))
    }) else {
        let what = format!("`{subject}` was never deployed");
        return Err(Refusal::Unfit(fault(what, "there is no version of it to go back to")));
    };
    let before = subject.held(watched);
    let kept = Kept::read(&writer.state, row, before.as_ref())?;
    let session = writer.session();
    // What failed, or is in motion, is told from what converged by what docker has.
    let is_moving = known.motions.iter().any(|motion| motion.name == row.name);
    let swarm = match row.status {
        StackStatus::Error => session.door.observe()?,
        _ if is_moving => session.door.observe()?,
        _ => Swarm::default(),
    };
    let live: Vec<_> = swarm.of_stack(&row.name).collect();
    let course = kept.course(known, row, &live);
    let version = course.target(wish.to.as_deref()).map_err(Refusal::Unfit)?;
    let mut fled = course.fled(version);
    // What its source says now is no fix, whether or not it came to run.
    fled.extend(known.row.commit.clone().filter(|head| !fled.contains(head)));
    if fled.len() > 1 {
        fled.retain(|commit| *commit != version.commit);
    }
    // Who pins it says until when: another rollback is no release.
    let was_pinned = before.as_ref().and_then(|hold| hold.back.as_ref()).is_some_and(|back| back.pinned);
    let aim = aim(&session, known, row, version, (fled, wish.pin || was_pinned)).map_err(Refusal::Unfit)?;
    if !aim.changed.is_empty() && !wish.without_bindings {
        return Err(Refusal::Bindings(changed(subject, version, &aim.changed)));
    }
    let by_hand = before.as_ref().and_then(Hold::by_hand).cloned().map(Box::new);
    let hold = Hold {
        kind: Kind::Rollback,
        reason: Some(wish.reason).filter(|reason| !reason.is_empty()),
        by: Some(wish.by),
        since: Some(clock::wall()),
        until: None,
        back: Some(Box::new(hold::Back { before: by_hand, ..aim.back.clone() })),
    };
    let mut notes = Vec::new();
    if let Err(error) = replace_in_swarm(&session, &known.identity, Some(&row.name), &hold) {
        notes.push(format!("the Swarm does not remember it, a lost database would forget it: {error:#}"));
    }
    if was_pinned && !wish.pin {
        notes.push("it stays pinned, as it was; `dockerops release` ends that".to_owned());
    }
    writer.state.note_hold(&known.row, Some(&row.name), &hold)?;
    writer.sweep_kept()?;
    for id in &aim.changed {
        notes.push(format!("the binding `{id}` stays as it lies there: its files do not go back"));
    }
    let was =
        before.as_ref().map(|before| format!("; it was {} before", before.sentence())).unwrap_or_default();
    writer.report.on_hold(subject.about(&subject.to_string()), &(hold.sentence() + &was));
    Ok(RolledBack { noted: Noted { before, notes }, subject: subject.clone(), aim })
}

impl RolledBack {
    /// Gives docker that version, and waits until it runs.
    pub fn carry_out(self, writer: &Writer) -> Result<Tally> {
        let (stack, back) = (self.subject, self.aim.back.clone());
        let tally = deploy(&writer.session(), self.aim)?.tally;
        let now = stack.held(&watched(&writer.state)?);
        if now
            .as_ref()
            .and_then(|hold| hold.back.as_deref())
            .is_some_and(|now| (&now.commit, &now.images) == (&back.commit, &back.images))
        {
            return Ok(tally);
        }
        // Exit 0 would say that it runs.
        let what = match now {
            Some(hold) => {
                format!("`{stack}` is no more what this rolled it back to: it is {}", hold.sentence())
            }
            None => format!(
                "`{stack}` is no longer held at what this rolled it back to: its source has another version by now, or somebody released it"
            ),
        };
        Err(fault(what, "`dockerops status` tells what runs; who did it is in the events of the page"))
    }
}

fn changed(subject: &Subject, version: &Version, changed: &[String]) -> String {
    let ids: Vec<_> = changed.iter().map(|id| format!("`{id}`")).collect();
    let commit = version.commit.get(..12).unwrap_or(&version.commit);
    format!(
        "`{subject}` was not rolled back: of what it mounts at {commit} {} is not as it was then, and the files of \
         bindings do not go back",
        ids.join(", ")
    )
}
