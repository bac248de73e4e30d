//! The shapes that rules are held in: every CNI shape, and nodes of different ones.

use anyhow::{Context, Result};
use netproxy_lab::{Builder, Cni, Lab};

/// The shapes of the nodes `a` and `b`.
pub(crate) const PAIRS: [(Cni, Cni); 5] = [
    (Cni::Bridge, Cni::Bridge),
    (Cni::PointToPoint, Cni::PointToPoint),
    (Cni::Vxlan, Cni::Vxlan),
    (Cni::PointToPoint, Cni::Bridge),
    (Cni::Bridge, Cni::Vxlan),
];

/// The pairs of nodes that are alike.
pub(crate) const ALIKE: [(Cni, Cni); 3] = [PAIRS[0], PAIRS[1], PAIRS[2]];

/// Holds a rule in each of the shapes, and says in which it does not hold.
pub(crate) fn in_each(shapes: &[(Cni, Cni)], rule: impl Fn(Cni, Cni) -> Result<()>) -> Result<()> {
    for &(a, b) in shapes {
        rule(a, b).with_context(|| format!("nodes in the shapes {a:?} and {b:?}"))?;
    }
    Ok(())
}

/// Two nodes: `a` with the pods `shell` and `web-a`, `b` with `web-b`; and the machine `outside`.
pub(crate) fn two_nodes(name: &str, a: Cni, b: Cni) -> Builder {
    Lab::builder(name)
        .node("a", a)
        .pod("shell")
        .pod("web-a")
        .node("b", b)
        .pod("web-b")
        .client("outside")
}
