//! How far a fetch has come, for whoever waits for it in another thread.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::budget::bytes;

#[derive(Debug)]
pub struct Transfer {
    begun: Instant,
    bytes: AtomicU64,
    objects: AtomicUsize,
    of: AtomicUsize,
}

impl Transfer {
    /// Of which nothing came so far.
    pub fn new() -> Self {
        let (bytes, objects, of) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { begun: Instant::now(), bytes, objects, of }
    }

    pub(super) fn note(&self, progress: &git2::Progress<'_>) {
        self.bytes.store(progress.received_bytes() as u64, Ordering::Relaxed);
        self.objects.store(progress.received_objects(), Ordering::Relaxed);
        self.of.store(progress.total_objects(), Ordering::Relaxed);
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = self.bytes.load(Ordering::Relaxed);
        if received == 0 {
            return f.write_str("nothing came so far");
        }
        let (objects, of) = (self.objects.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
        let rate = received.saturating_mul(1_000)
            / u64::try_from(self.begun.elapsed().as_millis()).map_or(1, |time| time.max(1));
        write!(f, "{objects} of {of} objects, {}, {}/s", bytes(received), bytes(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_objects_bytes_and_how_fast_they_come() {
        let begun = Instant::now().checked_sub(std::time::Duration::from_secs(2)).unwrap();
        let transfer = Transfer { begun, ..Transfer::new() };
        assert_eq!(transfer.to_string(), "nothing came so far");
        transfer.bytes.store(6 << 20, Ordering::Relaxed);
        transfer.objects.store(7, Ordering::Relaxed);
        transfer.of.store(9, Ordering::Relaxed);
        let told = transfer.to_string();
        assert!(told.starts_with("7 of 9 objects, 6 MiB, ") && told.ends_with("MiB/s"), "{told}");
    }
}
