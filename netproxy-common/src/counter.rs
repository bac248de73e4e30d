//! Reasons and events that the datapath counts (`COUNTERS`, per CPU, by [`Counter`] as index).

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident => $text:literal, drop: $drop:literal;)+) => {
        /// Index into `COUNTERS`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $($(#[doc = $doc])+ $name),+ }

        impl Counter {
            /// Every counter, in the order of the map's indices.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name shown to people and in metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// What it means, in a sentence or two.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }

            /// Whether the packet was dropped for this reason.
            #[must_use]
            pub const fn is_drop(self) -> bool {
                match self { $(Self::$name => $drop),+ }
            }
        }
    };
}

counters! {
    /// A flow was created.
    NewFlow => "new_flow", drop: false;
    /// The client has confirmed a flow.
    Assured => "assured", drop: false;
    /// There is no room for a confirmed flow among those that nothing evicts.
    AssuredFull => "assured_full", drop: false;
    /// The pending tier refused an entry.
    PendingFull => "pending_full", drop: true;
    /// A service has no endpoint at all.
    NoEndpoint => "no_endpoint", drop: true;
    /// The traffic policy leaves no endpoint for this client.
    NoLocalEndpoint => "no_local_endpoint", drop: true;
    /// A load-balancer VIP does not admit this client (`loadBalancerSourceRanges`).
    SourceRange => "source_range", drop: true;
    /// A cluster IP has no service at this port, or the packet is of a protocol without ports; the
    /// sender is told, as often as the limit allows.
    UnusedPort => "unused_port", drop: true;
    /// An address of a service CIDR that is no service's.
    UnusedAddress => "unused_address", drop: true;
    /// A refusal (`no_endpoint`, `unused_port`, `packet_too_big`, `expired`, `connection_reset`) of which
    /// the sender was told.
    Refused => "refused", drop: false;
    /// A refusal of which the sender was not told, as there had been too many.
    RefusalLimited => "refusal_limited", drop: false;
    /// A datagram, or an SCTP INIT, of a flow whose endpoint no longer serves; it opens a flow anew.
    EndpointGone => "endpoint_gone", drop: false;
    /// A socket was sent straight to an endpoint.
    SocketTranslated => "socket_translated", drop: false;
    /// A socket's frontend stays on the wire: the packet hooks serve it.
    SocketLeft => "socket_left", drop: false;
    /// A socket was refused by `ECONNREFUSED`.
    SocketRefused => "socket_refused", drop: false;
    /// Every source port towards the endpoint is taken.
    PortsExhausted => "ports_exhausted", drop: true;
    /// Two services chose the same endpoint for the same client address and port.
    TupleCollision => "tuple_collision", drop: true;
    /// No route to the endpoint, or back to the client.
    NoRoute => "no_route", drop: true;
    /// A packet larger than the way to its endpoint, or back to its client, can carry, where packets go
    /// past the stack; the sender is told what it carries, as often as the limit allows.
    PacketTooBig => "packet_too_big", drop: true;
    /// A packet that had no hop left where packets go past the stack; the sender is told, as often as the
    /// limit allows.
    Expired => "expired", drop: true;
    /// An ICMP error about a packet of a flow was translated for the packet's sender.
    IcmpTranslated => "icmp_translated", drop: false;
    /// An ICMP error that has IP options or extension headers, or quotes headers too long to look at: it is
    /// left as it is.
    IcmpUnread => "icmp_unread", drop: false;
    /// A process of this node asked for a service whose endpoint is the node itself, past the
    /// socket hooks; the answer would never cross a device.
    HostToItself => "host_to_itself", drop: true;
    /// A TCP segment or SCTP packet to a frontend that opens no connection and belongs to none we know; it is
    /// left to whoever may know it.
    UnknownConnection => "unknown_connection", drop: false;
    /// A fragment to a service's address that came before the first of its datagram, which alone has the
    /// ports, or after what was remembered of that one was given up.
    FragmentBeforeFirst => "fragment_before_first", drop: true;
    /// The same at an address of this node, where it may be anybody's: it is left to the stack.
    FragmentUnknown => "fragment_unknown", drop: false;
    /// A fragment that ends or begins inside of the transport header.
    SplitHeader => "split_header", drop: true;
    /// A fragment of an SCTP packet that would open a flow, or of which the ports are to change: its checksum
    /// is reckoned from the length of the whole.
    SctpFragment => "sctp_fragment", drop: true;
    /// The packet could not be changed (`bpf_skb_store_bytes`, `bpf_l4_csum_replace`).
    RewriteFailed => "rewrite_failed", drop: true;
    /// A service id or range that the maps do not hold.
    Inconsistent => "inconsistent", drop: true;
    /// An unanswered or closed flow was given up for a new one, as no source port towards its endpoint was
    /// free.
    FlowGivenUp => "flow_given_up", drop: false;
    /// As `unknown_connection`, where no other proxy may know it; the sender is told by a reset, as often as the
    /// limit allows.
    ConnectionReset => "connection_reset", drop: true;
    /// An event of which `netproxy monitor` was not told, as it had not yet read those before.
    EventLost => "event_lost", drop: false;
    /// A packet that would open a flow while the flow table is handed to the programs of another release; its
    /// sender repeats it.
    HandingOn => "handing_on", drop: true;
}
