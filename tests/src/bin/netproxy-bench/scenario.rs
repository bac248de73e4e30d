//! Scenarios: what is done, with which systems, in clusters of which sizes. Each is a file; a new one is
//! added to [`ALL`].

mod agent_memory;
mod agent_scale;
mod agent_start;
mod bulk;
mod bystander;
mod cluster_size;
mod exchanges;
mod packet_cost;
mod packet_rate;
mod program_full;
mod program_one;
mod requests;
mod sample_service;

use anyhow::Result;

use crate::{arena::Arena, cluster::ClusterSize, measurement::Sample, system::System};

/// How often what takes a second is measured.
const SHORT_TURNS: u16 = 16;
/// The same of what takes longer.
const LONG_TURNS: u16 = 5;

/// Something that is measured.
pub(crate) trait Scenario: Sync {
    /// Its name in results.
    fn name(&self) -> &'static str;

    /// What it measures, in one line of the report.
    fn about(&self) -> &'static str;

    /// Which systems it is about, in the order in which they take turns.
    fn systems(&self) -> &'static [System] {
        &System::PROXIES
    }

    /// In which clusters, unless sizes are asked for.
    fn sizes(&self, pace: Pace) -> Vec<ClusterSize> {
        let services: &[_] = if self.is_traffic() {
            // The smallest and one of the largest.
            pace.choose(&[1, 10_000], &[100])
        } else {
            pace.choose(&[10_000], &[1_000])
        };
        let sizes = services.iter().map(|&services| ClusterSize {
            services,
            endpoints_each: self.endpoints_each(),
        });
        sizes.collect()
    }

    /// How many endpoints a service has where only the number of services is asked for.
    fn endpoints_each(&self) -> u32 {
        // kube-proxy's iptables mode takes minutes for more, and traffic meets one of them alone.
        if self.is_traffic() { 1 } else { 10 }
    }

    /// Whether proxies stay in place from one run to the next, for traffic through them.
    fn is_traffic(&self) -> bool {
        false
    }

    /// How often each system is measured, unless that is asked for. What else a shared machine does changes from one
    /// second to the next: many short turns tell more than a few long ones.
    fn runs(&self, pace: Pace) -> u16 {
        pace.choose(
            if self.is_traffic() {
                SHORT_TURNS
            } else {
                LONG_TURNS
            },
            1,
        )
    }

    /// Measures a system once. Unless it is about traffic, nothing of it runs before, nor is left in the kernel;
    /// the same must be so afterwards, also where it fails.
    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>>;
}

/// All scenarios, in the order in which they are measured and reported: those about traffic last, as they leave proxies
/// in place.
pub(crate) const ALL: [&dyn Scenario; 17] = [
    &program_full::ProgramFull,
    &program_one::ProgramOne,
    &agent_start::AgentStart,
    &agent_memory::AgentMemory,
    &agent_scale::AgentScale,
    &cluster_size::ClusterSizes,
    &requests::CLUSTER_IP_KEEPALIVE,
    &requests::CLUSTER_IP_SHORT,
    &requests::CLUSTER_IP_SHORT_SUSTAINED,
    &exchanges::CLUSTER_IP_UDP,
    &bulk::Bulk,
    &requests::NODE_PORT_LOCAL_SHORT,
    &requests::NODE_PORT_REMOTE_SHORT,
    &packet_rate::PacketRate,
    &bystander::Bystander,
    &exchanges::FIRST_PACKET,
    &packet_cost::PacketCost,
];

/// How thoroughly it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// For numbers.
    Thorough,
    /// As a proof that it works: small clusters, short times.
    Quick,
}

impl Pace {
    /// The one or the other.
    pub(crate) fn choose<T>(self, thorough: T, quick: T) -> T {
        match self {
            Self::Thorough => thorough,
            Self::Quick => quick,
        }
    }
}
