//! Images: how many services use each, over all sources, and which were there before DockerOps.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use rusqlite::params;

use super::{State, execute};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// Its reference.
    pub name: String,
    /// How many services use it.
    pub reference_count: i64,
    /// Whether it lay on this node before DockerOps deployed it: such an image is never removed.
    pub foreign: bool,
}

impl State {
    /// All tracked images, by name.
    pub fn images(&self) -> Result<Vec<ImageRow>> {
        let mut query = self.connection.prepare_cached(
            "SELECT name, reference_count, name IN (SELECT name FROM foreign_images) FROM images ORDER BY name",
        )?;
        let rows = query.query_map([], |row| {
            Ok(ImageRow { name: row.get(0)?, reference_count: row.get(1)?, foreign: row.get(2)? })
        })?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the images")
    }

    /// All that lay on this node before DockerOps tracked it, by tag and by digest.
    pub fn foreign_images(&self) -> Result<BTreeSet<String>> {
        let mut query = self.connection.prepare_cached("SELECT name FROM foreign_images")?;
        let rows = query.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>().context("cannot read the images that were there before")
    }

    /// Counts anew, from the services of all stacks. An image that no service uses keeps its row with 0.
    pub fn recount_images(&self) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        execute(&transaction, "UPDATE images SET reference_count = 0", [])?;
        execute(
            &transaction,
            "INSERT INTO images (name, reference_count)
             SELECT image, count(*) FROM stack_services WHERE image IS NOT NULL GROUP BY image
             ON CONFLICT(name) DO UPDATE SET reference_count = excluded.reference_count",
            [],
        )?;
        transaction.commit().context("cannot count the images")
    }

    /// Tracks an image that was brought to this node, before any service is known to use it.
    pub fn track_image(&self, name: &str) -> Result<()> {
        let insert = "INSERT OR IGNORE INTO images (name, reference_count) VALUES (?1, 0)";
        execute(&self.connection, insert, params![name]).context("cannot track an image")?;
        Ok(())
    }

    /// By which digests the services of the watched sources ran each tracked image: image → `app@sha256:…`.
    pub fn image_digests(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut query = self.connection.prepare_cached("SELECT image, reference FROM image_digests")?;
        let mut rows = query.query([])?;
        let mut digests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            digests.entry(row.get(0)?).or_default().insert(row.get(1)?);
        }
        Ok(digests)
    }

    /// Notes digests, by their image.
    pub fn note_digests(&self, digests: &BTreeSet<(String, String)>) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        for (image, reference) in digests {
            let insert = "INSERT OR IGNORE INTO image_digests (image, reference) VALUES (?1, ?2)";
            execute(&transaction, insert, params![image, reference])?;
        }
        transaction.commit().context("cannot note the digests of images")
    }

    /// Forgets a digest that is gone.
    pub fn forget_digest(&self, image: &str, reference: &str) -> Result<()> {
        let delete = "DELETE FROM image_digests WHERE image = ?1 AND reference = ?2";
        execute(&self.connection, delete, params![image, reference]).context("cannot forget a digest")?;
        Ok(())
    }

    /// Forgets an image that is gone, unless a service uses it.
    pub fn forget_image(&self, name: &str) -> Result<()> {
        let delete = "DELETE FROM images WHERE name = ?1 AND reference_count = 0";
        execute(&self.connection, delete, params![name]).context("cannot forget an image")?;
        Ok(())
    }

    /// What was found when images that nothing uses were last looked at, and stayed.
    pub fn kept_images(&self) -> Result<Option<String>> {
        let mut query = self.connection.prepare_cached("SELECT found FROM kept_images")?;
        let mut rows = query.query([])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }

    /// Notes what was found; `None` where they are to be looked at again in any case.
    pub fn note_kept_images(&self, found: Option<&str>) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        execute(&transaction, "DELETE FROM kept_images", [])?;
        if let Some(found) = found {
            execute(&transaction, "INSERT INTO kept_images (found) VALUES (?1)", params![found])?;
        }
        transaction.commit().context("cannot note which images stay")
    }

    /// Forgets what Swarm went back from for these services: they run what they were given last.
    pub fn forget_failed_rolls<'a>(&self, services: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for service in services {
            let delete = "DELETE FROM failed_rolls WHERE service = ?1";
            execute(&self.connection, delete, params![service])
                .context("cannot forget a roll that failed")?;
        }
        Ok(())
    }

    /// The image with digest that Swarm last went back from for `service`.
    pub fn failed_roll(&self, service: &str) -> Result<Option<String>> {
        let mut query =
            self.connection.prepare_cached("SELECT image FROM failed_rolls WHERE service = ?1")?;
        let mut rows = query.query([service])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }

    /// Notes which of `names` lay on this node before DockerOps tracked them.
    pub fn note_foreign_images(&self, names: &BTreeSet<String>) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        for name in names {
            execute(
                &transaction,
                "INSERT OR IGNORE INTO foreign_images (name) SELECT ?1 WHERE ?1 NOT IN (SELECT name FROM images)",
                params![name],
            )?;
        }
        transaction.commit().context("cannot note the images that were there before")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::StackName;
    use crate::state::{AppliedService, Record, StackStatus};
    use std::collections::BTreeMap;

    fn deploy(state: &State, source: &str, images: &[(&str, &str)]) {
        let (name, url) = (StackName::known(source), source.into());
        let services = images.iter().map(|(service, image)| {
            ((*service).to_owned(), AppliedService { image: Some((*image).into()), spec: BTreeMap::new() })
        });
        let record = Record {
            status: StackStatus::Deployed,
            hash: Some("h"),
            services: Some(services.collect()),
            ..Record::failed(&name, &url)
        };
        state.record(&record).unwrap();
        state.recount_images().unwrap();
    }

    #[test]
    fn two_sources_share_the_count_and_an_unused_image_keeps_its_row() {
        let state = State::in_memory();
        state.note_foreign_images(&BTreeSet::from(["b".to_owned()])).unwrap();
        deploy(&state, "one", &[("one_x", "a"), ("one_y", "b")]);
        deploy(&state, "two", &[("two_x", "a")]);
        state.note_foreign_images(&BTreeSet::from(["a".to_owned()])).unwrap();
        let counts = |state: &State| -> Vec<_> {
            state
                .images()
                .unwrap()
                .into_iter()
                .map(|row| (row.name, row.reference_count, row.foreign))
                .collect()
        };
        assert_eq!(counts(&state), [("a".to_owned(), 2, false), ("b".to_owned(), 1, true)]);
        deploy(&state, "one", &[("one_x", "a")]);
        assert_eq!(counts(&state), [("a".to_owned(), 2, false), ("b".to_owned(), 0, true)]);
    }
}
