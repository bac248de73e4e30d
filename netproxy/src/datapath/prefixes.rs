//! `PREFIXES`: in which prefixes packets are looked at. Bits are set before anything in them means something, and stay:
//! where nothing is left they cost a lookup.

use std::fmt;
use std::io;
use std::net::IpAddr;

use aya::maps::{Array, Map, MapData, MapError};
use ipnet::IpNet;
use netproxy_common::prefix::place;
use netproxy_common::{Ipv4, Ipv6, Prefixes as Bits};

use super::DatapathError;
use super::encode::Encode;
use super::load::Loaded;

const MAP: &str = "PREFIXES";
/// The families in the map.
const V4: u32 = 0;
const V6: u32 = 1;
/// A network of more prefixes than two to the power of this has all of them.
const MOST_BITS: u8 = 16;

/// The map, and what it holds of each family.
pub(super) struct Prefixes {
    map: Array<MapData, Bits>,
    v4: Held,
    v6: Held,
}

/// What the map is to hold of a family.
struct Held {
    bits: Box<Bits>,
    is_written: bool,
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefixes").finish_non_exhaustive()
    }
}

impl Prefixes {
    /// Opens the map. What it holds may be less than is needed, where another build has written addresses.
    pub(super) fn adopt(loaded: &mut Loaded) -> Result<Self, DatapathError> {
        let map = Array::try_from(Map::Array(loaded.take(MAP)?)).map_err(failed("opened"))?;
        let held = |family| {
            let bits = map.get(&family, 0).map_err(failed("read"))?;
            Ok(Held {
                bits: Box::new(bits),
                is_written: true,
            })
        };
        Ok(Self {
            v4: held(V4)?,
            v6: held(V6)?,
            map,
        })
    }

    /// Has packets to these looked at.
    pub(super) fn hold(
        &mut self,
        networks: impl IntoIterator<Item = IpNet>,
    ) -> Result<(), DatapathError> {
        let Self { map, v4, v6 } = self;
        for network in networks {
            match network {
                IpNet::V4(_) => v4.add::<Ipv4>(&network),
                IpNet::V6(_) => v6.add::<Ipv6>(&network),
            }
        }
        for (family, held) in [(V4, v4), (V6, v6)] {
            if !held.is_written {
                // Word by word and only ever more bits: whoever reads meanwhile sees the old ones, or some of the new.
                map.set(family, *held.bits, 0).map_err(failed("written"))?;
                held.is_written = true;
            }
        }
        Ok(())
    }

    /// As [`Self::hold`], of addresses.
    pub(super) fn hold_addresses<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = &'a IpAddr>,
    ) -> Result<(), DatapathError> {
        self.hold(addresses.into_iter().map(|address| IpNet::from(*address)))
    }
}

impl Held {
    /// Sets the bits of all prefixes that have addresses in `network`.
    fn add<A: Encode>(&mut self, network: &IpNet) {
        let wider_by = A::PREFIX_BITS.saturating_sub(network.prefix_len());
        if wider_by > MOST_BITS {
            (0..self.bits.words.len()).for_each(|word| self.set(word, u32::MAX));
            return;
        }
        let mut add = |address: IpAddr| {
            if let Some(address) = A::from_ip(&address) {
                let (word, bit) = place(address.prefix());
                self.set(word, bit);
            }
        };
        match network.subnets(A::PREFIX_BITS) {
            Ok(parts) if wider_by > 0 => parts.for_each(|part| add(part.addr())),
            _ => add(network.addr()),
        }
    }

    fn set(&mut self, word: usize, bits: u32) {
        let word = &mut self.bits.words[word];
        self.is_written &= *word & bits == bits;
        *word |= bits;
    }
}

fn failed(what: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |error| DatapathError::map(MAP, what)(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits_of<A: Encode>(network: &str) -> Box<Bits> {
        let mut held = Held {
            bits: Box::new(bytemuck::Zeroable::zeroed()),
            is_written: true,
        };
        held.add::<A>(&network.parse().unwrap());
        assert!(!held.is_written);
        held.bits
    }

    fn has<A: Encode>(bits: &Bits, address: &str) -> bool {
        let address = A::from_ip(&address.parse().unwrap()).unwrap();
        let (word, bit) = place(address.prefix());
        bits.words[word] & bit != 0
    }

    fn count(bits: &Bits) -> u32 {
        bits.words.iter().map(|word| word.count_ones()).sum()
    }

    #[test]
    fn every_address_of_a_network_is_in_a_prefix_that_is_held() {
        let wide = bits_of::<Ipv4>("10.96.0.0/12");
        let narrow = bits_of::<Ipv4>("172.31.0.11/32");
        let v6 = bits_of::<Ipv6>("fd00:10:96::/108");
        let wide_v6 = bits_of::<Ipv6>("fd00:10:96::/56");

        assert!(has::<Ipv4>(&wide, "10.96.0.1") && has::<Ipv4>(&wide, "10.111.255.254"));
        assert!(!has::<Ipv4>(&wide, "10.112.0.1") && !has::<Ipv4>(&wide, "10.244.1.2"));
        assert_eq!(count(&wide), 16);
        assert!(has::<Ipv4>(&narrow, "172.31.0.11"));
        assert_eq!(count(&narrow), 1);
        assert!(has::<Ipv6>(&v6, "fd00:10:96::a"));
        assert!(!has::<Ipv6>(&v6, "fd00:10:244:1::2"));
        assert_eq!(count(&v6), 1);
        assert!(has::<Ipv6>(&wide_v6, "fd00:10:96:ff::1"));
        assert_eq!(count(&wide_v6), 256);
    }

    #[test]
    fn a_network_that_is_everywhere_is_in_all_prefixes() {
        for bits in [bits_of::<Ipv4>("0.0.0.0/0"), bits_of::<Ipv6>("2000::/3")] {
            assert!(bits.words.iter().all(|word| *word == u32::MAX));
        }
    }
}
