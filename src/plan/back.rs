//! Which version a stack goes back to: pure.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::compose::FINGERPRINT;
use crate::docker::service::Service;
use crate::fault::fault;
use crate::hold::Back;
use crate::plain;
use crate::state::{Motion, StackRow, StackStatus, Version};

/// So many digits tell a commit from others.
const FEWEST_DIGITS: usize = 4;
/// So many versions are named where none is meant.
const NAMED: usize = 10;

/// What is known of a stack that is to go back.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    pub row: &'a StackRow,
    pub motion: Option<&'a Motion>,
    /// The versions of it that converged, newest first.
    pub versions: &'a [Version],
    /// Its services, as Swarm has them.
    pub live: &'a [&'a Service],
    /// What it was rolled back to before.
    pub back: Option<&'a Back>,
}

impl<'a> Course<'a> {
    /// The newest version that converged and differs from the one that runs, is in motion or failed; of a stack that was
    /// rolled back one that is older than what it went back to. With `to` the newest of that commit.
    pub fn target(&self, to: Option<&str>) -> Result<&'a Version> {
        match to {
            Some(to) => self.at(to),
            None => self.before().ok_or_else(|| self.none()),
        }
    }

    /// The commits that are fled for `target`: of what runs, of what is in motion, and of what failed.
    pub fn fled(&self, target: &Version) -> Vec<String> {
        let mut fled = Vec::new();
        if let Some(back) = self.back {
            fled.clone_from(&back.fled);
            // Two people may go back to the same version.
            if self.was_tried(back) && !is_back(back, target) {
                fled.push(back.commit.clone());
            }
            fled.retain(|commit| *commit != target.commit || back.commit == target.commit);
            return fled;
        }
        let moving = self.motion.and_then(|motion| motion.given.as_ref()).map(|given| &given.commit);
        // What is gone back to may be what converged last.
        let newest = self.versions.first().filter(|newest| newest.id != target.id);
        let is_what_ran = newest.is_none() && self.row.status == StackStatus::Deployed;
        let recorded = self.row.commit.as_ref().filter(|_| !is_what_ran);
        for commit in [moving, recorded, newest.map(|newest| &newest.commit)].into_iter().flatten() {
            if !commit.is_empty() && !fled.contains(commit) {
                fled.push(commit.clone());
            }
        }
        fled
    }

    /// Whether what it was rolled back to came to run, or failed.
    fn was_tried(&self, back: &Back) -> bool {
        let failed = self.row.status == StackStatus::Error && self.row.commit.as_ref() == Some(&back.commit);
        failed || self.row.hash == back.hash || self.motion.is_some_and(|motion| motion.hash == back.hash)
    }

    /// Whether docker has just that version, as it was given.
    fn has(&self, version: &Version) -> bool {
        let is_it = |(name, image): (&String, &Option<String>)| {
            self.live.iter().any(|live| {
                live.name == *name
                    && !live.goes_back()
                    && live.labels.get(FINGERPRINT) == Some(&version.hash)
                    && image.as_ref().is_none_or(|image| *image == live.image)
            })
        };
        version.services.iter().all(is_it)
    }

    /// Whether that is what runs, as far as is recorded.
    fn runs(&self, version: &Version) -> bool {
        let is_at_rest = self.motion.is_none() && self.row.status == StackStatus::Deployed;
        is_at_rest && self.versions.first().is_some_and(|newest| is_same(version, newest))
    }

    fn at(&self, to: &str) -> Result<&'a Version> {
        let to = to.to_ascii_lowercase();
        let is_it = |version: &&Version| version.commit.starts_with(&to);
        let mut found: Vec<_> = self.versions.iter().filter(is_it).collect();
        let several = found.iter().any(|version| version.commit != found[0].commit);
        if to.len() < FEWEST_DIGITS || found.is_empty() || several {
            let which = match found.len() {
                0 => "no version that is kept has it",
                _ if several => "several versions have it",
                _ => "so few digits may be of any commit",
            };
            return Err(fault(
                format!(
                    "`{}` of `{}` ran at no commit `{}`: {which}",
                    self.row.name,
                    self.row.repository_url.shown(),
                    plain::name(&to)
                ),
                self.there(),
            ));
        }
        let commit = found[0].commit.get(..12).unwrap_or_default().to_owned();
        // What was rolled back to may be asked for again: by a second person, or to pin it.
        found.retain(|version| self.back.is_some_and(|back| is_back(back, version)) || !self.runs(version));
        found.into_iter().next().ok_or_else(|| {
            let name = &self.row.name;
            fault(
                format!("`{name}` runs as at {commit} already"),
                format!(
                    "`dockerops hold {name}` keeps it; `dockerops reconcile --force` deploys it once more"
                ),
            )
        })
    }

    fn before(&self) -> Option<&'a Version> {
        if let Some(back) = self.back {
            if !self.was_tried(back) {
                // Somebody said so already, and was cut off.
                return self.versions.iter().find(|version| is_back(back, version));
            }
            let at = self.versions.iter().rposition(|version| is_back(back, version))?;
            let older = self.versions.get(at + 1..).unwrap_or_default();
            let was_fled =
                |version: &Version| version.commit != back.commit && back.fled.contains(&version.commit);
            return older.iter().find(|version| !was_fled(version));
        }
        let newest = self.versions.first()?;
        if let Some(motion) = self.motion {
            let is_moving = |version: &&Version| version.hash == motion.hash && self.has(version);
            return self.versions.iter().find(|version| !is_moving(version));
        }
        // What failed may be what converged before, and was put back.
        if self.row.status == StackStatus::Error && !self.has(newest) {
            return Some(newest);
        }
        self.versions.iter().find(|version| !is_same(version, newest))
    }

    fn none(&self) -> anyhow::Error {
        let what = match (self.versions.len(), self.back) {
            (0, _) => format!("no version of `{}` is known that converged", self.row.name),
            (_, Some(back)) => {
                format!("no version of `{}` is known that is older than {}", self.row.name, back.short())
            }
            _ => format!("no version of `{}` is known but the one that runs", self.row.name),
        };
        fault(
            what,
            format!(
                "`dockerops history {}` tells what is kept; `git revert` and a push go back as well",
                self.row.name
            ),
        )
    }

    fn there(&self) -> String {
        let mut commits: Vec<_> = Vec::new();
        for version in self.versions {
            let commit = version.commit.get(..12).unwrap_or(&version.commit);
            if !commits.contains(&commit) {
                commits.push(commit);
            }
        }
        match commits.len() {
            0 => "none is kept so far".to_owned(),
            count => {
                let named: Vec<_> = commits.iter().take(NAMED).map(|commit| format!("`{commit}`")).collect();
                let more = count.saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!(
                    "kept are {}{more}; `dockerops history {}` tells more of them",
                    named.join(", "),
                    self.row.name
                )
            }
        }
    }
}

/// Whether both ran the same, by the same images.
fn is_same(one: &Version, other: &Version) -> bool {
    one.hash == other.hash && one.services == other.services
}

/// Whether that is the version that was rolled back to.
fn is_back(back: &Back, version: &Version) -> bool {
    version.commit == back.commit && images(version) == back.images
}

/// By which image each service of a version ran.
pub fn images(version: &Version) -> BTreeMap<String, String> {
    version.services.iter().filter_map(|(name, image)| Some((name.clone(), image.clone()?))).collect()
}
