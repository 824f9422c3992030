//! The key under which the Swarm is told of contents.

use anyhow::{Context, Result};
use rusqlite::OptionalExtension;

use super::State;
use crate::hash::Key;

impl State {
    /// `None` before the first stack is rendered.
    pub fn key(&self) -> Result<Option<Key>> {
        let text =
            self.connection.query_row("SELECT key FROM installation", [], |row| row.get::<_, String>(0));
        let text = text.optional().context("cannot read the key of this installation")?;
        text.map(|text| Key::from_hex(&text).context("the key of this installation is damaged")).transpose()
    }

    /// Notes the one key of this installation.
    pub fn note_key(&self, key: &Key) -> Result<()> {
        let added = self.connection.execute("INSERT INTO installation (key) VALUES (?1)", [key.to_hex()]);
        added.map(drop).context("cannot note the key of this installation")
    }
}
