//! Who may reach load-balancer VIPs: sets of networks, shared by services and kept over restarts.

use std::collections::BTreeMap;

use aya::maps::MapData;
use aya::maps::lpm_trie::{Key, LpmTrie};
use ipnet::IpNet;
use netproxy::datapath::View;
use netproxy::model::Family;
use netproxy_common::{Counter, Ipv4, SourceRange};

use crate::world::{Asker, At as _, Flavour, Shop, World};

/// The network of [`Flavour::outside`], and one that it is not in.
fn outside(flavour: Flavour) -> &'static str {
    match flavour.family {
        Family::V4 => "8.0.0.0/16",
        Family::V6 => "2001:db8:86dd::/64",
    }
}

fn others(flavour: Flavour) -> &'static str {
    match flavour.family {
        Family::V4 => "9.0.0.0/8",
        Family::V6 => "2001:db9::/32",
    }
}

fn shop(flavour: Flavour, number: u8) -> Shop {
    Shop::new(flavour, number).here(flavour.local_pod(2))
}

/// Whether a client from outside is served at the VIP.
fn admits(world: &World, flavour: Flavour, shop: &Shop) -> bool {
    let request = flavour.first(flavour.outside().at(40_000), shop.vip());
    let outcome = world.ingress("eth0", &request);
    world.forget_flows();
    let is_served = outcome.destination().ip() == flavour.local_pod(2);
    if !is_served {
        outcome.drops(Counter::SourceRange);
    }
    is_served
}

/// The sets in the maps.
fn sets(world: &World) -> BTreeMap<(Family, u32), Vec<String>> {
    let sets = View::open(world.pins()).unwrap().source_ranges().unwrap();
    let text = |ranges: Vec<IpNet>| ranges.iter().map(ToString::to_string).collect();
    sets.into_iter()
        .map(|(set, ranges)| (set, text(ranges)))
        .collect()
}

#[test]
fn only_listed_clients_reach_the_vip_and_anybody_the_other_frontends() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        for (ranges, expected) in [
            (&[others(flavour)][..], false),
            (&[outside(flavour)], true),
            (&[others(flavour), outside(flavour)], true),
            (&[], true),
            (&["0.0.0.0/0", "::/0"], true),
        ] {
            let shop = shop(flavour, 1).open_to(ranges);
            world.serve(&[&shop]);

            assert_eq!(admits(&world, flavour, &shop), expected, "{ranges:?}");
            for frontend in [shop.node_port(), shop.external_ip(), shop.cluster_ip()] {
                let request = flavour.first(flavour.outside().at(40_001), frontend);
                let served = world.ingress("eth0", &request).destination().ip();
                assert_eq!(served, flavour.local_pod(2), "{frontend} with {ranges:?}");
            }
        }
    }
}

#[test]
fn who_is_not_listed_is_dropped_wherever_it_asks_and_whether_or_not_anybody_serves() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let closed = Shop::new(flavour, 1).open_to(&[others(flavour)]);
        for shop in [closed.clone(), closed.here(flavour.local_pod(2))] {
            world.serve(&[&shop]);
            for asker in Asker::ALL {
                let client = asker.address(flavour).at(40_000);
                let request = flavour.first(client, shop.vip());
                asker.sends(&world, &request).drops(Counter::SourceRange);
            }
        }
        let hosts = Asker::ALL.map(|asker| IpNet::from(asker.address(flavour)).to_string());
        let shop = Shop::new(flavour, 1)
            .open_to(&hosts.each_ref().map(String::as_str))
            .here(flavour.local_pod(2));
        world.serve(&[&shop]);
        for asker in Asker::ALL {
            let client = asker.address(flavour).at(40_000);
            let request = flavour.first(client, shop.vip());
            let outcome = asker.sends(&world, &request);
            assert_eq!(outcome.destination().ip(), flavour.local_pod(2));
        }
    }
}

#[test]
fn the_longest_and_the_shortest_networks_count() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let (client, half) = match flavour.family {
            Family::V4 => (format!("{}/32", flavour.outside()), "0.0.0.0/1"),
            Family::V6 => (format!("{}/128", flavour.outside()), "::/1"),
        };
        for range in [client.as_str(), half] {
            let shop = shop(flavour, 1).open_to(&[range]);
            world.serve(&[&shop]);
            assert!(admits(&world, flavour, &shop), "{range}");
        }
    }
}

#[test]
fn services_with_the_same_ranges_share_a_set_until_the_last_is_gone() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    let ranges = [outside(flavour), others(flavour)];
    let shops = [1, 2].map(|number| shop(flavour, number).open_to(&ranges));
    world.serve(&[&shops[0], &shops[1]]);
    let shared = sets(&world);

    let gone = |world: &mut World, shop: &Shop| {
        let wanted = [(shop.name(), Vec::new())];
        world.datapath().apply(&wanted).unwrap();
        world.datapath().expire_flows().unwrap();
        sets(world).len()
    };

    assert_eq!(shared.len(), 1, "{shared:?}");
    assert_eq!(gone(&mut world, &shops[0]), 1);
    assert!(admits(&world, flavour, &shops[1]));
    assert_eq!(gone(&mut world, &shops[1]), 0);
}

