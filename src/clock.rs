//! What time it is: handed to those that decide by it, so that they can be asked about any time.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// The time by the calendar.
pub fn wall() -> DateTime<Utc> {
    #[cfg(test)]
    if let Some(set) = SET.get() {
        return set;
    }
    Utc::now()
}

#[cfg(test)]
thread_local! {
    /// What this thread takes for the time, where that is simulated.
    static SET: std::cell::Cell<Option<DateTime<Utc>>> = const { std::cell::Cell::new(None) };
}

/// From now on it is this time for this thread.
#[cfg(test)]
pub fn set(wall: DateTime<Utc>) {
    SET.set(Some(wall));
}

#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For how long something took: nobody sets this clock.
    pub instant: Instant,
    /// For what others noted, or another run did.
    pub wall: DateTime<Utc>,
}

impl Moment {
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: wall() }
    }

    /// How long ago `since` was; nothing of what is still to come.
    pub fn age(&self, since: DateTime<Utc>) -> Duration {
        (self.wall - since).to_std().unwrap_or_default()
    }
}
