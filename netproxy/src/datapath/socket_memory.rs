//! What sockets remember (`SOCKETS`, `TALKS`), carried into maps of another layout: one walk of the old map tells of it,
//! user space converts it, and a second walk gives it to the sockets (`hooks/memory.rs` of netproxy-ebpf).

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};

use aya::Btf;
use aya::maps::MapData;

use super::contents::ForeignMap;
use super::convert::Conversion;
use super::programs::Programs;
use super::stale_sockets::{link, walk};
use super::succession::Succession;
use super::{DatapathError, batch};
use crate::causes::with_causes;

/// As many sockets are given their memory in one walk.
pub(super) const ROOM: u32 = 65_536;

/// What belongs to one of the two maps.
pub(super) struct Kind {
    pub(super) map: &'static str,
    /// The map by which the programs are told, by cookie.
    pub(super) told: &'static str,
    /// The constant by which the programs know the size of an old value.
    pub(super) bytes: &'static str,
    tell: &'static str,
    give: &'static str,
}

/// The two.
pub(super) const KINDS: [Kind; 2] = [
    Kind {
        map: "SOCKETS",
        told: "TOLD_CONNECTIONS",
        bytes: "OLD_CONNECTION_BYTES",
        tell: "tell_connections",
        give: "give_connections",
    },
    Kind {
        map: "TALKS",
        told: "TOLD_TALKS",
        bytes: "OLD_TALK_BYTES",
        tell: "tell_talks",
        give: "give_talks",
    },
];

/// The ways from old maps to new ones; none where sockets go on with those they have.
#[derive(Debug)]
pub(super) struct SocketMemory {
    ways: Vec<Way>,
}

#[derive(Debug)]
struct Way {
    name: &'static str,
    old: ForeignMap,
    new_bytes: usize,
    conversion: Conversion,
    told: MapData,
    tell: OwnedFd,
    give: OwnedFd,
}

impl SocketMemory {
    /// Loads what is needed. Nothing changes yet.
    pub(super) fn prepare(
        programs: &mut Programs,
        succession: &Succession,
    ) -> Result<Self, DatapathError> {
        let mut ways = Vec::new();
        for kind in &KINDS {
            let Some((old, new)) = succession.old_and_new(kind.map)? else {
                continue;
            };
            let failed = |reason: String| DatapathError::Load {
                what: "iterator",
                name: kind.tell.to_owned(),
                reason,
                remedy: "",
            };
            let btf = Btf::from_sys_fs().map_err(|error| failed(with_causes(&error)))?;
            let mut attach = |name| {
                let program = programs.iterator(name, "bpf_sk_storage_map", &btf)?;
                let program = program.fd().map_err(|error| failed(with_causes(&error)))?;
                link(program.as_fd(), old.fd()).map_err(|error| failed(with_causes(&error)))
            };
            let (tell, give) = (attach(kind.tell)?, attach(kind.give)?);
            ways.push(Way {
                name: kind.map,
                new_bytes: new.value.bytes as usize,
                conversion: Conversion::new(&old.layout().value, &new.value),
                told: programs.take_map(kind.told)?,
                tell,
                give,
                old,
            });
        }
        Ok(Self { ways })
    }

    /// Whether sockets remember things in maps of another layout.
    pub(super) fn is_old(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Gives every socket that remembers nothing in a new map what it remembers in the old one; yields how many have
    /// something there.
    pub(super) fn carry(&self) -> Result<usize, DatapathError> {
        let carry = |way: &Way| way.carry().map_err(DatapathError::map(way.name, "carried"));
        self.ways.iter().map(carry).sum()
    }
}

impl Way {
    fn carry(&self) -> io::Result<usize> {
        let mut told = Vec::new();
        walk(self.tell.as_fd())?.read_to_end(&mut told)?;
        let (mut cookies, mut values) = (Vec::new(), Vec::new());
        let record = size_of::<u64>() + self.old.layout().value.bytes as usize;
        for record in told.chunks_exact(record) {
            let (cookie, value) = record.split_at(size_of::<u64>());
            if self.conversion.convert(value, &mut values) {
                cookies.extend_from_slice(cookie);
            }
        }
        let room = ROOM as usize;
        let parts = cookies
            .chunks(room * size_of::<u64>())
            .zip(values.chunks(room * self.new_bytes));
        for (cookies, values) in parts {
            let count = cookies.len() / size_of::<u64>();
            batch::update_bytes(&self.told, cookies, values, count)?;
            walk(self.give.as_fd())?.read_to_end(&mut Vec::new())?;
            batch::delete_bytes(&self.told, cookies, size_of::<u64>())?;
        }
        Ok(cookies.len() / size_of::<u64>())
    }
}
