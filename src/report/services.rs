//! A live service, as `status`, the page and the API tell it.

use std::time::Duration;

use chrono::{Local, SecondsFormat};
use serde::Serialize;

use super::harmless;
use crate::docker::service::Service;
use crate::health::ServiceVerdict;

#[derive(Debug, Serialize)]
pub struct LiveService {
    /// Its full name.
    pub name: String,
    pub image: String,
    /// Tasks that run, or that completed where they are to.
    pub running: u64,
    /// Those among them that completed.
    pub completed: u64,
    /// Tasks that should, as Git says.
    pub wanted: u64,
    /// How often a task was replaced because it had failed, as far as the task history tells.
    pub restarts: u64,
    /// About when that was the last time.
    pub last_restart: Option<String>,
    /// The error of its tasks that matters most, where it is not well.
    pub error: Option<String>,
}

impl LiveService {
    /// Tasks that run beyond those that should.
    pub fn surplus(&self) -> u64 {
        self.running.saturating_sub(self.wanted)
    }
}

pub fn live(service: &Service, verdict: &ServiceVerdict) -> LiveService {
    LiveService {
        name: service.name.clone(),
        image: service.summary.get("image").cloned().unwrap_or_default(),
        running: verdict.running,
        completed: verdict.completed,
        wanted: verdict.wanted,
        restarts: verdict.restarts,
        last_restart: verdict.last_restart.and_then(moment),
        error: verdict.error.as_deref().map(harmless),
    }
}

/// That long ago.
fn moment(age: Duration) -> Option<String> {
    let when = Local::now().checked_sub_signed(chrono::Duration::from_std(age).ok()?)?;
    Some(when.to_rfc3339_opts(SecondsFormat::Secs, false))
}
