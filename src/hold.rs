//! A hold: a reason, a person and an end, that keeps a stack as it is. Knows neither git, docker nor the database.

mod window;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

pub use window::Window;

/// The label of the Swarm config that a hold by hand is kept in, so that a lost database forgets none. Services are not
/// touched for it: a label that is set on one whose update Swarm has paused lets that update go on.
pub const LABEL: &str = "dockerops.hold";

/// What a hold comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person: `dockerops hold`, the API or the page.
    Hand,
    /// `hold` in `stacks.yaml`.
    Manifest,
    /// `windows` in `stacks.yaml`, none of which is open.
    Window,
    /// A person, who rolled it back.
    Rollback,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Hand, Self::Manifest, Self::Window, Self::Rollback];

    /// The word in metrics, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Manifest => "manifest",
            Self::Window => "window",
            Self::Rollback => "rollback",
        }
    }
}

/// Why a stack stays as it is, by whom, since when and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub kind: Kind,
    /// In the words of the person.
    pub reason: Option<String>,
    /// Who; nobody where a file says it.
    pub by: Option<String>,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
    /// When it ends by itself; `None` where it does not.
    pub until: Option<DateTime<Utc>>,
    /// The version that it keeps, of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Box<Back>>,
}

/// The version that a stack was rolled back to, and those it fled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// Its commit.
    pub commit: String,
    /// By which image each of its services ran, by full name.
    pub images: BTreeMap<String, String>,
    /// The fingerprint of what docker is given for it.
    pub hash: String,
    /// The commits of what ran and of what failed. It ends where the source says something else of the stack.
    pub fled: Vec<String>,
    /// Whether it stays even then.
    pub pinned: bool,
    /// The hold by hand that was there before, which counts again once this ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Hold>>,
}

impl Back {
    /// The first digits of its commit, for people.
    pub fn short(&self) -> &str {
        self.commit.get(..12).unwrap_or(&self.commit)
    }
}

impl Hold {
    /// Whether it has ended by itself.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The hold by hand that a person set, before it was rolled back or not.
    pub fn by_hand(&self) -> Option<&Self> {
        match &self.back {
            Some(back) => back.before.as_deref(),
            None => Some(self).filter(|hold| hold.kind == Kind::Hand),
        }
    }

    /// In words: `held by alice until 2026-11-24T08:00:00Z: the fix is not there`.
    pub fn sentence(&self) -> String {
        let mut words = match self.kind {
            Kind::Hand => format!("held by {}", self.by.as_deref().unwrap_or("somebody")),
            Kind::Manifest => "held by `hold` in `stacks.yaml`".to_owned(),
            Kind::Window => "outside its windows".to_owned(),
            Kind::Rollback => {
                let to = self.back.as_deref().map_or("", Back::short);
                format!("rolled back to {to} by {}", self.by.as_deref().unwrap_or("somebody"))
            }
        };
        match (self.until, self.kind) {
            (Some(until), Kind::Window) => words += &format!(", the next one opens at {}", stamp(until)),
            (Some(until), _) => words += &format!(" until {}", stamp(until)),
            (None, Kind::Hand) => words += " until it is released",
            (None, Kind::Rollback) if self.back.as_ref().is_some_and(|back| back.pinned) => {
                words += ", pinned until it is released";
            }
            (None, Kind::Rollback) => words += " until its source has another version than the one it fled",
            (None, _) => {}
        }
        match &self.reason {
            Some(reason) => format!("{words}: {reason}"),
            None => words,
        }
    }

    /// Why a stack is deployed that goes back.
    pub fn reason_to_go_back(&self) -> String {
        let to = self.back.as_deref().map_or("", Back::short);
        match &self.reason {
            Some(reason) => format!("rolled back to {to}: {reason}"),
            None => format!("rolled back to {to}"),
        }
    }

    /// How it is ended by hand.
    pub fn way_out(&self, stack: &str) -> String {
        match self.kind {
            Kind::Hand | Kind::Rollback => format!("`dockerops release {stack}` ends that"),
            Kind::Manifest => "take `hold` out of `stacks.yaml` to end that".to_owned(),
            Kind::Window => "`dockerops reconcile --force` does not wait for a window".to_owned(),
        }
    }
}

/// A time as people and programs read it.
pub fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_says_who_until_when_and_why() {
        let until = "2026-11-24T08:00:00Z".parse().ok();
        let hold = Hold {
            kind: Kind::Hand,
            reason: Some("the fix is not there".into()),
            by: Some("alice".into()),
            since: None,
            until,
            back: None,
        };
        assert_eq!(hold.sentence(), "held by alice until 2026-11-24T08:00:00Z: the fix is not there");
        let forever = Hold { until: None, reason: None, ..hold.clone() };
        assert_eq!(forever.sentence(), "held by alice until it is released");
        let window = Hold { kind: Kind::Window, reason: None, ..hold.clone() };
        assert_eq!(window.sentence(), "outside its windows, the next one opens at 2026-11-24T08:00:00Z");
        let manifest = Hold { kind: Kind::Manifest, until: None, ..hold.clone() };
        assert_eq!(manifest.sentence(), "held by `hold` in `stacks.yaml`: the fix is not there");
        let at = |text: &str| text.parse().unwrap();
        assert!(!hold.is_over(at("2026-11-24T07:59:59Z")) && hold.is_over(at("2026-11-24T08:00:00Z")));
        assert!(!forever.is_over(at("2126-11-24T08:00:00Z")));
    }
}
