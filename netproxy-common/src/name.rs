//! Names of services by id (`NAMES`), for user space only: adoption after a restart, and tools
//! that run when the agent does not.

/// Longest `namespace/name:port` that Kubernetes admits: three DNS labels and two separators.
pub const NAME_BYTES: usize = 63 * 3 + 2;

/// Value of `NAMES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// `namespace/name:port` in UTF-8, filled up with zeros.
    pub text: [u8; NAME_BYTES],
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

crate::plain_data! { Name => 196 }
