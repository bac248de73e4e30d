//! `EVENTS` and `LISTENER`: what the programs tell while somebody listens.
//!
//! The buffer has one reader, who holds a lock for as long as he lives. The programs take him for absent a
//! few seconds after he has last said that he is there, so one who is killed costs nothing.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use aya::maps::{Map, MapData, MapError, RingBuf};
use netproxy_common::{Be16, Counter, Event, EventHook, EventKind, FlowKind, Ipv6, Listener};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::time::{ClockId, clock_gettime};

use super::{Counters, DatapathError, Pins, batch};

const BUFFER: &str = "EVENTS";
const LISTENER: &str = "LISTENER";

/// For how long the programs take a listener for present who says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventEntry {
    /// When.
    pub time: SystemTime,
    /// What.
    pub kind: EventKind,
    /// Where.
    pub hook: EventHook,
    /// The IP protocol number.
    pub protocol: u8,
    /// The service's id; None: not known, or the packet asked for none.
    pub service: Option<u32>,
    /// Who asked; None: a socket, which has no address yet.
    pub client: Option<SocketAddr>,
    /// What was asked for.
    pub frontend: SocketAddr,
    /// Who answers; None: nobody, or not known.
    pub endpoint: Option<SocketAddr>,
    /// Who the endpoint sees as client; None: not known.
    pub source: Option<SocketAddr>,
    /// How a new flow of packets is translated.
    pub flow_kind: Option<FlowKind>,
    /// Why nobody was served; None: it is a new flow.
    pub reason: Option<Counter>,
    /// The device at whose hook the packet was.
    pub ifindex: Option<u32>,
    /// The process whose socket it was: its number in the first pid namespace, and its name.
    pub process: Option<(u32, String)>,
}

/// What happens, from now on.
pub struct Events {
    buffer: RingBuf<MapData>,
    listener: MapData,
    kinds: u32,
    counters: Counters,
    lost_before: u64,
    /// When the clock of events began, in time that people know.
    epoch: SystemTime,
    _claim: Flock<File>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Listens to events of these kinds.
    ///
    /// # Errors
    /// [`DatapathError::HasListener`]: somebody else does. [`DatapathError::NoEvents`]: the maps were made by a
    /// release that tells of none.
    pub(super) fn listen(pins: &Pins, kinds: &[EventKind]) -> Result<Self, DatapathError> {
        if !pins.map(BUFFER).exists() || !pins.map(LISTENER).exists() {
            return Err(DatapathError::NoEvents {
                path: pins.directory().to_owned(),
            });
        }
        let listener = pins.open(LISTENER)?;
        let claim = claim(pins, &listener)?;
        let buffer = RingBuf::try_from(Map::RingBuf(pins.open(BUFFER)?))
            .map_err(|error| not_opened(BUFFER, error))?;
        let mut events = Self {
            buffer,
            listener,
            kinds: kinds.iter().fold(0, |bits, kind| bits | kind.bit()),
            counters: Counters::open(pins)?,
            lost_before: 0,
            epoch: epoch(),
            _claim: claim,
        };
        // What an earlier listener did not read is old.
        while events.buffer.next().is_some() {}
        events.lost()?;
        events.go_on()?;
        Ok(events)
    }

    /// Says that somebody listens, for the next few seconds.
    pub fn go_on(&mut self) -> Result<(), DatapathError> {
        self.epoch = epoch();
        let until = since_boot() + PATIENCE;
        self.write(Listener {
            until_ns: u64::try_from(until.as_nanos()).unwrap_or(u64::MAX),
            kinds: self.kinds,
            process: std::process::id(),
        })
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<EventEntry> {
        while let Some(record) = self.buffer.next() {
            let event = record
                .get(..size_of::<Event>())
                .map(bytemuck::pod_read_unaligned::<Event>);
            if let Some(entry) = event.and_then(|event| entry(&event, self.epoch)) {
                return Some(entry);
            }
        }
        None
    }

    /// How many events there was no room for, since this was last asked.
    pub fn lost(&mut self) -> Result<u64, DatapathError> {
        let lost = self.counters.get(Counter::EventLost)?;
        let since = lost.saturating_sub(self.lost_before);
        self.lost_before = lost;
        Ok(since)
    }

    fn write(&self, listener: Listener) -> Result<(), DatapathError> {
        batch::update(&self.listener, &[(0_u32, listener)])
            .map_err(DatapathError::map(LISTENER, "written"))
    }
}

/// Readable when there are events.
impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.buffer.as_fd()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // If it fails, the programs find out by themselves.
        let _ = self.write(Listener::default());
    }
}

fn not_opened(name: &'static str, error: MapError) -> DatapathError {
    let error = match error {
        MapError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    };
    DatapathError::map(name, "opened")(error)
}

