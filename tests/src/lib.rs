//! The lab: a Kubernetes-like network on one machine, with real sockets and real packets.
//!
//! Nodes, pods and outside clients are network namespaces, joined as a CNI plugin joins them
//! ([`Cni`]) and carried by an underlay of their own: nothing is added to the machine's own
//! network namespace, so labs never meet each other, and every lab may use the same addresses
//! ([`Addresses`]). The lab tests, the control-plane tests, the demo and the benchmark stand on it.
//!
//! ```no_run
//! use netproxy_lab::{Cni, Lab, Place, Serve, Traffic};
//!
//! fn main() -> anyhow::Result<()> {
//!     Lab::builder("hello")
//!         .node("a", Cni::Bridge)
//!         .pod("web")
//!         .node("b", Cni::Vxlan)
//!         .pod("shell")
//!         .client("outside")
//!         .run(|lab| {
//!             lab.pod("web")?.serve(&Serve::new().http(8080))?;
//!             let url = netproxy_lab::url(lab.pod("web")?.ipv4(), 8080);
//!             let answers = lab.pod("shell")?.get(&url, 20)?;
//!             anyhow::ensure!(answers.by_endpoint["web"] == 20, "{answers:#?}");
//!             Ok(())
//!         })
//! }
//! ```
//!
//! Invariants:
//! - whatever ends the owner (return, panic, a signal, `kill -9`), a [watchdog] process
//!   removes what the lab made; should that die too, the next lab to start sweeps it up;
//! - everything that runs in a place joined its namespace and cgroup before its first instruction,
//!   so a process is found, and ended, through the cgroup and never by its name.

pub mod addresses;
pub mod agent;
pub mod answers;
pub mod binary;
mod cgroup;
pub mod client;
pub mod cni;
pub mod control_plane;
mod fabric;
mod journal;
pub mod lab;
pub mod metrics;
pub mod namespace;
pub mod node;
pub mod objects;
mod orders;
pub mod place;
pub mod pod;
pub mod probe;
mod prober;
pub mod process;
pub mod report;
pub mod run_dir;
mod teardown;
pub mod traffic;
pub mod wait;
pub mod watchdog;
pub mod way;

pub use addresses::{Addresses, SECOND_GATEWAY, url};
pub use agent::{Agent, AgentOptions, Source};
pub use answers::Answers;
pub use client::Client;
pub use cni::Cni;
pub use control_plane::ControlPlane;
pub use lab::{Builder, Lab};
pub use metrics::Metrics;
pub use node::{Node, NodeSpec, RpFilter};
pub use objects::{EndpointObject, Objects, Port, Protocol, ServiceObject, TrafficPolicy};
pub use place::{Place, Site};
pub use pod::Pod;
pub use prober::Prober;
pub use process::Process;
pub use traffic::{Ask, Flood, Get, Hold, Load, Serve, Talk, Traffic};
pub use wait::{wait_for, wait_until};
pub use way::Way;
