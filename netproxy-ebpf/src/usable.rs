//! Whether an endpoint is still among those that a client may use, or that serve at all: a binary
//! search in each segment, which is sorted by address and port.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;
use netproxy_common::service::SEGMENTS;
use netproxy_common::{Endpoint, Service};

use crate::family::Family;
use crate::maps::{RANGES, SERVICES};
use crate::separate::separate;

/// Halvings that leave one endpoint of as many as `ENDPOINTS_*` can be made to hold.
const MOST_STEPS: u32 = 24;

/// A part of a range.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// Index of the range's header.
    pub(crate) range: u32,
    /// First endpoint, relative to the range's base.
    pub(crate) first: u32,
    /// One after the last.
    pub(crate) end: u32,
}

/// Looks for `endpoint`'s address and port in `part`; found, the rest of `endpoint` is filled in.
#[inline(always)]
pub(crate) fn find<F: Family>(part: &Part, endpoint: &mut Endpoint<F::Address>) -> bool {
    find_in::<F>(endpoint, part.range, part.first, part.end) != 0
}

separate! {
    /// As `find`; zero: it is not there.
    fn find_in(mut endpoint: Endpoint; range, first, end)
        = search as find_endpoint_v4, find_endpoint_v6;
}

#[inline(always)]
fn search<F: Family>(
    endpoint: &mut Endpoint<F::Address>,
    range: u32,
    mut first: u32,
    part_end: u32,
) -> u32 {
    let Some(range) = RANGES.get_ptr(range) else {
        return 0;
    };
    // SAFETY: a live value that user space does not reuse before a grace period has passed.
    let range = unsafe { &*range };
    let mut search = Search::<F> {
        endpoint,
        low: 0,
        high: 0,
        is_found: false,
    };
    for segment in 0..SEGMENTS {
        let segment_end = range.segment_ends[segment];
        let end = if segment_end < part_end {
            segment_end
        } else {
            part_end
        };
        if first < end {
            search.low = range.base.wrapping_add(first);
            search.high = range.base.wrapping_add(end);
            if search.run() {
                return 1;
            }
            first = end;
        }
    }
    0
}

/// A binary search in one segment.
struct Search<'a, F: Family> {
    endpoint: &'a mut Endpoint<F::Address>,
    /// The slots that are left.
    low: u32,
    high: u32,
    is_found: bool,
}

impl<F: Family> Search<'_, F> {
    #[inline(always)]
    fn run(&mut self) -> bool {
        let callback: unsafe extern "C" fn(u64, *mut c_void) -> i64 = halve::<F>;
        let context: *mut Self = self;
        // SAFETY: the callback's signature is what bpf_loop asks for; the context outlives it.
        unsafe { bpf_loop(MOST_STEPS, callback as *mut c_void, context.cast(), 0) };
        self.is_found
    }
}

/// Looks at the middle of what is left; 1 ends the search. By `bpf_loop`, whose callback the
/// verifier walks once and not for every step.
unsafe extern "C" fn halve<F: Family>(_number: u64, context: *mut c_void) -> i64 {
    // SAFETY: bpf_loop passes what `run` gave it.
    let search = unsafe { &mut *context.cast::<Search<'_, F>>() };
    if search.low >= search.high {
        return 1;
    }
    let middle = search.low + ((search.high - search.low) >> 1);
    let Some(slot) = F::endpoints().get_ptr(middle) else {
        return 1;
    };
    // SAFETY: as in `find`.
    let here = unsafe { &*slot };
    let wanted = &mut *search.endpoint;
    let is_same_address = here.address == wanted.address;
    if is_same_address && here.port == wanted.port {
        wanted.flags = here.flags;
        search.is_found = true;
        return 1;
    }
    if F::is_before(&here.address, &wanted.address)
        || (is_same_address && here.port.get() < wanted.port.get())
    {
        search.low = middle + 1;
    } else {
        search.high = middle;
    }
    0
}

/// An endpoint that was chosen earlier.
pub(crate) struct Chosen<A> {
    /// The service of which it was one.
    pub(crate) service: u32,
    /// The service's generation when it was last found to serve.
    pub(crate) generation: u32,
    /// Its address and port; the flags do not matter.
    pub(crate) endpoint: Endpoint<A>,
}

/// Whether an endpoint still serves; then `generation` becomes the present one.
///
/// Any of the service's endpoints will do, whatever the policy says by now: a change of policy
/// moves no flow (pkg/proxy/conntrack/cleanup.go in Kubernetes).
#[inline(never)]
pub(crate) fn still_serves<F: Family>(chosen: &mut Chosen<F::Address>) -> bool {
    let Some(word) = SERVICES.get_ptr(chosen.service) else {
        return false;
    };
    // SAFETY: a live, aligned word, which user space stores whole.
    let Service { range, generation } = unsafe { word.read_volatile() };
    if range == 0 {
        return false;
    }
    chosen.generation = generation;
    find::<F>(
        &Part {
            range,
            first: 0,
            end: u32::MAX,
        },
        &mut chosen.endpoint,
    )
}

/// Whether the service has changed since it had this generation.
#[inline(always)]
pub(crate) fn has_changed(service: u32, generation: u32) -> bool {
    // SAFETY: a live, aligned word, which user space stores whole.
    SERVICES
        .get_ptr(service)
        .is_none_or(|word| unsafe { word.read_volatile() }.generation != generation)
}
