//! Addresses compared with a handful of networks.

use netproxy_common::network::NETWORKS;

use crate::family::Family;
use crate::maps::Networks;
use crate::separate::separate;

type Itself<A> = A;

/// Whether a cluster IP may be taken from a network that `address` is in.
#[inline(always)]
pub(crate) fn is_service<F: Family>(address: &F::Address) -> bool {
    is_in_service_cidr::<F>(address) != 0
}

separate! {
    fn is_in_service_cidr(ref address: Itself) = find_service_cidr
        as is_in_service_cidr_v4, is_in_service_cidr_v6;
}

#[inline(always)]
fn find_service_cidr<F: Family>(address: &F::Address) -> u32 {
    u32::from(contain::<F>(F::service_cidrs(), address))
}

/// Whether `address` counts as one of a pod of this node, where that is told by address.
#[inline(always)]
pub(crate) fn is_local_pod<F: Family>(address: &F::Address) -> bool {
    contain::<F>(F::pod_cidrs(), address)
}

#[inline(always)]
fn contain<F: Family>(networks: &'static Networks<F::Address>, address: &F::Address) -> bool {
    for index in 0..NETWORKS as u32 {
        let Some(network) = networks.get_ptr(index) else {
            return false;
        };
        // SAFETY: a live value; user space fills it before `in_use` and waits before reuse.
        unsafe {
            if (&raw const (*network).in_use).read_volatile() == 0 {
                return false;
            }
            if F::is_in(address, &(*network).address, &(*network).mask) {
                return true;
            }
        }
    }
    false
}
