//! A socket's call at a cgroup hook: the one accessor for the address that it names, and the pairs
//! that the socket remembers.

use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use netproxy_common::address::Address as _;
use netproxy_common::{Be16, Connection, Ipv4, Ipv6, Pair, Talk};

use crate::config;
use crate::family::{Family, V4, V6};
use crate::maps::{SOCKETS, TALKS};

/// The call.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    context: *mut bpf_sock_addr,
}

impl Call {
    #[inline(always)]
    pub(crate) fn new(context: &SockAddrContext) -> Self {
        Self {
            context: context.sock_addr,
        }
    }

    /// The socket's protocol.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u8 {
        // SAFETY: the kernel keeps the context valid for the program's run.
        unsafe { (&raw const (*self.context).protocol).read_volatile() as u8 }
    }

    /// The port that the call names.
    #[inline(always)]
    pub(crate) fn port(self) -> Be16 {
        // SAFETY: as above; the lower half holds the port in network byte order.
        let port = unsafe { (&raw const (*self.context).user_port).read_volatile() };
        Be16 {
            bytes: (port as u16).to_ne_bytes(),
        }
    }

    /// The port that the socket sends from.
    #[inline(always)]
    pub(crate) fn source_port(self) -> Be16 {
        // SAFETY: as above; the kernel keeps the socket for the program's run. It is in host byte order
        // (bpf_sock_convert_ctx_access in net/core/filter.c).
        let port = unsafe {
            let socket = (&raw const (*self.context).__bindgen_anon_1.sk).read_volatile();
            (&raw const (*socket).src_port).read_volatile()
        };
        Be16::new(port as u16)
    }

    /// The cookie of the socket's network namespace.
    #[inline(always)]
    pub(crate) fn netns(self) -> u64 {
        // SAFETY: as above.
        unsafe { bpf_get_netns_cookie(self.context.cast()) }
    }

    /// Whether the socket is in the host's network namespace.
    #[inline(always)]
    pub(crate) fn is_host(self) -> bool {
        self.netns() == config::host_netns()
    }

    /// Makes the system call fail with this number of `errno`, if the program returns zero.
    #[inline(always)]
    pub(crate) fn fail_with(errno: i32) {
        // SAFETY: no pointers.
        unsafe { bpf_set_retval(-errno) };
    }

    #[inline(always)]
    fn set_port(self, port: Be16) {
        let port = u32::from(u16::from_ne_bytes(port.bytes));
        // SAFETY: as above.
        unsafe { (&raw mut (*self.context).user_port).write_volatile(port) };
    }

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        // SAFETY: as above. Word by word: the kernel translates each access by itself
        // (sock_addr_convert_ctx_access in net/core/filter.c).
        unsafe {
            let words = (&raw const (*self.context).user_ip6).cast::<u32>();
            [
                words.read_volatile(),
                words.add(1).read_volatile(),
                words.add(2).read_volatile(),
                words.add(3).read_volatile(),
            ]
        }
    }

    #[inline(always)]
    fn set_words(self, value: [u32; 4]) {
        // SAFETY: as above.
        unsafe {
            let words = (&raw mut (*self.context).user_ip6).cast::<u32>();
            words.write_volatile(value[0]);
            words.add(1).write_volatile(value[1]);
            words.add(2).write_volatile(value[2]);
            words.add(3).write_volatile(value[3]);
        }
    }

    /// Whether an IPv6 call names an IPv4 address.
    #[inline(always)]
    pub(crate) fn is_mapped(self) -> bool {
        are_mapped(self.words())
    }

    /// What the socket was connected to in place of a frontend.
    #[inline(always)]
    pub(crate) fn connection(self) -> Option<&'static mut Connection> {
        // SAFETY: storage lives as long as its socket, which the call holds.
        unsafe { SOCKETS.get_ptr_mut(&self.typed()).as_mut() }
    }

    /// Remembers what the socket is connected to; false: there is no memory for it.
    #[inline(always)]
    pub(crate) fn connect(self, pair: &Pair) -> bool {
        let mut connection = Connection {
            pair: *pair,
            protocol: self.protocol(),
            pad: [0; _],
            netns: self.netns(),
        };
        // SAFETY: as above.
        let stored = unsafe {
            SOCKETS
                .get_or_insert_ptr_mut(&self.typed(), Some(&mut connection))
                .as_mut()
        };
        let Some(stored) = stored else {
            return false;
        };
        *stored = connection;
        true
    }

    /// The pairs of an unconnected socket, if it has any.
    #[inline(always)]
    pub(crate) fn talk(self) -> Option<&'static mut Talk> {
        // SAFETY: as above.
        unsafe { TALKS.get_ptr_mut(&self.typed()).as_mut() }
    }

    /// As `talk`, with none where there were none; None: there is no memory for them.
    #[inline(always)]
    pub(crate) fn begin_talk(self) -> Option<&'static mut Talk> {
        // SAFETY: as above; the kernel fills new storage with zeros.
        unsafe { TALKS.get_or_insert_ptr_mut(&self.typed(), None).as_mut() }
    }

    #[inline(always)]
    fn typed(self) -> SockAddrContext {
        SockAddrContext::new(self.context)
    }
}

