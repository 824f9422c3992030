//! Stacks that go back by themselves: a job behind the rest failed, and their source wants that then.

use std::rc::Rc;

use anyhow::{Context, Result, anyhow};

use super::version_of;
use crate::compose::RenderedStack;
use crate::docker::service::Service;
use crate::fault::fault;
use crate::hold::{Back, Hold, Kind};
use crate::plan::{Course, Past, images_of};
use crate::reason::MOST_LETTERS;
use crate::reconcile::bindings::changed;
use crate::reconcile::contain::Contain;
use crate::reconcile::kept_holds::keep_in_swarm;
use crate::reconcile::source::WatchedSource;
use crate::reconcile::{Key, Reconciler, Session};
use crate::report::Subject;
use crate::state::{HoldRow, Motion};

impl Reconciler {
    /// Rolls a stack back whose own word that is, now that a job behind it failed.
    pub fn fall_back(
        &mut self,
        session: &Session<'_>,
        key: &Key,
        motion: &Motion,
        live: &[&Service],
        why: &str,
    ) -> Result<()> {
        let Some(at) = self.sources.iter().position(|source| source.id == key.source) else { return Ok(()) };
        let desired = self.sources[at].desired(&key.stack);
        let is_wanted = desired.is_some_and(|desired| {
            let is_it = |rendered: &RenderedStack| rendered.fingerprint == motion.hash;
            desired.entry.jobs.rolls_back && desired.rendered().is_some_and(is_it)
        });
        if !is_wanted {
            return Ok(());
        }
        let mut source = self.sources.remove(at);
        let done = self.fall_back_to_what_ran(session, &mut source, key, (motion, live), why).contained();
        let subject_url = source.url.clone();
        self.sources.insert(at, source);
        if let Err(why) = done? {
            let subject = Subject { repository: Some(&subject_url), stack: key.stack.as_str(), commit: None };
            session.report.note(subject, &format!("it was not rolled back: {why}"));
        }
        Ok(())
    }

    fn fall_back_to_what_ran(
        &mut self,
        session: &Session<'_>,
        source: &mut WatchedSource,
        key: &Key,
        (motion, live): (&Motion, &[&Service]),
        why: &str,
    ) -> Result<()> {
        let name = &key.stack;
        let (Some(owner), Some(row)) = (source.row.clone(), source.stack(name).cloned()) else {
            return Err(anyhow!("no version of `{name}` is known that converged"));
        };
        let versions = session.state.history(name, &source.url)?;
        let course = Course { row: &row, motion: Some(motion), versions: &versions, live, back: None };
        let version = course.target(None)?;
        let mut back = Back {
            commit: version.commit.clone(),
            images: images_of(version),
            hash: String::new(),
            fled: course.fled(version),
            pinned: false,
            before: source.hold_by_hand(name, session.door.now().wall).map(Box::new),
        };
        let read = self.read_at(session, source, &back.commit)?;
        let mut past = version_of(&read, name, &back)?;
        let rendered = past.rendered().with_context(|| format!("`{name}` was not read"))?;
        back.hash.clone_from(&rendered.fingerprint);
        let changed = changed(session, &source.url, &read, rendered)?;
        if !changed.is_empty() {
            return Err(fault(
                format!("of what it mounts `{}` is not as it was then", changed.join("`, `")),
                format!("`dockerops rollback {name} --without-bindings` goes back all the same"),
            ));
        }
        past.past = past.past.map(|it| Past { _files: Some(Rc::new(read.checkout)), ..it });
        let reason = why.lines().next().unwrap_or_default().chars().take(MOST_LETTERS).collect();
        let hold = Hold {
            kind: Kind::Rollback,
            reason: Some(reason),
            by: Some("`on_failure: rollback`".to_owned()),
            since: Some(session.door.now().wall),
            until: None,
            back: Some(Box::new(back)),
        };
        session.state.note_hold(&owner, Some(name), &hold)?;
        if let Err(error) = keep_in_swarm(session, &source.id, Some(name), &hold) {
            let what = format!("the Swarm does not remember that it was rolled back: {error:#}");
            session.report.note(source.subject(name), &what);
        }
        session.report.on_hold(source.subject(name), &hold.sentence());
        source.holds.retain(|row| row.stack.as_ref() != Some(name));
        source.holds.push(HoldRow { repository_id: owner.id, stack: Some(name.clone()), hold: hold.clone() });
        self.put(session, source, name, &hold, Ok(past))?;
        self.memory.tried.remove(key);
        self.memory.fell_back.insert(key.clone());
        self.stirred = true;
        Ok(())
    }
}
