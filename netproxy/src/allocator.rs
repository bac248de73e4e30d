//! The C library's allocator, which keeps what was freed in case it is wanted again.

/// Gives freed memory back to the kernel. Worth it after a start: loading programs and reading whole lists
/// takes several times what is kept of them.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes the allocator's own locks, and touches only memory that nobody has.
    unsafe {
        libc::malloc_trim(0);
    }
}
