//! Freed memory goes back to the system.

/// Gives back what the allocator keeps for later. Others that give memory back by themselves need nothing of the kind.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    #[expect(unsafe_code, reason = "it is a function of glibc")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
