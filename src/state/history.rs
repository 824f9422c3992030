//! The versions of each stack that converged: what ran, by which images, since when and why.
//!
//! So many of a stack are kept, each with a text of at most 64 KiB; they go with their stack.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Given, GivenHow, State, Versions, execute, now, query_row};
use crate::plain;
use crate::source::SourceUrl;
use crate::stack::StackName;

/// So many bytes of a text are kept.
const MOST_TEXT: usize = 64 << 10;
/// So many letters of a reason.
const MOST_LETTERS: usize = 1_000;

pub(super) const OF_A_STACK: &str =
    "SELECT id, time, times, commit_id, hash, how, reason, seconds, services, versions, text FROM history
     WHERE stack_id = (SELECT id FROM stacks WHERE name = ?1 AND repository_url = ?2) ORDER BY id DESC LIMIT ?3";
/// What tells a version from others, and what it needs: the texts are not read for that.
pub(super) const NEEDED: &str =
    "SELECT hash, services, versions FROM history WHERE stack_id = ?1 ORDER BY id DESC";

/// A version of a stack that converged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Grows with time.
    pub id: i64,
    /// When it converged last, RFC 3339, local.
    pub time: String,
    /// How often in a row: it drifted and was put back, say, or was deployed by force.
    pub times: u32,
    /// The commit that it was last deployed at.
    pub commit: String,
    /// Its fingerprint.
    pub hash: String,
    /// By what it came, the first time.
    pub how: GivenHow,
    /// Why, likewise.
    pub reason: String,
    /// How long that took.
    pub seconds: u32,
    /// Its services by full name, each with the image, and its digest, that it ran.
    pub services: BTreeMap<String, Option<String>>,
    /// Its configs and secrets that have a content in their name.
    pub versions: Versions,
    /// What docker was given, as people may see it.
    pub text: String,
}

/// What converged, to be noted.
#[derive(Debug)]
pub struct Ran<'a> {
    pub given: &'a Given,
    pub hash: &'a str,
    pub seconds: u32,
    pub services: BTreeMap<String, Option<String>>,
    /// So many versions of the stack are kept.
    pub most: usize,
}

/// What a version needs beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    pub services: BTreeMap<String, Option<String>>,
    pub versions: Versions,
}

/// Notes a version, in the transaction that records that it converged. What is the newest already only counts there,
/// so that drift pushes out nothing.
pub(super) fn note(transaction: &Connection, stack: i64, ran: &Ran<'_>) -> Result<()> {
    let (given, services) = (ran.given, serde_json::to_string(&ran.services)?);
    let again = execute(
        transaction,
        "UPDATE history SET time = ?4, times = times + 1, commit_id = ?5
         WHERE id = (SELECT max(id) FROM history WHERE stack_id = ?1) AND hash = ?2 AND services = ?3",
        params![stack, ran.hash, services, now(), given.commit],
    )?;
    if again == 0 {
        let reason: String = plain::text(&given.reason).chars().take(MOST_LETTERS).collect();
        execute(
            transaction,
            "INSERT INTO history
                 (stack_id, time, times, commit_id, hash, how, reason, seconds, services, versions, text)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                stack,
                now(),
                given.commit,
                ran.hash,
                given.how.as_str(),
                reason,
                ran.seconds,
                services,
                serde_json::to_string(&given.versions)?,
                bounded(&given.text),
            ],
        )?;
    }
    let oldest = "DELETE FROM history WHERE stack_id = ?1 AND id <=
         (SELECT id FROM history WHERE stack_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    execute(transaction, oldest, params![stack, i64::try_from(ran.most)?])?;
    Ok(())
}

/// Forgets the versions of a stack that runs no more.
pub(super) fn forget(transaction: &Connection, stack: i64) -> rusqlite::Result<usize> {
    execute(transaction, "DELETE FROM history WHERE stack_id = ?1", params![stack])
}

/// A text as it is kept: whole lines of it, and how much is not.
fn bounded(text: &str) -> String {
    if text.len() <= MOST_TEXT {
        return text.to_owned();
    }
    let end = (0..=MOST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let end = text[..end].rfind('\n').map_or(end, |line| line + 1);
    format!("{}# {} more bytes are not kept\n", &text[..end], text.len() - end)
}

impl State {
    /// The versions of a stack that converged and are kept, newest first.
    pub fn history(&self, name: &StackName, repository_url: &SourceUrl) -> Result<Vec<Version>> {
        self.newest_versions(name, repository_url, usize::MAX)
    }

    /// Likewise, at most so many.
    pub fn newest_versions(
        &self,
        name: &StackName,
        repository_url: &SourceUrl,
        most: usize,
    ) -> Result<Vec<Version>> {
        let mut query = self.connection.prepare_cached(OF_A_STACK)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = query.query_map(params![name.as_str(), repository_url, most], |row| {
            Ok(Version {
                id: row.get(0)?,
                time: row.get(1)?,
                times: row.get(2)?,
                commit: row.get(3)?,
                hash: row.get(4)?,
                how: GivenHow::parse(&row.get::<_, String>(5)?),
                reason: row.get(6)?,
                seconds: row.get(7)?,
                services: serde_json::from_str(&row.get::<_, String>(8)?).unwrap_or_default(),
                versions: serde_json::from_str(&row.get::<_, String>(9)?).unwrap_or_default(),
                text: row.get(10)?,
            })
        })?;
        let versions = rows.collect::<rusqlite::Result<_>>();
        versions.with_context(|| format!("cannot read the history of the stack `{name}`"))
    }

    /// What the newest versions of a stack need, so many that differ; the one that runs is the first of them.
    pub fn needed_by_versions(
        &self,
        name: &StackName,
        repository_url: &SourceUrl,
        newest: usize,
    ) -> Result<Vec<Needed>> {
        let select = "SELECT id FROM stacks WHERE name = ?1 AND repository_url = ?2";
        let known = params![name.as_str(), repository_url];
        let id = query_row(&self.connection, select, known, |row| row.get(0)).optional()?;
        id.map_or(Ok(Vec::new()), |id| self.needed(id, newest))
            .with_context(|| format!("cannot read what versions of the stack `{name}` need"))
    }

    /// By which images the newest versions of all stacks ran, so many of each that differ.
    pub fn images_of_versions(&self, newest: usize) -> Result<BTreeSet<String>> {
        let mut images = BTreeSet::new();
        let mut query = self.connection.prepare_cached("SELECT id FROM stacks")?;
        let ids = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>();
        for id in ids.context("cannot read the stacks")? {
            let needed = self.needed(id, newest).context("cannot read by which images versions ran")?;
            images.extend(needed.into_iter().flat_map(|needed| needed.services.into_values().flatten()));
        }
        Ok(images)
    }

    fn needed(&self, stack: i64, newest: usize) -> Result<Vec<Needed>> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        let mut query = self.connection.prepare_cached(NEEDED)?;
        let mut rows = query.query([stack])?;
        while all.len() < newest
            && let Some(row) = rows.next()?
        {
            let (hash, services): (String, String) = (row.get(0)?, row.get(1)?);
            let parsed = serde_json::from_str(&services).unwrap_or_default();
            if seen.insert((hash, services)) {
                let versions = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
                all.push(Needed { services: parsed, versions });
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
