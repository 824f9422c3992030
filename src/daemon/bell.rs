//! Wakes the loop: a trigger from another thread, or a signal.
//!
//! A pair of sockets, because a signal handler may write to one and `poll` can wait for the other.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::signal;

/// Rings until it was heard.
#[derive(Debug)]
pub struct Bell {
    ear: UnixStream,
    rope: UnixStream,
}

impl Bell {
    /// Rung by hand, and by SIGHUP, SIGINT and SIGTERM.
    pub fn new() -> io::Result<Self> {
        let (ear, rope) = UnixStream::pair()?;
        ear.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        signal::ring(&rope)?;
        Ok(Self { ear, rope })
    }

    /// Never blocks: a bell that rings already needs no more.
    pub fn ring(&self) {
        let _ = (&self.rope).write(&[1]);
    }

    /// Sleeps until it rings, or so long; whether it rang.
    pub fn wait(&self, time: Duration) -> bool {
        if let Ok(time) = Timespec::try_from(time) {
            let _ = poll(&mut [PollFd::new(&self.ear, PollFlags::IN)], Some(&time));
        }
        let (mut heard, mut rang) = ([0; 64], false);
        loop {
            match (&self.ear).read(&mut heard) {
                Ok(count) if count == heard.len() => rang = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return rang || read.is_ok_and(|count| count > 0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn it_wakes_once_and_does_not_block_the_ringer() {
        let bell = Bell::new().unwrap();
        (0..100_000).for_each(|_| bell.ring());
        let begun = Instant::now();
        assert!(bell.wait(Duration::from_secs(20)));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(!bell.wait(Duration::from_millis(30)));
        assert!(begun.elapsed() >= Duration::from_millis(30));
    }
}
