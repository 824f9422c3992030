//! What time it is: handed to those that decide by it, so that they can be asked about any time.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For how long something took: nobody sets this clock.
    pub instant: Instant,
    /// For what others noted, or another run did.
    pub wall: DateTime<Utc>,
}

impl Moment {
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: Utc::now() }
    }

    /// How long ago `since` was; nothing of what is still to come.
    pub fn age(&self, since: DateTime<Utc>) -> Duration {
        (self.wall - since).to_std().unwrap_or_default()
    }
}
