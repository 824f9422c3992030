//! How the C library keeps memory that is free again. glibc gives every thread an arena of its own, and raises what it keeps
//! with what was asked for: of a look at a thousand services, by the loop and by the page, more stayed than was in use.

/// Gives it back as far as can be; before any thread is there. musl does by itself.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "C's own function")]
pub fn give_back() {
    /// Bytes.
    const LARGE: i32 = 64 * 1024;
    for (option, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE)]
    {
        // SAFETY: any number is fine; one that it does not take changes nothing.
        unsafe { libc::mallopt(option, value) };
    }
}

#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
