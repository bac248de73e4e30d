//! The shapes that rules are held in: every CNI shape, and nodes of different ones.
//!
//! What only sends traffic shares one shop per pair of shapes, which stays until the test program
//! ends: agents that load programs anew for every rule would take most of the tier's time.

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use netproxy_lab::{Builder, Cni, Lab, NodeSpec};

use crate::shop::Shop;

/// The shapes of the nodes `a` and `b`.
const PAIRS: [(Cni, Cni); 5] = [
    (Cni::Bridge, Cni::Bridge),
    (Cni::PointToPoint, Cni::PointToPoint),
    (Cni::Vxlan, Cni::Vxlan),
    (Cni::PointToPoint, Cni::Bridge),
    (Cni::Bridge, Cni::Vxlan),
];

/// Holds a rule in each pair of shapes, in a shop that it shares with others, and says in which it
/// does not hold.
pub(crate) fn in_each(rule: impl Fn(&Shop) -> Result<()>) -> Result<()> {
    static SHOPS: [OnceLock<Result<Shop, String>>; PAIRS.len()] =
        [const { OnceLock::new() }; PAIRS.len()];
    for (shop, (a, b)) in SHOPS.iter().zip(PAIRS) {
        let shop = shop.get_or_init(|| {
            Shop::open(two_nodes("shop", a, b)).map_err(|error| format!("{error:#}"))
        });
        let shop = shop
            .as_ref()
            .map_err(|error| anyhow!("the shop cannot be opened: {error}"));
        shop.and_then(|shop| shop.cluster.hold(|| rule(shop)))
            .with_context(|| format!("nodes in the shapes {a:?} and {b:?}"))?;
    }
    Ok(())
}

/// Holds a rule in each shape, and says in which it does not hold.
pub(crate) fn of_each_kind(rule: impl Fn(Cni) -> Result<()>) -> Result<()> {
    for cni in [Cni::Bridge, Cni::PointToPoint, Cni::Vxlan] {
        rule(cni).with_context(|| format!("nodes in the shape {cni:?}"))?;
    }
    Ok(())
}

/// Two nodes: `a` with the pods `shell` and `web-a`, `b` with `web-b`; and the machine `outside`.
pub(crate) fn two_nodes(name: &str, a: Cni, b: Cni) -> Builder {
    two_nodes_as(name, &a.into(), &b.into())
}

/// The same, with more said about the nodes.
pub(crate) fn two_nodes_as(name: &str, a: &NodeSpec, b: &NodeSpec) -> Builder {
    Lab::builder(name)
        .node("a", a.clone())
        .pod("shell")
        .pod("web-a")
        .node("b", b.clone())
        .pod("web-b")
        .client("outside")
}
