//! A watched source with its stacks, as the database knows them.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::Result;

use crate::source::SourceId;
use crate::stack::StackName;
use crate::state::{BuildRow, Edition, HoldRow, Motion, OnHold, SourceRow, StackRow, State};

/// A watched source with its stacks.
#[derive(Debug, Clone)]
pub struct Watched {
    pub row: SourceRow,
    /// Its identity, as labels have it.
    pub identity: SourceId,
    pub stacks: Vec<StackRow>,
    /// The images it built, or tried to.
    pub builds: Vec<BuildRow>,
    /// What docker was given for it, and nobody has seen the end of.
    pub motions: Vec<Motion>,
    /// The holds by hand on it and its stacks.
    pub holds: Vec<HoldRow>,
    /// The stacks of it that a hold keeps as they are.
    pub on_hold: Vec<OnHold>,
}

impl Watched {
    /// All its stacks that the database knows of.
    pub fn names(&self) -> BTreeSet<&StackName> {
        let rows = self.stacks.iter().map(|row| &row.name);
        let moving = self.motions.iter().map(|motion| &motion.name);
        let held = self.holds.iter().filter_map(|row| row.stack.as_ref());
        rows.chain(moving).chain(self.on_hold.iter().map(|stack| &stack.name)).chain(held).collect()
    }

    /// Whether the database knows of that stack.
    pub fn knows(&self, name: &StackName) -> bool {
        self.names().contains(name)
    }
}

/// All watched sources with their stacks.
pub fn watched(state: &State) -> Result<Vec<Watched>> {
    watched_since(state, &[])
}

/// Likewise, where these were read before.
fn watched_since(state: &State, before: &[Watched]) -> Result<Vec<Watched>> {
    let (mut stacks, mut builds, mut motions) = (state.stacks()?, state.builds()?, state.motions()?);
    let (mut holds, mut on_hold) = (state.holds()?, state.on_hold()?);
    let with_stacks = |row: SourceRow| {
        let known = before.iter().find(|known| known.row.url == row.url);
        let identity = known.map_or_else(|| row.url.id(), |known| known.identity.clone());
        let stacks = stacks.extract_if(.., |stack| stack.repository_url == row.url).collect();
        let builds = builds.extract_if(.., |build| build.repository_id == row.id).collect();
        let motions = motions.extract_if(.., |motion| motion.repository_id == row.id).collect();
        let holds = holds.extract_if(.., |hold| hold.repository_id == row.id).collect();
        let on_hold = on_hold.extract_if(.., |stack| stack.repository_id == row.id).collect();
        Watched { row, identity, stacks, builds, motions, holds, on_hold }
    };
    Ok(state.sources()?.into_iter().map(with_stacks).collect())
}

/// The watched sources, read again only where anybody wrote to the database meanwhile.
#[derive(Debug, Default)]
pub struct Known {
    edition: Option<Edition>,
    watched: Rc<Vec<Watched>>,
}

impl Known {
    /// All of them, as they are now.
    pub fn read(&mut self, state: &State) -> Result<Rc<Vec<Watched>>> {
        let edition = Some(state.edition()?);
        if self.edition != edition {
            self.watched = Rc::new(watched_since(state, &self.watched)?);
            self.edition = edition;
        }
        Ok(Rc::clone(&self.watched))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_writes_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let (own, other) = (State::open(&path).unwrap(), State::open(&path).unwrap());
        let mut known = Known::default();
        let mut count = |state: &State| known.read(state).unwrap().len();
        assert_eq!(count(&own), 0);
        own.remember(&"https://h/a".into()).unwrap();
        assert_eq!(count(&own), 1);
        let row = other.remember(&"https://h/b".into()).unwrap();
        assert_eq!(count(&own), 2);
        // Two connections that have seen as many changes are not one.
        other.forget(&row).unwrap();
        assert_eq!(count(&State::open(&path).unwrap()), 1);
        own.clear().unwrap();
        assert_eq!(count(&own), 0);
    }

    #[test]
    fn what_nobody_writes_to_is_read_once() {
        let state = State::in_memory();
        state.remember(&"https://h/a".into()).unwrap();
        let mut known = Known::default();
        assert!(Rc::ptr_eq(&known.read(&state).unwrap(), &known.read(&state).unwrap()));
    }
}
