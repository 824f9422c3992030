//! How much memory git's library may hold: a repository decides about its size, not about this program's life.
//!
//! libgit2 unpacks an object whole wherever a delta, a tree or a list of refs makes it, and a few hundred bytes can
//! ask for gigabytes. Its allocator is replaced by one with an end. A request that is too large comes back empty,
//! which libgit2 takes for "out of memory": an error of this source.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Error;

use super::worker::{self, Pulse, TICK};
use crate::budget::bytes;
use crate::fault::fault;

/// Smaller requests are granted until `HARD` is reached: every list that grows without end asks for a larger one
/// sooner or later, and there libgit2 surely looks whether it got it.
const LARGE: usize = 16 << 10;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static HELD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// What this thread may hold of it, and holds; what other threads free of it is not seen.
    static OWN: Cell<(usize, usize)> = const { Cell::new((usize::MAX, 0)) };
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// How many threads are at work within the limit.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

struct AtWork;

impl AtWork {
    fn begin() -> Self {
        AT_WORK.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether nobody else takes of the memory.
pub(super) fn is_alone() -> bool {
    AT_WORK.load(Ordering::Relaxed) == 1
}

/// Waits until nobody takes of the memory, for so long at most; whether that came.
pub(super) fn wait_alone(longest: Duration, pulse: &Pulse) -> bool {
    let begun = Instant::now();
    while AT_WORK.load(Ordering::Relaxed) > 0 {
        if begun.elapsed() > longest || !pulse.beat() {
            return false;
        }
        std::thread::sleep(TICK);
    }
    true
}

/// There was no room for a repository; beside fewer others there may be.
#[derive(Debug)]
pub struct NoRoom(usize);

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git needs more than {} of memory for it", bytes(self.0 as u64))
    }
}

impl std::error::Error for NoRoom {}

/// What `work` comes to in a thread of its own; as `NoRoom` where it failed for want of memory. `share` is the part
/// of all memory that it may have, one by so much.
pub(super) fn within<T>(share: usize, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let _at_work = AtWork::begin();
    let limit = LIMIT.load(Ordering::Relaxed) / share;
    OWN.set((limit, 0));
    REFUSED.set(false);
    work().map_err(|error| {
        if !REFUSED.get() {
            return error;
        }
        let hint = "it holds large files, or very many: raise `DOCKEROPS_GIT_MEMORY` if that is meant";
        fault(format!("{error:#}"), hint).context(NoRoom(limit))
    })
}

/// Whether this thread was refused memory since its work began.
pub(super) fn was_refused() -> bool {
    REFUSED.get()
}

/// What is tried anew is not held to an earlier refusal.
pub(super) fn forget_refusal() {
    REFUSED.set(false);
}

/// Gives libgit2 its allocator. What it holds already came from the same `malloc`.
#[expect(unsafe_code, reason = "libgit2 takes an allocator only as a C structure of functions")]
pub(super) fn bound(limit: u64) -> Result<(), git2::Error> {
    LIMIT.store(usize::try_from(limit).unwrap_or(usize::MAX), Ordering::Relaxed);
    let allocator = Allocator { malloc: allocate, realloc: reallocate, free: release };
    let option = libgit2_sys::GIT_OPT_SET_ALLOCATOR.cast_signed();
    // SAFETY: libgit2 1.8 and later copy this very structure; the caller does it before any other thread uses it.
    let code = unsafe { libgit2_sys::git_libgit2_opts(option, &raw const allocator) };
    if code < 0 { Err(git2::Error::last_error(code)) } else { Ok(()) }
}

/// `git_allocator` of libgit2's `sys/alloc.h`.
#[repr(C)]
struct Allocator {
    malloc: extern "C" fn(usize, *const c_char, c_int) -> *mut c_void,
    realloc: extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void,
    free: extern "C" fn(*mut c_void),
}

/// Whether `more` bytes beside what is held are granted.
fn grants(more: usize, size: usize) -> bool {
    let (limit, own) = OWN.get();
    let all = LIMIT.load(Ordering::Relaxed);
    let held = HELD.load(Ordering::Relaxed);
    // What small requests may add is bounded as well.
    let slack = |limit: usize| if size < LARGE { limit.saturating_add(limit / 4) } else { limit };
    // A list that a server makes longer and longer ends a thread that nobody waits for: libgit2 itself looks for no
    // sign to stop while it reads one, and may compare all with all.
    let is_wanted = size < LARGE || !worker::is_abandoned();
    let granted =
        is_wanted && held.saturating_add(more) <= slack(all) && own.saturating_add(more) <= slack(limit);
    if !granted {
        REFUSED.set(true);
    }
    granted
}

fn note(before: usize, after: usize) {
    let (limit, own) = OWN.get();
    OWN.set((limit, (own + after).saturating_sub(before)));
    if after >= before {
        HELD.fetch_add(after - before, Ordering::Relaxed);
    } else {
        // What libgit2 had before it was bound was never counted.
        let less = |held: usize| Some(held.saturating_sub(before - after));
        let _ = HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[expect(unsafe_code, reason = "C's own functions")]
fn size_of(pointer: *mut c_void) -> usize {
    // SAFETY: null, or from `malloc`.
    unsafe { libc::malloc_usable_size(pointer) }
}

#[expect(unsafe_code, reason = "C's own functions")]
extern "C" fn allocate(size: usize, _: *const c_char, _: c_int) -> *mut c_void {
    if !grants(size, size) {
        return std::ptr::null_mut();
    }
    // SAFETY: any size is fine.
    let pointer = unsafe { libc::malloc(size) };
    note(0, size_of(pointer));
    pointer
}

#[expect(unsafe_code, reason = "C's own functions")]
extern "C" fn reallocate(old: *mut c_void, size: usize, _: *const c_char, _: c_int) -> *mut c_void {
    let before = size_of(old);
    if size > before && !grants(size - before, size) {
        return std::ptr::null_mut();
    }
    // SAFETY: `old` is null or from `malloc`, and libgit2 owns it.
    let new = unsafe { libc::realloc(old, size) };
    if !new.is_null() {
        note(before, size_of(new));
    }
    new
}

#[expect(unsafe_code, reason = "C's own functions")]
extern "C" fn release(pointer: *mut c_void) {
    note(size_of(pointer), 0);
    // SAFETY: null or from `malloc`, and libgit2 owns it.
    unsafe { libc::free(pointer) }
}
