//! Programs of others, as the tests put them beside netproxy's: a CNI plugin's that looks on, one that
//! ends the chain, and a stateful firewall in two parts. And two by which the benchmark sends and takes frames as
//! a network card does. No part of netproxy.
#![no_std]
#![no_main]

use aya_ebpf::Global;
use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_PASS};
use aya_ebpf::bindings::{TC_ACT_OK, TC_ACT_SHOT};
use aya_ebpf::btf_maps::{LruHashMap, PerCpuArray};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_redirect};
use aya_ebpf::macros::{btf_map, classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

/// `TCX_NEXT`, and `TC_ACT_UNSPEC` for clsact.
const NEXT: i32 = -1;
/// Length of the Ethernet header, and where in it the EtherType is.
const ETHERNET: usize = 14;
const ETHER_TYPE: usize = 12;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// An address, and a port.
#[repr(C)]
#[derive(Clone, Copy)]
struct Side {
    address: [u8; 16],
    port: [u8; 2],
}

/// Who sends to whom.
#[repr(C)]
#[derive(Clone, Copy)]
struct Tuple {
    from: Side,
    to: Side,
}

/// What the firewall has let out.
#[btf_map]
static NOTED: LruHashMap<Tuple, u32, 4096> = LruHashMap::new();

/// Length of the headers of a UDP frame of IPv4, and where in it the ports and the checksum are.
const HEADERS: usize = ETHERNET + 20 + 8;
const SOURCE_PORT: usize = ETHERNET + 20;
const DESTINATION_PORT: usize = SOURCE_PORT + 2;
const CHECKSUM: usize = SOURCE_PORT + 6;

/// The headers of what is sent.
#[unsafe(no_mangle)]
static SENT: Global<[u8; HEADERS]> = Global::new([0; HEADERS]);
/// By which device frames are sent.
#[unsafe(no_mangle)]
static SENT_BY: Global<u32> = Global::new(0);
/// From which ports: this one and the next, a power of two of them.
#[unsafe(no_mangle)]
static FIRST_PORT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static PORTS: Global<u32> = Global::new(1);
/// Datagrams to this port are taken.
#[unsafe(no_mangle)]
static TAKEN_AT: Global<u32> = Global::new(0);

/// How many have been taken.
#[btf_map]
static TAKEN: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Looks on.
#[classifier]
fn look_on(_: TcContext) -> i32 {
    NEXT
}

/// Looks on as well: a hook takes a program once.
#[classifier]
fn look_on_too(_: TcContext) -> i32 {
    NEXT
}

/// Looks on before everybody else.
#[xdp]
fn look_on_early(_: XdpContext) -> u32 {
    XDP_PASS
}

/// Lets everything pass, and nobody else see it.
#[classifier]
fn end_chain(_: TcContext) -> i32 {
    TC_ACT_OK
}

/// The firewall's one half: what passes here may be answered.
#[classifier]
fn note(context: TcContext) -> i32 {
    if let Some(tuple) = tuple(&context) {
        let _ = NOTED.insert(&tuple, &1, 0);
    }
    NEXT
}

/// The firewall's other half: only answers pass.
#[classifier]
fn admit_answers(context: TcContext) -> i32 {
    let Some(Tuple { from, to }) = tuple(&context) else {
        return NEXT;
    };
    let answered = Tuple { from: to, to: from };
    // SAFETY: nothing is read of the entry.
    if unsafe { NOTED.get(&answered) }.is_some() {
        NEXT
    } else {
        TC_ACT_SHOT
    }
}

/// Sends a UDP frame of IPv4 from a port by chance. All headers are written each time: who got the page before may
/// have written into it.
#[xdp]
fn send_frame(context: XdpContext) -> u32 {
    let start = context.data();
    if start + HEADERS > context.data_end() {
        return XDP_ABORTED;
    }
    let mut headers = SENT.load();
    // SAFETY: no arguments.
    let chance = unsafe { bpf_get_prandom_u32() } & (PORTS.load() - 1);
    let port = (FIRST_PORT.load() + chance) as u16;
    let word = |at: usize| u16::from_be_bytes([headers[at], headers[at + 1]]);
    // RFC 1624, equation 3.
    let mut sum = u32::from(!word(CHECKSUM)) + u32::from(!word(SOURCE_PORT)) + u32::from(port);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    headers[SOURCE_PORT..SOURCE_PORT + 2].copy_from_slice(&port.to_be_bytes());
    headers[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    // SAFETY: the packet has room for them, as was looked at.
    unsafe {
        (start as *mut [u8; HEADERS]).write_unaligned(headers);
        bpf_redirect(SENT_BY.load(), 0) as u32
    }
}

/// Takes the datagrams that were asked for, and counts them.
#[classifier]
fn take(context: TcContext) -> i32 {
    let is_taken = context.load(ETHER_TYPE) == Ok([0x08_u8, 0x00])
        && context.load(ETHERNET + 9) == Ok(UDP)
        && context
            .load(DESTINATION_PORT)
            .is_ok_and(|port: [u8; 2]| u32::from(u16::from_be_bytes(port)) == TAKEN_AT.load());
    if !is_taken {
        return NEXT;
    }
    if let Some(taken) = TAKEN.get_ptr_mut(0) {
        // SAFETY: this CPU's value.
        unsafe { *taken += 1 };
    }
    TC_ACT_SHOT
}

/// Of TCP and UDP without IP options or extension headers.
fn tuple(context: &TcContext) -> Option<Tuple> {
    let ether_type: [u8; 2] = context.load(ETHER_TYPE).ok()?;
    let mut tuple = Tuple {
        from: Side {
            address: [0; 16],
            port: [0; 2],
        },
        to: Side {
            address: [0; 16],
            port: [0; 2],
        },
    };
    let (protocol, transport): (u8, usize) = match ether_type {
        [0x08, 0x00] => {
            let [from, to]: [[u8; 4]; 2] = context.load(ETHERNET + 12).ok()?;
            tuple.from.address[..4].copy_from_slice(&from);
            tuple.to.address[..4].copy_from_slice(&to);
            (context.load(ETHERNET + 9).ok()?, ETHERNET + 20)
        }
        [0x86, 0xdd] => {
            tuple.from.address = context.load(ETHERNET + 8).ok()?;
            tuple.to.address = context.load(ETHERNET + 24).ok()?;
            (context.load(ETHERNET + 6).ok()?, ETHERNET + 40)
        }
        _ => return None,
    };
    if protocol != TCP && protocol != UDP {
        return None;
    }
    [tuple.from.port, tuple.to.port] = context.load(transport).ok()?;
    Some(tuple)
}

/// The kernel's GPL-only helpers need it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a program with a reachable panic does not pass the verifier.
    loop {}
}