#[test]
fn a_set_that_services_have_left_is_removed_and_its_number_is_not_another_s() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    world.serve(&[&shop(flavour, 1).open_to(&[outside(flavour)])]);
    let first = sets(&world);

    world.serve(&[&shop(flavour, 1).open_to(&[others(flavour)])]);
    let both = sets(&world);
    world.datapath().expire_flows().unwrap();
    let second = sets(&world);

    assert_eq!(both.len(), 2, "a program may still be reading the old set");
    assert_eq!(second.len(), 1);
    assert!(first.keys().ne(second.keys()), "{second:?}");
    world.serve(&[&shop(flavour, 1)]);
    world.datapath().expire_flows().unwrap();
    assert!(sets(&world).is_empty());
}

#[test]
fn a_new_agent_takes_the_sets_over() {
    let mut world = World::new();
    let shops = Flavour::ALL.map(|flavour| shop(flavour, 1).open_to(&[outside(flavour)]));
    for shop in &shops {
        world.serve(&[shop]);
    }
    let before = sets(&world);

    world.stop();
    world.start();
    let unchanged = world
        .datapath()
        .apply(&shops.each_ref().map(Shop::plan))
        .unwrap();
    world.datapath().expire_flows().unwrap();

    assert_eq!(before.len(), 2, "one of each family: {before:?}");
    assert_eq!((unchanged.written, unchanged.unchanged), (0, shops.len()));
    assert_eq!(sets(&world), before);
    for (flavour, shop) in Flavour::ALL.into_iter().zip(&shops) {
        assert!(admits(&world, flavour, shop));
    }
    let gone: Vec<_> = shops.iter().map(|shop| (shop.name(), Vec::new())).collect();
    world.datapath().apply(&gone).unwrap();
    world.datapath().expire_flows().unwrap();
    assert!(sets(&world).is_empty());
}

#[test]
fn a_set_that_does_not_fit_is_named_with_its_service_which_stays_as_it_was() {
    let mut world = World::with_map_sizes(&["SOURCE_RANGES_V4=2"]);
    let flavour = Flavour::TCP[0];
    let closed = shop(flavour, 1).open_to(&[others(flavour)]);
    world.serve(&[&closed]);

    let ranges = [outside(flavour), "9.9.0.0/16", "10.0.0.0/8"];
    let wanted = shop(flavour, 1).open_to(&ranges).plan();
    let error = world.datapath().apply(&[wanted]).unwrap_err().to_string();

    for part in ["SOURCE_RANGES_V4", "2 entries", "default/shop1"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!admits(&world, flavour, &closed));
    assert_eq!(sets(&world).len(), 1, "nothing is left of what did not fit");
}

#[test]
fn a_full_map_has_room_again_for_what_replaces_its_content() {
    let mut world = World::with_map_sizes(&["SOURCE_RANGES_V4=2"]);
    let flavour = Flavour::TCP[0];
    world.serve(&[&shop(flavour, 1).open_to(&[others(flavour), "10.0.0.0/8"])]);
    world.serve(&[&shop(flavour, 1)]);

    let open = shop(flavour, 1).open_to(&[outside(flavour), "10.0.0.0/8"]);
    world.serve(&[&open]);

    assert!(admits(&world, flavour, &open));
}

#[test]
fn what_others_did_to_the_sets_is_repaired() {
    let mut world = World::new();
    let flavour = Flavour::TCP[0];
    let shop = shop(flavour, 1).open_to(&[outside(flavour)]);
    world.serve(&[&shop]);
    let before = sets(&world);
    let map = MapData::from_pin(world.pins().map("SOURCE_RANGES_V4")).unwrap();
    let mut map: LpmTrie<_, SourceRange<Ipv4>, u32> =
        LpmTrie::try_from(aya::maps::Map::LpmTrie(map)).unwrap();
    let entry = map.keys().next().unwrap().unwrap();
    map.remove(&entry).unwrap();
    let foreign = SourceRange {
        set: 7,
        address: Ipv4::new([0; 4]),
    };
    map.insert(&Key::new(32, foreign), 0, 0).unwrap();
    assert!(!admits(&world, flavour, &shop));

    let repaired = world.datapath().repair_source_ranges().unwrap();

    assert_eq!(repaired, 2);
    assert_eq!(sets(&world), before);
    assert!(admits(&world, flavour, &shop));
    assert_eq!(world.datapath().repair_source_ranges().unwrap(), 0);
}
