//! Which pods are balanced at the socket.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Namespace, ObjectName, Pod, PodUid, SocketWish};
use crate::plan::socket_clients;

use SocketWish::{Off, On, Unreadable};

fn uid(number: u8) -> PodUid {
    PodUid::new(&format!("{number:032x}")).unwrap()
}

/// The clients of a node with the pods `(number, namespace, wish)`, each with the cgroup of its number,
/// and the namespaces `(name, wish)`.
fn clients(
    pods: &[(u8, &str, Option<SocketWish>)],
    namespaces: &[(&str, Option<SocketWish>)],
) -> Vec<u64> {
    let cgroups = pods
        .iter()
        .map(|(number, ..)| (uid(*number), u64::from(*number)));
    let pods = pods
        .iter()
        .enumerate()
        .map(|(at, (number, namespace, wish))| {
            let name = ObjectName::new(*namespace, format!("pod-{at}"));
            let (uid, wish) = (uid(*number), *wish);
            (name.clone(), Pod { name, uid, wish })
        });
    let namespaces = namespaces.iter().map(|(name, wish)| {
        let (name, wish) = ((*name).into(), *wish);
        (std::sync::Arc::clone(&name), Namespace { name, wish })
    });
    let clients = socket_clients(&pods.collect(), &namespaces.collect(), &cgroups.collect());
    clients.into_iter().collect()
}

#[test]
fn a_pods_wish_goes_before_its_namespaces() {
    for (pod, namespace, is_balanced) in [
        (None, None, true),
        (None, Some(On), true),
        (None, Some(Off), false),
        (None, Some(Unreadable), false),
        (Some(On), None, true),
        (Some(On), Some(Off), true),
        (Some(On), Some(Unreadable), true),
        (Some(Off), None, false),
        (Some(Off), Some(On), false),
        (Some(Unreadable), Some(On), false),
    ] {
        let clients = clients(&[(1, "shop", pod)], &[("shop", namespace)]);

        assert_eq!(clients == [1], is_balanced, "{pod:?} in {namespace:?}");
    }
}

#[test]
fn a_pod_of_an_unknown_namespace_is_balanced_only_by_its_own_wish() {
    let pods = [
        (1, "shop", None),
        (2, "shop", Some(On)),
        (3, "shop", Some(Off)),
    ];

    assert_eq!(clients(&pods, &[("other", None)]), [2]);
}

#[test]
fn only_cgroups_of_known_pods_are_clients_and_all_of_them() {
    let name = ObjectName::new("shop", "cart");
    let pod = Pod {
        name: name.clone(),
        uid: uid(1),
        wish: Some(On),
    };
    let cgroups = BTreeSet::from([(uid(1), 10), (uid(1), 11), (uid(2), 20)]);

    let clients = socket_clients(&BTreeMap::from([(name, pod)]), &BTreeMap::new(), &cgroups);

    assert_eq!(clients, BTreeSet::from([10, 11]));
}

#[test]
fn two_pods_that_claim_one_cgroup_must_agree() {
    let namespaces = [("shop", None), ("mesh", Some(Off))];
    for (first, second, is_balanced) in [
        ("shop", "mesh", false),
        ("mesh", "shop", false),
        ("shop", "shop", true),
    ] {
        let clients = clients(&[(1, first, None), (1, second, None)], &namespaces);

        assert_eq!(clients == [1], is_balanced, "{first} and {second}");
    }
}
