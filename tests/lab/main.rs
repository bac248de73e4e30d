//! The lab tier: real sockets and real packets between nodes, pods and clients on this machine.

mod bulk;
mod cluster;
mod cluster_ip;
mod ground;
mod hairpin;
mod life;
mod manifests;
mod node_port;
mod outside_address;
mod restart;
mod shape;
mod shop;
