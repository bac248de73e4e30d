//! Sockets: a process that asks for a frontend is sent straight to an endpoint, and told that it
//! talks to the frontend.
//!
//! What needs the client's address, which a socket does not have yet, what is to be dropped, and
//! connected datagram sockets where nobody would end them when their endpoint is gone, stay on the
//! wire for the packet hooks. These programs may be interrupted by packets' on the
//! same CPU, so they use none of their per-CPU room.

use aya_ebpf::programs::SockAddrContext;
use netproxy_common::address::Address as _;
use netproxy_common::protocol::{TCP, UDP};
use netproxy_common::{
    AddressFlags, Be16, Connection, Counter, Endpoint, EventKind, FlowKey, Ipv6, LocalClients,
    Pair, Talk,
};

use crate::count::count;
use crate::family::Family;
use crate::service::{self, Client, Snapshot};
use crate::socket::{Call, Mapped4, Naming, Plain4, Plain6, is_none};
use crate::usable::{self, Chosen};
use crate::{affinity, config, drops, events, flow, handover, pause, pod, traffic};

const ALLOW: i32 = 1;
const DENY: i32 = 0;

/// Numbers of uapi/asm-generic/errno.h.
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;

pub(super) type AddressOf<N> = <<N as Naming>::Family as Family>::Address;

pub(crate) fn connect4(context: &SockAddrContext) -> i32 {
    connect::<Plain4>(Call::new(context))
}

pub(crate) fn connect6(context: &SockAddrContext) -> i32 {
    let call = Call::new(context);
    if call.is_mapped() {
        connect::<Mapped4>(call)
    } else {
        connect::<Plain6>(call)
    }
}

pub(crate) fn sendmsg4(context: &SockAddrContext) -> i32 {
    sendmsg::<Plain4>(Call::new(context))
}

/// Mapped addresses come to `sendmsg4` (udpv6_sendmsg in net/ipv6/udp.c).
pub(crate) fn sendmsg6(context: &SockAddrContext) -> i32 {
    sendmsg::<Plain6>(Call::new(context))
}

pub(crate) fn recvmsg4(context: &SockAddrContext) -> i32 {
    recvmsg::<Plain4>(Call::new(context))
}

pub(crate) fn recvmsg6(context: &SockAddrContext) -> i32 {
    let call = Call::new(context);
    if call.is_mapped() {
        recvmsg::<Mapped4>(call)
    } else {
        recvmsg::<Plain6>(call)
    }
}

pub(crate) fn getpeername4(context: &SockAddrContext) -> i32 {
    getpeername::<Plain4>(Call::new(context))
}

pub(crate) fn getpeername6(context: &SockAddrContext) -> i32 {
    let call = Call::new(context);
    if call.is_mapped() {
        getpeername::<Mapped4>(call)
    } else {
        getpeername::<Plain6>(call)
    }
}

#[inline(always)]
fn connect<N: Naming>(call: Call) -> i32 {
    let mut pair = Pair::NONE;
    let answer = match decide::<N>(call, &mut pair, call.protocol() == UDP) {
        Decision::Translate if call.connect(&pair) => {
            count(Counter::SocketTranslated);
            traffic::of_socket(pair.service);
            events::of_socket(&pair, call.protocol(), EventKind::NewFlow);
            N::write(call, &N::from_pair(&pair.endpoint), pair.endpoint_port);
            return ALLOW;
        }
        Decision::Translate | Decision::Leave => leave(),
        Decision::NotOurs => ALLOW,
        Decision::Refuse => deny(call, &pair, ECONNREFUSED),
        Decision::TimeOut => deny(call, &pair, ETIMEDOUT),
    };
    // Whatever the socket was connected to before, it is no more.
    if let Some(connection) = call.connection() {
        *connection = Connection::NONE;
    }
    answer
}

#[inline(always)]
fn sendmsg<N: Naming>(call: Call) -> i32 {
    let mut pair = Pair::NONE;
    let (asked, port) = (N::to_pair(&N::read(call)), call.port());
    let mut talk = call.talk();
    if let Some(talk) = &mut talk {
        pair.frontend = asked;
        pair.frontend_port = port;
        if talk.is_left != 0 && !is_own::<N>(call) {
            forget_endpoint(talk, &asked, port);
            return if address::<N>(&N::read(call)).bits == 0 {
                ALLOW
            } else {
                leave()
            };
        }
        if is_known::<N>(call.protocol(), talk, &mut pair) && pod::is_balanced(call) {
            N::write(call, &N::from_pair(&pair.endpoint), pair.endpoint_port);
            return ALLOW;
        }
    }
    match decide::<N>(call, &mut pair, false) {
        Decision::Translate => {
            let is_placed = match call.begin_talk() {
                Some(talk) => place(talk, &pair),
                None => false,
            };
            if !is_placed {
                return leave_all(call);
            }
            count(Counter::SocketTranslated);
            traffic::of_socket(pair.service);
            events::of_socket(&pair, call.protocol(), EventKind::NewFlow);
            N::write(call, &N::from_pair(&pair.endpoint), pair.endpoint_port);
            ALLOW
        }
        Decision::Leave => leave_all(call),
        Decision::NotOurs => {
            // Sent straight to an endpoint: its answers are its own from now on.
            if let Some(talk) = talk {
                forget_endpoint(talk, &pair.frontend, port);
            }
            ALLOW
        }
        Decision::Refuse => deny(call, &pair, ECONNREFUSED),
        Decision::TimeOut => deny(call, &pair, ETIMEDOUT),
    }
}

