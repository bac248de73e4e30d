//! Which endpoint a client sticks to, as tests look at it and tamper with it.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{HashMap, Map, MapData};
use netproxy_common::{Affinity, AffinityKey, Be16, Ipv4, Ipv6};

use super::World;

impl World {
    /// Lets `seconds` pass for every client that sticks to an endpoint. Yields how many there are.
    pub(crate) fn age_affinities(&self, seconds: u32) -> usize {
        age::<Ipv4>(self.affinities("AFFINITY_V4"), seconds)
            + age::<Ipv6>(self.affinities("AFFINITY_V6"), seconds)
    }

    /// Makes every client that sticks to an endpoint stick to this one.
    pub(crate) fn stick_to(&self, endpoint: SocketAddr) {
        let port = Be16::new(endpoint.port());
        match endpoint.ip() {
            IpAddr::V4(v4) => {
                let address = Ipv4::new(v4.octets());
                stick(self.affinities("AFFINITY_V4"), address, port);
            }
            IpAddr::V6(v6) => {
                let address = Ipv6::new(v6.octets());
                stick(self.affinities("AFFINITY_V6"), address, port);
            }
        }
    }

    fn affinities(&self, name: &str) -> Map {
        Map::LruHashMap(MapData::from_pin(self.pins.map(name)).unwrap())
    }
}

fn age<A: Copy>(map: Map, seconds: u32) -> usize
where
    AffinityKey<A>: aya::Pod,
    Affinity<A>: aya::Pod,
{
    // The clock may have begun less than so long ago; programs reckon alike.
    change::<A>(map, |affinity| {
        affinity.used_s = affinity.used_s.wrapping_sub(seconds);
    })
}

fn stick<A: Copy>(map: Map, address: A, port: Be16)
where
    AffinityKey<A>: aya::Pod,
    Affinity<A>: aya::Pod,
{
    change::<A>(map, |affinity| {
        affinity.address = address;
        affinity.port = port;
    });
}

/// Changes every entry; yields how many there are.
fn change<A: Copy>(map: Map, change: impl Fn(&mut Affinity<A>)) -> usize
where
    AffinityKey<A>: aya::Pod,
    Affinity<A>: aya::Pod,
{
    let mut map: HashMap<_, AffinityKey<A>, Affinity<A>> = map.try_into().unwrap();
    let entries: Vec<_> = map.iter().map(Result::unwrap).collect();
    for (key, affinity) in &entries {
        let mut affinity = *affinity;
        change(&mut affinity);
        map.insert(key, affinity, 0).unwrap();
    }
    entries.len()
}
