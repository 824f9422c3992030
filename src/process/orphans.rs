//! Children that are not ours: as the first process of a container we inherit those whose parent is gone.
//!
//! docker leaves some behind (an ssh to another host, a helper of a call that was ended). Nobody else would
//! ever wait for them, and each would keep its process id.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitOptions, waitpid};

static OURS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<u32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child of ours, until it was waited for.
#[derive(Debug)]
pub struct Ours(u32);

impl Drop for Ours {
    fn drop(&mut self) {
        ours().remove(&self.0);
    }
}

/// Starts a child of ours, which `reap` leaves alone.
pub fn spawn(command: &mut Command) -> io::Result<(Child, Ours)> {
    let mut ours = ours();
    let child = command.spawn()?;
    ours.insert(child.id());
    let mark = Ours(child.id());
    Ok((child, mark))
}

/// Waits for the inherited children that have ended. Does nothing but as the first process.
pub fn reap() {
    if std::process::id() != 1 {
        return;
    }
    // Nothing is started meanwhile, so a child that is not known is none of ours.
    let ours = ours();
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in threads {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let inherited = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        for pid in inherited.filter(|pid| !ours.contains(pid)) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = waitpid(pid, WaitOptions::NOHANG);
        }
    }
}
