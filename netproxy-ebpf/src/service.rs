//! From a frontend to an endpoint.

use aya_ebpf::btf_maps::lpm_trie::Key;
use netproxy_common::address::Address as _;
use netproxy_common::service::EndpointFlags;
use netproxy_common::source_range::SET_BITS;
use netproxy_common::{
    AddressFlags, Counter, Endpoint, FlowKey, Frontend, FrontendKey, FrontendKind, RangeFlags,
    SourceRange, Verdict, Window,
};

use crate::family::Family;
use crate::maps::{RANGES, SERVICES};
use crate::usable::{self, Chosen, Part};
use crate::{affinity, choice};

/// A service port as one packet sees it: read once, hence consistent.
#[repr(C)]
pub(crate) struct Snapshot {
    /// The service's id.
    pub(crate) service: u32,
    /// Its generation.
    pub(crate) generation: u32,
    /// Seconds of client affinity; zero: none.
    pub(crate) affinity_s: u32,
    /// The set of networks that may use this frontend; zero: all may.
    pub(crate) source_ranges: u32,
    /// Whether endpoints must not see the client's address.
    pub(crate) hides_client: bool,
    /// Whether it depends on the client which endpoints it may use.
    pub(crate) is_kept_local: bool,
    /// The window's `Verdict` when it is empty.
    verdict: u8,
    pad: u8,
    /// Index of the header.
    range: u32,
    base: u32,
    window: Window,
    /// The table that is over the window, as `Range::table`.
    table: u32,
}

/// The bits of `Range::flags` that say whether the table is used, by their numbers; a range has no bit 31.
const CONSISTENT_INTERNAL: u32 = RangeFlags::CONSISTENT_INTERNAL.trailing_zeros();
const CONSISTENT_EXTERNAL: u32 = RangeFlags::CONSISTENT_EXTERNAL.trailing_zeros();
const NEVER_CONSISTENT: u32 = 31;

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    /// Whether it counts as one of this node's under `externalTrafficPolicy: Local`.
    pub(crate) is_local: bool,
    /// Whether it is a process of this node, whose source the kernel chose.
    pub(crate) is_host: bool,
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

/// Whether an endpoint that was chosen for the destination of `key` still serves who asks there, be it
/// for another service than before (a port of another name, a Service made anew). `address` is what the
/// destination's address means here.
#[inline(always)]
pub(crate) fn still_serves<F: Family>(
    key: &FlowKey<F::Address>,
    address: AddressFlags,
    chosen: &mut Chosen<F::Address>,
) -> bool {
    usable::still_serves::<F>(chosen)
        || (hand_over::<F>(key, address, chosen) && usable::still_serves::<F>(chosen))
}

/// Makes `chosen` one of the service whose frontend the destination of `key` is by now; false: there is
/// none, or it is the same.
#[inline(never)]
fn hand_over<F: Family>(
    key: &FlowKey<F::Address>,
    address: AddressFlags,
    chosen: &mut Chosen<F::Address>,
) -> bool {
    let Some(frontend) = frontend::<F>(key, address) else {
        return false;
    };
    let is_other = frontend.service != chosen.service;
    chosen.service = frontend.service;
    is_other
}

