//! Against the real kernel, each in a network namespace of its own. Needs root.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::thread;

use netlink_packet_route::AddressFamily;
use netproxy_common::DeviceKind;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::*;
use crate::node::{DevicePatterns, attachments};
use crate::settings::LocalPods;

/// Longer than any machine needs; reached only on failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `scenario` on a thread of its own in a new network namespace, with `lo` alone.
fn in_new_namespace<F>(scenario: impl FnOnce(Host) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let outcome = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("cannot make a network namespace: {error}; run the tests as root (sudo -E)")
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { scenario(Host::watched().await).await });
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// The namespace under test: hands to change it, and the watch on it.
struct Host {
    handle: Handle,
    network: watch::Receiver<Arc<NodeNetwork>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _connection: AbortOnDropHandle<()>,
}

impl Host {
    async fn watched() -> Self {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let network = watch(&tasks, stop.clone()).await.unwrap();
        Self {
            handle,
            network,
            tasks,
            stop,
            _connection: connection,
        }
    }

    /// Waits until the watch has published a network for which `holds`.
    async fn sees(&mut self, what: &str, holds: impl Fn(&NodeNetwork) -> bool) {
        let seen = time::timeout(PATIENCE, self.network.wait_for(|network| holds(network)))
            .await
            .map(|network| network.is_ok());
        assert_eq!(
            seen,
            Ok(true),
            "{what} not seen; last: {:#?}",
            self.network.borrow()
        );
    }

    async fn sees_kind(&mut self, name: &str, kind: DeviceKind) {
        self.sees(&format!("{name} as {kind:?}"), |network| {
            attachments(network, &DevicePatterns::default(), &[], &LocalPods::Device)
                .iter()
                .any(|device| device.name == name && device.kind == kind)
        })
        .await;
    }

    async fn add(&self, message: LinkMessage) {
        self.handle.link().add(message).execute().await.unwrap();
    }

    async fn change(&self, change: LinkMessageBuilder<LinkUnspec>) {
        self.handle
            .link()
            .change(change.build())
            .execute()
            .await
            .unwrap();
    }

    async fn ifindex(&mut self, name: &str) -> u32 {
        self.sees(name, |network| find(network, name).is_some())
            .await;
        find(&self.network.borrow(), name).unwrap().ifindex
    }

    async fn add_address(&self, ifindex: u32, address: [u8; 4]) {
        let address = IpAddr::from(Ipv4Addr::from(address));
        self.handle
            .address()
            .add(ifindex, address, 24)
            .execute()
            .await
            .unwrap();
    }
}

fn find<'a>(network: &'a NodeNetwork, name: &str) -> Option<&'a Link> {
    network.links.values().find(|link| link.name == name)
}

fn named(name: &str) -> LinkMessageBuilder<LinkUnspec> {
    LinkUnspec::new_with_name(name)
}

/// A network namespace that lives as long as the file is open.
fn another_namespace() -> File {
    thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        File::open("/proc/thread-self/ns/net").unwrap()
    })
    .join()
    .unwrap()
}

#[test]
fn a_veth_leads_to_a_pod_as_soon_as_its_peer_has_moved_away() {
    in_new_namespace(|mut host| async move {
        let pod = another_namespace();
        host.add(LinkVeth::new("host0", "pod0").build()).await;
        host.sees_kind("host0", DeviceKind::Outside).await;

        host.change(named("pod0").setns_by_fd(pod.as_raw_fd()))
            .await;

        host.sees_kind("host0", DeviceKind::Pod).await;
        assert!(find(&host.network.borrow(), "pod0").is_none());
    });
}

#[test]
fn a_pod_device_vanishes_with_its_namespace() {
    in_new_namespace(|mut host| async move {
        let pod = another_namespace();
        host.add(LinkVeth::new("host0", "pod0").build()).await;
        host.change(named("pod0").setns_by_fd(pod.as_raw_fd()))
            .await;
        host.sees_kind("host0", DeviceKind::Pod).await;

        drop(pod);

        host.sees("the end of host0", |network| {
            find(network, "host0").is_none()
        })
        .await;
    });
}

#[test]
fn what_a_bridge_says_of_its_ports_is_not_taken_for_the_devices_own_news() {
    in_new_namespace(|mut host| async move {
        host.add(LinkBridge::new("br0").build()).await;
        host.add(LinkVeth::new("port0", "other0").build()).await;
        let bridge = host.ifindex("br0").await;
        let mut conversation = Conversation::open().await.unwrap();

        host.change(named("port0").controller(bridge)).await;
        host.change(named("port0").nocontroller()).await;
        host.add(LinkBridge::new("end-of-story").build()).await;

        let mut was_port = false;
        while find(&conversation.network, "end-of-story").is_none() {
            let event = time::timeout(PATIENCE, conversation.events.next())
                .await
                .unwrap();
            conversation.apply(event.unwrap().0);
            let port = find(&conversation.network, "port0").unwrap();
            assert_eq!(port.kind, LinkKind::Veth);
            was_port |= port.master == Some(bridge);
        }
        assert!(was_port);
        assert_eq!(find(&conversation.network, "port0").unwrap().master, None);
    });
}

