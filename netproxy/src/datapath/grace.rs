//! Waiting until no program can be using what is no longer published.

use std::io;

/// Waits until no program reads what was unpublished before: programs run under
/// `rcu_read_lock`, and `MEMBARRIER_CMD_GLOBAL` waits for an RCU grace period.
pub(super) fn wait_for_grace_period() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: no pointers.
    let outcome = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
