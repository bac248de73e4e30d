//! `cargo xtask`: set-up, builds, demo and tests.
fn main() {}
