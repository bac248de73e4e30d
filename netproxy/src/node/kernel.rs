//! Questions to the kernel: whole lists, and single devices, over a netlink socket of their own.
//!
//! A list that the kernel marks as interrupted by a change is asked for again; after a few tries
//! the last one is taken, since the change itself arrives as an event.

use std::collections::BTreeSet;
use std::io;

use futures::StreamExt as _;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use tokio_util::task::AbortOnDropHandle;

use super::{BridgeNetfilter, Link, LinkAddress, NodeError, NodeNetwork, route};

/// How often an interrupted list is asked for before it is taken as it is.
const ATTEMPTS: u32 = 8;

/// The asking side of a netlink socket. The socket closes when this is dropped.
#[derive(Debug)]
pub(super) struct Kernel {
    handle: Handle,
    _connection: AbortOnDropHandle<()>,
}

impl Kernel {
    /// Opens a socket in the calling thread's network namespace.
    pub(super) fn connect() -> Result<Self, NodeError> {
        let (mut connection, handle, _unsolicited) = rtnetlink::new_connection_with_strict_check()
            .map_err(|reason| NodeError::Open {
                purpose: "questions",
                reason,
            })?;
        // The end mark carries errors and the interruption flag, and tells a complete list from
        // one that broke off.
        connection.set_forward_done(true);
        Ok(Self {
            handle,
            _connection: AbortOnDropHandle::new(tokio::spawn(connection)),
        })
    }

    /// Everything.
    pub(super) async fn network(&self) -> Result<NodeNetwork, NodeError> {
        let mut network = NodeNetwork {
            bridge_netfilter: BridgeNetfilter::of_all_bridges(),
            ..NodeNetwork::default()
        };
        for message in self
            .list("links", RouteNetlinkMessage::GetLink(link_request(0)))
            .await?
        {
            if let RouteNetlinkMessage::NewLink(message) = message
                && let Some(link) = Link::from_message(message)
            {
                network.links.insert(link.ifindex, link);
            }
        }
        self.read_addresses(&mut network).await?;
        self.read_default_routes(&mut network).await?;
        Ok(network)
    }

    /// Replaces the addresses of `network`.
    pub(super) async fn read_addresses(&self, network: &mut NodeNetwork) -> Result<(), NodeError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        network.addresses = self
            .list("addresses", request)
            .await?
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message) => LinkAddress::from_message(message),
                _ => None,
            })
            .collect();
        Ok(())
    }

    /// Replaces the default routes of `network`.
    pub(super) async fn read_default_routes(
        &self,
        network: &mut NodeNetwork,
    ) -> Result<(), NodeError> {
        let mut devices = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = RouteNetlinkMessage::GetRoute(route_request(family));
            for message in self.list("routes", request).await? {
                if let RouteNetlinkMessage::NewRoute(message) = message
                    && route::is_default(&message)
                {
                    devices.extend(route::devices(&message));
                }
            }
        }
        network.default_route_links = devices;
        Ok(())
    }

    /// One device; `None` if it is gone.
    pub(super) async fn link(&self, ifindex: u32) -> Result<Option<Link>, NodeError> {
        let request = RouteNetlinkMessage::GetLink(link_request(ifindex));
        let mut answers = self.ask("a link", request, NLM_F_REQUEST)?;
        let answer = answers
            .next()
            .await
            .ok_or(NodeError::BrokenOff { object: "a link" })?;
        match answer.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                Ok(Link::from_message(message))
            }
            NetlinkPayload::Error(error) if error.raw_code() == -libc::ENODEV => Ok(None),
            NetlinkPayload::Error(error) => Err(refused("a link", &error)),
            _ => Err(NodeError::BrokenOff { object: "a link" }),
        }
    }

    async fn list(
        &self,
        object: &'static str,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NodeError> {
        let mut attempt = 1;
        loop {
            let (messages, is_interrupted) = self.list_once(object, request.clone()).await?;
            if !is_interrupted || attempt == ATTEMPTS {
                return Ok(messages);
            }
            tracing::debug!(object, attempt, "the list changed while it was read");
            attempt += 1;
        }
    }

    async fn list_once(
        &self,
        object: &'static str,
        request: RouteNetlinkMessage,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), NodeError> {
        let mut answers = self.ask(object, request, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut messages = Vec::new();
        let mut is_interrupted = false;
        while let Some(answer) = answers.next().await {
            is_interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message),
                NetlinkPayload::Done(done) if done.code == 0 => {
                    return Ok((messages, is_interrupted));
                }
                NetlinkPayload::Done(done) => {
                    let reason = io::Error::from_raw_os_error(done.code.saturating_neg());
                    return Err(NodeError::Refused { object, reason });
                }
                NetlinkPayload::Error(error) => return Err(refused(object, &error)),
                _ => break,
            }
        }
        Err(NodeError::BrokenOff { object })
    }

    /// Asks for one thing; the answers come as the kernel gives them.
    pub(super) fn ask(
        &self,
        object: &'static str,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<
        impl futures::Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin + use<>,
        NodeError,
    > {
        let mut message = NetlinkMessage::from(request);
        message.header.flags = flags;
        self.handle
            .clone()
            .request(message)
            .map_err(|_| NodeError::BrokenOff { object })
    }
}

/// `ifindex` zero stands for all devices.
fn link_request(ifindex: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    // Statistics are half of an answer.
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

fn route_request(family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.kind = RouteType::Unicast;
    message
}

pub(super) fn refused(object: &'static str, error: &ErrorMessage) -> NodeError {
    NodeError::Refused {
        object,
        reason: error.to_io(),
    }
}
