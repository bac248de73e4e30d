//! Fragments: the first one of a datagram is translated as any packet is, and what follows by the ports
//! that are remembered of it.
//!
//! An entry is made when a first fragment is translated, under what its datagram's fragments have in common
//! at that hook. Hence none is spent on what belongs to no service, and at a hook that leaves the first one
//! alone the others are left alone. It is of the latest first fragment with its key: whatever
//! another had left there is removed first.

use aya_ebpf::bindings::BPF_ANY;
use netproxy_common::fragment::FRAGMENT_LIFETIME_S;
use netproxy_common::{FlowKey, Fragment, FragmentKey};

use crate::clock::now_s;
use crate::family::Family;
use crate::packet::{Headers, Packet, Parse};
use crate::separate::separate;

/// Makes the headers of a fragment as complete as can be; false: it has no transport header, and
/// nothing is known of the one that it belongs to.
#[inline(always)]
pub(crate) fn complete<F: Parse, P: Packet>(packet: P, headers: &mut Headers<F>) -> bool {
    let Some(identification) = F::identification(packet, headers) else {
        return false;
    };
    if headers.piece.has_header() {
        forget::<F>(&headers.key, identification);
        true
    } else {
        recall::<F>(&mut headers.key, identification) != 0
    }
}

/// A first fragment is translated: so will be those that follow.
#[inline(always)]
pub(crate) fn remember<F: Parse, P: Packet>(packet: P, headers: &Headers<F>) {
    if let Some(identification) = F::identification(packet, headers) {
        keep::<F>(&headers.key, identification);
    }
}

separate! {
    /// Gives the tuple of a fragment the ports of the first one; zero: they are not known.
    fn recall(mut tuple: FlowKey; identification) = look_up as recall_fragment_v4, recall_fragment_v6;
    /// Remembers the ports of the first fragment with this tuple.
    fn keep(ref tuple: FlowKey; identification) = insert as keep_fragment_v4, keep_fragment_v6;
    /// Forgets what is remembered of another datagram that had the same key.
    fn forget(ref tuple: FlowKey; identification) = remove as forget_fragment_v4, forget_fragment_v6;
}

#[inline(always)]
fn look_up<F: Family>(tuple: &mut FlowKey<F::Address>, identification: u32) -> u32 {
    let Some(entry) = F::fragments().get_ptr(&key(tuple, identification)) else {
        return 0;
    };
    // SAFETY: a live map value, copied at once. If the LRU recycles it meanwhile, the ports are another
    // datagram's: then no flow is found, or one that gets a fragment too many.
    let first = unsafe { *entry };
    if first.deadline_s < now_s() {
        return 0;
    }
    tuple.source_port = first.source_port;
    tuple.destination_port = first.destination_port;
    1
}

#[inline(always)]
fn insert<F: Family>(tuple: &FlowKey<F::Address>, identification: u32) -> u32 {
    let first = Fragment {
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        deadline_s: now_s() + FRAGMENT_LIFETIME_S,
    };
    // An LRU finds room.
    let _ = F::fragments().insert(&key(tuple, identification), &first, u64::from(BPF_ANY));
    0
}

#[inline(always)]
fn remove<F: Family>(tuple: &FlowKey<F::Address>, identification: u32) -> u32 {
    let _ = F::fragments().remove(&key(tuple, identification));
    0
}

#[inline(always)]
fn key<A: Copy>(tuple: &FlowKey<A>, identification: u32) -> FragmentKey<A> {
    FragmentKey {
        source: tuple.source,
        destination: tuple.destination,
        identification,
        protocol: tuple.protocol,
        pad: [0; 3],
    }
}
