//! For tests of upgrades: a build whose maps are laid out otherwise (feature `other-layout`), and which differs in
//! nothing else. Fields come in another order, values are larger, with new fields in their middle, maps are of other
//! sizes. Users' builds never have it.

/// Whether this is that build.
pub const IS_OTHER: bool = cfg!(feature = "other-layout");

/// How many bytes some values have more of.
pub const MORE_BYTES: usize = if IS_OTHER { 8 } else { 0 };
