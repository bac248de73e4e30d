//! `SERVICE_CIDRS_*` and `POD_CIDRS_*`: a few networks that packets are compared with.
//!
//! Networks that stay keep their slots as far as possible, so that adding one opens no gap. A slot
//! that is emptied is filled anew only after a grace period; until then those behind it do not
//! count. What stands in the maps is the record: an earlier process's networks stay until others
//! are set, and setting the same ones again writes nothing.

use ipnet::IpNet;
use netproxy_common::address::Address;
use netproxy_common::network::NETWORKS;
use netproxy_common::{Ipv4, Ipv6, Network};
use tracing::warn;

use super::encode::Encode;
use super::grace::wait_for_grace_period;
use super::load::Loaded;
use super::mapped::Mapped;
use super::{DatapathError, Pins};

/// The networks of one kind, in both families.
#[derive(Debug)]
pub(super) struct Networks {
    v4: Slots<Ipv4>,
    v6: Slots<Ipv6>,
}

/// The networks of one family.
#[derive(Debug)]
struct Slots<A> {
    array: Mapped<Network<A>>,
    /// Whether a slot was emptied since the last grace period, perhaps by an earlier process.
    has_emptied: bool,
    /// Whether the log knows that not all fit.
    is_over: bool,
}

impl Networks {
    /// Opens the maps of the two families; what they hold stays.
    pub(super) fn adopt(
        loaded: &mut Loaded,
        [v4, v6]: [&'static str; 2],
    ) -> Result<Self, DatapathError> {
        Ok(Self {
            v4: Slots::new(Mapped::new(v4, loaded.take(v4)?, true)?),
            v6: Slots::new(Mapped::new(v6, loaded.take(v6)?, true)?),
        })
    }

    /// Opens the pinned maps of the two families.
    pub(super) fn open(pins: &Pins, [v4, v6]: [&'static str; 2]) -> Result<Self, DatapathError> {
        Ok(Self {
            v4: Slots::new(Mapped::new(v4, pins.open(v4)?, true)?),
            v6: Slots::new(Mapped::new(v6, pins.open(v6)?, true)?),
        })
    }

    /// The networks that count.
    pub(super) fn held(&self) -> Vec<IpNet> {
        let v4 = self.v4.held().into_iter().filter_map(|it| to_net(&it));
        let v6 = self.v6.held().into_iter().filter_map(|it| to_net(&it));
        v4.chain(v6).collect()
    }

    /// Makes these the networks that count. Those that do not fit are left out and logged.
    pub(super) fn set(&mut self, wanted: &[IpNet]) -> Result<(), DatapathError> {
        let wanted: Vec<_> = wanted.iter().map(IpNet::trunc).collect();
        let wanted = IpNet::aggregate(&wanted);
        let outcome = self.v4.set(&wanted);
        outcome.and(self.v6.set(&wanted))
    }
}

impl<A: Encode> Slots<A>
where
    Network<A>: bytemuck::Pod,
{
    fn new(array: Mapped<Network<A>>) -> Self {
        Self {
            array,
            has_emptied: true,
            is_over: false,
        }
    }

    fn set(&mut self, wanted: &[IpNet]) -> Result<(), DatapathError> {
        let mut wanted: Vec<Network<A>> = wanted.iter().filter_map(network).collect();
        self.report_excess(&wanted);
        wanted.truncate(NETWORKS);
        let held = self.held();
        let wanted = arrange(&held, &wanted);
        let same = held
            .iter()
            .zip(&wanted)
            .take_while(|(held, wanted)| held == wanted)
            .count();
        let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        for at in (same..held.len()).rev() {
            self.array.vacate(index(at));
            self.has_emptied = true;
        }
        if wanted.len() > same && self.has_emptied {
            wait_for_grace_period().map_err(DatapathError::map(self.array.name(), "written"))?;
            self.has_emptied = false;
        }
        for (at, network) in wanted.iter().enumerate().skip(same) {
            self.array.occupy(index(at), *network);
        }
        Ok(())
    }

    /// The networks that count.
    fn held(&self) -> Vec<Network<A>> {
        (0..self.array.entries())
            .map_while(|index| self.array.get(index))
            .take_while(|network| network.in_use != 0)
            .collect()
    }

    fn report_excess(&mut self, wanted: &[Network<A>]) {
        let is_over = wanted.len() > NETWORKS;
        if is_over && !self.is_over {
            warn!(
                map = self.array.name(),
                networks = wanted.len(),
                most = NETWORKS,
                "too many networks: those after the first ones, by address, do not count"
            );
        }
        self.is_over = is_over;
    }
}

/// `wanted` in an order in which as many as possible of those `held` keep their slots.
fn arrange<A: Address>(held: &[Network<A>], wanted: &[Network<A>]) -> Vec<Network<A>> {
    let kept = held.iter().filter(|network| wanted.contains(network));
    let new = wanted.iter().filter(|network| !held.contains(network));
    kept.chain(new).copied().collect()
}

fn network<A: Encode>(network: &IpNet) -> Option<Network<A>> {
    Some(Network {
        address: A::from_ip(&network.addr())?,
        mask: A::from_ip(&network.netmask())?,
        in_use: 1,
        pad: 0,
    })
}

/// The inverse of [`network`]; None: the mask is none.
fn to_net<A: Encode>(network: &Network<A>) -> Option<IpNet> {
    IpNet::with_netmask(network.address.to_ip(), network.mask.to_ip()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network<Ipv4>> {
        let parsed = texts.iter().map(|text| text.parse::<IpNet>().unwrap());
        parsed.filter_map(|parsed| network(&parsed)).collect()
    }

    #[test]
    fn a_network_is_its_address_and_mask() {
        let v4: Option<Network<Ipv4>> = network(&"10.96.0.0/12".parse().unwrap());
        let v6: Option<Network<Ipv6>> = network(&"fd00:10:96::/108".parse().unwrap());

        assert_eq!(
            v4.map(|network| (network.address.octets, network.mask.octets)),
            Some(([10, 96, 0, 0], [255, 240, 0, 0]))
        );
        let v6 = v6.unwrap();
        assert_eq!(v6.mask.octets[13], 0xf0);
        assert_eq!(v6.mask.octets[14], 0);
        assert!(network::<Ipv4>(&"fd00::/64".parse().unwrap()).is_none());
    }

    #[test]
    fn networks_that_stay_keep_their_slots() {
        let held = networks(&["10.97.0.0/16", "10.98.0.0/16"]);

        let more = arrange(
            &held,
            &networks(&["10.96.0.0/16", "10.97.0.0/16", "10.98.0.0/16"]),
        );
        let fewer = arrange(&held, &networks(&["10.98.0.0/16"]));

        assert_eq!(
            more,
            networks(&["10.97.0.0/16", "10.98.0.0/16", "10.96.0.0/16"])
        );
        assert_eq!(fewer, networks(&["10.98.0.0/16"]));
    }
}
