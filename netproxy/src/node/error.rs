//! What can go wrong in the conversation with the kernel.

use std::io;
use std::path::PathBuf;

/// Why this node's network, or its pods' cgroups, cannot be read or followed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A netlink socket was refused.
    #[error(
        "cannot open a netlink socket for {purpose}: {reason}; allow AF_NETLINK sockets in the \
         sandbox (seccomp profile, RestrictAddressFamilies=) that netproxy runs in"
    )]
    Open {
        /// What the socket was for.
        purpose: &'static str,
        /// The kernel's answer.
        #[source]
        reason: io::Error,
    },
    /// The kernel answered a question with an error.
    #[error(
        "the kernel refused to list {object}: {reason}; check that a security module (AppArmor, \
         SELinux) lets netproxy read over netlink"
    )]
    Refused {
        /// What was asked for.
        object: &'static str,
        /// The kernel's answer.
        #[source]
        reason: io::Error,
    },
    /// The answer ended before it was complete.
    #[error(
        "the kernel's answer about {object} broke off; the log names the message that could not \
         be read, and a new connection is needed"
    )]
    BrokenOff {
        /// What was asked for.
        object: &'static str,
    },
    /// There is no inotify instance left.
    #[error(
        "cgroups cannot be watched: {0}; raise fs.inotify.max_user_instances, or go without \
         --socket-opt-out"
    )]
    Inotify(#[source] io::Error),
    /// The cgroups below this one cannot be read.
    #[error(
        "the cgroups below {base} cannot be read: {reason}; name the root of the cgroup v2 hierarchy \
         with --cgroup, or go without --socket-opt-out"
    )]
    Cgroups {
        /// Where pods' cgroups are looked for.
        base: PathBuf,
        /// Why not.
        #[source]
        reason: io::Error,
    },
    /// The event socket is gone.
    #[error("the netlink event socket was closed; a new connection is needed")]
    Closed,
}
