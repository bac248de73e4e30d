//! What is remembered of fragmented datagrams, as tests look at it and tamper with it.

use aya::maps::{HashMap, Map, MapData};
use netproxy_common::{Fragment, FragmentKey, Ipv4, Ipv6};

use super::World;

impl World {
    /// Of how many datagrams the ports are remembered.
    pub(crate) fn remembered(&self) -> usize {
        count::<Ipv4>(self.fragment_map("FRAGMENTS_V4"))
            + count::<Ipv6>(self.fragment_map("FRAGMENTS_V6"))
    }

    /// Lets the time pass for which they are.
    pub(crate) fn outlive_fragments(&self) {
        outlive::<Ipv4>(self.fragment_map("FRAGMENTS_V4"));
        outlive::<Ipv6>(self.fragment_map("FRAGMENTS_V6"));
    }

    /// Nothing is remembered of any.
    pub(crate) fn forget_fragments(&self) {
        forget::<Ipv4>(self.fragment_map("FRAGMENTS_V4"));
        forget::<Ipv6>(self.fragment_map("FRAGMENTS_V6"));
    }

    fn fragment_map(&self, name: &str) -> Map {
        Map::LruHashMap(MapData::from_pin(self.pins.map(name)).unwrap())
    }
}

fn count<A: Copy>(map: Map) -> usize
where
    FragmentKey<A>: aya::Pod,
{
    let map: HashMap<_, FragmentKey<A>, Fragment> = map.try_into().unwrap();
    map.keys().map(Result::unwrap).count()
}

fn outlive<A: Copy>(map: Map)
where
    FragmentKey<A>: aya::Pod,
{
    let mut map: HashMap<_, FragmentKey<A>, Fragment> = map.try_into().unwrap();
    let entries: Vec<_> = map.iter().map(Result::unwrap).collect();
    for (key, mut first) in entries {
        first.deadline_s = 0;
        map.insert(key, first, 0).unwrap();
    }
}

fn forget<A: Copy>(map: Map)
where
    FragmentKey<A>: aya::Pod,
{
    let mut map: HashMap<_, FragmentKey<A>, Fragment> = map.try_into().unwrap();
    let keys: Vec<_> = map.keys().map(Result::unwrap).collect();
    for key in keys {
        map.remove(&key).unwrap();
    }
}
