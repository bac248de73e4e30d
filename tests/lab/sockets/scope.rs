//! Which processes are balanced at the socket.

use anyhow::{Context, Result, ensure};
use netproxy_lab::{AgentOptions, Answers, Cni, Place, binary};

use super::{count, shop};
use crate::{
    cluster::Cluster,
    shape::two_nodes,
    shop::{Shop, is},
};

#[test]
fn pods_are_served_by_packet_where_only_the_host_is_by_socket() -> Result<()> {
    let builder = two_nodes("host-only", Cni::Bridge, Cni::Bridge);
    let options =
        |options: AgentOptions| options.argument("--socket-balancing").argument("host-only");
    let shop = Shop::open_in(Cluster::up_with(builder, options)?)?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        let [door, _] = shop.far.at_cluster_ips();
        let (flows, translated) = (
            count(&node, "new_flow")?,
            count(&node, "socket_translated")?,
        );

        door.is_answered_by(&shell, &shop.far.endpoints, 5)?;
        is("sockets", &count(&node, "socket_translated")?, &translated)?;
        let by_packet = count(&node, "new_flow")?;
        ensure!(by_packet >= flows + 10, "{by_packet} flows after {flows}");

        door.is_answered_by(&node, &shop.far.endpoints, 5)?;
        is("flows", &count(&node, "new_flow")?, &by_packet)
    })
}

#[test]
fn a_process_outside_the_cgroup_is_served_by_packet() -> Result<()> {
    let shop = shop("outside-cgroup")?;
    shop.cluster.hold(|| {
        let (shell, node) = (shop.shell()?, shop.node("a")?);
        // Beside the node's, which the agent attaches to.
        let elsewhere = shop.outside()?.cgroup().to_owned();
        for place in [&shell as &dyn Place, &node] {
            for door in shop.far.at_cluster_ips() {
                for words in [["get", &door.url()], ["ask", &door.udp.to_string()]] {
                    let (flows, translated) = (
                        count(&node, "new_flow")?,
                        count(&node, "socket_translated")?,
                    );

                    let traffic = binary::find("netproxy-traffic")?;
                    let text = place.run(&[
                        "sh",
                        "-c",
                        "echo $$ > \"$1\"/cgroup.procs && shift && exec \"$@\"",
                        "sh",
                        elsewhere.to_str().context("the cgroup's name")?,
                        traffic.to_str().context("the program's name")?,
                        words[0],
                        words[1],
                        "--count",
                        "5",
                    ])?;

                    let answers = Answers::parse(&text)?.all_answered()?;
                    is("who answered", &answers.answered(), &5)?;
                    is("sockets", &count(&node, "socket_translated")?, &translated)?;
                    let opened = count(&node, "new_flow")? - flows;
                    ensure!(opened >= 5, "{}: {opened} flows", place.name());
                }
            }
        }
        Ok(())
    })
}
