//! SIGINT and SIGTERM, seen between two steps; for the daemon SIGHUP too.
//!
//! The handlers only set a flag, and ring where someone asked for it. Loops that wait ask `check`; a running
//! docker call is let end.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The run was asked to end by this signal. `main` turns it into exit code 128+n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted(pub i32);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.0 == SIGINT { "SIGINT" } else { "SIGTERM" };
        write!(f, "ended by {name}; what was done so far is recorded")
    }
}

impl std::error::Error for Interrupted {}

fn received_flag() -> &'static Arc<AtomicUsize> {
    static FLAG: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

/// Installs the handlers; call once, before the first step.
pub fn install() -> anyhow::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        let number = usize::try_from(signal)?;
        flag::register_usize(signal, Arc::clone(received_flag()), number)?;
    }
    Ok(())
}

/// The signal received so far, if any.
pub fn received() -> Option<Interrupted> {
    i32::try_from(received_flag().load(Ordering::Relaxed)).ok().filter(|number| *number != 0).map(Interrupted)
}

/// Fails with `Interrupted` once a signal has come.
pub fn check() -> anyhow::Result<()> {
    received().map_or(Ok(()), |interrupted| Err(interrupted.into()))
}

/// Sleeps, unless a signal asks the run to end.
pub fn pause(time: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        check()?;
        thread::sleep(Duration::from_millis(50).min(time));
    }
    check()
}

fn hangup_flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

/// From now on SIGHUP ends nothing but sets a flag, and all three signals write a byte to `bell`.
pub fn ring(bell: &UnixStream) -> io::Result<()> {
    flag::register(SIGHUP, Arc::clone(hangup_flag()))?;
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        low_level::pipe::register(signal, bell.try_clone()?)?;
    }
    Ok(())
}

/// Whether SIGHUP came since this was last asked.
pub fn take_hangup() -> bool {
    hangup_flag().swap(false, Ordering::Relaxed)
}
