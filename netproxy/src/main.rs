//! The `netproxy` command.
fn main() {}
