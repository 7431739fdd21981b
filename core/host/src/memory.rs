//! Gives freed memory back to the system.

/// Has the core give memory back to the system after many clients have left. For the whole process; once is enough.
pub fn give_memory_back() {
    ferrio::give_memory_back_by(trim);
}

/// Gives back what the allocator keeps for later. Other allocators do so by themselves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    #[expect(unsafe_code, reason = "it is a function of glibc")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
