//! Follows this node's network.
//!
//! The kernel's event groups are joined before the first list is read, so nothing falls between.
//! Link events carry the whole device and are applied as they are; addresses and default routes
//! are read again when one was touched, because the kernel drops routes without an event when a
//! device or a preferred source goes. Events that are already queued are taken together; nothing
//! ever waits for more of them. What was lost (an overrun socket, a broken connection) is mended
//! by reading everything again, which also happens every few minutes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt as _, StreamExt as _};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{AsyncSocket as _, SocketAddr};
use tokio::sync::watch;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::kernel::Kernel;
use super::{BridgeNetfilter, Link, LinkAddress, LinkKind, NodeError, NodeNetwork, route};

#[cfg(test)]
mod tests;

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Room for the events of several thousand devices changing at once, at about 2 KiB each.
const EVENT_BUFFER_BYTES: usize = 16 << 20;

/// How often everything is read again in case something was missed.
const REPAIR_INTERVAL: Duration = Duration::from_mins(5);

/// How often settings are read, of which there are no events.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(2);

/// How long a broken connection rests before the next try.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Reads this node's network, then follows it in a task of `tasks` until `stop`.
///
/// The receiver holds the first state already. It sees every later state, or the latest of those
/// that came while its owner was busy, and is closed after `stop`. Errors after the first state
/// are logged and mended by connecting again; the last state is kept meanwhile.
pub async fn watch(
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<watch::Receiver<Arc<NodeNetwork>>, NodeError> {
    let conversation = Conversation::open().await?;
    let (sender, receiver) = watch::channel(Arc::new(conversation.network.clone()));
    tasks.spawn(async move {
        stop.run_until_cancelled(follow(conversation, sender)).await;
    });
    Ok(receiver)
}

async fn follow(mut conversation: Conversation, sender: watch::Sender<Arc<NodeNetwork>>) {
    loop {
        let Err(error) = conversation.keep_publishing(&sender).await;
        tracing::warn!(%error, "lost track of this node's network; connecting again");
        conversation = loop {
            time::sleep(RECONNECT_PAUSE).await;
            match Conversation::open().await {
                Ok(conversation) => break conversation,
                Err(error) => tracing::warn!(%error, "cannot follow this node's network"),
            }
        };
        publish(&sender, &conversation.network);
    }
}

fn publish(sender: &watch::Sender<Arc<NodeNetwork>>, network: &NodeNetwork) {
    sender.send_if_modified(|published| {
        let is_new = **published != *network;
        if is_new {
            *published = Arc::new(network.clone());
        }
        is_new
    });
}

type Event = NetlinkMessage<RouteNetlinkMessage>;

/// A pair of sockets, one for events and one for questions, and what they have told so far.
#[derive(Debug)]
struct Conversation {
    events: UnboundedReceiver<(Event, SocketAddr)>,
    kernel: Kernel,
    network: NodeNetwork,
    stale: Stale,
    _connection: AbortOnDropHandle<()>,
}

/// What must be read again before the network may be published.
#[derive(Debug, Default)]
struct Stale {
    everything: bool,
    addresses: bool,
    default_routes: bool,
    links: BTreeSet<u32>,
}

impl Conversation {
    async fn open() -> Result<Self, NodeError> {
        let (mut connection, _, events) =
            rtnetlink::new_multicast_connection(&GROUPS).map_err(|reason| NodeError::Open {
                purpose: "events",
                reason,
            })?;
        enlarge_buffer(connection.socket_mut().socket_ref());
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let kernel = Kernel::connect()?;
        let network = kernel.network().await?;
        Ok(Self {
            events,
            kernel,
            network,
            stale: Stale::default(),
            _connection: connection,
        })
    }

    /// Publishes every change; returns only when the conversation has broken down.
    async fn keep_publishing(
        &mut self,
        sender: &watch::Sender<Arc<NodeNetwork>>,
    ) -> Result<std::convert::Infallible, NodeError> {
        let mut repair = time::interval_at(Instant::now() + REPAIR_INTERVAL, REPAIR_INTERVAL);
        let mut settings = time::interval(SETTINGS_INTERVAL);
        loop {
            tokio::select! {
                event = self.events.next() => {
                    let (event, _) = event.ok_or(NodeError::Closed)?;
                    self.apply(event);
                }
                _ = repair.tick() => self.stale.everything = true,
                _ = settings.tick() => {
                    self.network.bridge_netfilter = BridgeNetfilter::of_all_bridges();
                }
            }
            while let Some(event) = self.events.next().now_or_never() {
                let (event, _) = event.ok_or(NodeError::Closed)?;
                self.apply(event);
            }
            self.read_stale().await?;
            publish(sender, &self.network);
        }
    }

    fn apply(&mut self, event: Event) {
        match event.payload {
            NetlinkPayload::Overrun(_) => {
                tracing::warn!("netlink events were lost; reading the whole network again");
                self.stale.everything = true;
            }
            NetlinkPayload::InnerMessage(message) => self.apply_message(message),
            _ => {}
        }
    }

    fn apply_message(&mut self, message: RouteNetlinkMessage) {
        match message {
            RouteNetlinkMessage::NewLink(message) => self.apply_new_link(message),
            RouteNetlinkMessage::DelLink(message) => self.apply_gone_link(&message),
            RouteNetlinkMessage::NewAddress(message) => {
                self.stale.addresses |= LinkAddress::from_message(&message).is_some();
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let is_kept = LinkAddress::from_message(&message).is_some();
                self.stale.addresses |= is_kept;
                self.stale.default_routes |= is_kept;
            }
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
                self.stale.default_routes |= route::is_default(&message);
            }
            _ => {}
        }
    }

    fn apply_new_link(&mut self, message: LinkMessage) {
        let Some(link) = Link::from_message(message) else {
            return;
        };
        let is_down = !link.is_up;
        self.stale.default_routes |=
            is_down && self.network.default_route_links.contains(&link.ifindex);
        self.network.links.insert(link.ifindex, link);
    }

    fn apply_gone_link(&mut self, message: &LinkMessage) {
        // A bridge says "gone" of a device that merely stopped being its port.
        if message.header.interface_family != AddressFamily::Unspec {
            return;
        }
        let gone = message.header.index;
        self.network.links.remove(&gone);
        self.network.addresses.retain(|entry| entry.ifindex != gone);
        self.network.default_route_links.remove(&gone);
        // If it was one end of a pair and has moved to another namespace, nothing is said of the
        // end that stays, although that one leads to a pod now.
        self.stale
            .links
            .extend(self.network.links.values().filter_map(|link| {
                let is_pair = matches!(link.kind, LinkKind::Veth | LinkKind::Netkit);
                let is_other_end = !link.peer_is_elsewhere && link.lower == Some(gone);
                (is_pair && is_other_end).then_some(link.ifindex)
            }));
    }

    async fn read_stale(&mut self) -> Result<(), NodeError> {
        let stale = std::mem::take(&mut self.stale);
        if stale.everything {
            self.network = self.kernel.network().await?;
            return Ok(());
        }
        for ifindex in stale.links {
            match self.kernel.link(ifindex).await? {
                Some(link) => self.network.links.insert(ifindex, link),
                None => self.network.links.remove(&ifindex),
            };
        }
        if stale.addresses {
            self.kernel.read_addresses(&mut self.network).await?;
        }
        if stale.default_routes {
            self.kernel.read_default_routes(&mut self.network).await?;
        }
        Ok(())
    }
}

/// Lost events are read again anyway, so a small buffer is no reason to fail.
fn enlarge_buffer(socket: &rtnetlink::sys::Socket) {
    let outcome = setsockopt(socket, sockopt::RcvBufForce, &EVENT_BUFFER_BYTES)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &EVENT_BUFFER_BYTES));
    if let Err(error) = outcome {
        tracing::warn!(
            %error,
            "cannot enlarge the buffer for netlink events; bursts will be read again as a whole"
        );
    }
}
