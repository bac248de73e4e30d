//! Numbers that the kernel tells of a socket.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// A 64-bit option of level `SOL_SOCKET`: `SO_COOKIE`, or `SO_NETNS_COOKIE` for the network namespace
/// that the socket is in.
pub fn socket_option(socket: BorrowedFd<'_>, option: libc::c_int) -> io::Result<u64> {
    let mut value = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the value is as long as `length` says.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}
