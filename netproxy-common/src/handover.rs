//! How packets of another proxy's connections are treated while one of the two takes over (`HANDOVER`).

/// Bits of the only value of `HANDOVER`.
#[derive(Clone, Copy, Debug)]
pub struct HandoverFlags;

impl HandoverFlags {
    /// Another proxy serves: datagrams of flows that we do not know are left to it, and noted as
    /// [`crate::FlowKind::Foreign`].
    pub const LEAVES_DATAGRAMS: u32 = 1;
    /// No other proxy serves, nor goes on with connections of another: TCP segments that open nothing
    /// and belong to no flow are answered with a reset.
    pub const RESETS_UNKNOWN: u32 = 1 << 1;
}
