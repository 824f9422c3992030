//! A hold: a reason, a person and an end, that keeps a stack as it is. Knows neither git, docker nor the database.

mod window;

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
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Hand, Self::Manifest, Self::Window];

    /// The word in metrics, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Manifest => "manifest",
            Self::Window => "window",
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
}

impl Hold {
    /// Whether it has ended by itself.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// In words: `held by alice until 2026-11-24T08:00:00Z: the fix is not there`.
    pub fn sentence(&self) -> String {
        let mut words = match self.kind {
            Kind::Hand => format!("held by {}", self.by.as_deref().unwrap_or("somebody")),
            Kind::Manifest => "held by `hold` in `stacks.yaml`".to_owned(),
            Kind::Window => "outside its windows".to_owned(),
        };
        match (self.until, self.kind) {
            (Some(until), Kind::Window) => words += &format!(", the next one opens at {}", stamp(until)),
            (Some(until), _) => words += &format!(" until {}", stamp(until)),
            (None, Kind::Hand) => words += " until it is released",
            (None, _) => {}
        }
        match &self.reason {
            Some(reason) => format!("{words}: {reason}"),
            None => words,
        }
    }

    /// How it is ended by hand.
    pub fn way_out(&self, stack: &str) -> String {
        match self.kind {
            Kind::Hand => format!("`dockerops release {stack}` ends that"),
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
