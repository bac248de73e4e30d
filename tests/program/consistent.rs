//! Consistent balancing: which endpoint a flow has follows from its client, on every node alike.

use std::net::SocketAddr;
use std::thread;

use netproxy::datapath::View;
use netproxy::model::{Balancing, Protocol};
use netproxy::plan::lookup_table;
use netproxy_common::Be16;
use netproxy_common::maglev::slot_of_flow;

use crate::world::{Asker, At as _, Flavour, Shop, World};

const ENDPOINTS: u16 = 40;
const FLOWS: u16 = 200;

/// A service with endpoints elsewhere.
fn wide(flavour: Flavour) -> Shop {
    (1..=ENDPOINTS)
        .fold(Shop::new(flavour, 1), |shop, number| {
            shop.elsewhere(flavour.remote_pod(number))
        })
        .balanced(Balancing::Consistent)
}

/// The same service as another node sees it, which has every third endpoint and knows them in another order.
fn wide_seen_elsewhere(flavour: Flavour) -> Shop {
    (1..=ENDPOINTS)
        .rev()
        .fold(Shop::new(flavour, 1), |shop, number| {
            let pod = flavour.remote_pod(number);
            if number % 3 == 0 {
                shop.here(pod)
            } else {
                shop.elsewhere(pod)
            }
        })
        .balanced(Balancing::Consistent)
}

/// Whom clients from outside are sent to, flow by flow.
fn endpoints_of(world: &World, flavour: Flavour, frontend: SocketAddr) -> Vec<SocketAddr> {
    let endpoints = (0..FLOWS).map(|number| {
        let client = flavour.client(1 + u8::try_from(number % 7).unwrap());
        let request = flavour.first(client.at(40_000 + number), frontend);
        Asker::Outside.sends(world, &request).destination()
    });
    let endpoints = endpoints.collect();
    world.forget_flows();
    endpoints
}

/// How many flows have another endpoint than before.
fn moved(before: &[SocketAddr], after: &[SocketAddr]) -> usize {
    let pairs = before.iter().zip(after);
    pairs.filter(|(before, after)| before != after).count()
}

/// What `asks` yields on a node of its own.
fn on_a_node<T: Send>(asks: impl FnOnce(World) -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(|| asks(World::new())).join().unwrap())
}

#[test]
fn a_client_s_flow_goes_to_the_same_endpoint_on_every_node() {
    let here = on_a_node(|mut world| {
        Flavour::ALL.map(|flavour| {
            let shop = wide(flavour);
            world.serve(&[&shop]);
            [shop.vip(), shop.node_port()].map(|it| endpoints_of(&world, flavour, it))
        })
    });
    let elsewhere = on_a_node(|mut world| {
        Flavour::ALL.map(|flavour| {
            // Numbers, slots and tables are not those of the first node.
            let other = wide(flavour).without(flavour.remote_pod(1)).renumbered(2);
            let shop = wide_seen_elsewhere(flavour);
            world.serve(&[&other, &shop]);
            [shop.vip(), shop.node_port()].map(|it| endpoints_of(&world, flavour, it))
        })
    });

    for (here, elsewhere) in here.iter().zip(&elsewhere) {
        assert_eq!(here, elsewhere);
        assert_eq!(here[0], here[1], "it is the client that counts");
    }
}

#[test]
fn user_space_can_tell_which_endpoint_a_flow_has() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = wide(flavour);
    world.serve(&[&shop]);
    let endpoints = shop.endpoints();
    let table = lookup_table(&endpoints).unwrap();

    let chosen = endpoints_of(&world, flavour, shop.vip());

    for (number, endpoint) in (0..FLOWS).zip(chosen) {
        let last = 1 + u8::try_from(number % 7).unwrap();
        let client = [u32::from_ne_bytes([8, 0, 9, last]), 0, 0, 0];
        let port = Be16::new(40_000 + number);
        let slot = slot_of_flow(client, port, Protocol::Tcp.number());
        assert_eq!(endpoint, endpoints[usize::from(table[slot as usize])]);
    }
}

#[test]
fn removing_an_endpoint_moves_only_its_flows() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour);
        world.serve(&[&shop]);
        let before = endpoints_of(&world, flavour, shop.vip());
        let gone = before[0];

        world.serve(&[&shop.clone().without(gone.ip())]);
        let after = endpoints_of(&world, flavour, shop.vip());
        world.serve(&[&shop]);
        let again = endpoints_of(&world, flavour, shop.vip());

        let its_own = before.iter().filter(|endpoint| **endpoint == gone).count();
        let others = moved(&before, &after) - its_own;
        assert!(!after.contains(&gone));
        // Two in a hundred of the slots may move; these are a sample of them.
        assert!(others <= usize::from(FLOWS / 20), "{others} of {FLOWS}");
        assert_eq!(again, before);
    }
}

#[test]
fn clients_that_stick_begin_at_the_same_endpoint_on_every_node() {
    let [here, elsewhere] = [wide, wide_seen_elsewhere].map(|shop| {
        on_a_node(|mut world| {
            Flavour::ALL.map(|flavour| {
                let shop = shop(flavour).sticky(10_800);
                world.serve(&[&shop]);
                endpoints_of(&world, flavour, shop.vip())
            })
        })
    });

    assert_eq!(here, elsewhere);
    for endpoints in here {
        for (number, endpoint) in endpoints.iter().enumerate() {
            assert_eq!(*endpoint, endpoints[number % 7], "all flows of a client");
        }
        assert!(endpoints.iter().any(|endpoint| *endpoint != endpoints[0]));
    }
}

