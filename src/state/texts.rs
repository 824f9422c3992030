//! What docker was given for a stack, as people may see it: the text that converged, and one that did not.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rusqlite::params;

use super::{State, execute};
use crate::source::SourceUrl;
use crate::stack::StackName;

pub(super) const OF_A_SOURCE: &str =
    "SELECT s.name, t.applied, t.attempted FROM stacks s JOIN stack_texts t ON t.stack_id = s.id
     WHERE s.repository_url = ?1";

/// The rendered texts of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// What was applied last, and converged.
    pub applied: Option<String>,
    /// What was tried after that, and failed.
    pub attempted: Option<String>,
}

impl State {
    /// The texts of the stacks of a source.
    pub fn texts(&self, repository_url: &SourceUrl) -> Result<BTreeMap<StackName, Texts>> {
        let mut query = self.connection.prepare_cached(OF_A_SOURCE)?;
        let rows = query.query_map(params![repository_url], |row| {
            let texts = Texts { applied: row.get(1)?, attempted: row.get(2)? };
            Ok((StackName::known(row.get::<_, String>(0)?), texts))
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the texts of the stacks")
    }

    /// Notes a text that converged, or did not, of a stack that was recorded.
    pub fn note_text(
        &self,
        name: &StackName,
        repository_url: &SourceUrl,
        text: &str,
        converged: bool,
    ) -> Result<()> {
        let (applied, attempted) = if converged { (Some(text), None) } else { (None, Some(text)) };
        execute(
            &self.connection,
            "INSERT INTO stack_texts (stack_id, applied, attempted)
                 SELECT id, ?3, ?4 FROM stacks WHERE name = ?1 AND repository_url = ?2
                 ON CONFLICT(stack_id) DO UPDATE SET applied = coalesce(?3, applied), attempted = ?4",
            params![name.as_str(), repository_url, applied, attempted],
        )
        .with_context(|| format!("cannot record the text of the stack `{name}`"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    #[test]
    fn a_failed_text_stands_beside_the_applied_one_until_one_converges() {
        let (state, name) = (State::in_memory(), StackName::known("web"));
        state.record(&Record::failed(&name, &"u".into())).unwrap();
        let texts = || state.texts(&"u".into()).unwrap().remove(&name).unwrap_or_default();
        let pair = |one: Option<&str>, two: Option<&str>| Texts {
            applied: one.map(Into::into),
            attempted: two.map(Into::into),
        };
        assert_eq!(texts(), Texts::default());
        for (text, converged, wanted) in [
            ("1", false, pair(None, Some("1"))),
            ("2", true, pair(Some("2"), None)),
            ("3", false, pair(Some("2"), Some("3"))),
            ("4", true, pair(Some("4"), None)),
        ] {
            state.note_text(&name, &"u".into(), text, converged).unwrap();
            assert_eq!(texts(), wanted);
        }
        state.forget_stack(&name, &"u".into()).unwrap();
        assert!(state.texts(&"u".into()).unwrap().is_empty());
    }
}
