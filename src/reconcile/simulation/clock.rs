//! The simulation's time, which only it moves.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::clock::Moment;

/// Since the story began.
pub type Millis = u64;

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// By the calendar.
pub fn wall(at: Millis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000 + i64::try_from(at).unwrap()).unwrap()
}

/// When that was, as text; 0 of what was before the story.
pub fn when(text: &str) -> Millis {
    let at = text.parse::<DateTime<Utc>>().unwrap() - wall(0);
    at.num_milliseconds().try_into().unwrap_or_default()
}

/// By both clocks.
pub fn moment(at: Millis) -> Moment {
    Moment { instant: *BEGUN + Duration::from_millis(at), wall: wall(at) }
}