/// The right to read events: a lock on the directory of the maps. (Who writes the maps locks the one above.)
fn claim(pins: &Pins, listener: &MapData) -> Result<Flock<File>, DatapathError> {
    let path = pins.directory();
    let failed = |error: io::Error| DatapathError::file(path, "cannot be locked")(error);
    let directory = File::open(path).map_err(failed)?;
    match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
        Ok(claim) => Ok(claim),
        Err((_, Errno::EWOULDBLOCK)) => {
            let other: Option<Listener> = batch::look_up(listener, &0_u32).unwrap_or_default();
            Err(DatapathError::HasListener {
                path: path.to_owned(),
                process: other.unwrap_or_default().process,
            })
        }
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

/// `CLOCK_MONOTONIC`, the clock of events.
fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

fn epoch() -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(since_boot()).unwrap_or(now)
}

/// The record in words of user space; None: of a kind that is not known.
fn entry(event: &Event, epoch: SystemTime) -> Option<EventEntry> {
    let kind = EventKind::from_u8(event.kind)?;
    let hook = EventHook::from_u8(event.hook)?;
    let is_new = kind == EventKind::NewFlow;
    let flow_kind =
        FlowKind::from_u8(event.flow_kind).filter(|_| is_new && hook == EventHook::Packet);
    // What a flow that another proxy began goes to is not known to us.
    let is_known = flow_kind != Some(FlowKind::Foreign);
    Some(EventEntry {
        time: epoch + Duration::from_nanos(event.time_ns),
        kind,
        hook,
        protocol: event.protocol,
        service: (event.service != Event::NO_SERVICE).then_some(event.service),
        client: socket(event.client, event.client_port),
        frontend: SocketAddr::new(address(event.frontend), event.frontend_port.get()),
        endpoint: socket(event.endpoint, event.endpoint_port).filter(|_| is_known),
        source: socket(event.source, event.source_port).filter(|_| is_known),
        flow_kind,
        reason: Counter::ALL
            .get(usize::from(event.reason))
            .copied()
            .filter(|_| !is_new),
        ifindex: (event.ifindex != 0).then_some(event.ifindex),
        process: (event.process != 0).then(|| (event.process, text(&event.command))),
    })
}

fn socket(of: Ipv6, port: Be16) -> Option<SocketAddr> {
    (of.octets != [0; 16]).then(|| SocketAddr::new(address(of), port.get()))
}

fn address(of: Ipv6) -> IpAddr {
    Ipv6Addr::from(of.octets).to_canonical()
}

fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..length.unwrap_or(bytes.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use netproxy_common::event::EVENTS_BYTES;

    use super::*;

    fn mapped([a, b, c, d]: [u8; 4]) -> Ipv6 {
        Ipv6::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    fn dropped() -> Event {
        Event {
            time_ns: 1_500_000_000,
            client: mapped([10, 0, 0, 7]),
            client_port: Be16::new(40_000),
            frontend: mapped([10, 96, 0, 1]),
            frontend_port: Be16::new(80),
            service: 3,
            ifindex: 2,
            kind: EventKind::Drop as u8,
            hook: EventHook::Packet as u8,
            protocol: 6,
            reason: Counter::NoEndpoint as u8,
            ..Event::zeroed()
        }
    }

    #[test]
    fn addresses_of_ipv4_are_told_as_such_and_what_is_not_known_is_none() {
        let entry = entry(&dropped(), SystemTime::UNIX_EPOCH).unwrap();

        assert_eq!(entry.client, Some("10.0.0.7:40000".parse().unwrap()));
        assert_eq!(entry.frontend, "10.96.0.1:80".parse().unwrap());
        assert_eq!((entry.endpoint, entry.process), (None, None));
        assert_eq!(entry.reason, Some(Counter::NoEndpoint));
        assert_eq!(entry.flow_kind, None);
        let since = entry.time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::from_millis(1500));
    }

    #[test]
    fn a_new_flow_has_a_kind_and_no_reason() {
        let event = Event {
            kind: EventKind::NewFlow as u8,
            endpoint: mapped([10, 1, 0, 1]),
            flow_kind: FlowKind::Whole as u8,
            service: Event::NO_SERVICE,
            ..dropped()
        };

        let new = entry(&event, SystemTime::UNIX_EPOCH).unwrap();
        let foreign = Event {
            flow_kind: FlowKind::Foreign as u8,
            ..event
        };
        let foreign = entry(&foreign, SystemTime::UNIX_EPOCH).unwrap();

        assert_eq!((new.reason, new.service), (None, None));
        assert_eq!(new.flow_kind, Some(FlowKind::Whole));
        assert!(new.endpoint.is_some());
        assert_eq!(foreign.endpoint, None);
    }

    #[test]
    fn what_a_later_release_may_tell_is_passed_over() {
        let event = Event {
            kind: 200,
            ..dropped()
        };

        assert_eq!(entry(&event, SystemTime::UNIX_EPOCH), None);
    }

    /// The kernel takes nothing else (`ringbuf_map_alloc` in kernel/bpf/ringbuf.c).
    #[test]
    fn the_buffer_has_a_size_that_the_kernel_takes() {
        assert!(EVENTS_BYTES.is_power_of_two() && EVENTS_BYTES.is_multiple_of(65_536));
    }
}
