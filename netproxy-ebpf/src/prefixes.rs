//! Whether an address is where any is that means something: a load, before it is looked for.

use netproxy_common::address::Address as _;
use netproxy_common::prefix::place;

use crate::family::Family;
use crate::maps::PREFIXES;

/// Whether `address` may mean something to this node. Most do not, and are told so here.
#[inline(always)]
pub(crate) fn may_hold<F: Family>(address: &F::Address) -> bool {
    let Some(prefixes) = PREFIXES.get_ptr(F::NUMBER) else {
        // Never: there is an entry for each family. One answer leaves the verifier one way on.
        return false;
    };
    let (word, bit) = place(address.prefix());
    // SAFETY: a live value, whose words have a place for every prefix; an aligned load.
    let word = unsafe {
        (&raw const (*prefixes).words)
            .cast::<u32>()
            .add(word)
            .read_volatile()
    };
    word & bit != 0
}
