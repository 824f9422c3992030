//! The two names of a source, which are never compared with each other: what it is, and what it was called.

use std::fmt;

use anyhow::Result;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;

use super::Source;
use crate::redact::without_credentials;

/// The canonical identity of a source, which labels carry: two sources with the same one are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SourceId(String);

impl SourceId {
    /// Only `Source` and `SourceUrl` know how one is spelled.
    pub(super) fn new(canonical: String) -> Self {
        Self(canonical)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are of one Git repository, at whatever reference and folder.
    pub fn shares_repository_with(&self, other: &Self) -> bool {
        let repository = |id: &Self| id.0.split('#').next().map(str::to_owned);
        repository(self) == repository(other)
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label is text that anybody may have written.
impl PartialEq<str> for SourceId {
    fn eq(&self, label: &str) -> bool {
        self.0 == label
    }
}

/// A source as it was watched: `repository_cache.url`, by which rows and people name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// As it would be watched.
    pub fn of(source: &Source) -> Self {
        Self(source.to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without credentials, which the older release stored.
    pub fn shown(&self) -> String {
        without_credentials(&self.0)
    }

    /// The source; an error where this release takes no such URL any more.
    pub fn parse(&self) -> Result<Source> {
        Source::parse(&self.0)
    }

    /// The identity of the source. One that this release cannot read is only itself: no label names it.
    pub fn id(&self) -> SourceId {
        self.parse().map_or_else(|_| SourceId(self.0.clone()), |source| source.id().clone())
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromSql for SourceUrl {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        String::column_result(value).map(Self)
    }
}

impl ToSql for SourceUrl {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

#[cfg(test)]
impl From<&str> for SourceId {
    fn from(canonical: &str) -> Self {
        Self(canonical.into())
    }
}

#[cfg(test)]
impl From<&str> for SourceUrl {
    fn from(url: &str) -> Self {
        Self(url.into())
    }
}
