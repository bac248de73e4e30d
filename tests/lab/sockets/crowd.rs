//! Very many sockets at once.

use std::fs;

use anyhow::{Context, Result, ensure};
use netproxy_common::{Connection, Talk};
use netproxy_lab::{Process, Traffic, wait_for};

use super::{count, shop};
use crate::cluster::LONGEST;

const SOCKETS: u64 = 100_000;
/// The processes that share them: one alone would need a higher limit of open files than most have.
const PROCESSES: u64 = 10;
/// What others on this machine may take or give back of the same size meanwhile.
const OTHERS: u64 = SOCKETS / 10;
/// What the kernel keeps with a socket's value (`struct bpf_local_storage_elem` and the pointer in
/// front of the data).
const HEAD_BYTES: usize = 72;

/// Elements of socket storage cannot be listed without a program of our own, and the memory that a
/// map shows is without them. Each is an allocation by itself, so they are counted where the kernel
/// counts those of their size: in `/proc/slabinfo`. As many sockets that ask an endpoint straight take
/// a hundredth of that.
fn leave_no_storage_behind<T>(name: &str, are_connected: bool) -> Result<()> {
    let allocations = allocations_of::<T>;
    let shop = shop(name)?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let door = shop.near.at_cluster_ips()[0];
        let translated = count(&node, "socket_translated")?;
        let before = allocations()?;

        let crowd: Vec<_> = (0..PROCESSES)
            .map(|_| shell.crowd(door.udp, SOCKETS / PROCESSES, are_connected))
            .collect::<Result<_>>()?;
        let balanced = count(&node, "socket_translated")? - translated;
        let open = allocations()?;
        crowd.iter().try_for_each(Process::kill9)?;

        ensure!(balanced == SOCKETS, "{balanced} sockets were balanced");
        println!("{before} allocations of that size before, {open} with all sockets");
        ensure!(
            open >= before + SOCKETS - OTHERS,
            "{before} allocations before, {open} with {SOCKETS} sockets: they are not seen here"
        );
        // The kernel frees after a grace period.
        let after = wait_for("their storage is freed", LONGEST, allocations, |now| {
            *now < before + OTHERS
        })?;
        println!("{after} after");
        door.is_answered_by(&shell, &shop.near.endpoints, 10)?;
        Ok(())
    })
}

#[test]
fn a_hundred_thousand_sockets_leave_no_storage_behind() -> Result<()> {
    leave_no_storage_behind::<Talk>("crowd", false)
}

#[test]
fn a_hundred_thousand_connected_sockets_leave_no_storage_behind() -> Result<()> {
    leave_no_storage_behind::<Connection>("connected-crowd", true)
}

/// Allocations of the size of this much storage, of all on this machine.
fn allocations_of<T>() -> Result<u64> {
    let size = (size_of::<T>() + HEAD_BYTES).next_power_of_two();
    let ending = format!("-{size}");
    let text = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo")?;
    text.lines()
        .filter_map(|line| {
            let (name, counts) = line.split_once(' ')?;
            (name.starts_with("kmalloc") && name.ends_with(&ending)).then_some(counts)
        })
        .map(|counts| {
            let active = counts.split_whitespace().next().context("no count")?;
            Ok(active.parse::<u64>()?)
        })
        .sum()
}
