//! The mount namespace of the node, entered from a container.

use std::fs::File;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

/// Makes `namespace`, with its root, this process's own; the error says what it takes.
pub(super) fn enter(namespace: &Path) -> Result<(), String> {
    let shown = namespace.display();
    let file = File::open(namespace).map_err(|error| {
        // Such a link is opened by whoever might trace the process (`proc_ns_get_link`).
        format!("{shown}: {error} (it takes the node's pid namespace and CAP_SYS_PTRACE)")
    })?;
    setns(file, CloneFlags::CLONE_NEWNS).map_err(|errno| {
        format!("{shown} cannot be entered: {errno} (it takes CAP_SYS_ADMIN and CAP_SYS_CHROOT)")
    })
}
