//! What this node's network looks like, followed live over netlink, and which devices carry pods
//! or the outside.
//!
//! [`watch()`] owns the conversation with the kernel and publishes whole, consistent
//! [`NodeNetwork`]s; [`attachments()`] is pure and decides from one of them where the packet
//! programs go. Everything happens in the network namespace of the calling thread.
//! [`watch_pod_cgroups()`] follows the cgroups by which a process's pod is known.

mod address;
mod attachment;
mod bridge_netfilter;
mod error;
mod kernel;
mod link;
mod network;
mod pattern;
mod pod_cgroups;
mod route;
mod socket_option;
mod source;
mod watch;
mod ways;

pub use address::{LinkAddress, Scope};
pub use attachment::{Attachment, attachments};
pub use bridge_netfilter::BridgeNetfilter;
pub use error::NodeError;
pub use link::{Link, LinkKind, LinkLayer};
pub use network::NodeNetwork;
pub use pattern::DevicePatterns;
pub use pod_cgroups::{PodCgroups, watch_pod_cgroups};
pub use socket_option::socket_option;
pub use source::sources;
pub use watch::watch;
pub use ways::{Way, Ways};