#[test]
fn whoever_sticks_already_does_so_whatever_the_table_says() {
    let mut world = World::new();
    for flavour in Flavour::ALL {
        let shop = wide(flavour).sticky(10_800);
        world.serve(&[&shop.clone().without(flavour.remote_pod(7))]);
        let before = endpoints_of(&world, flavour, shop.vip());
        let other = shop.endpoints().into_iter().find(|it| *it != before[0]);

        world.stick_to(other.unwrap());
        let after = endpoints_of(&world, flavour, shop.vip());

        assert_eq!(after, vec![other.unwrap(); after.len()]);
    }
}

#[test]
fn nothing_is_consistent_that_was_not_asked_to_be() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let random = wide(flavour).balanced(Balancing::Random);
    for (shop, frontend) in [
        (random.clone(), random.vip()),
        (
            wide(flavour)
                .here(flavour.local_pod(1))
                .here(flavour.local_pod(2))
                .local_only(),
            random.vip(),
        ),
    ] {
        world.serve(&[&shop]);

        let first = endpoints_of(&world, flavour, frontend);
        let second = endpoints_of(&world, flavour, frontend);

        assert_ne!(first, second);
    }
}

#[test]
fn a_setting_makes_external_clients_consistent_and_no_others() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = (1..=ENDPOINTS).fold(Shop::new(flavour, 1), |shop, number| {
        shop.elsewhere(flavour.remote_pod(number))
    });
    let shop = shop.on_a_node_that_balances(Balancing::Consistent);
    world.serve(&[&shop]);
    let twice = |frontend| [(); 2].map(|()| endpoints_of(&world, flavour, frontend));

    for frontend in [shop.vip(), shop.node_port(), shop.external_ip()] {
        let [first, second] = twice(frontend);
        assert_eq!(first, second);
    }
    let [first, second] = twice(shop.cluster_ip());
    assert_ne!(first, second);
}

/// The table's number and the service's generation.
fn table(world: &World, shop: &Shop) -> (u32, u32) {
    let services = View::open(world.pins()).unwrap().services().unwrap();
    let service = services
        .into_values()
        .find(|service| service.key.service == shop.name());
    service.map_or((0, 0), |it| (it.range.table, it.generation))
}

#[test]
fn a_table_is_made_anew_only_when_its_endpoints_change() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = wide(flavour);
    world.serve(&[&shop]);
    let (made, first) = table(&world, &shop);

    world.serve(&[&shop.clone().sticky(60)]);
    let (kept, second) = table(&world, &shop);
    world.stop();
    world.start();
    world.serve(&[&shop.clone().sticky(60)]);
    let adopted = table(&world, &shop);
    world.serve(&[&shop.without(flavour.remote_pod(1))]);
    let (anew, _) = table(&world, &wide(flavour));

    assert_ne!(made, 0);
    assert_eq!((kept, second), (made, first + 1));
    assert_eq!(adopted, (kept, second), "nothing has changed");
    assert_ne!(anew, made);
}

#[test]
fn without_room_for_a_table_endpoints_are_chosen_at_random_until_there_is_some() {
    let mut world = World::with_map_sizes(&["MAGLEV=2"]);
    let [flavour, _] = Flavour::TCP;
    let (first, second) = (wide(flavour), wide(flavour).renumbered(2));
    world.serve(&[&first, &second]);

    let (of_first, _) = table(&world, &first);
    let (of_second, _) = table(&world, &second);
    let without: Vec<_> = world.datapath().without_table().cloned().collect();
    assert!(of_first != 0 && of_second == 0);
    assert_eq!(without.len(), 1);
    assert_eq!(without[0].service, second.name());
    let random = [(); 2].map(|()| endpoints_of(&world, flavour, second.vip()));
    assert_ne!(random[0], random[1]);

    // The first one's changes have room all the time.
    for number in 1..=5 {
        world.serve(&[&first.clone().without(flavour.remote_pod(number)), &second]);
        assert_ne!(table(&world, &first).0, 0);
    }
    world.serve(&[&first.balanced(Balancing::Random)]);
    world.serve(&[&second]);

    assert_ne!(table(&world, &second).0, 0);
    assert_eq!(world.datapath().without_table().len(), 0);
}

#[test]
fn a_table_that_somebody_else_has_written_to_is_made_anew() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = wide(flavour);
    world.serve(&[&shop]);
    let before = endpoints_of(&world, flavour, shop.vip());

    world.spoil_tables();
    let spoilt = endpoints_of(&world, flavour, shop.vip());
    world.serve(&[&shop]);
    let repaired = endpoints_of(&world, flavour, shop.vip());

    assert_ne!(spoilt, before);
    assert_eq!(repaired, before);
}

#[test]
fn tables_go_on_in_maps_of_another_size() {
    let mut world = World::new();
    let [flavour, _] = Flavour::TCP;
    let shop = wide(flavour);
    world.serve(&[&wide(flavour).renumbered(2), &shop]);
    let before = endpoints_of(&world, flavour, shop.vip());
    let made = table(&world, &shop);

    world.stop();
    world.set_map_sizes(&["MAGLEV=20", "RANGES=3000"]);
    world.start();
    let after = endpoints_of(&world, flavour, shop.vip());
    world.serve(&[&shop]);

    assert_eq!(after, before);
    assert_eq!(table(&world, &shop), made, "nothing has changed");
}
