//! What nobody serves is refused to sockets by the call itself.

use anyhow::{Result, ensure};

use super::{count, rows, shop};
use crate::{refused::is_refused, shop::Offer};

#[test]
fn a_service_without_endpoints_refuses_sockets_at_once() -> Result<()> {
    let shop = shop("refused-sockets")?;
    shop.cluster.hold(|| {
        let offer = Offer::new("nobodys", 21)?;
        shop.cluster.put(&offer.service)?;
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let refused = count(&node, "socket_refused")?;
        for door in offer
            .at_cluster_ips()
            .into_iter()
            .chain(offer.at_node(&node))
        {
            is_refused(&shell, door.http, door.udp)?;
        }
        let sockets = count(&node, "socket_refused")? - refused;
        ensure!(sockets >= 8, "{sockets} sockets were refused");
        let drops = rows(&node, &["drops", "--service", "shop/nobodys"])?;
        let by_service: u64 = drops.iter().filter_map(|row| row["count"].as_u64()).sum();
        ensure!(by_service == sockets, "{sockets} were refused: {drops:?}");
        Ok(())
    })
}
