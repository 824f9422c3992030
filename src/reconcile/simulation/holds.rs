//! Holds by hand, and what must hold of them.

use super::play::Play;
use super::rules::ON_HOLD;
use super::world::{World, controller};
use crate::hold::{Hold, Kind};
use crate::stack::StackName;

impl Play<'_> {
    /// Somebody holds a stack, where a database knows it.
    pub fn hold(&mut self, stack: &'static str) {
        let hold = Hold {
            kind: Kind::Hand,
            reason: None,
            by: Some("alice".into()),
            since: None,
            until: None,
            back: None,
        };
        for (controller, state) in self.stage.states.iter().enumerate() {
            let (sources, stacks) = (state.sources().unwrap(), state.stacks().unwrap());
            let row = stacks.iter().find(|row| row.name.as_str() == stack && row.converged.is_some());
            let Some(row) = row.filter(|_| self.world.borrow_mut().ledger(stack).on_hold.is_none()) else {
                continue;
            };
            let source = sources.iter().find(|source| source.url == row.repository_url).unwrap();
            state.note_hold(source, Some(&row.name), &hold).unwrap();
            self.world.borrow_mut().ledger(stack).on_hold = Some(controller);
        }
    }

    /// Nobody holds it any more.
    pub fn release(&mut self, stack: &'static str) {
        for state in &self.stage.states {
            for source in state.sources().unwrap() {
                state.forget_hold(source.id, Some(&StackName::known(stack))).unwrap();
            }
        }
        let mut world = self.world.borrow_mut();
        // A run that goes on decided before; the next one sees it.
        let nth = world.happens();
        let ledger = world.ledger(stack);
        (ledger.on_hold, ledger.meddled) = (None, nth);
    }
}

impl World {
    /// Whether this controller is to leave a stack as it is.
    pub fn is_on_hold(&self, controller: usize, stack: &str) -> bool {
        self.ledgers.get(stack).is_some_and(|ledger| ledger.on_hold == Some(controller))
    }

    /// Before something is done to a stack.
    pub fn before_change(&mut self, actor: usize, stack: &str, what: &str) {
        if self.is_on_hold(controller(actor), stack) {
            self.breaks(ON_HOLD, format!("`{stack}` is {what}"));
        }
    }
}