#[inline(always)]
fn recvmsg<N: Naming>(call: Call) -> i32 {
    if let Some(connection) = call.connection()
        && show_frontend::<N>(call, &connection.pair)
    {
        return ALLOW;
    }
    if let Some(talk) = call.talk() {
        for pair in &talk.pairs {
            if show_frontend::<N>(call, pair) {
                break;
            }
        }
    }
    ALLOW
}

#[inline(always)]
fn getpeername<N: Naming>(call: Call) -> i32 {
    if let Some(connection) = call.connection() {
        show_frontend::<N>(call, &connection.pair);
    }
    ALLOW
}

/// Names the pair's frontend where the call names its endpoint.
#[inline(always)]
fn show_frontend<N: Naming>(call: Call, pair: &Pair) -> bool {
    if is_none(pair)
        || pair.endpoint != N::to_pair(&N::read(call))
        || pair.endpoint_port != call.port()
    {
        return false;
    }
    N::write(call, &N::from_pair(&pair.frontend), pair.frontend_port);
    true
}

#[inline(always)]
fn leave() -> i32 {
    count(Counter::SocketLeft);
    ALLOW
}

/// Leaves this frontend, and from now on every other that the socket talks to.
#[inline(always)]
fn leave_all(call: Call) -> i32 {
    if let Some(talk) = call.begin_talk() {
        talk.is_left = 1;
    }
    leave()
}

#[inline(always)]
fn deny(call: Call, pair: &Pair, errno: i32) -> i32 {
    count(Counter::SocketRefused);
    events::of_socket(pair, call.protocol(), EventKind::Refused);
    Call::fail_with(errno);
    DENY
}

/// What becomes of a call.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Decision {
    /// It names no frontend.
    NotOurs,
    /// It goes to the pair's endpoint.
    Translate,
    /// The packet hooks decide.
    Leave,
    /// Nobody serves it.
    Refuse,
    /// It is to be dropped, and no packet hook would see it.
    TimeOut,
}

/// Decides, and writes the pair down. A function of its own for its stack.
#[inline(never)]
fn decide<N: Naming>(call: Call, pair: &mut Pair, is_connected_udp: bool) -> Decision {
    let protocol = call.protocol();
    let asked = N::read(call);
    pair.frontend = N::to_pair(&asked);
    pair.frontend_port = call.port();
    let is_loopback = is_loopback::<N>(&asked);
    let address = address::<N>(&asked);
    if address.bits == 0
        || address.has(AddressFlags::LEFT_ALONE)
        || (protocol != TCP && protocol != UDP)
    {
        return Decision::NotOurs;
    }
    let key = key::<N>(pair, protocol);
    let Some(frontend) = service::frontend::<N::Family>(&key, address) else {
        return Decision::NotOurs;
    };
    let is_host = call.is_host();
    if !is_host && (is_loopback || config::is_host_only()) {
        return Decision::NotOurs;
    }
    if !pod::is_balanced(call) {
        return Decision::Leave;
    }
    if protocol == UDP && !is_connected_udp && is_foreign::<N>(call, key) {
        return Decision::Leave;
    }
    let is_own = is_host && address.has(AddressFlags::NODE);
    // What would be remembered now would be unknown to the programs that come next.
    if !is_own && pause::is_on() {
        return Decision::Leave;
    }
    if is_connected_udp && !is_own && !config::terminates_udp() {
        return Decision::Leave;
    }
    // It is seen under the address that it asks.
    let client = is_own.then_some(asked);
    let mut snapshot = Snapshot::blank();
    let asking = Client {
        is_local: true,
        is_host,
    };
    if service::snapshot(&frontend, asking, &mut snapshot).is_err() {
        return Decision::Leave;
    }
    let decision = choose::<N>(&snapshot, client, is_host, is_loopback, pair);
    if matches!(decision, Decision::Refuse | Decision::TimeOut) {
        drops::of_socket(snapshot.service);
        pair.service = snapshot.service;
    }
    decision
}

/// Whether a datagram may belong to a flow that another proxy began: then its endpoint is that one's.
#[inline(never)]
fn is_foreign<N: Naming>(call: Call, mut key: FlowKey<AddressOf<N>>) -> bool {
    key.source_port = call.source_port();
    handover::leaves_datagrams() || flow::is_foreign::<N::Family>(&key)
}

/// Whether a process asks something of its own host: that crosses no packet hook.
#[inline(never)]
fn is_own<N: Naming>(call: Call) -> bool {
    call.is_host() && address::<N>(&N::read(call)).has(AddressFlags::NODE)
}

/// Whether the address is that of NodePorts on the loopback device.
#[inline(always)]
fn is_loopback<N: Naming>(asked: &AddressOf<N>) -> bool {
    *asked == N::LOCALHOST && config::has_loopback_node_ports()
}

