//! Loading the programs: constants by kernel, maps from their pins or new.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use aya::maps::{Map, MapData};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};

use netproxy_common::{LocalClients, SocketScope};

use super::btf::TypeInfo;
use super::layout::{Layout, Layouts};
use super::programs::Programs;
use super::sizes::Sizes;
use super::sockets::own_netns_cookie;
use super::succession::Succession;
use super::{DatapathError, DatapathOptions, Pins, flow_sizes, socket_memory, traffic, turnover};
use crate::causes::with_causes;
use crate::settings::Termination;

/// The compiled programs, as `build.rs` embedded them.
static PROGRAMS: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netproxy-ebpf"));

/// `BPF_FIB_LOOKUP_SKIP_NEIGH` and `BPF_FIB_LOOKUP_SRC` of uapi/linux/bpf.h.
const FIB_SKIP_NEIGH: u32 = 1 << 2;
const FIB_SRC: u32 = 1 << 4;
/// `BPF_F_IPV6` of uapi/linux/bpf.h.
const CSUM_IPV6: u64 = 1 << 7;

/// The source ports of whole flows: everything from 10240 up that nobody else hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePorts {
    /// The lower run: first port and number of ports.
    pub low: (u16, u16),
    /// The upper run: first port and number of ports.
    pub high: (u16, u16),
}

impl Default for SourcePorts {
    /// What is left beside the kernel's default ephemeral ports (32768-60999) and the default
    /// NodePorts (30000-32767).
    fn default() -> Self {
        Self {
            low: (10_240, 19_760),
            high: (61_000, 4_536),
        }
    }
}

