//! Pods of this node and namespaces: what they say of balancing at the socket.

use super::{Label, ObjectName, PodUid};

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: ObjectName,
    /// What its cgroup is named by.
    pub uid: PodUid,
    /// Its own wish, which goes before its namespace's.
    pub wish: Option<SocketWish>,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Label,
    /// The wish of its pods, unless they have their own.
    pub wish: Option<SocketWish>,
}

/// Whether processes of a pod are to be balanced at their sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketWish {
    /// They are.
    On,
    /// They are not: what they ask for goes out as they ask for it.
    Off,
    /// Something is wished that cannot be read. It counts as `Off`, which is never wrong.
    Unreadable,
}
