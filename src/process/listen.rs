//! A program whose output may be of any size: heard part by part, and never held as a whole.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Call, Failure, LAST_WORDS, TICK, end, start};
use crate::signal;

/// So many bytes are read at once.
const PART: usize = 64 * 1024;
/// So many parts may be read and not heard yet: who hears slowly makes the program wait.
const AHEAD: usize = 4;

/// Which of its outputs a program wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pipe {
    Out,
    Err,
}

/// Runs `call` to its end, and gives what it prints as it comes. Whether it exited with 0. Ended at once, without grace,
/// when `stop` is set or a signal comes: only for what may be cut off anywhere.
pub fn listen(call: &Call, stop: &AtomicBool, on_part: &mut dyn FnMut(Pipe, &[u8])) -> Result<bool, Failure> {
    let (mut child, _ours) = start(call)?;
    let (sender, parts) = mpsc::sync_channel(AHEAD);
    let pipes: [(Pipe, Option<Box<dyn Read + Send>>); 2] = [
        (Pipe::Out, child.stdout.take().map(|pipe| Box::new(pipe) as _)),
        (Pipe::Err, child.stderr.take().map(|pipe| Box::new(pipe) as _)),
    ];
    for (name, pipe) in pipes {
        let sender = sender.clone();
        thread::spawn(move || {
            let Some(mut pipe) = pipe else { return };
            let mut part = vec![0; PART];
            loop {
                match pipe.read(&mut part) {
                    Ok(read @ 1..) if sender.send((name, part[..read].to_vec())).is_ok() => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => return,
                }
            }
        });
    }
    drop(sender);
    let begun = Instant::now();
    let mut ended: Option<(bool, Instant)> = None;
    loop {
        let (mut is_silent, mut all_said) = (false, false);
        match parts.recv_timeout(TICK) {
            Ok((name, part)) => on_part(name, &part),
            Err(RecvTimeoutError::Timeout) => is_silent = true,
            // Its output has ended, and so it is about to.
            Err(RecvTimeoutError::Disconnected) => {
                all_said = true;
                thread::sleep(Duration::from_millis(1));
            }
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status.success(), Instant::now() + LAST_WORDS));
        }
        if let Some((success, until)) = ended
            && (all_said || is_silent && Instant::now() >= until)
        {
            return Ok(success);
        }
        if begun.elapsed() >= call.limit || stop.load(Ordering::Relaxed) || signal::received().is_some() {
            if ended.is_none() {
                end(&mut child);
            }
            return Err(Failure::TimedOut(begun.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn call(script: &str, limit: u64) -> Call {
        Call {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            folder: None,
            input: None,
            limit: Duration::from_secs(limit),
        }
    }

    #[test]
    fn both_outputs_are_heard_whole_and_told_apart() {
        let (mut out, mut err) = (0, 0);
        let script = "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3";
        let success = listen(&call(script, 30), &AtomicBool::new(false), &mut |pipe, part| match pipe {
            Pipe::Out => out += part.len(),
            Pipe::Err => err += part.len(),
        });
        assert_eq!((success.unwrap(), out, err), (false, 3_000_000, 1_000_000));
    }

    #[test]
    fn one_that_never_ends_is_ended_by_its_limit_and_by_who_has_heard_enough() {
        let (begun, stop, mut heard) = (Instant::now(), AtomicBool::new(false), 0);
        let failure = listen(&call("yes", 60), &stop, &mut |_, part| {
            heard += part.len();
            stop.store(heard > 1_000_000, Ordering::Relaxed);
        });
        assert!(matches!(failure, Err(Failure::TimedOut(_))) && heard < 3_000_000, "{heard}");
        let failure = listen(&call("yes", 1), &AtomicBool::new(false), &mut |_, _| ());
        assert!(matches!(failure, Err(Failure::TimedOut(_))));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
