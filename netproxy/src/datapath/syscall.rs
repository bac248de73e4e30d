//! `bpf(2)`, for what aya has no words for.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use bytemuck::Pod;

/// Calls it with these members of `union bpf_attr`; yields what it returns.
///
/// # Safety
/// What the attributes point to must be what `command` reads and writes, and outlive the call.
pub(super) unsafe fn bpf<T: Pod>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are plain data of the size given; the caller answers for the rest.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(answer).map_err(io::Error::other)
}

/// A descriptor as the attributes hold it.
pub(super) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}
