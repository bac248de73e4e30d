//! The programs: one entry point per hook and link layer, each a single call into its hook.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    internal_features,
    reason = "the BPF target has no other atomic addition"
)]

mod affinity;
mod checksum;
mod clock;
mod config;
mod count;
mod device;
mod family;
mod flow;
mod hooks;
mod maps;
mod nat;
mod networks;
mod packet;
mod ports;
mod refuse;
mod route;
mod service;
mod usable;

use aya_ebpf::{macros::classifier, programs::TcContext};

use crate::packet::{ETHERNET, NO_LINK_LAYER};

/// Packets entering the node from a device with Ethernet headers.
#[classifier]
fn tc_ingress(context: TcContext) -> i32 {
    hooks::tc::ingress::<ETHERNET>(context)
}

/// Packets entering the node from a device without link-layer headers (wireguard, ipip, tun).
#[classifier]
fn tc_ingress_l3(context: TcContext) -> i32 {
    hooks::tc::ingress::<NO_LINK_LAYER>(context)
}

/// Packets leaving the node through a device with Ethernet headers.
#[classifier]
fn tc_egress(context: TcContext) -> i32 {
    hooks::tc::egress::<ETHERNET>(context)
}

/// Packets leaving the node through a device without link-layer headers.
#[classifier]
fn tc_egress_l3(context: TcContext) -> i32 {
    hooks::tc::egress::<NO_LINK_LAYER>(context)
}

/// The kernel's GPL-only helpers need it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a program with a reachable panic does not pass the verifier.
    loop {}
}
