//! Clients that are hidden from endpoints because an operator wants them to be.

use anyhow::{Result, ensure};
use netproxy_lab::{Cni, Place};

use crate::{
    cluster::Cluster,
    shape::two_nodes,
    shop::{Shop, addresses_of},
};

#[test]
fn with_masquerade_all_endpoints_see_a_node_and_never_a_client() -> Result<()> {
    let builder = two_nodes("hidden", Cni::Bridge, Cni::Bridge);
    let shop = Shop::open_in(Cluster::up_with(builder, |options| {
        options.argument("--masquerade-all")
    })?)?;
    shop.cluster.hold(|| {
        let (shell, outside, node) = (shop.shell()?, shop.outside()?, shop.node("a")?);
        let own = addresses_of(&node)?;
        for offer in [&shop.near, &shop.far] {
            let doors = offer
                .at_cluster_ips()
                .map(|door| (&shell as &dyn Place, door));
            let outer = offer.at_node(&node);
            let outer = outer
                .into_iter()
                .flat_map(|door| [(&shell as &dyn Place, door), (&outside as &dyn Place, door)]);
            for (from, door) in doors.into_iter().chain(outer) {
                let clients = door.is_answered_by(from, &offer.endpoints, 3)?;
                ensure!(
                    clients.is_subset(&own),
                    "{} asks {door:?}, and an endpoint sees {clients:?}",
                    from.name()
                );
            }
        }
        Ok(())
    })
}
