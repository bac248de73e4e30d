//! Clients that stick to an endpoint (`sessionAffinity: ClientIP`), for as long as it is among
//! those they may use.

use aya_ebpf::bindings::BPF_ANY;
use netproxy_common::{Affinity, AffinityKey, Endpoint};

use crate::clock::now_s;
use crate::family::Family;
use crate::service::Snapshot;
use crate::usable;

/// The endpoint that `client` sticks to, if it may still use it.
#[inline(never)]
pub(crate) fn find<F: Family>(
    service: &Snapshot,
    client: &F::Address,
    endpoint: &mut Endpoint<F::Address>,
) -> bool {
    let key = AffinityKey {
        client: *client,
        service: service.service,
    };
    let Some(affinity) = F::affinity().get_ptr(&key) else {
        return false;
    };
    // SAFETY: a live map value; if the LRU recycles it meanwhile, the endpoint is one that some
    // client of this service uses, or not found.
    unsafe {
        if now_s().wrapping_sub((*affinity).used_s) >= service.affinity_s {
            return false;
        }
        endpoint.address = (*affinity).address;
        endpoint.port = (*affinity).port;
    }
    usable::find::<F>(&service.part(), endpoint)
}

/// `client` sticks to `endpoint` from now on.
#[inline(never)]
pub(crate) fn remember<F: Family>(
    service: &Snapshot,
    client: &F::Address,
    endpoint: &Endpoint<F::Address>,
) {
    let key = AffinityKey {
        client: *client,
        service: service.service,
    };
    let affinity = Affinity {
        address: endpoint.address,
        port: endpoint.port,
        pad: 0,
        used_s: now_s(),
    };
    // An LRU finds room.
    let _ = F::affinity().insert(&key, &affinity, u64::from(BPF_ANY));
}