impl SourcePorts {
    /// The two longest of several runs of ports.
    #[must_use]
    pub fn longest(runs: &[RangeInclusive<u16>]) -> Self {
        let mut runs: Vec<_> = runs
            .iter()
            .filter_map(|run| Some((*run.start(), u16::try_from(run.len()).ok()?)))
            .collect();
        runs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut runs = runs.into_iter();
        Self {
            low: runs.next().unwrap_or_default(),
            high: runs.next().unwrap_or_default(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.low.1) + u32::from(self.high.1)
    }

    /// A step near the golden ratio of the count and coprime to it, so that neighbours in time
    /// are far apart in number and the cycle visits every port.
    fn stride(self) -> u32 {
        let count = self.count().max(1);
        let start = (u64::from(count) * 618 / 1000).max(1);
        (start..)
            .find_map(|step| {
                let step = u32::try_from(step).ok()?;
                (gcd(step, count) == 1).then_some(step)
            })
            .unwrap_or(1)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The loaded programs and the maps they use.
pub(super) struct Loaded {
    ebpf: Ebpf,
    maps: BTreeMap<&'static str, Map>,
}

/// Loads everything; pinned maps are reused, others created and pinned, and filled from pinned ones that are another
/// build's.
pub(super) fn load(
    options: &DatapathOptions,
    local_clients: LocalClients,
) -> Result<(Loaded, Succession), DatapathError> {
    options.pins.create()?;
    let by_machine = flow_sizes::of_machine().into_iter();
    let sizes = Sizes {
        by_machine: by_machine.chain([traffic::size_of_machine()]).collect(),
        asked: options.map_sizes.clone(),
    };
    let mut succession = Succession::begin(&options.pins, compiled_layouts()?, &sizes)?;
    let fib_flags = match (is_kernel(6, 7), is_kernel(6, 3)) {
        (true, _) => FIB_SKIP_NEIGH | FIB_SRC,
        (false, true) => FIB_SKIP_NEIGH,
        (false, false) => 0,
    };
    let csum_flag = if is_kernel(6, 16) { CSUM_IPV6 } else { 0 };
    let SourcePorts { low, high } = options.ports;
    let sockets = options.sockets.as_ref();
    let scope = sockets.map_or(SocketScope::default(), |sockets| sockets.scope);
    let has_opt_out = sockets.is_some_and(|sockets| sockets.has_opt_out);
    let has_loopback = sockets.is_some_and(|sockets| sockets.has_loopback_node_ports);
    let termination = sockets.map_or(Termination::NONE, |sockets| sockets.termination);
    let [most_opening, closed_per_cpu] = turnover::parts(succession.sizes());
    let globals = [
        most_opening,
        closed_per_cpu,
        ("FIB_FLAGS", fib_flags),
        ("LOCAL_CLIENTS", local_clients as u32),
        ("SOCKET_SCOPE", scope as u32),
        ("SOCKET_OPT_OUT", u32::from(has_opt_out)),
        ("LOOPBACK_NODE_PORTS", u32::from(has_loopback)),
        ("TERMINATES_UDP", u32::from(termination.udp)),
        ("TERMINATES_TCP", u32::from(termination.tcp)),
        ("PORTS_LOW_FIRST", u32::from(low.0)),
        ("PORTS_LOW_COUNT", u32::from(low.1)),
        ("PORTS_HIGH_FIRST", u32::from(high.0)),
        ("PORTS_HIGH_COUNT", u32::from(high.1)),
        ("PORTS_STRIDE", options.ports.stride()),
    ];
    let host_netns = own_netns_cookie()?;
    let mut loader = EbpfLoader::new();
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    loader.override_global("CSUM_IPV6_FLAG", &csum_flag, true);
    loader.override_global("HOST_NETNS", &host_netns, true);
    for (name, entries) in succession.sizes().filter(|(_, entries)| *entries != 0) {
        loader.map_max_entries(name, entries);
    }
    for name in Pins::map_names() {
        loader.map_pin_path(name, succession.pin(name));
    }
    let old_bytes = socket_memory::KINDS
        .each_ref()
        .map(|kind| (kind, succession.old_value_bytes(kind.map)));
    for (kind, bytes) in &old_bytes {
        loader.override_global(kind.bytes, bytes, true);
        if *bytes > 0 {
            loader.map_max_entries(kind.told, socket_memory::ROOM);
        }
    }
    let mut ebpf = loader.load(PROGRAMS).map_err(|error| refused(&error))?;
    let mut maps = BTreeMap::new();
    for name in Pins::map_names() {
        let map = ebpf.take_map(name).ok_or_else(|| DatapathError::Load {
            what: "map",
            name: name.to_owned(),
            reason: "the compiled programs do not contain it".to_owned(),
            remedy: "; rebuild with `cargo xtask build`",
        })?;
        maps.insert(name, map);
    }
    succession.carry()?;
    Ok((Loaded { ebpf, maps }, succession))
}

/// What the compiled programs say of the maps that are pinned.
pub(super) fn compiled_layouts() -> Result<&'static Layouts, DatapathError> {
    static LAYOUTS: OnceLock<Layouts> = OnceLock::new();
    if let Some(layouts) = LAYOUTS.get() {
        return Ok(layouts);
    }
    let failed = |name: &str, reason: &str| DatapathError::Load {
        what: "map",
        name: name.to_owned(),
        reason: reason.to_owned(),
        remedy: "; rebuild with `cargo xtask build`",
    };
    let btf = TypeInfo::of_object(PROGRAMS).ok_or_else(|| {
        failed(
            "of netproxy",
            "the compiled programs do not describe their types",
        )
    })?;
    let mut layouts = Layouts::new();
    for name in Pins::map_names() {
        let layout = Layout::of_map(&btf, name)
            .filter(|layout| Pins::has_shape(name, layout))
            .ok_or_else(|| failed(name, "the compiled programs have none, or another one"))?;
        layouts.insert(name.to_owned(), layout);
    }
    Ok(LAYOUTS.get_or_init(|| layouts))
}

impl Loaded {
    /// Hands out a map.
    pub(super) fn take(&mut self, name: &'static str) -> Result<MapData, DatapathError> {
        match self.maps.remove(name) {
            Some(
                Map::Array(data)
                | Map::HashMap(data)
                | Map::LpmTrie(data)
                | Map::LruHashMap(data)
                | Map::PerCpuArray(data),
            ) => Ok(data),
            _ => Err(unusable(name)),
        }
    }

    /// Hands out the programs, yet to be verified.
    pub(super) fn into_programs(self) -> Programs {
        Programs::new(self.ebpf, self.maps)
    }
}

/// Whether the kernel is this release or newer.
pub(super) fn is_kernel(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|current| current >= KernelVersion::new(major, minor, 0))
}

/// A map that cannot be handed out.
pub(super) fn unusable(map: &str) -> DatapathError {
    DatapathError::Load {
        what: "map",
        name: map.to_owned(),
        reason: "it is used twice or has an unexpected type".to_owned(),
        remedy: "",
    }
}

fn refused(error: &EbpfError) -> DatapathError {
    let what = if matches!(error, EbpfError::MapError(_)) {
        "maps"
    } else {
        "programs"
    };
    DatapathError::Load {
        what,
        name: "of netproxy".to_owned(),
        reason: with_causes(error),
        remedy: "; netproxy needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: \
                 `netproxy check` tells what is missing",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_cycle_of_source_ports_visits_every_port_once() {
        for ports in [
            SourcePorts::default(),
            SourcePorts {
                low: (10_240, 1),
                high: (61_000, 1),
            },
            SourcePorts {
                low: (1024, 4096),
                high: (61_000, 0),
            },
        ] {
            let count = ports.count();
            let stride = ports.stride();

            let seen: BTreeSet<u64> = (0..u64::from(count))
                .map(|position| position * u64::from(stride) % u64::from(count))
                .collect();

            assert_eq!(seen.len(), count as usize, "{ports:?} with stride {stride}");
        }
    }
}
