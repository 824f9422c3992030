//! Stacks that were rolled back and whose source cannot be had: they go back all the same.

use anyhow::Result;

use super::is_to_go_back;
use crate::hold::{Back, Hold};
use crate::reconcile::contain::Contain;
use crate::reconcile::session::Selection;
use crate::reconcile::source::{Reading, WatchedSource};
use crate::reconcile::{Reconciler, Session};
use crate::stack::StackName;

impl Reconciler {
    /// Reads those stacks from their own commits, and nothing beside them. Why the source cannot be had stays its error.
    pub fn go_back_unread(
        &mut self,
        session: &Session<'_>,
        source: &mut WatchedSource,
        backs: &[(StackName, Hold, Back)],
    ) -> Result<()> {
        let lacks = |name: &StackName| {
            let mut rows = source.holds.iter().filter(|row| row.stack.as_ref() == Some(name));
            source.wish.selection.holds(name) && rows.any(|row| is_to_go_back(&source.stacks, row))
        };
        let to_go_back: Vec<_> = backs.iter().filter(|(name, ..)| lacks(name)).collect();
        let (mut pasts, mut at) = (Vec::new(), None);
        for (name, hold, back) in to_go_back {
            match self.past(session, source, name, back).contained()? {
                Ok(past) => {
                    self.note_hash(session, source, hold.clone(), &past)?;
                    pasts.push(past);
                    at = Some(&back.commit);
                }
                Err(why) => session.report.note(source.subject(name), &format!("cannot go back: {why}")),
            }
        }
        let Some(at) = at else { return Ok(()) };
        let mut read = self.read_at(session, source, at)?;
        let names = pasts.iter().map(|past| past.entry.name.clone()).collect();
        read.leave_only(pasts);
        let failed = std::mem::replace(&mut source.reading, Reading::Read(Box::new(read)));
        if let Reading::Failed(error) = failed {
            source.unreachable = Some(error);
        }
        source.wish.selection = Selection::Some(names);
        self.memory.of_sources.entry(source.id.clone()).or_default().failed += 1;
        Ok(())
    }
}
