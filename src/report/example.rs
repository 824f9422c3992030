//! A stack as it is told, for tests.

use super::status::{Stack, StackState};
use crate::health::Health;
use crate::stack::DriftPolicy;

impl Stack {
    /// One that is well, for tests to fill in.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.into(),
            repository: String::new(),
            source: "".into(),
            compose_path: String::new(),
            status: StackState::Deployed,
            hash: String::new(),
            commit: None,
            converged: None,
            error: None,
            stays: None,
            health: Health::Healthy,
            why: None,
            degraded_since: None,
            held: false,
            hold: None,
            drift_policy: DriftPolicy::Correct,
            updating: false,
            drift: Vec::new(),
            services: Vec::new(),
            rendered: None,
        }
    }
}

impl super::holds::StackHold {
    /// One by hand, as it is told.
    pub fn of_hand(sentence: &str) -> Self {
        Self {
            kind: crate::hold::Kind::Hand,
            reason: None,
            by: Some("alice".into()),
            since: None,
            until: None,
            to: None,
            change: None,
            behind: 0,
            sentence: sentence.into(),
        }
    }
}
