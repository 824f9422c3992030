//! Images that were built: from which content, and what stacks refer to them by; or why not.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use rusqlite::params;

use super::{SourceRow, State, execute};
use crate::plain;

/// The last build of one image of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRow {
    /// `repository_cache.id` of its source.
    pub repository_id: i64,
    /// What it is tagged as.
    pub name: String,
    /// The id of all that decides what is built; empty where it was refused.
    pub content: String,
    /// The commit it was built, or tried, at.
    pub commit: String,
    /// What services run: by digest where it was pushed, by a tag of this node where not. After a failure, that
    /// of the last build that did not fail.
    pub reference: Option<String>,
    /// Why it failed, with the last lines of the output.
    pub error: Option<String>,
}

impl BuildRow {
    /// Whether it was not even tried, since another source builds an image of that name.
    pub fn was_refused(&self) -> bool {
        self.content.is_empty()
    }

    /// Whether a network cut it off: it is tried again whatever the source says.
    pub fn was_cut_off(&self) -> bool {
        self.error.is_some() && self.commit.is_empty()
    }
}

impl State {
    /// All builds of all sources, by name.
    pub fn builds(&self) -> Result<Vec<BuildRow>> {
        let mut query = self.connection.prepare_cached(
            "SELECT repository_id, name, content, commit_id, reference, error FROM builds
             ORDER BY name, repository_id",
        )?;
        let rows = query.query_map([], |row| {
            Ok(BuildRow {
                repository_id: row.get(0)?,
                name: row.get(1)?,
                content: row.get(2)?,
                commit: row.get(3)?,
                reference: row.get(4)?,
                error: row.get(5)?,
            })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the builds")
    }

    /// Writes what came of a build. Without a `reference` the earlier one stays.
    pub fn record_build(&self, build: &BuildRow) -> Result<()> {
        execute(
            &self.connection,
            "INSERT INTO builds (repository_id, name, content, commit_id, reference, error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT(repository_id, name) DO UPDATE
                 SET content = ?3, commit_id = ?4, reference = coalesce(?5, reference), error = ?6",
            params![
                build.repository_id,
                build.name,
                build.content,
                build.commit,
                build.reference,
                build.error.as_deref().map(plain::text)
            ],
        )
        .with_context(|| format!("cannot record the build of `{}`", build.name))?;
        Ok(())
    }

    /// Forgets the builds of a source that it does not list any more. Their images are tracked from now on, as those
    /// that were brought here: they go once nothing uses them.
    pub fn forget_builds(&self, source: &SourceRow, listed: &BTreeSet<String>) -> Result<()> {
        for build in self.builds()? {
            if build.repository_id == source.id && !listed.contains(&build.name) {
                if build.reference.is_some() {
                    self.track_image(&build.name)?;
                }
                execute(
                    &self.connection,
                    "DELETE FROM builds WHERE repository_id = ?1 AND name = ?2",
                    params![source.id, build.name],
                )
                .with_context(|| format!("cannot forget the build of `{}`", build.name))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_what_services_run_and_a_source_takes_its_builds_along() {
        let state = State::in_memory();
        let source = state.remember(&"u".into()).unwrap();
        let built = BuildRow {
            repository_id: source.id,
            name: "h/a:1".into(),
            content: "c1".into(),
            commit: "1".into(),
            reference: Some("h/a:1@sha256:x".into()),
            error: None,
        };
        state.record_build(&built).unwrap();
        assert_eq!(state.builds().unwrap(), vec![built.clone()]);
        let failed =
            BuildRow { content: "c2".into(), reference: None, error: Some("why".into()), ..built.clone() };
        state.record_build(&failed).unwrap();
        assert_eq!(state.builds().unwrap(), [BuildRow { reference: built.reference.clone(), ..failed }]);
        state.forget_builds(&source, &BTreeSet::from(["h/a:1".to_owned()])).unwrap();
        assert_eq!(state.builds().unwrap().len(), 1);
        state.forget_builds(&source, &BTreeSet::new()).unwrap();
        assert_eq!(state.builds().unwrap(), []);
        state.record_build(&built).unwrap();
        state.forget(&source).unwrap();
        assert_eq!(state.builds().unwrap(), []);
    }
}
