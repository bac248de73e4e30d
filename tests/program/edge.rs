//! Edge flows: the destination is translated where the client's packet comes in, and restored
//! where the answer leaves towards the client.

use crate::world::{At as _, Flavour, POD_PORT, Shop, World};

#[test]
fn a_pod_reaches_a_pod_of_this_node_through_a_cluster_ip() {
    for flavour in Flavour::ALL {
        let pod = flavour.local_pod(2).at(POD_PORT);
        let shop = Shop::new(flavour, 1).here(pod.ip());
        let world = World::serving(&[&shop]);
        let client = flavour.local_pod(1).at(40_000);
        let request = flavour.first(client, shop.cluster_ip());

        world
            .ingress("pod1", &request)
            .passes_as(&request.clone().to(pod));

        let answer = flavour.answer(pod, client);
        world
            .egress("pod1", &answer)
            .passes_as(&answer.clone().from(shop.cluster_ip()));
    }
}
