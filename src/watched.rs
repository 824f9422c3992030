//! A watched source with its stacks, as the database knows them.

use anyhow::Result;

use crate::source::Source;
use crate::state::{SourceRow, StackRow, State};

/// A watched source with its stacks.
#[derive(Debug)]
pub struct Watched {
    /// Its row.
    pub row: SourceRow,
    /// Its identity, as labels have it.
    pub identity: String,
    /// Its stacks.
    pub stacks: Vec<StackRow>,
}

/// All watched sources with their stacks.
pub fn watched(state: &State) -> Result<Vec<Watched>> {
    let stacks = state.stacks()?;
    let with_stacks = |row: SourceRow| {
        let identity =
            Source::parse(&row.url).map_or_else(|_| row.url.clone(), |source| source.id().to_owned());
        let stacks = stacks.iter().filter(|stack| stack.repository_url == row.url).cloned().collect();
        Watched { row, identity, stacks }
    };
    Ok(state.sources()?.into_iter().map(with_stacks).collect())
}
