//! From a frontend to an endpoint.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use netproxy_common::address::Address as _;
use netproxy_common::service::EndpointFlags;
use netproxy_common::{
    AddressFlags, Counter, Endpoint, FlowKey, Frontend, FrontendKey, FrontendKind, Range,
    RangeFlags, Verdict, Window,
};

use crate::family::Family;
use crate::maps::{RANGES, SERVICES};

/// A service port as one packet sees it: read once, hence consistent.
pub(crate) struct Snapshot {
    /// The service's id.
    pub(crate) service: u32,
    /// Its generation.
    pub(crate) generation: u32,
    base: u32,
    window: Window,
    verdict: u8,
}

/// The frontend that `key`'s destination is, given what its address means here.
#[inline(always)]
pub(crate) fn frontend<F: Family>(
    key: &FlowKey<F::Address>,
    address: AddressFlags,
) -> Option<Frontend> {
    let mut wanted = FrontendKey {
        address: key.destination,
        port: key.destination_port,
        protocol: key.protocol,
        pad: 0,
    };
    if address.has(AddressFlags::CLUSTER_IP | AddressFlags::VIP) {
        // SAFETY: the entry is copied at once; user space replaces entries whole.
        if let Some(frontend) = unsafe { F::frontends().get(&wanted) } {
            return Some(*frontend);
        }
    }
    if address.has(AddressFlags::NODE_PORTS) {
        wanted.address = F::Address::UNSPECIFIED;
        // SAFETY: as above.
        return unsafe { F::frontends().get(&wanted) }.copied();
    }
    None
}

/// The service behind `frontend` at this moment, as seen by a client that is on this node or not.
///
/// # Errors
/// [`Counter::Inconsistent`]: user space has published an id that it has not filled.
#[inline(always)]
pub(crate) fn snapshot(frontend: &Frontend, is_client_local: bool) -> Result<Snapshot, Counter> {
    let mut snapshot = Snapshot {
        service: 0,
        generation: 0,
        base: 0,
        window: Window::default(),
        verdict: 0,
    };
    read(frontend, is_client_local, &mut snapshot)?;
    Ok(snapshot)
}

/// A function of its own for its stack. It returns a scalar: a result in memory would leave the
/// stack's address in R0 ("cannot return stack pointer to the caller", prepare_func_exit in
/// kernel/bpf/verifier.c).
#[inline(never)]
fn read(frontend: &Frontend, is_client_local: bool, to: &mut Snapshot) -> Result<(), Counter> {
    let word = SERVICES
        .get_ptr(frontend.service)
        .ok_or(Counter::Inconsistent)?;
    // SAFETY: a live, aligned word, which user space stores whole.
    let service = unsafe { word.read_volatile() };
    let range = RANGES.get_ptr(service.range).ok_or(Counter::Inconsistent)?;
    // SAFETY: a live value that user space does not reuse before a grace period has passed.
    let range: Range = unsafe { range.read() };
    if service.range == 0 || range.service != frontend.service {
        return Err(Counter::Inconsistent);
    }
    let [internal, cluster, local] = range.verdicts;
    let (window, verdict) = if frontend.kind == FrontendKind::ClusterIp as u8 {
        (range.internal, internal)
    } else if range.flags & RangeFlags::EXTERNAL_LOCAL == 0 || is_client_local {
        (range.external_cluster, cluster)
    } else {
        (range.external_local, local)
    };
    *to = Snapshot {
        service: frontend.service,
        generation: service.generation,
        base: range.base,
        window,
        verdict,
    };
    Ok(())
}

impl Snapshot {
    /// An endpoint of the window, uniformly at random.
    ///
    /// # Errors
    /// Why there is none.
    #[inline(always)]
    pub(crate) fn choose<F: Family>(&self) -> Result<Endpoint<F::Address>, Counter> {
        if self.window.count == 0 {
            return Err(if self.verdict == Verdict::Drop as u8 {
                Counter::NoLocalEndpoint
            } else {
                Counter::NoEndpoint
            });
        }
        // SAFETY: no arguments.
        let random = u64::from(unsafe { bpf_get_prandom_u32() });
        // Scaling instead of a remainder: no division, and no bias towards low indices.
        let index = ((random * u64::from(self.window.count)) >> 32) as u32;
        F::endpoints()
            .get_ptr(self.base + self.window.offset + index)
            // SAFETY: a live value that user space does not reuse before a grace period.
            .map(|endpoint| unsafe { endpoint.read() })
            .ok_or(Counter::Inconsistent)
    }
}

/// Whether packets to `endpoint` stay on this node.
#[inline(always)]
pub(crate) fn is_endpoint_local<F: Family>(endpoint: &Endpoint<F::Address>) -> bool {
    endpoint.flags & EndpointFlags::LOCAL != 0
        || address::<F>(&endpoint.address).has(AddressFlags::NODE)
}

/// What an address means to this node.
#[inline(always)]
pub(crate) fn address<F: Family>(address: &F::Address) -> AddressFlags {
    // SAFETY: a copied word.
    unsafe { F::addresses().get(address) }
        .copied()
        .unwrap_or(AddressFlags { bits: 0 })
}