/// What an address means to a socket.
#[inline(always)]
pub(super) fn address<N: Naming>(asked: &AddressOf<N>) -> AddressFlags {
    if is_loopback::<N>(asked) {
        AddressFlags {
            bits: AddressFlags::NODE_PORTS | AddressFlags::NODE,
        }
    } else {
        service::address::<N::Family>(asked)
    }
}

/// The pair's frontend as packets name it.
#[inline(always)]
pub(super) fn key<N: Naming>(pair: &Pair, protocol: u8) -> FlowKey<AddressOf<N>> {
    FlowKey {
        source: <AddressOf<N>>::UNSPECIFIED,
        destination: N::from_pair(&pair.frontend),
        source_port: Be16::ZERO,
        destination_port: pair.frontend_port,
        protocol,
        pad: [0; 3],
    }
}

/// The pair's endpoint.
#[inline(always)]
pub(super) fn chosen<N: Naming>(pair: &Pair) -> Chosen<AddressOf<N>> {
    Chosen {
        service: pair.service,
        generation: pair.generation,
        endpoint: Endpoint {
            address: N::from_pair(&pair.endpoint),
            port: pair.endpoint_port,
            flags: 0,
        },
    }
}

#[inline(always)]
fn choose<N: Naming>(
    service: &Snapshot,
    client: Option<AddressOf<N>>,
    is_host: bool,
    is_loopback: bool,
    pair: &mut Pair,
) -> Decision {
    let needs_client = service.affinity_s != 0
        || service.source_ranges != 0
        // Who is a pod of this node is told by its packet.
        || (service.is_kept_local
            && !is_host
            && config::local_clients() != LocalClients::Device as u32);
    if service.hides_client || (needs_client && client.is_none()) {
        return Decision::Leave;
    }
    let client = client.unwrap_or(<AddressOf<N>>::UNSPECIFIED);
    let mut endpoint = Endpoint {
        address: <AddressOf<N>>::UNSPECIFIED,
        port: Be16::ZERO,
        flags: 0,
    };
    // The kernel has not given it a source port yet, so no flow can be told from others.
    match service.choose::<N::Family>(&client, None, &mut endpoint) {
        Ok(()) => {}
        Err(Counter::NoEndpoint) => return Decision::Refuse,
        Err(_) if is_loopback => return Decision::TimeOut,
        Err(_) => return Decision::Leave,
    }
    if service.affinity_s != 0 {
        affinity::remember::<N::Family>(service, &client, &endpoint);
    }
    pair.endpoint = N::to_pair(&endpoint.address);
    pair.endpoint_port = endpoint.port;
    pair.service = service.service;
    pair.generation = service.generation;
    Decision::Translate
}

/// Whether the talk has a pair for `pair`'s frontend whose endpoint still serves; it is written to
/// `pair`. One whose endpoint does not is forgotten.
#[inline(never)]
fn is_known<N: Naming>(protocol: u8, talk: &mut Talk, pair: &mut Pair) -> bool {
    for known in &mut talk.pairs {
        if is_none(known)
            || known.frontend != pair.frontend
            || known.frontend_port != pair.frontend_port
        {
            continue;
        }
        if usable::has_changed(known.service, known.generation) {
            let mut chosen = chosen::<N>(known);
            if !still_serves::<N>(known, protocol, &mut chosen) {
                known.endpoint = Ipv6::UNSPECIFIED;
                count(Counter::EndpointGone);
                return false;
            }
            known.service = chosen.service;
            known.generation = chosen.generation;
        }
        pair.endpoint = known.endpoint;
        pair.endpoint_port = known.endpoint_port;
        return true;
    }
    false
}

/// Whether the pair's endpoint still serves who asks for its frontend.
#[inline(never)]
pub(super) fn still_serves<N: Naming>(
    pair: &Pair,
    protocol: u8,
    chosen: &mut Chosen<AddressOf<N>>,
) -> bool {
    let key = key::<N>(pair, protocol);
    service::still_serves::<N::Family>(&key, address::<N>(&key.destination), chosen)
}

/// Adds a pair, in the first free place: a build that remembers fewer pairs keeps the first ones. False: there is no
/// room, or another frontend has the same endpoint, and an answer would not tell which was asked.
#[inline(never)]
fn place(talk: &mut Talk, pair: &Pair) -> bool {
    let mut free = None;
    for known in &mut talk.pairs {
        if is_none(known) {
            if free.is_none() {
                free = Some(known);
            }
        } else if known.endpoint == pair.endpoint && known.endpoint_port == pair.endpoint_port {
            return false;
        }
    }
    match free {
        Some(free) => {
            *free = *pair;
            true
        }
        None => false,
    }
}

/// Forgets the pair that has this endpoint.
#[inline(never)]
fn forget_endpoint(talk: &mut Talk, endpoint: &Ipv6, port: Be16) {
    for known in &mut talk.pairs {
        if known.endpoint == *endpoint && known.endpoint_port == port {
            known.endpoint = Ipv6::UNSPECIFIED;
        }
    }
}