#[test]
fn what_netfilter_sees_of_bridges_is_followed() {
    in_new_namespace(|mut host| async move {
        host.add(LinkBridge::new("br0").build()).await;
        let sees_v4 = |network: &NodeNetwork| {
            find(network, "br0").map(|bridge| network.netfilter_sees(bridge).v4)
        };
        host.sees("the module's default", |network| {
            sees_v4(network) == Some(true)
        })
        .await;

        let setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        std::fs::write(setting, "0").expect("modprobe br_netfilter");
        host.sees("the end of it", |network| sees_v4(network) == Some(false))
            .await;

        let own = LinkBridge::new("br0").nf_call_iptables(true).build();
        host.handle.link().change(own).execute().await.unwrap();
        host.sees("what the bridge asks for", |network| {
            sees_v4(network) == Some(true)
        })
        .await;
    });
}

#[test]
fn a_renamed_device_keeps_its_place_under_the_new_name() {
    in_new_namespace(|mut host| async move {
        host.add(LinkBridge::new("old0").build()).await;
        let ifindex = host.ifindex("old0").await;

        host.change(LinkUnspec::new_with_index(ifindex).name("new0".to_owned()))
            .await;

        assert_eq!(host.ifindex("new0").await, ifindex);
        assert!(find(&host.network.borrow(), "old0").is_none());
    });
}

#[test]
fn addresses_are_followed_as_they_come_and_go() {
    in_new_namespace(|mut host| async move {
        host.add(LinkBridge::new("bridge0").build()).await;
        let ifindex = host.ifindex("bridge0").await;
        let address = IpAddr::from([198, 51, 100, 1]);

        host.add_address(ifindex, [198, 51, 100, 1]).await;
        host.sees("the address", |network| {
            network.node_addresses().contains(&address)
        })
        .await;

        let mut gone = netlink_packet_route::address::AddressMessage::default();
        gone.header.family = AddressFamily::Inet;
        gone.header.index = ifindex;
        gone.header.prefix_len = 24;
        gone.attributes
            .push(netlink_packet_route::address::AddressAttribute::Local(
                address,
            ));
        host.handle.address().del(gone).execute().await.unwrap();
        host.sees("its end", |network| {
            !network.node_addresses().contains(&address)
        })
        .await;
    });
}

#[test]
fn a_default_route_is_followed_even_where_the_kernel_drops_it_without_an_event() {
    in_new_namespace(|mut host| async move {
        host.add(LinkVeth::new("up0", "up1").build()).await;
        let ifindex = host.ifindex("up0").await;
        host.change(named("up0").up()).await;
        host.add_address(ifindex, [192, 0, 2, 10]).await;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(Ipv4Addr::new(192, 0, 2, 1))
            .output_interface(ifindex)
            .build();

        host.handle.route().add(route).execute().await.unwrap();
        host.sees("the default route", |network| {
            network.default_route_links.contains(&ifindex)
        })
        .await;

        host.change(named("up0").down()).await;
        host.sees("its end", |network| network.default_route_links.is_empty())
            .await;
    });
}

#[test]
fn what_was_lost_by_an_overrun_is_read_again() {
    in_new_namespace(|host| async move {
        let mut conversation = Conversation::open().await.unwrap();
        host.add(LinkBridge::new("missed0").build()).await;
        let (sender, mut receiver) = watch::channel(Arc::default());
        let mut header = rtnetlink::packet_core::NetlinkHeader::default();
        header.message_type = rtnetlink::packet_core::NLMSG_OVERRUN;
        let overrun = NetlinkMessage::new(header, NetlinkPayload::Overrun(Vec::new()));
        // The events in between are those that the kernel dropped.
        let (lost, events) = futures::channel::mpsc::unbounded();
        lost.unbounded_send((overrun, SocketAddr::new(0, 0)))
            .unwrap();
        conversation.events = events;

        let published = receiver.wait_for(|network| find(network, "missed0").is_some());
        let seen = tokio::select! {
            seen = time::timeout(PATIENCE, published) => seen.is_ok(),
            broken = conversation.keep_publishing(&sender) => panic!("{broken:?}"),
        };

        assert!(seen);
    });
}

#[test]
fn a_burst_of_devices_is_seen_whole() {
    in_new_namespace(|mut host| async move {
        for number in 0..100 {
            host.add(LinkBridge::new(&format!("bridge{number}")).build())
                .await;
        }

        host.sees("100 devices", |network| network.links.len() == 101)
            .await;
    });
}

#[test]
fn the_watch_ends_when_it_is_told_to() {
    in_new_namespace(|mut host| async move {
        host.stop.cancel();
        host.tasks.close();

        time::timeout(PATIENCE, host.tasks.wait()).await.unwrap();
        assert!(host.network.changed().await.is_err());
    });
}
