//! Who may use which port numbers: the kernel for its own connections, NodePorts, and netproxy for
//! source translation.

use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::path::Path;

use super::Finding;
use super::machine::Machine;

type Ports = RangeInclusive<u16>;

/// Below are the ports that services listen on by custom.
const FIRST_SOURCE_PORT: u16 = 10240;

/// Fewer source ports than this per endpoint run out on a busy node.
const FEW: usize = 4096;

const LOCAL_RANGE: &str = "net.ipv4.ip_local_port_range";
const LOCAL_RESERVED: &str = "net.ipv4.ip_local_reserved_ports";

/// The ports that source translation may use: from 10240 up, whatever nobody else may.
///
/// `local` is what the kernel gives to outgoing connections, `reserved` what it was told to keep
/// off (for some listener, hence not ours either).
#[must_use]
pub fn free_source_ports(local: &Ports, reserved: &[Ports], node_ports: &Ports) -> Vec<Ports> {
    let is_free = |port: &u16| {
        !local.contains(port)
            && !node_ports.contains(port)
            && !reserved.iter().any(|range| range.contains(port))
    };
    let free: Vec<u16> = (FIRST_SOURCE_PORT..=u16::MAX).filter(is_free).collect();
    free.chunk_by(|left, right| left + 1 == *right)
        .filter_map(|run| Some(*run.first()?..=*run.last()?))
        .collect()
}

/// As [`free_source_ports`], for the machine whose `/proc` this is.
///
/// # Errors
/// Which setting cannot be read, and why.
pub fn read_free_source_ports(proc: &Path, node_ports: &Ports) -> Result<Vec<Ports>, String> {
    let (local, reserved) = read(&Machine::new(proc, Path::new("/sys")))?;
    Ok(free_source_ports(&local, &reserved, node_ports))
}

pub(super) fn check(machine: &Machine, node_ports: &Ports) -> Vec<Finding> {
    match read(machine) {
        Ok((local, reserved)) => {
            vec![
                node_port_range(&local, &reserved, node_ports),
                source_ports(&local, &reserved, node_ports),
            ]
        }
        Err(error) => vec![Finding::note("ports", format!("unknown: {error}"))],
    }
}

fn node_port_range(local: &Ports, reserved: &[Ports], node_ports: &Ports) -> Finding {
    let subject = "NodePort range";
    let is_taken =
        |port: &u16| local.contains(port) && !reserved.iter().any(|range| range.contains(port));
    let taken = node_ports.clone().filter(is_taken).count();
    if taken == 0 {
        return Finding::ok(
            subject,
            format!("{} is kept free of outgoing connections", show(node_ports)),
        );
    }
    let keep: Vec<_> = reserved.iter().chain([node_ports]).map(show).collect();
    Finding::warning(
        subject,
        format!(
            "{taken} ports of {} may be given to outgoing connections of this node ({LOCAL_RANGE} \
             is {}): replies to them are taken for requests to a service on the same port",
            show(node_ports),
            show(local)
        ),
    )
    .remedy(format!("sysctl -w {LOCAL_RESERVED}={}", keep.join(",")))
}

fn source_ports(local: &Ports, reserved: &[Ports], node_ports: &Ports) -> Finding {
    let subject = "source ports";
    let free = free_source_ports(local, reserved, node_ports);
    let count: usize = free.iter().map(ExactSizeIterator::len).sum();
    let found = format!(
        "{count} for each endpoint that translated connections go to: {}",
        if free.is_empty() {
            "none".to_owned()
        } else {
            free.iter().map(show).collect::<Vec<_>>().join(", ")
        }
    );
    let remedy = format!(
        "leave more to netproxy than {LOCAL_RANGE} ({}) does: \
         sysctl -w {LOCAL_RANGE}='32768 60999'",
        show(local)
    );
    match count {
        0 => Finding::problem(subject, found).remedy(remedy),
        1..FEW => Finding::warning(subject, found).remedy(remedy),
        _ => Finding::ok(subject, found),
    }
}

fn read(machine: &Machine) -> Result<(Ports, Vec<Ports>), String> {
    let read = |name: &str| {
        let value = machine
            .sysctl(name)
            .map_err(|error| format!("{name}: {error}"))?;
        value.ok_or_else(|| format!("no {name} here"))
    };
    let local = read(LOCAL_RANGE)?;
    let reserved = read(LOCAL_RESERVED)?;
    let (first, last) = local
        .split_once(char::is_whitespace)
        .ok_or_else(|| format!("{LOCAL_RANGE}: `{local}` is not a range"))?;
    Ok((
        range(first, last).map_err(|error| format!("{LOCAL_RANGE}: `{local}`: {error}"))?,
        list(&reserved).map_err(|error| format!("{LOCAL_RESERVED}: `{reserved}`: {error}"))?,
    ))
}

/// As in `8080,30000-32767`.
fn list(text: &str) -> Result<Vec<Ports>, ParseIntError> {
    text.split(',')
        .filter(|item| !item.is_empty())
        .map(|item| match item.split_once('-') {
            Some((first, last)) => range(first, last),
            None => range(item, item),
        })
        .collect()
}

fn range(first: &str, last: &str) -> Result<Ports, ParseIntError> {
    Ok(first.trim().parse()?..=last.trim().parse()?)
}

fn show(ports: &Ports) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}-{}", ports.start(), ports.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_two_stretches_are_free() {
        let free = free_source_ports(&(32768..=60999), &[], &(30000..=32767));

        assert_eq!(free, [10240..=29999, 61000..=65535]);
    }

    #[test]
    fn reserved_ports_are_somebody_elses() {
        let reserved = list("9999,10250,65000-65535").unwrap();

        let free = free_source_ports(&(32768..=60999), &reserved, &(30000..=32767));

        assert_eq!(free, [10240..=10249, 10251..=29999, 61000..=64999]);
    }

    #[test]
    fn nothing_may_be_left() {
        assert_eq!(
            free_source_ports(&(1024..=65535), &[], &(30000..=32767)),
            []
        );
    }

    #[test]
    fn a_list_of_ports_may_be_empty_but_not_words() {
        assert_eq!(list("").unwrap(), []);
        assert!(list("http").is_err());
        assert!(list("70000").is_err());
    }
}