/// How a call names an address.
pub(crate) trait Naming {
    /// The family of the address.
    type Family: Family;
    /// The loopback address that processes call "localhost".
    const LOCALHOST: <Self::Family as Family>::Address;
    /// The address that the call names.
    fn read(call: Call) -> <Self::Family as Family>::Address;
    /// Makes it name another address.
    fn write(call: Call, address: &<Self::Family as Family>::Address, port: Be16);
    /// The address as pairs hold it.
    fn to_pair(address: &<Self::Family as Family>::Address) -> Ipv6;
    /// The inverse of `to_pair`.
    fn from_pair(address: &Ipv6) -> <Self::Family as Family>::Address;
}

/// IPv4, by an IPv4 call.
pub(crate) struct Plain4;
/// IPv6.
pub(crate) struct Plain6;
/// IPv4, by an IPv6 call (RFC 3493, section 3.7).
pub(crate) struct Mapped4;

impl Naming for Plain4 {
    type Family = V4;
    const LOCALHOST: Ipv4 = Ipv4::new([127, 0, 0, 1]);

    #[inline(always)]
    fn read(call: Call) -> Ipv4 {
        // SAFETY: as in `Call`.
        let word = unsafe { (&raw const (*call.context).user_ip4).read_volatile() };
        V4::from_words([word, 0, 0, 0])
    }

    #[inline(always)]
    fn write(call: Call, address: &Ipv4, port: Be16) {
        let [word, ..] = V4::to_words(address);
        // SAFETY: as in `Call`.
        unsafe { (&raw mut (*call.context).user_ip4).write_volatile(word) };
        call.set_port(port);
    }

    #[inline(always)]
    fn to_pair(address: &Ipv4) -> Ipv6 {
        Mapped4::to_pair(address)
    }

    #[inline(always)]
    fn from_pair(address: &Ipv6) -> Ipv4 {
        Mapped4::from_pair(address)
    }
}

impl Naming for Mapped4 {
    type Family = V4;
    const LOCALHOST: Ipv4 = Plain4::LOCALHOST;

    #[inline(always)]
    fn read(call: Call) -> Ipv4 {
        let [.., word] = call.words();
        V4::from_words([word, 0, 0, 0])
    }

    #[inline(always)]
    fn write(call: Call, address: &Ipv4, port: Be16) {
        call.set_words(V6::to_words(&Self::to_pair(address)));
        call.set_port(port);
    }

    #[inline(always)]
    fn to_pair(address: &Ipv4) -> Ipv6 {
        let [word, ..] = V4::to_words(address);
        V6::from_words([0, 0, 0xffff_u32.to_be(), word])
    }

    #[inline(always)]
    fn from_pair(address: &Ipv6) -> Ipv4 {
        let [.., word] = V6::to_words(address);
        V4::from_words([word, 0, 0, 0])
    }
}

impl Naming for Plain6 {
    type Family = V6;
    const LOCALHOST: Ipv6 = Ipv6::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    #[inline(always)]
    fn read(call: Call) -> Ipv6 {
        V6::from_words(call.words())
    }

    #[inline(always)]
    fn write(call: Call, address: &Ipv6, port: Be16) {
        call.set_words(V6::to_words(address));
        call.set_port(port);
    }

    #[inline(always)]
    fn to_pair(address: &Ipv6) -> Ipv6 {
        *address
    }

    #[inline(always)]
    fn from_pair(address: &Ipv6) -> Ipv6 {
        *address
    }
}

/// Whether an address of a pair is one of IPv4.
#[inline(always)]
pub(crate) fn is_mapped(address: &Ipv6) -> bool {
    are_mapped(V6::to_words(address))
}

#[inline(always)]
fn are_mapped([a, b, c, _]: [u32; 4]) -> bool {
    a == 0 && b == 0 && c == 0xffff_u32.to_be()
}

/// Whether `pair` is none.
#[inline(always)]
pub(crate) fn is_none(pair: &Pair) -> bool {
    pair.endpoint == Ipv6::UNSPECIFIED
}
