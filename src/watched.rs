//! A watched source with its stacks, as the database knows them.

use anyhow::Result;

use crate::source::SourceId;
use crate::state::{BuildRow, Motion, SourceRow, StackRow, State};

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
}

/// All watched sources with their stacks.
pub fn watched(state: &State) -> Result<Vec<Watched>> {
    let (stacks, builds, motions) = (state.stacks()?, state.builds()?, state.motions()?);
    let with_stacks = |row: SourceRow| {
        let identity = row.url.id();
        let stacks = stacks.iter().filter(|stack| stack.repository_url == row.url).cloned().collect();
        let builds = builds.iter().filter(|build| build.repository_id == row.id).cloned().collect();
        let motions = motions.iter().filter(|motion| motion.repository_id == row.id).cloned().collect();
        Watched { row, identity, stacks, builds, motions }
    };
    Ok(state.sources()?.into_iter().map(with_stacks).collect())
}