/// Takes a snapshot of the service behind `frontend`, as `client` may use it.
///
/// It returns a scalar: a result in memory would leave the stack's address in R0 ("cannot return
/// stack pointer to the caller", prepare_func_exit in kernel/bpf/verifier.c).
///
/// # Errors
/// [`Counter::Inconsistent`]: user space has published an id that it has not filled.
#[inline(never)]
pub(crate) fn snapshot(
    frontend: &Frontend,
    client: Client,
    to: &mut Snapshot,
) -> Result<(), Counter> {
    let word = SERVICES
        .get_ptr(frontend.service)
        .ok_or(Counter::Inconsistent)?;
    // SAFETY: a live, aligned word, which user space stores whole.
    let service = unsafe { word.read_volatile() };
    let range = RANGES.get_ptr(service.range).ok_or(Counter::Inconsistent)?;
    // SAFETY: a live value that user space does not reuse before a grace period has passed.
    let range = unsafe { &*range };
    if service.range == 0 || range.service != frontend.service {
        return Err(Counter::Inconsistent);
    }
    to.source_ranges = if frontend.kind == FrontendKind::LoadBalancer as u8 {
        range.source_ranges
    } else {
        0
    };
    let is_internal = frontend.kind == FrontendKind::ClusterIp as u8;
    let is_kept_local = range.flags & RangeFlags::EXTERNAL_LOCAL != 0;
    let (window, verdict, consistent) = if is_internal {
        (range.internal, range.verdicts[0], CONSISTENT_INTERNAL)
    } else if !is_kept_local || client.is_local {
        (
            range.external_cluster,
            range.verdicts[1],
            CONSISTENT_EXTERNAL,
        )
    } else {
        (range.external_local, range.verdicts[2], NEVER_CONSISTENT)
    };
    let hiding = if !is_internal {
        // Under policy Local the source is kept, whoever asks.
        RangeFlags::MASQUERADE_EXTERNAL * u8::from(!is_kept_local)
    } else if client.is_local {
        RangeFlags::MASQUERADE_INTERNAL
    } else {
        RangeFlags::MASQUERADE_INTERNAL | RangeFlags::MASQUERADE_EXTERNAL
    };
    to.service = frontend.service;
    to.generation = service.generation;
    to.affinity_s = range.affinity_s;
    to.is_kept_local = is_kept_local && !is_internal;
    to.hides_client = range.flags & hiding != 0 && !client.is_host;
    to.verdict = verdict;
    to.range = service.range;
    to.base = range.base;
    to.window = window;
    // Not by a branch, which the verifier would walk both ways from here on.
    to.table = range.table * (u32::from(range.flags) >> consistent & 1);
    Ok(())
}

impl Snapshot {
    /// One yet to be taken.
    #[inline(always)]
    pub(crate) fn blank() -> Self {
        Self {
            service: 0,
            generation: 0,
            affinity_s: 0,
            source_ranges: 0,
            hides_client: false,
            is_kept_local: false,
            verdict: 0,
            pad: 0,
            range: 0,
            base: 0,
            window: Window::default(),
            table: 0,
        }
    }

    /// Whether `client` may use the frontend.
    ///
    /// # Errors
    /// [`Counter::SourceRange`]: it may not.
    #[inline(always)]
    pub(crate) fn admit<F: Family>(&self, client: &F::Address) -> Result<(), Counter> {
        if self.source_ranges == 0 {
            return Ok(());
        }
        let prefix_len = SET_BITS + 8 * size_of::<F::Address>() as u32;
        let wanted = Key::new(
            prefix_len,
            SourceRange {
                set: self.source_ranges,
                address: *client,
            },
        );
        match F::source_ranges().get(&wanted) {
            Some(_) => Ok(()),
            None => Err(Counter::SourceRange),
        }
    }

    /// An endpoint of the window: the one that `client` sticks to, else the one that every node has for its `flow`,
    /// else any, uniformly at random.
    ///
    /// # Errors
    /// Why there is none.
    #[inline(always)]
    pub(crate) fn choose<F: Family>(
        &self,
        client: &F::Address,
        flow: Option<&FlowKey<F::Address>>,
        endpoint: &mut Endpoint<F::Address>,
    ) -> Result<(), Counter> {
        if self.window.count == 0 {
            return Err(if self.verdict == Verdict::Drop as u8 {
                Counter::NoLocalEndpoint
            } else {
                Counter::NoEndpoint
            });
        }
        let mut table = self.table;
        if self.affinity_s != 0 {
            if affinity::find::<F>(self, client, endpoint) {
                return Ok(());
            }
            table |= choice::BY_CLIENT;
        }
        let window = (self.base + self.window.offset, self.window.count);
        let is_chosen = match flow {
            Some(flow) => choice::for_flow::<F>(flow, endpoint, table, window),
            None => choice::at_random::<F>(endpoint, window),
        };
        if is_chosen {
            Ok(())
        } else {
            Err(Counter::Inconsistent)
        }
    }

    /// The endpoints that may be chosen.
    #[inline(always)]
    pub(crate) fn part(&self) -> Part {
        Part {
            range: self.range,
            first: self.window.offset,
            end: self.window.offset + self.window.count,
        }
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
