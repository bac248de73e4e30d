//! netproxy's user space.
//!
//! Data flows one way: `source` (watch, manifests) -> `model` (our own small types) -> `plan`
//! (pure: the wanted state) -> `datapath` (maps and programs); `serve` tells others how that goes, `metrics` in numbers.
//! What the operator may choose is read by `config` and held by `settings`.

pub mod agent;
mod allocator;
pub mod capabilities;
mod causes;
pub mod check;
pub mod config;
pub mod datapath;
pub mod init;
pub mod metrics;
pub mod model;
pub mod netfilter;
pub mod node;
pub mod plan;
pub mod serve;
pub mod settings;
pub mod source;
pub mod store;
pub mod terminate;
